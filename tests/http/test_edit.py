"""Edits through HTTP: what strength 0 and 1 are, what a mask keeps, the same bytes whatever the company, OpenAI's forms
and what hostile ones get."""

import base64
import contextlib
import json
import math
import os
import random
import signal
import socket
import struct
import tempfile
import unittest

from harness import ENDLESS, MODELS, PFGM, Daemon, SharedDaemon, long_work, run
from test_costs import MEASURED, MIB, forget, peak
from test_latents import b64, npy, png, post, read_npy
from test_streams import Events

BOUNDARY = "------------------------d74496d66958873e"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
LEFT = png(8, 8, 0, [b"\xff" * 4 + b"\0" * 4] * 8)  # keeps the left half
CLEAR_RIGHT = png(8, 8, 4, [b"\x80\xff" * 4 + b"\x80\0" * 4] * 8)  # OpenAI's: what is transparent changes
MULTISTEP = {"method": "multistep2", "steps": 6}


def part(name, data, file=None, head=b""):
    disposition = b"" if name is None else f'; name="{name}"'.encode()
    if file:
        disposition += f'; filename="{file}"\r\nContent-Type: image/png'.encode()
    return b"Content-Disposition: form-data" + disposition + b"\r\n" + head + b"\r\n" + data + b"\r\n"


def form(*parts, end=b"--\r\n"):
    line = b"--" + BOUNDARY.encode()
    return b"".join(line + b"\r\n" + p for p in parts) + line + end


def fields(picture, **texts):
    return [part("image", picture, "image.png")] + [part(k, str(v).encode()) for k, v in texts.items()]


