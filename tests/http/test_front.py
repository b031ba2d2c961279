"""Who may ask from where: pages of other origins, foreign names of a daemon on loopback, and what a proxy in front says."""

import base64
import http.client
import json
import os
import re
import socket
import tempfile
import unittest

from harness import DIGITS, ENDLESS, PATIENCE, PFGMD, Daemon, has_ipv6, SharedDaemon, run, wait_until
from test_security import Admin, bearer, key_line

OPENAI = "/v1/images/generations"


class ForeignPages(SharedDaemon):
    def post(self, headers, path="/v1/images", body="{}"):
        answer = self.daemon.request("POST", path, body, headers)
        return answer.status, answer.json().get("code", answer.json().get("error", {}).get("code"))

    def test_a_foreign_page_cannot_post_work(self):
        """fetch(…, {mode: "no-cors", body: new Blob(…)}) sends no Content-Type, and no browser asks first."""
        own = f"http://{self.daemon.host}:{self.daemon.port}"
        for headers in [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
                        {"Origin": "http://127.0.0.1:1"}, {"Origin": own, "Sec-Fetch-Site": "same-site"},
                        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}]:
            for path in ["/v1/images", OPENAI, "/v1/decode", "/v2/models/digits8/infer"]:
                answer = self.daemon.request("POST", path, "{}", headers)
                self.assertEqual(answer.status, 403, (headers, path, answer.body))
        self.assertEqual(self.post({"Origin": "https://evil.example"}), (403, "forbidden"))

    def test_a_foreign_page_cannot_have_images_made(self):
        """<img src="http://localhost:8080/v1/images/1/2?steps=…"> on any page asks without asking first."""
        path, site = "/v1/images/1/2?method=euler&steps=2", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}
        hosts = [f"{name}:{self.daemon.port}" for name in ("localhost", "127.0.0.1", "[::1]", "a.localhost", "127.1.2.3", "0.0.0.0")]
        for method in ("GET", "HEAD"):
            for host in hosts:
                answer = self.daemon.request(method, path, headers={**site, "Host": host, "Referer": "https://evil.example/x"})
                self.assertEqual((answer.status, answer.headers["Connection"]), (403, "close"), (method, host))
        self.assertEqual(self.daemon.get(path, {"Origin": "https://evil.example"}).status, 403)
        own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}
        for headers in [{}, own, {**own, "Sec-Fetch-Site": "same-site"}, {**own, "Sec-Fetch-Site": "none"},
                        {**site, "Sec-Fetch-Dest": "document"}, {**site, "Host": "192.0.2.7:80"}]:
            self.assertEqual(self.daemon.get(path, headers).status, 200, headers)
        self.assertEqual(self.daemon.get("/v1/models", site).status, 200)  # is no work, and the page cannot read it

    def test_images_may_stand_on_pages_that_are_meant(self):
        path, site = "/v1/images/1/2?method=euler&steps=2", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}
        with Daemon("--cors-origins", "https://a.example", "--hosts", "images.example") as daemon:
            for referer, status in [("https://a.example/page?x", 200), ("https://a.example", 200), ("https://b.example/", 403),
                                    ("https://a.example.evil/", 403), ("x", 403)]:
                self.assertEqual(daemon.get(path, {**site, "Referer": referer}).status, status, referer)
            self.assertEqual(daemon.get(path, {**site, "Host": "images.example"}).status, 200)
        with Daemon("--cors-origins", "*") as daemon:
            self.assertEqual(daemon.get(path, site).status, 200)
        with Daemon("--public-url", "https://images.example") as daemon:
            self.assertEqual(daemon.get(path, site).status, 200)
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
            keys.write(key_line("alice", "sesame"))
            keys.flush()
            with Daemon("--keys", keys.name) as daemon:
                made = daemon.request("POST", "/v1/images", json.dumps({"seed": 1}), bearer("sesame")).json()
                link = made["images"][0]["url"]
                self.assertEqual(daemon.get(link, site).status, 200)
                self.assertEqual(daemon.get(path, site).status, 401)

    def test_who_is_no_foreign_page_may(self):
        own = f"http://{self.daemon.host}:{self.daemon.port}"
        for headers in [{}, {"Origin": own}, {"Origin": own, "Sec-Fetch-Site": "same-origin"},
                        {"Sec-Fetch-Site": "none"}, {"Content-Type": "application/json"},
                        {"Content-Type": "application/json", "Origin": "https://other.example"}]:
            self.assertEqual(self.post(headers)[0], 200, headers)

    def test_a_foreign_name_is_not_answered(self):
        """DNS rebinding: a page of evil.example whose address has become 127.0.0.1 is of the same origin then."""
        evil = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin",
                "Content-Type": "application/json"}
        self.assertEqual(self.post(evil), (421, "misdirected_request"))
        for path in ["/", "/livez", "/metrics", "/v1/models", "/nowhere", "/v2"]:
            answer = self.daemon.get(path, {"Host": "evil.example:80"})
            self.assertEqual(answer.status, 421, path)
            self.assertEqual(answer.headers["Connection"], "close")
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "192.0.2.7:80", "[::1]:8080", "a.localhost", "localhost. ",
                     "localhost \t "]:
            self.assertEqual(self.daemon.get("/livez", {"Host": host}).status, 200, host)
        with self.daemon.connect() as s:
            s.sendall(b"GET /livez HTTP/1.0\r\n\r\n")  # no browser's
            self.assertRegex(s.recv(100), rb"^HTTP/1\.[01] 200 ")

    def test_421_is_counted(self):
        self.daemon.get("/livez", {"Host": "evil.example"})
        self.daemon.wait_metrics(
            lambda m: m.value("pfgmd_requests_rejected_total", reason="misdirected_request") >= 1, "a refusal")


