"""`--kernel openblas`: an image's bytes do not depend on its company nor on the number of workers, under each core that
OpenBLAS may choose, and the kernel's id names the core; and what is said where the library cannot be used.

PFGM is the binary, SOURCE the source tree. Standard library only."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from sanitized import SANITIZED

PFGM = os.environ["PFGM"]
DIGITS = str(pathlib.Path(os.environ["SOURCE"]) / "conf" / "models" / "digits8.safetensors")
IMAGES = 17


def sample(folder, n, first=0, workers=1, kernel="openblas", **environment):
    """The pictures' bytes by index, and the kernel's id."""
    done = subprocess.run([PFGM, "sample", DIGITS, "-n", str(n), "--first-index", str(first), "--seed", "7", "--kernel",
                           kernel, "--workers", str(workers), "--solver", "heun", "--steps", "4", "--json", "-o",
                           str(folder) + "/"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                          env=os.environ | environment)
    if done.returncode != 0:
        return done.stderr, None
    pictures = {int(p.stem): p.read_bytes() for p in pathlib.Path(folder).glob("*.png")}
    for picture in folder.glob("*.png"):
        picture.unlink()
    return pictures, json.loads(done.stdout)["kernel"]


class OpenBlas(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        pictures, kernel = sample(self.folder, 1)
        if kernel is None:
            self.assertRegex(pictures, "this machine cannot run openblas: .*(libopenblas-dev|libopenblas0-pthread)")
            self.skipTest(pictures.strip())
        self.kernel = kernel

    def check_company(self, core, slow):
        whole, kernel = sample(self.folder, IMAGES, **core)
        self.assertRegex(kernel, r"^openblas-[0-9.]+[a-z0-9.]*-[a-z0-9_]+\.1$")
        self.assertEqual(sorted(whole), list(range(IMAGES)))
        cases = [(1, 16, 1), (2, 3, 2), (3, 1, 4), (8, 5, 4), (IMAGES, 0, 2), (IMAGES, 0, 4)]
        for n, first, workers in cases[:2] if slow else cases:
            with self.subTest(core=core, n=n, first=first, workers=workers):
                some, same = sample(self.folder, n, first, workers, **core)
                self.assertEqual(same, kernel)
                self.assertEqual(some, {i: whole[i] for i in range(first, first + n)})
        return kernel

    def test_company_and_workers_change_no_byte(self):
        if os.uname().machine != "x86_64":
            self.check_company({}, SANITIZED)
            return
        has = set(pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii").split())
        for core, needs in (("Haswell", {"avx2", "fma"}), ("Sandybridge", {"avx"})):
            with self.subTest(core=core):
                if not needs <= has:
                    self.skipTest(f"the processor has not all of {sorted(needs)}")
                kernel = self.check_company({"OPENBLAS_CORETYPE": core}, SANITIZED)
                self.assertTrue(kernel.endswith(f"-{core.lower()}.1"), kernel)

    def test_an_image_is_plain_c_s_but_for_rounding(self):
        """Of numbers and not of pixels: rounding to bytes could hide or make a difference."""
        numbers = []
        for kernel in ("c", "openblas"):
            out = self.folder / f"{kernel}.npy"
            subprocess.run([PFGM, "sample", DIGITS, "-n", "2", "--seed", "7", "--kernel", kernel, "--solver", "heun",
                            "--steps", "4", "--dtype", "float32", "-o", str(out)], check=True, capture_output=True)
            numbers.append(memoryview(out.read_bytes()[-2 * 64 * 4:]).cast("f"))
        self.assertNotEqual(*map(bytes, numbers))
        self.assertLess(max(abs(a - b) for a, b in zip(*numbers)), 1e-3)

    def test_a_library_that_cannot_be_loaded_is_named(self):
        (self.folder / "libopenblas.so.0").write_bytes(b"")
        said, kernel = sample(self.folder, 1, LD_LIBRARY_PATH=str(self.folder))
        self.assertIsNone(kernel)
        self.assertTrue(re.search("--kernel: this machine cannot run openblas: libopenblas.so.0 cannot be loaded: "
                                  "install Debian's libopenblas0-pthread", said), said)


if __name__ == "__main__":
    unittest.main()
