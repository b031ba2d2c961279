"""Keys, origins, TLS, the admin socket, limits of an address."""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import stat
import tempfile
import threading
import time
import unittest

from harness import DIGITS, ENDLESS, PFGMD, Daemon, away_from_midnight, run, wait_until

TLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls")


def key_line(name, key, options=""):
    if "images=" in options:
        away_from_midnight()
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()} {options}\n"


def bearer(key):
    return {"Authorization": "Bearer " + key}


class Admin:
    """Requests to an admin socket."""

    def __init__(self, path):
        self.path = path

    def request(self, method, path, body=None):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(120)
        s.connect(self.path)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = s
        try:
            connection.request(method, path, body and json.dumps(body))
            response = connection.getresponse()
            data = response.read()
            return response.status, json.loads(data) if data.startswith(b"{") else data
        finally:
            connection.close()


class Keys(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "keys")
        self.write(key_line("alice", "open sesame"), "# a comment\n\n",
                   key_line("slow", "slow-key", "rate=2"),
                   key_line("few", "few-key", "images=5"),
                   key_line("viewer", "view-key", "read-only"))

    def tearDown(self):
        self.folder.cleanup()

    def write(self, *lines):
        with open(self.path, "w", encoding="ascii") as f:
            f.writelines(lines)

    def ask(self, daemon, key, body="{}"):
        headers = bearer(key) if key else {}
        return daemon.request("POST", "/v1/images", body, headers)

    def test_who_may_ask(self):
        with Daemon("--keys", self.path) as daemon:
            self.assertEqual(self.ask(daemon, "open sesame").status, 200)
            for headers in [{}, bearer("open sesam"), bearer("open sesame "), bearer(""),
                            {"Authorization": "Basic b3Blbg=="}, bearer("x" * 5000),
                            {"Authorization": "open sesame"}, bearer("alice")]:
                answer = daemon.request("POST", "/v1/images", "{}", headers)
                if "x" * 5000 in headers.get("Authorization", "") and answer.status == 431:
                    continue
                ok = headers == bearer("open sesame ")  # a blank at the end is not the key's
                self.assertEqual(answer.status, 200 if ok else 401, headers)
                if not ok:
                    self.assertEqual(answer.json()["code"], "unauthenticated")
                    self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Bearer"))
                    self.assertEqual(answer.headers["Connection"], "close")
            for path in ["/livez", "/readyz", "/version", "/metrics", "/openapi.json"]:
                self.assertEqual(daemon.get(path).status, 200, path)
            for path in ["/v1/models", "/v1/capabilities", "/v1/images/1/0"]:
                self.assertEqual(daemon.get(path).status, 401, path)
                self.assertEqual(daemon.get(path, bearer("open sesame")).status, 200, path)
            self.assertIn("private", daemon.get("/v1/images/1/0",
                                                bearer("open sesame")).headers["Cache-Control"])
            viewer = self.ask(daemon, "view-key")
            self.assertEqual((viewer.status, viewer.json()["code"]), (403, "forbidden"))
            self.assertEqual(daemon.get("/v1/models", bearer("view-key")).status, 200)
            self.assertIn(" key=alice", daemon.wait_line(" key="))
            for line in daemon.lines:
                self.assertNotIn("sesame", line)

    def test_refused_before_the_body_colibri_610(self):
        with Daemon("--keys", self.path) as daemon, daemon.connect() as s:
            s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
            data = b""
            while piece := s.recv(65536):
                data += piece
            self.assertTrue(data.startswith(b"HTTP/1.1 401 "), data[:80])

    def test_rates_and_quotas(self):
        with Daemon("--keys", self.path) as daemon:
            seen = []
            crowd = [threading.Thread(target=lambda: seen.append(self.ask(daemon, "slow-key")))
                     for _ in range(16)]
            for t in crowd:
                t.start()
            for t in crowd:
                t.join()
            self.assertEqual({o.status for o in seen}, {200, 429})
            refused = next(o for o in seen if o.status == 429)
            self.assertEqual(refused.json()["code"], "quota_exceeded")
            self.assertGreaterEqual(int(refused.headers["Retry-After"]), 1)
            time.sleep(1.1)
            self.assertEqual(self.ask(daemon, "slow-key").status, 200)
            self.assertEqual(self.ask(daemon, "few-key", '{"n":4}').status, 200)
            over = self.ask(daemon, "few-key", '{"n":2}')
            self.assertEqual((over.status, over.json()["limit"]), (429, 5))
            self.assertEqual(self.ask(daemon, "few-key").status, 200)
            self.assertEqual(self.ask(daemon, "few-key").status, 429)

    def test_hangup_reads_keys_again(self):
        with Daemon("--keys", self.path) as daemon:
            self.write(key_line("bob", "new-key"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("loaded in", count=2)
            self.assertEqual(self.ask(daemon, "new-key").status, 200)
            self.assertEqual(self.ask(daemon, "open sesame").status, 401)
            self.write("not a key\n")
            daemon.signal(signal.SIGHUP)
            self.assertIn("keys:1", daemon.wait_line("keys:1"))
            daemon.wait_line("stays as it was")
            self.assertEqual(self.ask(daemon, "new-key").status, 200)

    def test_bad_files_are_refused_at_start(self):
        for text, word in [("", "no key"), ("alice\n", "SHA-256"), ("a b\n", "SHA-256"),
                           (key_line("a", "x") + key_line("a", "y"), ":2"),
                           (key_line("a", "x", "rate=0"), "rate="),
                           (key_line("a", "x", "images=-1"), "images="),
                           (key_line("a", "x", "admin"), "admin")]:
            self.write(text)
            result = run(PFGMD, "--model", DIGITS, "--listen", "127.0.0.1:0", "--keys", self.path)
            self.assertEqual(result.returncode, 2, text)
            self.assertIn(word.encode(), result.stderr)
            check = run(PFGMD, "--model", DIGITS, "--keys", self.path, "--check-config")
            self.assertEqual(check.returncode, 2, text)


class Origins(unittest.TestCase):
    PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization"}

    def test_off_unless_configured(self):
        with Daemon() as daemon:
            answer = daemon.request("OPTIONS", "/v1/images", headers=self.PREFLIGHT)
            self.assertEqual(answer.status, 204)
            for name in answer.headers:
                self.assertNotIn("Access-Control", name)

    def test_preflight_needs_no_key_llama_cpp_6544(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            with open(keys, "w", encoding="ascii") as f:
                f.write(key_line("a", "k"))
            with Daemon("--keys", keys, "--cors-origins",
                        "https://a.example https://b.example") as daemon:
                answer = daemon.request("OPTIONS", "/v1/images", headers=self.PREFLIGHT)
                self.assertEqual(answer.status, 204)
                self.assertEqual(answer.headers["Access-Control-Allow-Origin"],
                                 "https://a.example")
                self.assertIn("POST", answer.headers["Access-Control-Allow-Methods"])
                self.assertIn("Authorization", answer.headers["Access-Control-Allow-Headers"])
                refused = daemon.request("POST", "/v1/images", "{}", {"Origin": "https://b.example"})
                self.assertEqual(refused.status, 401)
                self.assertEqual(refused.headers["Access-Control-Allow-Origin"],
                                 "https://b.example")
                self.assertIn("Origin", refused.headers.get_all("Vary"))
                for origin in ["https://c.example", "https://a.example.evil", "https://a", "null"]:
                    answer = daemon.get("/livez", {"Origin": origin})
                    self.assertNotIn("Access-Control-Allow-Origin", answer.headers)
                for early in [{"Expect": "much"}, {"Transfer-Encoding": "gzip"}, {"Host": "elsewhere"}]:
                    answer = daemon.request("POST", "/v1/images", None, {"Origin": "https://a.example", **early})
                    self.assertIn(answer.status, [417, 421, 501])
                    self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://a.example", early)
        with Daemon("--cors-origins", "*") as daemon:
            answer = daemon.get("/livez", {"Origin": "https://c.example"})
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")


    def test_pages_may_send_what_is_read_and_read_what_is_sent(self):
        """Every field that judging a head looks at and that clients for browsers send, but those that browsers write
        themselves or let through; every field of answers, but those that are for browsers and proxies."""
        root = pathlib.Path(__file__).resolve().parents[2]
        browsers = {"accept", "access-control-request-method", "content-encoding", "host", "origin", "referer", "sec-fetch-dest",
                    "sec-fetch-site"}
        source = (root / "src/http/server/http_head.c").read_text()
        read = set(re.findall(r'http_field_(?:find|join)\(\s*head->fields,\s*head->count,\s*"([^"]+)"', source))
        self.assertGreater(len(read), 12)
        sent = {name for path in ("clients/js/index.js", "src/http/api/page/server.js", "src/http/api/page/jobs.js")
                for name in re.findall(r'"?\b([A-Z][A-Za-z]*(?:-[A-Za-z]+)*)"?: ', (root / path).read_text())
                if name in ("Accept", "Authorization", "Prefer") or "-" in name}
        self.assertLessEqual({"If-Match", "Prefer", "Last-Event-ID", "Authorization"}, sent)
        answers = {name for path in root.glob("src/http/**/*.c")
                   for name in re.findall(r'http_reply_header\(\s*[^,;]+,\s*"([^"]+)"', path.read_text())}
        own = {"allow", "cache-control", "connection", "content-security-policy", "content-type", "referrer-policy", "vary",
               "www-authenticate", "x-accel-buffering", "x-content-type-options"}
        with Daemon("--cors-origins", "https://a.example") as daemon:
            preflight = daemon.request("OPTIONS", "/v1/images", headers=self.PREFLIGHT)
            answer = daemon.get("/livez", {"Origin": "https://a.example"})

        def listed(text):
            return {name.lower() for name in text.split(", ")}
        self.assertEqual({name.lower() for name in read | sent} - browsers,
                         listed(preflight.headers["Access-Control-Allow-Headers"]))
        self.assertEqual({name.lower() for name in answers if not name.startswith("Access-Control-")} - own,
                         listed(answer.headers["Access-Control-Expose-Headers"]))


class Https(unittest.TestCase):
    def get(self, daemon, name, path="/livez", body=None):
        context = ssl.create_default_context(cafile=os.path.join(TLS, name + ".crt"))
        connection = http.client.HTTPSConnection("127.0.0.1", daemon.port, context=context,
                                                 timeout=120)
        try:
            connection.request("POST" if body else "GET", path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def test_certificates_and_their_exchange(self):
        with tempfile.TemporaryDirectory() as folder:
            names = {kind: os.path.join(folder, "server." + kind) for kind in ("crt", "key")}

            def install(crt, key):
                for kind, name in (("crt", crt), ("key", key)):
                    with open(os.path.join(TLS, f"{name}.{kind}"), "rb") as f, \
                            open(names[kind], "wb") as out:
                        out.write(f.read())
            install("first", "first")
            with Daemon("--tls-certificate", names["crt"], "--tls-key", names["key"], "--idle-timeout", "600") as daemon:
                self.assertEqual(self.get(daemon, "first")[0], 200)
                status, png = self.get(daemon, "first", "/v1/images?format=zip", '{"n":3}')
                self.assertEqual((status, png[:2]), (200, b"PK"))
                with self.assertRaises(ssl.SSLError):
                    self.get(daemon, "second")
                with daemon.connect() as s:
                    s.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    self.assertNotIn(b"200", s.recv(1000))
                context = ssl.create_default_context(cafile=os.path.join(TLS, "first.crt"))
                kept = http.client.HTTPSConnection("127.0.0.1", daemon.port, context=context)
                kept.request("GET", "/livez")
                self.assertEqual(kept.getresponse().read(), b'{"status":"alive"}\n')
                for round in range(2):
                    install("second", "second")
                    daemon.signal(signal.SIGHUP)
                    daemon.wait_line("loaded in", count=2 + round)
                    self.assertEqual(self.get(daemon, "second")[0], 200)
                    kept.request("GET", "/livez")
                    self.assertEqual(kept.getresponse().read(), b'{"status":"alive"}\n')
                    install("first", "second")  # which do not belong together
                    daemon.signal(signal.SIGHUP)
                    daemon.wait_line("belong together", count=1 + round)
                    daemon.wait_line("stays as it was", count=1 + round)
                    self.assertEqual(self.get(daemon, "second")[0], 200)
                kept.close()
            self.assertEqual(daemon.process.returncode, 0)

    def test_half_a_pair_is_refused(self):
        result = run(PFGMD, "--model", DIGITS, "--tls-key", os.path.join(TLS, "first.key"))
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"tls_certificate", result.stderr)


class AdminSocket(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "admin.sock")
        self.admin = Admin(self.path)

    def tearDown(self):
        self.folder.cleanup()

    def test_only_there(self):
        with Daemon("--admin", self.path) as daemon:
            self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)
            for path in ["/debug/slots", "/admin/v1/drain"]:
                self.assertEqual(daemon.get(path).status, 404)
            self.assertEqual(self.admin.request("GET", "/livez")[0], 200)
            self.assertIn(b"pfgmd_slots", self.admin.request("GET", "/metrics")[1])
            self.assertEqual(self.admin.request("GET", "/v1/models")[0], 404)
            status, o = self.admin.request("GET", "/debug/slots")
            self.assertEqual((status, o["live"]), (200, []))
            self.assertEqual(self.admin.request("PUT", "/admin/v1/log-level",
                                                {"level": "error"})[0], 200)
            daemon.get("/livez?after-the-change")
            self.assertEqual(self.admin.request("PUT", "/admin/v1/log-level",
                                                {"level": "loud"})[0], 422)
            self.assertEqual(self.admin.request("POST", "/admin/v1/models/x/reload")[0], 404)
        self.assertFalse([line for line in daemon.lines if "after-the-change" in line])
        self.assertFalse(os.path.exists(self.path))

    def test_slots_show_live_images(self):
        with Daemon("--workers", "1", "--batch", "2", "--admin", self.path) as daemon:
            s = daemon.begin_images({"n": 3, "seed": 5, "label": "x", "solver": ENDLESS})
            daemon.wait_work(2, 1)
            o = self.admin.request("GET", "/debug/slots")[1]
            self.assertEqual((o["busy"], o["queued_images"], o["workers_busy"]), (2, 1, 1))
            self.assertEqual({v["index"] for v in o["live"]}, {"0", "1"})
            self.assertEqual({v["seed"] for v in o["live"]}, {"5"})
            s.close()

    def test_all_slots_are_shown(self):
        with Daemon("--workers", "5", "--batch", "64", "--admin", self.path) as daemon, contextlib.ExitStack() as stack:
            for seed in range(6):
                stack.enter_context(daemon.begin_images({"n": 64, "seed": seed, "solver": ENDLESS}))

            def all_are_shown():  # one may come to its slot between the count and the list
                o = self.admin.request("GET", "/debug/slots")[1]
                return o["busy"] > 256 and len({(v["seed"], v["index"]) for v in o["live"]}) == o["busy"]
            wait_until(all_are_shown, "more than 256 images are live, and all of them are shown")

    def test_drain(self):
        with Daemon("--admin", self.path) as daemon:
            self.assertEqual(self.admin.request("POST", "/admin/v1/drain")[0], 202)
            self.assertEqual(daemon.wait(), 0)

    def test_leftovers_and_rivals(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path)
        with Daemon("--admin", self.path):
            second = run(PFGMD, "--model", DIGITS, "--listen", "127.0.0.1:0", "--admin", self.path)
            self.assertEqual(second.returncode, 1)
            self.assertIn(b"another process", second.stderr)
            self.assertEqual(self.admin.request("GET", "/livez")[0], 200)


class Addresses(unittest.TestCase):
    @staticmethod
    def wait_connections(daemon, count):
        """Until so many are open, that of the question included."""
        daemon.wait_metrics(lambda m: m.value("pfgmd_http_connections") == count, f"{count} connections")

    def test_limits_of_connections(self):
        with Daemon("--connections-per-address", "4") as daemon:
            idle = [daemon.connect() for _ in range(4)]
            self.wait_connections(daemon, 5)
            refused = daemon.images({})
            self.assertEqual((refused.status, refused.json()["code"]), (429, "quota_exceeded"))
            self.assertEqual(refused.headers["Connection"], "close")
            self.assertEqual(daemon.get("/livez").status, 200)
            for s in idle:
                s.close()
            self.wait_connections(daemon, 1)
            wait_until(lambda: daemon.images({}).status == 200, "work for who has few connections")
        with Daemon("--connections", "64") as daemon:
            idle = [daemon.connect() for _ in range(60)]
            self.wait_connections(daemon, 61)
            refused = daemon.images({})
            self.assertEqual((refused.status, refused.json()["code"]), (503, "queue_full"))
            self.assertEqual(daemon.get("/readyz").status, 200)
            for s in idle:
                s.close()


if __name__ == "__main__":
    unittest.main()
