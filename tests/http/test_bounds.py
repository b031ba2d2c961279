"""What one request may cost: the evaluations that it may ask for, the time that it may take, and who else is served meanwhile."""

import json
import os
import tempfile
import unittest

from harness import DIGITS, ENDLESS, PFGMD, Daemon, SharedDaemon, run, wait_until

BOUND = 500


class Evaluations(SharedDaemon):
    ARGS = ("--nfe-max", str(BOUND))

    def post(self, path, body, status):
        answer = self.daemon.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        self.assertEqual(answer.status, status, (path, body, answer.body))
        return answer.json()

    def refused(self, path, body, pointer):
        problem = self.post(path, body, 422)
        self.assertEqual([e["pointer"] for e in problem["errors"]], [pointer], problem)
        self.assertEqual((problem["limit"], problem["code"]), (BOUND, "invalid_parameter"))
        self.assertIn("nfe_max", problem["errors"][0]["detail"])

    def image(self):
        return self.post("/v1/images", {"seed": 3}, 200)["images"][0]["b64"]

    def test_more_evaluations_than_the_server_allows_are_refused(self):
        image = self.image()
        long = {"method": "euler", "steps": BOUND + 1, "max_nfe": 10_000_000}
        many = {"method": "rk45", "max_nfe": BOUND + 1}
        for path, body in [("/v1/images", {}), ("/v1/decode", {"latents": [self.post("/v1/encode", {"images": [image]}, 200)
                                                                           ["images"][0]["latent"]]}),
                           ("/v1/encode", {"images": [image]}), ("/v1/interpolate", {"between": [{"seed": 1}, {"image": image}]}),
                           ("/v1/edit", {"image": image}), ("/v1/edit", {"image": {"seed": 1}})]:
            self.refused(path, {**body, "solver": many}, "/solver/max_nfe")
            if path != "/v1/encode":  # whose schedule goes up
                self.refused(path, {**body, "solver": long}, "/solver/steps")
        self.refused("/v1/images", {"solver": ENDLESS}, "/solver/steps")
        self.refused("/v1/images", {"solver": {**ENDLESS, "steps": BOUND // 2 + 1}}, "/solver/steps")
        answer = self.daemon.get(f"/v1/images/1/0?method=euler&steps={BOUND + 1}&max_nfe=5000")
        self.assertEqual((answer.status, answer.json()["errors"][0]["pointer"]), (422, "/solver/steps"))
        tensor = {"name": "seed", "shape": [1], "datatype": "UINT64", "data": [1]}
        answer = self.daemon.request("POST", "/v2/models/digits8/infer", json.dumps({"inputs": [tensor], "parameters": long}))
        self.assertEqual(answer.status, 422, answer.body)
        self.assertIn("nfe_max", answer.json()["error"])

    def test_what_is_allowed_is_made(self):
        made = self.post("/v1/images", {"solver": {"method": "euler", "steps": BOUND, "max_nfe": 10_000_000}}, 200)
        self.assertEqual(made["images"][0]["nfe"], BOUND)
        self.post("/v1/images", {"solver": {"method": "rk45", "max_nfe": BOUND}}, 200)
        limits = self.daemon.get("/v1/capabilities").json()["limits"]
        self.assertEqual((limits["steps"], limits["max_nfe"], limits["timeout_s"]), (BOUND, BOUND, 3600))

    def test_what_nobody_named_is_lowered(self):
        made = self.post("/v1/images", {"solver": {"method": "rk45"}}, 200)
        self.assertEqual(made["parameters"]["solver"]["max_nfe"], BOUND)
        self.post("/v1/interpolate", {"between": [{"seed": 1}, {"image": self.image()}], "frames": 2}, 200)

    def test_the_probes_of_a_likelihood_count(self):
        body = {"images": [self.image()], "seed": 1, "solver": {"rtol": 1e-2, "atol": 1e-2}}
        told = self.post("/v1/likelihood", {**body, "probes": 2}, 200)
        self.assertEqual(told["parameters"]["solver"]["max_nfe"], BOUND // 2)
        self.refused("/v1/likelihood", {**body, "probes": 2, "solver": {"max_nfe": BOUND // 2 + 1}}, "/solver/max_nfe")
        self.assertEqual(self.post("/v1/likelihood", {**body, "probes": BOUND}, 500)["code"], "numerical_failure")

    def test_jobs_are_bound_too(self):
        with tempfile.TemporaryDirectory() as state, Daemon("--nfe-max", str(BOUND), "--state", state) as daemon:
            answer = daemon.request("POST", "/v1/jobs", json.dumps({"n": 2, "solver": ENDLESS}))
            self.assertEqual((answer.status, answer.json()["errors"][0]["pointer"]), (422, "/solver/steps"))
            self.assertEqual(daemon.request("POST", "/v1/jobs", json.dumps({"n": 2, "solver": {"method": "euler", "steps": 2}})).status, 202)


class Time(unittest.TestCase):
    def test_a_request_without_a_deadline_gets_the_servers(self):
        with tempfile.TemporaryDirectory() as state, \
                Daemon("--workers", "1", "--batch", "4", "--timeout-max", "1", "--state", state) as daemon:
            job = daemon.request("POST", "/v1/jobs", json.dumps({"n": 1, "solver": ENDLESS}))
            self.assertEqual(job.status, 202)
            ended = daemon.images({"n": 64, "solver": ENDLESS})
            self.assertEqual((ended.status, ended.json()["code"]), (504, "deadline_exceeded"))
            self.assertIn("deadline of 1 s", ended.json()["detail"])
            few = {"timeout_s": 0.9, "solver": {"method": "euler", "steps": 2}}
            wait_until(lambda: daemon.images(few).status == 200, "an image in less than a second")
            refused = daemon.images({"timeout_s": 1.5}).json()
            self.assertEqual((refused["status"], refused["limit"], refused["errors"][0]["pointer"]), (422, 1, "/timeout_s"))
            self.assertIn("timeout_max", refused["errors"][0]["detail"])
            job = daemon.get(job.headers["Location"]).json()
            self.assertIn(job["state"], ("queued", "running"))  # has no deadline
            self.assertEqual(daemon.request("DELETE", job["links"]["self"]).status, 202)

    def test_there_may_be_none(self):
        with Daemon("--timeout-max", "0", "--nfe-max", "0") as daemon:
            self.assertEqual(daemon.images({"timeout_s": 86400}).status, 200)
            self.assertEqual(daemon.get("/v1/capabilities").json()["limits"]["timeout_s"], 86400)
            self.assertEqual(daemon.images({"solver": {"method": "euler", "steps": 10001, "max_nfe": 10_000_000}}).status, 200)

    def test_a_large_request_leaves_a_place_for_others(self):
        with Daemon("--workers", "1", "--batch", "2") as daemon:
            large = daemon.begin_images({"n": 64, "solver": ENDLESS})
            daemon.wait_work(2, 62)
            for _ in range(2):
                self.assertEqual(daemon.images({"n": 2}).status, 200)
            daemon.wait_work(2, 62)
            large.close()


class Defaults(unittest.TestCase):
    def test_the_defaults_bound_both(self):
        env = {k: v for k, v in os.environ.items() if k != "PFGMD_NFE_MAX"}
        self.assertEqual(run(PFGMD, "--model", DIGITS, "--timeout-max", "3600", "--nfe-max", "100000", "--check-config",
                             env=env).returncode, 0)
        for flag, value in [("--timeout-max", "86401"), ("--nfe-max", "-1"), ("--nfe-max", "1e3")]:
            result = run(PFGMD, "--model", DIGITS, flag, value, "--check-config", env=env)
            self.assertEqual(result.returncode, 2)
            self.assertIn(flag[2:].replace("-", "_").encode(), result.stderr)
        with Daemon("--nfe-max", "100000") as daemon:  # the harness raises it
            limits = daemon.get("/v1/capabilities").json()["limits"]
            self.assertEqual((limits["max_nfe"], limits["timeout_s"]), (100_000, 3600))
            self.assertEqual(daemon.images({"n": 64, "solver": ENDLESS}).status, 422)


if __name__ == "__main__":
    unittest.main()
