"""`pfgm train`, driven as a person would: runs that are killed and continued, odd files in the data,
damaged pictures, full disks, and losses that leave the numbers.

PFGM is the binary. Standard library only; pictures are written here, byte by byte."""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sanitized import SANITIZED  # noqa: E402

PFGM = os.environ["PFGM"]

TINY = {"network": {"nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [4]},
        "batch": 8, "large_batch": 16, "steps": 40, "warmup": 5, "learning_rate": 1e-3, "ema": 0.9,
        "dropout": 0.1, "log_every": 5, "save_every": 10, "sheet_every": 0}


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, rows, colour=0, depth=8, before=()):
    """rows: bytes of each line, without filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"".join(b"\0" + r for r in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunk(*c) for c in before) +
            chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def picture(number, side=8):
    """Grey lines of a picture that only its number decides."""
    rng = random.Random(number)
    row, column = rng.randrange(side), rng.randrange(side)
    return [bytes(255 if y == row or x == column else 20 for x in range(side)) for y in range(side)]


def npy(images, side=8):
    text = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d), }" % (len(images), side, side)
    text += " " * (-(11 + len(text)) % 64) + "\n"
    return (b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() +
            b"".join(b"".join(i) for i in images))


def npy_vectors(rows, kind="<f8"):
    text = "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }" % (
        kind, len(rows), len(rows[0]))
    text += " " * (-(11 + len(text)) % 64) + "\n"
    values = [v for r in rows for v in r]
    return (b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() +
            struct.pack("<%d%s" % (len(values), {"<f4": "f", "<f8": "d"}[kind]), *values))


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pfgm-train-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, data):
        path = self.path(*name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def config(self, **changes):
        return self.write("config.json", json.dumps(dict(TINY, **changes)).encode())

    def data(self, count=24):
        return self.write("data.npy", npy([picture(i) for i in range(count)]))

    def command(self, data, run, *more):
        return [PFGM, "train", "--data", data, "-o", self.path(run)] + [str(m) for m in more]

    def train(self, data, run, *more, ok=True, **options):
        done = subprocess.run(self.command(data, run, *more), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=800, **options)
        if ok:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def digest(self, run, name):
        with open(self.path(run, name), "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def digests(self, run):
        return self.digest(run, "model.safetensors"), self.digest(run, "state.safetensors")

    def refused(self, done, *words, code=2):
        self.assertEqual(done.returncode, code, done.stderr)
        line = done.stderr.strip().splitlines()[-1]
        for word in words:
            self.assertIn(word, line)

    def saved_step(self, run):
        with open(self.path(run, "state.safetensors"), "rb") as f:
            size = struct.unpack("<Q", f.read(8))[0]
            return json.loads(json.loads(f.read(size))["__metadata__"]["pfgm.train"])["step"]


class Resume(Case):
    def test_three_kills_give_the_same_bytes(self):
        """How far a run comes before it is killed is the machine's business: its end is chosen afterwards."""
        data = self.data()
        config = self.config(save_every=7)
        rng = random.Random(4)
        first = True
        for kill in range(3):
            more = [*(["--config", config] if first else ["--resume"]), "--steps", 10000000]
            process = subprocess.Popen(self.command(data, "killed", *more),
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            lines = rng.randrange(2, 6)
            for line in process.stdout:
                lines -= line.startswith("step ")
                if lines <= 0 and os.path.exists(self.path("killed", "state.safetensors")):
                    break
            time.sleep(rng.random() * 0.02)
            process.kill()
            self.assertEqual(process.wait(), -signal.SIGKILL, "the run ended before it was killed")
            process.stdout.close()
            first = False
        end = self.saved_step("killed") + 60
        self.train(data, "killed", "--resume", "--steps", end)
        self.train(data, "whole", "--config", config, "--steps", end)
        self.assertEqual(self.digests("killed"), self.digests("whole"))
        with open(self.path("killed", "log.csv")) as f:
            steps = [int(line.split(",")[0]) for line in f.read().splitlines()[1:]]
        self.assertEqual(steps, list(range(5, end + 1, 5)))

    def test_further_averages_are_those_of_runs_of_their_own(self):
        """Each average that a run keeps beside its own is that of a run with its rate, also after a stop."""
        data, rates = self.data(), [0.5, 0.97]
        many = self.config(ema_others=rates)
        self.train(data, "many", "--config", many, "--steps", 25)
        self.train(data, "many", "--resume", "--steps", 40)
        for rate in rates:
            self.train(data, "one", "--config", self.config(ema=rate))
            self.assertEqual(self.digest("many", "model-ema-%g.safetensors" % rate),
                             self.digest("one", "model.safetensors"))
            shutil.rmtree(self.path("one"))
        self.train(data, "own", "--config", self.config())
        self.assertEqual(self.digest("many", "model.safetensors"), self.digest("own", "model.safetensors"))
        for bad, word in (([0.5, 0.5], "twice"), ([0.9, 0.90000000000001], "twice"), ([1.5], "element 0"), (0.5, "array"), ([0.1] * 5, "at most 4")):
            self.refused(self.train(data, "bad", "--config", self.config(ema_others=bad), ok=False),
                         "ema_others", word)

    def test_moved_pictures(self):
        """Other bytes than without, the same after a stop; refused where the target is not moved, too."""
        data, denoise = self.data(), {"objective": "pfgmpp", "D": 16}
        moved = self.config(shift=2, **denoise)
        self.train(data, "moved", "--config", moved)
        self.train(data, "stopped", "--config", moved, "--steps", 13)
        self.train(data, "stopped", "--resume", "--steps", 40)
        self.train(data, "still", "--config", self.config(**denoise))
        self.assertEqual(self.digests("moved"), self.digests("stopped"))
        self.assertNotEqual(self.digests("moved"), self.digests("still"))
        self.refused(self.train(data, "bad", "--config", self.config(shift=2), ok=False), "shift", "pfgmpp")
        self.refused(self.train(data, "bad", "--config", self.config(shift=8, **denoise), ok=False),
                     "shift", "8 pixels")
        vectors = self.write("vectors.npy", npy_vectors([[0.5, 1.5], [2.0, 3.0], [1.0, -1.0]]))
        self.write("vectors.json", json.dumps({"objective": "pfgmpp", "shift": 1, "steps": 1}).encode())
        self.refused(self.train(vectors, "bad", "--config", self.path("vectors.json"), ok=False), "shift", "vectors")

    def test_threads_change_nothing(self):
        data = self.data()
        config = self.config()
        for threads in (1, 2, 3):
            self.train(data, "t%d" % threads, "--config", config, "--threads", threads)
        self.assertEqual(self.digests("t1"), self.digests("t2"))
        self.assertEqual(self.digests("t1"), self.digests("t3"))

    def test_interrupt_saves_and_ends_cleanly(self):
        data = self.data()
        config = self.config(save_every=10000000)
        process = subprocess.Popen(self.command(data, "half", "--config", config, "--steps", 10000000),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 0, error)
        self.assertIn("--resume", out)
        end = self.saved_step("half") + (50 if SANITIZED else 150)
        self.train(data, "half", "--resume", "--steps", end)
        self.train(data, "whole", "--config", config, "--steps", end)
        self.assertEqual(self.digests("half"), self.digests("whole"))

    def test_other_data_or_a_second_start_are_refused(self):
        data = self.data()
        self.train(data, "run", "--config", self.config(steps=3))
        self.refused(self.train(data, "run", ok=False), "--resume")
        other = self.write("other.npy", npy([picture(i + 100) for i in range(24)]))
        self.refused(self.train(other, "run", "--resume", ok=False), "other data")
        self.refused(self.train(data, "fresh", "--resume", ok=False), "nothing to resume")

    def test_kill_during_save_pytorch_lightning_688(self):
        data = self.data()
        config = self.config(steps=100000, save_every=1)
        rng = random.Random(8)
        self.train(data, "run", "--config", config, "--steps", 1)

        def saved():
            found = os.stat(self.path("run", "state.safetensors"))
            return found.st_ino, found.st_mtime_ns
        for _ in range(5 if SANITIZED else 20):
            before, end = saved(), time.monotonic() + 300
            process = subprocess.Popen(self.command(data, "run", "--resume", "--steps", 100000),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            while saved() == before and process.poll() is None:  # now it saves after every step
                self.assertLess(time.monotonic(), end)
                time.sleep(0.002)
            time.sleep(rng.random() * 0.1)
            process.kill()
            error = process.stderr.read()
            process.stderr.close()
            self.assertEqual(process.wait(), -signal.SIGKILL, error)
        step = self.saved_step("run")
        self.assertGreater(step, 1)
        self.train(data, "run", "--resume", "--steps", step + 1)
        inspect = subprocess.run([PFGM, "inspect", self.path("run", "model.safetensors")],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(inspect.returncode, 0, inspect.stderr)


    def test_a_folder_is_one_runs_from_its_start_to_its_end(self):
        """Two runs in one folder mixed until the first save, and one that was killed before it could not be
        resumed."""
        data = self.data()
        config = self.config(steps=12, save_every=10000000)
        self.train(data, "whole", "--config", config)
        process = subprocess.Popen(self.command(data, "run", "--config", config, "--steps", 10000000),
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.kill)
        for line in process.stdout:
            if line.startswith("step "):
                break
        for more in (["--config", config, "--steps", 3], ["--resume", "--steps", 3]):
            self.refused(self.train(data, "run", *more, ok=False), "another training", self.path("run"), code=1)
        process.kill()
        process.wait()
        process.stdout.close()
        self.refused(self.train(data, "run", "--config", config, ok=False), "--resume")
        self.train(data, "run", "--resume", "--steps", 12)
        self.assertEqual(self.digests("run"), self.digests("whole"))

    def test_files_that_are_there_are_not_replaced(self):
        data = self.data()
        text = json.dumps(dict(TINY, steps=2)).encode()
        own = self.write("run/config.json", text)
        self.refused(self.train(data, "run", "--steps", 0, ok=False), "config.json", "is there already")
        with open(own, "rb") as f:
            self.assertEqual(f.read(), text)
        model = self.write("other/model.safetensors", b"somebody's")
        self.refused(self.train(data, "other", "--steps", 0, ok=False), "model.safetensors", "is there already")
        with open(model, "rb") as f:
            self.assertEqual(f.read(), b"somebody's")
        self.train(data, "run", "--config", own)
        self.write("third/model-ema-0.5.safetensors", b"somebody's")
        self.refused(self.train(data, "third", "--steps", 0, ok=False), "model-ema-0.5.safetensors", "is there already")

    def test_unfinished_files_of_killed_runs_are_removed(self):
        data = self.data()
        self.train(data, "run", "--config", self.config(steps=2))
        gone = ["run/.state.safetensors.123.4.tmp", "run/.model.safetensors.99999.0.tmp",
                "run/samples/.step-00000010.png.7.8.tmp"]
        stay = ["run/.tuned.safetensors.123.4.tmp", "run/.state.safetensors.tmp", "run/state.safetensors.1.2.tmp"]
        for name in gone + stay:
            self.write(name, b"part")
        self.train(data, "run", "--resume", "--steps", 3)
        left = [name for name in gone + stay if os.path.exists(self.path(*name.split("/")))]
        self.assertEqual(left, stay)

    def test_a_change_that_is_refused_leaves_the_run_as_it_was(self):
        data = self.data()
        self.train(data, "run", "--config", self.config(steps=2, dropout=0.3))
        before = self.digest("run", "config.json")
        change = self.write("change.json", b'{"dropout": -1}')
        self.refused(self.train(data, "run", "--resume", "--continue-with", change, ok=False), "change.json", "dropout")
        self.assertEqual(self.digest("run", "config.json"), before)

    def test_a_new_end_is_kept_for_whoever_resumes_next(self):
        """It was in no file, so a run that was stopped on its way there was done when it was resumed."""
        data = self.data()
        self.train(data, "run", "--config", self.config(steps=5))
        shutil.copytree(self.path("run"), self.path("killed"))
        self.train(data, "run", "--resume", "--steps", 12)
        with open(self.path("run", "config.json")) as f:
            kept = json.load(f)
        self.assertEqual((kept["steps"], "continued" in kept), (12, False))
        shutil.copy(self.path("run", "config.json"), self.path("killed", "config.json"))
        self.train(data, "killed", "--resume")
        self.assertEqual(self.digests("killed"), self.digests("run"))
        self.train(data, "decays", "--config", self.config(steps=5, decay="linear"))
        before = self.digest("decays", "config.json")
        self.refused(self.train(data, "decays", "--resume", "--steps", 9, ok=False), "--steps: ", "--continue-with")
        self.assertEqual(self.digest("decays", "config.json"), before)

    def test_changes_on_the_way_and_a_kill_before_the_first_save(self):
        data = self.data()
        self.train(data, "a", "--config", self.config(steps=20))
        changes = self.write("end.json", b'{"steps": 32, "decay": "cosine", "decay_steps": 12, "ema": 0.8}')
        shutil.copytree(self.path("a"), self.path("b"))
        self.refused(self.train(data, "a", "--continue-with", changes, ok=False), "--resume")
        self.train(data, "a", "--resume", "--continue-with", changes)
        # killed after the changed configuration was written and before any step was saved
        shutil.copy(self.path("a", "config.json"), self.path("b", "config.json"))
        self.train(data, "b", "--resume")
        self.assertEqual(self.digests("a"), self.digests("b"))
        with open(self.path("a", "config.json")) as f:
            continued = json.load(f)["continued"]
        self.assertEqual([c["step"] for c in continued], [20])
        self.assertEqual(continued[0]["changes"]["decay"], "cosine")
        with open(self.path("a", "log.csv")) as f:
            rates = [float(line.split(",")[3]) for line in f.read().splitlines()[1:]]
        self.assertEqual(rates[3], 1e-3)
        self.assertLess(rates[-1], 3e-4)
        bad = self.write("bad.json", b'{"batch": 4}')
        self.refused(self.train(data, "a", "--resume", "--continue-with", bad, ok=False), "batch")


class Numbers(Case):
    def test_nan_never_overwrites_ultralytics_24986(self):
        data = self.data()
        self.train(data, "run", "--config", self.config(steps=4, save_every=2))
        good = self.digests("run")
        bad = self.config(learning_rate=1e30, warmup=0, steps=50, save_every=1)
        done = self.train(data, "wild", "--config", bad, ok=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("not finite", done.stderr)
        for name in ("state.safetensors", "model.safetensors"):
            if os.path.exists(self.path("wild", name)):
                with open(self.path("wild", name), "rb") as f:
                    size = struct.unpack("<Q", f.read(8))[0]
                    f.seek(8 + size)
                    values = f.read()
                numbers = struct.unpack("<%df" % (len(values) // 4), values)
                self.assertTrue(all(abs(v) < 3.5e38 for v in numbers))
        self.assertEqual(good, self.digests("run"))

    def test_damaged_state_is_not_resumed_from(self):
        data = self.data()
        self.train(data, "run", "--config", self.config(steps=3))
        path = self.path("run", "state.safetensors")
        with open(path, "r+b") as f:
            size = struct.unpack("<Q", f.read(8))[0]
            header = json.loads(f.read(size))
            f.seek(8 + size + 400)
            f.write(struct.pack("<f", float("nan")))
        for says in "is damaged", "not finite":
            before = self.digest("run", "state.safetensors")
            done = self.train(data, "run", "--resume", "--steps", 9, ok=False)
            self.assertEqual((done.returncode > 0, says in done.stderr), (True, True), done.stderr)
            self.assertEqual(before, self.digest("run", "state.safetensors"))
            header["__metadata__"].pop("data_digest", None)  # then the values themselves are looked at
            with open(path, "r+b") as f:
                f.write(struct.pack("<Q", size) + json.dumps(header, separators=(",", ":")).encode().ljust(size))

    def test_disk_full_dddd_trainer_36(self):
        data = self.data()
        self.train(data, "run", "--config", self.config(steps=3))
        before = self.digests("run")

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

        done = self.train(data, "run", "--resume", "--steps", 9, ok=False, preexec_fn=small_files)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(before, self.digests("run"))
        self.assertEqual([n for n in os.listdir(self.path("run")) if n.endswith(".tmp")], [])

    def test_equal_and_black_images_pggan_1(self):
        images = [picture(1)] * 8 + [[bytes(8)] * 8]
        data = self.write("equal.npy", npy(images))
        done = self.train(data, "run", "--config", self.config(steps=10, log_every=1), "--json")
        losses = [json.loads(line).get("loss") for line in done.stdout.splitlines()
                  if '"event":"step"' in line]
        self.assertEqual(len(losses), 10)
        self.assertTrue(all(isinstance(v, float) and v == v and v < 1e9 for v in losses))

    def test_tails_that_no_run_settles_with(self):
        """Of pictures the loss of a denoiser has a mean for D above 2 and a variance for D above 4."""
        data = self.data()
        for d, word in ((1, "no finite mean"), (3, "no finite variance"), (5, None)):
            config = self.config(objective="pfgmpp", D=d, steps=0)
            done = self.train(data, "run%d" % d, "--config", config)
            self.assertEqual(word is not None, "D = %d: " % d in done.stderr)
            self.assertIn(word or "", done.stderr)

    def test_fewer_images_than_the_batch_tabnet_537(self):
        digests = set()
        for count in (1, 3):
            data = self.data(count)
            done = self.train(data, "run%d" % count, "--config", self.config(batch=128, steps=2))
            self.assertIn("%d images for batches of 128" % count, done.stderr)
            digests.add(self.digests("run%d" % count))
            start = self.train(data, "start%d" % count, "--config",
                               self.config(batch=128, steps=0))
            self.assertEqual(start.returncode, 0)
            self.assertNotEqual(self.digests("run%d" % count), self.digests("start%d" % count))
        os.makedirs(self.path("none"))
        self.refused(self.train(self.path("none"), "run0", ok=False), "no usable images")


class Pictures(Case):
    def run_folder(self, *more, ok=True):
        config = self.config(steps=1)
        return self.train(self.path("set"), "run", "--config", config, "--json", *more, ok=ok)

    def begin(self, done):
        return json.loads(done.stdout.splitlines()[0])

    def test_png_idx_and_npy_are_the_same_set(self):
        images = [picture(i) for i in range(12)]
        for i, rows in enumerate(images):
            self.write("set/%02d.png" % i, png(8, 8, rows))
        pixels = b"".join(b"".join(r) for r in images)
        idx = self.write("some-idx3-ubyte", struct.pack(">IIII", 0x803, 12, 8, 8) + pixels)
        data = self.write("data.npy", npy(images))
        config = self.config(steps=3)
        for name, source in (("a", self.path("set")), ("b", idx), ("c", data)):
            self.train(source, name, "--config", config)
        self.assertEqual(self.digest("a", "state.safetensors"), self.digest("b", "state.safetensors"))
        self.assertEqual(self.digest("a", "state.safetensors"), self.digest("c", "state.safetensors"))

    def test_odd_files_in_folder_project_kestrel_58(self):
        for i in range(7):
            self.write("set/%d.png" % i, png(8, 8, picture(i)))
        self.write("set/A.PNG", png(8, 8, picture(7)))
        self.write("set/._1.png", b"\0\x05\x16\x07" + bytes(4092))
        self.write("set/.DS_Store", b"x")
        self.write("set/Thumbs.db", b"x")
        self.write("set/x.png", b"")
        os.makedirs(self.path("set", "d.png"))
        os.symlink("/nonexistent/file", self.path("set", "dangling.png"))
        done = self.run_folder()
        self.assertEqual(self.begin(done)["images"], 8)
        self.assertEqual(self.begin(done)["skipped"], 3)
        for name in ("x.png", "d.png", "dangling.png"):
            self.assertIn(name, done.stderr)
        self.assertNotIn("._1.png", done.stderr)
        self.refused(self.train(self.path("set"), "strict", "--strict", ok=False), "d.png")

    def test_wrong_content_imagenet_multigpu_43(self):
        self.write("set/0.png", png(8, 8, picture(0)))
        self.write("set/1.png", b"\xff\xd8\xff\xe0" + bytes(100))
        self.write("set/2.png", b"RIFF" + bytes(100))
        self.write("set/3.png", b"GIF89a" + bytes(100))
        done = self.run_folder()
        self.assertEqual(self.begin(done)["skipped"], 3)
        for words in (("1.png", "JPEG"), ("2.png", "WebP"), ("3.png", "GIF")):
            self.assertTrue(any(all(w in line for w in words)
                                for line in done.stderr.splitlines()), words)

    def test_channels_mixed_denoising_diffusion_55(self):
        grey = picture(0)
        self.write("set/grey8.png", png(8, 8, grey))
        self.write("set/grey1.png", png(8, 8, [b"\xaa"] * 8, depth=1))
        self.write("set/grey16.png", png(8, 8, [bytes(16)] * 8, depth=16))
        self.write("set/greyalpha.png", png(8, 8, [bytes(16)] * 8, colour=4))
        self.write("set/rgb.png", png(8, 8, [bytes(range(24))] * 8, colour=2))
        self.write("set/rgba.png", png(8, 8, [bytes(range(32))] * 8, colour=6))
        self.write("set/palette.png", png(8, 8, [bytes(8)] * 8, colour=3,
                                          before=[(b"PLTE", b"\x10\x20\x30")]))
        self.write("set/trns.png", png(8, 8, [bytes(8)] * 8, colour=3,
                                       before=[(b"PLTE", b"\x10\x20\x30"), (b"tRNS", b"\x80")]))
        done = self.run_folder()
        self.assertEqual(self.begin(done)["images"], 8)
        with open(self.path("run", "config.json")) as f:
            self.assertEqual(json.load(f)["network"]["channels"], 3)
        self.write("set/zz.png", png(7, 8, [bytes(7)] * 8))
        done = self.train(self.path("set"), "mixed", "--config", self.config(steps=1), "--strict",
                          ok=False)
        self.refused(done, "zz.png", "7×8")

    def test_declared_size_image_png_692(self):
        header = struct.pack(">IIBBBBB", 8000000, 4294967295, 8, 0, 0, 0, 0)
        self.write("set/bomb.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)[:33])
        header = struct.pack(">IIBBBBB", 100000, 100000, 8, 0, 0, 0, 0)
        self.write("set/large.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                   chunk(b"IEND", b""))
        self.write("set/text.png", png(8, 8, picture(3), before=[
            (b"zTXt", b"k\0\0" + zlib.compress(bytes(100 << 20)))]))
        self.write("set/ok.png", png(8, 8, picture(1)))

        def little_memory():
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

        with open(PFGM, "rb") as f:
            sanitized = b"__asan_init" in f.read()  # whose shadow memory is vast
        options = {} if sanitized else {"preexec_fn": little_memory}
        done = self.train(self.path("set"), "run", "--config", self.config(steps=1), "--json",
                          "--threads", 1, **options)
        self.assertIn("bomb.png", done.stderr)
        self.assertIn("large.png", done.stderr)
        self.assertGreaterEqual(self.begin(done)["images"], 1)

    def test_gamma_chunks_change_nothing_mypaint_129(self):
        rows = [b"\xbb\xdd\xaa" * 8] * 8
        states = set()
        gamma = [(), [(b"gAMA", struct.pack(">I", 45455))],
                 [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 22727))]]
        for i, before in enumerate(gamma):
            self.write("set%d/a.png" % i, png(8, 8, rows, colour=2, before=before))
            self.train(self.path("set%d" % i), "run%d" % i, "--config", self.config(steps=1))
            states.add(self.digest("run%d" % i, "state.safetensors"))
        self.assertEqual(len(states), 1)

    def test_palette_alpha_gamma_glfs_332(self):
        palette = bytes(range(256)) + bytes(512)
        self.write("set/a.png", png(8, 8, [bytes(range(8 * i, 8 * i + 8)) for i in range(8)],
                                    colour=3, before=[(b"gAMA", struct.pack(">I", 45455)),
                                                      (b"PLTE", palette),
                                                      (b"tRNS", bytes(range(1, 255)))]))
        self.assertEqual(self.begin(self.run_folder())["images"], 1)

    def test_damaged_pictures_are_named(self):
        good = png(8, 8, picture(2))
        self.write("set/0.png", good)
        for i, cut in enumerate((20, 40, 50, len(good) - 14)):
            self.write("set/cut%d.png" % i, good[:cut])
        spoiled = bytearray(good)
        spoiled[45] ^= 0xff
        self.write("set/spoiled.png", bytes(spoiled))
        done = self.run_folder()
        self.assertEqual(self.begin(done)["images"], 1)
        for name in ("cut0.png", "cut1.png", "cut2.png", "cut3.png", "spoiled.png"):
            self.assertIn(name, done.stderr)

    def test_an_index_beyond_the_palette_is_no_black(self):
        self.write("set/0.png", png(8, 8, picture(2)))
        self.write("set/1.png", png(8, 8, [bytes(8)] * 7 + [bytes(7) + b"\2"], colour=3,
                                    before=[(b"PLTE", bytes(6))]))
        done = self.run_folder()
        self.assertEqual(self.begin(done)["images"], 1)
        self.assertIn("1.png: is a damaged PNG file: colour 2 at column 7, row 7", done.stderr)
        self.refused(self.train(self.path("set"), "strict", "--config", self.config(steps=1), "--strict", ok=False),
                     "1.png", "colour 2")

    def test_crop_resize_and_classes(self):
        for i in range(6):
            side = 20 + 2 * i
            rows = [bytes((x * y) % 256 for x in range(side + 3)) for y in range(side)]
            self.write("set/%s/%d.png" % ("cat" if i % 2 else "dog", i), png(side + 3, side, rows))
        config = self.config(steps=2, conditional=True, sheet_every=2)
        done = self.train(self.path("set"), "run", "--config", config, "--json", "--center-crop", 20,
                          "--resize", 8, "--export-dtype", "bf16")
        self.assertEqual(self.begin(done)["images"], 6)
        self.assertEqual(self.begin(done)["classes"], 2)
        self.assertTrue(os.path.exists(self.path("run", "samples", "step-00000002.png")))
        with open(self.path("run", "model.safetensors"), "rb") as f:
            size = struct.unpack("<Q", f.read(8))[0]
            header = json.loads(f.read(size))
        self.assertEqual(json.loads(header["__metadata__"]["pfgm"])["labels"], ["cat", "dog"])
        self.assertEqual(header["label_embedding.weight"]["shape"], [2, 32])
        self.assertEqual(header["label_embedding.weight"]["dtype"], "BF16")

    def test_labels_that_nobody_reads_are_refused(self):
        data = self.data()
        self.refused(self.train(data, "run", "--labels", data, ok=False), "data.npy", "IDX")
        self.write("set/a/1.png", png(8, 8, picture(1)))
        self.refused(self.train(self.path("set"), "run", "--labels", data, ok=False), "data.npy", "IDX")

    def test_a_kernel_of_the_environment_is_heeded_or_refused(self):
        done = self.train(self.data(), "run", "--config", self.config(), ok=False, env={**os.environ, "PFGM_KERNEL": "fast"})
        self.refused(done, "PFGM_KERNEL", '"fast"')

    def test_unknown_key_is_refused(self):
        data = self.data()
        self.refused(self.train(data, "run", "--config", self.config(learning_rat=1), ok=False),
                     "learning_rat")
        self.refused(self.train(data, "run", "--config", self.config(batch=0), ok=False), "batch")
        self.refused(self.train(data, "run", "--config", self.config(conditional=True), ok=False),
                     "conditional", "labels")


if __name__ == "__main__":
    unittest.main()
