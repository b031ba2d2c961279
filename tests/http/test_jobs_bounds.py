"""What jobs may take: live ones of a key, memory of an archive, a disk; and what a job says of itself while it runs."""

import base64
import hashlib
import io
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import uuid
import zipfile

from harness import Daemon, ENDLESS, SANITIZER, away_from_midnight, wait_until
from jobs_calls import QUICK, events, file_job, job_of, wait_state


class Bounds(unittest.TestCase):
    def test_a_key_has_so_many_live_jobs_and_no_more(self):
        away_from_midnight()
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            with open(keys, "w") as f:
                f.writelines(f"{name} {hashlib.sha256(name.encode()).hexdigest()} images=100\n" for name in ("anna", "bert"))
            anna, bert = ({"Authorization": f"Bearer {name}"} for name in ("anna", "bert"))
            with Daemon("--state", os.path.join(folder, "state"), "--keys", keys, "--jobs-live", "2") as daemon:
                fields = {"n": 30, "solver": ENDLESS}
                first, second = (file_job(daemon, fields, anna, "PUT", f"/v1/jobs/{uuid.uuid4()}").json() for _ in range(2))
                over = file_job(daemon, fields, anna)
                self.assertEqual((over.status, over.json()["code"], over.json()["limit"]), (429, "quota_exceeded", 2))
                self.assertIn("cancel one", over.json()["detail"])
                self.assertTrue(over.headers["Retry-After"])
                self.assertEqual(file_job(daemon, fields, bert).status, 202)  # another key has its own
                again = file_job(daemon, fields, anna, "PUT", first["links"]["self"])
                self.assertEqual((again.status, again.json()["id"]), (200, first["id"]))
                daemon.request("DELETE", second["links"]["self"], headers=anna)
                wait_until(lambda: job_of(daemon, second["id"], anna)["state"] == "cancelled", "one has ended")
                self.assertEqual(file_job(daemon, fields, anna).status, 202)  # that nobody took did not count: 90 of 100
                self.assertEqual(daemon.get("/v1/capabilities", anna).json()["limits"]["jobs_live"], 2)

    def fill(self, state, images, body=b"\x89PNG\r\n\x1a\n" + bytes(100), **fields):
        """A finished job of so many images, written into the store of a daemon that is not running."""
        with Daemon("--state", state) as daemon:
            name = file_job(daemon, {"n": images, "seed": 1, "solver": ENDLESS, **fields}).json()["id"]
            wait_state(daemon, name, "running")
            daemon.signal(signal.SIGTERM)
            daemon.wait()
        digest = hashlib.sha256(body).hexdigest()
        db = sqlite3.connect(os.path.join(state, "jobs.sqlite3"))
        number, = db.execute("SELECT number FROM job").fetchone()
        db.executemany("INSERT INTO result(job, i, sequence, label, nfe, rejected, sha256, bytes) VALUES(?, ?, ?, -2147483648, 3, 0, ?, ?)",
                       ((number, i, i + 1, digest, body) for i in range(images)))
        db.execute("UPDATE job SET done = n, state = 3, finished = submitted + 1, bytes = ?", (images * len(body),))
        db.commit()
        db.close()
        return name, digest

    def test_long_arrays_of_an_archive_come_whole(self):
        """Those of few numbers are members like others; long ones are sent as they are made."""
        images, body = 20_000, bytes(range(256))
        with tempfile.TemporaryDirectory() as folder:
            name, _ = self.fill(folder, images, body, dtype="float32", first_index=5)
            with Daemon("--state", folder) as daemon:
                wait_state(daemon, name, "succeeded")
                got = zipfile.ZipFile(io.BytesIO(daemon.get(f"/v1/jobs/{name}/archive?format=npz&layout=chw").body))
        self.assertIsNone(got.testzip())
        wanted = {"seed.npy": [1], "index.npy": list(range(5, 5 + images))}
        self.assertEqual(set(got.namelist()), {"arr_0.npy", *wanted})
        for member, values in wanted.items():
            data = got.read(member)
            self.assertEqual([v for v, in struct.iter_unpack("<Q", data[10 + struct.unpack_from("<H", data, 8)[0]:])], values)
        self.assertEqual(got.read("arr_0.npy")[-images * 256:], body * images)

    def test_an_archive_breaks_off_where_an_image_is_missing_for_good(self):
        """The job has succeeded, so it never comes."""
        with tempfile.TemporaryDirectory() as folder:
            name, _ = self.fill(folder, 3)
            db = sqlite3.connect(os.path.join(folder, "jobs.sqlite3"))
            db.execute("DELETE FROM result WHERE i = 1")
            db.commit()
            db.close()
            with Daemon("--state", folder) as daemon, daemon.connect() as s:
                wait_state(daemon, name, "succeeded")
                s.sendall(f"GET /v1/jobs/{name}/archive?format=tar HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                rest = b""
                while more := s.recv(65536):
                    rest += more
                self.assertIn(b" 200 ", rest)
                self.assertNotIn(b"0\r\n\r\n", rest)  # the end of a body in chunks
                self.assertIn("image 1 is not in the store", daemon.wait_line(f"job {name} has succeeded"))

    @unittest.skipIf(SANITIZER != "none", "a measurement, made with the plain build")
    def test_an_archive_does_not_lie_in_memory(self):
        images = 60_000
        with tempfile.TemporaryDirectory() as folder:
            name, digest = self.fill(folder, images)
            with Daemon("--state", folder) as daemon:
                def peak():
                    with open(f"/proc/{daemon.process.pid}/status") as f:
                        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024
                for kind, most in (("tar", 12), ("zip", 8)):  # SQLite keeps 8 MiB of its pages, a zip 40 bytes per image
                    wait_state(daemon, name, "succeeded")
                    before = peak()
                    target = os.path.join(folder, "archive")
                    subprocess.run(["curl", "-sf", "-o", target, f"http://127.0.0.1:{daemon.port}/v1/jobs/{name}/archive?format={kind}"], check=True)
                    grown = peak() - before
                    print(f"{kind} of {images} images: {grown:.1f} MiB more", file=sys.stderr)
                    self.assertLess(grown, most, kind)
                    if kind == "tar":
                        with tarfile.open(target) as archive:
                            manifest = json.load(archive.extractfile("manifest.json"))
                            self.assertEqual(len(archive.getmembers()), images + 1)
                    else:
                        with zipfile.ZipFile(target) as archive:
                            manifest = json.loads(archive.read("manifest.json"))
                            self.assertEqual(len(archive.namelist()), images + 1)
                            self.assertEqual(hashlib.sha256(archive.read(f"pfgm-1-{images - 1}.png")).hexdigest(), digest)
                    self.assertEqual([i["index"] for i in manifest["images"]], list(range(images)))

    def test_a_full_disk_is_told_and_nothing_that_was_acknowledged_is_lost(self):
        with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder) as daemon:
            def limit(most):
                subprocess.run(["prlimit", "--pid", str(daemon.process.pid), f"--fsize={most}:"], check=True)
            limit(300_000)
            images = 800  # far more than find room, however few transactions bring them
            name = file_job(daemon, {"n": images, "solver": QUICK}).json()["id"]
            self.assertIn("the job store is full: make room on its disk", daemon.wait_line("jobs wait: "))
            taken = []
            while len(taken) < 1000:  # a record may still find its place
                answer = file_job(daemon, {"n": 1, "solver": QUICK})
                if answer.status != 202:
                    break
                taken.append(answer.json()["id"])
            self.assertEqual((answer.status, answer.json()["code"]), (507, "store_full"))
            self.assertTrue(answer.headers["Retry-After"])

            def jobs_wait():
                """Now and then what was full takes some more, until the file has all that it may have."""
                check, = [c for c in daemon.get("/readyz?verbose").json()["checks"] if c["name"] == "jobs"]
                return not check["ok"] and check
            self.assertIn("full", wait_until(jobs_wait, "jobs wait")["detail"])
            daemon.wait_metrics(lambda m: m.value("pfgmd_job_store_up") == 0, "the store is down")
            self.assertEqual(daemon.images({"solver": QUICK}).status, 200)  # what needs no store goes on
            job = job_of(daemon, name)
            self.assertEqual(job["state"], "running")
            limit("unlimited")
            for one in (name, *taken):
                wait_state(daemon, one, "succeeded")
            archive = zipfile.ZipFile(io.BytesIO(daemon.get(f"/v1/jobs/{name}/archive").body))
            self.assertEqual(len(archive.namelist()), images + 1)
            daemon.wait_metrics(lambda m: m.value("pfgmd_job_store_up") == 1, "the store is up")


