"""Rounds of one job each: the daemon is killed at some moment and started again; every image is there, and is the one that
`pfgm sample` makes, and no image that was stored is computed again. JOBS_ROUNDS says how many rounds."""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

from harness import DIGITS, PFGM, SANITIZER, Daemon, wait_until
from jobs_calls import file_job, job_of, wait_state

IMAGES = 200
STEPS = 3
ROUNDS = int(os.environ.get("JOBS_ROUNDS", "20" if SANITIZER == "none" else "2"))


def sampled():
    """SHA-256 of each image by the command line."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PFGM, "sample", DIGITS, "--seed", "9", "-n", str(IMAGES), "--solver", "euler", "--steps", str(STEPS),
                        "-o", folder + "/"], check=True, stdout=subprocess.DEVNULL)
        digests = []
        for i in range(IMAGES):
            with open(os.path.join(folder, f"{i:06d}.png"), "rb") as f:
                digests.append(hashlib.sha256(f.read()).hexdigest())
        return digests


def stored(state, name):
    """How many images of the job lie in the store of a process that was killed; the store itself is left as it is."""
    with tempfile.TemporaryDirectory() as copy:
        for file in os.listdir(state):
            shutil.copy(os.path.join(state, file), copy)
        connection = sqlite3.connect(os.path.join(copy, "jobs.sqlite3"))
        try:
            rows = connection.execute("SELECT i FROM result WHERE job = (SELECT number FROM job WHERE id = ?)", (name,)).fetchall()
        finally:
            connection.close()
        return len(rows)


class Killed(unittest.TestCase):
    def kill(self, daemon, name, dice, whole_s):
        """At a random moment of the job, or as soon as a random number of its images is stored."""
        if dice.random() < 0.5:
            time.sleep(dice.uniform(0, whole_s))
        else:
            wanted = dice.randrange(IMAGES)
            wait_until(lambda: job_of(daemon, name)["progress"]["images_done"] >= wanted, "so many images")
        seen = job_of(daemon, name)["progress"]["images_done"]
        daemon.process.send_signal(signal.SIGKILL)
        daemon.wait()
        daemon.stop()
        return seen

    def check(self, daemon, name, digests, before):
        job = wait_state(daemon, name, "succeeded", "failed", "cancelled")
        self.assertEqual(job["state"], "succeeded")
        self.assertEqual(daemon.metrics().sum("pfgmd_images_total", outcome="ok"), IMAGES - before)
        archive = tarfile.open(fileobj=io.BytesIO(daemon.get(f"/v1/jobs/{name}/archive?format=tar").body))
        self.assertEqual(len(archive.getnames()), IMAGES + 1)
        got = [hashlib.sha256(archive.extractfile(f"pfgm-9-{i}.png").read()).hexdigest() for i in range(IMAGES)]
        self.assertEqual(got, digests)
        manifest = json.loads(archive.extractfile("manifest.json").read())
        self.assertEqual([image["sha256"] for image in manifest["images"]], digests)

    def test_a_daemon_that_is_killed_goes_on_where_it_stood(self):
        fields, digests = {"n": IMAGES, "seed": 9, "solver": {"method": "euler", "steps": STEPS}}, sampled()
        dice, moments = random.Random(5), []
        with tempfile.TemporaryDirectory() as folder:
            state = os.path.join(folder, "state")
            daemon = Daemon("--state", state)
            try:
                begun = time.monotonic()
                wait_state(daemon, file_job(daemon, fields).json()["id"], "succeeded")
                whole_s = time.monotonic() - begun
                for _ in range(ROUNDS):
                    name = file_job(daemon, fields).json()["id"]
                    seen = self.kill(daemon, name, dice, whole_s)
                    before = stored(state, name)
                    self.assertGreaterEqual(before, seen)  # what was told is there
                    moments.append(before)
                    daemon = Daemon("--state", state)
                    self.check(daemon, name, digests, before)
            finally:
                daemon.stop()
        print(f"{ROUNDS} rounds, killed with so many of {IMAGES} images stored:", *moments, file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
