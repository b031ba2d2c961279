"""`pfgm distill`: a student comes near its teacher's ends, a run that is killed ends in the same bytes, and
what a student has not learned is refused.

PFGM is the binary. Standard library only."""

import json
import math
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from safetensors_file import build, split  # noqa: E402
from sanitized import SANITIZED  # noqa: E402

PFGM = os.environ["PFGM"]

PICTURES = {"network": {"nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [4]},
            "objective": "pfgmpp", "D": 1, "batch": 8, "steps": 20, "warmup": 5, "learning_rate": 1e-3,
            "ema": 0.9, "log_every": 5, "save_every": 10, "sheet_every": 0}
STUDENT = {"batch": 8, "steps": 40, "warmup": 5, "learning_rate": 1e-3, "ema": 0.9, "log_every": 5,
           "save_every": 10, "sheet_every": 0, "intervals": 4, "intervals_last": 16}
PLANE = {"network": {"width": 64, "depth": 3}, "objective": "pfgmpp", "D": 8, "batch": 128, "steps": 1000,
         "learning_rate": 3e-3, "warmup": 100, "decay": "cosine", "decay_steps": 800, "ema": 0.99,
         "log_every": 500, "save_every": 10000, "sheet_every": 0}
PLANE_STUDENT = {"batch": 128, "steps": 500, "warmup": 50, "learning_rate": 2e-3, "ema": 0.98,
                 "decay": "cosine", "decay_steps": 300, "log_every": 100, "save_every": 10000,
                 "sheet_every": 500}


def array(kind, shape, data):
    text = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (
        kind, "".join("%d, " % n for n in shape))
    text += " " * (-(11 + len(text)) % 64) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() + data


def two_moons(rng):
    angle = math.pi * rng.random()
    x, y = math.cos(angle), math.sin(angle)
    if rng.random() < 0.5:
        x, y = 1 - x, 0.5 - y
    return x + rng.gauss(0, 0.05), y + rng.gauss(0, 0.05)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="pfgm-distill-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)

    @classmethod
    def path(cls, *names):
        return os.path.join(cls.folder, *names)

    @classmethod
    def write(cls, name, data):
        with open(cls.path(name), "wb") as f:
            f.write(data)
        return cls.path(name)

    @classmethod
    def run_tool(cls, *words, ok=True):
        done = subprocess.run([PFGM] + [str(w) for w in words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=800)
        if ok and done.returncode != 0:
            raise AssertionError(done.stderr)
        return done

    @classmethod
    def config(cls, base, **changes):
        return cls.write("config.json", json.dumps(dict(base, **changes)).encode())

    def refused(self, done, *words):
        self.assertEqual(done.returncode, 2, done.stderr)
        line = done.stderr.strip().splitlines()[-1]
        for word in words:
            self.assertIn(word, line)

    def bytes_of(self, *names):
        with open(self.path(*names), "rb") as f:
            return f.read()


class Pictures(Case):
    """A small teacher with two classes, and students of a few steps."""

    @classmethod
    def pictures(cls, name, seed, labels, without=0):
        rng = random.Random(seed)
        with zipfile.ZipFile(cls.path(name), "w") as z:
            z.writestr("images.npy", array("|u1", (24, 8, 8), rng.randbytes(24 * 64)))
            if labels:
                told = [i % labels for i in range(24 - without)] + [-1] * without
                z.writestr("labels.npy", array("<i4", (24,), struct.pack("<24i", *told)))
        return cls.path(name)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.pictures("data.npz", 1, 2)
        cls.run_tool("train", "--data", cls.data, "-o", cls.path("teacher"), "--config", cls.config(PICTURES))
        cls.teacher = cls.path("teacher", "model.safetensors")

    def command(self, run, *more, teacher=None, data=None):
        return ["distill", teacher or self.teacher, "--data", data or self.data, "-o", self.path(run)] + list(more)

    def distill(self, run, *more, ok=True, **which):
        return self.run_tool(*self.command(run, *more, **which), ok=ok)

    def ends(self, run):
        return [self.bytes_of(run, name) for name in sorted(os.listdir(self.path(run))) if name.endswith(".safetensors")]

    def test_three_kills_give_the_same_bytes(self):
        """A run waits for whoever reads its lines, so it comes no further than one page of them beyond the line that is
        waited for, some 25, however quick it is."""
        config = self.config(STUDENT, steps=120, save_every=7, log_every=1, shift=1, ema_others=[0.5])
        self.distill("whole", "--config", config, "--steps", "2")
        rng = random.Random(3)
        for kill in range(3):
            more = ["--resume"] if kill else ["--config", config, "--steps", "2"]
            process = subprocess.Popen([PFGM] + self.command("killed", "--json", *more), stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, bufsize=0, pipesize=4096)
            lines = rng.randrange(3, 10)
            for line in process.stdout:
                lines -= b'"event":"step"' in line
                if lines <= 0 and os.path.exists(self.path("killed", "state.safetensors")):
                    break
            time.sleep(rng.random() * 0.02)
            process.kill()
            self.assertEqual(process.wait(), -signal.SIGKILL, "the run ended before it was killed")
            process.stdout.close()
        self.distill("killed", "--resume")
        self.assertEqual(self.ends("killed"), self.ends("whole"))

    def test_threads_change_nothing(self):
        config = self.config(STUDENT)
        for threads in "12":
            self.distill("threads" + threads, "--config", config, "--threads", threads)
        self.assertEqual(self.ends("threads1"), self.ends("threads2"))

    def test_moved_pictures_and_further_averages(self):
        """Each average that a run keeps beside its own is that of a run with its rate; moved pictures give other bytes."""
        changes = {"steps": 20, "shift": 2}
        self.distill("moved", "--config", self.config(STUDENT, ema_others=[0.5], **changes))
        self.distill("rate", "--config", self.config(STUDENT, **dict(changes, ema=0.5)))
        self.assertEqual(self.bytes_of("moved", "model-ema-0.5.safetensors"), self.bytes_of("rate", "model.safetensors"))
        self.distill("still", "--config", self.config(STUDENT, steps=20))
        self.assertNotEqual(self.bytes_of("moved", "model.safetensors"), self.bytes_of("still", "model.safetensors"))

    def test_a_run_that_is_stopped_says_how_to_continue(self):
        process = subprocess.Popen(
            [PFGM] + self.command("stopped", "--config", self.config(STUDENT), "--train-steps", "1000000"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 0, error)
        self.assertIn("pfgm distill %s --data %s -o %s --resume --train-steps 1000000\n" %
                      (self.teacher, self.data, self.path("stopped")), out)

    def test_a_student_says_what_it_is_and_goes_its_own_steps_alone(self):
        for steps in "124":
            self.distill("own" + steps, "--config", self.config(STUDENT, steps=3, sheet_every=3), "--steps", steps)
            model = self.path("own" + steps, "model.safetensors")
            described = json.loads(self.run_tool("inspect", model, "--json").stdout)["description"]
            self.assertEqual(len(described["teacher_sha256"]), 64)
            [own] = described["tuned"]
            self.assertEqual((own["method"], len(own["nodes"])), ("euler", int(steps) + 1))
            self.assertEqual(own["nodes"][0], described["sigma_max"])
            self.assertEqual(described["labels"], ["0", "1"])
            usual, named = self.path("usual.npy"), self.path("named.npy")
            sample = ["sample", model, "-n", "3", "--seed", "5", "--dtype", "float32", "-o"]
            self.assertIn("nfe mean %s.00" % steps, self.run_tool(*sample, usual).stdout)
            self.run_tool(*sample, named, "--solver", "euler", "--steps", steps, "--schedule", "tuned")
            self.assertEqual(self.bytes_of("usual.npy"), self.bytes_of("named.npy"))
            self.run_tool(*sample, named, "--schedule", "tuned")
            self.assertEqual(self.bytes_of("usual.npy"), self.bytes_of("named.npy"))
        for at, more in (("--steps", ["--steps", "3"]), ("--solver", ["--solver", "heun"]),
                         ("--schedule", ["--schedule", "log"]), ("--t-max", ["--t-max", "10"]),
                         ("--t-min", ["--t-min", "0.1"]), ("--churn", ["--churn", "1"]),
                         ("--guidance", ["--guidance", "2"]), ("--solver", ["--rtol", "1e-3"])):
            self.refused(self.run_tool("sample", model, "-o", self.path("no.png"), *more, ok=False),
                         "sample: %s: is not what this model has learned" % at, "4 steps")
        picture = self.path("a.png")
        self.run_tool("sample", model, "-n", "1", "-o", picture)
        for words in (["encode", model, "-i", picture, "-o", self.path("no.npy")],
                      ["likelihood", model, "-i", picture, "--probes", "1"],
                      ["tune", model, "--nfe", "5", "-o", self.path("no.safetensors")],
                      ["interpolate", model, "--between", picture, picture, "-o", self.path("no.png")]):
            self.refused(self.run_tool(*words, ok=False), "distilled")
        done = self.run_tool("eval", model, "--data", self.data, "-n", "4", "--json")
        self.assertIn("no loss: a student", done.stderr)
        self.assertIsNone(json.loads(done.stdout)["loss"])
        self.run_tool("interpolate", model, "--seeds", "1,2", "--class", "0", "--steps", "3",
                      "-o", self.path("between.png"))

    def test_names_that_the_teacher_was_given_for_numbers_are_the_students(self):
        self.run_tool("train", "--data", self.data, "-o", self.path("named"), "--config",
                      self.config(PICTURES, steps=1, labels=["cat", "dog"]))
        self.distill("named-student", "--config", self.config(STUDENT, steps=1),
                     teacher=self.path("named", "model.safetensors"))
        described = json.loads(self.run_tool(
            "inspect", self.path("named-student", "model.safetensors"), "--json").stdout)["description"]
        self.assertEqual(described["labels"], ["cat", "dog"])
        self.distill("named-student", "--resume", teacher=self.path("named", "model.safetensors"))

    def test_a_teacher_of_its_classes_alone_is_not_asked_for_none(self):
        teacher = self.path("classes", "model.safetensors")
        self.run_tool("train", "--data", self.data, "-o", self.path("classes"), "--config",
                      self.config(PICTURES, steps=1, label_dropout=0))
        self.refused(self.distill("classes-no", "--config", self.config(STUDENT, steps=1, label_dropout=0.1), teacher=teacher,
                                  ok=False), "label_dropout")
        self.distill("classes-student", "--config", self.config(STUDENT, steps=1), teacher=teacher)
        described = json.loads(self.run_tool(
            "inspect", self.path("classes-student", "model.safetensors"), "--json").stdout)["description"]
        self.assertIs(described["null_class"], False)

    def test_a_teacher_of_its_classes_alone_is_given_no_pictures_without(self):
        """It was asked for what it has not learned."""
        some = self.pictures("some.npz", 1, 2, without=3)
        self.distill("some-taught", "--config", self.config(STUDENT, steps=1), data=some)
        self.run_tool("train", "--data", self.data, "-o", self.path("alone"), "--config",
                      self.config(PICTURES, steps=1, label_dropout=0))
        self.refused(self.distill("some-student", "--config", self.config(STUDENT, steps=1), data=some, ok=False,
                                  teacher=self.path("alone", "model.safetensors")),
                     "pictures without a class", "label_dropout")
        self.assertFalse(os.path.exists(self.path("some-student")))

    def test_a_teacher_is_tuned_for_two_evaluations(self):
        """The search ended with an error: its default has no fewer than two steps to compare with."""
        out = self.path("tuned.safetensors")
        self.run_tool("tune", self.teacher, "--nfe", "2,3", "--starts", "2", "--rounds", "0", "-o", out)
        described = json.loads(self.run_tool("inspect", out, "--json").stdout)["description"]
        self.assertEqual([len(way["nodes"]) for way in described["tuned"]], [2, 3])

    def test_a_number_of_dimensions_that_is_not_the_teachers_is_refused(self):
        self.refused(self.distill("other-d", "--config", self.config(STUDENT, D=128), ok=False), '"D"', "teacher")

    def test_a_damaged_description_of_a_student_is_refused(self):
        self.distill("sound", "--config", self.config(STUDENT, steps=1))
        header, data = split(self.bytes_of("sound", "model.safetensors"))

        def inspect(**changes):
            described = dict(json.loads(header["__metadata__"]["pfgm"]), **changes)
            described = {key: value for key, value in described.items() if value is not None}
            metadata = dict(header["__metadata__"], pfgm=json.dumps(described))
            path = self.write("damaged.safetensors", build(dict(header, __metadata__=metadata), data))
            return self.run_tool("inspect", path, ok=False)
        self.assertEqual(inspect().returncode, 0)
        [own] = json.loads(header["__metadata__"]["pfgm"])["tuned"]
        for changes in ({"teacher_sha256": "x"}, {"teacher_sha256": 5}, {"teacher_sha256": "f" * 65}, {"tuned": None},
                        {"tuned": [dict(own, method="heun")]}, {"tuned": [dict(own, nodes=[1.0, own["nodes"][-1]])]}):
            self.refused(inspect(**changes), "teacher_sha256")

    def test_what_cannot_be_distilled_is_refused(self):
        tiny = self.config(STUDENT, steps=2)
        self.distill("student", "--config", tiny)
        self.refused(self.distill("no", teacher=self.path("student", "model.safetensors"), ok=False), "a student itself")
        pfgm = dict(PICTURES, objective="pfgm", steps=1)
        del pfgm["D"]
        self.run_tool("train", "--data", self.data, "-o", self.path("pfgm"), "--config", self.config(pfgm))
        self.refused(self.distill("no", teacher=self.path("pfgm", "model.safetensors"), ok=False), "family pfgm:", "pfgmpp")
        for word in ("3", "5", "0", "x"):
            self.refused(self.distill("no", "--steps", word, ok=False), "--steps")
        for change, said in (({"t_max": 10}, "t_max"), ({"D": 64}, '"D"'), ({"network": {"nf": 16}}, "nf"),
                             ({"conditional": False}, "conditional"), ({"labels": ["x", "y"]}, "labels"),
                             ({"student_steps": 3}, "student_steps"), ({"intervals": 100}, "intervals_last"),
                             ({"teacher_sha256": "0" * 64}, "teacher_sha256"), ({"target_ema": 2}, "target_ema")):
            self.refused(self.distill("no", "--config", self.config(STUDENT, **change), ok=False), said)
        self.refused(self.distill("no", data=self.pictures("three.npz", 2, 3), ok=False), "2 classes", "3")
        self.refused(self.distill("no", data=self.pictures("none.npz", 2, 0), ok=False), "class")
        self.assertFalse(os.path.exists(self.path("no")))

    def test_a_run_goes_on_with_its_own_teacher_and_subcommand(self):
        config = self.config(STUDENT, steps=4)
        self.distill("run", "--config", config, "--steps", "2")
        self.run_tool("train", "--data", self.data, "-o", self.path("other"), "--config",
                      self.config(PICTURES, steps=1, seed=2))
        self.refused(self.distill("run", "--resume", teacher=self.path("other", "model.safetensors"), ok=False),
                     "another teacher")
        self.refused(self.distill("run", "--resume", "--steps", "4", ok=False), "--steps", "2")
        self.refused(self.run_tool("train", "--data", self.data, "-o", self.path("run"), "--resume", ok=False),
                     "pfgm distill MODEL")
        self.refused(self.distill("other", "--resume", ok=False), "pfgm train")
        before = self.ends("run")
        self.distill("run", "--resume", "--steps", "2")
        self.assertEqual(self.ends("run"), before)


@unittest.skipIf(SANITIZED, "trains for a while; the same code runs in shorter tests")
class Plane(Case):
    def ends(self, model, *solver):
        path = self.path("ends.npy")
        self.run_tool("sample", model, "-n", "500", "--seed", "1", "--dtype", "float32", "-o", path, *solver)
        data = self.bytes_of("ends.npy")[-500 * 8:]
        return struct.unpack("<1000f", data)

    def test_a_student_comes_near_its_teachers_ends(self):
        """Same seeds, same starts: where a student of 500 steps ends, one of none does not."""
        rng = random.Random("distilled")
        points = [v for _ in range(20000) for v in two_moons(rng)]
        data = self.write("moons.npy", array("<f4", (20000, 2), struct.pack("<40000f", *points)))
        teacher = self.path("teacher", "model.safetensors")
        self.run_tool("train", "--data", data, "-o", self.path("teacher"), "--config", self.config(PLANE))
        right = self.ends(teacher, "--solver", "rk45", "--rtol", "1e-5", "--atol", "1e-5")

        def distance(name, steps, updates):
            self.run_tool("distill", teacher, "--data", data, "-o", self.path(name), "--steps", steps, "--config",
                          self.config(PLANE_STUDENT), "--train-steps", updates)
            there = self.ends(self.path(name, "model.safetensors"))
            return math.sqrt(sum((a - b) ** 2 for a, b in zip(there, right)) / 500)
        for steps, bound in ((1, 4), (4, 4)):
            untaught, taught = distance("none%d" % steps, steps, 0), distance("some%d" % steps, steps, 500)
            print("%d steps: %.4f from the teacher's ends, %.4f untaught" % (steps, taught, untaught))
            self.assertLess(taught * bound, untaught)


if __name__ == "__main__":
    unittest.main(verbosity=2)
