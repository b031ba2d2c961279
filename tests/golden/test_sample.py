"""`pfgm field` and `pfgm sample` against what the reference code computed, and the tool's own
promises: outputs of every kind agree, bytes do not depend on company, bad input is told in one
line.

PFGM is the binary, GOLDEN the folder of golden files; a missing file is a failure. Standard library
only."""

import hashlib
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_file  # noqa: E402
from sanitized import SANITIZED  # noqa: E402

PFGM = os.environ["PFGM"]
GOLDEN = os.environ["GOLDEN"]
MODELS = ("pfgm_digits8", "pfgm_fashion28", "pfgm_ddpmpp_rgb16", "pfgm_ncsnpp_rgb16")


def pfgm(*arguments, **options):
    return subprocess.run([PFGM] + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=800,
                          **options)


def golden(name):
    return safetensors_file.read(os.path.join(GOLDEN, name + ".golden.safetensors"))


class Folder:
    """A folder for all tests of this file, with the models converted once."""

    path = None

    @classmethod
    def file(cls, name):
        if cls.path is None:
            cls.path = tempfile.mkdtemp(prefix="pfgm-sample-")
        return os.path.join(cls.path, name)

    @classmethod
    def model(cls, name, weights="ema"):
        path = cls.file("%s.%s.safetensors" % (name, weights))
        if not os.path.exists(path):
            config = cls.file(name + ".json")
            with open(config, "w") as f:
                f.write(golden(name)[0]["config"])
            done = pfgm("convert", os.path.join(GOLDEN, name + ".pth"), "--config", config,
                        "--weights", weights, "-o", path)
            if done.returncode != 0:
                raise AssertionError("convert %s: %s" % (name, done.stderr))
        return path


def tearDownModule():
    if Folder.path:
        shutil.rmtree(Folder.path)


class Case(unittest.TestCase):
    def run_pfgm(self, *arguments):
        done = pfgm(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line for line in done.stderr.splitlines() if "is too coarse" not in line], [])
        return done.stdout

    def sample(self, model, output, *arguments):
        """The JSON report."""
        path = Folder.file(output)
        report = json.loads(self.run_pfgm("sample", model, "-o", path, "--json", *arguments))
        self.assertEqual(report["output"], path)
        return report

    def refused(self, code, part, *arguments):
        """Exit code, one line that says `part`, nothing on standard output."""
        done = pfgm(*arguments)
        self.assertEqual(done.returncode, code, (arguments, done.stderr))
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(part, done.stderr)
        self.assertEqual(done.stdout, "")


