"""Guidance: two evaluations in place of one, the same bytes in any company, recorded everywhere, and refused where it has
no meaning."""

import base64
import hashlib
import json
import os
import tempfile
import unittest
import zipfile
from io import BytesIO

from harness import DIGITS, PFGM, Daemon, run
from jobs_calls import wait_state
from test_classes import train

GUIDED = {"guidance": 2.5, "method": "multistep3", "steps": 6}
PLAIN = {"method": "multistep3", "steps": 6}
JSON = {"Content-Type": "application/json"}


def made_by(png):
    """The text of the PNG's chunk."""
    return json.JSONDecoder().raw_decode(png[png.index(b'{"model"'):].decode("latin-1"))[0]


def digests(answer):
    return {i["index"]: i["sha256"] for i in answer.json()["images"]}


class Guidance(unittest.TestCase):
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

    def ask(self, solver, **fields):
        answer = self.daemon.images({"n": 8, "seed": 4, "solver": solver, **fields})
        self.assertEqual(answer.status, 200, answer.body)
        return answer

    def evaluations(self):
        return self.daemon.metrics().sum("pfgmd_field_evaluations_total")

    def refused(self, answer, pointer, *words):
        self.assertEqual(answer.status, 422, answer.body)
        (error,) = answer.json()["errors"]
        self.assertEqual(error["pointer"], pointer)
        for word in words:
            self.assertIn(word, error["detail"])

    def test_the_same_bytes_alone_and_in_company(self):
        """With any n, workers and batch, guided beside unguided, and on a part of the path."""
        ways = [GUIDED, PLAIN, {**GUIDED, "guidance_t_min": 0.3, "guidance_t_max": 9}, {"guidance": 0.5, "rtol": 0.05, "atol": 0.05}]
        want = [digests(self.ask(way)) for way in ways]
        self.assertEqual(len({tuple(w.values()) for w in want}), len(ways))
        for workers, batch in ((1, 1), (1, 8), (2, 3), (2, 8)):
            with Daemon("--workers", str(workers), "--batch", str(batch), model=self.model) as daemon:
                for n in (1, 3, 8):
                    begun = [daemon.begin_images({"n": n, "seed": 4, "first_index": 8 - n, "solver": way}) for way in ways]
                    for s, expected in zip(begun, want):
                        with s, s.makefile("rb") as f:
                            head = b"".join(iter(f.readline, b"\r\n"))
                            images = json.loads(f.read(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])))["images"]
                        self.assertEqual({i["index"]: i["sha256"] for i in images}, {k: expected[k] for k in range(8 - n, 8)})

    def test_one_is_none(self):
        plain = self.ask(PLAIN)
        for more in ({"guidance": 1}, {"guidance": 1.0, "guidance_t_min": 2, "guidance_t_max": 1}):
            answer = self.ask({**PLAIN, **more})
            self.assertEqual(digests(answer), digests(plain))
            self.assertEqual(answer.json()["parameters"]["solver"], plain.json()["parameters"]["solver"])

    def test_zero_is_the_field_of_no_class(self):
        none = self.ask(PLAIN, **{"class": None, "format": "npy"}).body
        self.assertEqual(self.ask({**PLAIN, "guidance": 0}, **{"class": 1, "format": "npy"}).body, none)

    def test_two_evaluations_where_it_acts(self):
        self.assertEqual({i["nfe"] for i in self.ask(PLAIN).json()["images"]}, {6})
        self.assertEqual({i["nfe"] for i in self.ask(GUIDED).json()["images"]}, {12})
        before = self.evaluations()
        (nfe,) = {i["nfe"] for i in self.ask({**GUIDED, "guidance_t_max": 2}).json()["images"]}
        self.assertTrue(6 < nfe < 12, nfe)
        self.assertEqual(self.evaluations(), before + 8 * nfe)

    def test_it_is_recorded_and_makes_the_image_again(self):
        """In the PNG, in its link, in an archive's manifest; by GET, the command line and KServe it is the same image."""
        bounds = {**GUIDED, "guidance_t_max": 9}
        answer = self.ask(bounds).json()
        image = answer["images"][3]
        self.assertEqual(answer["parameters"]["solver"]["guidance"], 2.5)
        png = base64.b64decode(image["b64"])
        solver = made_by(png)["solver"]
        self.assertEqual((solver["guidance"], solver["guidance_t_min"], solver["guidance_t_max"]), (2.5, 0, 9))
        self.assertNotIn("guidance", made_by(base64.b64decode(self.ask(PLAIN).json()["images"][0]["b64"]))["solver"])
        self.assertEqual(self.daemon.get(image["url"][image["url"].index("/v1/"):]).body, png)
        query = "&".join(f"{k}={v}" for k, v in bounds.items())
        self.assertEqual(self.daemon.get(f"/v1/images/4/3?{query}").body, png)
        with zipfile.ZipFile(BytesIO(self.ask(bounds, format="zip").body)) as z:
            self.assertEqual(json.loads(z.read("manifest.json"))["parameters"]["solver"]["guidance"], 2.5)
        out = os.path.join(self.folder.name, "x.png")
        done = run(PFGM, "sample", self.model, "--seed", "4", "--first-index", "3", "--solver", "multistep3", "--steps", "6",
                   "--guidance", "2.5", "--guidance-t-max", "9", "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(out, "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), image["sha256"])
        client = os.path.join(os.environ["CLIENTS"], "shell", "pfgm-get")
        words = ["-u", f"http://{self.daemon.host}:{self.daemon.port}", "-s", "4", "-i", "3", "-m", "multistep3", "-k", "6", "-o", out]
        self.assertEqual(run(client, *words, "-G", "2.5").returncode, 0)
        with open(out, "rb") as f:
            self.assertEqual(made_by(f.read())["solver"]["guidance"], 2.5)
        for bad in ("-1", "2.", "1e3", "two", "1.2.3", "02"):
            self.assertEqual(run(client, *words, "-G", bad).returncode, 2)
        name = self.daemon.get("/v1/models").json()["data"][0]
        self.assertTrue(name["null_class"])
        body = {"inputs": [{"name": w, "datatype": "UINT64", "shape": [1], "data": [v]} for w, v in (("seed", 4), ("index", 3))],
                "parameters": bounds, "outputs": [{"name": "images"}]}
        kserve = self.daemon.request("POST", f"/v2/models/{name['name']}/infer", json.dumps(body)).json()
        npy = self.daemon.images({"seed": 4, "first_index": 3, "solver": bounds}, accept="application/x-npy").body
        self.assertEqual(kserve["outputs"][0]["data"], list(npy[-64:]))

    def test_jobs_edits_and_latents_take_it(self):
        job = self.daemon.request("POST", "/v1/jobs", json.dumps({"n": 3, "seed": 4, "solver": GUIDED}), JSON).json()
        wait_state(self.daemon, job["id"], "succeeded")
        png = self.daemon.get(f"/v1/jobs/{job['id']}/images/2").body
        self.assertEqual(hashlib.sha256(png).hexdigest(), digests(self.ask(GUIDED))[2])
        b64 = base64.b64encode(png).decode()
        edit = [self.daemon.request("POST", "/v1/edit", json.dumps({"image": b64, "class": 1, "strength": 0.9, "seed": 1,
                                                                    "solver": s}), JSON).json()["images"][0] for s in (PLAIN, GUIDED)]
        self.assertEqual(edit[1]["nfe"], 2 * edit[0]["nfe"])
        self.assertNotEqual(edit[1]["sha256"], edit[0]["sha256"])
        latent = self.daemon.request("POST", "/v1/encode", json.dumps({"images": [b64], "class": 1}), JSON).json()["images"][0]["latent"]
        down = self.daemon.request("POST", "/v1/decode", json.dumps({"latents": [latent], "class": 1, "solver": GUIDED}), JSON).json()
        self.assertEqual(down["images"][0]["nfe"], 12)
        between = {"between": [{"seed": 4, "index": 0}, {"seed": 4, "index": 1}], "frames": 3, "class": 2, "solver": GUIDED}
        way = self.daemon.request("POST", "/v1/interpolate?format=npy", json.dumps(between), JSON)
        self.assertEqual(way.body[-3 * 64:-2 * 64], self.ask(GUIDED, n=1, format="npy", **{"class": 2}).body[-64:])

    def test_paths_up_refuse_it(self):
        b64 = self.ask(PLAIN).json()["images"][0]["b64"]
        for task, body in (("encode", {"images": [b64]}), ("likelihood", {"images": [b64]}),
                           ("interpolate", {"between": [{"image": b64}, {"seed": 4, "index": 0}]})):
            body = {**body, "class": 1, "solver": {"guidance": 2}}
            self.refused(self.daemon.request("POST", "/v1/" + task, json.dumps(body), JSON), "/solver/guidance", "not lead back")

    def test_without_a_class_it_is_refused(self):
        self.refused(self.daemon.images({"solver": GUIDED, "class": None}), "/solver/guidance", "name a class")
        for bad in (-1, 101, "2", None):
            self.refused(self.daemon.images({"solver": {"guidance": bad}}), "/solver/guidance", "0 to 100")
        self.refused(self.daemon.images({"solver": {"guidance": 2, "guidance_t_min": 3, "guidance_t_max": 2}}),
                     "/solver/guidance_t_max", "above guidance_t_min")
        with Daemon(model=DIGITS) as daemon:
            self.assertFalse(daemon.get("/v1/models").json()["data"][0]["null_class"])
            self.refused(daemon.images({"solver": {"guidance": 2}}), "/solver/guidance", "knows no classes")
            self.assertEqual(daemon.images({"solver": {"guidance": 1}}).status, 200)

    def test_a_model_that_was_trained_with_every_label_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            model = train(folder, label_dropout=0, steps=2)
            done = run(PFGM, "sample", model, "--guidance", "2", "-o", os.path.join(folder, "x.png"))
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"guidance: needs the field of no class", done.stderr)
            self.assertIn(b"label_dropout", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            inspected = json.loads(run(PFGM, "inspect", model, "--json").stdout)
            self.assertIs(inspected["description"]["null_class"], False)


if __name__ == "__main__":
    unittest.main()
