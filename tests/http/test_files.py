"""Model files that change under a daemon, that are damaged, or that are not the ones meant."""

import hashlib
import io
import os
import shutil
import signal
import struct
import tempfile
import threading
import unittest
import zipfile
import zlib

from harness import DIGITS, FASHION, PFGM, PFGMD, Daemon, run, wait_until
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
                notes = [self.reload(daemon) for _ in range(12)]

                def one_failed():
                    notes.append(self.reload(daemon))
                    return [note["detail"] for note in notes if note["state"] == "failed"]
                failed = wait_until(one_failed, "a file that is found while it is written")
            finally:
                stop.set()
                writer.join()
            for detail in failed:
                self.assertIn("m.safetensors", detail)
            self.assertEqual(self.reload(daemon)["state"], "ok")
            self.assertEqual(daemon.images({"seed": 1}).json()["images"][0]["sha256"], before)
            self.assertIsNone(daemon.process.poll())

    def test_a_file_overwritten_before_the_first_likelihood(self):
        """Whose network needs the weights once more: by as many daemons as it takes until one finds the file cut short."""
        wait_until(self.failed_likelihoods, "a likelihood that needs the file while it is written")

    def failed_likelihoods(self):
        with open(self.path, "wb") as f:
            f.write(self.content)
        with Daemon(*self.args, model=None) as daemon:
            image = daemon.images({"seed": 1}).json()["images"][0]["b64"]
            stop = threading.Event()
            writer = threading.Thread(target=self.overwrite, args=(stop,))
            writer.start()
            body = '{"images": ["%s"], "seed": 5}' % image
            headers = {"Content-Type": "application/json"}
            try:
                answers = [daemon.request("POST", "/v1/likelihood", body, headers) for _ in range(6)]
            finally:
                stop.set()
                writer.join()
            failed = [a for a in answers if a.status != 200]
            figures = {a.json()["images"][0]["log_likelihood"] for a in answers if a.status == 200}
            for answer in failed:
                self.assertEqual(answer.status, 500, answer.body)
                self.assertIn("m.safetensors", answer.json()["detail"])
            answer = daemon.request("POST", "/v1/likelihood", body, headers)
            self.assertEqual(answer.status, 200, answer.body)
            self.assertLessEqual(figures, {answer.json()["images"][0]["log_likelihood"]})  # none of other weights
            self.assertEqual(daemon.get("/livez").status, 200)
            return failed


class Pinned(Files):
    def configure(self, digest):
        with open(self.config, "w") as f:
            f.write(f"[model m]\npath = {self.path}\nsha256 = {digest}\n")

    def test_another_file_than_the_pinned_one(self):
        right = hashlib.sha256(self.content).hexdigest()
        self.configure(right.upper())
        self.assertEqual(run(PFGMD, "--config", self.config, "--check-config").returncode, 0)
        with Daemon("--config", self.config, "--admin", self.socket, model=None) as daemon:
            shutil.copyfile(DIGITS, self.path + ".new")
            os.replace(self.path + ".new", self.path)
            note = self.reload(daemon)
            self.assertEqual(note["state"], "failed")
            self.assertIn("is not the file that sha256 of [model m] names", note["detail"])
            self.assertEqual(daemon.get("/v1/models/m").json()["sha256"], right)
            with open(DIGITS, "rb") as f:
                self.configure(hashlib.sha256(f.read()).hexdigest())
            daemon.signal(signal.SIGHUP)
            wait_until(lambda: daemon.get("/v1/models/m").json()["sha256"] != right, "the other model")
        self.configure(right)
        ended = run(PFGMD, "--config", self.config, "--listen", "127.0.0.1:0")
        self.assertEqual(ended.returncode, 2, ended.stderr)
        self.assertIn(b"is not the file that sha256", ended.stderr)

    def test_pins_that_are_none(self):
        for digest in ("", "ab", "g" * 64, "a" * 63, "a" * 65):
            self.configure(digest)
            checked = run(PFGMD, "--config", self.config, "--check-config")
            self.assertEqual(checked.returncode, 2, digest)
            self.assertIn(b"pfgmd.conf:3: sha256 must be the 64 hexadecimal digits", checked.stderr)


def read_forwards(raw):
    """{name: bytes} of a zip as readers that cannot seek take it, such as Java's ZipInputStream: by the local headers
    alone. What has its sizes behind it must say itself where it ends, which stored members do not."""
    members, at = {}, 0
    while raw[at:at + 4] == b"PK\3\4":
        flags, method, crc, packed, size, name, extra = struct.unpack("<6xHH4xIIIHH", raw[at:at + 30])
        at += 30
        key, at = raw[at:at + name].decode(), at + name + extra
        if flags & 8:
            assert method == 8, "a stored member has a data descriptor"
            stream = zlib.decompressobj(-15)
            data = stream.decompress(raw[at:])
            assert stream.eof
            end = len(raw) - len(stream.unused_data)
            assert raw[end:end + 4] == b"PK\7\10"
            crc, packed, size = struct.unpack("<III", raw[end + 4:end + 16])
            assert packed == end - at
            at = end + 16
        else:
            data = raw[at:at + packed]
            data = zlib.decompress(data, -15) if method == 8 else data
            at += packed
        assert (len(data), zlib.crc32(data)) == (size, crc), key
        members[key] = data
    assert raw[at:at + 4] == b"PK\1\2"
    return members


class Archives(unittest.TestCase):
    def test_archives_are_read_without_seeking(self):
        with Daemon() as daemon, tempfile.TemporaryDirectory() as folder:
            for asked in ({"format": "npz"}, {"format": "npz", "dtype": "float32", "layout": "chw"},
                          {"format": "zip"}):
                answer = daemon.images({"n": 5, "seed": 3, "solver": {"method": "euler", "steps": 2}, **asked})
                self.assertEqual(answer.status, 200, answer.body)
                raw = answer.body
                with zipfile.ZipFile(io.BytesIO(raw)) as z:
                    self.assertIsNone(z.testzip())
                    whole = {name: z.read(name) for name in z.namelist()}
                self.assertEqual(read_forwards(raw), whole)
                self.assertEqual(len(whole), 3 if asked["format"] == "npz" else 6)
            out = os.path.join(folder, "a.npz")
            self.assertEqual(run(PFGM, "sample", DIGITS, "-n", "5", "--steps", "2", "--solver", "euler", "-o", out)
                             .returncode, 0)
            with open(out, "rb") as f, zipfile.ZipFile(out) as z:
                self.assertEqual(read_forwards(f.read()), {name: z.read(name) for name in z.namelist()})
                self.assertTrue(all(not i.flag_bits & 8 and i.compress_type == 0 for i in z.infolist()))


if __name__ == "__main__":
    unittest.main()
