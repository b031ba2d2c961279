"""`pfgm train` on vectors: coordinates of their own, objectives for few dimensions, numbers that are kept as they are.

PFGM is the binary. Standard library only."""

import json
import os
import random
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_train import PFGM, Case, npy_vectors  # noqa: E402


class Vectors(Case):
    CONFIG = {"network": {"width": 16, "depth": 1}, "batch": 16, "large_batch": 32, "steps": 30,
              "warmup": 5, "ema": 0.9, "log_every": 10, "save_every": 10, "sheet_every": 30}

    def test_vectors_keep_their_coordinates_and_are_no_pictures(self):
        rng = random.Random(2)
        rows = [[500 + rng.gauss(0, 2), rng.gauss(0, 2), -70 + rng.gauss(0, 2)] for _ in range(60)]
        rows[7][1] = float("nan")
        data = self.write("points.npy", npy_vectors(rows))
        config = self.write("config.json", json.dumps(self.CONFIG).encode())
        done = self.train(data, "run", "--config", config)
        self.assertIn("vector 7", done.stderr)
        self.assertNotIn("subtract the mean", done.stderr)
        self.assertTrue(os.path.exists(self.path("run", "samples", "step-00000030.npy")))
        self.refused(self.train(data, "strict", "--strict", "--config", config, ok=False), "vector 7")
        self.refused(self.train(data, "crop", "--resize", 4, ok=False), "vectors")
        model = self.path("run", "model.safetensors")

        def sample(*more):
            return subprocess.run([PFGM, "sample", model, "-n", "40", "--seed", "3", *more],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        out = self.path("s.npy")
        self.assertEqual(sample("-o", out, "--dtype", "float32").returncode, 0)
        with open(out, "rb") as f:
            text = f.read()
        self.assertIn(b"'descr': '<f4'", text)
        self.assertIn(b"(40, 3)", text)
        values = struct.unpack("<120f", text[-480:])
        middle = sorted(values[0::3])[20], sorted(values[1::3])[20], sorted(values[2::3])[20]
        for got, right in zip(middle, (500, 0, -70)):
            self.assertAlmostEqual(got, right, delta=6)
        for other in ("s.png", "s.npz", "s/"):
            self.refused(sample("-o", self.path("") + other), "vectors")

    def test_narrow_numbers_do_not_move_the_data(self):
        rng = random.Random(4)
        rows = [[2001 + rng.gauss(0, 0.01), rng.gauss(0, 0.01)] for _ in range(60)]
        data = self.write("points.npy", npy_vectors(rows))
        config = self.write("config.json", json.dumps(dict(self.CONFIG, steps=1)).encode())
        kept = []
        for dtype in ("f32", "bf16", "f16"):
            done = self.train(data, dtype, "--config", config, "--export-dtype", dtype)
            self.assertIn("points.npy: float32 has numbers 0.00012 apart near 2001", done.stderr)
            with open(self.path(dtype, "model.safetensors"), "rb") as f:
                size = struct.unpack("<Q", f.read(8))[0]
                tensors, values = json.loads(f.read(size)), f.read()
            fixed = {name: (t["dtype"], values[slice(*t["data_offsets"])]) for name, t in tensors.items()
                     if name.endswith((".offset", ".scale"))}
            self.assertEqual({d for d, _ in fixed.values()}, {"F32"})
            kept.append(fixed)
            self.assertIn({"f32": "F32", "bf16": "BF16", "f16": "F16"}[dtype], {t.get("dtype") for t in tensors.values()})
        self.assertEqual(kept[0], kept[1])
        self.assertEqual(kept[0], kept[2])

    def test_data_of_too_small_a_scale_are_refused_before_the_run(self):
        rng = random.Random(6)
        data = self.write("points.npy", npy_vectors([[rng.gauss(0, 1e-5)] for _ in range(20)], "<f4"))
        config = self.write("config.json", json.dumps(self.CONFIG).encode())
        self.refused(self.train(data, "run", "--config", config, ok=False), "t_min", "scale the data up")
        self.assertFalse(os.path.exists(self.path("run", "model.safetensors")))

    def test_data_that_float32_rounds_away_are_refused_before_the_run(self):
        """They were learned as the few numbers that are left."""
        rng = random.Random(7)
        config = self.write("config.json", json.dumps(dict(self.CONFIG, steps=1)).encode())
        for name, spread, words in (("some", 100, ["float32", "subtract the mean first"]), ("one", 1, ["one point", "subtract"])):
            rows = [[1.7e9 + rng.uniform(-spread, spread) * 2] for _ in range(20)]
            data = self.write(name + ".npy", npy_vectors(rows))
            self.refused(self.train(data, name, "--config", config, ok=False), *words)
            self.assertFalse(os.path.exists(self.path(name)))

    def test_an_exact_field_of_what_float32_rounds_away_is_refused(self):
        rng = random.Random(8)
        for spread, ok in ((100, False), (1e5, True)):
            data = self.write("points.npy", npy_vectors([[1.7e9 + rng.uniform(-spread, spread) * 2] for _ in range(20)]))
            done = subprocess.run([PFGM, "convert", "--exact", data, "-o", self.path("exact.safetensors")],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if ok:
                self.assertEqual(done.returncode, 0, done.stderr)
            else:
                self.refused(done, "points.npy", "float32", "subtract the mean first")
                self.assertFalse(os.path.exists(self.path("exact.safetensors")))

    def test_direct_objective_learns_too(self):
        rng = random.Random(5)
        data = self.write("points.npy", npy_vectors([[rng.gauss(0, 1)] for _ in range(200)], "<f4"))
        config = self.write("config.json", json.dumps(dict(
            self.CONFIG, objective="direct", steps=400, learning_rate=5e-3, sheet_every=0)).encode())
        self.train(data, "run", "--config", config)
        done = subprocess.run([PFGM, "eval", self.path("run", "model.safetensors"), "--data", data, "-n",
                               "100", "--loss-points", "0", "--json"], stdout=subprocess.PIPE, text=True)
        self.assertLess(json.loads(done.stdout)["energy_distance"], 0.1)


if __name__ == "__main__":
    unittest.main()