class Field(Case):
    """The network alone: v_x and v_t each to 1e-4 of its own largest value."""

    def compare(self, name, weights):
        _, want = golden(name)
        prefix = "field.raw." if weights == "raw" else "field."
        output = Folder.file("field.safetensors")
        self.run_pfgm("field", Folder.model(name, weights), "--input",
                      os.path.join(GOLDEN, name + ".golden.safetensors"), "--output", output)
        _, got = safetensors_file.read(output)
        for ours, theirs in (("v_x", prefix + "v_x"), ("v_t", prefix + "v_z")):
            self.assertEqual(got[ours][0], "F32")
            self.assertEqual(got[ours][1], want[theirs][1])
            a, b = safetensors_file.floats(got[ours]), safetensors_file.floats(want[theirs])
            largest = max(abs(v) for v in b)
            worst = max(abs(x - y) for x, y in zip(a, b)) / largest
            print("%s %s %s: %.2e of the largest, %.3f" % (name, weights, ours, worst, largest))
            self.assertGreater(largest, 0)
            self.assertLess(worst, 1e-4)

    def test_ema_weights(self):
        for name in MODELS:
            with self.subTest(name):
                self.compare(name, "ema")

    def test_raw_weights(self):
        names = [name for name in MODELS if "field.raw.v_x" in golden(name)[1]]
        self.assertEqual(names, ["pfgm_digits8", "pfgm_ddpmpp_rgb16", "pfgm_ncsnpp_rgb16"])
        for name in names:
            with self.subTest(name):
                self.compare(name, "raw")

    def test_plain_names_and_one_point(self):
        _, want = golden("pfgm_digits8")
        model = Folder.model("pfgm_digits8")
        points, output = Folder.file("points.safetensors"), Folder.file("v.safetensors")
        x, t = want["field.x"], want["field.z"]
        safetensors_file.write(points, {"x": (x[0], [1] + x[1][1:], x[2][:256]),
                                        "t": (t[0], [1], t[2][:4])})
        self.run_pfgm("field", model, "--input", points, "--output", output)
        metadata, got = safetensors_file.read(output)
        self.run_pfgm("field", model, "--input",
                      os.path.join(GOLDEN, "pfgm_digits8.golden.safetensors"), "--output", output)
        _, all_points = safetensors_file.read(output)
        self.assertEqual(got["v_x"][1], [1, 1, 8, 8])
        self.assertEqual(got["v_x"][2], all_points["v_x"][2][:256])  # alone or not: the same bits
        self.assertEqual(set(metadata), {"model", "kernel", "precision", "data_digest"})

    def test_bad_points(self):
        model, output = Folder.model("pfgm_digits8"), Folder.file("no.safetensors")
        points = Folder.file("points.safetensors")

        def refused(part, x_shape, x_values, t_values, code=2, x="x"):
            safetensors_file.write(points, {
                x: ("F32", x_shape, struct.pack("<%df" % len(x_values), *x_values)),
                "t": ("F32", [len(t_values)], struct.pack("<%df" % len(t_values), *t_values))})
            self.refused(code, part, "field", model, "--input", points, "--output", output)
            self.assertFalse(os.path.exists(output))

        refused("the shape [1, 3, 8, 8]", [1, 3, 8, 8], [0.0] * 192, [1.0])
        refused("must have the shape [1]", [1, 1, 8, 8], [0.0] * 64, [1.0, 2.0])
        refused("must be above 0", [1, 1, 8, 8], [0.0] * 64, [0.0])
        refused("must be above 0", [1, 1, 8, 8], [0.0] * 64, [math.nan])
        refused("not finite", [1, 1, 8, 8], [0.0] * 63 + [math.inf], [1.0])
        refused('neither a tensor "x"', [1, 1, 8, 8], [0.0] * 64, [1.0], x="y")


