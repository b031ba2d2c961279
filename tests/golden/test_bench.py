"""`pfgm bench` and `pfgm bench ops`: that they measure what they say and report it whole. No time is asserted: figures
only have to be finite, positive and to fit together.

PFGM is the binary. Standard library only."""
import functools
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sanitized import plain_only  # noqa: E402

PFGM = os.environ["PFGM"]
DIGITS = str(pathlib.Path(__file__).resolve().parents[2] / "conf" / "models" / "digits8.safetensors")


def bench(*words):
    """A profile measures the memory with up to a gigabyte, which need not be filled with a pattern before and after."""
    return subprocess.run([PFGM, "bench", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=600, env={**os.environ, "MALLOC_PERTURB_": "0"})


def report(*words):
    done = bench(*words, "--json")
    if done.returncode != 0:
        raise AssertionError(f"bench {words}: {done.stderr}")
    return json.loads(done.stdout)


def digits(*words):
    return report("--model", DIGITS, "--seconds", "0.05", *words)


def word(kernel):
    """An id's kernel: "lanes8.3" is lanes8, "openblas-0.3.21-skylakex.1" openblas."""
    return re.split("[.-]", kernel)[0]


@functools.cache
def kernels():
    """Those that this machine runs: c, and what `bench ops` would take."""
    names = ["c"]
    for name in ("openblas", "lanes8", "avx512"):
        done = bench("--model", DIGITS, "--seconds", "0.01", "--nfe", "1", "--workers", "1", "--kernel", name)
        if done.returncode == 0:
            names.append(name)
        elif "this machine cannot run" not in done.stderr:
            raise AssertionError(done.stderr)
    return names


class Network(unittest.TestCase):
    def test_a_name_that_is_not_utf8_is_no_lack_of_memory(self):
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, os.fsdecode(b"m\xff.safetensors"))
            shutil.copy(DIGITS, model)
            done = bench("--model", model, "--seconds", "0.01", "--nfe", "1", "--workers", "1", "--batch", "1", "--json")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("m?.safetensors: is not UTF-8", done.stderr)

    def check(self, r):
        for value in (*r["ms_per_image"].values(), *r["gflops"].values(), *r["peak_gflops"].values(),
                      r["share_of_peak"], r["images_per_s"], r["load_s"], r["weights_bytes"], r["peak_rss_bytes"],
                      r["gflop_per_image"], r["solver"]["nfe"], r["parameters"]):
            self.assertTrue(math.isfinite(value) and value > 0, r)
        self.assertLessEqual(r["ms_per_image"]["best"], r["ms_per_image"]["median"])
        self.assertGreaterEqual(r["gflops"]["best"], r["gflops"]["median"])
        self.assertGreater(r["peak_rss_bytes"], r["weights_bytes"])
        self.assertGreaterEqual(r["rounds"], 2)
        # The figures are one measurement told in several units.
        seconds = r["ms_per_image"]["median"] * 1e-3
        self.assertAlmostEqual(r["gflops"]["median"] * seconds / r["gflop_per_image"], 1, 6)
        self.assertAlmostEqual(r["images_per_s"] * seconds * r["solver"]["nfe"], 1, 6)
        self.assertAlmostEqual(r["share_of_peak"] * r["peak_gflops"]["workers"] / r["gflops"]["median"], 1, 6)

    def test_every_kernel_of_the_machine(self):
        for name in kernels():
            with self.subTest(kernel=name):
                r = digits("--kernel", name, "--nfe", "50")
                self.check(r)
                self.assertEqual(word(r["kernel"]), name)
                self.assertEqual((r["solver"]["nfe"], r["solver"]["nfe_from"]), (50, "given"))
                self.assertEqual((r["batch"], r["precision"], r["model"]), (8, "f32", DIGITS))

    def test_every_precision_of_the_machine(self):
        flags = digits("--nfe", "1")["machine"]["flags"]
        for precision in ("bf16x3", "bf16"):
            with self.subTest(precision=precision):
                if not {"avx512_bf16", "amx_bf16"} & set(flags):
                    self.skipTest("this machine has no instructions for bf16")
                r = digits("--precision", precision, "--nfe", "50")
                self.check(r)
                self.assertEqual(r["precision"], precision)
                self.assertEqual(word(r["kernel"]), "amx" if "amx_bf16" in flags else "avx512bf16")

    def test_evaluations_of_each_solver(self):
        for method, steps, nfe in (("euler", 7, 7), ("improved-euler", 7, 13), ("heun", 7, 14)):
            with self.subTest(method=method):
                solver = digits("--solver", method, "--steps", str(steps))["solver"]
                self.assertEqual(solver, {"method": method, "steps": steps, "nfe": nfe, "nfe_from": "exact"})
        own = digits()["solver"]  # the model's default, which is tuned
        self.assertEqual((own["method"], own["nfe"], own["nfe_from"]), ("multistep3", 35, "exact"))
        solver = digits("--solver", "rk45")["solver"]
        self.assertEqual((solver["method"], solver["nfe_from"]), ("rk45", "measured"))
        self.assertTrue(50 < solver["nfe"] < 200, solver)

    def test_workers_without_images_help(self):
        self.assertEqual(digits("--workers", "4", "--batch", "3")["workers"], 4)
        self.assertEqual(digits("--workers", "1", "--batch", "3")["workers"], 1)

    @plain_only
    def test_preset_with_random_weights(self):
        r = report("--preset", "cifar10-ddpmpp", "--batch", "1", "--workers", "1", "--seconds", "0.01")
        self.check(r)
        self.assertEqual((r["preset"], r["weights"], r["parameters"]), ("cifar10-ddpmpp", "random", 61805572))
        self.assertAlmostEqual(r["gflop_per_image"], 21.7, 1)
        self.assertEqual((r["solver"]["nfe"], r["solver"]["nfe_from"]), (104, "published"))

    def check_profile(self, r):
        p, rows = r["profile"], {row["operation"]: row for row in r["profile"]["operations"]}
        for row in rows.values():
            self.assertGreater(row["ms_per_image"], 0, row)
            self.assertAlmostEqual(row["share"], row["ms_per_image"] / p["ms_per_image"], 6)
            self.assertEqual("gflops" in row, "share_of_peak" in row)
            self.assertEqual("gbytes_per_s" in row, "share_of_memory" in row)
        self.assertAlmostEqual(sum(row["share"] for row in rows.values()), 1, 6)
        self.assertAlmostEqual(p["times_bound"] * p["bound_ms_per_image"] / p["ms_per_image"], 1, 6)
        self.assertGreaterEqual(p["evaluations"], 1)
        # The multiply-adds that were done, in GFLOP per image: never more than direct convolution's.
        done = sum(row.get("gflops", 0) * row["ms_per_image"] * 1e-3 for row in rows.values())
        return rows, done / r["gflop_per_image"]

    @plain_only
    def test_a_profile_shares_out_the_time_of_an_evaluation(self):
        rows, done = self.check_profile(digits("--nfe", "1", "--profile", "--batch", "3", "--kernel", "c"))
        self.assertEqual(set(rows), {"other products", "norm + SiLU", "attention", "resampling", "rest"})
        self.assertTrue(0.98 < done < 1.1, done)  # channels are padded to eight
        for name in ("lanes8", "avx512"):
            if name not in kernels():
                continue
            rows, done = self.check_profile(digits("--nfe", "1", "--profile", "--batch", "3", "--kernel", name))
            self.assertEqual(set(rows), {"winograd products", "input transforms", "output transforms",
                                         "other products", "norm + SiLU", "attention", "resampling", "rest"})
            self.assertTrue(0.2 < done < 0.9, done)
        self.assertNotIn("profile", digits("--nfe", "1"))

    def test_text_names_what_was_measured(self):
        done = bench("--model", DIGITS, "--seconds", "0.01", "--nfe", "9", "--profile")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in (DIGITS, "ms per image and evaluation", "GFLOP/s", "images per second", "to load", "CPUs",
                     "processor time by operation", "times the bound", "other products", "% of the peak"):
            self.assertIn(word, done.stdout)


