"""`pfgm likelihood`, `encode`, `decode` and `interpolate`: the reference's figures, a density that is
known in closed form, the way up and back through files of every kind, and input that is refused.

PFGM is the binary, GOLDEN the folder of golden files, MODELS that of the bundled models; a missing
file is a failure. Standard library only."""

import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_file  # noqa: E402
from sanitized import SANITIZED, plain_only  # noqa: E402

PFGM = os.environ["PFGM"]
DIGITS = os.path.join(os.environ["MODELS"], "digits8.safetensors")
FASHION = os.path.join(os.environ["MODELS"], "fashion28.safetensors")
CLASSES = os.path.join(os.environ["MODELS"], "fashion10.safetensors")
GOLDEN = os.path.join(os.environ["GOLDEN"], "pfgm_digits8.golden.safetensors")
D = 64


def pfgm(*arguments):
    return subprocess.run([PFGM] + [str(a) for a in arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=800)


def npy(descr, shape, data):
    text = "{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }" % (
        descr, ", ".join(str(side) for side in shape))
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def npy_floats(path):
    """(shape as text, values) of a float32 array."""
    with open(path, "rb") as f:
        content = f.read()
    length = struct.unpack("<H", content[8:10])[0]
    header, data = content[10:10 + length].decode(), content[10 + length:]
    assert "'<f4'" in header, header
    shape = header[header.index("(") + 1:header.index(")")]
    return shape, list(struct.unpack("<%df" % (len(data) // 4), data))


def floats(values):
    return struct.pack("<%df" % len(values), *values)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="pfgm-likelihood-")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def file(self, name, content=None):
        path = os.path.join(self.folder, name)
        if content is not None:
            with open(path, "wb") as f:
                f.write(content)
        return path

    def run_pfgm(self, *arguments):
        done = pfgm(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def likelihood(self, model, *arguments):
        return json.loads(self.run_pfgm("likelihood", model, "--json", *arguments))

    def refused(self, part, *arguments):
        """Exit code 2, one line that says `part`, nothing on standard output."""
        done = pfgm(*arguments)
        self.assertEqual(done.returncode, 2, (arguments, done.stderr))
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(part, done.stderr)
        self.assertEqual(done.stdout, "")


class Likelihood(Case):
    def test_reference_figures(self):
        metadata, want = safetensors_file.read(GOLDEN)
        bits = safetensors_file.floats(want["likelihood.bpd_reference"])
        nfe = json.loads(metadata["info"])["likelihood.nfe"]
        got = self.likelihood(DIGITS, "--input", GOLDEN, "--epsilon", GOLDEN, "--constant",
                              "reference", "--time", "linear")
        self.assertEqual(len(got["images"]), len(bits))
        for i, image in enumerate(got["images"]):
            print("image %d: %.4f bits per dimension (%.4f), nfe %d (%d)" % (
                i, image["bits_per_dimension"], bits[i], image["nfe"], nfe[i]))
            self.assertLessEqual(abs(image["bits_per_dimension"] - bits[i]), 0.01)
            self.assertLessEqual(abs(image["nfe"] - nfe[i]), 6)
            self.assertAlmostEqual(image["bits_per_dimension"],
                                   7 - image["log_likelihood"] / (D * math.log(2)), 9)
        self.assertAlmostEqual(got["mean_bits_per_dimension"], sum(i["bits_per_dimension"] for i in got["images"]) / 4, 9)
        self.assertEqual((got["constant"], got["time"], got["probes"]), ("reference", "linear", 1))
        spoken = self.run_pfgm("likelihood", DIGITS, "-i", GOLDEN, "--epsilon", GOLDEN)
        self.assertEqual(spoken.count("bits per dimension"), 5)

    def test_probes_from_an_array(self):
        _, tensors = safetensors_file.read(GOLDEN)
        _, shape, raw = tensors["likelihood.epsilon"]
        one = self.file("epsilon.npy", npy("<f4", shape, raw))
        two = self.file("two.npy", npy("<f4", [2, 2] + shape[1:], raw))
        x = self.file("x.npy", npy("<f4", shape, tensors["likelihood.x"][2]))
        half = self.file("half.npy", npy("<f4", [2] + shape[1:], tensors["likelihood.x"][2][:2 * D * 4]))
        short = ("--rtol", "1e-2", "--atol", "1e-2")
        a = self.likelihood(DIGITS, "-i", x, "--epsilon", one, *short)
        b = self.likelihood(DIGITS, "-i", GOLDEN, "--epsilon", GOLDEN, *short)
        self.assertEqual(a["images"], b["images"])
        c = self.likelihood(DIGITS, "-i", half, "--epsilon", two, *short)
        self.assertEqual(c["probes"], 2)
        self.assertNotEqual(c["images"], a["images"][:2])
        self.refused("holds 2 probes per image, not 3", "likelihood", DIGITS, "-i", half,
                     "--epsilon", two, "--probes", 3)
        self.refused("must hold probes [4, 1, 8, 8]", "likelihood", DIGITS, "-i", x, "--epsilon",
                     two)

    def test_noise_and_probes_are_of_the_seed(self):
        self.run_pfgm("sample", DIGITS, "-n", 2, "--seed", 3, "-o", self.file("noise/"))
        short = ("--rtol", "1e-2", "--atol", "1e-2")
        folder = self.likelihood(DIGITS, "-i", self.file("noise"), "--seed", 5, *short)
        again = self.likelihood(DIGITS, "-i", self.file("noise"), "--seed", 5, "--workers", 1,
                                *short)
        alone = self.likelihood(DIGITS, "-i", self.file("noise/000000.png"), "--seed", 5, *short)
        other = self.likelihood(DIGITS, "-i", self.file("noise"), "--seed", 6, *short)
        self.assertEqual(folder["images"], again["images"])
        self.assertEqual(folder["images"][:1], alone["images"])
        self.assertNotEqual(folder["images"], other["images"])

    def test_a_field_whose_density_is_known(self):
        """On plane t sources have the density of a mixture of Cauchy's of scale t about them; what
        T leaves out is of the order of (radius / T) squared."""
        t, sources = 0.3, [(0.5, 0.2), (-1.0, 0.3), (0.1, -0.9)]
        points = [(0.6, 0.25), (-0.9, 0.5), (0.0, 0.0), (2.0, 1.0)]
        data = self.file("sources.npy", npy("<f4", [3, 2], floats(sum(sources, ()))))
        x = self.file("points.npy", npy("<f4", [4, 2], floats(sum(points, ()))))
        model = self.file("exact.safetensors")
        self.run_pfgm("convert", "--exact", data, "-o", model, "--t-min", t, "--t-max", 100)
        got = self.likelihood(model, "-i", x, "--exact-trace", "--rtol", "1e-6", "--atol", "1e-6")
        for (x, y), image in zip(points, got["images"]):
            density = sum(((x - a) ** 2 + (y - b) ** 2 + t * t) ** -1.5 for a, b in sources)
            want = math.log(density * t / (2 * math.pi) / len(sources))
            self.assertLess(abs(image["log_likelihood"] - want), 5e-4)
            self.assertAlmostEqual(image["bits_per_dimension"], -image["log_likelihood"] / (2 * math.log(2)), 9)

    def test_refused(self):
        nan = self.file("nan.npy", npy("<f4", [1, 1, 8, 8], floats([math.nan] * D)))
        short = self.file("short.npy", npy("<f4", [2, 1, 8, 8], floats([0.0] * D)))
        wrong = self.file("wrong.npy", npy("<f4", [1, 1, 4, 4], floats([0.0] * 16)))
        huge = self.file("huge.npy", npy("|u1", [10 ** 12, 8, 8, 1], b""))
        empty = self.file("empty.npy", b"")
        broken = self.file("broken.png", b"\x89PNG\r\n\x1a\n" + bytes(20))
        folder = self.file("bare")
        os.mkdir(folder)
        for part, path in (("finite number", nan), ("where its shape needs", short),
                           ("[n, 1, 8, 8]", wrong), ("huge.npy", huge), ("no NPY array", empty),
                           ("broken.png", broken), ("end in .png", folder),
                           ("as a folder cannot be read", self.file("absent")),
                           ("broken.safetensors", self.file("broken.safetensors", b"12345"))):
            with self.subTest(path):
                self.refused(part, "likelihood", DIGITS, "--input", path)
                self.refused(part, "encode", DIGITS, "--input", path, "-o", self.file("no.npy"))
        self.assertFalse(os.path.exists(self.file("no.npy")))
        self.refused("neither a tensor \"x\"", "likelihood", FASHION, "-i", FASHION)
        self.refused("--exact-trace", "likelihood", FASHION, "--exact-trace", "-i",
                     self.file("z.npy", npy("<f4", [1, 1, 28, 28], floats([0.0] * 784))))
        self.refused("--probes", "likelihood", DIGITS, "-i", GOLDEN, "--probes", 0)
        self.refused("--time", "likelihood", DIGITS, "-i", GOLDEN, "--time", "plain")
        self.refused("--constant", "likelihood", DIGITS, "-i", GOLDEN, "--constant", "1")
        self.refused("no probes", "likelihood", DIGITS, "-i", GOLDEN, "--exact-trace", "--probes", 2)
        self.refused("--class", "likelihood", DIGITS, "-i", GOLDEN, "--class", "cat")
        self.refused("--input", "likelihood", DIGITS)


class ThereAndBack(Case):
    def mean_distance(self, a, b):
        """In [0, 1]."""
        return sum(abs(x - y) for x, y in zip(a, b)) / len(a) / 2

    def test_encode_then_decode(self):
        _, tensors = safetensors_file.read(GOLDEN)
        want = safetensors_file.floats(tensors["likelihood.x"])
        tight = ("--rtol", "1e-5", "--atol", "1e-5")
        for ending in ("safetensors",) if SANITIZED else ("npy", "safetensors"):
            latents, back = self.file("latents." + ending), self.file("back.npy")
            report = json.loads(self.run_pfgm("encode", DIGITS, "--input", GOLDEN, "-o", latents,
                                              "--json", *tight))
            self.assertEqual(report["n"], 4)
            self.run_pfgm("decode", DIGITS, "--latents", latents, "--dtype", "float32", "-o", back,
                          "--solver", "rk45", *tight)
            shape, got = npy_floats(back)
            self.assertEqual(shape, "4, 1, 8, 8")
            distance = self.mean_distance(got, want)
            print("%s: mean |difference| %.3f of 255" % (ending, 255 * distance))
            self.assertLessEqual(distance, 1 / 255)
        # `pfgm sample --latents` reads the same files and makes the same images
        self.run_pfgm("sample", DIGITS, "--latents", latents, "--dtype", "float32", "--solver",
                      "rk45", "-o", self.file("sampled.npy"), *tight)
        self.assertEqual(npy_floats(self.file("sampled.npy"))[1], got)
        self.refused("temperature", "sample", DIGITS, "--latents", latents, "--temperature", "0.5",
                     "-o", self.file("hot.png"))

    @plain_only
    def test_pictures_come_back_byte_by_byte(self):
        self.run_pfgm("sample", DIGITS, "-n", 2, "--seed", 3, "-o", self.file("in/"))
        self.run_pfgm("sample", DIGITS, "-n", 2, "--seed", 3, "-o", self.file("in.npy"))
        latents = self.file("of.npy")
        self.run_pfgm("encode", DIGITS, "-i", self.file("in"), "-o", latents)
        self.run_pfgm("decode", DIGITS, "--latents", latents, "--rtol", "1e-5", "--atol", "1e-5",
                      "-o", self.file("out.npy"))
        with open(self.file("in.npy"), "rb") as a, open(self.file("out.npy"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.run_pfgm("encode", DIGITS, "-i", self.file("in.npy"), "-o", self.file("same.npy"))
        self.assertEqual(npy_floats(latents), npy_floats(self.file("same.npy")))

    def test_interpolation(self):
        self.run_pfgm("sample", DIGITS, "-n", 2, "--seed", 4, "-o", self.file("ends/"))
        ends = [self.file("ends/00000%d.png" % i) for i in range(2)]
        way = self.file("way.npy")
        report = json.loads(self.run_pfgm("interpolate", DIGITS, "--between", *ends, "--steps", 10,
                                          "--rtol", "1e-5", "--atol", "1e-5", "--dtype", "float32",
                                          "-o", way, "--json"))
        self.assertEqual(report["n"], 10)
        _, values = npy_floats(way)
        self.assertTrue(all(math.isfinite(v) and abs(v) < 1.5 for v in values))
        frames = [values[i * D:(i + 1) * D] for i in range(10)]
        whole = self.mean_distance(frames[0], frames[9])
        for a, b in zip(frames, frames[1:]):
            self.assertGreater(self.mean_distance(a, b), 0)
        self.assertGreater(whole, 0.02)
        if SANITIZED:
            return
        # the ends are the pictures
        folder = self.file("frames/")
        self.run_pfgm("interpolate", "--between", *ends, DIGITS, "--steps", 3, "--rtol", "1e-5",
                      "--atol", "1e-5", "-o", folder)
        self.assertEqual(sorted(os.listdir(folder)), ["%06d.png" % i for i in range(3)])
        same = self.file("same_ends.npy")
        self.run_pfgm("encode", DIGITS, "-i", self.file("ends"), "-o", self.file("two.npy"))
        self.run_pfgm("interpolate", DIGITS, "--latents", self.file("two.npy"), "--steps", 2,
                      "--rtol", "1e-5", "--atol", "1e-5", "-o", same)
        self.run_pfgm("decode", DIGITS, "--latents", self.file("two.npy"), "--rtol", "1e-5",
                      "--atol", "1e-5", "-o", self.file("decoded.npy"))
        with open(same, "rb") as a, open(self.file("decoded.npy"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_seeds_are_the_ends_of_their_way(self):
        way = self.file("seeds.npy")
        self.run_pfgm("interpolate", DIGITS, "--seeds", "7,9", "--steps", 3, "-o", way)
        with open(way, "rb") as f:
            pixels = f.read()[128:]
        self.assertEqual(len(pixels), 3 * D)
        for i, seed in ((0, 7), (2, 9)):
            one = self.file("one.npy")
            self.run_pfgm("sample", DIGITS, "--seed", seed, "-o", one)
            with open(one, "rb") as f:
                self.assertEqual(f.read()[128:], pixels[i * D:(i + 1) * D])

    @plain_only
    def test_a_class_is_the_same_both_ways(self):
        """What went up as of a class comes down as of it, and not as of all data."""
        quick = ("--rtol", "1e-4", "--atol", "1e-4")
        self.run_pfgm("sample", CLASSES, "--class", 3, "--seed", 1, "-o", self.file("c.npy"))
        self.run_pfgm("encode", CLASSES, "-i", self.file("c.npy"), "--class", 3, "-o",
                      self.file("latent.npy"), *quick)
        with open(self.file("c.npy"), "rb") as f:
            want = f.read()[128:]
        off = []
        for arguments in (("--class", 3), ()):
            self.run_pfgm("decode", CLASSES, "--latents", self.file("latent.npy"), "-o",
                          self.file("back.npy"), *quick, *arguments)
            with open(self.file("back.npy"), "rb") as f:
                off.append(sum(abs(x - y) for x, y in zip(f.read()[128:], want)) / len(want))
        print("mean |difference| of 255: %.2f of the class, %.2f of all data" % tuple(off))
        self.assertLess(2 * off[0], off[1])

    def test_refused(self):
        two = self.file("l.npy", npy("<f4", [1, 1, 8, 8], floats([1.0] * D)))
        bytes_ = self.file("b.npy", npy("|u1", [1, 8, 8, 1], bytes(D)))
        out = self.file("out.png")
        for part, arguments in (
                ("--latents FILE is needed", ("decode", DIGITS, "-o", out)),
                ("-o OUT is needed", ("decode", DIGITS, "--latents", two)),
                ("|u1 [1, 8, 8, 1]", ("decode", DIGITS, "--latents", bytes_, "-o", out)),
                ("must end in", ("decode", DIGITS, "--latents", two, "-o", "out.tiff")),
                ("must end in .npy or .safetensors", ("encode", DIGITS, "-i", two, "-o", out)),
                ("one of --between", ("interpolate", DIGITS, "-o", out)),
                ("one of --between", ("interpolate", DIGITS, "--seeds", "1,2", "--latents", two,
                                      "-o", out)),
                ("two ends of the path", ("interpolate", DIGITS, "--latents", two, "-o", out)),
                ("two seeds", ("interpolate", DIGITS, "--seeds", "1", "-o", out)),
                ("two seeds", ("interpolate", DIGITS, "--seeds", "1,-2", "-o", out)),
                ("needs two pictures", ("interpolate", DIGITS, "-o", out, "--between", two)),
                ("from 2 to", ("interpolate", DIGITS, "--seeds", "1,2", "--steps", 1, "-o", out)),
                ("--columns", ("interpolate", DIGITS, "--seeds", "1,2", "--columns", 2, "-o",
                               self.file("x.npy")))):
            with self.subTest(arguments):
                self.refused(part, *arguments)
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    unittest.main(verbosity=2)
