"""The solvers of few evaluations on the trained golden networks: how far from the exact path each ends,
as a table, with bounds where a promise hangs on it; and the options that choose them.

The exact path is rk45's at a tolerance of 1e-7, from the golden points on t = T. Distances are in
data scale, [-1, 1]. PFGM is the binary, GOLDEN the folder of golden files; a missing file is a
failure. Standard library only."""

import json
import math
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_file  # noqa: E402
import test_sample  # noqa: E402
from sanitized import plain_only  # noqa: E402
from test_sample import GOLDEN, Folder  # noqa: E402

SCHEDULES = ("log", "power", "rho")
MULTISTEP = ("multistep2", "multistep3", "ipndm4")


def tearDownModule():
    test_sample.tearDownModule()


@plain_only
class Quality(test_sample.Case):
    exact = {}

    def end(self, name, *arguments):
        """([values of an image], [its nfe]) from the golden starts of a network."""
        report = self.sample(Folder.model(name), "end.safetensors", "--latents",
                             os.path.join(GOLDEN, name + ".golden.safetensors"), *arguments)
        _, tensors = safetensors_file.read(Folder.file("end.safetensors"))
        values = safetensors_file.floats(tensors["samples"])
        size = len(values) // report["n"]
        images = [values[i * size:(i + 1) * size] for i in range(report["n"])]
        return images, [image["nfe"] for image in report["images"]]

    def exact_end(self, name):
        if name not in self.exact:
            self.exact[name], nfe = self.end(name, "--rtol", "1e-7", "--atol", "1e-7",
                                             "--max-nfe", 100000)
            print("%s: %d starts, the exact path took %.0f evaluations"
                  % (name, len(nfe), sum(nfe) / len(nfe)))
        return self.exact[name]

    def distance(self, name, *arguments):
        """(rms over all images, the middle one's rms, mean nfe)"""
        want = self.exact_end(name)
        got, nfe = self.end(name, *arguments)
        squares = sorted(sum((a - b) ** 2 for a, b in zip(x, y)) / len(y)
                         for x, y in zip(got, want))
        return (math.sqrt(sum(squares) / len(squares)), math.sqrt(squares[len(squares) // 2]),
                sum(nfe) / len(nfe))

    def fixed(self, name, method, steps, schedule, nfe):
        rms, middle, counted = self.distance(name, "--solver", method, "--steps", steps,
                                             "--schedule", schedule)
        self.assertEqual(counted, nfe)
        return rms, middle

    def test_few_evaluations_on_digits(self):
        """Twenty evaluations give rk45's picture: within 0.01 of the exact path."""
        for method, steps, bound in (("multistep2", 21, 0.02), ("multistep3", 20, 0.01),
                                     ("multistep3", 51, 0.002)):
            with self.subTest(method=method, steps=steps):
                rms, middle = self.fixed("pfgm_digits8", method, steps, "power", steps)
                print("digits8: %s, power, %d evaluations: rms %.4f, middle image %.4f"
                      % (method, steps, rms, middle))
                self.assertLess(rms, bound)
                self.assertGreater(rms, 0)

    def table(self, name):
        """{(method, schedule, nfe): rms}, printed."""
        found = {}
        rms, middle, nfe = self.distance(name)
        print("%s, rms to the exact path (middle image); rk45 at 1e-4: %.4f (%.4f) at %.0f"
              % (name, rms, middle, nfe))
        budgets = (6, 10, 20, 50)
        print("%-11s%-6s" % ("", "nfe") + "".join("%18d" % n for n in budgets))
        rows = [("euler", "log"), ("heun", "log")]
        rows += [(method, schedule) for method in MULTISTEP for schedule in SCHEDULES]
        for method, schedule in rows:
            line = "%-11s%-6s" % (method, schedule)
            for budget in budgets:
                steps = budget // 2 if method == "heun" else budget
                rms, middle = self.fixed(name, method, steps, schedule, budget)
                found[method, schedule, budget] = rms
                line += "%9.4f (%.4f)" % (rms, middle)
            print(line)
        return found

    def test_table(self):
        """At night of the larger network, too."""
        for name in ("pfgm_digits8", "pfgm_fashion28")[:2 if os.environ.get("GOLDEN_NIGHT") else 1]:
            with self.subTest(name):
                found = self.table(name)
                for method in MULTISTEP:
                    for schedule in SCHEDULES:
                        self.assertLess(found[method, schedule, 50], 0.02)
                        self.assertLess(found[method, schedule, 50],
                                        found["euler", "log", 50] / 2)
                        self.assertLess(found[method, schedule, 50], found["heun", "log", 50])
                # More evaluations are better, by the formula's order.
                for method in ("multistep2", "multistep3"):
                    self.assertLess(found[method, "power", 50], found[method, "power", 20] / 4)


class Options(test_sample.Case):
    def test_what_was_used_is_told(self):
        model = Folder.model("pfgm_digits8")
        digests = set()
        for schedule in SCHEDULES:
            report = self.sample(model, "a.safetensors", "--seed", 1, "--solver", "multistep3",
                                 "--steps", 12, "--schedule", schedule)
            digests.add(report["images"][0]["sha256"])
            self.assertEqual(report["images"][0]["nfe"], 12)
            metadata, _ = safetensors_file.read(Folder.file("a.safetensors"))
            solver = json.loads(metadata["seed_rule"])["solver"]
            self.assertEqual((solver["method"], solver["steps"], solver["schedule"]),
                             ("multistep3", 12, schedule))
        self.assertEqual(len(digests), 3)

    def test_company_and_workers(self):
        """An image of a multistep method is its own: alone or not, whoever computes it."""
        model = Folder.model("pfgm_digits8")
        options = ("--seed", 7, "--solver", "multistep2", "--steps", 9, "--schedule", "power")
        alone = self.sample(model, "alone.png", "--first-index", 3, *options)
        for workers in (1, 2):
            many = self.sample(model, "many/", "-n", 11, "--workers", workers, *options)
            self.assertEqual(many["images"][3], alone["images"][0])

    def test_mistakes(self):
        model, out = Folder.model("pfgm_digits8"), Folder.file("bad.png")
        for part, arguments in (
                ("use log, power, rho or tuned", ("--solver", "euler", "--schedule", "linear")),
                ("--schedule: does not apply to rk45", ("--solver", "rk45", "--schedule", "log")),
                ("no tuned schedules", ("--schedule", "tuned")),
                ("multistep3, ipndm4 or unipc3", ("--solver", "multistep")),
                ("--rtol: does not apply to ipndm4", ("--solver", "ipndm4", "--rtol", "1e-3")),
                ("takes 30 evaluations", ("--solver", "multistep3", "--steps", 30, "--max-nfe", 29))):
            with self.subTest(arguments=arguments):
                self.refused(2, part, "sample", model, "-o", out, *arguments)
                self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    unittest.main(verbosity=2)
