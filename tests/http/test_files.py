"""Model files that change under a daemon, that are damaged, or that are not the ones meant."""

import os
import shutil
import tempfile
import threading
import unittest

from harness import FASHION, Daemon, wait_until
from test_security import Admin


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "m.safetensors")
        self.socket = os.path.join(folder.name, "admin.sock")
        self.config = os.path.join(folder.name, "pfgmd.conf")
        shutil.copyfile(FASHION, self.path)
        with open(self.path, "rb") as f:
            self.content = f.read()
        self.args = ["--model", "m=" + self.path, "--admin", self.socket, "--workers", "1"]
        self.admin = Admin(self.socket)

    def reload(self, daemon):
        """The reload's outcome, once it has one."""
        self.assertEqual(self.admin.request("POST", "/admin/v1/models/m/reload")[0], 202)

        def look():
            note = daemon.get("/v1/models/m").json()["reload"]
            return note if note["state"] != "loading" else None
        return wait_until(look, "the end of a reload")


class Overwritten(Files):
    def overwrite(self, stop):
        """Cuts the file short and fills it again, over and over."""
        with open(self.path, "r+b") as f:
            while not stop.is_set():
                os.ftruncate(f.fileno(), len(self.content) // 3)
                os.pwrite(f.fileno(), self.content, 0)

    def test_a_file_overwritten_while_it_is_loaded(self):
        with Daemon(*self.args, model=None) as daemon:
            before = daemon.images({"seed": 1}).json()["images"][0]["sha256"]
            stop = threading.Event()
            writer = threading.Thread(target=self.overwrite, args=(stop,))
            writer.start()
            try:
                failed = [note["detail"] for note in (self.reload(daemon) for _ in range(12))
                          if note["state"] == "failed"]
            finally:
                stop.set()
                writer.join()
            self.assertTrue(failed)
            for detail in failed:
                self.assertIn("m.safetensors", detail)
            self.assertEqual(self.reload(daemon)["state"], "ok")
            self.assertEqual(daemon.images({"seed": 1}).json()["images"][0]["sha256"], before)
            self.assertIsNone(daemon.process.poll())

    def test_a_file_overwritten_before_the_first_likelihood(self):
        """Whose network needs the weights once more."""
        with Daemon(*self.args, model=None) as daemon:
            image = daemon.images({"seed": 1}).json()["images"][0]["b64"]
            stop = threading.Event()
            writer = threading.Thread(target=self.overwrite, args=(stop,))
            writer.start()
            body = '{"images": ["%s"]}' % image
            headers = {"Content-Type": "application/json"}
            try:
                answers = [daemon.request("POST", "/v1/likelihood", body, headers) for _ in range(6)]
            finally:
                stop.set()
                writer.join()
            failed = [a for a in answers if a.status != 200]
            for answer in failed:
                self.assertEqual(answer.status, 500, answer.body)
                self.assertIn("m.safetensors", answer.json()["detail"])
            answer = daemon.request("POST", "/v1/likelihood", body, headers)
            self.assertEqual(answer.status, 200, answer.body)
            self.assertEqual(daemon.get("/livez").status, 200)


if __name__ == "__main__":
    unittest.main()
