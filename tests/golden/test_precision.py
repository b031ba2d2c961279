"""Precisions: every kernel × precision against what the reference code computed, and the seed rule for those that
compute in bf16. What this machine cannot run is skipped by name.

PFGM is the binary, GOLDEN the folder of golden files. Standard library only."""
import json
import os
import unittest

import safetensors_file
import test_sample as base

# What the field may be off, of its largest value.
TOLERANCE = {"f32": 1e-4, "bf16x3": 1e-4, "bf16": 3e-2}
IDS = {"c": "cbf16.", "avx2": "lanes8bf16.", "avx512": "avx512bf16.", "amx": "amx."}
SMALL = "pfgm_digits8"


def tearDownModule():
    base.tearDownModule()


def features():
    """Flags of the processor."""
    with open("/proc/cpuinfo") as f:
        return next((line.split() for line in f if line.startswith("flags")), [])


class Precision(base.Case):
    def run_way(self, kernel, precision, *arguments):
        """Standard output; skips what this machine lacks."""
        done = base.pfgm(*arguments, "--kernel", kernel, "--precision", precision)
        if "this machine cannot run" in done.stderr or "lacks" in done.stderr:
            self.assertEqual(done.returncode, 2)
            self.skipTest("%s in %s: %s" % (kernel, precision, done.stderr.strip()))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    @staticmethod
    def fast(kernel):
        """Whether the kernel multiplies bf16 by instructions that are made for it."""
        return kernel == "amx" or (kernel == "avx512" and "avx512_bf16" in features())


class Field(Precision):
    def compare(self, name, kernel, precision):
        _, want = base.golden(name)
        output = base.Folder.file("precision.safetensors")
        self.run_way(kernel, precision, "field", base.Folder.model(name), "--input",
                     os.path.join(base.GOLDEN, name + ".golden.safetensors"), "--output", output)
        metadata, got = safetensors_file.read(output)
        self.assertEqual(metadata["precision"], precision)
        if precision != "f32":
            self.assertTrue(metadata["kernel"].startswith(IDS[kernel]), metadata)
        for ours, theirs in (("v_x", "field.v_x"), ("v_t", "field.v_z")):
            a, b = safetensors_file.floats(got[ours]), safetensors_file.floats(want[theirs])
            largest = max(abs(v) for v in b)
            worst = max(abs(x - y) for x, y in zip(a, b)) / largest
            print("%s, %s in %s, %s: %.2e of the largest" % (name, kernel, precision, ours, worst))
            self.assertLess(worst, TOLERANCE[precision])
            if precision != "f32":
                self.assertGreater(worst, 0)

    def test_golden_fields(self):
        for kernel in IDS:
            for precision in TOLERANCE:
                for name in base.MODELS:
                    if name != SMALL and not (self.fast(kernel) or precision == "f32"):
                        continue  # in plain C, a network of any size would take long
                    with self.subTest(model=name, kernel=kernel, precision=precision):
                        self.compare(name, kernel, precision)

    def test_auto(self):
        """bf16x3 where AMX is, f32 where it is not; bf16 of itself only where there is an instruction for it."""
        model = base.Folder.model(SMALL)
        points = os.path.join(base.GOLDEN, SMALL + ".golden.safetensors")
        output = base.Folder.file("auto.safetensors")
        self.run_pfgm("field", model, "--input", points, "--output", output)
        amx = "amx_bf16" in features()
        self.assertEqual(safetensors_file.read(output)[0]["precision"], "bf16x3" if amx else "f32")
        if amx or "avx512_bf16" in features():
            self.run_pfgm("field", model, "--input", points, "--output", output, "--precision", "bf16")
            self.assertEqual(safetensors_file.read(output)[0]["kernel"].split(".")[0], "amx" if amx else "avx512bf16")
        else:
            self.refused(2, "needs AMX or AVX512-BF16", "field", model, "--input", points, "--output", output,
                         "--precision", "bf16")
        self.refused(2, "is auto, f32, bf16x3 or bf16", "field", model, "--input", points, "--output", output,
                     "--precision", "fp16")


class SeedRule(Precision):
    """An image's bytes depend on its own inputs only, in every precision."""

    def digests(self, kernel, precision, first, n, workers):
        output = base.Folder.file("rule.npy")
        report = json.loads(self.run_way(kernel, precision, "sample", base.Folder.model(SMALL), "-o", output, "--json",
                                         "--seed", "5", "-n", str(n), "--first-index", str(first), "--workers",
                                         str(workers), "--solver", "heun", "--steps", "8"))
        self.assertEqual(report["precision"], precision)
        return [image["sha256"] for image in report["images"]]

    def test_company_and_workers(self):
        for kernel in ("avx512", "amx"):
            for precision in ("bf16x3", "bf16"):
                with self.subTest(kernel=kernel, precision=precision):
                    if not self.fast(kernel):
                        self.skipTest("this machine's %s has no BF16" % kernel)
                    expected = self.digests(kernel, precision, 0, 17, 1)
                    self.assertEqual(len(set(expected)), 17)
                    for n in (1, 2, 3, 8, 17):
                        for workers in (1, 2, 4):
                            self.assertEqual(self.digests(kernel, precision, 17 - n, n, workers), expected[17 - n:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