class Names(unittest.TestCase):
    def test_configured_names(self):
        with Daemon("--hosts", "images.example other", "--public-url", "https://pub.example/pfgm") as daemon:
            for host in ["images.example", "Other:81", "pub.example", "localhost"]:
                self.assertEqual(daemon.get("/livez", {"Host": host}).status, 200, host)
            self.assertEqual(daemon.get("/livez", {"Host": "x.images.example"}).status, 421)
            own = daemon.request("POST", "/v1/images", "{}", {"Origin": "https://pub.example"})
            self.assertEqual(own.status, 200)

    def test_what_others_reach_takes_any_name(self):
        """Probes and services name a container as they like; a list makes it strict there too."""
        with Daemon(host="0.0.0.0") as daemon:
            daemon.host = "127.0.0.1"
            self.assertEqual(daemon.get("/readyz", {"Host": "pfgmd.default.svc:8080"}).status, 200)
        with Daemon("--hosts", "images.example", host="0.0.0.0") as daemon:
            daemon.host = "127.0.0.1"
            self.assertEqual(daemon.get("/readyz", {"Host": "evil.example"}).status, 421)
            self.assertEqual(daemon.get("/readyz", {"Host": "10.2.3.4:8080"}).status, 200)  # a probe by address

    def test_ipv6_and_the_admin_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "admin.sock")
            with Daemon("--admin", path, host="::1" if has_ipv6() else "127.0.0.1") as daemon:
                self.assertEqual(daemon.get("/livez").status, 200)
                self.assertEqual(daemon.get("/livez", {"Host": "evil.example"}).status, 421)
                self.assertEqual(Admin(path).request("GET", "/livez")[0], 200)
                connection = http.client.HTTPConnection("any.name")
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(path)
                connection.request("GET", "/livez")
                self.assertEqual(connection.getresponse().status, 200)
                connection.close()

    def test_bad_settings_are_refused(self):
        for flag, value in [("--public-url", "images.example"), ("--hosts", "a:80"), ("--trusted-proxies", "proxy")]:
            for last in ["--check-config", "--listen=127.0.0.1:0"]:
                result = run(PFGMD, "--model", DIGITS, flag, value, last)
                self.assertEqual(result.returncode, 2, (flag, last))
                self.assertIn(flag[2:].replace("-", "_").encode(), result.stderr)
        good = run(PFGMD, "--model", DIGITS, "--check-config",
                   env={**os.environ, "PFGMD_PUBLIC_URL": "https://a.example/x", "PFGMD_HOSTS": "a b",
                        "PFGMD_TRUSTED_PROXIES": "10.0.0.0/8 ::1"})
        self.assertEqual(good.returncode, 0, good.stderr)


