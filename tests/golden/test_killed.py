"""`kill -9` at random moments of a training run and of a conversion: what is under a final name is whole, the run goes on
from what it saved last, and when all is done the bytes are those of a run without a break and nothing else is left.

Environment: PFGM, GOLDEN, SANITIZER, and KILL_ROUNDS, how many kills of each there are."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_file  # noqa: E402
from test_train import TINY, picture, png  # noqa: E402

PFGM, GOLDEN = os.environ["PFGM"], os.environ["GOLDEN"]
ROUNDS = int(os.environ.get("KILL_ROUNDS", "3" if os.environ["SANITIZER"] == "none" else "1"))
OLD = b"what was there before"


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Killed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfgm-killed-")
        self.addCleanup(folder.cleanup)
        self.top, self.dice = folder.name, random.Random(3)

    def path(self, *names):
        return os.path.join(self.top, *names)

    def run_whole(self, command):
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def kill(self, command, after_s):
        """Whether it was killed; it may be faster than that."""
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after_s)
        process.kill()
        code = process.wait()
        self.assertIn(code, (0, -signal.SIGKILL))
        return code != 0

    def files(self, *names):
        found = []
        for place, _, files in os.walk(self.path(*names)):
            found += [os.path.relpath(os.path.join(place, name), self.path(*names)) for name in files]
        return sorted(found)

    # ---- a training run ----

    def train(self, run, *more):
        return [PFGM, "train", "--data", self.path("data"), "-o", self.path(run), "--threads", "1", *more]

    def go_on(self, run):
        """How a run that was killed is continued: before its state there is its configuration alone."""
        if os.path.exists(self.path(run, "state.safetensors")):
            return ["--resume"]
        own = self.path(run, "config.json")
        return ["--config", own if os.path.exists(own) else self.path("config.json")]

    def saved(self):
        """The step of the state, which is whole whenever there is one."""
        path = self.path("killed", "state.safetensors")
        if not os.path.exists(path):
            return 0
        metadata, tensors = safetensors_file.read(path)
        self.assertTrue(tensors)
        return int(json.loads(metadata["pfgm.train"])["step"])

    def test_a_training_run_ends_in_the_same_bytes(self):
        os.mkdir(self.path("data"))
        for i in range(12):
            with open(self.path("data", f"{i:02d}.png"), "wb") as f:
                f.write(png(8, 8, picture(i)))
        steps = 8 * ROUNDS + 20
        with open(self.path("config.json"), "w") as f:
            json.dump(dict(TINY, steps=steps, save_every=3, sheet_every=9), f)
        begun = time.monotonic()
        self.run_whole(self.train("whole", "--config", self.path("config.json")))
        whole_s = time.monotonic() - begun
        killed, last = 0, 0
        while killed < ROUNDS:
            if not self.kill(self.train("killed", *self.go_on("killed")), self.dice.uniform(0, 2 * whole_s / ROUNDS)):
                break
            killed += 1
            self.assertGreaterEqual(self.saved(), last)  # what was saved stays
            last = self.saved()
        self.run_whole(self.train("killed", *self.go_on("killed")))
        print(f"a training run of {steps} steps, killed {killed} times, last at step {last}", file=sys.stderr)
        self.assertEqual(self.files("killed"), self.files("whole"))
        for name in ("model.safetensors", "state.safetensors"):
            self.assertEqual(digest(self.path("killed", name)), digest(self.path("whole", name)))

    # ---- a conversion ----

    def test_a_conversion_leaves_the_old_file_or_the_new_one(self):
        out = self.path("out", "model.safetensors")
        command = [PFGM, "convert", os.path.join(GOLDEN, "pfgmpp_ncsnpp_rgb16_d128.pkl"), "-o", out]
        os.mkdir(self.path("out"))
        begun = time.monotonic()
        self.run_whole(command)
        whole_s = time.monotonic() - begun
        new, counts = digest(out), [0, 0]
        for _ in range(ROUNDS):
            with open(out, "wb") as f:
                f.write(OLD)
            self.kill(command, self.dice.uniform(0, 1.2 * whole_s))
            found = digest(out)
            self.assertIn(found, (new, hashlib.sha256(OLD).hexdigest()))
            counts[found == new] += 1
            self.run_whole(command)
            self.assertEqual(digest(out), new)
            self.assertEqual(self.files("out"), ["model.safetensors"])
        print(f"a conversion, killed {ROUNDS} times: the old file {counts[0]} times, the new one {counts[1]}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
