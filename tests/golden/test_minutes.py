"""`pfgm train --minutes`: a run that ends at its time, and is like any other.

PFGM is the binary. Standard library only."""

import json
import os
import shutil
import signal
import subprocess
import time
import unittest

from test_train import Case, PFGM, npy, picture, png

# How much later than it should a run may end on a machine that does other things.
LATE = 60
# How many minutes a run gets: the first, unless this machine is held up for so long that no step fits in.
SHORT = (0.1, 1, 5)


class Minutes(Case):
    def pictures(self):
        for i in range(24):
            self.write(f"pictures/{'even' if i % 2 == 0 else 'odd'}/{i:02}.png", png(8, 8, picture(i)))
        return self.path("pictures")

    def settings(self, run):
        with open(self.path(run, "config.json"), encoding="utf-8") as f:
            return json.load(f)

    def test_a_run_ends_at_its_time_and_knows_the_classes(self):
        data = self.pictures()
        for minutes in SHORT:
            begun = time.monotonic()
            process = subprocess.Popen(self.command(data, "run", "--minutes", minutes), text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            lines = []
            while not lines or not (lines[-1].startswith("step ") or lines[-1] == ""):
                lines.append(process.stdout.readline())
            out, errors = process.communicate(timeout=60 * minutes + LATE)
            taken = time.monotonic() - begun
            if "no step fits" not in errors:
                break
        self.assertEqual(process.returncode, 0, errors)
        self.assertRegex(lines[0], r"^plan +\d+ (s|min): nf \d+ with \d blocks? per level, batch \d+, \d+ steps at ")
        self.assertRegex(lines[1], r"^enough +\d+ \w+ for a first model of 8×8 pixels here")
        self.assertRegex(lines[-1], r"^step 1 .* left$")
        self.assertGreater(taken, 40 * minutes)
        config = self.settings("run")
        self.assertIn(f"done after step {config['steps']}:", out)
        self.assertEqual((config["objective"], config["decay"]), ("pfgmpp", "cosine"))
        self.assertTrue(config["conditional"])
        self.assertIn(f"step-{config['steps']:08}.png", os.listdir(self.path("run", "samples")))
        sampled = subprocess.run([PFGM, "sample", self.path("run", "model.safetensors"), "--class", "each",
                                  "-n", "4", "-o", self.path("sheet.png")], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True)
        self.assertEqual(sampled.returncode, 0, sampled.stderr)

    def test_a_stopped_run_goes_on_to_the_steps_that_were_chosen(self):
        data = self.pictures()
        process = subprocess.Popen(self.command(data, "run", "--minutes", 5, "--threads", 1), text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in process.stdout:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=LATE)
        self.assertIn("stopped after step", out)
        self.assertEqual(process.returncode, 0)
        config, stopped = self.settings("run"), self.saved_step("run")
        self.assertGreater(config["steps"], stopped)
        # As many as were chosen last minutes; fewer show that both runs go the same path.
        steps = stopped + 40
        end = self.write("end.json", json.dumps({"steps": steps, "decay_steps": 20, "save_every": 9}).encode())
        shutil.copytree(self.path("run"), self.path("killed"))
        self.train(data, "run", "--resume", "--continue-with", end)
        process = subprocess.Popen(self.command(data, "killed", "--resume", "--continue-with", end),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        process.kill()
        process.wait()
        more = [] if self.settings("killed")["steps"] == steps else ["--continue-with", end]
        self.train(data, "killed", "--resume", *more)
        self.assertEqual(self.digests("killed"), self.digests("run"))

    def test_what_a_configuration_says_wins(self):
        config = self.config()
        with open(config, encoding="utf-8") as f:
            given = json.load(f)
        self.refused(self.train(self.data(), "run", "--config", config, "--minutes", 1, ok=False),
                     "config.json", '"steps" and --minutes both say when the run ends')
        del given["steps"]
        config = self.write("given.json", json.dumps(given).encode())
        for minutes in SHORT:
            done = self.train(self.data(), "run", "--config", config, "--minutes", minutes, ok=False)
            if "no step fits" not in done.stderr:
                break
        self.assertEqual(done.returncode, 0, done.stderr)
        chosen = self.settings("run")
        for key in given:
            if key != "network":
                self.assertEqual(chosen[key], given[key], key)
        self.assertEqual(chosen["network"]["nf"], given["network"]["nf"])
        self.assertEqual(chosen["network"]["num_res_blocks"], 1)

    def test_an_end_in_two_ways_is_refused(self):
        for more, words in ((["--steps", 5], "--minutes and --steps"), (["--resume"], "--minutes is for a new run")):
            done = self.train(self.data(), "run", "--minutes", 1, *more, ok=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(words, done.stderr)
        for word in "0", "-1", "nan", "1e9", "soon":
            self.refused(self.train(self.data(), "run", "--minutes", word, ok=False), "--minutes")
        self.assertFalse(os.path.exists(self.path("run")))


if __name__ == "__main__":
    unittest.main()
