"""From data to a served model, as docs/training.md tells it: pictures in a folder, and vectors.

PFGM and PFGMD are the binaries. Standard library only."""

import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import unittest
import zlib

from harness import PFGM, Daemon


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows):
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b""))


class Trained(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pfgm-trained-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def run_pfgm(self, *words):
        done = subprocess.run([PFGM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=800)
        self.assertEqual(done.returncode, 0, done.stderr)

    def serve(self, model):
        daemon = Daemon(model=model)
        self.addCleanup(daemon.stop)
        return daemon

    def ask(self, daemon, body, accept):
        return daemon.request("POST", "/v1/images", json.dumps(body), {
            "Content-Type": "application/json", "Accept": accept})

    def test_three_hundred_pictures_in_three_commands(self):
        rng = random.Random(1)
        os.mkdir(self.path("my-pictures"))
        for i in range(300):
            side, bright = 40, rng.randrange(100, 256)
            row = rng.randrange(side)
            self.write(f"my-pictures/{i:03}.png", png(
                [bytes(bright if abs(y - row) < 6 else 10 for _ in range(side + 4)) for y in range(side)]))
        config = self.write("config.json", json.dumps({
            "network": {"nf": 8, "num_res_blocks": 1}, "batch": 8, "large_batch": 32, "steps": 12,
            "sheet_every": 0}).encode())
        self.run_pfgm("train", "--data", self.path("my-pictures"), "-o", self.path("RUN"),
                      "--center-crop", "40", "--resize", "16", "--config", config)
        model = self.path("RUN", "model.safetensors")
        self.run_pfgm("sample", model, "-n", "4", "--seed", "5", "-o", self.path("samples.png"))
        self.run_pfgm("sample", model, "-n", "1", "--seed", "5", "-o", self.path("one.png"))
        answer = self.ask(self.serve(model), {"seed": 5, "n": 1}, "image/png")
        self.assertEqual(answer.status, 200, answer.body)
        with open(self.path("one.png"), "rb") as f:
            self.assertEqual(answer.body, f.read())

    def test_vectors_are_served_as_numbers_only(self):
        rng = random.Random(2)
        text = "{'descr': '<f4', 'fortran_order': False, 'shape': (50, 2), }"
        text += " " * (-(11 + len(text)) % 64) + "\n"
        data = self.write("points.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) +
                          text.encode() + struct.pack("<100f", *[rng.gauss(3, 1) for _ in range(100)]))
        config = self.write("config.json", json.dumps({
            "network": {"width": 16, "depth": 1}, "batch": 8, "large_batch": 16, "steps": 12,
            "sheet_every": 0}).encode())
        self.run_pfgm("train", "--data", data, "-o", self.path("RUN"), "--config", config)
        model, out = self.path("RUN", "model.safetensors"), self.path("out.npy")
        self.run_pfgm("sample", model, "-n", "3", "--seed", "5", "-o", out, "--dtype", "float32")
        daemon = self.serve(model)
        answer = self.ask(daemon, {"seed": 5, "n": 3, "dtype": "float32"}, "application/x-npy")
        self.assertEqual(answer.status, 200, answer.body)
        with open(out, "rb") as f:
            self.assertEqual(answer.body[-24:], f.read()[-24:])
        for accept in ("image/png", "application/x-npy", "application/zip", "application/x-npz"):
            refused = self.ask(daemon, {"seed": 5, "n": 1}, accept)
            self.assertIn(refused.status, (400, 406, 415, 422), (accept, refused.body))
            self.assertIn("vectors", refused.body.decode())
        self.assertEqual(daemon.request("GET", "/readyz").status, 200)

    def test_a_student_is_served_by_its_own_steps_alone(self):
        rng = random.Random(3)
        text = "{'descr': '<f4', 'fortran_order': False, 'shape': (50, 2), }"
        text += " " * (-(11 + len(text)) % 64) + "\n"
        data = self.write("points.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) +
                          text.encode() + struct.pack("<100f", *[rng.gauss(3, 1) for _ in range(100)]))
        few = {"batch": 8, "steps": 12, "sheet_every": 0}
        config = self.write("config.json", json.dumps(dict(
            few, network={"width": 16, "depth": 1}, objective="pfgmpp", D=1)).encode())
        self.run_pfgm("train", "--data", data, "-o", self.path("RUN"), "--config", config)
        config = self.write("config.json", json.dumps(few).encode())
        self.run_pfgm("distill", self.path("RUN", "model.safetensors"), "--data", data, "-o", self.path("STUDENT"),
                      "--steps", "2", "--config", config)
        model, out = self.path("STUDENT", "model.safetensors"), self.path("out.npy")
        self.run_pfgm("sample", model, "-n", "3", "--seed", "5", "-o", out, "--dtype", "float32")
        daemon = self.serve(model)
        usual = {"seed": 5, "n": 3, "dtype": "float32"}
        for more in ({}, {"solver": {"steps": 2}}, {"solver": {"method": "euler", "schedule": "tuned"}}):
            answer = self.ask(daemon, dict(usual, **more), "application/x-npy")
            self.assertEqual(answer.status, 200, answer.body)
            with open(out, "rb") as f:
                self.assertEqual(answer.body[-24:], f.read()[-24:])
        [shown] = json.loads(daemon.request("GET", "/v1/models").body)["data"]
        solver = shown["default_solver"]
        self.assertEqual((solver["method"], solver["steps"], solver["schedule"]), ("euler", 2, "tuned"))
        for name, value in (("steps", 4), ("method", "heun"), ("schedule", "log"), ("t_max", 1.5), ("rtol", 1e-3)):
            refused = self.ask(daemon, dict(usual, solver={name: value}), "application/x-npy")
            self.assertEqual(refused.status, 422, refused.body)
            self.assertIn("distilled to sample in 2 steps", refused.body.decode())
        refused = daemon.request("POST", "/v1/encode", json.dumps({"samples": [[1.0, 2.0]]}),
                                 {"Content-Type": "application/json"})
        self.assertEqual(refused.status, 422, refused.body)
        self.assertEqual(daemon.request("GET", "/readyz").status, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