class Said(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.daemon = Daemon("--state", cls.folder.name, "--workers", "1", "--batch", "2")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.folder.cleanup()

    def test_a_queued_job_has_a_place(self):
        fields = {"n": 200, "solver": ENDLESS}
        names = [file_job(self.daemon, fields).json()["id"] for _ in range(4)]
        wait_state(self.daemon, names[0], "running")
        wait_until(lambda: [j["state"] for j in self.daemon.get("/v1/jobs?state=running").json()["jobs"]], "one runs")
        queued = [j["id"] for j in self.daemon.get("/v1/jobs?state=queued").json()["jobs"]][::-1]
        self.assertGreaterEqual(len(queued), 2)
        self.assertIsNone(job_of(self.daemon, names[0])["queue_position"])
        self.assertEqual([job_of(self.daemon, name)["queue_position"] for name in queued], list(range(1, len(queued) + 1)))
        last = queued[-1]
        tag = self.daemon.get(f"/v1/jobs/{last}").headers["ETag"]
        self.assertEqual(self.daemon.get(f"/v1/jobs/{last}", {"If-None-Match": tag}).status, 304)
        self.daemon.request("DELETE", f"/v1/jobs/{queued[0]}")
        moved = self.daemon.get(f"/v1/jobs/{last}", {"If-None-Match": tag, "Prefer": "WAIT=60"})
        self.assertEqual((moved.status, moved.headers["Preference-Applied"]), (200, "wait=60"))
        self.assertEqual(moved.json()["queue_position"], len(queued) - 1)
        names.remove(queued[0])
        for name in names:
            self.daemon.request("DELETE", f"/v1/jobs/{name}")
        for name in names:
            wait_state(self.daemon, name, "cancelled")

    def test_a_job_counts_its_steps(self):
        name = file_job(self.daemon, {"n": 3, "solver": ENDLESS}).json()["id"]
        progress = wait_until(lambda: (p := job_of(self.daemon, name)["progress"])["steps_done"] > 0 and p, "steps are taken")
        self.assertEqual((progress["images_done"], progress["steps_total"]), (0, 3 * ENDLESS["steps"]))
        self.assertLess(progress["steps_done"], progress["steps_total"])
        self.daemon.request("DELETE", f"/v1/jobs/{name}")
        wait_state(self.daemon, name, "cancelled")
        job = wait_state(self.daemon, file_job(self.daemon, {"n": 3, "solver": QUICK}).json()["id"], "succeeded")
        self.assertEqual((job["progress"]["steps_done"], job["progress"]["steps_total"]), (9, 9))
        job = wait_state(self.daemon, file_job(self.daemon, {"n": 1, "solver": {"method": "rk45", "rtol": 0.1}}).json()["id"], "succeeded")
        self.assertEqual((job["progress"]["steps_done"], job["progress"]["steps_total"]), (None, None))

    def test_the_events_of_a_job_show_its_images_on_their_path(self):
        job = file_job(self.daemon, {"n": 2, "preview_every": 5, "solver": ENDLESS}).json()
        self.assertEqual(job["parameters"]["preview_every"], 5)
        seen = events(self.daemon, job["id"], until=lambda seen: sum(kind == "preview" for _, kind, _ in seen) >= 2)
        previews = [data for _, kind, data in seen if kind == "preview"]
        self.assertEqual([kind for _, kind, _ in seen], ["queued", "started", "preview", "preview"])
        self.assertEqual([number for number, _, _ in seen], [1, 2, 2, 2])
        for preview in previews:
            self.assertIn(preview["index"], (0, 1))
            self.assertEqual(preview["step"] % 5, 0)
            self.assertTrue(base64.b64decode(preview["b64"]).startswith(b"\x89PNG"))
        self.daemon.request("DELETE", f"/v1/jobs/{job['id']}")
        wait_state(self.daemon, job["id"], "cancelled")


if __name__ == "__main__":
    unittest.main()
