"""`pfgm plot`, `pfgm tune`, `pfgm bench solvers`, films, and exact fields made of data: that each
draws, finds or ends on what it should. PFGM and GOLDEN as in test_sample. Standard library only."""

import json
import os
import random
import re
import struct
import sys
import unittest
import xml.etree.ElementTree
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_file  # noqa: E402
import test_sample  # noqa: E402
from sanitized import SANITIZED  # noqa: E402
from test_sample import Folder  # noqa: E402


def tearDownModule():
    test_sample.tearDownModule()


def chunks(data):
    """[(type, data)] of a PNG whose sums are right."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
        found.append((kind.decode(), body))
        at += 12 + length
    return found


def read(path):
    with open(path, "rb") as f:
        return f.read()


def size_of(png):
    return struct.unpack(">II", dict(chunks(png))["IHDR"][:8])


def array(name, rows, dtype="<f4"):
    """The path of an NPY file: rows of numbers, or of tuples of them."""
    shape = (len(rows), len(rows[0])) if isinstance(rows[0], tuple) else (len(rows),)
    values = [v for row in rows for v in row] if len(shape) == 2 else rows
    header = ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (dtype, shape)).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    with open(Folder.file(name), "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        f.write(struct.pack("<%d%s" % (len(values), {"<f4": "f", "<f8": "d", "<i4": "i"}[dtype]), *values))
    return Folder.file(name)


class Figures(test_sample.Case):
    def draw(self, figure, ending, *arguments):
        path = Folder.file(figure + ending)
        self.run_pfgm("plot", figure, *arguments, "-o", path)
        return read(path)

    def test_computed_fields(self):
        for figure, words in (("field", "Lines of force"), ("farfield", "from afar"),
                              ("shell", "no force inside"), ("lift", "comes down from T"),
                              ("prior", "evenly in all directions")):
            with self.subTest(figure):
                width, height = size_of(self.draw(figure, ".png"))
                self.assertGreater(min(width, height), 700)
                svg = self.draw(figure, ".svg")
                root = xml.etree.ElementTree.fromstring(svg)
                self.assertTrue(root.tag.endswith("svg"))
                self.assertGreater(len(svg), 50000)
                if not SANITIZED:
                    self.assertEqual(svg, self.draw(figure, ".svg"))

    def test_trajectories(self):
        png = self.draw("trajectories", ".png", Folder.model("pfgm_digits8"), "-n", 3, "--columns", 5)
        self.assertEqual(size_of(png), (2 * (5 * 64 + 20), 2 * (3 * 64 + 50)))
        png = self.draw("trajectories", ".png", Folder.model("pfgm_digits8"), "-n", 1, "--columns", 2)
        self.assertEqual(size_of(png), (2 * 260, 2 * (64 + 50)))  # or the title is cut off

    def test_trajectories_of_vectors_far_from_0(self):
        """They lie where those about 0 do: the axes were about 0, and all samples in a corner."""
        points, model = [(1, 1), (-1, 1), (-1, -1), (1, -3)], Folder.file("plane.safetensors")
        drawn = []
        for middle in (0, 1000):
            self.run_pfgm("convert", "--exact", array("plane.npy", [(x + middle, y + middle) for x, y in points]), "-o", model)
            svg = self.draw("trajectories", ".svg", model, "-n", 12)
            drawn.append([[float(v) for v in path.get("d").split()[1:3]] for path in xml.etree.ElementTree.fromstring(svg).iter()
                          if re.search(r" *stroke:none;.*fill:rgb\(84%,37%,0%\)", path.get("style") or "")])
        self.assertEqual([len(found) for found in drawn], [12, 12])
        for near, far in zip(*drawn):
            for a, b in zip(near, far):
                self.assertLess(abs(a - b), 1)

    def test_mistakes(self):
        model, out = Folder.model("pfgm_digits8"), Folder.file("no.png")
        for part, arguments in (("no figure", ("circle", "-o", out)), ("FIGURE", ("-o", out)),
                                ("needs one MODEL", ("solvers", "-o", out)),
                                ("no further word", ("field", model, "-o", out)),
                                ("-o OUT", ("field",)), ("-n is", ("field", "-n", 3, "-o", out)),
                                ("--columns is", ("prior", "--columns", 3, "-o", out)),
                                ("--seed is", ("shell", "--seed", 3, "-o", out)),
                                ("--kernel is", ("lift", "--kernel", "c", "-o", out)),
                                ("--columns is", ("solvers", model, "--columns", 3, "-o", out)),
                                (".png or .svg", ("solvers", model, "-n", 1, "-o", Folder.file("no.jpg"))),
                                (".png or .svg", ("field", "-o", Folder.file("no.jpg")))):
            with self.subTest(arguments=arguments):
                self.refused(2, part, "plot", *arguments)
        self.refused(1, "no/a.svg", "plot", "solvers", model, "-n", 1, "-o", Folder.file("no/a.svg"))
        self.refused(1, "no/a.svg", "bench", "solvers", model, "-n", 1, "--plot", Folder.file("no/a.svg"))
        self.assertFalse(os.path.exists(out))


class Films(test_sample.Case):
    def test_a_strip_and_a_moving_sheet(self):
        model = Folder.model("pfgm_digits8")
        strip, film = Folder.file("strip.png"), Folder.file("film.apng")
        self.run_pfgm("sample", model, "--seed", 3, "-n", 2, "--trajectory", 6, "-o", strip)
        self.assertEqual(size_of(read(strip)), (6 * 8, 2 * 8))
        self.run_pfgm("sample", model, "--seed", 3, "-n", 2, "--trajectory", 6, "-o", film)
        found = chunks(read(film))
        self.assertEqual([kind for kind, _ in found].count("fcTL"), 6)
        self.assertEqual(struct.unpack(">II", dict(found)["acTL"]), (6, 0))
        numbers = [struct.unpack(">I", body[:4])[0] for kind, body in found if kind in ("fcTL", "fdAT")]
        self.assertEqual(numbers, list(range(len(numbers))))

    def test_the_last_state_is_the_sample(self):
        model = Folder.model("pfgm_digits8")
        self.run_pfgm("sample", model, "--seed", 3, "--trajectory", 6, "-o", Folder.file("strip.png"))
        self.run_pfgm("sample", model, "--seed", 3, "-o", Folder.file("one.png"))
        rows = [zlib.decompress(dict(chunks(read(Folder.file(name))))["IDAT"]) for name in ("strip.png",
                                                                                            "one.png")]
        self.assertEqual(self.pixels(rows[0], 48, 8)[-8:], self.pixels(rows[1], 8, 8)[-8:])

    @staticmethod
    def pixels(rows, width, height):
        """The last row of grey pixels, its filter undone row by row."""
        before = [0] * width
        for y in range(height):
            kind, line = rows[y * (width + 1)], list(rows[y * (width + 1) + 1:(y + 1) * (width + 1)])
            for x in range(width):
                a, b, c = (line[x - 1] if x else 0), before[x], (before[x - 1] if x else 0)
                p = a + b - c
                paeth = a if abs(p - a) <= min(abs(p - b), abs(p - c)) else b if abs(p - b) <= abs(p - c) else c
                line[x] = (line[x] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
            before = line
        return before

    def test_mistakes(self):
        model = Folder.model("pfgm_digits8")
        self.refused(2, ".apng", "sample", model, "--trajectory", 4, "-o", Folder.file("a.npy"))
        self.refused(2, "--trajectory", "sample", model, "--trajectory", 1, "-o", Folder.file("a.png"))
        self.refused(2, "--json", "sample", model, "--trajectory", 4, "--json", "-o", Folder.file("a.png"))
        self.refused(2, "--workers", "sample", model, "--trajectory", 4, "--workers", 2, "-o", Folder.file("a.png"))


class FewEvaluations(test_sample.Case):
    def test_bench_solvers(self):
        plot = Folder.file("solvers.svg")
        table = json.loads(self.run_pfgm("bench", "solvers", Folder.model("pfgm_digits8"), "-n",
                                         1 if SANITIZED else 4, "--json", "--plot", plot))
        self.assertGreater(len(table["rows"]), 20)
        # Heun at few evaluations ends hundreds away: its points lie in the frame all the same.
        points = [path.get("d").split()[2] for path in xml.etree.ElementTree.fromstring(read(plot)).iter()
                  if re.search(r" *stroke:none;.*fill:rgb\(84%,37%,0%\)", path.get("style") or "")]
        self.assertEqual(len(points), sum(row["solver"] == "heun" for row in table["rows"]))
        self.assertTrue(all(30 <= float(y) <= 410 for y in points), points)
        if SANITIZED:  # the figures below are means over several images
            return
        rms = {(r["solver"], r["schedule"], round(r["nfe"])): r["rms"] for r in table["rows"]}
        self.assertGreater(table["exact_nfe"], 100)
        for solver in ("multistep2", "multistep3", "unipc3", "ipndm4"):
            self.assertLess(rms[solver, "power", 50], 0.25 * rms[solver, "power", 14])
        self.assertLess(rms["multistep3", "power", 20], 0.5 * rms["euler", "log", 20])

    def test_columns_say_what_was_taken(self):
        """Improved Euler of N steps takes 2 N - 1 evaluations; Heun of a PFGM model takes 2 N."""
        lines = self.run_pfgm("bench", "solvers", Folder.model("pfgm_digits8"), "-n", 1).splitlines()
        taken = [line.split()[3:] for line in lines if line.startswith("  which took evaluations")]
        self.assertEqual(taken, [["4", "6", "8", "10", "14", "20", "28", "36", "50", "100"],
                                 ["5", "5", "7", "9", "13", "19", "27", "35", "49", "99"]])
        self.assertNotIn(" 0.0000", "".join(lines))

    def test_tune(self):
        model, out = Folder.model("pfgm_digits8"), Folder.file("tuned.safetensors")
        search = ("--starts", 2, "--rounds", 0) if SANITIZED else ("--starts", 3, "--rounds", 1)
        told = json.loads(self.run_pfgm("tune", model, "--nfe", "4,20", *search, "-o", out, "--json"))
        four = told["tuned"][0]
        print("4 evaluations: %(rms).4f from the path, by default %(rms_default).4f" % four)
        if not SANITIZED:
            self.assertLess(four["rms"], four["rms_default"])
        self.assertEqual(len(four["nodes"]), 5)
        before, after = safetensors_file.read(model), safetensors_file.read(out)
        self.assertEqual({k: v for k, v in after[1].items() if k != "data_mean"}, before[1])
        self.assertEqual(json.loads(after[0]["pfgm"])["tuned"][0]["nodes"], four["nodes"])
        # Ways for other numbers stay, those for the same are replaced.
        more = Folder.file("more.safetensors")
        again = json.loads(self.run_pfgm("tune", out, "--nfe", "4,7", "--starts", 2, "--rounds", 0, "--seed", 9,
                                         "-o", more, "--json"))
        ways = json.loads(safetensors_file.read(more)[0]["pfgm"])["tuned"]
        self.assertEqual([way["nodes"] for way in ways],
                         [again["tuned"][0]["nodes"], again["tuned"][1]["nodes"], told["tuned"][1]["nodes"]])
        # Of methods, the table names each schedule's own.
        described = json.loads(after[0]["pfgm"])
        described["tuned"][1]["method"] = "ipndm4"  # of 20 evaluations; the table has no column of 4
        of_its_own = Folder.file("ipndm4.safetensors")
        safetensors_file.write(of_its_own, after[1], dict(after[0], pfgm=json.dumps(described)))
        rows = json.loads(self.run_pfgm("bench", "solvers", of_its_own, "-n", 1, "--json"))["rows"]
        self.assertEqual([row["solver"] for row in rows if row["schedule"] == "tuned"], ["ipndm4"])
        report = self.sample(out, "t.png", "--seed", 1, "--schedule", "tuned", "--steps", 4)
        self.assertEqual((report["images"][0]["nfe"], report["solver"]["method"]), (4, four["method"]))
        report = self.sample(out, "t.png", "--seed", 1)
        self.assertEqual((report["images"][0]["nfe"], report["solver"]["schedule"]), (20, "tuned"))
        self.refused(2, "not tuned for 5 steps", "sample", out, "--schedule", "tuned", "--steps", 5, "-o",
                     Folder.file("t.png"))

    def test_tune_mistakes(self):
        model, out = Folder.model("pfgm_digits8"), Folder.file("no.safetensors")
        for part, arguments in (("--nfe", ("-o", out)), ("-o OUT", ("--nfe", "4")), ("--nfe", ("--nfe", "1", "-o", out)),
                                ("rise", ("--nfe", "6,4", "-o", out)), ("--starts", ("--nfe", "4", "--starts", "1", "-o", out))):
            with self.subTest(arguments=arguments):
                self.refused(2, part, "tune", model, *arguments)
        self.assertFalse(os.path.exists(out))

    def test_what_tune_cannot_store_is_refused_before_the_search(self):
        model, out = Folder.model("pfgm_digits8"), Folder.file("full.safetensors")
        endless = ("--starts", 10000, "--rounds", 50)
        none = Folder.file("no/a.safetensors")
        self.refused(1, none, "tune", model, "--nfe", 100, *endless, "-o", none)
        metadata, tensors = safetensors_file.read(model)
        description = json.loads(metadata["pfgm"])
        nodes = [10 * 0.5 ** i for i in range(10)] + [description["t_min"]]
        description["tuned"] = [{"method": "multistep2", "nodes": nodes[:n] + nodes[-1:]} for n in range(2, 11)]
        description["tuned"] += [{"method": "multistep2", "nodes": [10 * 0.9 ** i for i in range(n)] + nodes[-1:]}
                                 for n in range(11, 18)]
        safetensors_file.write(out, tensors, dict(metadata, pfgm=json.dumps(description)))
        self.refused(2, "--nfe: with those", "tune", out, "--nfe", 100, *endless, "-o", out)
        self.run_pfgm("tune", out, "--nfe", 4, "--starts", 2, "--rounds", 0, "-o", out)

    def test_a_name_that_is_not_utf8_is_no_fault_of_the_model(self):
        model, out = Folder.model("pfgm_digits8"), Folder.file(os.fsdecode(b"t\xff\x1b[1m.safetensors"))
        search = ("--nfe", 2, "--starts", 2, "--rounds", 0, "-o", out)
        self.assertIn("t\\xff\\x1b[1m.safetensors", self.run_pfgm("tune", model, *search))
        self.assertTrue(os.path.exists(out))
        self.refused(2, "is not UTF-8, so JSON cannot hold it", "tune", model, *search, "--json")


class Exact(test_sample.Case):
    """A field of 60 pictures of 5 × 5 in 3 classes: every line ends on one of them, to the byte."""

    SIDE, COUNT, CLASSES = 5, 60, 3

    @classmethod
    def setUpClass(cls):
        draw = random.Random(20220922)
        cls.pictures = [bytes(draw.randrange(256) for _ in range(cls.SIDE ** 2)) for _ in range(cls.COUNT)]
        cls.labels = bytes(i % cls.CLASSES for i in range(cls.COUNT))
        cls.images = Folder.file("train-images-idx3-ubyte")
        with open(cls.images, "wb") as f:
            f.write(struct.pack(">IIII", 0x803, cls.COUNT, cls.SIDE, cls.SIDE) + b"".join(cls.pictures))
        with open(Folder.file("train-labels-idx1-ubyte"), "wb") as f:
            f.write(struct.pack(">II", 0x801, cls.COUNT) + cls.labels)
        cls.model = Folder.file("exact.safetensors")

    def convert(self):
        return json.loads(self.run_pfgm("convert", "--exact", self.images, "-o", self.model, "--json"))

    def samples(self, *arguments):
        self.sample(self.model, "exact.npy", *arguments)
        data = read(Folder.file("exact.npy"))
        size = self.SIDE ** 2
        pixels = data[128:] if len(data) % size == 128 % size else data[-(len(data) - 128):]
        return [pixels[i:i + size] for i in range(0, len(pixels), size)]

    def test_every_line_ends_on_a_source(self):
        told = self.convert()
        self.assertEqual((told["sources"], told["description"]["family"]), (self.COUNT, "exact"))
        known = {p: i for i, p in enumerate(self.pictures)}
        for solver in (("--solver", "euler", "--steps", 60), (), ("--solver", "rk45")):
            ends = [known.get(s) for s in self.samples("-n", 90, "--seed", 5, *solver)]
            self.assertNotIn(None, ends, solver)
            self.assertGreater(len(set(ends)), 30)

    def test_a_class_ends_on_its_own(self):
        self.convert()
        known = {p: i for i, p in enumerate(self.pictures)}
        for label in range(self.CLASSES):
            ends = [known[s] for s in self.samples("-n", 20, "--seed", 6, "--class", label)]
            self.assertEqual({i % self.CLASSES for i in ends}, {label})

    def test_the_seed_rule(self):
        self.convert()
        alone = self.sample(self.model, "one.png", "--seed", 9, "--first-index", 4)["images"][0]
        many = self.sample(self.model, "many/", "--seed", 9, "-n", 13, "--workers", 2)["images"][4]
        self.assertEqual(alone["sha256"], many["sha256"])

    def test_vectors_end_on_their_sources(self):
        points = [(0.0, 0.0), (3.0, -1.0), (-2.0, 5.5), (0.25, 4.0)]
        model, out = Folder.file("points.safetensors"), Folder.file("ends.safetensors")
        self.run_pfgm("convert", "--exact", array("points.npy", points), "-o", model)
        self.run_pfgm("sample", model, "-n", 200, "--seed", 1, "-o", out)
        ends = safetensors_file.floats(safetensors_file.read(out)[1]["samples"])
        nearest = [min(range(4), key=lambda k: abs(ends[2 * i] - points[k][0]) + abs(ends[2 * i + 1] - points[k][1]))
                   for i in range(200)]
        for i, k in enumerate(nearest):
            self.assertLess(abs(ends[2 * i] - points[k][0]) + abs(ends[2 * i + 1] - points[k][1]), 0.02)
        self.assertEqual(set(nearest), {0, 1, 2, 3})
        self.refused(2, "vectors", "sample", model, "-o", Folder.file("points.png"))

    def test_shares_follow_the_weights(self):
        points, weights, n = [(0.0, 0.0), (3.0, -1.0), (-2.0, 5.5), (0.25, 4.0), (2.0, 2.0)], [1, 2, 3, 4, 5], 3000
        model, out = Folder.file("weighted.safetensors"), Folder.file("shares.safetensors")
        for dtype in ("<f4", "<f8"):
            self.run_pfgm("convert", "--exact", array("weighted.npy", points), "--source-weights",
                          array("weights.npy", weights, dtype), "-o", model)
            self.sample(model, "shares.safetensors", "-n", n, "--seed", 3, "--solver", "multistep3", "--steps", 20)
            ends = safetensors_file.floats(safetensors_file.read(out)[1]["samples"])
            counts = [0] * 5
            for i in range(n):
                counts[min(range(5), key=lambda k: abs(ends[2 * i] - points[k][0])
                           + abs(ends[2 * i + 1] - points[k][1]))] += 1
            square = sum((c - n * w / 15) ** 2 / (n * w / 15) for c, w in zip(counts, weights))
            print("weights 1 to 5: %s of %d samples, chi-square %.2f of 4 degrees" % (counts, n, square))
            self.assertLess(square, 18.47)  # p > 0.001

    def test_bad_weights(self):
        points, out = array("points.npy", [(0.0, 0.0), (3.0, -1.0), (-2.0, 5.5)]), Folder.file("none.safetensors")
        for part, weights, dtype in (("weight 1 is 0:", [1, 0, 2], "<f4"), ("weight 2 is -1:", [1, 1, -1], "<f8"),
                                     ("weight 0 is nan", [float("nan"), 1, 1], "<f4"),
                                     ("weight 0 is inf", [float("inf"), 1, 1], "<f4"),
                                     ("weight 2 is 1e+300", [1, 1, 1e300], "<f8"),
                                     ("holds 2 numbers in 1 dimensions", [1, 2], "<f4"),
                                     ("holds 3 numbers in 2 dimensions", [(1,), (2,), (3,)], "<f4"),
                                     ("has elements of type <i4", [1, 2, 3], "<i4")):
            with self.subTest(part):
                self.refused(2, "bad.npy: " + part, "convert", "--exact", points, "-o", out, "--source-weights",
                             array("bad.npy", weights, dtype))
        self.refused(2, "/missing.npy", "convert", "--exact", points, "-o", out, "--source-weights", "/missing.npy")
        self.refused(2, "--source-weights", "convert", "in.pth", "-o", out, "--preset", "cifar10-ddpmpp",
                     "--source-weights", points)
        self.assertFalse(os.path.exists(out))

    def test_mistakes(self):
        out = Folder.file("no.safetensors")
        for part, arguments in (("--t-max", ("--t-max", "1", "--t-min", "2")), ("--t-min", ("--t-min", "0")),
                                ("--preset", ("--preset", "cifar10-ddpmpp"))):
            with self.subTest(arguments=arguments):
                self.refused(2, part, "convert", "--exact", self.images, "-o", out, *arguments)
        self.refused(2, "/missing", "convert", "--exact", "/missing", "-o", out)
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    unittest.main(verbosity=2)