class Edits(SharedDaemon):
    ARGS = ("--workers", "2", "--n-max", "16")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.picture = base64.b64decode(cls.daemon.images({"seed": 1}).json()["images"][0]["b64"])

    def edit(self, body, **more):
        return post(self.daemon, "/v1/edit", {"image": b64(self.picture), **body, **more})

    def pixels(self, path, body):
        answer = post(self.daemon, path, {**body, "format": "npy"})
        self.assertEqual(answer.status, 200, answer.body[:300])
        return read_npy(answer.body)[1]

    def test_strength_0_is_the_image_and_1_that_of_its_seed(self):
        original = self.pixels("/v1/images", {"seed": 1})
        for strength, mask in [(0, {}), (0, {"mask": b64(LEFT)})]:
            back = self.pixels("/v1/edit", {"image": b64(self.picture), "strength": strength, "n": 2, **mask})
            self.assertEqual(back, original * 2)
        for solver in [MULTISTEP, {"method": "heun", "steps": 10}, {"rtol": 0.01}, {}]:
            body = {"seed": "18446744073709551615", "first_index": 3, "n": 2, "solver": solver}
            made = self.daemon.images(body).json()
            edited = self.edit(body, strength=1).json()
            self.assertEqual([i["sha256"] for i in edited["images"]], [i["sha256"] for i in made["images"]])
            self.assertTrue(all("url" in i for i in edited["images"]))  # nothing of the image is left in them

    def test_what_is_kept_is_the_same_in_every_byte(self):
        original = self.pixels("/v1/images", {"seed": 1})
        for method in ["euler", "multistep2", "multistep3", "ipndm4", "unipc3"]:
            for strength in [0.4, 1]:
                rows = self.pixels("/v1/edit", {"image": b64(self.picture), "mask": b64(LEFT), "n": 3, "seed": 4,
                                                "strength": strength, "solver": {"method": method, "steps": 8}})
                for i, value in enumerate(rows):
                    if i % 8 < 4:
                        self.assertEqual(value, original[i % 64])
                changed = [rows[64 * k:64 * (k + 1)] for k in range(3)]
                self.assertEqual(len({original, *changed}), 4)
        everything = png(8, 8, 6, [b"\xff\xf0\xff\xff" * 8] * 8)
        self.assertEqual(self.pixels("/v1/edit", {"image": b64(self.picture), "mask": b64(everything)}), original)

    def test_same_bytes_in_any_company_and_by_any_workers(self):
        bodies = [{"strength": 0.6, "seed": 9, "n": 4, "solver": MULTISTEP},
                  {"mask": b64(LEFT), "seed": 9, "n": 4, "solver": MULTISTEP},
                  {"strength": 0.3, "seed": 9, "n": 4, "solver": {"rtol": 0.01}}]
        expected = [[i["sha256"] for i in self.edit(b).json()["images"]] for b in bodies]
        for body, one in zip(bodies, expected):
            self.assertEqual(len(set(one)), 4)
            alone = self.edit(body, n=1, first_index=2).json()
            self.assertEqual(alone["images"][0]["sha256"], one[2])
        with Daemon("--workers", "3", "--batch", "2") as other:
            with contextlib.ExitStack() as company:
                for seed in range(2):
                    company.enter_context(contextlib.closing(other.begin_images({"seed": seed, "solver": ENDLESS})))
                other.wait_work(2)
                for body, one in zip(bodies, expected):
                    again = post(other, "/v1/edit", {"image": b64(self.picture), **body}).json()
                    self.assertEqual([i["sha256"] for i in again["images"]], one)

    def test_an_image_is_named_by_its_seed_or_sent_in_any_form(self):
        body = {"strength": 0.5, "seed": 3, "n": 2, "solver": MULTISTEP}
        made = self.daemon.images({"seed": 1, "first_index": 5, "solver": MULTISTEP}).json()["images"][0]["b64"]
        by_bytes = post(self.daemon, "/v1/edit", {**body, "image": made}).json()
        by_seed = post(self.daemon, "/v1/edit", {**body, "image": {"seed": "1", "index": 5}}).json()
        query = "?strength=0.5&seed=3&n=2&method=multistep2&steps=6&format=json"
        sent = post(self.daemon, "/v1/edit" + query, base64.b64decode(made), "image/png").json()
        array = npy("|u1", (1, 8, 8, 1), bytes(self.pixels("/v1/images", {"seed": 1, "first_index": 5, "solver": MULTISTEP})))
        as_array = post(self.daemon, "/v1/edit" + query, array, "application/x-npy").json()
        digests = [[i["sha256"] for i in a["images"]] for a in (by_bytes, by_seed, sent, as_array)]
        self.assertEqual(digests, digests[:1] * 4)
        self.assertEqual(by_seed["parameters"]["strength"], 0.5)
        self.assertNotIn("url", by_seed["images"][0])
        for strength, nfe in [(0, 0), (0.5, 3), (1, 6)]:
            self.assertEqual(self.edit(body, strength=strength).json()["images"][0]["nfe"], nfe)

    def test_all_formats_and_what_the_picture_says_of_itself(self):
        body = {"strength": 0.5, "seed": 3, "n": 3, "solver": MULTISTEP}
        for format, begin in [("zip", b"PK"), ("npz", b"PK"), ("events", b"retry: "), ("tar", b"pfgm-3-")]:
            answer = self.edit(body, format=format)
            self.assertEqual((answer.status, answer.body[:len(begin)]), (200, begin), format)
        events = post(self.daemon, "/v1/edit", {**body, "image": {"seed": 1}, "format": "events", "preview_every": 1}).body
        self.assertEqual(events.count(b"event: image"), 3)
        self.assertGreater(events.count(b"event: preview"), 3)
        sheet = self.edit(body, grid={"scale": 2}, format="png")
        self.assertEqual(struct.unpack(">II", sheet.body[16:24]), (32, 32))
        chunk = self.edit(body, n=1, format="png", mask=b64(LEFT)).body.split(b"pfgm\0")[1]
        said = json.JSONDecoder().raw_decode(chunk.decode("latin-1").lstrip("\0"))[0]["edit"]
        self.assertEqual((sorted(said), said["strength"]), (["image", "mask", "strength"], 0.5))

    def test_events_begin_with_the_image_of_a_seed(self):
        body = {"image": {"seed": 1}, "seed": 3, "n": 3, "solver": {"steps": 6}}
        stream = Events(self.daemon, {**body, "solver": ENDLESS, "strength": 0.1}, path="/v1/edit")
        kinds = [(kind, data) for kind, data, _, _ in (next(events) for events in [iter(stream)] * 2)]
        stream.close()
        self.assertEqual([kind for kind, _ in kinds], ["queued", "started"])  # its image will never be there
        self.assertEqual((stream.headers["x-pfgm-seed"], kinds[0][1]["seed"], kinds[0][1]["n"]), ("3", "3", 3))
        plain = post(self.daemon, "/v1/edit", body).json()
        seen = list(Events(self.daemon, body, path="/v1/edit"))
        self.assertEqual([number for _, _, number, _ in seen], list(range(1, len(seen) + 1)))
        self.assertEqual(sorted(data["sha256"] for kind, data, _, _ in seen if kind == "image"),
                         sorted(i["sha256"] for i in plain["images"]))
        self.assertEqual(seen[0][1]["parameters"], {**plain["parameters"], "format": "events"})
        self.assertEqual({data["images_total"] for kind, data, _, _ in seen if kind == "progress"}, {3})
        self.assertEqual((seen[-1][0], seen[-1][1]["images"]), ("done", 3))
        late = list(Events(self.daemon, {**body, "solver": ENDLESS, "timeout_s": 0.2}, path="/v1/edit"))
        self.assertEqual([(kind, data.get("code")) for kind, data, _, _ in late if kind == "failed"], [("failed", "deadline_exceeded")])

    def test_times_are_those_of_both_requests(self):
        work = long_work(self.daemon, 0.5)
        alone = min(self.daemon.images(work).json()["timings"]["compute_ms"] for _ in range(3))
        body = {"image": {"seed": 1}, "strength": 0, "solver": work["solver"], "label": "both"}  # the second takes none
        answer = post(self.daemon, "/v1/edit", body)
        took = answer.json()["timings"]["compute_ms"]
        self.assertGreater(took, alone / 8)
        self.assertEqual(round(float(answer.headers["Server-Timing"].split("compute;dur=")[1].split(",")[0])), round(took))
        line = self.daemon.wait_line("label=both")
        self.assertEqual(round(float(line.split("compute_ms=")[1].split()[0])), round(took))
        seen = list(Events(self.daemon, {**body, "format": "events"}, path="/v1/edit"))
        self.assertGreater(seen[-1][1]["timings"]["compute_ms"], alone / 8)

    def test_refusals_name_the_field(self):
        wrong = [({"strength": 1.5}, "/strength"), ({"strength": "0.5"}, "/strength"), ({"strength": True}, "/strength"),
                 ({"image": 7}, "/image"), ({"image": None}, "/image"), ({"image": "AAAA"}, "/image"), ({"image": {}}, "/image"),
                 ({"image": {"seed": -1}}, "/image"), ({"image": {"seed": 1, "x": 1}}, "/image"),
                 ({"image": {"seed": 1, "class": 3}}, "/image/class"), ({"image": {"seed": 1, "class": []}}, "/image/class"),
                 ({"mask": 7}, "/mask"), ({"mask": b64(b"GIF89a")}, "/mask"), ({"mask": b64(png(4, 4, 0, [bytes(4)] * 4))}, "/mask"),
                 ({"mask": b64(LEFT), "solver": {"method": "heun", "steps": 10}}, "/solver/method"),
                 ({"mask": b64(LEFT), "solver": {"rtol": 0.1}}, "/solver/method"),
                 ({"image": {"seed": 1}, "mask": b64(LEFT), "solver": {"method": "rk45"}}, "/solver/method"),
                 ({"image": {"seed": 1}, "solver": {"steps": 3, "schedule": "tuned"}}, "/solver/schedule"),
                 ({"class": 1}, "/class"), ({"n": 17}, "/n"), ({"frames": 3}, "/frames"), ({"latents": []}, "/latents")]
        for body, pointer in wrong:
            with self.subTest(body=str(body)[:80]):
                answer = self.edit(body)
                self.assertEqual((answer.status, answer.json()["errors"][0]["pointer"]), (422, pointer), answer.body[:300])
        self.assertEqual(post(self.daemon, "/v1/edit?mask=AAAA", self.picture, "image/png").json()["errors"][0]["pointer"], "/mask")
        two = npy("|u1", (2, 8, 8, 1), bytes(128))
        self.assertEqual(post(self.daemon, "/v1/edit", two, "application/x-npy").status, 422)
        nan = npy("<f4", (1, 1, 8, 8), struct.pack("<64f", *[math.nan] * 64))
        self.assertEqual(post(self.daemon, "/v1/edit", nan, "application/x-npy").status, 422)

    # ---- OpenAI's forms ----

    def ask(self, body, path="/v1/images/edits", kind=FORM, **headers):
        return self.daemon.request("POST", path, body, {"Content-Type": kind, **headers})

    def test_forms_of_openai_are_our_edits(self):
        ours = self.edit({"strength": 0.5, "seed": 7, "n": 2}).json()["images"]
        for path in ["/v1/images/edits", "/v1/images/variations"]:
            answer = self.ask(form(*fields(self.picture, n=2, seed=7, strength=0.5, response_format="b64_json", size="8x8",
                                           user="me", output_format="png")), path).json()
            self.assertEqual([i["b64_json"] for i in answer["data"]], [i["b64"] for i in ours])
        listed = self.ask(form(part("image[]", self.picture, "x"), part("seed", b"7"), part("prompt", b"")))
        self.assertEqual(listed.json()["data"][0]["b64_json"], ours[0]["b64"])
        masked = [self.ask(form(*fields(self.picture, seed=7), part("mask", CLEAR_RIGHT, "m.png"))).json(),
                  {"data": [{"b64_json": self.edit({"seed": 7, "mask": b64(LEFT)}).json()["images"][0]["b64"]}]}]
        self.assertEqual(masked[0]["data"][0]["b64_json"], masked[1]["data"][0]["b64_json"])
        grey = self.pixels("/v1/images", {"seed": 1})
        cut = png(8, 8, 4, [b"".join(bytes([grey[8 * y + x], 255 * (x < 4)]) for x in range(8)) for y in range(8)])
        self.assertEqual(self.ask(form(*fields(cut, seed=7))).json()["data"][0]["b64_json"], masked[1]["data"][0]["b64_json"])

    def test_refusals_of_forms_name_the_field(self):
        image = part("image", self.picture, "i.png")
        opaque = part("mask", LEFT, "m.png")
        for path, parts, param in [
                ("edits", [part("prompt", b"x")], "image"), ("edits", [image, image], "image"),
                ("edits", [image, part("image[]", self.picture, "j")], "image"), ("edits", [part("image", b"no", "i.png")], "image"),
                ("edits", [image, opaque], "mask"), ("edits", [image, part("n", b"11")], "n"), ("edits", [image, part("n", b"x")], "n"),
                ("edits", [image, part("size", b"1024x1024")], "size"), ("edits", [image, part("prompt", b"\xff")], "prompt"),
                ("edits", [image, part("response_format", b"url")], "response_format"), ("edits", [image, part("x", b"1")], "x"),
                ("edits", [image, part("seed", b"1"), part("seed", b"1")], "seed"), ("edits", [image, part("strength", b"2")], "strength"),
                ("edits", [image, part("stream", b"true")], "stream"), ("edits", [image, part("user", b"a\0b")], "user"),
                ("variations", [image, part("prompt", b"x")], "prompt"), ("variations", [image, opaque], "mask")]:
            with self.subTest(path=path, param=param):
                answer = self.ask(form(*parts), "/v1/images/" + path)
                self.assertEqual((answer.status, answer.json()["error"]["param"]), (422, param), answer.body[:300])
        self.assertEqual(self.ask(form(image, part("model", b"dall-e-2"))).json()["error"]["code"], "model_not_found")
        self.assertEqual(self.ask(form(image), kind="application/json").status, 415)
        self.assertEqual(self.daemon.request("POST", "/v1/images/edits", b"{}").status, 415)
        self.assertEqual(self.ask(form(image), "/v1/images/generations").status, 415)

    def test_foreign_pages_may_not_send_forms(self):
        body = form(*fields(self.picture))
        self.assertEqual(self.ask(body, Origin="http://evil.example").status, 403)
        self.assertEqual(self.ask(body, **{"Sec-Fetch-Site": "cross-site"}).status, 403)
        self.assertEqual(self.ask(body, Origin=f"http://127.0.0.1:{self.daemon.port}").status, 200)

    def test_hostile_forms(self):
        image = part("image", self.picture, "i.png")
        line = b"--" + BOUNDARY.encode()
        nested = b'Content-Disposition: form-data; name="image"\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n' + b"".join(
            b"--inner\r\nContent-Disposition: file; filename=\"" + n + b"\"\r\n\r\n" + self.picture + b"\r\n" for n in (b"a", b"b")) + b"--inner--\r\n"
        bodies = [(form(part(None, b"x")), 400), (form(image, part("", b"x")), 400), (form(part("n" * 65, b"x")), 400),
                  (form(image, part("seed", b"1").replace(b"seed", b"se\xffed")), 400),
                  (form(*[part("user", b"x")] * 10_000), 413), (form(*[part(f"f{i}", b"") for i in range(65)]), 413),
                  (form(part("image", self.picture, "x" * 100_000)), 400), (form(part("user", b"x", head=b"X-A: " + b"y" * 100_000 + b"\r\n")), 400),
                  (form(image, end=b""), 400), (form(image)[:-40], 400), (form(image)[:60], 400), (line, 400), (b"", 422), (b"\r\n" * 50_000, None),
                  (self.picture, 422), (form(image, part("user", b"x", head=b"Content-Transfer-Encoding: base64\r\n")), 400),
                  (form(nested), 422), (form(nested)[:-100], 400), (form(b"\r\n" + self.picture + b"\r\n"), 400),
                  (form(part("image", b"\r\n--" * 50_000, "x")), 422), (form(image) + b"trailing" * 1000, None), (line * 5000, 400)]
        for k, (body, status) in enumerate(bodies):
            with self.subTest(case=k):
                answer = self.ask(body)
                self.assertIn(answer.status, [status] if status else [200, 400, 422], answer.body[:300])
                self.assertTrue(answer.status == 200 or answer.json()["error"]["message"])
        for kind in ["multipart/form-data", "multipart/form-data; boundary=", f'multipart/form-data; boundary="{BOUNDARY}',
                     "multipart/form-data; boundary=" + "x" * 71, "multipart/form-data;charset=x; boundary=y", f"multipart/form-data; boundary={BOUNDARY}; x=y",
                     f"multipart/form-data; Boundary={BOUNDARY}", 'multipart/form-data; boundary="a b"',
                     "multipart/form-data; boundary=\xe9", "multipart/form-data; boundary=x", 'multipart/form-data; boundary="x"']:
            self.assertIn(self.ask(form(image), kind=kind).status, [400, 415], kind)
        self.assertEqual(self.ask(form(image), kind="multipart/mixed; boundary=" + BOUNDARY).status, 415)
        self.assertEqual(self.ask(form(image), kind=f'Multipart/Form-Data;  boundary="{BOUNDARY}"').status, 200)

    def test_forms_that_were_damaged_at_random(self):
        whole, draw = bytearray(form(*fields(self.picture, n=1), part("mask", CLEAR_RIGHT, "m.png"))), random.Random(7)
        for _ in range(60):
            body = bytearray(whole)
            for _ in range(draw.randint(1, 6)):
                at = draw.randrange(len(body))
                body[at:at + draw.randint(0, 3)] = draw.choice([b"", b"\r\n", b"--", b"\0", b'"', b"\r\n--" + BOUNDARY.encode()])
            self.assertIn(self.ask(bytes(body)).status, [200, 400, 413, 422])

    def test_a_form_byte_by_byte_is_the_same_form(self):
        body = form(*fields(self.picture, seed=7))
        expected = self.ask(body).json()["data"][0]["sha256"]
        with socket.create_connection(("127.0.0.1", self.daemon.port)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(f"POST /v1/images/edits HTTP/1.1\r\nHost: x.localhost\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}\r\n"
                      "Connection: close\r\n\r\n".encode())
            for i in range(len(body)):
                s.sendall(body[i:i + 1])
            answer = b"".join(iter(lambda: s.recv(65536), b""))
        self.assertIn(expected.encode(), answer)

    def test_metrics_know_the_routes(self):
        self.edit({"strength": 0})
        self.ask(form(*fields(self.picture)), "/v1/images/variations")
        counted = self.daemon.settled()  # a request is counted when its answer has gone
        for route in ["/v1/edit", "/v1/images/variations"]:
            self.assertGreaterEqual(counted.sum("pfgmd_http_requests_total", route=route), 1, route)


class Others(unittest.TestCase):
    def test_a_form_costs_a_small_multiple_of_its_bytes(self):
        with Daemon("--workers", "1") as daemon:
            for body in [form(part("image", bytes(12 * MIB), "i.png")), form(*[part("user", bytes(MIB // 4))] * 48),
                         form(part("image", b"\r\n--x" * (2 * MIB), "i.png"))]:
                before = forget(daemon)
                answer = daemon.request("POST", "/v1/images/edits", body, {"Content-Type": FORM})
                self.assertEqual(answer.status, 422, answer.body[:300])
                if MEASURED:
                    self.assertLess(peak(daemon), 4 * len(body) + 64 * MIB)
                    self.assertLess(peak(daemon) - before, 3 * len(body))
            over = daemon.request("POST", "/v1/images/edits", form(part("image", bytes(64 * MIB), "i.png")), {"Content-Type": FORM})
            self.assertEqual(over.status, 413)

    def test_classes_are_those_of_the_image_unless_others_are_named(self):
        with Daemon(model=os.path.join(MODELS, "fashion10.safetensors")) as daemon:
            few = {"solver": {"method": "multistep2", "steps": 2}, "seed": 3}
            bag = daemon.images({"seed": 1, "class": "Bag", **{"solver": few["solver"]}}).json()["images"][0]
            kept = post(daemon, "/v1/edit", {**few, "image": {"seed": 1, "class": "Bag"}}).json()["images"][0]
            named = post(daemon, "/v1/edit", {**few, "image": bag["b64"], "class": 8}).json()["images"][0]
            other = post(daemon, "/v1/edit", {**few, "image": bag["b64"], "class": "Coat"}).json()["images"][0]
            none = post(daemon, "/v1/edit", {**few, "image": bag["b64"]}).json()["images"][0]
            self.assertEqual((kept["class"], kept["sha256"]), (8, named["sha256"]))
            self.assertEqual((other["class"], none["class"]), (4, None))
            self.assertEqual(len({kept["sha256"], other["sha256"], none["sha256"]}), 3)
            picture = base64.b64decode(bag["b64"])
            prompted = daemon.request("POST", "/v1/images/edits", form(*fields(picture, prompt="two coats", steps=4, seed=3)),
                                      {"Content-Type": FORM}).json()
            self.assertEqual((prompted["data"][0]["revised_prompt"], prompted["pfgm"]["prompt"]), ("Coat", "class"))
            refused = daemon.request("POST", "/v1/images/edits", form(*fields(picture, prompt="dragon")), {"Content-Type": FORM})
            self.assertEqual((refused.status, refused.json()["error"]["param"]), (422, "prompt"))

    def test_vectors_and_exact_fields(self):
        points = [[0.5, -2.0], [1.5, 3.0], [-1.0, 0.25]]
        with tempfile.TemporaryDirectory() as folder:
            data, model = (os.path.join(folder, n) for n in ("p.npy", "p.safetensors"))
            with open(data, "wb") as f:
                f.write(npy("<f4", (3, 2), struct.pack("<6f", *sum(points, []))))
            self.assertEqual(run(PFGM, "convert", "--exact", data, "-o", model).returncode, 0)
            with Daemon(model=model) as daemon:
                body = npy("<f4", (1, 2), struct.pack("<2f", *points[1]))
                ends = {}
                for strength in [0, 0.3, 1]:
                    answer = post(daemon, f"/v1/edit?strength={strength}&n=16&seed=2&dtype=float32&format=npy", body, "application/x-npy")
                    self.assertEqual(answer.status, 200, answer.body[:300])
                    values = read_npy(answer.body)[1]
                    ends[strength] = [min(range(3), key=lambda k, v=values[2 * i:2 * i + 2]: math.dist(points[k], v)) for i in range(16)]
                    for i in range(16):
                        self.assertLess(math.dist(values[2 * i:2 * i + 2], points[ends[strength][i]]), 0.01)
                self.assertEqual(ends[0], [1] * 16)
                self.assertGreater(ends[0.3].count(1), ends[1].count(1))
                masked = post(daemon, "/v1/edit", {"image": {"seed": 1}, "mask": b64(LEFT), "dtype": "float32", "format": "npy"})
                self.assertEqual((masked.status, masked.json()["errors"][0]["pointer"]), (422, "/mask"))


class TwoParts(unittest.TestCase):
    """An image of a seed is made by a request of its own, on which the edit follows: what was taken is finished."""

    def begin(self, daemon, path, body):
        text = json.dumps(body).encode()
        s = daemon.connect()
        s.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(text)) + text)
        return s

    def status(self, s):
        return int(s.makefile("rb").readline().split()[1])

    EDIT = {"image": {"seed": 4}, "n": 4, "seed": 1, "strength": 0.05, "solver": {"method": "euler", "steps": 40}}

    def test_a_full_queue_does_not_refuse_the_second_part(self):
        """The first part waits behind one who leaves when the queue is full."""
        with Daemon("--workers", "1", "--batch", "1", "--queue", "4") as daemon:
            before = daemon.begin_images({"solver": ENDLESS})
            daemon.wait_work(1)
            edit = self.begin(daemon, "/v1/edit", self.EDIT)
            daemon.wait_work(1, 1)
            others = [daemon.begin_images({"solver": ENDLESS}) for _ in range(3)]
            daemon.wait_work(1, 4)
            before.close()
            daemon.wait_work(1, 6)  # the first of them has the place by now, and the four images of the edit wait
            for s in others:
                s.close()
            self.assertEqual(self.status(edit), 200)
            edit.close()

    def test_a_drain_does_not_refuse_the_second_part(self):
        with Daemon("--workers", "1", "--batch", "1", "--drain-timeout", "600") as daemon:
            before = daemon.begin_images({"solver": ENDLESS})
            daemon.wait_work(1)
            edit = self.begin(daemon, "/v1/edit", self.EDIT)
            daemon.wait_work(1, 1)
            daemon.signal(signal.SIGTERM)
            daemon.wait_line("stopping")
            self.assertEqual(daemon.images({}).status, 503)
            before.close()
            self.assertEqual(self.status(edit), 200)
            edit.close()
            self.assertEqual(daemon.wait(), 0)

    def test_what_is_wrong_with_the_second_part_is_said_before_the_first_is_made(self):
        with Daemon("--n-max", "257") as daemon:
            picture = daemon.images({"seed": 1}).json()["images"][0]["b64"]
            before = daemon.metrics().sum("pfgmd_images_admitted_total")
            body = {"between": [{"image": picture}, {"seed": 1}], "frames": 257, "grid": {"columns": 257, "scale": 16}}
            refused = post(daemon, "/v1/interpolate", body)  # a row of 257 x 8 x 16 pixels is too long
            self.assertEqual((refused.status, refused.json()["errors"][0]["pointer"]), (422, "/grid"), refused.body[:200])
            self.assertEqual(daemon.metrics().sum("pfgmd_images_admitted_total"), before)


if __name__ == "__main__":
    unittest.main()
