"""The k-th call fails in each subcommand of pfgm: memory, files, disks, threads, and EINTR and short counts.

After each: it ended by itself, with the right result or with 1 and a line that names the reason; the destination is what
it was before or complete; nothing else was left. Where it failed the same command again gives the right result.

Environment: PFGM, FAULT_SHIM, GOLDEN, MODELS, and FAULT_TRIES (fault.py)."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import fault  # noqa: E402
import safetensors_file  # noqa: E402

PFGM, GOLDEN = os.environ["PFGM"], os.environ["GOLDEN"]
ONLY = os.environ.get("FAULT_ONLY")  # names of cases and kinds, for a look by hand: "train/alloc"
FILES = ("alloc", "open", "read", "write", "sync", "rename", "remove", "map", "thread", "status", "size", "close", "entropy",
         "interrupt", "short")
ENDLESS = int(os.environ.get("FAULT_ENDLESS", "60"))  # seconds, for what takes a small part of one
TINY = {"network": {"nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [4]}, "objective": "pfgmpp",
        "D": 1, "batch": 4, "steps": 2, "warmup": 1, "learning_rate": 1e-3, "ema": 0.9, "log_every": 1,
        "save_every": 1, "sheet_every": 2}
FEW = ("--solver", "euler", "--steps", "2", "--workers", "1")


def png(number, side=8):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes((x * y * (number + 3) + 29 * number) % 256 for x in range(side)) for y in range(side))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


def content(top):
    """{relative name: bytes} of a folder; of a folder within it {name + "/": None}."""
    found = {}
    for place, folders, names in os.walk(top):
        for name in folders:
            found[os.path.relpath(os.path.join(place, name), top) + "/"] = None
        for name in names:
            with open(os.path.join(place, name), "rb") as f:
                found[os.path.relpath(os.path.join(place, name), top)] = f.read()
    return found


def untimed(printed):
    """What was printed, without how long it took."""
    return re.sub(rb'"[a-z_]*(seconds|_ms|_s)": ?[0-9.e+-]+', b"", printed)


def timeless(found):
    """The same without what a run's duration decides."""
    kept = {}
    for name, data in found.items():
        if name.endswith("log.csv"):
            rows = [line.split(b",") for line in data.splitlines()]
            keep = [i for i, word in enumerate(rows[0]) if b"second" not in word and b"time" not in word]
            data = b"\n".join(b",".join(row[i] for i in keep if i < len(row)) for row in rows)
        kept[name] = data
    return kept


class Case:
    """A subcommand. {out} in its words is a folder that is new each time; `before` is what lies there. `printed`: standard
    output is the result, too. Where there is the file `state` after a failure, the command `again` goes on from there, and
    what matches `keeps` may be left for it."""

    def __init__(self, name, *words, before=(), printed=False, kinds=FILES, state=None, again=None, keeps=None):
        self.name, self.words, self.before, self.printed, self.kinds = name, words, dict(before), printed, kinds
        self.state, self.again, self.keeps = state, again, keeps


