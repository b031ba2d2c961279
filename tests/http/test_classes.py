"""Class-conditional models, from training to every way of asking: what a class does and does not change."""

import base64
import hashlib
import json
import os
import random
import struct
import tempfile
import unittest
import zipfile
import zlib
from io import BytesIO

from harness import PFGM, Daemon, SharedDaemon, run
from jobs_calls import QUICK, events, file_job

NAMES = ["bottom", "top", "7"]


def write_idx(path, shape, values):
    with open(path, "wb") as f:
        f.write(struct.pack(f">I{len(shape)}I", 0x800 + len(shape), *shape) + bytes(values))


def grey_png(width, height, pixels):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    rows = b"".join(b"\0" + pixels[y * width:(y + 1) * width] for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def train(folder, **more):
    """A few steps of a tiny network on 96 pictures of 8×8 that are bright in one half or all over."""
    draw = random.Random(1)
    images, labels = [], []
    for i in range(96):
        labels.append(i % 3)
        for y in range(8):
            bright = i % 3 == 2 or (y < 4) == (i % 3 == 1)
            images += [draw.randrange(160, 256) if bright else draw.randrange(0, 96) for _ in range(8)]
    data = os.path.join(folder, "train-images-idx3-ubyte")
    write_idx(data, (96, 8, 8), images)
    write_idx(os.path.join(folder, "train-labels-idx1-ubyte"), (96,), labels)
    config = os.path.join(folder, "config.json")
    with open(config, "w") as f:
        json.dump({"network": {"nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1}, "conditional": True,
                   "labels": NAMES, "batch": 24, "large_batch": 96, "steps": 60, "warmup": 5,
                   "learning_rate": 0.005, "ema": 0.9, "dropout": 0, "sheet_every": 0, **more}, f)
    out = os.path.join(folder, "run")
    result = run(PFGM, "train", "--data", data, "-o", out, "--config", config)
    assert result.returncode == 0, result.stderr
    return os.path.join(out, "model.safetensors")


class Numbers(unittest.TestCase):
    """Classes that are called like numbers of others: text means one class everywhere."""

    def test_text_is_the_same_class_in_every_interface(self):
        with tempfile.TemporaryDirectory() as folder:
            data, model = os.path.join(folder, "data"), os.path.join(folder, "model.safetensors")
            for k, name in enumerate(["2", "1", "10", "x y"]):
                os.makedirs(os.path.join(data, name))
                with open(os.path.join(data, name, "a.png"), "wb") as f:
                    f.write(grey_png(8, 8, bytes(20 + 60 * k + i % 8 for i in range(64))))
            result = run(PFGM, "convert", "--exact", data, "-o", model)
            self.assertEqual(result.returncode, 0, result.stderr)
            with Daemon("--workers", "1", model=model) as daemon:
                info = daemon.get("/v1/models").json()["data"][0]
                self.assertEqual(info["labels"], ["1", "2", "10", "x y"])
                for text, number in (("2", 1), ("10", 2), ("0", 0), ("x y", 3), ("1", 0)):
                    image = daemon.images({"seed": 3, "class": text}).json()["images"][0]
                    self.assertEqual(image["class"], number)
                    get = daemon.get(f"/v1/images/3/0?format=json&class={text.replace(' ', '%20')}").json()
                    same = daemon.images({"seed": 3, "class": number}).json()["images"][0]
                    out = os.path.join(folder, "out.png")
                    self.assertEqual(run(PFGM, "sample", model, "--seed", "3", "--class", text, "-o", out).returncode, 0)
                    with open(out, "rb") as f:
                        command = hashlib.sha256(f.read()).hexdigest()
                    body = {"inputs": [{"name": "seed", "datatype": "UINT64", "shape": [1], "data": [3]}],
                            "parameters": {"class": text}, "outputs": [{"name": "images"}]}
                    kserve = daemon.request("POST", f"/v2/models/{info['name']}/infer", json.dumps(body)).json()
                    npy = daemon.images({"seed": 3, "class": text}, accept="application/x-npy").body
                    self.assertEqual(kserve["outputs"][0]["data"], list(npy[-64:]))
                    link = daemon.get(same["url"][same["url"].index("/v1/"):])
                    self.assertEqual({image["sha256"]}, {get["images"][0]["sha256"], same["sha256"], command,
                                                         hashlib.sha256(link.body).hexdigest()}, text)


class Classes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.model = train(cls.folder.name)
        cls.daemon = Daemon("--workers", "2", "--state", os.path.join(cls.folder.name, "state"), model=cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.daemon.check_sanitizers()

    def ask(self, **fields):
        answer = self.daemon.images(fields)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def digest(self, **fields):
        return self.ask(**fields)["images"][0]["sha256"]

    def pfgm(self, *words, name="out.png"):
        path = os.path.join(self.folder.name, name)
        result = run(PFGM, "sample", self.model, "--json", "-o", path, *words)
        return result, path

    def test_events_of_a_job_have_the_class_also_where_there_is_none(self):
        for given in (1, None):
            name = file_job(self.daemon, {"n": 2, "class": given, "solver": QUICK}).json()["id"]
            images = [data for _, kind, data in events(self.daemon, name) if kind == "image"]
            self.assertEqual([image["class"] for image in images], [given, given])

    def test_a_class_by_name_and_number_drawn_or_none(self):
        drawn = self.ask(n=16, seed=5)
        classes = [i["class"] for i in drawn["images"]]
        self.assertEqual(set(classes), {0, 1, 2})
        self.assertNotIn("class", drawn["parameters"])
        by_class = {self.digest(seed=5, **{"class": c}) for c in (0, 1, 2, None)}
        self.assertEqual(len(by_class), 4, "each class and none has a picture of its own")
        for given, label in [(1, 1), ("top", 1), ("7", 2), ("0", 0), (None, None)]:
            answer = self.ask(seed=5, **{"class": given})
            self.assertEqual((answer["images"][0]["class"], answer["parameters"]["class"]), (label, label))

    def test_the_seed_rule_with_classes(self):
        """An image is the same alone, in a batch, drawn or given, by POST, GET and from the command line."""
        batch = self.ask(n=9, seed=8, first_index=str(2**64 - 9))["images"]
        for image in batch[::4]:
            fields = {"seed": 8, "first_index": image["index"]}
            self.assertEqual(self.digest(**fields), image["sha256"])
            self.assertEqual(self.digest(**fields, **{"class": image["class"]}), image["sha256"])
            self.assertNotEqual(self.digest(**fields, **{"class": (image["class"] + 1) % 3}), image["sha256"])
            drawn = self.daemon.get(f"/v1/images/8/{image['index']}")
            given = self.daemon.get(f"/v1/images/8/{image['index']}?class={image['class']}")
            self.assertEqual((drawn.status, drawn.body), (200, given.body))
            self.assertEqual(drawn.headers["ETag"], given.headers["ETag"])
            text = drawn.body[drawn.body.index(b'{"model"'):]
            self.assertEqual(json.JSONDecoder().raw_decode(text.decode("latin-1"))[0]["class"], image["class"])
            result, path = self.pfgm("--seed", "8", "--first-index", str(image["index"]))
            self.assertEqual(json.loads(result.stdout)["images"][0]["class"], image["class"])
            with open(path, "rb") as f:
                self.assertEqual(f.read(), drawn.body)
        names = [self.daemon.get(f"/v1/images/8/0?class={c}") for c in ("bottom", "0", "null", "2")]
        self.assertEqual([n.status for n in names], [200] * 4)
        self.assertEqual(names[0].body, names[1].body)
        self.assertEqual(len({n.headers["ETag"] for n in names}), 3)

    def flow(self, task, **fields):
        answer = self.daemon.request("POST", "/v1/" + task, json.dumps(fields), {"Content-Type": "application/json"})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()["images"]

    def test_latents_are_of_the_class_that_is_named(self):
        """Both ways and between; of all data where none is named."""
        seeds = [{"seed": 5}, {"seed": 6}]
        for given, label in [("top", 1), (2, 2), (None, None)]:
            named = {"class": given}
            way = self.flow("interpolate", between=seeds, frames=2, dtype="uint8", **named)
            self.assertEqual([i["class"] for i in way], [label] * 2)
            up = self.flow("encode", images=[way[0]["b64"]], **named)
            self.assertEqual(up[0]["class"], label)
            down = self.flow("decode", latents=[up[0]["latent"]], **named)
            self.assertEqual(down[0]["class"], label)
            told = self.flow("likelihood", images=[way[0]["b64"]], seed=1, solver={"rtol": 0.01}, **named)
            self.assertEqual(told[0]["class"], label)
            if given is None:
                self.assertEqual(up, self.flow("encode", images=[way[0]["b64"]]))
                self.assertEqual(self.flow("interpolate", between=[{"image": w["b64"]} for w in way], frames=2),
                                 self.flow("interpolate", between=[{"image": w["b64"]} for w in way], frames=2, **named))
            else:
                self.assertNotEqual(up[0]["latent"], self.flow("encode", images=[way[0]["b64"]])[0]["latent"])
        answer = self.daemon.request("POST", "/v1/encode?class=3", base64.b64decode(way[0]["b64"]), {"Content-Type": "image/png"})
        self.assertEqual((answer.status, answer.json()["errors"][0]["pointer"]), (422, "/class"))

    def test_archives_arrays_and_events_tell_the_class(self):
        want = [i["class"] for i in self.ask(n=5, seed=3)["images"]]
        body = self.daemon.images({"n": 5, "seed": 3}, accept="application/x-npz").body
        with zipfile.ZipFile(BytesIO(body)) as z:
            array = z.read("class.npy")
        self.assertIn(b"'<i8'", array)
        self.assertEqual(list(struct.unpack("<5q", array[-40:])), want)
        body = self.daemon.images({"n": 5, "seed": 3}, accept="application/zip").body
        with zipfile.ZipFile(BytesIO(body)) as z:
            manifest = json.loads(z.read("manifest.json"))
        self.assertEqual([i["class"] for i in manifest["images"]], want)
        body = self.daemon.images({"n": 5, "seed": 3}, accept="text/event-stream").body.decode()
        told = [json.loads(e.split("data: ", 1)[1]) for e in body.split("\n\n") if "event: image" in e]
        self.assertEqual([i["class"] for i in sorted(told, key=lambda i: i["index"])], want)
        sheet = self.ask(n=5, seed=3, grid={})["images"][0]
        self.assertEqual((sheet["classes"], "class" in sheet), (want, False))
        none = self.ask(n=2, seed=3, grid={}, **{"class": None})["images"][0]
        self.assertEqual(none["classes"], [None, None])

    def test_other_interfaces(self):
        """By KServe's protocol each seed draws its own class; for OpenAI's the prompt may name it."""
        name = self.daemon.get("/v1/models").json()["data"][0]
        pairs = [(5, 0), (6, 1), (2**64 - 1, 3)]
        inputs = [{"name": word, "datatype": "UINT64", "shape": [3], "data": [pair[i] for pair in pairs]}
                  for i, word in enumerate(["seed", "index"])]
        body = {"inputs": inputs, "outputs": [{"name": "images"}]}
        answer = self.daemon.request("POST", f"/v2/models/{name['name']}/infer", json.dumps(body))
        self.assertEqual(answer.status, 200, answer.body)
        data = answer.json()["outputs"][0]["data"]
        size = len(data) // 3
        for i, (seed, index) in enumerate(pairs):
            npy = self.daemon.images({"seed": str(seed), "first_index": str(index)}, accept="application/x-npy")
            self.assertEqual(data[size * i:size * i + size], list(npy.body[-size:]))
        for prompt, label in [(f"One {l.upper()}, please", l) for l in name["labels"]]:
            answer = self.daemon.request("POST", "/v1/images/generations", json.dumps({"prompt": prompt, "seed": 5})).json()
            self.assertEqual(answer["pfgm"]["prompt"], "class")
            self.assertEqual(answer["data"][0].get("revised_prompt"), label)
            ours = self.daemon.images({"seed": 5, **({"class": label} if label else {})}).json()["images"][0]
            self.assertEqual(answer["data"][0]["sha256"], ours["sha256"])

    def between(self, *ends, **fields):
        return self.daemon.request("POST", "/v1/interpolate?format=npy", json.dumps({"between": ends, "frames": 3, **fields}))

    def one(self, end, **fields):
        return self.daemon.images({"seed": end["seed"], "first_index": end["index"], **fields}, accept="application/x-npy").body

    def test_ends_of_an_interpolation_are_their_images_with_their_class(self):
        """They were made without a class: none of the two was the image of its seed and index."""
        drawn = [i["class"] for i in self.ask(n=16, seed=5)["images"]]
        a, b = [i for i, c in enumerate(drawn) if c == drawn[0]][:2]
        other = next(i for i, c in enumerate(drawn) if c != drawn[0])
        a, b, other = [{"seed": 5, "index": i} for i in (a, b, other)]
        size = 64
        way = self.between(a, b)
        self.assertEqual(way.status, 200, way.body)
        self.assertEqual([way.body[-3 * size:-2 * size], way.body[-size:]], [self.one(e)[-size:] for e in (a, b)])
        refused = self.between(a, other)
        self.assertEqual(refused.status, 422)
        (error,) = refused.json()["errors"]
        self.assertEqual(error["pointer"], "/class")
        for word in [NAMES[drawn[0]], NAMES[drawn[other["index"]]], "name one"]:
            self.assertIn(word, error["detail"])
        for fields in [{"class": None}, {"class": 1}]:
            way = self.between(a, other, **fields)
            self.assertEqual([way.body[-3 * size:-2 * size], way.body[-size:]],
                             [self.one(e, **fields)[-size:] for e in (a, other)])
        picture = {"image": self.ask(seed=5, first_index=other["index"])["images"][0]["b64"]}
        told = self.daemon.request("POST", "/v1/interpolate", json.dumps({"between": [picture, a], "frames": 3})).json()
        self.assertEqual([i["class"] for i in told["images"]], [drawn[0]] * 3)
        latent = {"latent": self.daemon.request("POST", "/v1/encode", json.dumps({"images": [picture["image"]]}))
                  .json()["images"][0]["latent"]}
        refused = self.between(latent, a)
        self.assertEqual((refused.status, refused.json()["errors"][0]["pointer"]), (422, "/class"))
        for ends in [(latent, picture), (picture, picture), (latent, latent)]:
            self.assertEqual(self.between(*ends).status, 200)

    def test_the_command_line_has_the_same_ends(self):
        seeds = {}
        for seed in range(16):
            seeds.setdefault(self.ask(seed=seed)["images"][0]["class"], []).append(seed)
        same = next(s for s in seeds.values() if len(s) > 1)[:2]
        apart = [s[0] for s in seeds.values()][:2]
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "x.npy")
            got = run(PFGM, "interpolate", self.model, "--seeds", "%d,%d" % tuple(same), "--steps", "3", "-o", out)
            self.assertEqual(got.returncode, 0, got.stderr)
            with open(out, "rb") as f:
                self.assertEqual(f.read(), self.between(*[{"seed": s} for s in same]).body)
            got = run(PFGM, "interpolate", self.model, "--seeds", "%d,%d" % tuple(apart), "-o", out)
            self.assertEqual(got.returncode, 2)
            self.assertRegex(got.stderr.decode(), "--class: the ends are of two classes.*name one")

    def prompt(self, prompt, **fields):
        return self.daemon.request("POST", "/v1/images/generations", json.dumps({"prompt": prompt, "seed": 5, **fields}))

    def test_a_prompt_that_names_no_class_is_refused_and_lists_them(self):
        for prompt in ["a sneaker", "stop", "x" * 4000]:
            answer = self.prompt(prompt)
            self.assertEqual(answer.status, 422, answer.body)
            error = answer.json()["error"]
            self.assertEqual((error["param"], error["code"]), ("prompt", "invalid_parameter"))
            self.assertIn("bottom, top, 7", error["message"])
        self.assertEqual(self.prompt("x" * 4001).status, 422)
        for plural in ["BOTTOMS", "two  tops"]:
            self.assertEqual(self.prompt(plural).json()["pfgm"]["prompt"], "class", plural)

    def test_a_class_that_no_prompt_names_is_drawn_and_told(self):
        drawn = [NAMES[i["class"]] for i in self.ask(n=8, seed=5)["images"]]
        for prompt in ["", " - ", None]:
            answer = self.prompt(prompt, n=8).json()
            self.assertEqual(answer["pfgm"]["prompt"], "absent")
            self.assertEqual([i["revised_prompt"] for i in answer["data"]], drawn)

    def test_what_is_wrong_is_named(self):
        for given in ["nothing", "", 3, -1, 1000, 1.5, True, [0], "x" * 200, "3", "00000000000000000000003"]:
            answer = self.daemon.images({"class": given})
            self.assertEqual(answer.status, 422, given)
            self.assertEqual([e["pointer"] for e in answer.json()["errors"]], ["/class"])
        self.assertIn("0 bottom, 1 top, 2 7", self.daemon.images({"class": "x"}).json()["errors"][0]["detail"])
        for query in ["class=3", "class=true", "class=", "temperature=0", "temperature=x"]:
            answer = self.daemon.get("/v1/images/1/0?" + query, {"If-None-Match": "*"})
            self.assertEqual(answer.status, 422, query)
        for given in [0, -1, 10.5, "1", None]:
            errors = self.daemon.images({"temperature": given}).json()["errors"]
            self.assertEqual([e["pointer"] for e in errors], ["/temperature"])

    def test_temperature_is_part_of_the_seed_rule(self):
        plain = self.digest(seed=4, n=1)
        self.assertEqual(self.digest(seed=4, temperature=1), plain)
        self.assertEqual(self.ask(seed=4)["parameters"]["temperature"], 1)
        near = self.digest(seed=4, temperature=0.5)
        self.assertNotEqual(near, plain)
        image = self.daemon.get("/v1/images/4/0?temperature=0.5").body
        self.assertIn(b'"temperature":0.5,', image)
        result, path = self.pfgm("--seed", "4", "--temperature", "0.5")
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), image)
        for word in ["0", "-1", "11", "nan"]:
            result, _ = self.pfgm("--temperature", word)
            self.assertEqual(result.returncode, 2)
            self.assertIn(b"--temperature", result.stderr)

    def test_the_command_line(self):
        def classes(*words, name="out.npz"):
            result, path = self.pfgm("-n", "7", "--seed", "1", *words, name=name)
            self.assertEqual(result.returncode, 0, result.stderr)
            return [i["class"] for i in json.loads(result.stdout)["images"]], path
        self.assertEqual(classes("--class", "each", "--first-index", "1")[0], [1, 2, 0, 1, 2, 0, 1])
        self.assertEqual(classes("--class", "7")[0], [2] * 7)
        self.assertEqual(classes("--class", "none")[0], [None] * 7)
        drawn, path = classes("--class", "drawn")
        with zipfile.ZipFile(path) as z:
            self.assertEqual(list(struct.unpack("<7q", z.read("class.npy")[-56:])), drawn)
        _, path = classes(name="out.safetensors")
        with open(path, "rb") as f:
            data = f.read()
        length = struct.unpack("<Q", data[:8])[0]
        begin, end = json.loads(data[8:8 + length])["class"]["data_offsets"]
        self.assertEqual(list(struct.unpack("<7i", data[8 + length + begin:8 + length + end])), drawn)
        result, _ = self.pfgm("--class", "nothing")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"--class: there is no class \"nothing\"; there are 0 bottom, 1 top, 2 7", result.stderr)

    def test_labels_are_listed(self):
        model = self.daemon.get("/v1/models").json()["data"][0]
        self.assertEqual(model["labels"], NAMES)
        self.assertEqual(self.daemon.get("/v1/capabilities").json()["labels"], {model["name"]: NAMES})


class WithoutClasses(SharedDaemon):
    def test_a_model_that_knows_none(self):
        for given in [0, "x", "0"]:
            answer = self.daemon.images({"class": given})
            self.assertEqual(answer.status, 422)
            self.assertEqual(answer.json()["errors"][0]["pointer"], "/class")
            self.assertIn("knows no classes", answer.json()["errors"][0]["detail"])
        answer = self.daemon.images({"class": None, "seed": 11}).json()
        self.assertEqual(answer["images"][0]["sha256"], self.reference)
        self.assertNotIn("class", answer["images"][0])
        self.assertEqual(self.daemon.get("/v1/models").json()["data"][0]["labels"], [])
        body = self.daemon.images({"n": 2}, accept="application/x-npz").body
        with zipfile.ZipFile(BytesIO(body)) as z:
            self.assertEqual(z.namelist(), ["arr_0.npy", "seed.npy", "index.npy"])


if __name__ == "__main__":
    unittest.main()
