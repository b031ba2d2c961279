"""Links to single images, signed where keys are needed; and logs as JSON, which hold no secret."""

import base64
import hashlib
import json
import os
import re
import signal
import tempfile
import time
import unittest

from harness import DIGITS, PFGMD, Daemon, run
from test_security import bearer, key_line


class Links(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.keys = os.path.join(self.folder.name, "keys")
        self.secret = os.path.join(self.folder.name, "secret")
        self.write(self.keys, key_line("alice", "sesame") + key_line("few", "few-key", "images=3"))
        self.write(self.secret, "0123456789abcdef0123456789abcdef\n")

    def tearDown(self):
        self.folder.cleanup()

    def write(self, path, text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)

    def image(self, daemon, key="sesame", **body):
        o = daemon.request("POST", "/v1/images", json.dumps({"seed": 7, **body}), bearer(key)).json()
        return o["images"][-1]

    def check_forbidden(self, daemon, link, word):
        answer = daemon.get(link)
        self.assertEqual((answer.status, answer.json()["code"]), (403, "forbidden"), link)
        self.assertIn(word, answer.json()["detail"])
        self.assertEqual(answer.headers["Connection"], "close")

    def test_without_keys_a_link_is_the_image(self):
        solver = {"method": "rk45", "rtol": 1e-3, "atol": 1e-5}
        with Daemon() as daemon:
            for body in [{"n": 2}, {"solver": solver}, {"embed_metadata": False, "temperature": 0.75},
                         {"solver": {"method": "heun", "steps": 5, "schedule": "rho", "t_max": 7.5}}]:
                for image in daemon.images({"seed": 7, **body}).json()["images"]:
                    self.assertNotIn("signature", image["url"])
                    got = daemon.get(image["url"])
                    self.assertEqual((got.status, got.body), (200, base64.b64decode(image["b64"])))
            png = daemon.images({"seed": 7}, accept="image/png")
            self.assertEqual(daemon.get(png.headers["Content-Location"]).body, png.body)
            sheet = daemon.images({"seed": 7, "n": 2, "grid": {}}).json()["images"][0]
            self.assertNotIn("url", sheet)

    def test_a_long_signed_link_is_whole_in_a_header(self):
        """With a long name of the key, a proxy's prefix and all that a solver takes."""
        name, prefix = "k" * 63, "/" + "p" * 199
        solver = {"method": "heun", "steps": 5, "schedule": "rho", "t_max": 7.512345678901234, "t_min": 0.0123456789012345, "churn": 1.2345678901234567,
                  "churn_noise": 1.0012345678901234, "churn_t_max": 5.1234567890123456, "churn_t_min": 0.12345678901234567}
        self.write(self.keys, key_line(name, "sesame"))
        with Daemon("--keys", self.keys, "--trusted-proxies", "127.0.0.1") as daemon:
            body = json.dumps({"seed": str(2**64 - 1), "temperature": 0.9876543210987654, "embed_metadata": False, "solver": solver})
            png = daemon.request("POST", "/v1/images", body, {**bearer("sesame"), "Accept": "image/png", "X-Forwarded-Prefix": prefix})
            self.assertEqual(png.status, 200, png.body[:300])
            link = png.headers["Content-Location"]
            self.assertGreater(len(link), 640)
            self.assertRegex(link, "&signature=[0-9a-f]{64}$")
            self.assertEqual(daemon.get(link.removeprefix(prefix)).body, png.body)

    def test_a_signed_link_needs_no_key(self):
        with Daemon("--keys", self.keys) as daemon:
            image = self.image(daemon, n=2)
            link = image["url"]
            self.assertRegex(link, r"^/v1/images/7/1[?].*&key=alice&expires=\d+&signature=[0-9a-f]{64}$")
            answer = daemon.get(link)
            self.assertEqual(hashlib.sha256(answer.body).hexdigest(), image["sha256"])
            self.assertIn("private", answer.headers["Cache-Control"])
            self.assertEqual(daemon.get(link, {"If-None-Match": answer.headers["ETag"]}).status, 304)
            self.assertEqual(daemon.request("HEAD", link).status, 200)
            self.assertEqual(daemon.get(link, bearer("sesame")).status, 200)
            self.assertEqual(daemon.get(link, bearer("wrong")).status, 401)
            self.assertEqual(daemon.get(link.split("&key=")[0]).status, 401)
            end = int(re.search(r"expires=(\d+)", link)[1])
            self.assertLess(abs(end - time.time() - 3600), 60)
            digit = "0" if link[-1] != "0" else "1"
            for changed in [link.replace("/7/1", "/7/2"), link.replace("/7/1", "/8/1"),
                            link.replace("expires=", "expires=9"), link[:-1] + digit,
                            link.replace("key=alice", "key=few"),
                            link.replace("?model", "?embed_metadata=false&model")]:
                self.check_forbidden(daemon, changed, "does not belong")
            for broken in [link[:-1], link + "0", link + "&x=1", "/v1/images/7/1?a=b&signature=",
                           link.replace("&expires", "&expire"), link.replace("&key=", "&ke=")]:
                self.check_forbidden(daemon, broken, "not whole")
            self.assertEqual(daemon.get("/v1/models?" + link.split("?")[1]).status, 401)
            line = daemon.wait_line("signature=")
            for line in daemon.lines:
                self.assertNotRegex(line, "signature=[0-9a-f]")

    def test_ends(self):
        """After its time, with its key, and with the secret; images count against the key."""
        with Daemon("--keys", self.keys, "--link-lifetime", "1") as daemon:
            link = self.image(daemon)["url"]
            time.sleep(2.1)
            self.check_forbidden(daemon, link, "ended at 20")
        with Daemon("--keys", self.keys, "--link-secret", self.secret) as daemon:
            kept = self.image(daemon)["url"]
            few = self.image(daemon, "few-key", n=2)["url"]
            self.assertEqual([daemon.get(few).status for _ in range(2)], [200, 429])
        with Daemon("--keys", self.keys, "--link-secret", self.secret) as daemon:
            self.assertEqual(daemon.get(kept).status, 200)  # another process with the same secret
            self.write(self.keys, key_line("bob", "new-key"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("loaded in", count=2)
            self.check_forbidden(daemon, kept, "no longer known")
            bobs = self.image(daemon, "new-key")["url"]
            self.write(self.secret, "short")
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("stays as it was")
            self.assertEqual(daemon.get(bobs).status, 200)
            self.write(self.secret, "another secret of some length")
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("loaded in", count=3)
            self.check_forbidden(daemon, bobs, "does not belong")
        with Daemon("--keys", self.keys) as daemon:
            self.check_forbidden(daemon, bobs, "does not belong")

    def test_bad_secrets_are_refused_at_start(self):
        for text in ["", "x" * 15, "x" * 4097]:
            self.write(self.secret, text)
            for last in ["--check-config", "--listen=127.0.0.1:0"]:
                result = run(PFGMD, "--model", DIGITS, "--link-secret", self.secret, last)
                self.assertEqual(result.returncode, 2, text)
                self.assertIn(b"secret", result.stderr)


class Logs(unittest.TestCase):
    def test_json(self):
        """Every line is an object; a request's has its timings and ids, and no secret."""
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            with open(keys, "w", encoding="ascii") as f:
                f.write(key_line("alice", "sesame"))
            trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
            with Daemon("--keys", keys, env={"PFGMD_LOG_FORMAT": "json"}, ready=False) as daemon:
                daemon.wait_line('"message":"ready"')
                headers = {**bearer("sesame"), "X-Request-Id": "me-1",
                           "traceparent": f"00-{trace}-{parent}-01"}
                body = json.dumps({"seed": 7, "label": 'a "b"\n\\ é'})
                link = daemon.request("POST", "/v1/images", body, headers).json()["images"][0]["url"]
                daemon.get(link)
                daemon.get("/v1/models", bearer("wrong-key"))
                daemon.request("POST", "/v1/images", '{"x":1}', bearer("sesame"))
                daemon.wait_line('"event":"request"', count=4)
            lines = [json.loads(line) for line in daemon.lines]
        for line in daemon.lines:
            self.assertNotRegex(line, "sesame|wrong-key|signature=[0-9a-f]")
        for o in lines:
            self.assertRegex(o["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{3}Z$")
            self.assertIn(o["level"], ("info", "warn", "error", "debug"))
            self.assertIn("message" if o["event"] == "log" else "status", o)
        # a line is written when its answer has gone, which may be after the next request has come
        requests = {(o["method"], o["status"]): o for o in lines if o["event"] == "request"}
        first, second = requests["POST", 200], requests["GET", 200]
        third, last = requests["GET", 401], requests["POST", 422]
        self.assertEqual((first["method"], first["target"], first["status"], first["request_id"]),
                         ("POST", "/v1/images", 200, "me-1"))
        self.assertEqual((first["trace_id"], first["parent_id"], first["key"], first["address"]),
                         (trace, parent, "alice", "127.0.0.1"))
        self.assertEqual(first["label"], 'a "b"\n\\ é')
        self.assertLess(first["queue_ms"] + first["compute_ms"], first["duration_ms"] + 0.01)
        self.assertGreater(first["compute_ms"], 0)
        self.assertEqual((second["status"], second["key"]), (200, "alice"))
        self.assertEqual((third["status"], third["code"]), (401, "unauthenticated"))
        self.assertEqual((last["status"], last["code"]), (422, "invalid_parameter"))
        self.assertNotIn("compute_ms", last)

    def test_settings(self):
        check = run(PFGMD, "--model", DIGITS, "--log-format", "xml", "--check-config")
        self.assertEqual(check.returncode, 2)
        self.assertIn(b"log_format must be text or json", check.stderr)


if __name__ == "__main__":
    unittest.main()
