"""Jobs: filed, followed, fetched, cancelled, and gone on with after the process was killed."""

import hashlib
import json
import os
import random
import signal
import tempfile
import unittest
import uuid

from harness import Daemon, ENDLESS, wait_until

QUICK = {"method": "euler", "steps": 3}
FINISHED = ("succeeded", "failed", "cancelled")


def file_job(daemon, fields, headers=None, method="POST", path="/v1/jobs"):
    return daemon.request(method, path, json.dumps(fields), {"Content-Type": "application/json", **(headers or {})})


def job_of(daemon, name, headers=None):
    answer = daemon.get(f"/v1/jobs/{name}", headers)
    assert answer.status == 200, answer.body
    return answer.json()


def wait_state(daemon, name, *states):
    def look():
        job = job_of(daemon, name)
        return job if job["state"] in states else None
    return wait_until(look, f"job {name} is {states}")


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.daemon = Daemon("--state", cls.folder.name, "--queue", "16", "--n-max", "16")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.folder.cleanup()

    def test_a_job_is_what_post_images_gives(self):
        fields = {"n": 100, "seed": "18446744073709551615", "first_index": 5, "solver": QUICK, "temperature": 0.8}
        answer = file_job(self.daemon, {**fields, "label": "mine"})
        self.assertEqual(answer.status, 202)
        job = answer.json()
        self.assertEqual(answer.headers["Location"], f"/v1/jobs/{job['id']}")
        self.assertEqual(job["links"]["self"], f"/v1/jobs/{job['id']}")
        self.assertEqual(job["label"], "mine")
        self.assertEqual(job["parameters"]["seed"], fields["seed"])
        job = wait_state(self.daemon, job["id"], *FINISHED)
        self.assertEqual(job["state"], "succeeded")
        self.assertEqual(job["progress"]["images_done"], 100)
        self.assertEqual(job["progress"]["fraction"], 1.0)
        self.assertTrue(job["submitted_at"] <= job["started_at"] <= job["finished_at"])
        for first in (0, 93):  # the beginning and the end, by what the wait for them gives
            whole = self.daemon.images({**fields, "n": 7, "first_index": 5 + first}).json()["images"]
            for i, image in enumerate(whole):
                got = self.daemon.get(f"/v1/jobs/{job['id']}/images/{first + i}")
                self.assertEqual(got.status, 200)
                self.assertEqual(got.headers["Content-Type"], "image/png")
                self.assertEqual(hashlib.sha256(got.body).hexdigest(), image["sha256"])
                self.assertEqual(got.headers["ETag"], f'"{image["sha256"]}"')
        self.assertEqual(self.daemon.get(f"/v1/jobs/{job['id']}/images/100").status, 404)

    def test_an_image_comes_in_what_is_asked_for(self):
        fields = {"n": 2, "seed": 3, "solver": QUICK}
        job = wait_state(self.daemon, file_job(self.daemon, fields).json()["id"], "succeeded")
        path = f"/v1/jobs/{job['id']}/images/1"
        array = self.daemon.get(path + "?format=npy")
        same = self.daemon.images({**fields, "n": 1, "first_index": 1}, query="?format=npy")
        self.assertEqual(array.body, same.body)
        tag = array.headers["ETag"]
        again = self.daemon.get(path, {"Accept": "application/x-npy", "If-None-Match": tag})
        self.assertEqual((again.status, again.body), (304, b""))
        self.assertIn("immutable", again.headers["Cache-Control"])
        self.assertEqual(self.daemon.get(path, {"If-None-Match": tag}).status, 200)  # the PNG is another
        head = self.daemon.request("HEAD", path)
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(self.daemon.get(path, {"Accept": "application/zip"}).status, 406)

        floats = wait_state(self.daemon, file_job(self.daemon, {**fields, "dtype": "float32"}).json()["id"], "succeeded")
        self.assertEqual(floats["parameters"]["dtype"], "float32")
        array = self.daemon.get(f"/v1/jobs/{floats['id']}/images/1")
        same = self.daemon.images({**fields, "n": 1, "first_index": 1, "dtype": "float32"}, query="?format=npy")
        self.assertEqual((array.headers["Content-Type"], array.body), ("application/x-npy", same.body))
        self.assertEqual(self.daemon.get(f"/v1/jobs/{floats['id']}/images/1?format=png").status, 406)

    def test_the_same_filing_is_the_same_job(self):
        fields, name = {"n": 1, "solver": QUICK}, str(uuid.uuid4())
        first = file_job(self.daemon, fields, method="PUT", path=f"/v1/jobs/{name.upper()}")
        self.assertEqual((first.status, first.json()["id"]), (202, name))
        body = json.dumps({"solver": {"steps": 3, "method": "euler"}, "n": 1}, indent=2)
        again = self.daemon.request("PUT", f"/v1/jobs/{name}", body, {"Content-Type": "application/json"})
        self.assertEqual(again.status, 200)
        self.assertEqual(again.json()["parameters"]["seed"], first.json()["parameters"]["seed"])  # that was drawn
        other = file_job(self.daemon, {**fields, "n": 2}, method="PUT", path=f"/v1/jobs/{name}")
        self.assertEqual((other.status, other.json()["code"]), (409, "idempotency_conflict"))
        self.assertEqual(file_job(self.daemon, fields, method="PUT", path="/v1/jobs/mine").status, 422)

        key = {"Idempotency-Key": "order 66"}
        first = file_job(self.daemon, fields, key).json()["id"]
        again = file_job(self.daemon, fields, key)
        self.assertEqual((again.status, again.json()["id"]), (200, first))
        self.assertEqual(file_job(self.daemon, {**fields, "seed": 1}, key).status, 409)

    def test_what_a_job_does_not_take(self):
        for fields, pointer in (({"n": 1_000_001}, "/n"), ({"grid": {}}, "/grid"), ({"timeout_s": 3}, "/timeout_s"),
                                ({"format": "npz"}, "/format"), ({"seeed": 1}, "/seeed"),
                                ({"solver": {"method": "magic"}}, "/solver/method"), ({"class": 3}, "/class"),
                                ({"model": "none"}, "/model")):
            with self.subTest(fields=fields):
                answer = file_job(self.daemon, fields)
                self.assertEqual(answer.status, 422, answer.body)
                self.assertEqual([e["pointer"] for e in answer.json()["errors"]], [pointer])

    def test_a_job_is_cancelled_and_then_forgotten(self):
        name = file_job(self.daemon, {"n": 1000, "solver": ENDLESS}).json()["id"]
        wait_state(self.daemon, name, "running")
        gone = self.daemon.request("DELETE", f"/v1/jobs/{name}")
        self.assertEqual((gone.status, gone.json()["state"]), (202, "cancelling"))
        job = wait_state(self.daemon, name, "cancelled")
        self.assertEqual(job["progress"]["images_done"], 0)
        self.assertEqual(self.daemon.get(f"/v1/jobs/{name}/images/0").status, 404)
        for _ in range(2):
            self.assertEqual(self.daemon.request("DELETE", f"/v1/jobs/{name}").status, 204)
        answer = self.daemon.get(f"/v1/jobs/{name}")
        self.assertEqual((answer.status, answer.json()["code"]), (410, "gone"))
        self.assertEqual(self.daemon.request("DELETE", f"/v1/jobs/{uuid.uuid4()}").status, 404)

    def test_a_failed_job_names_its_image(self):
        job = file_job(self.daemon, {"n": 70, "solver": {"method": "rk45", "max_nfe": 10}}).json()
        job = wait_state(self.daemon, job["id"], *FINISHED)
        self.assertEqual((job["state"], job["error"]["code"]), ("failed", "numerical_failure"))
        self.assertRegex(job["error"]["pointer"], r"^/images/\d+$")

    def test_methods_of_a_path_are_told_apart(self):
        answer = self.daemon.request("PATCH", "/v1/jobs")
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD, POST, OPTIONS"))
        self.assertEqual(self.daemon.request("DELETE", "/v1/jobs").status, 405)
        self.assertEqual(file_job(self.daemon, {}, method="POST", path=f"/v1/jobs/{uuid.uuid4()}").status, 405)

    def test_metrics_and_readiness(self):
        wait_state(self.daemon, file_job(self.daemon, {"n": 3, "solver": QUICK}).json()["id"], "succeeded")
        m = self.daemon.metrics()
        self.assertGreaterEqual(m.value("pfgmd_jobs", state="succeeded"), 1)
        self.assertGreater(m.value("pfgmd_job_store_bytes"), 0)
        self.assertEqual(m.value("pfgmd_job_store_up"), 1)
        checks = {c["name"]: c["ok"] for c in self.daemon.get("/readyz?verbose").json()["checks"]}
        self.assertTrue(checks["jobs"])


