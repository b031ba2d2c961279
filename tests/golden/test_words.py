"""The words of the command line: what the program takes is what help, manual page and completions say, misspelt words
are answered with what they may mean, and "-" is standard input or output.

PFGM is the binary, SOURCE the source tree. Standard library only."""

import json
import os
import pty
import re
import shutil
import subprocess
import tempfile
import unittest

from sanitized import plain_only

PFGM, SOURCE = os.environ["PFGM"], os.environ["SOURCE"]
OPTION = re.compile(r"--[A-Za-z](?:[A-Za-z-]*[A-Za-z])?")


def pfgm(*words):
    return subprocess.run([PFGM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL)


def subcommands():
    return re.findall(r"^  ([a-z]+) +\S", pfgm("--help").stdout, re.M)


def commands():
    """Subcommands, and those of subcommands."""
    return [[name] for name in subcommands()] + [["bench", "ops"], ["bench", "solvers"]] + [
        ["jobs", name] for name in ("submit", "list", "watch", "fetch", "cancel")]


def unknown(command, options):
    """The first option that the program does not know, of these and of one behind them that nothing knows. One whose value it
    refuses is known, and left out the next time."""
    left = dict(options)
    while True:
        words = [word for option, value in left.items() for word in ([option, "1"] if value else [option])]
        said = pfgm(*command, *words, "--nothing-of-the-kind").stderr
        found = re.search(r"unknown option (--\S+)", said)
        if found:
            return found[1].rstrip(":")
        del left[next(option for option in left if f"{option[2:]}: " in said)]


def listed(command):
    """The options that a help text lists, with whether a value follows."""
    return {name: bool(value) for name, value in
            re.findall(r"^  (?:-\w, )?(--[A-Za-z][A-Za-z-]*)( [A-Z]\S*)?", pfgm(*command, "--help").stdout, re.M)}


class Words(unittest.TestCase):
    def man(self):
        """Options of each subcommand by the manual page."""
        text = pfgm("help", "--man").stdout.replace("\\-", "-").split("\n.SH EXIT")[0]
        parts = re.split(r"^\.SH PFGM ([A-Z ]+)$", text, flags=re.M)
        return {name.lower(): set(OPTION.findall("\n".join(re.findall(r"^\.B (.*)", body, re.M))))
                for name, body in zip(parts[1::2], parts[2::2])}

    @plain_only
    def test_help_manual_and_completions_have_what_the_program_takes(self):
        man = self.man()
        bash, zsh, fish = (pfgm("help", "--completions", shell).stdout for shell in ("bash", "zsh", "fish"))
        self.assertEqual(sorted(man), sorted(" ".join(words) for words in commands()))
        for words in commands():
            name, own = " ".join(words), listed(words)
            with self.subTest(name=name):
                self.assertGreater(len(own), 0)
                self.assertEqual(man[name], set(own))
                in_bash = re.search(rf"^    '{name}'\) words=\"(.*?)\"", bash, re.M)[1].split()
                in_zsh = re.search(rf"^    '{name}'\) options=\((.*?)\) ;;$", zsh, re.M | re.S)[1]
                seen = "; and ".join("__fish_seen_subcommand_from " + word for word in words)
                in_fish = re.findall(rf"^complete -c pfgm -n '{seen}' -l ([A-Za-z-]+)", fish, re.M)
                self.assertEqual(set(in_bash), set(own))
                self.assertEqual(set(re.findall(r"^        '(--[A-Za-z-]+):", in_zsh, re.M)), set(own))
                self.assertEqual({"--" + option for option in in_fish}, set(own))
                for option, value in own.items():
                    self.assertEqual(f"'{name} {option}'" in bash, value, option)
                self.assertEqual(unknown(words, {o: v for o, v in own.items() if o != "--help"}), "--nothing-of-the-kind")
        self.assertEqual(unknown(["sample"], {"--seed": True, "--nowhere": True, "--n": True}), "--nowhere")

    def test_every_field_of_the_solver_is_an_option(self):
        fields = {"--solver", "--steps", "--schedule", "--rtol", "--atol", "--t-max", "--t-min", "--max-nfe", "--churn",
                  "--churn-t-min", "--churn-t-max", "--churn-noise", "--order-cap", "--guidance", "--guidance-t-min", "--guidance-t-max"}
        for name in ("sample", "encode", "decode", "eval", "jobs submit"):
            self.assertLessEqual(fields, set(listed(name.split())))
        self.assertLessEqual(fields | {"--solver-steps"}, set(listed(["interpolate"])))
        self.assertNotIn("--churn", listed(["likelihood"]))

    def test_help_fits_a_terminal(self):
        for words in commands():
            for line in pfgm(*words, "-h").stdout.splitlines():
                if not line.startswith(("usage:", "       ")):
                    self.assertLessEqual(len(line), 80)

    def test_a_misspelt_word_is_answered_with_the_one_it_may_mean(self):
        for words, answer in ((["sampel"], 'no subcommand "sampel": did you mean sample?'),
                              (["tran"], 'no subcommand "tran": did you mean train?'),
                              (["--hlep"], 'no subcommand "--hlep": did you mean --help?'),
                              (["help", "trian"], "did you mean train?"),
                              (["sample", "--sed", "3"], "unknown option --sed: did you mean --seed?"),
                              (["sample", "--colums=3"], "unknown option --colums: did you mean --columns?"),
                              (["interpolate", "--sovler-steps", "3"], "option --sovler-steps: did you mean --solver-steps?"),
                              (["train", "--cofnig", "x"], "unknown option --cofnig: did you mean --config?"),
                              (["sample", "--churn-t", "3"], "option --churn-t may be --churn-t-min, --churn-t-max"),
                              (["sample", "--json=3"], "option --json takes no value"),
                              (["sample", "-q"], "unknown option -q"),
                              (["sample", "--json", "-xz"], "unknown option -x"),
                              (["tune", "--json", "-jx"], "unknown option -j"),
                              (["plot", "--seed=3", "-sn"], "unknown option -s"),
                              (["tune", "--json=3"], "option --json takes no value"),
                              (["\x1b[1m"], 'no subcommand "\\x1b[1m"'),
                              (["plot", "fild"], 'there is no figure "fild": did you mean field?')):
            done = pfgm(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertEqual(len(done.stderr.splitlines()), 1, words)
            self.assertIn(answer, done.stderr)
        for words in (["frobnicate"], ["sample", "--frobnicate"], ["sample", "--" + "x" * 300]):
            self.assertNotIn("did you mean", pfgm(*words).stderr)

    @plain_only
    def test_help_of_a_subcommand_and_the_version(self):
        for words in commands():
            said = pfgm(*words, "--help").stdout
            self.assertIn("usage: pfgm " + " ".join(words), said)
            for other in (["help", *words], [*words, "-h"]):
                self.assertEqual(pfgm(*other).stdout, said)
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
        page = pfgm("help", "--man").stdout
        for section in ("EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES"):
            self.assertIn(f".SH {section}\n", page)
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_completion_of_bash(self):
        """Names, options and values as a shell gets them."""
        script = pfgm("help", "--completions", "bash").stdout
        ask = 'eval "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pfgm; printf "%s\\n" "${COMPREPLY[@]}"'
        for words, answer in ((["pfgm", "inter"], ["interpolate"]), (["pfgm", "help", "lik"], ["likelihood"]),
                              (["pfgm", "tune", "--nf"], ["--nfe"]), (["pfgm", "bench", "so"], ["solvers"]),
                              (["pfgm", "sample", "m", "--kernel", "avx"], ["avx2", "avx512"]),
                              (["pfgm", "sample", "--solver", "h"], ["heun"]), (["pfgm", "sample", "--seed", ""], [""]),
                              (["pfgm", "bench", "ops", "--ba"], ["--batch"]),
                              (["pfgm", "bench", "solvers", "--p"], ["--plot"]),
                              (["pfgm", "plot", "s"], ["shell", "solvers"]),
                              (["pfgm", "sample", "-o", "x"], [""]), (["pfgm", "sample", "mod"], [""])):
            done = subprocess.run(["bash", "-c", ask, "bash", script, *words], capture_output=True, text=True)
            self.assertEqual(done.stdout.splitlines(), answer, (words, done.stderr))

    def test_completions_are_sentences_of_their_shells(self):
        for shell in ("bash", "zsh", "fish"):
            text = pfgm("help", "--completions", shell).stdout
            self.assertGreater(len(text), 2000)
            if shutil.which(shell):
                done = subprocess.run([shell, "-n", "/dev/stdin"], input=text, capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(pfgm("help", "--completions", "tcsh").returncode, 2)

    def test_a_model_that_is_not_there_is_wrong_input_everywhere(self):
        with tempfile.TemporaryDirectory() as folder:
            none, out = os.path.join(folder, "none"), os.path.join(folder, "out.npy")
            for words in (["sample", none, "-o", out], ["encode", none, "-i", none, "-o", out],
                          ["decode", none, "--latents", none, "-o", out], ["inspect", none],
                          ["likelihood", none, "-i", none], ["eval", none, "--data", none],
                          ["tune", none, "--nfe", "5", "-o", out], ["convert", none, "-o", out],
                          ["train", "--data", none, "-o", out], ["bench", "--model", none],
                          ["distill", none, "--data", none, "-o", out],
                          ["field", none, "-i", none, "-o", out],
                          ["interpolate", none, "--seeds", "1,2", "-o", out],
                          ["edit", none, "--seed", "1", "-o", out]):
                done = pfgm(*words)
                self.assertEqual(done.returncode, 2, (words, done.stderr))
                self.assertIn(none, done.stderr)


class Streams(unittest.TestCase):
    """"-" is standard input or output, and a run without -o finds a name for itself."""
    MODEL = os.path.join(SOURCE, "conf", "models", "digits8.safetensors")
    FEW = ("--solver", "euler", "--steps", "3")

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_in(self, *words, given=b""):
        done = subprocess.run([PFGM, *words], capture_output=True, input=given, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def bytes_of(self, name):
        with open(os.path.join(self.folder, name), "rb") as f:
            return f.read()

    def test_sample_writes_to_standard_output_what_it_writes_to_a_file(self):
        for n, ending, more in (("1", "png", []), ("3", "png", ["--scale", "2"]), ("2", "npy", ["--dtype", "uint8"]),
                                ("2", "npy", ["--dtype", "float32"]), ("2", "png", ["--trajectory", "3"])):
            words = ["sample", self.MODEL, "-n", n, "--seed", "7", *self.FEW, *more, "-o"]
            if ending == "npy":
                self.run_in(*words, "a.npy")
            else:
                self.run_in(*words, "a.png")
            done = self.run_in(*words, "-")
            self.assertEqual(done.stdout, self.bytes_of("a." + ending), more)
            self.assertEqual(len(done.stderr.splitlines()), 1)  # the report

    def test_what_one_writes_another_reads(self):
        picture = self.run_in("sample", self.MODEL, "--seed", "7", "-o", "-").stdout
        with open(os.path.join(self.folder, "p.png"), "wb") as f:
            f.write(picture)
        latents = self.run_in("encode", self.MODEL, "-i", "-", "-o", "-", given=picture).stdout
        self.run_in("encode", self.MODEL, "-i", "p.png", "-o", "l.npy")
        self.assertEqual(latents, self.bytes_of("l.npy"))
        back = self.run_in("decode", self.MODEL, "--latents", "-", "-o", "-", given=latents).stdout
        self.run_in("decode", self.MODEL, "--latents", "l.npy", "-o", "b.png")
        self.assertEqual(back, self.bytes_of("b.png"))
        two = self.run_in("sample", self.MODEL, "-n", "2", "--seed", "1", "--dtype", "float32", "-o", "-").stdout
        ends = self.run_in("encode", self.MODEL, "-i", "-", "-o", "-", given=two).stdout
        strip = self.run_in("interpolate", self.MODEL, "--latents", "-", "--steps", "3", "-o", "-", given=ends).stdout
        self.assertTrue(strip.startswith(b"\x89PNG"))
        told = json.loads(self.run_in("likelihood", self.MODEL, "-i", "-", "--json", given=two).stdout)
        self.assertEqual(len(told["images"]), 2)

    def test_a_report_shows_no_escape_sequences(self):
        for more in ([], ["--trajectory", "2"]):
            done = self.run_in("sample", self.MODEL, *self.FEW, *more, "-o", "a\x1b[1m.png")
            self.assertIn(b"a\\x1b[1m.png", done.stdout)
            self.assertTrue(self.bytes_of("a\x1b[1m.png"))

    def test_without_an_output_no_file_is_replaced(self):
        for seed, name in (("1", "sample.png"), ("2", "sample-2.png"), ("3", "sample-3.png")):
            done = self.run_in("sample", self.MODEL, "--seed", seed, *self.FEW)
            self.assertIn(name.encode(), done.stdout)
        self.run_in("sample", self.MODEL, "--dtype", "float32", *self.FEW)
        self.assertEqual(sorted(os.listdir(self.folder)), ["sample-2.png", "sample-3.png", "sample.npy", "sample.png"])
        self.assertNotEqual(self.bytes_of("sample.png"), self.bytes_of("sample-2.png"))

    def test_what_cannot_be_is_said_in_a_line(self):
        for words, answer in ((["encode", self.MODEL, "-i", "-", "-o", "x.npy"], "standard input: holds neither a PNG"),
                              (["decode", self.MODEL, "--latents", "-", "-o", "x.png"], "standard input"),
                              (["sample", self.MODEL, "--json", "-o", "-"], "--json and -o - both"),
                              (["decode", self.MODEL, "--json", "--latents", "-", "-o", "-"], "--json and -o - both"),
                              (["tune", self.MODEL, "--nfe", "2", "-o", "-"], "-o - is no file"),
                              (["field", self.MODEL, "-i", "x", "-o", "-"], "-o - is no file"),
                              (["convert", "x", "-o", "-"], "-o - is no file"),
                              (["eval", self.MODEL, "--data", "x", "--train", "x", "-o", "-"], "must end in .png"),
                              (["eval", self.MODEL, "--data", "x", "--train", "x", "-o", "a.jpg"], "must end in .png"),
                              (["edit", self.MODEL, "--image", "x", "--index", "9", "-o", "y.png"], "--index goes with"),
                              (["sample", self.MODEL, "--class", "nosuch", "-o", "newdir/"], "--class")):
            done = subprocess.run([PFGM, *words], capture_output=True, text=True, input="nothing", cwd=self.folder)
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertIn(answer, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertEqual(os.listdir(self.folder), [])
        with open("/dev/full", "w") as full:
            done = subprocess.run([PFGM, "sample", self.MODEL, *self.FEW, "-o", "-"], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_no_output_takes_the_place_of_an_input(self):
        for name in ("m.safetensors", "m.npy", "m.png"):
            shutil.copy(self.MODEL, os.path.join(self.folder, name))
        self.run_in("sample", self.MODEL, "-n", "2", "--seed", "7", *self.FEW, "-o", "d/")
        self.run_in("sample", self.MODEL, "-n", "2", "--seed", "7", *self.FEW, "--dtype", "float32", "-o", "l.npy")
        os.symlink("d/000000.png", os.path.join(self.folder, "link.png"))
        before = {name: self.bytes_of(name) for name in ("m.safetensors", "m.npy", "m.png", "l.npy", "d/000000.png", "d/000001.png")}
        for words in (["sample", "m.safetensors", "-o", "m.safetensors"], ["sample", self.MODEL, "--latents", "l.npy", "-o", "l.npy"],
                      ["encode", "m.npy", "-i", "d", "-o", "m.npy"], ["encode", self.MODEL, "-i", "l.npy", "-o", "l.npy"],
                      ["decode", self.MODEL, "--latents", "l.npy", "-o", "./l.npy"],
                      ["edit", self.MODEL, "--image", "link.png", "-o", "d/000000.png"],
                      ["edit", self.MODEL, "--image", "d/000001.png", "-n", "2", "-o", "d/"],
                      ["interpolate", self.MODEL, "--between", "d/000000.png", "d/000001.png", "-o", "d/"],
                      ["field", "m.safetensors", "-i", "l.npy", "-o", "m.safetensors"],
                      ["eval", self.MODEL, "--data", "d", "--train", "l.npy", "-o", "d/000000.png"],
                      ["plot", "solvers", "m.png", "-o", "m.png"], ["bench", "solvers", "m.png", "--plot", "m.png"]):
            done = subprocess.run([PFGM, *words], capture_output=True, text=True, cwd=self.folder)
            self.assertEqual((done.returncode, done.stdout), (2, ""), (words, done.stderr))
            self.assertRegex(done.stderr, "is the input file|is a picture of the input", words)
        self.assertEqual({name: self.bytes_of(name) for name in before}, before)

    def test_an_output_is_looked_at_before_anything_else(self):
        os.mkdir(os.path.join(self.folder, "shards"))
        open(os.path.join(self.folder, "shards", "shard-1-of-2.manifest"), "w").close()
        job = ["jobs", "fetch", "0" * 36, "--server", "http://127.0.0.1:9", "--patience", "0", "-o"]
        for words, answer in (([*job, "none/a.zip"], "none/a.zip"), ([*job, "shards/"], "images of another run"),
                              (["merge", "nothing", "-o", "none/a.npz"], "none/a.npz"),
                              (["convert", self.MODEL, "-o", "none/a.safetensors"], "none/a.safetensors"),
                              (["eval", self.MODEL, "--data", "x", "--train", "x", "-o", "none/a.png"], "none/a.png"),
                              (["decode", self.MODEL, "--latents", "x", "-o", "shards/"], "images of another run")):
            done = subprocess.run([PFGM, *words], capture_output=True, text=True, cwd=self.folder)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(": " + answer if "/a." in answer else answer, done.stderr)
        self.assertEqual(os.listdir(self.folder), ["shards"])

    def test_a_path_that_json_cannot_hold_is_refused_first(self):
        odd = os.fsdecode(b"m\xff\xc2\x85.safetensors")
        shutil.copy(self.MODEL, os.path.join(self.folder, odd))
        for words in (["sample", odd, "-o", "a.png"], ["eval", self.MODEL, "--data", odd], ["inspect", odd],
                      ["decode", self.MODEL, "--latents", "x", "-o", odd], ["convert", odd, "-o", "x"]):
            done = subprocess.run([PFGM, *words, "--json"], capture_output=True, text=True, cwd=self.folder)
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertIn("m???.safetensors: is not UTF-8", done.stderr)
        shown = self.run_in("inspect", odd).stdout.decode()
        self.assertIn("m\\xff\\u0085.safetensors", shown)

    def test_pictures_of_a_folder_end_in_png_in_any_case(self):
        self.run_in("sample", self.MODEL, "-n", "2", *self.FEW, "-o", "d/")
        os.rename(os.path.join(self.folder, "d/000001.png"), os.path.join(self.folder, "d/000001.PNG"))
        self.assertIn(b"2 latents", self.run_in("encode", self.MODEL, "-i", "d", "-o", "l.npy").stdout)
        told = self.run_in("decode", self.MODEL, "--latents", "l.npy", *self.FEW, "-o", "b.png", "--json").stdout
        self.assertIsNone(json.loads(told)["seed"])
        self.assertNotIn(b"seed", self.run_in("decode", self.MODEL, "--latents", "l.npy", *self.FEW, "-o", "b.png").stdout)

    def test_an_error_names_the_option_and_the_end_of_a_path(self):
        path = "a" * 200 + "/" + "b" * 100 + "/end.safetensors"
        for words, answer in ((["sample", ""], 'pfgm sample: "": cannot open'), (["train", "--data", "", "-o", "r"], 'train: "": No such'),
                              (["sample", path], "bbb/end.safetensors: cannot open"),
                              (["edit", self.MODEL, "--seed", "1", "-n", "2", "--first-index", str(2**64 - 1), "-o", "a/"], "edit: --first-index: "),
                              (["likelihood", self.MODEL, "-i", "l.npy", "--solver", "heun"], "likelihood: --solver: must be rk45"),
                              (["train", "--data", "x", "-o", "r", "--kernel", "mmx"], "train: --kernel: is auto")):
            if "l.npy" in words:
                self.run_in("sample", self.MODEL, *self.FEW, "--dtype", "float32", "-o", "l.npy")
            done = subprocess.run([PFGM, *words], capture_output=True, text=True, cwd=self.folder)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(answer, done.stderr)
        done = subprocess.run([PFGM, "likelihood", "--help"], capture_output=True, text=True)
        self.assertIn("rk45, which is the only one here", done.stdout)

    def test_a_terminal_gets_no_picture(self):
        lead, follow = pty.openpty()
        done = subprocess.run([PFGM, "sample", self.MODEL, *self.FEW, "-o", "-"], stdout=follow,
                              stderr=subprocess.PIPE, text=True)
        os.close(follow)
        os.close(lead)
        self.assertEqual(done.returncode, 2)
        self.assertIn("standard output is a terminal", done.stderr)


if __name__ == "__main__":
    unittest.main()