class Subcommands(unittest.TestCase):
    @classmethod
    def here(cls, *names):
        return os.path.join(cls.top, "in", *names)

    @classmethod
    def setUpClass(cls):
        cls.top = fault.folder(cls, "pfgm-fault-")
        cls.control = fault.Control(cls.top)
        cls.tried = cls.failed = cls.runs = 0
        here = cls.here
        for i in range(8):
            put(here("pictures", "ab"[i % 2], f"{i}.png"), png(i))
        put(here("config.json"), json.dumps(TINY).encode())
        put(here("student.json"), json.dumps({k: v for k, v in TINY.items() if k not in ("network", "objective", "D")}).encode())
        metadata, _ = safetensors_file.read(os.path.join(GOLDEN, "pfgm_digits8.golden.safetensors"))
        put(here("digits.json"), metadata["config"].encode())
        for words in (("convert", "--exact", here("pictures"), "-o", here("exact.safetensors")),
                      ("train", "--data", here("pictures"), "--config", here("config.json"), "-o", here("run"),
                       "--threads", "1"),
                      ("sample", here("exact.safetensors"), "-n", "4", "--seed", "1", *FEW, "--shard", "1/2",
                       "-o", here("a.npz")),
                      ("sample", here("exact.safetensors"), "-n", "4", "--seed", "1", *FEW, "--shard", "2/2",
                       "-o", here("b.npz"))):
            subprocess.run([PFGM, *words], check=True, capture_output=True)
        points = {"x": ("F32", [1, 1, 8, 8], struct.pack("<64f", *[i / 8 for i in range(64)])),
                  "sigma": ("F32", [1], struct.pack("<f", 1.5))}
        safetensors_file.write(here("points.safetensors"), points)

    @classmethod
    def tearDownClass(cls):
        print(f"{cls.tried} failures of the k-th call tried in pfgm, {cls.failed} ended with an error, {cls.runs} runs")

    def cases(self):
        exact, net, here = self.here("exact.safetensors"), self.here("run", "model.safetensors"), self.here
        draw = ("--seed", "1", *FEW)
        old = b"what was there before"
        yield Case("inspect", "inspect", net, "--json", printed=True)
        yield Case("inspect_pth", "inspect", os.path.join(GOLDEN, "pfgm_ncsnpp_rgb16.pth"), printed=True)
        yield Case("inspect_pkl", "inspect", os.path.join(GOLDEN, "pfgmpp_ncsnpp_rgb16_d128.pkl"), printed=True)
        yield Case("sample_png", "sample", net, *draw, "-n", "3", "-o", "{out}/a.png", before={"a.png": old})
        yield Case("sample_folder", "sample", exact, *draw, "-n", "2", "-o", "{out}/a/")
        yield Case("sample_npy", "sample", exact, *draw, "-n", "2", "-o", "{out}/a.npy", before={"a.npy": old})
        yield Case("sample_npz", "sample", exact, *draw, "-n", "2", "-o", "{out}/a.npz", before={"a.npz": old})
        yield Case("sample_safetensors", "sample", exact, *draw, "-n", "2", "-o", "{out}/a.safetensors",
                   before={"a.safetensors": old})
        yield Case("sample_stdout", "sample", exact, *draw, "-o", "-", printed=True)
        yield Case("sample_trajectory", "sample", exact, *draw, "--trajectory", "2", "-o", "{out}/a.apng",
                   before={"a.apng": old})
        yield Case("sample_shard", "sample", exact, *draw, "-n", "4", "--shard", "1/2", "-o", "{out}/s/",
                   keeps=r"s/\.shard-1-of-2\.part|s/0.*")
        yield Case("merge", "merge", here("a.npz"), here("b.npz"), "-o", "{out}/m.npz", before={"m.npz": old})
        yield Case("encode", "encode", exact, "-i", here("pictures", "a", "0.png"), "--workers", "1", "-o", "{out}/l.npy",
                   "--rtol", "1e-2", before={"l.npy": old})
        yield Case("interpolate", "interpolate", exact, "--seeds", "1,2", "--class", "none", "--steps", "3", "--workers", "1",
                   "--solver", "euler", "--solver-steps", "2", "-o", "{out}/i.png", before={"i.png": old})
        yield Case("edit", "edit", exact, "--seed", "1", "--new-seed", "2", *FEW, "-o", "{out}/e.png",
                   before={"e.png": old})
        yield Case("likelihood", "likelihood", exact, "-i", here("pictures", "a", "0.png"), "--rtol", "1e-1", "--workers",
                   "1", "--json", printed=True)
        yield Case("field", "field", net, "-i", here("points.safetensors"), "-o", "{out}/f.safetensors",
                   before={"f.safetensors": old})
        yield Case("convert_pth", "convert", os.path.join(GOLDEN, "pfgm_digits8.pth"), "--config", here("digits.json"),
                   "-o", "{out}/m.safetensors", before={"m.safetensors": old})
        yield Case("convert_pkl", "convert", os.path.join(GOLDEN, "pfgmpp_ncsnpp_rgb16_d128.pkl"), "-o",
                   "{out}/m.safetensors", before={"m.safetensors": old})
        yield Case("convert_exact", "convert", "--exact", here("pictures"), "-o", "{out}/m.safetensors",
                   before={"m.safetensors": old})
        run = {"state": "run/state.safetensors", "keeps": r"run/(.*/)?[^.].*|run/"}
        yield Case("train", "train", "--data", here("pictures"), "--config", here("config.json"), "--threads", "1",
                   "-o", "{out}/run", **run, again=("train", "--data", here("pictures"), "--threads", "1", "-o",
                                                    "{out}/run", "--resume"))
        yield Case("distill", "distill", net, "--data", here("pictures"), "--config", here("student.json"), "--steps", "1",
                   "--threads", "1", "-o", "{out}/run", **run, again=(
                       "distill", net, "--data", here("pictures"), "--threads", "1", "-o", "{out}/run", "--resume"))
        yield Case("eval", "eval", net, "--data", here("pictures"), "-n", "2", "--solver", "euler", "--steps", "2",
                   "--loss-points", "4", "--train", here("pictures"), "-o", "{out}/n.png", "--json", printed=True,
                   before={"n.png": old})
        yield Case("tune", "tune", exact, "--nfe", "2", "--starts", "2", "--rounds", "1", "-o", "{out}/t.safetensors",
                   before={"t.safetensors": old})
        yield Case("plot_svg", "plot", "shell", "-o", "{out}/p.svg", before={"p.svg": old})
        yield Case("plot_png", "plot", "lift", "-o", "{out}/p.png", before={"p.png": old})
        yield Case("plot_trajectories", "plot", "trajectories", exact, "-n", "1", "--columns", "2", "-o", "{out}/p.png",
                   before={"p.png": old})
        yield Case("bench", "bench", "--model", net, "--seconds", "0.001", "--batch", "1", "--workers", "1", "--solver",
                   "euler", "--steps", "2")
        yield Case("bench_solvers", "bench", "solvers", exact, "-n", "1")

    def run_case(self, case, out, words=None):
        type(self).runs += 1
        words = [word.replace("{out}", out) for word in words or case.words]
        command = [PFGM, *words]
        try:
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ENDLESS,
                                  env=self.control.environment())
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, -9, b"", f"was not done after {ENDLESS} s".encode())

    def fresh(self, case):
        out = os.path.join(self.top, "out")
        shutil.rmtree(out, ignore_errors=True)
        os.mkdir(out)
        for name, data in case.before.items():
            put(os.path.join(out, name), data)
        return out

    def judge(self, case, kind, k, done, out, right, spoken):
        """What is wrong with a run whose k-th call failed; None: nothing."""
        text = done.stderr.decode(errors="replace")
        if done.returncode < 0 or done.returncode > 1:
            return f"ended with {done.returncode}: {text}"
        found = timeless(content(out))
        if done.returncode == 0:
            if found != right:
                return f"success with other files: {sorted(found)}"
            if case.printed and untimed(done.stdout) != spoken:
                return "success with another output"
            return None
        if fault.REASONS[kind] is None:
            return f"failed: {text}"
        if not text.strip() or not fault.reason_named(kind, text):
            return f"the reason is not named: {text!r}"
        for name, data in found.items():
            allowed = data == case.before.get(name, False) or data == right.get(name, False)
            if case.keeps and re.fullmatch(case.keeps, name):
                continue  # of an earlier step; that it is whole shows when it is continued
            if not allowed and kind != "remove":
                return f"left {name}"
        if any(name not in found for name in case.before):
            return "removed what was there"
        return None

    def again(self, case, out, right, spoken):
        """What is wrong with the same command after a failure."""
        if case.again and os.path.exists(os.path.join(out, case.state)):
            done = self.run_case(case, out, words=case.again)
        else:
            done = self.run_case(case, self.fresh(case) if case.again else out)
        if done.returncode != 0:
            return f"again: ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
        found = timeless(content(out))
        if case.again:
            found, right = ({n: d for n, d in f.items() if n.endswith(".safetensors")} for f in (found, right))
        return None if found == right and (not case.printed or untimed(done.stdout) == spoken) else "again: another result"

    def sweep(self, case):
        out = self.fresh(case)
        self.control.count()
        done = self.run_case(case, out)
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = self.control.counts()
        self.assertGreater(counts["alloc"], 0)  # or the shim sees nothing
        right, spoken = timeless(content(out)), untimed(done.stdout)
        kept = self.control["live"]
        findings = []
        for kind, k, always in fault.choose(case.name, counts, case.kinds):
            if ONLY and not f"{case.name}/{kind}".startswith(ONLY):
                continue
            out = self.fresh(case)
            self.control.arm(kind, k, always)
            done = self.run_case(case, out)
            self.control.disarm()
            type(self).tried += 1
            wrong = self.judge(case, kind, k, done, out, right, spoken)
            if not wrong and done.returncode != 0:
                type(self).failed += 1
                if self.control["live"] > kept:
                    wrong = f"{self.control['live'] - kept} blocks more than after success are not freed"
                elif k % 5 == 0 or always:
                    wrong = self.again(case, out, right, spoken)
            if wrong:
                findings.append(f"{case.name}/{kind} {k} of {counts[kind]}{' and after' if always else ''}: {wrong}\n"
                                f"{self.control.culprit()}")
        return findings

    # What cannot be looked at is not taken for something that is not there: every k, as each is its own question.
    def test_a_picture_that_cannot_be_looked_at_is_not_left_out(self):
        case = next(c for c in self.cases() if c.name == "convert_exact")
        out = self.fresh(case)
        self.control.count()
        self.run_case(case, out)
        right, count = content(out), self.control.counts()["status"]
        self.assertGreater(count, 0)
        for k in range(1, count + 1):
            out = self.fresh(case)
            self.control.arm("status", k)
            done = self.run_case(case, out)
            self.control.disarm()
            type(self).tried += 1
            self.assertIn(done.returncode, (0, 1), done.stderr)
            if done.returncode == 0 or content(out) != case.before:
                self.assertEqual(content(out), right, f"{k}\n{self.control.culprit()}")

    def test_memory_for_a_picture_is_called_memory(self):
        """libpng has other words for it."""
        case = next(c for c in self.cases() if c.name == "edit")
        self.control.count()
        self.run_case(case, self.fresh(case))
        count = self.control.counts()["alloc"]
        self.assertGreater(count, 30)
        for k in range(count - 30, count + 1):
            out = self.fresh(case)
            self.control.arm("alloc", k)
            done = self.run_case(case, out)
            self.control.disarm()
            type(self).tried += 1
            self.assertIn(done.returncode, (0, 1), done.stderr)
            if done.returncode:
                self.assertTrue(fault.reason_named("alloc", done.stderr.decode()), f"{done.stderr}\n{self.control.culprit()}")

    def test_a_run_that_cannot_be_looked_at_is_not_begun_anew(self):
        case = Case("train", "train", "--data", self.here("pictures"), "--config", self.here("config.json"), "--threads", "1",
                    "-o", "{out}/run")
        out = self.fresh(case)
        shutil.copytree(self.here("run"), os.path.join(out, "run"))
        kept = content(out)
        self.control.count()
        self.assertEqual(self.run_case(case, out).returncode, 2)
        count = self.control.counts()["status"]
        self.assertGreater(count, 0)
        for k in range(1, count + 1):
            self.control.arm("status", k)
            done = self.run_case(case, out)
            self.control.disarm()
            type(self).tried += 1
            self.assertIn(done.returncode, (1, 2), f"{k}: the run that was there is replaced\n{self.control.culprit()}")
            self.assertEqual(content(out), kept, k)


def add(name):
    def test(self):
        case = next(c for c in self.cases() if c.name == name)
        findings = self.sweep(case)
        self.assertFalse(findings, f"{len(findings)} findings:\n" + "\n".join(findings[:40]))
    test.__name__ = f"test_{name}"
    setattr(Subcommands, test.__name__, test)


NAMES = ("inspect", "inspect_pth", "inspect_pkl", "sample_png", "sample_folder", "sample_npy", "sample_npz",
             "sample_safetensors", "sample_stdout", "sample_trajectory", "sample_shard", "merge", "encode", "interpolate",
             "edit", "likelihood", "field", "convert_pth", "convert_pkl", "convert_exact", "train", "distill", "eval",
             "tune", "plot_svg", "plot_png", "plot_trajectories", "bench", "bench_solvers")
for NAME in NAMES:
    add(NAME)

if __name__ == "__main__":
    unittest.main(verbosity=2)
