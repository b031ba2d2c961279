"""What a trained network recovers: two sets of the plane are learned by `pfgm train` and sampled by `pfgm
sample`; the samples' energy distance to held-out points is at most 1.5 times that of other held-out points.

PFGM is the binary, SPLITS the program that measures. Standard library only."""

import json
import math
import os
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

PFGM = os.environ["PFGM"]
SPLITS = os.environ["SPLITS"]
at_night = unittest.skipUnless(os.environ.get("GOLDEN_NIGHT"), "takes too long for each run: tests/nightly.sh golden")

CONFIG = {"network": {"width": 64, "depth": 3}, "batch": 128, "large_batch": 256, "steps": 4000,
          "learning_rate": 3e-3, "warmup": 100, "decay": "cosine", "decay_steps": 3700, "ema": 0.99,
          "log_every": 500, "save_every": 10000, "sheet_every": 0}
LEARNED, HELD_OUT, SAMPLES, MOST = 40000, 40000, 20000, 1.5


def two_moons(rng):
    angle = math.pi * rng.random()
    x, y = math.cos(angle), math.sin(angle)
    if rng.random() < 0.5:
        x, y = 1 - x, 0.5 - y
    return x + rng.gauss(0, 0.05), y + rng.gauss(0, 0.05)


def ring_with_centre(rng):
    if rng.random() < 0.25:
        return rng.gauss(0, 0.1), rng.gauss(0, 0.1)
    angle = 2 * math.pi * rng.random()
    return math.cos(angle) + rng.gauss(0, 0.05), math.sin(angle) + rng.gauss(0, 0.05)


def npy(points):
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 2), }" % len(points)
    text += " " * (-(11 + len(text)) % 64) + "\n"
    values = [v for p in points for v in p]
    return (b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() +
            struct.pack("<%df" % len(values), *values))


class Plane(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pfgm-plane-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def run_tool(self, *words):
        done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def recover(self, name, draw, **changes):
        rng = random.Random(name)
        data = self.write("learned.npy", npy([draw(rng) for _ in range(LEARNED)]))
        held_out = self.write("held-out.npy", npy([draw(rng) for _ in range(HELD_OUT)]))
        shutil.rmtree(self.path("run"), True)
        config = self.write("config.json", json.dumps(dict(CONFIG, **changes)).encode())
        run, samples = self.path("run"), self.path("samples.npy")
        self.run_tool(PFGM, "train", "--data", data, "-o", run, "--config", config)
        self.run_tool(PFGM, "sample", os.path.join(run, "model.safetensors"), "-n", SAMPLES,
                      "--seed", 1, "-o", samples, "--dtype", "float32")
        found = json.loads(self.run_tool(SPLITS, samples, held_out))
        ratio = found["model"] / found["data"]
        print("%s: energy distance of samples to data %.3g, of data to data %.3g, ratio %.2f" % (
            name, found["model"], found["data"], ratio))
        return ratio

    def test_two_moons_are_recovered(self):
        self.assertLessEqual(self.recover("two moons", two_moons), MOST)

    @at_night
    def test_a_ring_with_a_centre_is_recovered(self):
        self.assertLessEqual(self.recover("ring with a centre", ring_with_centre, steps=3000, decay_steps=2800), MOST)

    @at_night
    def test_a_denoiser_recovers_two_moons_and_its_likelihood_is_a_density(self):
        self.assertLessEqual(self.recover("two moons", two_moons, objective="pfgmpp", D=8,
                                          steps=3500, decay_steps=3300), MOST)
        step = 0.1
        grid = [(step * i - 2, step * k - 1.7) for i in range(51) for k in range(40)]
        found = json.loads(self.run_tool(
            PFGM, "likelihood", self.path("run/model.safetensors"), "--input",
            self.write("grid.npy", npy(grid)), "--exact-trace", "--json"))
        whole = sum(math.exp(v["log_likelihood"]) for v in found["images"]) * step * step
        print("likelihood of a denoiser: integrates to %.4f" % whole)
        self.assertLess(abs(whole - 1), 0.01)

    def test_a_set_that_is_not_learned_is_told_apart(self):
        self.assertGreater(self.recover("two moons", two_moons, steps=50, decay="none"), 2 * MOST)


if __name__ == "__main__":
    unittest.main(verbosity=2)
