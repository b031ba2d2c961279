"""What a client may ask for, and what it pays: quotas, links that renew themselves, limits that no wait lifts."""

import json
import os
import re
import signal
import tempfile
import unittest

from harness import DIGITS, ENDLESS, FASHION, PFGMD, SANITIZER, Daemon, SharedDaemon, run, wait_until
from test_security import bearer, key_line


class WithKeys(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.keys = os.path.join(self.folder.name, "keys")
        self.write(key_line("alice", "sesame"), key_line("few", "few-key", "images=30"))

    def tearDown(self):
        self.folder.cleanup()

    def write(self, *lines):
        with open(self.keys, "w", encoding="ascii") as f:
            f.writelines(lines)

    def ask(self, daemon, body, key="few-key", path="/v1/images"):
        return daemon.request("POST", path, json.dumps(body), bearer(key))

    def left(self, daemon, images=30):
        """Images that the key has left today, which the refusal of too many says."""
        detail = self.ask(daemon, {"n": 64}).json()["detail"]
        self.assertIn(f"of {images} images left", detail)
        return int(detail.split(" has ")[1].split(" ")[0])

    def test_a_link_does_not_renew_itself(self):
        """Asked for JSON, a signed link must not answer with a fresh one, which would never end."""
        with Daemon("--keys", self.keys) as daemon:
            link = self.ask(daemon, {"seed": 7}, "sesame").json()["images"][0]["url"]
            renewed = daemon.get(link, {"Accept": "application/json"})
            self.assertEqual(renewed.status, 200)
            self.assertNotIn("url", renewed.json()["images"][0])
            with_key = daemon.get(link.split("&key=")[0], {"Accept": "application/json", **bearer("sesame")})
            self.assertIn("signature=", with_key.json()["images"][0]["url"])

    def test_a_quota_lowered_below_its_use_is_used_up(self):
        with Daemon("--keys", self.keys) as daemon:
            self.assertEqual(self.ask(daemon, {"n": 8}).status, 200)
            self.write(key_line("few", "few-key", "images=5"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("loaded in", count=2)
            refused = self.ask(daemon, {})
            self.assertEqual((refused.status, refused.json()["code"]), (429, "quota_exceeded"))
            self.assertEqual(self.left(daemon, 5), 0)
            self.write(key_line("few", "few-key", "images=12"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("loaded in", count=3)
            self.assertEqual(self.left(daemon, 12), 4)

    def test_what_was_not_admitted_costs_nothing(self):
        with Daemon("--keys", self.keys, "--workers", "1", "--batch", "1", "--queue", "64") as daemon:
            body = json.dumps({"n": 62, "solver": ENDLESS}).encode()
            with daemon.connect() as busy:
                busy.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sesame\r\n"
                             b"Content-Length: %d\r\n\r\n" % len(body) + body)
                daemon.wait_work(1, 61)
                for _ in range(7):
                    self.assertEqual(self.ask(daemon, {"n": 4}).json()["code"], "queue_full")
                ends = {"between": [{"seed": 1}, {"seed": 2}], "frames": 4}
                self.assertEqual(self.ask(daemon, ends, path="/v1/interpolate").json()["code"], "queue_full")
                self.assertEqual(self.left(daemon), 30)

    def test_what_was_not_computed_costs_nothing(self):
        with Daemon("--keys", self.keys, "--workers", "1", "--batch", "1") as daemon:
            late = {"n": 4, "timeout_s": 0.2, "solver": ENDLESS}
            for path in ["/v1/images", "/v1/images?format=tar"]:
                self.assertEqual(self.ask(daemon, late, path=path).status, 504)
                self.assertEqual(self.left(daemon), 30)
            image = self.ask(daemon, {"seed": 1}).json()["images"][0]["b64"]
            encoded = {"between": [{"seed": 1}, {"image": image}], "frames": 9, "timeout_s": 0.001}
            self.assertEqual(self.ask(daemon, encoded, path="/v1/interpolate").status, 504)
            self.assertEqual(self.left(daemon), 29)
            ok = self.ask(daemon, {**encoded, "timeout_s": 600}, path="/v1/interpolate")
            self.assertEqual(ok.status, 200, ok.body)
            self.assertEqual(self.left(daemon), 19)

    def test_who_leaves_pays_for_what_was_begun(self):
        with Daemon("--keys", self.keys, "--workers", "1", "--batch", "1") as daemon:
            body = json.dumps({"n": 4, "solver": ENDLESS}).encode()
            with daemon.connect() as s:
                s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer few-key\r\n"
                          b"Content-Length: %d\r\n\r\n" % len(body) + body)
                daemon.wait_work(1, 3)
            wait_until(lambda: self.left(daemon) == 29, "three of four are given back")


class Limits(unittest.TestCase):
    def test_more_than_the_queue_holds_is_refused_for_good(self):
        """It was 503 with Retry-After for ever."""
        with Daemon("--queue", "2") as daemon:
            for path, body, pointer in [("/v1/images", {"n": 3}, "/n"), ("/v1/images/generations", {"n": 3}, None),
                                        ("/v1/interpolate", {"between": [{"seed": 1}, {"seed": 2}], "frames": 3}, "/frames")]:
                answer = daemon.request("POST", path, json.dumps(body))
                self.assertEqual(answer.status, 422, answer.body)
                if pointer:
                    self.assertEqual((answer.json()["limit"], answer.json()["errors"][0]["pointer"]), (2, pointer))
            self.assertEqual(daemon.images({"n": 2}).status, 200)
            self.assertEqual(daemon.get("/v1/capabilities").json()["limits"]["n"], 2)
            image = daemon.images({"seed": 1}).json()["images"][0]["b64"]
        with Daemon("--queue", "1") as daemon:
            body = {"between": [{"image": image}, {"image": image}], "frames": 2}
            self.assertEqual(daemon.request("POST", "/v1/interpolate", json.dumps(body)).status, 422)
            answer = daemon.request("POST", "/v1/interpolate", '{"between":[{"seed":1},{"seed":2}]}')  # n_max is 1, too
            self.assertEqual((answer.status, answer.json()["errors"][0]["pointer"]), (422, "/frames"))

    def test_check_config_asks_for_a_queue_that_holds_n_max(self):
        for last in ["--check-config", "--listen=127.0.0.1:0"]:
            result = run(PFGMD, "--model", DIGITS, "--queue", "8", "--n-max", "9", last)
            self.assertEqual(result.returncode, 2)
            self.assertIn(b"at least n_max", result.stderr)
        self.assertEqual(run(PFGMD, "--model", DIGITS, "--queue", "8", "--check-config").returncode, 0)


class Queries(SharedDaemon):
    PATH = "/v1/images/7/0?"

    def test_plus_is_a_blank(self):
        self.assertEqual(self.daemon.get(self.PATH + "format=json&label=a+b%2Bc").json()["parameters"]["label"], "a b+c")

    def test_blanks_are_no_part_of_a_number(self):
        for value in ["10%20", "%2010", "10+", "%0910", "10%0a", "[10]", "0x10", "%22 10%22".replace(" ", ""), "1e1", "010"]:
            answer = self.daemon.get(self.PATH + "steps=" + value)
            self.assertEqual(answer.status, 422, value)
            self.assertEqual(answer.json()["errors"][0]["pointer"], "/solver/steps")
        for query in ["steps=10", "embed_metadata=false", "t_max=1e2", "temperature=0.5"]:
            self.assertEqual(self.daemon.get(self.PATH + query).status, 200, query)
        self.assertEqual(self.daemon.get(self.PATH + "embed_metadata=true%20").status, 422)

    def test_checks_come_before_304(self):
        any_tag = {"If-None-Match": "*"}
        self.assertEqual(self.daemon.get(self.PATH, any_tag).status, 304)
        for query in ["max_nfe=1&steps=10", "method=rk45&t_max=0.0001", "class=3", "format=zip"]:
            without = self.daemon.get(self.PATH + query).status
            self.assertIn(without, (406, 422), query)
            self.assertEqual(self.daemon.get(self.PATH + query, any_tag).status, without, query)

    def test_a_key_in_the_query_is_not_logged(self):
        for query in ["key=s3same-0", "api_key=s3same-1", "a=b&ACCESS_TOKEN=s3same-2", "%6bey=s3same-3"]:
            self.daemon.get("/v1/models?" + query)
            self.daemon.get("/nowhere%00?" + query)
        self.daemon.wait_line("%6bey=", count=2)
        self.assertFalse([line for line in self.daemon.lines if "s3same" in line])


class OtherClients(SharedDaemon):
    def test_problems_carry_what_openai_clients_read(self):
        """Their SDK says "404 status code (no body)" where there is no "error"."""
        for method, path, body, status, code in [("GET", "/v1/models/none", None, 404, "model_not_found"),
                                                 ("GET", "/v1/nowhere", None, 404, "not_found"),
                                                 ("POST", "/v1/images", '{"n":0}', 422, "invalid_parameter"),
                                                 ("DELETE", "/v1/models", None, 405, "method_not_allowed"),
                                                 ("GET", "/v1/images/1/0?x=y", None, 422, "invalid_parameter")]:
            answer = self.daemon.request(method, path, body)
            o = answer.json()
            self.assertEqual((answer.status, o["error"]["code"]), (status, code))
            self.assertEqual(set(o["error"]), {"message", "type", "param", "code"})
            self.assertEqual((o["error"]["message"], o["error"]["type"]), (o["detail"], "invalid_request_error"))
        self.assertEqual(self.daemon.images({"n": 0}).json()["error"]["param"], "n")

    def test_health_as_llama_server_has_it(self):
        answer = self.daemon.get("/health")
        self.assertEqual((answer.status, answer.json()), (200, {"status": "ok"}))
        verbose, ready = self.daemon.get("/health?verbose").json(), self.daemon.get("/readyz?verbose").json()
        self.assertEqual(verbose, {**ready, "status": "ok"})

    def test_what_triton_clients_ask(self):
        index = self.daemon.request("POST", "/v2/repository/index", "")
        self.assertEqual(index.json(), [{"name": "digits8", "version": "", "state": "READY", "reason": ""}])
        before = self.daemon.get("/v2/models/digits8/stats").json()["model_stats"][0]
        self.daemon.images({"n": 3})
        after = self.daemon.get("/v2/models/stats").json()["model_stats"][0]
        self.assertEqual(after["inference_count"] - before["inference_count"], 3)
        self.assertGreater(after["inference_stats"]["success"]["ns"], before["inference_stats"]["success"]["ns"])
        self.assertEqual(self.daemon.get("/v2/models/none/stats").status, 404)


class Loading(unittest.TestCase):
    def test_models_that_load_have_all_that_lists_need(self):
        """OpenAI's SDK reads "created" and "owned_by" of each; loading says how far it has come. It takes many times what the
        questions take; where it was over before the last one all the same, more models are loaded."""
        for count in (24, 48, 96) if SANITIZER == "none" else (12, 24, 48):
            models = [word for i in range(count) for word in ("--model", f"f{i}={FASHION}")]
            with Daemon(*models, model=None, ready=False) as daemon:
                last = daemon.get(f"/v1/models/f{count - 1}").json()
                ready = daemon.get("/readyz").json()
                health = daemon.get("/health")
                index = daemon.request("POST", "/v2/repository/index", "{}").json()
                if daemon.get("/readyz").status == 200:
                    continue
            detail = ready["detail"]
            self.assertEqual((last["state"], last["object"], last["owned_by"]), ("loading", "model", "pfgmd"))
            self.assertGreater(last["created"], 1.6e9)
            done, name, percent = re.fullmatch(rf"loading model (\d+) of {count} \((f\d+)\), (\d+) %", detail).groups()
            self.assertIn(int(percent), [100 * half // (2 * count) for half in (2 * int(done) - 2, 2 * int(done) - 1)])
            self.assertEqual(name, f"f{int(done) - 1}")
            self.assertEqual((health.status, health.json()["code"]), (503, "loading"))
            self.assertEqual((index[-1]["name"], index[-1]["state"]), (f"f{count - 1}", "LOADING"))
            return
        self.fail("the models were loaded before the questions were answered")


if __name__ == "__main__":
    unittest.main()