@plain_only
class Operations(unittest.TestCase):
    def test_every_operation_on_every_kernel(self):
        r = report("ops", "--batch", "1", "--seconds", "0.001")
        names = {word(row["kernel"]) for row in r["rows"] if row["precision"] == "f32"}
        self.assertEqual(names, set(kernels()))
        flags = r["machine"]["flags"]
        bf16 = {name for name, flag in (("avx512bf16", "avx512_bf16"), ("amx", "amx_bf16")) if flag in flags}
        for precision in ("bf16", "bf16x3"):
            self.assertEqual({word(row["kernel"]) for row in r["rows"] if row["precision"] == precision}, bf16)
        self.assertEqual(set(r["peak_gflops_by_kernel"]), {row["kernel"] for row in r["rows"]})
        self.assertEqual({row["op"] for row in r["rows"]},
                         {"conv3x3", "winograd", "conv1x1", "linear", "norm+silu", "attention", "box-up", "box-down",
                          "fir-up", "fir-down", "fir-blur"})
        for row in r["rows"]:
            with self.subTest(row=row):
                for key in ("us_per_image", "gbytes_per_s", "times_portable"):
                    self.assertTrue(math.isfinite(row[key]) and row[key] > 0)
                self.assertLessEqual(row["distance"], 3e-2 if row["precision"] == "bf16" else 1e-4)
                if row["kernel"].startswith("c."):
                    self.assertEqual((row["times_portable"], row["distance"]), (1, 0))
                self.assertEqual("gflops" in row,
                                 row["op"] in ("conv3x3", "winograd", "conv1x1", "linear", "attention"))
        # Every 3×3 convolution is in use in exactly one of its forms.
        forms = [(r["used"], r["kernel"], r["precision"], r["side"], r["in"], r["out"]) for r in r["rows"]
                 if r["op"] in ("conv3x3", "winograd")]
        used = [form[1:] for form in forms if form[0]]
        self.assertEqual(len(used), len(set(used)))
        self.assertEqual(set(used), {form[1:] for form in forms})


class BadInput(unittest.TestCase):
    CASES = (
        (("--batch", "0"), "--batch"), (("--workers", "x"), "--workers"), (("--seconds", "0"), "--seconds"),
        (("--seconds", "nan"), "--seconds"), (("--preset", "cifar"), "cifar10-ddpmpp"), (("--kernel", "sse"), "avx512"),
        (("--precision", "fp8"), "--precision"), (("--solver", "rk4"), "improved-euler"), (("--steps", "9"), "--steps"),
        (("--solver", "heun", "--steps", "10", "--nfe", "5"), "--nfe"),
        (("--model", "x", "--preset", "y"), "--preset"), (("model.safetensors",), "--model"),
        (("ops", "--workers", "2"), "ops"), (("ops", "ops"), "ops"), (("--frobnicate",), "--frobnicate"),
    )

    def test_one_line_and_exit_code_2(self):
        for words, part in self.CASES:
            with self.subTest(words=words):
                done = bench(*words)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertIn(part, done.stderr)

    def test_a_missing_model_is_named(self):
        done = bench("--model", "nowhere.safetensors")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nowhere.safetensors", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
