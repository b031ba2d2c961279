"""PFGM++ models against what the reference code computed: the denoiser, its sampler, and that its two file
formats and the tensors themselves convert to the same weights.

PFGM is the binary, GOLDEN the folder of golden files; a missing file is a failure. Standard library
only."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_file  # noqa: E402
from sanitized import SANITIZED  # noqa: E402

PFGM = os.environ["PFGM"]
GOLDEN = os.environ["GOLDEN"]
MODELS = {"pfgmpp_ncsnpp_rgb16_d128": ".pkl", "pfgmpp_ddpmpp_rgb16_dinf_cond": ".pt"}
KERNELS = ("c", "avx2", "avx512")


class Pfgmpp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="pfgm-pfgmpp-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in MODELS:
            cls.run_tool("convert", cls.golden(name), "-o", cls.path(name))

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name + ".safetensors")

    @staticmethod
    def golden(name):
        return os.path.join(GOLDEN, name + ".golden.safetensors")

    @staticmethod
    def run_tool(*words):
        done = subprocess.run([PFGM] + [str(w) for w in words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=800)
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout

    def kernels(self):
        """Those that this machine has; under a sanitizer the last of them alone, as plain C takes minutes."""
        found = list(self.found())
        return found[-1:] if SANITIZED else found

    def found(self):
        for kernel in KERNELS:
            done = subprocess.run([PFGM, "field", self.path(next(iter(MODELS))), "--kernel", kernel,
                                   "--input", os.devnull, "--output", self.path("none")],
                                  stderr=subprocess.PIPE, text=True)
            if "cannot run" not in done.stderr:
                yield kernel

    def compare(self, got, want, bound, what):
        a, b = safetensors_file.floats(got), safetensors_file.floats(want)
        self.assertEqual(got[1], want[1])
        largest = max(abs(v) for v in b)
        worst = max(abs(x - y) for x, y in zip(a, b)) / largest
        print("%s: %.2e of the largest, %.3f" % (what, worst, largest))
        self.assertLess(worst, bound)

    def test_denoisers(self):
        for name in MODELS:
            _, want = safetensors_file.read(self.golden(name))
            bare = self.path("bare")
            safetensors_file.write(bare, {"x": want["denoise.x"], "sigma": want["denoise.sigma"]})
            for kernel in self.kernels():
                self.run_tool("field", self.path(name), "--kernel", kernel, "--input",
                              self.golden(name), "--output", self.path("out"))
                _, got = safetensors_file.read(self.path("out"))
                self.assertEqual(list(got), ["D_x"])
                self.compare(got["D_x"], want["denoise.D_x"], 1e-4, "%s %s D_x" % (name, kernel))
                if "denoise.D_x_nolabel" not in want:
                    continue
                self.run_tool("field", self.path(name), "--kernel", kernel, "--input", bare,
                              "--output", self.path("out"))
                self.compare(safetensors_file.read(self.path("out"))[1]["D_x"],
                             want["denoise.D_x_nolabel"], 1e-4, name + " without a label")

    def test_the_sampler(self):
        for name in MODELS:
            _, want = safetensors_file.read(self.golden(name))
            for kernel in self.kernels():
                for more in ((),) if SANITIZED else ((), ("--solver", "improved-euler", "--steps", 18)):
                    text = self.run_tool("sample", self.path(name), "--kernel", kernel, "--latents",
                                         self.golden(name), "--json", "-o", self.path("out"), *more)
                    self.assertEqual(text.count('"nfe": 35'), 4)
                    _, got = safetensors_file.read(self.path("out"))
                    self.compare(got["samples"], want["heun18.x0"], 2e-3,
                                 "%s %s x0" % (name, kernel))

    def test_noise_depends_on_seed_and_index_alone(self):
        model = self.path("pfgmpp_ncsnpp_rgb16_d128")
        noisy = ("--seed", 5, "--churn", 10, "--churn-noise", 1.003)

        def samples(*words):
            self.run_tool("sample", model, "-o", self.path("out"), *words)
            return safetensors_file.read(self.path("out"))[1]["samples"][2]

        size = 4 * 3 * 16 * 16
        together = samples("-n", 3, *noisy)
        self.assertEqual(samples("-n", 1, "--first-index", 2, *noisy), together[2 * size:])
        self.assertNotEqual(samples("-n", 1, "--first-index", 2, "--seed", 5), together[2 * size:])

    def test_three_sources_of_the_same_weights(self):
        for name, ending in MODELS.items():
            self.run_tool("convert", os.path.join(GOLDEN, name + ending), "-o", self.path("other"))
            _, one = safetensors_file.read(self.path(name))
            _, other = safetensors_file.read(self.path("other"))
            self.assertEqual(one, other, name)

    def test_labels_that_are_none(self):
        name = "pfgmpp_ddpmpp_rgb16_dinf_cond"
        _, want = safetensors_file.read(self.golden(name))
        for row in ([1, 1, 0, 0, 0], [0.5, 0, 0, 0, 0], [2, 0, 0, 0, 0]):
            rows = row + [0] * 15
            safetensors_file.write(self.path("bad"), {
                "x": want["denoise.x"], "sigma": want["denoise.sigma"],
                "class_onehot": ("F32", [4, 5], struct.pack("<20f", *rows))})
            with self.assertRaisesRegex(AssertionError, "row 0 of tensor \"class_onehot\""):
                self.run_tool("field", self.path(name), "--input", self.path("bad"), "--output",
                              self.path("out"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