class Apart(unittest.TestCase):
    """Daemons of their own."""

    def test_a_list_goes_on_where_it_stopped(self):
        with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder) as daemon:
            names = [file_job(daemon, {"n": 1, "solver": QUICK}).json()["id"] for _ in range(5)]
            seen, after = [], ""
            while after is not None:
                page = daemon.get(f"/v1/jobs?limit=2{after}").json()
                seen += [job["id"] for job in page["jobs"]]
                after = page["next"] and f"&after={page['next']}"
            self.assertEqual(seen, names[::-1])
            for name in names:
                wait_state(daemon, name, "succeeded")
            self.assertEqual(len(daemon.get("/v1/jobs?state=succeeded").json()["jobs"]), 5)
            self.assertEqual(daemon.get("/v1/jobs?state=failed").json(), {"jobs": [], "next": None})
            for query in ("state=expired", "limit=0", "limit=101", "after=x", "more=1"):
                self.assertEqual(daemon.get(f"/v1/jobs?{query}").status, 422, query)

    def test_a_job_is_its_owners(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            with open(keys, "w") as f:
                for name, more in (("anna", "images=150"), ("bert", "")):
                    f.write(f"{name} {hashlib.sha256(name.encode()).hexdigest()} {more}\n")
            anna, bert = ({"Authorization": f"Bearer {name}"} for name in ("anna", "bert"))
            with Daemon("--state", os.path.join(folder, "state"), "--keys", keys) as daemon:
                name = file_job(daemon, {"n": 100, "solver": QUICK}, anna).json()["id"]
                wait_until(lambda: job_of(daemon, name, anna)["state"] == "succeeded", "the job is done")
                path = f"/v1/jobs/{name}"
                self.assertEqual(daemon.get(path).status, 401)
                for answer in (daemon.get(path, bert), daemon.get(path + "/images/0", bert),
                               daemon.request("DELETE", path, headers=bert)):
                    self.assertEqual(answer.status, 404)
                self.assertEqual(file_job(daemon, {"n": 100, "solver": QUICK}, bert, "PUT", path).status, 409)
                self.assertEqual(daemon.get("/v1/jobs", bert).json()["jobs"], [])
                self.assertEqual(len(daemon.get("/v1/jobs", anna).json()["jobs"]), 1)
                self.assertEqual(daemon.get(path + "/images/0", anna).status, 200)
                over = file_job(daemon, {"n": 51, "solver": QUICK}, anna)  # of 150 a day
                self.assertEqual((over.status, over.json()["code"]), (429, "quota_exceeded"))
                self.assertEqual(file_job(daemon, {"n": 50, "solver": QUICK}, anna).status, 202)

    def test_without_a_store_there_are_no_jobs(self):
        with Daemon() as daemon:
            for answer in (file_job(daemon, {}), daemon.get("/v1/jobs"), daemon.get(f"/v1/jobs/{uuid.uuid4()}")):
                self.assertEqual((answer.status, answer.json()["code"]), (503, "jobs_off"))
                self.assertIn('"state"', answer.json()["detail"])
            self.assertEqual(len(daemon.get("/readyz?verbose").json()["checks"]), 2)

    def test_a_store_that_cannot_be_used_leaves_the_rest(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "jobs.sqlite3"), "wb") as f:
                f.write(b"this is no database, but as long as the head of one would have to be\n" * 3)
            with Daemon("--state", folder) as daemon:
                self.assertIn("damaged", daemon.wait_line(" error "))
                self.assertEqual(daemon.images({"solver": QUICK}).status, 200)
                answer = file_job(daemon, {})
                self.assertEqual((answer.status, answer.json()["code"]), (503, "jobs_off"))
                self.assertIn("damaged", answer.json()["detail"])
                ready = daemon.get("/readyz?verbose")
                self.assertEqual(ready.status, 200)
                self.assertFalse({c["name"]: c["ok"] for c in ready.json()["checks"]}["jobs"])

    def test_killed_again_and_again(self):
        """Rounds of one job each: kill -9 at some moment, start again; every image is there, once, and the same."""
        fields, digests = {"n": 200, "seed": 9, "solver": {"method": "euler", "steps": 4}}, None
        dice = random.Random(5)
        with tempfile.TemporaryDirectory() as folder:
            daemon = Daemon("--state", folder)
            try:
                for _ in range(3):
                    name = file_job(daemon, fields).json()["id"]
                    wanted = dice.randrange(150)
                    wait_until(lambda: job_of(daemon, name)["progress"]["images_done"] >= wanted, "so many images")
                    before = job_of(daemon, name)["progress"]["images_done"]
                    daemon.process.send_signal(signal.SIGKILL)
                    daemon.wait()
                    daemon.stop()
                    daemon = Daemon("--state", folder)
                    job = wait_state(daemon, name, *FINISHED)
                    self.assertEqual(job["state"], "succeeded")
                    made = daemon.metrics().sum("pfgmd_images_total", outcome="ok")
                    self.assertLessEqual(made, 200 - before)
                    got = [daemon.get(f"/v1/jobs/{name}/images/{i}").body for i in range(200)]
                    digests = digests or got
                    self.assertEqual(got, digests)
            finally:
                daemon.stop()

    def test_a_stop_does_not_wait_for_a_job(self):
        with tempfile.TemporaryDirectory() as folder:
            with Daemon("--state", folder) as daemon:
                name = file_job(daemon, {"n": 1000, "solver": ENDLESS}).json()["id"]
                wait_state(daemon, name, "running")
                daemon.signal(signal.SIGTERM)
                self.assertEqual(daemon.wait(), 0)
            with Daemon("--state", folder) as daemon:
                self.assertEqual(job_of(daemon, name)["state"], "running")


if __name__ == "__main__":
    unittest.main()
