"""A store of jobs whose records are not what was filed: damaged, or written by another program."""

import http.client
import json
import os
import sqlite3
import tempfile
import unittest

from harness import Daemon
from jobs_calls import QUICK, file_job, wait_state

AS_NPY = {"Accept": "application/x-npy"}


class DamagedRecords(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.names = {}
        with Daemon("--state", self.folder.name) as daemon:
            for kind, fields in (("png", {}), ("sample", {"dtype": "float32"}), ("good", {}), ("other", {"dtype": "float32"})):
                self.names[kind] = file_job(daemon, {"n": 2, "seed": 1, "solver": QUICK, **fields}).json()["id"]
            for name in self.names.values():
                wait_state(daemon, name, "succeeded")

    def change(self, kind, how):
        with sqlite3.connect(os.path.join(self.folder.name, "jobs.sqlite3")) as db:
            text, = db.execute("SELECT parameters FROM job WHERE id = ?", (self.names[kind],)).fetchone()
            parameters = json.loads(text)
            how(parameters)
            db.execute("UPDATE job SET parameters = ? WHERE id = ?", (json.dumps(parameters), self.names[kind]))

    def refused(self, daemon, path):
        answer = daemon.get(path, AS_NPY)
        self.assertEqual(answer.status, 500, (path, answer.body[:100]))
        return answer

    def test_a_shape_is_not_believed(self):
        """Memory was read, and written, by what the record said: far beyond the image's bytes."""
        shapes = [[1, 30000, 8000], [3, 8, 8], [1, 4, 4], [1, 8, 9], [65536, 65536, 65536], [1, 8, 4294967304], [1, -8, -8], [16, 8, 8]]
        for shape in shapes:
            def foreign(p, shape=shape):
                p.pop("digest", None)  # another program's has one that fits, or none
                p["shape"] = shape
            for kind in ("png", "sample"):
                self.change(kind, foreign)
            with Daemon("--state", self.folder.name) as daemon:
                for kind in ("png", "sample"):
                    path = f"/v1/jobs/{self.names[kind]}"
                    self.refused(daemon, path + "/images/1?format=npy")
                    for query in ("npy", "npz", "npy&layout=chw"):
                        try:
                            answer = daemon.get(f"{path}/archive?format={query}")
                            self.assertEqual(answer.status, 500, (shape, kind, query))
                        except (OSError, http.client.HTTPException):
                            pass  # a head had been sent, and the rest never came
                good = daemon.get(f"/v1/jobs/{self.names['good']}/archive?format=npy")
                self.assertEqual((good.status, len(good.body)), (200, 128 + 2 * 64))

    def test_a_record_that_is_not_what_was_filed_is_said_so_and_hides_no_other(self):
        self.change("png", lambda p: p.update(seed="2"))
        self.change("sample", lambda p: (p.pop("digest"), p.pop("output")))
        self.change("other", lambda p: (p.pop("digest"), p["class"].pop("rule")))
        with Daemon("--state", self.folder.name) as daemon:
            listed = daemon.get("/v1/jobs")
            self.assertEqual(listed.status, 200)
            self.assertEqual([job["id"] for job in listed.json()["jobs"]], [self.names["good"]])
            for kind in ("png", "sample", "other"):
                daemon.wait_line(f"job {self.names[kind]} is left out of a list")
                for path in ("", "/images/0", "/archive", "/events"):
                    problem = self.refused_problem(daemon, f"/v1/jobs/{self.names[kind]}{path}")
                    self.assertIn("damaged", problem["detail"])
                self.assertEqual(daemon.request("DELETE", f"/v1/jobs/{self.names[kind]}").status, 204)
            self.assertEqual(daemon.get(f"/v1/jobs/{self.names['good']}").json()["parameters"]["seed"], "1")

    def refused_problem(self, daemon, path):
        answer = daemon.get(path)
        self.assertEqual((answer.status, answer.json()["code"]), (500, "internal"), path)
        return answer.json()


if __name__ == "__main__":
    unittest.main()
