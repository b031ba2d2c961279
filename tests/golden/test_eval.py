"""`pfgm eval`: what it says of samples of a short run, of data in another order, and of pictures of another size.

PFGM is the binary. Standard library only."""

import json
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_train import PFGM, Case, npy, npy_vectors, picture, png  # noqa: E402


class Eval(Case):
    def test_numbers_of_a_short_run(self):
        data = self.data(60)
        self.train(data, "run", "--config", self.config(steps=60, dropout=0))
        done = subprocess.run([PFGM, "eval", self.path("run", "model.safetensors"), "--data", data,
                               "--train", data, "-n", "8", "--solver", "euler", "--steps", "5",
                               "--loss-points", "11", "-o", self.path("near.png"), "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        numbers = json.loads(done.stdout)
        self.assertEqual(numbers["n"], 8)
        self.assertEqual(sum(b["count"] for b in numbers["loss_by_t"]), 11)
        self.assertGreater(numbers["loss"], 0)
        # The data's halves are nearer to each other than an untrained model's samples are to them.
        self.assertLess(numbers["energy_distance_data"], numbers["energy_distance"])
        self.assertLess(numbers["sliced_wasserstein_data"], numbers["sliced_wasserstein"])
        with open(self.path("near.png"), "rb") as f:
            self.assertEqual(f.read(8), b"\x89PNG\r\n\x1a\n")

    def test_order_of_the_pictures_changes_little(self):
        """A set that lies class by class is measured like the same set shuffled."""
        def shade(label, i):
            rng = random.Random(1000 * label + i)
            return [bytes(60 + 120 * label + rng.randrange(16) for _ in range(8)) for _ in range(8)]
        images = [(label, shade(label, i)) for label in (0, 1) for i in range(100)]
        mixed = random.Random(9).sample(images, len(images))
        folders = self.path("folders")
        for i, (label, rows) in enumerate(images):
            self.write("folders/%s/%03d.png" % ("dark" if label == 0 else "light", i), png(8, 8, rows))
        model = self.path("exact.safetensors")
        sources = {"sorted": self.write("sorted.npy", npy([i for _, i in images])), "folders": folders,
                   "mixed": self.write("mixed.npy", npy([i for _, i in mixed]))}
        subprocess.run([PFGM, "convert", "--exact", sources["mixed"], "-o", model], check=True, stdout=subprocess.DEVNULL)
        energy = {}
        for name, source in sources.items():
            done = subprocess.run([PFGM, "eval", model, "--data", source, "-n", "40", "--loss-points", "0",
                                   "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            energy[name] = json.loads(done.stdout)["energy_distance"]
        for name, value in energy.items():
            self.assertLess(value, 1, energy)  # of one class alone it is beyond 3

    def test_pictures_are_no_vectors(self):
        """d grey pixels a side and vectors of d numbers have the same width and no more."""
        model = self.path("exact.safetensors")
        vectors = self.write("vectors.npy", npy_vectors([[float(i * 8 + j) for j in range(8)] for i in range(24)], "<f4"))
        subprocess.run([PFGM, "convert", "--exact", vectors, "-o", model], check=True, stdout=subprocess.DEVNULL)
        for more in ([], ["--train", vectors]):
            done = subprocess.run([PFGM, "eval", model, "--data", self.data(), "-n", "4", *more],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.refused(done, "data.npy", "1×8×8", "vectors")
        done = subprocess.run([PFGM, "eval", model, "--data", vectors, "--train", vectors, "-n", "4", "-o",
                               self.path("sheet.png")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.refused(done, "sheet.png", "vectors")
        done = subprocess.run([PFGM, "bench", "--model", model], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.refused(done, "exact.safetensors", "no network")

    def test_a_model_of_its_classes_alone(self):
        """Trained without leaving labels out: whatever asks for no class is refused, or does without."""
        for i in range(16):
            self.write("set/%s/%d.png" % ("ab"[i % 2], i), png(8, 8, picture(i)))
        self.train(self.path("set"), "run", "--config", self.config(steps=1, label_dropout=0))
        model, image, euler = self.path("run", "model.safetensors"), self.path("x.png"), ["--solver", "euler", "--steps", "2"]

        def pfgm(*args):
            return subprocess.run([PFGM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(pfgm("sample", model, "-n", "1", "--seed", "1", "--class", "b", *euler, "-o", image).returncode, 0)
        for command in (["sample", model, "-n", "1", "--class", "none", "-o", self.path("y.png")], ["likelihood", model, "-i", image],
                        ["encode", model, "-i", image, "-o", self.path("l.npy")]):
            with self.subTest(command=command[0]):
                self.refused(pfgm(*command), "class", "name a class")
        self.assertEqual(pfgm("likelihood", model, "-i", image, "--class", "b").returncode, 0)
        done = pfgm("eval", model, "--data", self.path("set"), "-n", "4", "--json", *euler)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no loss", done.stderr)
        self.assertIsNone(json.loads(done.stdout)["loss"])

    def test_a_field_of_any_length_has_no_loss(self):
        """The targets of the loss are normalised, and what the objective direct learns of pictures is not."""
        self.train(self.data(), "run", "--config", self.config(steps=1, objective="direct"))
        done = subprocess.run([PFGM, "eval", self.path("run", "model.safetensors"), "--data", self.data(), "-n", "4",
                               "--solver", "euler", "--steps", "2", "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no loss", done.stderr)
        self.assertIsNone(json.loads(done.stdout)["loss"])

    def test_pictures_of_another_size_are_refused(self):
        self.train(self.data(), "run", "--config", self.config(steps=1))
        other = self.write("other.npy", npy([picture(i, 4) for i in range(8)], 4))
        done = subprocess.run([PFGM, "eval", self.path("run", "model.safetensors"), "--data", other],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.refused(done, "other.npy", "1×4×4")


if __name__ == "__main__":
    unittest.main()
