"""Encode, decode, interpolate and likelihood: the way up and down again through HTTP, the same bytes
whatever the company, what hostile bodies get, limits, and the end of work that nobody waits for."""

import base64
import hashlib
import http.client
import json
import math
import os
import re
import struct
import sys
import tempfile
import time
import unittest
import zlib

from harness import DIGITS, ENDLESS, PFGM, Answer, Daemon, SharedDaemon, run, wait_until
from test_framing import send_all
from test_security import bearer, key_line

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import safetensors_file  # noqa: E402

D = 64  # of digits8
TIGHT = {"method": "rk45", "rtol": 1e-5, "atol": 1e-5}


def npy(descr, shape, data, order="False"):
    head = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def read_npy(data):
    """(shape, values) of an array of ours."""
    assert data[:8] == b"\x93NUMPY\x01\x00"
    end = 10 + struct.unpack("<H", data[8:10])[0]
    head = data[10:end].decode()
    shape = tuple(int(n) for n in head.split("(")[1].split(")")[0].split(",") if n.strip())
    kind = {"|u1": "B", "<f4": "f"}[head.split("'descr': '")[1].split("'")[0]]
    return shape, struct.unpack(f"<{math.prod(shape)}{kind}", data[end:])


def latents(*rows):
    return npy("<f4", (len(rows), 1, 8, 8), b"".join(struct.pack("<64f", *r) for r in rows))


