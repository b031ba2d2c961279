"""Paths up and down of small models with classes: edits, likelihoods and films by the command line.

PFGM is the binary. Standard library only."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_train import PFGM, Case, picture, png  # noqa: E402

EULER = ["--solver", "euler", "--steps", "2"]


class Flows(Case):
    def model(self, **config):
        for i in range(16):
            self.write("set/%s/%d.png" % ("ab"[i % 2], i), png(8, 8, picture(i)))
        self.train(self.path("set"), "run", "--config", self.config(steps=1, **config))
        return self.path("run", "model.safetensors")

    def pfgm(self, *args):
        return subprocess.run([PFGM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)

    def test_an_edit_of_a_seed_may_be_guided(self):
        """The class that guidance leads to is the image's own, or the one that is given."""
        model, digests = self.model(), set()
        for more in ([], ["--class", "a"], ["--class", "b"]):
            done = self.pfgm("edit", model, "--seed", "1", "--new-seed", "2", "--strength", "0.5", "--guidance", "3",
                             *EULER, *more, "-o", self.path("e.png"))
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(self.path("e.png"), "rb") as f:
                digests.add(f.read())
        self.assertGreaterEqual(len(digests), 2)

    def test_the_clock_of_a_likelihood_is_the_one_that_was_asked_for(self):
        model, image = self.model(objective="pfgmpp", D=16), self.path("x.png")
        self.assertEqual(self.pfgm("sample", model, "-n", "1", "--seed", "1", *EULER, "-o", image).returncode, 0)
        figures = {}
        for clock in ("log", "linear"):
            done = self.pfgm("likelihood", model, "-i", image, "--seed", "3", "--time", clock, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            got = json.loads(done.stdout)
            self.assertEqual(got["time"], clock)
            figures[clock] = got["images"][0]["nfe"], got["images"][0]["bits_per_dimension"]
        self.assertNotEqual(*figures.values())

    def test_a_film_keeps_the_rules_of_the_images(self):
        model = self.model()
        for at, more in (("guidance", ["--class", "none", "--guidance", "3"]),
                         ("--first-index", ["-n", "2", "--first-index", str(2**64 - 1)])):
            done = self.pfgm("sample", model, *EULER, *more, "--trajectory", "3", "-o", self.path("no.png"))
            self.refused(done, at)
            self.assertFalse(os.path.exists(self.path("no.png")))


if __name__ == "__main__":
    unittest.main()
