"""The same image has the same bytes: from the command line, alone, in company, under load, with any
number of workers."""

import hashlib
import json
import os
import tempfile
import threading
import unittest

from harness import DIGITS, PFGM, Daemon, run

SEED, INDEX = 7, 3


def from_the_command_line():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "x.png")
        result = run(PFGM, "sample", DIGITS, "-n", "1", "--seed", str(SEED), "--first-index",
                     str(INDEX), "-o", out)
        assert result.returncode == 0, result.stderr
        with open(out, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()


class SeedRule(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if PFGM:
            cls.want = from_the_command_line()
            return
        with Daemon("--workers", "1") as daemon:
            cls.want = cls.alone(daemon)

    @staticmethod
    def alone(daemon):
        body = {"n": 1, "seed": SEED, "first_index": INDEX}
        return daemon.images(body).json()["images"][0]["sha256"]

    def check_with_workers(self, workers):
        with Daemon("--workers", str(workers)) as daemon:
            self.assertEqual(self.alone(daemon), self.want)
            png = daemon.images({"seed": SEED, "first_index": INDEX}, accept="image/png").body
            self.assertEqual(hashlib.sha256(png).hexdigest(), self.want)
            batch = daemon.images({"n": 16, "seed": SEED}).json()["images"]
            self.assertEqual(batch[INDEX]["index"], INDEX)
            self.assertEqual(batch[INDEX]["sha256"], self.want)
            self.assertEqual(len({i["sha256"] for i in batch}), 16)
            self.under_load(daemon)

    def under_load(self, daemon):
        """The image again, while 20 other requests of other kinds run."""
        begun = [daemon.begin_images({"n": 1 + k % 3, "seed": 100 + k, "solver": solver})
                 for k, solver in enumerate([{"method": "euler", "steps": 30 + k}
                                             for k in range(10)] + [{"rtol": 1e-3}] * 10)]
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.alone(daemon)))
                   for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for s in begun:
            self.assertTrue(s.recv(12).startswith(b"HTTP/1.1 200"))
            s.close()
        self.assertEqual(got, [self.want] * 3)

    def test_one_worker(self):
        self.check_with_workers(1)

    def test_two_workers(self):
        self.check_with_workers(2)

    def test_four_workers(self):
        self.check_with_workers(4)

    def test_batch_size_is_not_seen_webui_376(self):
        with Daemon("--workers", "1", "--batch", "1") as daemon:
            self.assertEqual(self.alone(daemon), self.want)
            batch = daemon.images({"n": 5, "seed": SEED}).json()["images"]
            self.assertEqual(batch[INDEX]["sha256"], self.want)

    def test_any_image_of_a_batch_can_be_made_again_comfyui_165(self):
        with Daemon() as daemon:
            batch = daemon.images({"n": 4, "seed": 1, "first_index": 10}).json()
            for image in batch["images"]:
                body = {"seed": batch["seed"], "first_index": image["index"]}
                again = daemon.images(body).json()["images"][0]
                self.assertEqual(again["sha256"], image["sha256"])
                self.assertEqual(again["nfe"], image["nfe"])

    def test_equal_requests_side_by_side_llama_cpp_7052(self):
        with Daemon("--workers", "2") as daemon:
            begun = [daemon.begin_images({"seed": SEED, "first_index": INDEX}) for _ in range(32)]
            digests = set()
            for s in begun:
                f = s.makefile("rb")
                head = b"".join(iter(f.readline, b"\r\n"))
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                digests.add(json.loads(f.read(length))["images"][0]["sha256"])
                f.close()
                s.close()
            self.assertEqual(digests, {self.want})


if __name__ == "__main__":
    unittest.main()
