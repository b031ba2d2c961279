"""clients/shell/pfgm-get against the daemon."""

import hashlib
import os
import shutil
import tarfile
import tempfile
import unittest
import zipfile

from harness import Daemon, SharedDaemon, run

GET = os.path.join(os.environ["CLIENTS"], "shell", "pfgm-get")


class Client(SharedDaemon):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = os.path.join(self.folder.name, "x.png")

    def tearDown(self):
        self.folder.cleanup()
        super().tearDown()

    def get(self, *args, shell="sh"):
        return run(shell, GET, "-u", f"http://127.0.0.1:{self.daemon.port}", *args)

    def digest(self, name):
        with open(os.path.join(self.folder.name, name), "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def test_one_image(self):
        for shell in [s for s in ["sh", "bash", "dash"] if shutil.which(s)]:
            result = self.get("-s", str(2**64 - 1), "-i", "3", "-o", self.out, shell=shell)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout, b"seed 18446744073709551615\n")
            body = {"seed": str(2**64 - 1), "first_index": 3}
            want = self.daemon.images(body).json()["images"][0]["sha256"]
            self.assertEqual(self.digest("x.png"), want)

    def test_several_images(self):
        result = self.get("-n", "5", "-s", "7", "-m", "euler", "-k", "4", "-o", self.out)
        self.assertEqual(result.returncode, 0, result.stderr)
        body = {"n": 5, "seed": 7, "solver": {"method": "euler", "steps": 4}}
        want = [i["sha256"] for i in self.daemon.images(body).json()["images"]]
        self.assertEqual(sorted(os.listdir(self.folder.name)),
                         [f"x-{k:03d}.png" for k in range(5)])
        self.assertEqual([self.digest(f"x-{k:03d}.png") for k in range(5)], want)

    def test_sheet(self):
        result = self.get("-n", "4", "-s", "7", "-g", "2", "-x", "3", "-M", "digits8", "-o",
                          self.out)
        self.assertEqual(result.returncode, 0, result.stderr)
        body = {"n": 4, "seed": 7, "grid": {"columns": 2, "scale": 3}}
        want = self.daemon.images(body).json()["images"][0]["sha256"]
        self.assertEqual(self.digest("x.png"), want)

    @staticmethod
    def tar_names(path):
        with tarfile.open(path) as t:
            return t.getnames()

    def test_archives_and_arrays(self):
        for ending, accept in [("npy", "application/x-npy"), ("npz", "application/x-npz")]:
            out = os.path.join(self.folder.name, "x." + ending)
            result = self.get("-n", "3", "-s", "7", "-o", out)
            self.assertEqual(result.returncode, 0, result.stderr)
            with open(out, "rb") as f:
                self.assertEqual(f.read(), self.daemon.images({"n": 3, "seed": 7}, accept).body)
        for ending, names in [("zip", lambda p: zipfile.ZipFile(p).namelist()),
                              ("tar", self.tar_names)]:
            out = os.path.join(self.folder.name, "x." + ending)
            result = self.get("-n", "3", "-s", "7", "-o", out)
            self.assertEqual((result.returncode, result.stdout), (0, b"seed 7\n"), result.stderr)
            self.assertEqual(sorted(names(out)), ["manifest.json"] +
                             [f"pfgm-7-{k}.png" for k in range(3)])

    def test_a_key(self):
        keys, key = (os.path.join(self.folder.name, name) for name in ("keys", "key"))
        with open(keys, "w", encoding="ascii") as f:
            f.write("a " + hashlib.sha256(b"sesame").hexdigest() + "\n")
        with open(key, "w", encoding="ascii") as f:
            f.write("sesame\n")
        with Daemon("--keys", keys) as daemon:
            url = f"http://127.0.0.1:{daemon.port}"
            refused = run("sh", GET, "-u", url, "-o", self.out)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(b"401", refused.stderr)
            self.assertEqual(run("sh", GET, "-u", url, "-K", key, "-o", self.out).returncode, 0)

    def test_errors(self):
        rows = [
            (["-n", "0", "-o", self.out], 1, b"422: /n: must be an integer"),
            (["-s", "18446744073709551616", "-o", self.out], 1, b"/seed"),
            (["-M", "other", "-o", self.out], 1, b'no model "other"'),
            (["-m", "rk45", "-k", "5", "-o", self.out], 1, b"/solver/steps"),
            (["-n", "x", "-o", self.out], 2, b"whole number"),
            (["-m", 'a"b', "-o", self.out], 2, b"plain name"),
            (["-n", "1"], 2, b"-o OUT.png"),
            (["-o", "x.jpg"], 2, b".png"),
            (["-o", self.out, "more"], 2, b"unexpected"),
            (["-Z"], 2, b"Usage"),
            (["-o", "/nonexistent/x.png"], 1, b"cannot write"),
        ]
        for args, code, text in rows:
            with self.subTest(args=args):
                result = self.get(*args)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(text, result.stderr)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_no_server(self):
        with Daemon() as other:
            port = other.port
        result = run("sh", GET, "-u", f"http://127.0.0.1:{port}", "-o", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no answer from", result.stderr)


if __name__ == "__main__":
    unittest.main()
