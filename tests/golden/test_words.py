"""The words of the command line: help, manual page and completions say what the program takes.

PFGM is the binary, SOURCE the source tree. Standard library only."""

import json
import os
import re
import subprocess
import tempfile
import unittest

PFGM, SOURCE = os.environ["PFGM"], os.environ["SOURCE"]
OPTION = re.compile(r"--[a-z][a-z-]*[a-z]")


def pfgm(*words):
    return subprocess.run([PFGM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL)


def read(*names):
    with open(os.path.join(SOURCE, *names), encoding="utf-8") as f:
        return f.read()


def subcommands():
    return re.findall(r"^  ([a-z]+) +\S", pfgm("--help").stdout, re.M)


def takes(subcommand, option):
    """Whether the program knows the option; the word behind it is unknown, so it goes no further."""
    done = pfgm(subcommand, option, "1", "--nothing-of-the-kind")
    return f"unknown or ambiguous option {option} " not in done.stderr


class Words(unittest.TestCase):
    def man(self):
        """Options of each subcommand by the manual page."""
        text = read("docs", "man", "pfgm.1").replace("\\-", "-")
        parts = re.split(r"^\.SH PFGM ([A-Z]+)$", text.split("\n.SH EXIT")[0], flags=re.M)
        return {name.lower(): set(OPTION.findall(body)) for name, body in zip(parts[1::2], parts[2::2])}

    def completion(self, name, pattern):
        return {word: set(OPTION.findall(rest)) for word, rest in
                re.findall(pattern, read("conf", "completions", name), re.M)}

    def test_help_manual_and_completions_have_the_same_options(self):
        man = self.man()
        bash = self.completion("pfgm.bash", r"^    ([a-z]+)\) words=(.*) ;;$")
        zsh = self.completion("_pfgm", r"^    ([a-z]+)\) compadd -- (.*) ;;$")
        names = subcommands()
        self.assertGreater(len(names), 10)
        self.assertEqual([sorted(d) for d in (man, bash, zsh)], [sorted(names)] * 3)
        for name in names:
            text = pfgm(name, "--help").stdout + (pfgm(name, "ops", "--help").stdout if name == "bench" else "")
            # those that the text only mentions, of other programs and subcommands, are none of its own
            own = {o for o in OPTION.findall(text) if o in bash[name] or takes(name, o)}
            self.assertEqual(bash[name] - {"--help"}, own - {"--help"}, name)
            self.assertEqual(zsh[name], bash[name], name)
            self.assertLessEqual(own, man[name] | {"--help"}, name)
            for option in bash[name]:
                self.assertTrue(option == "--help" or takes(name, option), (name, option))

    def test_help_of_a_subcommand_and_the_version(self):
        for name in subcommands():
            self.assertEqual(pfgm("help", name).stdout, pfgm(name, "--help").stdout)
        self.assertEqual(pfgm("help").stdout, pfgm("--help").stdout)
        self.assertEqual(pfgm("help", "nothing").returncode, 2)
        self.assertEqual(pfgm("-V").stdout, pfgm("--version").stdout)

    def test_a_solver_is_chosen_alike_wherever_there_is_one(self):
        model = os.path.join(SOURCE, "conf", "models", "digits8.safetensors")
        ends = ["--t-max", "20", "--t-min", "0.01", "--max-nfe", "999"]
        churned = ["--solver", "heun", "--schedule", "rho", "--churn", "2", "--churn-noise", "1.5", *ends]
        with tempfile.TemporaryDirectory() as folder:
            picture, latents, out = (os.path.join(folder, name) for name in ("a.png", "l.npy", "out.npy"))
            down = {"method": "heun", "steps": 11, "schedule": "rho", "churn": 2, "churn_t_min": 0, "churn_noise": 1.5,
                    "t_max": 20, "t_min": 0.01, "max_nfe": 999}
            up = {"method": "rk45", "rtol": 0.01, "atol": 0.01, "t_max": 20, "t_min": 0.01, "max_nfe": 999}
            tolerant = ["--rtol", "0.01", "--atol", "0.01", *ends]
            for want, words in ((down, ["sample", model, "-o", picture, "--steps", "11", *churned]),
                                (up, ["encode", model, "-i", picture, "-o", latents, *tolerant]),
                                (down, ["decode", model, "--latents", latents, "-o", out, "--steps", "11", *churned]),
                                (down, ["interpolate", model, "--seeds", "1,2", "--steps", "2", "-o", out,
                                        "--solver-steps", "11", *churned]),
                                (up, ["likelihood", model, "-i", picture, *tolerant])):
                done = pfgm(*words, "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout)["solver"], want, words)
            drawn = {}
            for words in ("multistep2", "multistep3", "multistep3 --order-cap 3", "multistep3 --order-cap 2"):
                done = pfgm("sample", model, "--seed", "7", "-o", out, "--steps", "12", "--solver", *words.split())
                self.assertEqual(done.returncode, 0, done.stderr)
                with open(out, "rb") as f:
                    drawn[words] = f.read()
            self.assertEqual(drawn["multistep3 --order-cap 3"], drawn["multistep3"])
            self.assertEqual(drawn["multistep3 --order-cap 2"], drawn["multistep2"])
            self.assertNotEqual(drawn["multistep2"], drawn["multistep3"])
            for words, option in ((["--t-max", "nan"], "--t-max"), (["--churn-noise", "1"], "--churn-noise"),
                                  (["--solver", "best"], "--solver"), (["--order-cap", "0"], "--order-cap"), (["--solver", "heun", "--rtol", "1"], "--rtol")):
                done = pfgm("sample", model, "-o", out, *words)
                self.assertEqual(done.returncode, 2)
                self.assertIn(f"pfgm sample: {option}: ", done.stderr)
            done = pfgm("interpolate", model, "--seeds", "1,2", "-o", out, "--solver", "rk45", "--solver-steps", "3")
            self.assertIn("pfgm interpolate: --solver-steps: does not apply to rk45", done.stderr)

    def test_the_manual_page_has_the_usual_sections(self):
        page = read("docs", "man", "pfgm.1")
        for section in ("EXAMPLES", "EXIT STATUS", "ENVIRONMENT"):
            self.assertIn(f".SH {section}\n", page)

    def test_a_model_that_is_not_there_is_wrong_input_everywhere(self):
        with tempfile.TemporaryDirectory() as folder:
            none, out = os.path.join(folder, "none"), os.path.join(folder, "out.npy")
            for words in (["sample", none, "-o", out], ["encode", none, "-i", none, "-o", out],
                          ["decode", none, "--latents", none, "-o", out], ["inspect", none],
                          ["likelihood", none, "-i", none], ["eval", none, "--data", none],
                          ["tune", none, "--nfe", "5", "-o", out], ["convert", none, "-o", out],
                          ["train", "--data", none, "-o", out], ["bench", "--model", none],
                          ["field", none, "-i", none, "-o", out],
                          ["interpolate", none, "--seeds", "1,2", "-o", out]):
                done = pfgm(*words)
                self.assertEqual(done.returncode, 2, (words, done.stderr))
                self.assertIn(none, done.stderr)


if __name__ == "__main__":
    unittest.main()