class Solvers(Case):
    """From the reference's own points on t = T to samples."""

    def run_latents(self, name, *arguments):
        """(values as (x + 1)/2, report)"""
        output = "latents.safetensors"
        report = self.sample(Folder.model(name), output, "--latents",
                             os.path.join(GOLDEN, name + ".golden.safetensors"), *arguments)
        _, tensors = safetensors_file.read(Folder.file(output))
        self.assertEqual(list(tensors), ["samples"])
        return [(v + 1) / 2 for v in safetensors_file.floats(tensors["samples"])], report

    def compare(self, name, key, *arguments):
        """(largest difference, largest rms of an image's differences, nfe, golden nfe)"""
        metadata, want = golden(name)
        values, report = self.run_latents(name, *arguments)
        expected = safetensors_file.floats(want[key])
        self.assertEqual(len(values), len(expected))
        squares = [(a - b) ** 2 for a, b in zip(values, expected)]
        count = len(squares) // report["n"]
        worst = math.sqrt(max(squares))
        image = max(math.sqrt(sum(squares[i:i + count]) / count)
                    for i in range(0, len(squares), count))
        nfe = [image["nfe"] for image in report["images"]]
        wanted = json.loads(metadata["info"])[key + ".nfe"]
        print("%s %s: within %.2e, an image within %.2e rms, nfe %s, reference %s"
              % (name, key, worst, image, nfe, wanted))
        return worst, image, nfe, wanted

    def test_fixed_step_methods(self):
        for name, key, method, steps in (
                ("pfgm_digits8", "forward_euler.20", "euler", 20),
                ("pfgm_digits8", "forward_euler.5", "euler", 5),
                ("pfgm_digits8", "improved_euler.20", "improved-euler", 20),
                ("pfgm_fashion28", "forward_euler.20", "euler", 20),
                ("pfgm_fashion28", "improved_euler.10", "improved-euler", 10)):
            if SANITIZED and name == "pfgm_fashion28":
                continue
            with self.subTest(name + " " + key):
                worst, _, nfe, wanted = self.compare(name, key, "--solver", method,
                                                      "--steps", steps)
                self.assertLess(worst, 1e-3)
                self.assertEqual(nfe, [wanted] * len(nfe))

    def test_rk45(self):
        """Where ‖v_x‖ is near its bound the drift divides by what is left, so rounding in the last
        bit decides now and then whether a step is taken, and a pixel on an edge follows: the images
        agree as images, and the counts in the mean."""
        for name in ("pfgm_digits8",) if SANITIZED else ("pfgm_digits8", "pfgm_fashion28"):
            with self.subTest(name):
                worst, image, nfe, wanted = self.compare(name, "rk45.single", "--solver", "rk45")
                self.assertLess(image, 1e-2)
                self.assertLess(worst, 1e-1)
                ours, theirs = sum(nfe) / len(nfe), sum(wanted) / len(wanted)
                print("%s: mean nfe %.2f, reference %.2f" % (name, ours, theirs))
                self.assertLess(abs(ours - theirs), 8)

    def test_fewer_images_than_latents(self):
        all_values, _ = self.run_latents("pfgm_digits8", "--solver", "euler", "--steps", 5)
        two, report = self.run_latents("pfgm_digits8", "--solver", "euler", "--steps", 5, "-n", 2)
        self.assertEqual(report["n"], 2)
        self.assertEqual(two, all_values[:128])

    def test_bad_latents(self):
        model, path = Folder.model("pfgm_digits8"), Folder.file("x.safetensors")
        output = Folder.file("none.npy")
        values = struct.pack("<128f", *([1.0] * 127 + [math.nan]))
        cases = (({"x": ("F32", [2, 1, 8, 8], values)}, "value 63 of image 1 must be a finite number"),
                 ({"x": ("F32", [2, 64], values)}, "has the shape [2, 64]"),
                 ({"x": ("I32", [2, 1, 8, 8], values)}, "is I32"),
                 ({"y": ("F32", [2, 1, 8, 8], values)}, "holds neither"))
        for tensors, part in cases:
            safetensors_file.write(path, tensors)
            self.refused(2, part, "sample", model, "--latents", path, "-o", output)
        self.refused(2, "holds 2 latents, -n asks for 3", "sample", model, "--latents",
                     self.good_latents(path), "-n", 3, "-o", output)
        self.assertFalse(os.path.exists(output))

    def good_latents(self, path):
        ones = struct.pack("<128f", *[1.0] * 128)
        safetensors_file.write(path, {"x": ("F32", [2, 1, 8, 8], ones)})
        return path


def png_decode(path):
    """(width, height, channels, pixels, {text key: text}); knows what our files use: 8 bits, no
    filter, no interlace."""
    with open(path, "rb") as f:
        content = f.read()
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG")
    at, data, texts = 8, b"", {}
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at:at + 8])
        body = content[at + 8:at + 8 + length]
        if struct.pack(">I", zlib.crc32(kind + body)) != content[at + 8 + length:at + 12 + length]:
            raise ValueError("CRC of " + kind.decode())
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", body)
            channels = {0: 1, 2: 3}[color]
            if depth != 8 or interlace:
                raise ValueError("depth or interlace")
        elif kind == b"tEXt":
            key, text = body.split(b"\0")
            texts[key.decode()] = text.decode()
        elif kind == b"IDAT":
            data += body
        elif kind != b"IEND":
            raise ValueError("unexpected chunk " + kind.decode())
        at += 12 + length
    data = zlib.decompress(data)
    stride = width * channels
    if len(data) != height * (stride + 1) or any(data[::stride + 1]):
        raise ValueError("a filter, or a wrong size")
    pixels = b"".join(data[y * (stride + 1) + 1:(y + 1) * (stride + 1)] for y in range(height))
    return width, height, channels, pixels, texts


