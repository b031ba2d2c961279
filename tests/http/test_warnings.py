"""Ways with so few steps that they end in noise are said to, and others are not."""

import json
import os
import sys
import tempfile
import unittest

from harness import DIGITS, PFGM, SharedDaemon, run

sys.path.insert(0, os.path.join(os.environ["CLIENTS"], "python"))
import pfgmd  # noqa: E402

NOISE = [("heun", 3, "rho"), ("heun", 5, "log"), ("heun", 7, "rho"), ("improved-euler", 3, "log")]
FINE = [("heun", 14, "rho"), ("heun", 18, "log"), ("improved-euler", 6, "log"), ("euler", 3, "log"),
        ("multistep3", 6, "power"), ("multistep2", 3, "log")]


class Warnings(SharedDaemon):
    def test_noise_of_few_steps_is_announced_and_nothing_else(self):
        for way, noise in [(w, True) for w in NOISE] + [(w, False) for w in FINE]:
            solver = dict(zip(["method", "steps", "schedule"], way))
            answer = self.daemon.images({"seed": 1, "solver": solver})
            self.assertEqual(answer.status, 200)
            warnings = answer.json().get("warnings")
            if not noise:
                self.assertIsNone(warnings, way)
                continue
            self.assertEqual(len(warnings), 1)
            self.assertIn(f"{way[0]} with {way[1]} steps", warnings[0])
            self.assertIn("multistep3 with 35", warnings[0])
        self.assertNotIn("warnings", self.daemon.images({"seed": 1}).json())
        self.assertNotIn("warnings", self.daemon.images({"seed": 1, "solver": {"method": "rk45", "rtol": 0.1}}).json())

    def test_events_and_clients_have_it_too(self):
        fields = {"seed": 1, "solver": {"method": "heun", "steps": 3}}
        stream = self.daemon.images(fields, accept="text/event-stream").body.decode()
        queued = json.loads(stream.split("data: ", 1)[1].split("\n", 1)[0])
        self.assertIn("heun with 3 steps", queued["warnings"][0])
        client = pfgmd.Client(f"http://127.0.0.1:{self.daemon.port}")
        self.assertIn("heun with 3 steps", client.images(**fields)[0].warnings[0])
        self.assertEqual(client.images(seed=1)[0].warnings, ())

    def test_the_command_line_says_it_on_a_line(self):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.png")
            for steps, words in (("3", b"heun with 3 steps is too coarse"), ("14", b"")):
                for command in (["sample", DIGITS], ["interpolate", DIGITS, "--seeds", "1,2"]):
                    word = "--solver-steps" if command[0] == "interpolate" else "--steps"
                    done = run(PFGM, *command, "--solver", "heun", word, steps, "-o", out)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(words in done.stderr and bool(done.stderr.strip()), bool(words), done.stderr)


if __name__ == "__main__":
    unittest.main()