def png(width, height, kind, rows, depth=8):
    """A PNG of colour type `kind` from the bytes of its rows."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b""))


def b64(data):
    return base64.b64encode(data).decode()


def post(daemon, path, body, kind="application/json", accept=None, key=None):
    headers = {"Content-Type": kind}
    if accept:
        headers["Accept"] = accept
    if key:
        headers.update(bearer(key))
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    return daemon.request("POST", path, body, headers)


def between(a, b, s):
    """The point at fraction s of the way, as the interface says: great circle, even norms."""
    na, nb = math.dist(a, [0] * len(a)), math.dist(b, [0] * len(b))
    angle = math.acos(sum(x * y for x, y in zip(a, b)) / (na * nb))
    norm = (1 - s) * na + s * nb
    return [norm * (math.sin((1 - s) * angle) * x / na + math.sin(s * angle) * y / nb) / math.sin(angle)
            for x, y in zip(a, b)]


class Latents(SharedDaemon):
    ARGS = ("--workers", "2", "--n-max", "16")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.images = cls.daemon.images({"seed": 5, "n": 3, "solver": TIGHT}).json()["images"]
        cls.pngs = [base64.b64decode(i["b64"]) for i in cls.images]
        cls.pixels = cls.daemon.images({"seed": 5, "n": 3, "solver": TIGHT}, accept="application/x-npy").body
        cls.up = post(cls.daemon, "/v1/encode", {"images": [b64(p) for p in cls.pngs]}, accept="application/x-npy")
        assert cls.up.status == 200, cls.up.body
        cls.shape, values = read_npy(cls.up.body)
        cls.rows = [values[k * D:(k + 1) * D] for k in range(3)]

    def ok(self, answer):
        self.assertEqual(answer.status, 200, answer.body[:500])
        return answer

    def refused(self, answer, status, code, pointer=None, word=""):
        self.assertEqual(answer.status, status, answer.body[:500])
        problem = answer.json()
        self.assertEqual(problem["code"], code)
        self.assertIn(word, problem["detail"])
        if pointer is not None:
            self.assertIn(pointer, [e["pointer"] for e in problem["errors"]])
        return problem

    # ---- there and back ----

    def test_what_was_encoded_decodes_to_the_same_picture(self):
        self.assertEqual(self.shape, (3, 1, 8, 8))
        answer = self.ok(post(self.daemon, "/v1/decode?method=rk45&rtol=1e-5&atol=1e-5&format=npy", self.up.body,
                              "application/x-npy"))
        worst = max(abs(a - b) for a, b in zip(read_npy(answer.body)[1], read_npy(self.pixels)[1]))
        self.assertLessEqual(worst, 1)

    def test_every_kind_of_body_is_the_same_image(self):
        body = {"images": [b64(p) for p in self.pngs], "solver": {"rtol": 1e-2, "atol": 1e-2}}
        as_json = self.ok(post(self.daemon, "/v1/encode", body)).json()
        self.assertEqual(as_json["parameters"]["solver"]["rtol"], 1e-2)
        self.assertNotIn("temperature", as_json["parameters"])
        one_by_one = [base64.b64decode(i["latent"]) for i in as_json["images"]]
        for k, image in enumerate(as_json["images"]):
            self.assertEqual(image["index"], k)
            self.assertGreater(image["nfe"], 6)

        def encoded(data, kind):
            answer = self.ok(post(self.daemon, "/v1/encode?format=npy&rtol=1e-2&atol=1e-2", data, kind))
            self.assertEqual(answer.headers["Content-Type"], "application/x-npy")
            return answer.body
        whole = encoded(self.pixels, "application/x-npy")
        values = read_npy(whole)[1]
        self.assertEqual([latents(values[k * D:(k + 1) * D]) for k in range(3)], one_by_one)
        self.assertEqual(encoded(npy("|u1", (3, 8, 8), bytes(read_npy(self.pixels)[1])), "application/x-npy"), whole)
        grey = read_npy(self.pixels)[1][:D]
        colour = png(8, 8, 6, [b"".join(bytes([v, v, v, 255]) for v in grey[y * 8:y * 8 + 8]) for y in range(8)])
        self.assertEqual(encoded(self.pngs[0], "image/png"), one_by_one[0])
        self.assertEqual(encoded(colour, "image/png"), one_by_one[0])
        scale = [(v + 0.5) / 127.5 - 1 for v in grey]
        real = npy("<f8", (1, 1, 8, 8), struct.pack("<64d", *scale))
        self.assertEqual(encoded(real, "application/x-npy"), one_by_one[0])

    def test_bytes_do_not_depend_on_company(self):
        for k in range(3):
            alone = self.ok(post(self.daemon, "/v1/encode?format=npy", self.pngs[k], "image/png"))
            self.assertEqual(alone.body, latents(self.rows[k]))
        together = self.ok(post(self.daemon, "/v1/decode", self.up.body, "application/x-npy")).json()["images"]
        for k in range(3):
            query = f"/v1/decode?first_index={k}&format=png&priority=batch"
            alone = self.ok(post(self.daemon, query, latents(self.rows[k]), "application/x-npy"))
            self.assertEqual(alone.body, base64.b64decode(together[k]["b64"]))
            self.assertNotIn("url", together[k])  # no link can tell a latent

    def command(self, folder, *args):
        """What the command line writes."""
        out = os.path.join(folder, "out.npy")
        result = run(PFGM, args[0], DIGITS, *args[1:], *([] if args[0] == "likelihood" else ["-o", out]))
        self.assertEqual(result.returncode, 0, result.stderr)
        if args[0] == "likelihood":
            return json.loads(result.stdout)
        with open(out, "rb") as f:
            return f.read()

    def test_the_command_line_gives_the_same_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, name) for name in ["a.png", "b.png", "x.npy", "z.npy"]]
            for path, content in zip(files, [self.pngs[0], self.pngs[1], self.pixels, self.up.body]):
                with open(path, "wb") as f:
                    f.write(content)
            self.assertEqual(self.command(folder, "encode", "--input", files[2]), self.up.body)
            down = self.ok(post(self.daemon, "/v1/decode?format=npy", self.up.body, "application/x-npy")).body
            self.assertEqual(self.command(folder, "decode", "--latents", files[3]), down)
            tensors = os.path.join(folder, "z.safetensors")
            raw = b"".join(struct.pack("<64f", *r) for r in self.rows)
            safetensors_file.write(tensors, {"x": ("F32", [3, 1, 8, 8], raw)})
            self.assertEqual(self.command(folder, "sample", "--latents", tensors), down)
            ends = {"between": [{"image": b64(self.pngs[0])}, {"image": b64(self.pngs[1])}], "frames": 4}
            way = self.ok(post(self.daemon, "/v1/interpolate?format=npy", ends)).body
            self.assertEqual(self.command(folder, "interpolate", "--between", *files[:2], "--steps", "4"), way)
            said = self.command(folder, "likelihood", "--input", files[2], "--seed", "6", "--rtol", "1e-2", "--json")
            heard = self.ok(post(self.daemon, "/v1/likelihood?seed=6&rtol=1e-2", self.pixels, "application/x-npy")).json()
            self.assertEqual([(i["bits_per_dimension"], i["log_likelihood"], i["nfe"]) for i in said["images"]],
                             [(i["bits_per_dimension"], i["log_likelihood"], i["nfe"]) for i in heard["images"]])

    def test_decode_answers_in_every_format(self):
        text = {"latents": [b64(latents(r)) for r in self.rows]}
        for query, kind, magic in [("format=npz", "application/x-npz", b"PK"), ("format=zip", "application/zip", b"PK"),
                                   ("format=tar", "application/x-tar", b""), ("format=json", "application/json", b"{"),
                                   ("format=events", "text/event-stream", b"retry")]:
            answer = self.ok(post(self.daemon, "/v1/decode?" + query, text))
            self.assertEqual(answer.headers["Content-Type"], kind)
            self.assertTrue(answer.body.startswith(magic))
        sheet = self.ok(post(self.daemon, "/v1/decode?columns=3&scale=2&format=png&steps=9&method=heun", self.up.body,
                             "application/x-npy"))
        self.assertEqual(struct.unpack(">II", sheet.body[16:24]), (48, 16))
        whole = {**text, "grid": {"columns": 3, "scale": 2}, "solver": {"steps": 9, "method": "heun"}}
        self.assertEqual(self.ok(post(self.daemon, "/v1/decode?format=png", whole)).body, sheet.body)

    # ---- interpolation ----

    def test_ends_are_the_seeds_own_images(self):
        ends = [{"seed": "18446744073709551615", "index": 3}, {"seed": 8}]
        answer = self.ok(post(self.daemon, "/v1/interpolate", {"between": ends, "frames": 4}, accept="application/x-npy"))
        shape, values = read_npy(answer.body)
        self.assertEqual(shape, (4, 8, 8, 1))
        for end, got in zip(ends, [values[:D], values[3 * D:]]):
            asked = {"seed": end["seed"], "first_index": end.get("index", 0)}
            self.assertEqual(read_npy(self.daemon.images(asked, accept="application/x-npy").body)[1], got)

    def test_the_way_is_the_great_circle(self):
        ends = [{"latent": b64(latents(self.rows[0]))}, {"latent": b64(latents(self.rows[1]))}]
        answer = self.ok(post(self.daemon, "/v1/interpolate?format=npy", {"between": ends, "frames": 5, "dtype": "float32",
                                                                          "layout": "chw"}))
        way = [between(self.rows[0], self.rows[1], k / 4) for k in range(5)]
        again = self.ok(post(self.daemon, "/v1/decode?format=npy&dtype=float32&layout=chw",
                             npy("<f8", (5, 1, 8, 8), b"".join(struct.pack("<64d", *w) for w in way)), "application/x-npy"))
        worst = max(abs(a - b) for a, b in zip(read_npy(answer.body)[1], read_npy(again.body)[1]))
        self.assertLess(worst, 1e-3)
        default = self.ok(post(self.daemon, "/v1/interpolate", {"between": ends})).json()
        self.assertEqual((default["n"], len(default["images"])), (10, 10))

    def test_opposite_ends_are_joined_by_a_drawn_direction(self):
        """They went by way of a coordinate axis, all of the norm on one pixel."""
        row, opposite = self.rows[0], [-x for x in self.rows[0]]
        ends = {"between": [{"latent": b64(latents(row))}, {"latent": b64(latents(opposite))}], "frames": 5,
                "dtype": "float32"}

        def way(**more):
            return self.ok(post(self.daemon, "/v1/interpolate?format=npy", {**ends, **more})).body
        values = read_npy(way())[1]
        self.assertLess(max(map(abs, values)), 3)
        self.assertEqual(way(), way(seed=0))
        self.assertNotEqual(way(), way(seed=1))
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "two.npy")
            with open(file, "wb") as f:
                f.write(latents(row, opposite))
            self.assertEqual(self.command(folder, "interpolate", "--latents", file, "--steps", "5", "--dtype", "float32"),
                             way(layout="chw"))

    def test_between_images_and_in_every_format(self):
        ends = [{"image": b64(self.pngs[0])}, {"image": b64(self.pngs[2])}]
        body = {"between": ends, "frames": 3, "solver": TIGHT}
        for accept in ["application/x-npy", "application/json", "application/zip", "text/event-stream"]:
            answer = self.ok(post(self.daemon, "/v1/interpolate", {"between": ends, "frames": 2}, accept=accept))
            self.assertEqual(answer.headers["Content-Type"], accept)
        values = read_npy(self.ok(post(self.daemon, "/v1/interpolate?format=npy", body)).body)[1]
        expected = read_npy(self.pixels)[1]
        self.assertLessEqual(max(abs(a - b) for a, b in zip(values[:D], expected[:D])), 1)
        self.assertLessEqual(max(abs(a - b) for a, b in zip(values[2 * D:], expected[2 * D:])), 1)
        mixed = {**body, "between": [{"seed": 4}, ends[1]]}
        values = read_npy(self.ok(post(self.daemon, "/v1/interpolate?format=npy", mixed)).body)[1]
        self.assertLessEqual(max(abs(a - b) for a, b in zip(values[2 * D:], expected[2 * D:])), 1)

    def test_a_path_comes_as_one_picture_that_moves(self):
        def chunks(data):
            at = 8
            while at < len(data):
                length = struct.unpack(">I", data[at:at + 4])[0]
                yield data[at + 4:at + 8], data[at + 8:at + 8 + length]
                at += 12 + length

        body = {"between": [{"seed": 4}, {"image": b64(self.pngs[0])}], "frames": 5, "seed": 1}
        film = self.ok(post(self.daemon, "/v1/interpolate", body, accept="image/apng"))
        self.assertEqual(film.headers["Content-Type"], "image/apng")
        self.assertIn('filename="pfgm-1-0-4.apng"', film.headers["Content-Disposition"])
        self.assertEqual(self.ok(post(self.daemon, "/v1/interpolate?format=apng", body)).body, film.body)
        self.assertEqual(film.headers["ETag"], f'"{hashlib.sha256(film.body).hexdigest()}"')
        found = list(chunks(film.body))
        self.assertEqual([kind for kind, _ in found[:2]] + [found[-1][0]], [b"IHDR", b"acTL", b"IEND"])
        self.assertEqual(struct.unpack(">II", found[1][1]), (5, 0))
        delays = [struct.unpack(">HH", data[20:24]) for kind, data in found if kind == b"fcTL"]
        self.assertEqual(delays, [(120, 1000)] * 4 + [(600, 1000)])
        sequence = [struct.unpack(">I", data[:4])[0] for kind, data in found if kind in (b"fcTL", b"fdAT")]
        self.assertEqual(sequence, list(range(9)))
        frames = [data if kind == b"IDAT" else data[4:] for kind, data in found if kind in (b"IDAT", b"fdAT")]
        images = self.ok(post(self.daemon, "/v1/interpolate", body)).json()["images"]
        self.assertEqual(frames, [dict(chunks(base64.b64decode(image["b64"])))[b"IDAT"] for image in images])
        for path, fields in (("interpolate", {**body, "grid": {}}), ("images", {"n": 2})):
            refused = post(self.daemon, "/v1/" + path, fields, accept="image/apng")
            self.assertEqual((refused.status, refused.json()["code"]), (406, "not_acceptable"))

    # ---- likelihood ----

    def test_likelihood_is_a_function_of_image_seed_and_index(self):
        body = {"images": [b64(p) for p in self.pngs], "seed": 3, "solver": {"rtol": 1e-2, "atol": 1e-2}, "probes": 2}
        together = self.ok(post(self.daemon, "/v1/likelihood", body)).json()
        self.assertEqual((together["seed"], together["parameters"]["probes"], together["parameters"]["constant"]),
                         ("3", 2, "exact"))
        for k, image in enumerate(together["images"]):
            query = f"/v1/likelihood?seed=3&first_index={k}&probes=2&rtol=1e-2&atol=1e-2"
            alone = self.ok(post(self.daemon, query, self.pngs[k], "image/png")).json()["images"][0]
            self.assertEqual(alone, image)
            bits = -image["log_likelihood"] / (D * math.log(2)) + 7
            self.assertAlmostEqual(image["bits_per_dimension"], bits, places=9)
            self.assertTrue(0 < bits < 12, bits)
        other = self.ok(post(self.daemon, "/v1/likelihood", {**body, "seed": 4})).json()["images"]
        self.assertNotEqual([i["log_likelihood"] for i in other], [i["log_likelihood"] for i in together["images"]])
        reference = self.ok(post(self.daemon, "/v1/likelihood", {**body, "constant": "reference"})).json()["images"]
        self.assertNotEqual(reference[0]["log_likelihood"], together["images"][0]["log_likelihood"])
        drawn = [self.ok(post(self.daemon, "/v1/likelihood?rtol=0.1", self.pngs[0], "image/png")).json()["seed"]
                 for _ in range(2)]
        self.assertNotEqual(drawn[0], drawn[1])

    def test_fields_of_other_routes_are_refused(self):
        image = {"images": [b64(self.pngs[0])]}
        for path, more, pointer in [("encode", {"temperature": 1}, "/temperature"), ("encode", {"n": 1}, "/n"),
                                    ("encode", {"dtype": "float32"}, "/dtype"), ("encode", {"probes": 1}, "/probes"),
                                    ("encode", {"class": 1}, "/class"), ("encode", {"latents": []}, "/latents"),
                                    ("encode", {"solver": {"schedule": "tuned"}}, "/solver/schedule"),
                                    ("encode", {"solver": {"rtol": 1e-99}}, "/solver/rtol"),
                                    ("encode", {"format": "gif"}, "/format"), ("encode", {"a/b": 1}, "/a~1b"),
                                    ("encode", {"model": "none"}, "/model"), ("likelihood", {"grid": {}}, "/grid"),
                                    ("likelihood", {"probes": -1}, "/probes"), ("likelihood", {"probes": 1001}, "/probes"),
                                    ("likelihood", {"probes": 1.0}, "/probes"), ("likelihood", {"constant": 1}, "/constant"),
                                    ("likelihood", {"solver": {"method": "euler"}}, "/solver/method")]:
            with self.subTest(path=path, more=more):
                self.refused(post(self.daemon, "/v1/" + path, {**image, **more}), 422, "invalid_parameter", pointer)
        for query in ["/v1/encode?n=1", "/v1/encode?rtol=1&rtol=1", "/v1/encode?frames=2", "/v1/encode?=1",
                      "/v1/encode?solver=1&rtol=1", "/v1/encode?rtol=1&solver=1", "/v1/encode?%ff=1", "/v1/encode?rtol=%ff",
                      "/v1/encode?label=" + "x" * 129, "/v1/encode?columns=2"]:
            self.refused(post(self.daemon, query, self.pngs[0], "image/png"), 422, "invalid_parameter")
        self.refused(post(self.daemon, "/v1/encode?rtol=1e-3", image), 422, "invalid_parameter", "", "rtol")

    # ---- hostile bodies ----

    def test_arrays_that_lie_cnpy_33(self):
        good = struct.pack("<64f", *[0.5] * D)
        for body, word in [
                (npy("<f4", (999999999999, 999999999999, 8, 8), good), "too many values"),
                (npy("<f4", (2, 1, 8, 8), good), "256 bytes where its shape needs 512"),
                (npy("<f4", (1, 1, 8, 8), good) + b"x", "257 bytes"), (npy("<f4", (0, 1, 8, 8), b""), "1 to 16"),
                (npy("<f4", (17, 1, 8, 8), good * 17), "1 to 16"), (npy("<f4", (1, 8, 8, 1), good), "[1, 8, 8, 1]"),
                (npy("<f4", (1, 64), good), "[n, 1, 8, 8]"), (npy("<f4", "()", good[:4]), "1 to 16"),
                (npy("<f4", (1, 1, 8, 8), good, order="True"), "Fortran"), (npy(">f4", (1, 1, 8, 8), good), ">f4"),
                (npy("|O", (1, 1, 8, 8), good), "type |O"), (npy("", (1, 1, 8, 8), good), "type"),
                (npy("<i4", (1, 1, 8, 8), good), "<i4"), (npy("<f2", (1, 1, 8, 8), good[:128]), "<f2"),
                (npy("<f4", "(1, -1, 8, 8)", good), "cannot be read"), (npy("<f4", (1,) * 9, good[:4]), "cannot be read"),
                (b"\x93NUMPY\x01\x00\xff\xff", "header of 65535"), (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "header"),
                (b"PK\x03\x04" + good, "no NPY"), (b"\x93NUMPY", "no NPY"), (b"", "no NPY")]:
            for path in ["/v1/decode", "/v1/encode"]:
                with self.subTest(body=body[:80], path=path):
                    problem = self.refused(post(self.daemon, path, body, "application/x-npy"), 422, "invalid_parameter",
                                           "", word)
                    self.assertLess(len(problem["detail"]), 400)
        whole = npy("<f4", (1, 1, 8, 8), good)
        for cut in range(0, len(whole), 7):
            self.refused(post(self.daemon, "/v1/decode", whole[:cut], "application/x-npy"), 422, "invalid_parameter")

    def test_numbers_that_are_none_diffusers_6815(self):
        for kind, size, values in [("<f4", "f", [math.nan, math.inf, -math.inf]), ("<f8", "d", [math.nan, 1e39, -1e300])]:
            for value in values:
                body = npy(kind, (2, 1, 8, 8), struct.pack(f"<128{size}", *[0.0] * 70, value, *[0.0] * 57))
                for path in ["encode", "decode", "likelihood"]:
                    self.refused(post(self.daemon, "/v1/" + path, body, "application/x-npy"), 422, "invalid_parameter",
                                 "", "value 6 of image 1")
        largest = npy("<f4", (1, 1, 8, 8), struct.pack("<64f", *[3e38] * D))
        answer = post(self.daemon, "/v1/decode", largest, "application/x-npy")  # a field no network knows
        self.assertIn(answer.status, (200, 500))
        self.assertIn(answer.json().get("code", "numerical_failure"), ("numerical_failure",))

    def test_pictures_that_are_none_image_png_692(self):
        rows = [bytes(range(8))] * 8
        bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 0x7fffffff, 0x7fffffff, 8, 0, 0, 0, 0)
        for body, word in [(b"", "no"), (b"GIF89a", "not a PNG"), (bomb + b"\0" * 8, "2147483647"),
                           (png(9, 9, 0, [bytes(9)] * 9), "9×9"), (png(8, 7, 0, rows[:7]), "8×7"),
                           (png(8, 8, 0, rows)[:60], "damaged"), (png(8, 8, 0, rows[:3]), "damaged"),
                           (png(8, 8, 2, [bytes(range(24))] * 8), "colour"), (png(8, 8, 4, [bytes(16)] * 8), "transparent"),
                           (png(8, 8, 0, rows).replace(b"IDAT", b"IDAU"), "damaged"),
                           (png(0, 8, 0, [b""] * 8), "no pixels")]:
            with self.subTest(body=body[:60]):
                word = "is not a PNG" if body == b"" else word
                self.refused(post(self.daemon, "/v1/encode", body, "image/png"), 422, "invalid_parameter", "", word)
                self.refused(post(self.daemon, "/v1/likelihood", {"images": [b64(self.pngs[0]), b64(body)]}), 422,
                             "invalid_parameter", "/images/1", word)
                self.refused(post(self.daemon, "/v1/interpolate", {"between": [{"image": b64(body)}, {"seed": 1}]}), 422,
                             "invalid_parameter", "/between/0/image", word)

    def test_text_that_is_no_base64(self):
        good = b64(self.pngs[0])
        for text in [good[:-1], good[:-2], good + "=", good + "\n", "data:image/png;base64," + good, "!" + good[1:], 7, None,
                     [good], {"b64": good}]:
            self.refused(post(self.daemon, "/v1/encode", {"images": [text]}), 422, "invalid_parameter", "/images/0", "base64")
            self.refused(post(self.daemon, "/v1/decode", {"latents": [text]}), 422, "invalid_parameter", "/latents/0", "base64")

    def test_bodies_without_what_it_begins_with(self):
        for body, pointer in [({}, "/images"), ({"images": []}, "/images"), ({"images": "x"}, "/images"),
                              ({"images": None}, "/images"), ([], ""), ("7", ""), ("null", "")]:
            self.refused(post(self.daemon, "/v1/encode", body), 422, "invalid_parameter", pointer)
        many = self.refused(post(self.daemon, "/v1/encode", {"images": [b64(self.pngs[0])] * 17}), 422,
                            "invalid_parameter", "/images")
        self.assertEqual(many["limit"], 16)
        for body in ["", "{", '{"images":', '{"images":["' + "A" * 100, '{"images":[],"images":[]}']:
            self.refused(post(self.daemon, "/v1/encode", body), 400, "malformed_json")
        two = latents(self.rows[0], self.rows[1])
        for ends in [[], [{"seed": 1}], [{"seed": 1}] * 3, {"a": 1}, [{"seed": 1}, {}], [{"seed": 1}, {"index": 1}],
                     [{"seed": 1}, 7], [{"seed": 1}, {"seed": -1}], [{"seed": 1}, {"seed": 1, "index": 1.5}],
                     [{"seed": 1}, {"seed": 1, "image": "x"}], [{"seed": 1}, {"seed": 1, "more": 1}],
                     [{"seed": 1}, {"image": b64(self.pngs[0]), "index": 1}], [{"seed": 1}, {"latent": b64(two)}]]:
            with self.subTest(ends=ends):
                self.refused(post(self.daemon, "/v1/interpolate", {"between": ends}), 422, "invalid_parameter")
        for solver, pointer in [({"t_max": 1e-5}, "/solver/t_max"), ({"schedule": "tuned"}, "/solver/schedule")]:
            for first in [{"seed": 1}, {"image": b64(self.pngs[0])}]:
                answer = post(self.daemon, "/v1/interpolate", {"between": [first, {"seed": 2}], "solver": solver})
                self.refused(answer, 422, "invalid_parameter", pointer)
        for frames in [0, 1, 17, -1, 2.0, "3", None]:
            self.refused(post(self.daemon, "/v1/interpolate", {"between": [{"seed": 1}, {"seed": 2}], "frames": frames}), 422,
                         "invalid_parameter", "/frames")

    # ---- the interface's rules ----

    def test_formats_and_types(self):
        problem = self.refused(post(self.daemon, "/v1/encode", self.pngs[0], "image/png", "image/png"), 406, "not_acceptable")
        self.assertEqual(problem["available"], ["application/json", "application/x-npy"])
        problem = self.refused(post(self.daemon, "/v1/likelihood?format=npy", self.pngs[0], "image/png"), 406, "not_acceptable")
        self.assertEqual(problem["available"], ["application/json"])
        self.refused(post(self.daemon, "/v1/decode", self.up.body, "application/x-npy", "image/png"), 406, "not_acceptable")
        for path, kind in [("decode", "image/png"), ("interpolate", "application/x-npy"), ("encode", "image/jpeg"),
                           ("encode", "application/octet-stream"), ("images", "image/png")]:
            self.refused(post(self.daemon, "/v1/" + path, b"x", kind), 415, "unsupported_media_type")
        for path in ["encode", "decode", "interpolate", "likelihood"]:
            answer = self.daemon.get("/v1/" + path)
            self.assertEqual((answer.status, answer.headers["Allow"]), (405, "POST, OPTIONS"))

    def test_bodies_up_to_64_mib(self):
        padded = json.dumps({"images": [b64(self.pngs[0])]}) + " " * (3 << 20)
        self.ok(post(self.daemon, "/v1/encode", padded))
        self.refused(post(self.daemon, "/v1/images", "{}" + " " * (1 << 20)), 413, "content_too_large")
        with self.daemon.connect() as s:
            s.sendall(b"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
                      % ((64 << 20) + 1))
            head = s.recv(4096)
            self.assertTrue(head.startswith(b"HTTP/1.1 413 "), head)
            self.assertIn(str(64 << 20).encode(), head)

    def test_large_bodies_cannot_fill_the_memory(self):
        held = []

        def one_too_many():
            """Five that lack a few bytes of what makes them large, which four of them get at once and then the last: within
            its first second no body gives way. Where they took longer, or another order, it is tried again."""
            while held:
                held.pop().close()
            for length in (9_000_000, 9_000_000, 9_000_000, 9_000_000, 3 << 19):
                held.append(self.daemon.connect())
                send_all(held[-1], b"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % length +
                         b" " * ((1 << 20) - 1))
            for s in held[:-1]:
                send_all(s, b" " * 65536)
            time.sleep(0.05)  # for these to take their places
            send_all(held[-1], b" " * ((1 << 19) + 1))
            try:
                response = http.client.HTTPResponse(held[-1])
                response.begin()
                answer = Answer(response)
            except (OSError, http.client.HTTPException):  # its end came before its answer was read
                return None
            return answer if answer.status == 503 else None
        try:
            answer = wait_until(one_too_many, "a large body that is refused")
            problem = self.refused(answer, 503, "queue_full", word="large bodies")
            self.assertEqual((problem["retry_after_s"], answer.headers["Retry-After"]), (1, "1"))
            self.ok(post(self.daemon, "/v1/encode?rtol=0.1", self.pngs[0], "image/png"))
        finally:
            for s in held:
                s.close()
        wait_until(lambda: post(self.daemon, "/v1/encode", " " * (3 << 19)).status == 400, "a free place")

    def busy(self):
        return "pfgmd_slots_busy 0\n" not in self.daemon.get("/metrics").body.decode()

    def evaluated(self):
        text = self.daemon.get("/metrics").body.decode()
        return int(re.search(r"pfgmd_field_evaluations_total\{[^}]*\} ([0-9]+)", text)[1])

    def test_a_client_that_leaves_ends_the_work(self):
        image = b64(self.pngs[0])
        for path, body in [("encode", {"images": [image] * 4, "solver": ENDLESS}),
                           ("likelihood", {"images": [image] * 2, "probes": 1000, "solver": {"rtol": 1e-9, "atol": 1e-9}}),
                           ("decode", {"latents": [b64(latents(self.rows[0]))], "solver": ENDLESS}),
                           ("interpolate", {"between": [{"image": image}, {"seed": 1}], "solver": ENDLESS})]:
            text = json.dumps(body).encode()
            before = self.evaluated()
            with self.subTest(path=path), self.daemon.connect() as s:
                s.sendall(f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
                wait_until(self.busy, "work")
                if path == "interpolate":
                    wait_until(lambda: self.evaluated() > before + 800, "its second part")  # the first takes a quarter
            wait_until(lambda: not self.busy(), "the end of the work")

    def test_a_deadline_holds_for_both_parts(self):
        image = b64(self.pngs[0])
        for path, body in [("encode", {"images": [image], "solver": ENDLESS}),
                           ("interpolate", {"between": [{"image": image}, {"image": image}], "solver": ENDLESS})]:
            answer = post(self.daemon, "/v1/" + path, {**body, "timeout_s": 0.6})
            self.refused(answer, 504, "deadline_exceeded", word="deadline")
        wait_until(lambda: not self.busy(), "the end of the work")

    def test_a_solver_that_gives_up_is_told(self):
        for path, body in [("encode", {"images": [b64(self.pngs[0])] * 2}),
                           ("interpolate", {"between": [{"image": b64(self.pngs[0])}, {"seed": 1}]})]:
            answer = post(self.daemon, "/v1/" + path, {**body, "solver": {"method": "rk45", "max_nfe": 8}})
            problem = self.refused(answer, 500, "numerical_failure")
            self.assertRegex(problem["errors"][0]["pointer"], "^/images/[0-9]$")

    def test_what_the_server_says_of_itself(self):
        caps = self.daemon.get("/v1/capabilities").json()
        self.assertEqual(caps["tasks"], ["encode", "decode", "interpolate", "likelihood", "edit"])
        self.assertEqual(caps["limits"]["large_body_bytes"], 64 << 20)
        self.assertEqual((caps["defaults"]["frames"], caps["defaults"]["probes"], caps["defaults"]["constant"]),
                         (10, 1, "exact"))
        metrics = self.daemon.get("/metrics").body.decode()
        self.assertIn('pfgmd_http_requests_total{route="/v1/encode",method="POST",code="200"}', metrics)


class Keys(unittest.TestCase):
    def test_images_count_against_a_key(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "keys")
            with open(path, "w") as f:
                f.write(key_line("few", "few-key", "images=9") + key_line("viewer", "view-key", "read-only"))
            with Daemon("--keys", path) as daemon:
                ends = {"between": [{"seed": 1}, {"seed": 2}], "frames": 4}
                self.assertEqual(post(daemon, "/v1/interpolate", ends).status, 401)
                self.assertEqual(post(daemon, "/v1/interpolate", ends, key="view-key").status, 403)
                answer = post(daemon, "/v1/interpolate", ends, key="few-key")
                self.assertEqual(answer.status, 200)
                picture = answer.json()["images"][0]["b64"]
                more = {"between": [{"image": picture}, {"seed": 2}], "frames": 4}
                self.assertEqual(post(daemon, "/v1/interpolate", more, key="few-key").status, 200)  # five: one is encoded
                refused = post(daemon, "/v1/encode", {"images": [picture]}, key="few-key")
                self.assertEqual((refused.status, refused.json()["code"]), (429, "quota_exceeded"))


if __name__ == "__main__":
    unittest.main()