def npy_decode(content):
    """(descr, shape, data)"""
    if content[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("no NPY")
    length = struct.unpack("<H", content[8:10])[0]
    header = eval(content[10:10 + length], {"__builtins__": {}})
    if (10 + length) % 64 or header["fortran_order"] is not False:
        raise ValueError("header")
    return header["descr"], header["shape"], content[10 + length:]


def file_bytes(path):
    with open(path, "rb") as f:
        return f.read()


class Outputs(Case):
    """Six images of seed 7, from index 2: in every form the same."""

    FEW = ("-n", "6", "--seed", "7", "--first-index", "2", "--solver", "euler", "--steps", "9")

    def setUp(self):
        self.model = Folder.model("pfgm_digits8")

    def pixels(self):
        self.sample(self.model, "a.npy", *self.FEW)
        descr, shape, data = npy_decode(file_bytes(Folder.file("a.npy")))
        self.assertEqual((descr, shape, len(data)), ("|u1", (6, 8, 8, 1), 384))
        self.assertGreater(len(set(data)), 20)
        return [data[i * 64:(i + 1) * 64] for i in range(6)]

    def test_npz(self):
        pixels = self.pixels()
        report = self.sample(self.model, "a.npz", *self.FEW)
        with zipfile.ZipFile(Folder.file("a.npz")) as z:
            self.assertIsNone(z.testzip())
            self.assertEqual(z.namelist(), ["arr_0.npy", "seed.npy", "index.npy"])
            self.assertEqual(npy_decode(z.read("arr_0.npy")),
                             ("|u1", (6, 8, 8, 1), b"".join(pixels)))
            self.assertEqual(npy_decode(z.read("seed.npy")), ("<u8", (1,), struct.pack("<Q", 7)))
            self.assertEqual(npy_decode(z.read("index.npy")),
                             ("<u8", (6,), struct.pack("<6Q", *range(2, 8))))
        self.assertEqual([i["sha256"] for i in report["images"]],
                         [hashlib.sha256(p).hexdigest() for p in pixels])

    def test_safetensors(self):
        pixels = b"".join(self.pixels())
        self.sample(self.model, "a.safetensors", *self.FEW)
        metadata, tensors = safetensors_file.read(Folder.file("a.safetensors"))
        self.assertEqual(tensors["samples"][:2], ("F32", [6, 1, 8, 8]))
        self.assertEqual(metadata["n"], "6")
        rule = json.loads(metadata["seed_rule"])
        self.assertEqual((rule["seed"], rule["index"], rule["solver"]["steps"]), ("7", "2", 9))
        for value, pixel in zip(safetensors_file.floats(tensors["samples"]), pixels):
            exact = 255 * min(max((value + 1) / 2, 0), 1)
            # float32 may have moved a value that lies on the edge between two bytes.
            self.assertLess(exact - 1e-4, pixel + 1)
            self.assertGreaterEqual(exact + 1e-4, pixel)

    def test_folder_single_and_digest(self):
        pixels = self.pixels()
        report = self.sample(self.model, "many/", *self.FEW)
        names = sorted(os.listdir(Folder.file("many")))
        self.assertEqual(names, ["%06d.png" % i for i in range(2, 8)])
        for i, name in enumerate(names):
            path = Folder.file("many/" + name)
            self.assertEqual(hashlib.sha256(file_bytes(path)).hexdigest(),
                             report["images"][i]["sha256"])
            width, height, channels, data, texts = png_decode(path)
            self.assertEqual((width, height, channels, data), (8, 8, 1, pixels[i]))
            rule = json.loads(texts["pfgm"])
            self.assertEqual((rule["seed"], rule["index"]), ("7", str(i + 2)))
            self.assertEqual(rule["model"], hashlib.sha256(file_bytes(self.model)).hexdigest())
            self.assertEqual(rule["kernel"], report["kernel"])
        one = ("-n", 1, "--first-index", 5, "--scale", 1)
        self.sample(self.model, "one.png", *(self.FEW + one))
        self.assertEqual(file_bytes(Folder.file("one.png")),
                         file_bytes(Folder.file("many/000005.png")))

    def test_sheet(self):
        pixels = self.pixels()
        report = self.sample(self.model, "sheet.png", "--columns", 4, "--scale", 3, *self.FEW)
        self.assertEqual([i["sha256"] for i in report["images"]], [None] * 6)
        self.assertEqual(hashlib.sha256(file_bytes(Folder.file("sheet.png"))).hexdigest(),
                         report["sha256"])
        width, height, _, data, _ = png_decode(Folder.file("sheet.png"))
        self.assertEqual((width, height), (4 * 8 * 3, 2 * 8 * 3))
        for y in range(height):
            for x in range(width):
                image = y // 24 * 4 + x // 24
                want = pixels[image][y % 24 // 3 * 8 + x % 24 // 3] if image < 6 else 0
                self.assertEqual(data[y * width + x], want)

    def test_summary_line(self):
        line = self.run_pfgm("sample", self.model, "-o", Folder.file("s.png"), *self.FEW)
        self.assertEqual(line.count("\n"), 1)
        for part in ("6 images", "seed 7", "euler", "nfe mean 9.00 min 9 max 9", "s.png"):
            self.assertIn(part, line)

    def test_largest_numbers(self):
        report = self.sample(self.model, "big/", "--seed", 2**64 - 1, "--first-index", 2**64 - 1,
                             "--solver", "euler", "--steps", 2)
        self.assertEqual(report["seed"], "18446744073709551615")
        self.assertEqual(report["images"][0]["index"], "18446744073709551615")
        self.assertEqual(os.listdir(Folder.file("big")), ["18446744073709551615.png"])

    def test_drawn_seed_makes_the_image_again(self):
        first = self.sample(self.model, "a.png", "--solver", "euler", "--steps", 3)
        again = self.sample(self.model, "b.png", "--solver", "euler", "--steps", 3, "--seed",
                            first["seed"])
        self.assertEqual(file_bytes(Folder.file("a.png")), file_bytes(Folder.file("b.png")))
        self.assertEqual(first["images"], again["images"])
        other = self.sample(self.model, "c.png", "--solver", "euler", "--steps", 3)
        self.assertNotEqual(other["seed"], first["seed"])


class SeedRule(Case):
    """Image 3 of seed 7 has one digest, whatever else is asked for, whoever computes it."""

    def test_company_and_workers(self):
        model = Folder.model("pfgm_digits8")
        alone = self.sample(model, "alone.png", "--seed", 7, "--first-index", 3)
        digest = alone["images"][0]["sha256"]
        for workers in (2,) if SANITIZED else (1, 2, 4):
            for first, n in ((3, 1), (0, 16), (1, 5)):
                with self.subTest(workers=workers, first=first, n=n):
                    report = self.sample(model, "company/", "--seed", 7, "--first-index", first,
                                         "-n", n, "--workers", workers)
                    image = report["images"][3 - first]
                    self.assertEqual(image["index"], 3)
                    self.assertEqual(image["sha256"], digest)
                    self.assertEqual(image, alone["images"][0])


class BadInput(Case):
    def test_options(self):
        model, out = Folder.model("pfgm_digits8"), Folder.file("bad.png")
        for part, arguments in (
                ("-n", ("-n", "0")), ("-n", ("-n", "-1")), ("-n", ("-n", "1e3")),
                ("-n", ("-n", " 1")), ("-n", ("-n", "99999999999999999999")),
                ("--seed", ("--seed", "-1")), ("--seed", ("--seed", "18446744073709551616")),
                ("--seed", ("--seed", "0x10")), ("--seed", ("--seed", "")),
                ("--seed", ("--seed", "7.0")),
                ("--first-index", ("-n", "2", "--first-index", 2**64 - 1)),
                ("--steps", ("--solver", "euler", "--steps", "0")),
                ("--steps", ("--solver", "rk45", "--steps", "20")),
                ("--schedule", ("--schedule", "tuned")), ("--rtol", ("--solver", "heun", "--rtol", "1e-3")),
                ("--rtol", ("--rtol", "nan")), ("--rtol", ("--rtol", "1e-3x")),
                ("--rtol", ("--rtol", "0x1p-3")), ("--atol", ("--atol", "-1")),
                ("--atol", ("--atol", "1e999")), ("rtol", ("--rtol", "0")),
                ("--solver", ("--solver", "rk4")), ("auto, f32, bf16x3 or bf16",
                                                    ("--precision", "fp8")),
                ("--kernel: is", ("--kernel", "mmx")), ("--workers", ("--workers", "0")),
                ("--columns", ("--columns", "0")), ("--scale", ("--scale", "-3")),
                ("--columns and --scale: ", ("--scale", "30000")), ("unknown", ("--colour", "red")),
                ("needs a value", ("--seed",)), ("one MODEL", ("another.safetensors",)),
                ("neither", ("--latents", model)), ("No such file", ("--latents", "/missing"))):
            with self.subTest(arguments=arguments):
                self.refused(2, part, "sample", model, "-o", out, *arguments)
                self.assertFalse(os.path.exists(out))

    def test_paths(self):
        model = Folder.model("pfgm_digits8")
        self.refused(2, "must end in", "sample", model, "-o", Folder.file("a.jpg"))
        self.refused(2, "one MODEL", "sample", "-o", Folder.file("a.png"))
        self.refused(2, "for a .png only", "sample", model, "--scale", "2", "-o",
                     Folder.file("a.npy"))
        self.refused(1, "no/where.png", "sample", model, "-o", Folder.file("no/where.png"))
        self.refused(2, "not a folder", "sample", model, "-o", model + "/")
        self.refused(2, "pfgm_digits8", "sample",
                     os.path.join(GOLDEN, "pfgm_digits8.golden.safetensors"), "-o",
                     Folder.file("a.png"))
        os.mkdir(Folder.file("folder.png"))
        self.refused(2, "not a regular file", "sample", model, "-o", Folder.file("folder.png"))

    def test_evaluation_budget(self):
        model, out = Folder.model("pfgm_digits8"), Folder.file("budget.png")
        self.refused(1, "(seed 5, index 9)", "sample", model, "--seed", 5, "--first-index", 9,
                     "--solver", "rk45", "--max-nfe", 20, "-o", out)
        self.assertFalse(os.path.exists(out))

    def test_failed_write_leaves_the_old_file_and_no_other(self):
        """A file-size limit stands in for a full disk."""
        folder = Folder.file("full")
        os.mkdir(folder)
        out = os.path.join(folder, "a.npy")
        with open(out, "w") as f:
            f.write("old")
        shell = 'ulimit -f 1; trap "" XFSZ; exec "$0" "$@"'
        done = subprocess.run(["sh", "-c", shell, PFGM, "sample", Folder.model("pfgm_digits8"),
                               "-n", "40", "--solver", "euler", "--steps", "1", "-o", out],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
        self.assertEqual(done.returncode, 1)
        self.assertIn("a.npy", done.stderr)
        self.assertEqual(os.listdir(folder), ["a.npy"])
        self.assertEqual(file_bytes(out), b"old")

    def test_main(self):
        for word in ("--help", "-h", "help"):
            text = self.run_pfgm(word)
            for name in ("sample", "field", "convert", "inspect"):
                self.assertIn("\n  %s " % name, text)
        for name in ("sample", "field", "convert", "inspect"):
            self.assertIn("usage: pfgm " + name, self.run_pfgm(name, "--help"))
        self.assertRegex(self.run_pfgm("--version"), r"^pfgm \d+\.\d+\.\d+\n$")
        self.refused(2, 'no subcommand "frobnicate"', "frobnicate")
        self.assertEqual(pfgm().returncode, 2)

    def test_unwritable_standard_output(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([PFGM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=600)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write to standard output", done.stderr)
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([PFGM, "--help"], stdout=write, stderr=subprocess.PIPE, timeout=600)
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (1, b""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