class Proxies(unittest.TestCase):
    def url(self, daemon, headers=None):
        answer = daemon.request("POST", OPENAI, json.dumps({"response_format": "url", "seed": 7}), headers or {})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()["data"][0]["url"]

    def test_public_url(self):
        """Links lead to where clients reach the server, with the prefix, and are good here as well."""
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            with open(keys, "w", encoding="ascii") as f:
                f.write(key_line("alice", "sesame"))
            with Daemon("--public-url", "https://pub.example/pfgm/", "--keys", keys) as daemon:
                key = bearer("sesame")
                self.assertTrue(self.url(daemon, key).startswith("https://pub.example/pfgm/v1/images/7/0?"))
                image = daemon.request("POST", "/v1/images", '{"seed":7}', key).json()["images"][0]
                self.assertTrue(image["url"].startswith("/pfgm/v1/images/7/0?"))
                png = base64.b64decode(image["b64"])
                self.assertEqual(daemon.get(image["url"]).body, png)  # a proxy that leaves the prefix
                self.assertEqual(daemon.get(image["url"][len("/pfgm"):]).body, png)  # one that cuts it
                location = daemon.request("POST", "/v1/images", '{"seed":7}', {**key, "Accept": "image/png"})
                self.assertTrue(location.headers["Content-Location"].startswith("/pfgm/v1/"))

    def test_a_trusted_proxy_is_believed(self):
        said = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "images.example", "X-Forwarded-Prefix": "/p"}
        with Daemon("--trusted-proxies", "127.0.0.1") as daemon:
            self.assertTrue(self.url(daemon, said).startswith("https://images.example/p/v1/images/7/0?"))
            self.assertIn("address=203.0.113.9 ", daemon.wait_line("address=203") + " ")
            standard = {"Forwarded": 'for=6.6.6.6, for="[2001:db8::9]:4711";proto=https;host="images.example:8443"'}
            self.assertTrue(self.url(daemon, standard).startswith("https://images.example:8443/v1/"))
            daemon.wait_line("address=2001:db8::9")
            both = daemon.get("/livez", {"Forwarded": "for=6.6.6.6", "X-Forwarded-For": "203.0.113.9"})
            self.assertEqual((both.status, both.json()["code"]), (400, "bad_request"))
            own = daemon.request("POST", "/v1/images", "{}", {**said, "Origin": "https://images.example"})
            self.assertEqual(own.status, 200)
            foreign = daemon.request("POST", "/v1/images", "{}", {**said, "Origin": "https://evil.example"})
            self.assertEqual(foreign.status, 403)
        with Daemon() as daemon:
            self.assertTrue(self.url(daemon, said).startswith(f"http://127.0.0.1:{daemon.port}/v1/"))
            self.assertEqual(daemon.get("/version", said).status, 200)
            daemon.wait_line("/version")
            self.assertFalse([line for line in daemon.lines if "203.0.113.9" in line or "6.6.6.6" in line])

    def test_the_address_of_a_client_ends_with_its_request(self):
        """Proxies send the requests of all clients, and their own, on the same connection."""
        with Daemon("--trusted-proxies", "127.0.0.1") as daemon:
            connection = http.client.HTTPConnection(daemon.host, daemon.port, timeout=PATIENCE)
            for said, address in [({"X-Forwarded-For": "203.0.113.7"}, "203.0.113.7"), ({}, "127.0.0.1"),
                                  ({"X-Forwarded-For": "203.0.113.8"}, "203.0.113.8"),
                                  ({"X-Forwarded-For": "unknown"}, "127.0.0.1"),
                                  ({"X-Forwarded-For": "203.0.113.9"}, "203.0.113.9"),
                                  ({"X-Forwarded-For": '"'}, "127.0.0.1")]:
                connection.request("GET", "/version", headers=said)
                answer = connection.getresponse()
                answer.read()
                self.assertRegex(daemon.wait_line(answer.headers["X-Request-Id"]), rf"address={re.escape(address)}$")
            connection.close()

    def test_clients_behind_a_proxy_are_counted_apart(self):
        with Daemon("--trusted-proxies", "127.0.0.0/8", "--connections-per-address", "2") as daemon:
            body = json.dumps({"solver": ENDLESS}).encode()
            head = b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.5\r\nContent-Length: %d\r\n\r\n"
            held = [daemon.connect() for _ in range(2)]
            for s in held:
                s.sendall(head % len(body) + body)
            daemon.wait_work(2)
            one = daemon.request("POST", "/v1/images", "{}", {"X-Forwarded-For": "203.0.113.5"})
            self.assertEqual(one.status, 429)
            other = daemon.request("POST", "/v1/images", "{}", {"X-Forwarded-For": "203.0.113.6"})
            self.assertEqual(other.status, 200)
            for s in held:
                s.close()

    def test_a_connection_that_a_proxy_keeps_is_not_its_last_clients(self):
        with Daemon("--trusted-proxies", "127.0.0.0/8", "--connections-per-address", "2", "--idle-timeout", "600") as daemon:
            client, idle = {"X-Forwarded-For": "203.0.113.5"}, []
            for _ in range(4):
                connection = http.client.HTTPConnection(daemon.host, daemon.port, timeout=PATIENCE)
                connection.request("GET", "/livez", headers=client)
                connection.getresponse().read()
                idle.append(connection)
            wait_until(lambda: daemon.request("POST", "/v1/images", "{}", client).status == 200, "none of them is the client's")
            for connection in idle:
                connection.close()


if __name__ == "__main__":
    unittest.main()
