"""Jobs: filed, followed, fetched, cancelled, and gone on with after the process was killed."""

import hashlib
import http.client
import io
import json
import os
import signal
import tarfile
import tempfile
import time
import unittest
import uuid
import zipfile

from harness import Daemon, ENDLESS, away_from_midnight, wait_until
from jobs_calls import FINISHED, QUICK, events, file_job, job_of, wait_state


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
        self.assertEqual(head.headers["X-Pfgm-Model"], "digits8")
        opened = self.daemon.get(f"/v1/jobs/{job['id']}/archive", {"Accept": "text/html, */*;q=0.8"})
        self.assertEqual((opened.headers["Content-Type"], opened.headers["X-Pfgm-Model"]), ("application/zip", "digits8"))
        self.assertEqual(self.daemon.get(path, {"Accept": "application/zip"}).status, 406)

        floats = wait_state(self.daemon, file_job(self.daemon, {**fields, "dtype": "float32"}).json()["id"], "succeeded")
        self.assertEqual(floats["parameters"]["dtype"], "float32")
        array = self.daemon.get(f"/v1/jobs/{floats['id']}/images/1")
        same = self.daemon.images({**fields, "n": 1, "first_index": 1, "dtype": "float32"}, query="?format=npy")
        self.assertEqual((array.headers["Content-Type"], array.body), ("application/x-npy", same.body))
        self.assertEqual(self.daemon.get(f"/v1/jobs/{floats['id']}/images/1?format=png").status, 406)

    def test_an_archive_has_all_images_in_their_order(self):
        fields = {"n": 16, "seed": 5, "first_index": 2, "solver": {"method": "euler", "steps": 40}}
        path = f"/v1/jobs/{file_job(self.daemon, fields).json()['id']}/archive"
        for kind in ("npz", "npy"):  # while it runs; the bytes are those of the wait for them
            with self.subTest(kind=kind):
                got, same = self.daemon.get(f"{path}?format={kind}"), self.daemon.images(fields, query=f"?format={kind}")
                self.assertEqual((got.status, got.headers["Content-Type"]), (200, f"application/x-{kind}"))
                self.assertEqual(got.body, same.body)
        got = self.daemon.get(f"{path}?format=npy&layout=chw")
        self.assertEqual(got.body, self.daemon.images({**fields, "layout": "chw"}, query="?format=npy").body)

        whole = self.daemon.images(fields).json()["images"]
        zipped = zipfile.ZipFile(io.BytesIO(self.daemon.get(path).body))
        self.assertIsNone(zipped.testzip())
        tarred = tarfile.open(fileobj=io.BytesIO(self.daemon.get(path, {"Accept": "application/x-tar"}).body))
        names = [f"pfgm-5-{2 + i}.png" for i in range(16)]
        self.assertEqual(zipped.namelist(), [*names, "manifest.json"])
        self.assertEqual(tarred.getnames(), zipped.namelist())
        manifest = json.loads(zipped.read("manifest.json"))
        self.assertEqual(manifest["job"]["state"], "succeeded")
        for name, image, member in zip(names, whole, manifest["images"]):
            self.assertEqual(hashlib.sha256(zipped.read(name)).hexdigest(), image["sha256"])
            self.assertEqual(tarred.extractfile(name).read(), zipped.read(name))
            self.assertEqual((member["name"], member["sha256"], member["nfe"]), (name, image["sha256"], image["nfe"]))
        head = self.daemon.request("HEAD", path)
        self.assertEqual((head.status, head.headers["Content-Type"], head.body), (200, "application/zip", b""))
        self.assertEqual(self.daemon.get(path, {"Accept": "image/png"}).status, 406)
        self.assertEqual(self.daemon.get(path + "?layout=wide").status, 422)
        self.assertEqual(self.daemon.get(path + "?format=" + "z" * 200).status, 406)  # however long the word is
        for query in ("layout=" + "c" * 200, "fromat=zip", "format=zip&columns=2"):
            self.assertEqual(self.daemon.get(f"{path}?{query}").status, 422, query)
        image = path.replace("/archive", "/images/0")
        self.assertEqual(self.daemon.get(image + "?format=" + "z" * 200).status, 406)
        for query in ("layout=chw", "fromat=npy"):
            self.assertEqual(self.daemon.get(f"{image}?{query}").status, 422, query)

    def test_an_archive_of_samples(self):
        fields = {"n": 3, "seed": 5, "solver": QUICK, "dtype": "float32"}
        path = f"/v1/jobs/{file_job(self.daemon, fields).json()['id']}/archive"
        self.assertEqual(self.daemon.get(path).body, self.daemon.images(fields, query="?format=npz").body)
        self.assertEqual(self.daemon.get(path + "?format=zip").status, 406)

    def test_an_archive_that_cannot_be_whole_breaks_off(self):
        name = file_job(self.daemon, {"n": 20, "solver": ENDLESS}).json()["id"]
        s = self.daemon.connect()
        s.sendall(f"GET /v1/jobs/{name}/archive HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.assertIn(b" 200 ", s.recv(4096))
        self.daemon.request("DELETE", f"/v1/jobs/{name}")
        rest = b""
        while more := s.recv(65536):
            rest += more
        s.close()
        self.assertNotIn(b"0\r\n\r\n", rest)  # the end of a body in chunks
        wait_state(self.daemon, name, "cancelled")
        self.assertEqual(self.daemon.get(f"/v1/jobs/{name}/archive").status, 404)

    def test_a_reader_of_an_archive_that_leaves_is_noticed(self):
        name = file_job(self.daemon, {"n": 20, "solver": ENDLESS}).json()["id"]
        s = self.daemon.connect()
        s.sendall(f"GET /v1/jobs/{name}/archive HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        s.recv(4096)
        s.close()
        self.daemon.wait_metrics(lambda m: m.value("pfgmd_http_requests_open") == 1, "the reader is noticed")
        self.daemon.request("DELETE", f"/v1/jobs/{name}")
        wait_state(self.daemon, name, "cancelled")

    def test_events_tell_of_each_image_once(self):
        name = file_job(self.daemon, {"n": 70, "solver": QUICK}).json()["id"]
        seen = events(self.daemon, name)
        self.assertEqual([number for number, _, _ in seen], list(range(1, 74)))
        self.assertEqual([kind for _, kind, _ in seen], ["queued", "started", *["image"] * 70, "done"])
        self.assertEqual(sorted(data["index"] for _, kind, data in seen if kind == "image"), list(range(70)))
        self.assertEqual(seen[-1][2]["state"], "succeeded")
        self.assertEqual(events(self.daemon, name), [(seen[0][0], "queued", seen[-1][2]),
                                                     (seen[1][0], "started", seen[-1][2]), *seen[2:]])
        self.assertEqual(events(self.daemon, name, after=40), seen[40:])
        over = self.daemon.get(f"/v1/jobs/{name}/events", {"Last-Event-ID": "73"})
        self.assertEqual((over.status, over.body), (204, b""))
        image = seen[2][2]
        self.assertEqual(hashlib.sha256(self.daemon.get(image["url"]).body).hexdigest(), image["sha256"])

        name = file_job(self.daemon, {"n": 70, "solver": ENDLESS}).json()["id"]
        wait_state(self.daemon, name, "running")
        self.daemon.request("DELETE", f"/v1/jobs/{name}")
        self.assertEqual([(n, kind) for n, kind, _ in events(self.daemon, name)],
                         [(1, "queued"), (2, "started"), (73, "cancelled")])
        # Also for who was told of more images than count: in a fleet that can be.
        self.assertEqual([(n, kind) for n, kind, _ in events(self.daemon, name, after=40)], [(73, "cancelled")])
        self.assertEqual(self.daemon.get(f"/v1/jobs/{name}/events", {"Last-Event-ID": "73"}).status, 204)

    def test_one_waits_for_news(self):
        name = file_job(self.daemon, {"n": 2, "solver": {"method": "euler", "steps": 60}}).json()["id"]
        answer = self.daemon.get(f"/v1/jobs/{name}", {"Prefer": "respond-async, Wait = \"60\""})
        self.assertEqual((answer.json()["state"], answer.headers["Preference-Applied"]), ("succeeded", "wait=60"))
        tag = answer.headers["ETag"]
        same = self.daemon.get(f"/v1/jobs/{name}", {"If-None-Match": tag})
        self.assertEqual((same.status, same.body), (304, b""))

        name = file_job(self.daemon, {"n": 20, "solver": ENDLESS}).json()["id"]
        wait_state(self.daemon, name, "running")
        tag = self.daemon.get(f"/v1/jobs/{name}").headers["ETag"]
        begun = time.monotonic()
        same = self.daemon.get(f"/v1/jobs/{name}", {"If-None-Match": tag, "Prefer": "wait=1"})
        self.assertEqual(same.status, 304)
        self.assertGreater(time.monotonic() - begun, 0.9)
        self.daemon.request("DELETE", f"/v1/jobs/{name}")
        changed = self.daemon.get(f"/v1/jobs/{name}", {"If-None-Match": tag, "Prefer": "wait=60"})
        self.assertIn(changed.json()["state"], ("cancelling", "cancelled"))
        wait_state(self.daemon, name, "cancelled")

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

    def test_the_key_of_one_job_does_not_answer_for_the_id_of_another(self):
        fields, key = {"n": 1, "solver": QUICK}, {"Idempotency-Key": "order 67"}
        self.assertEqual(file_job(self.daemon, fields, key).status, 202)
        other = f"/v1/jobs/{uuid.uuid4()}"
        answer = file_job(self.daemon, fields, key, "PUT", other)
        self.assertEqual((answer.status, answer.json()["code"]), (409, "idempotency_conflict"))
        self.assertEqual(self.daemon.get(other).status, 404)

    def test_long_keys_that_begin_alike_are_not_the_same(self):
        names = set()
        for key in ("x" * 253 + "a", "x" * 253 + "b"):
            names.add(file_job(self.daemon, {"solver": QUICK}, {"Idempotency-Key": key}).json()["id"])
        self.assertEqual(len(names), 2)
        answer = file_job(self.daemon, {"solver": QUICK}, {"Idempotency-Key": "x" * 255 + "a"})
        self.assertEqual((answer.status, answer.json()["code"]), (422, "invalid_parameter"))

    def test_who_prefers_not_to_wait_gets_a_job(self):
        headers = {"Content-Type": "application/json", "Prefer": "handling=lenient, Respond-Async"}
        answer = self.daemon.request("POST", "/v1/images", json.dumps({"n": 20, "solver": QUICK}), headers)
        self.assertEqual((answer.status, answer.headers["Preference-Applied"]), (202, "respond-async"))
        self.assertEqual(answer.headers["Location"], f"/v1/jobs/{answer.json()['id']}")
        wait_state(self.daemon, answer.json()["id"], "succeeded")
        self.assertEqual(self.daemon.get("/v1/capabilities").json()["limits"]["job_images"], 1_000_000)

    def test_an_image_that_no_job_has_is_not_waited_for(self):
        name = file_job(self.daemon, {"n": 2, "solver": ENDLESS}).json()["id"]
        for place, again in (("1", True), ("2", False), ("abc", False), (str(10**20), False)):
            answer = self.daemon.get(f"/v1/jobs/{name}/images/{place}")
            self.assertEqual((answer.status, "Retry-After" in answer.headers), (404, again), place)
        self.daemon.request("DELETE", f"/v1/jobs/{name}")

    def test_a_field_in_the_query_does_not_pass_in_silence(self):
        for method, path in (("POST", "/v1/jobs?n=100000&seed=7"), ("PUT", f"/v1/jobs/{uuid.uuid4()}?n=5"),
                             ("POST", "/v1/images?n=5")):
            answer = self.daemon.request(method, path, "{}", {"Content-Type": "application/json", "Prefer": "respond-async"})
            self.assertEqual((answer.status, answer.json()["code"]), (422, "invalid_parameter"), path)
            self.assertIn('"n"', json.dumps(answer.json()["errors"]).replace("\\", ""))

    def test_what_a_job_does_not_take(self):
        for fields, pointer in (({"n": 1_000_001}, "/n"), ({"grid": {}}, "/grid"), ({"timeout_s": 3}, "/timeout_s"),
                                ({"format": "npz"}, "/format"), ({"seeed": 1}, "/seeed"),
                                ({"solver": {"method": "magic"}}, "/solver/method"), ({"class": 3}, "/class"),
                                ({"model": "none"}, "/model"), ({"image": "iVBORw0KGgo="}, "/image"),
                                ({"mask": "iVBORw0KGgo="}, "/mask"), ({"strength": 0.5}, "/strength")):
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

    def test_a_request_to_cancel_that_is_sent_again_does_not_forget_the_job(self):
        name = file_job(self.daemon, {"n": 1000, "solver": ENDLESS}).json()["id"]
        path = f"/v1/jobs/{name}"
        wait_state(self.daemon, name, "running")
        running = self.daemon.get(path).headers["ETag"]
        for stale in ('"1.0.0"', 'W/"999.0.0"', "1", '""', "," * 300):
            with self.subTest(tag=stale):
                answer = self.daemon.request("DELETE", path, headers={"If-Match": stale})
                self.assertEqual((answer.status, answer.json()["code"]), (412, "precondition_failed"))
                self.assertEqual(answer.headers["ETag"], running)
        first = self.daemon.request("DELETE", path, headers={"If-Match": f'"x", {running}'})
        self.assertEqual((first.status, first.json()["state"]), (202, "cancelling"))
        wait_state(self.daemon, name, "cancelled")
        again = self.daemon.request("DELETE", path, headers={"If-Match": running})
        self.assertEqual((again.status, again.json()["code"]), (412, "precondition_failed"))
        self.assertIn("it is cancelled", again.json()["detail"])
        self.assertEqual(job_of(self.daemon, name)["state"], "cancelled")
        for _ in range(2):
            tag = again.headers["ETag"]
            self.assertEqual(self.daemon.request("DELETE", path, headers={"If-Match": tag}).status, 204)
        self.assertEqual(self.daemon.request("DELETE", path, headers={"If-Match": "*"}).status, 204)

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
        away_from_midnight()
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

    def test_a_job_that_is_filed_again_is_not_charged_against_what_is_left(self):
        away_from_midnight()
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            with open(keys, "w") as f:
                f.write(f"anna {hashlib.sha256(b'anna').hexdigest()} images=15\n")
            anna, fields = {"Authorization": "Bearer anna", "Idempotency-Key": "one"}, {"n": 10, "solver": QUICK}
            with Daemon("--state", os.path.join(folder, "state"), "--keys", keys) as daemon:
                first = file_job(daemon, fields, anna)
                again = file_job(daemon, fields, anna)
                self.assertEqual((first.status, again.status), (202, 200), again.body)
                self.assertEqual(again.json()["id"], first.json()["id"])
                self.assertEqual(file_job(daemon, fields, anna, "PUT", first.headers["Location"]).status, 200)
                self.assertEqual(file_job(daemon, {**fields, "n": 5}, {**anna, "Idempotency-Key": "two"}).status, 202)

    def test_without_a_store_there_are_no_jobs(self):
        with Daemon() as daemon:
            for answer in (file_job(daemon, {}), daemon.get("/v1/jobs"), daemon.get(f"/v1/jobs/{uuid.uuid4()}")):
                self.assertEqual((answer.status, answer.json()["code"]), (503, "jobs_off"))
                self.assertIn('"state"', answer.json()["detail"])
            headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
            answer = daemon.request("POST", "/v1/images", json.dumps({"solver": QUICK}), headers)
            self.assertEqual((answer.status, answer.headers["Preference-Applied"]), (200, None))
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
                self.assertEqual(daemon.metrics().samples[("pfgmd_job_store_up", ())], 0)
                ready = daemon.get("/readyz?verbose")
                self.assertEqual(ready.status, 200)
                self.assertFalse({c["name"]: c["ok"] for c in ready.json()["checks"]}["jobs"])

    def test_a_store_that_was_deleted_acknowledges_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            state, aside = os.path.join(folder, "state"), os.path.join(folder, "aside")
            with Daemon("--state", state) as daemon:
                os.rename(state, aside)
                answer = file_job(daemon, {"solver": QUICK})
                self.assertEqual(answer.status, 500, answer.body)
                self.assertIn("moved or deleted", answer.json()["detail"])
                self.assertEqual(daemon.metrics().samples[("pfgmd_job_store_up", ())], 0)
                ready = {c["name"]: c["ok"] for c in daemon.get("/readyz?verbose").json()["checks"]}
                self.assertFalse(ready["jobs"])
                os.rename(aside, state)
                wait_state(daemon, file_job(daemon, {"solver": QUICK}).json()["id"], "succeeded")

    def test_events_go_on_after_a_kill(self):
        fields = {"n": 200, "solver": {"method": "euler", "steps": 6}}
        with tempfile.TemporaryDirectory() as folder:
            daemon = Daemon("--state", folder)
            try:
                name = file_job(daemon, fields).json()["id"]
                before = events(daemon, name, until=lambda seen: len(seen) >= 30)
                daemon.process.send_signal(signal.SIGKILL)
                daemon.wait()
                daemon.stop()
                daemon = Daemon("--state", folder)
                after = events(daemon, name, after=before[-1][0])
                self.assertEqual([number for number, _, _ in before + after], list(range(1, 204)))
                self.assertEqual(sorted(d["index"] for _, kind, d in before + after if kind == "image"), list(range(200)))
            finally:
                daemon.stop()

    def test_a_stop_ends_who_waits(self):
        with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder, "--drain-timeout", "600") as daemon:
            name = file_job(daemon, {"n": 9, "solver": ENDLESS}).json()["id"]
            sockets = []
            for target in (f"/v1/jobs/{name}/archive", f"/v1/jobs/{name}/events", f"/v1/jobs/{name}"):
                s = daemon.connect()
                s.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\n\r\n".encode())
                sockets.append(s)
            daemon.wait_metrics(lambda m: m.value("pfgmd_http_requests_open") == 4, "all are there")
            daemon.signal(signal.SIGTERM)
            begun = time.monotonic()
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - begun, 55)  # the wait's time is 60 s
            for s in sockets:
                s.close()

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
