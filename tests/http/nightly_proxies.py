"""The proxies' configurations in conf/, each in front of a daemon: bytes, links, addresses, events, bodies, departures.

Needs nginx, haproxy and caddy, which conf/deps.sh nightly installs. Only ports, certificate and folders are changed in the
files, and HAProxy's user.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import unittest

from harness import DIGITS, ENDLESS, Daemon, free_ports, wait_until
from test_haproxy import replaced

NAME = "images.example"
TLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls")
CLIENT = "127.0.0.2"  # so that the log can tell the client from the proxy


class Proxy:
    """The body of a test for one proxy. `command` writes its files into a folder and returns what starts it."""

    config = None

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = stack.enter_context(tempfile.TemporaryDirectory())
        os.chmod(self.folder, 0o755)
        self.port, = free_ports(1)
        self.daemon = stack.enter_context(Daemon("--public-url", f"https://{NAME}:{self.port}", "--trusted-proxies",
                                                 "127.0.0.1", "--workers", "1", model=DIGITS))
        with open(os.path.join(os.environ["CONF"], self.config), encoding="utf-8") as f:
            text = replaced(f.read(), ("127.0.0.1:8080", f"127.0.0.1:{self.daemon.port}"))
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command(text), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(self.end)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        wait_until(self.answers, "the proxy")

    def end(self):
        self.process.terminate()
        self.process.wait()

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def answers(self):
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8") as f:
                self.fail(f"the proxy ended: {f.read()}")
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    @contextlib.contextmanager
    def asked(self, method, path, body=None, headers=None):
        connection = http.client.HTTPSConnection(NAME, self.port)
        plain = socket.create_connection(("127.0.0.1", self.port), source_address=(CLIENT, 0))
        connection.sock = self.tls.wrap_socket(plain, server_hostname=NAME)
        try:
            connection.request(method, path, body, headers or {})
            yield connection.getresponse()
        finally:
            connection.close()

    def ask(self, *args):
        with self.asked(*args) as answer:
            return answer.status, answer.read()

    def test_bytes_and_links(self):
        body = json.dumps({"n": 2, "seed": 7})
        status, answer = self.ask("POST", "/v1/images", body)
        self.assertEqual(status, 200, answer)
        straight = self.daemon.images({"n": 2, "seed": 7}).json()
        self.assertEqual([i["sha256"] for i in json.loads(answer)["images"]], [i["sha256"] for i in straight["images"]])
        status, answer = self.ask("POST", "/v1/images/generations", json.dumps(
            {"prompt": "", "seed": 7, "response_format": "url"}))
        link = json.loads(answer)["data"][0]["url"]
        self.assertTrue(link.startswith(f"https://{NAME}:{self.port}/v1/images/7/0?"), link)
        self.assertEqual(self.ask("GET", link.partition(str(self.port))[2])[1][:4], b"\x89PNG")

    def test_the_address_is_the_clients_whatever_it_says(self):
        for i, forged in enumerate(({}, {"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1;host=evil.example"},
                                    {"Forwarded": "for=192.0.2.1", "X-Forwarded-For": "127.0.0.1, 192.0.2.2"},
                                    {"X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil.example"})):
            status, _ = self.ask("GET", "/v1/models", None, {"X-Request-Id": f"asked-{i}", **forged})
            self.assertEqual(status, 200, forged)
            self.assertIn(f"address={CLIENT}", self.daemon.wait_line(f"asked-{i} "))

    def test_events_are_not_buffered_and_who_leaves_takes_the_work_along(self):
        for accept in ("text/event-stream", "application/json"):
            with contextlib.ExitStack() as stack:
                body = json.dumps({"seed": 1, "solver": ENDLESS})
                if accept == "text/event-stream":
                    answer = stack.enter_context(self.asked("POST", "/v1/images", body, {"Accept": accept}))
                    line = answer.readline()
                    while not line.startswith(b"event: progress"):
                        self.assertTrue(line, "the stream has ended")
                        line = answer.readline()
                else:  # nothing comes before the end
                    plain = socket.create_connection(("127.0.0.1", self.port))
                    s = stack.enter_context(self.tls.wrap_socket(plain, server_hostname=NAME))
                    s.sendall(f"POST /v1/images HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                self.daemon.wait_work(1)
            self.daemon.wait_work(0)
        self.assertEqual(self.daemon.metrics().value("pfgmd_cancellations_total", cause="client"), 2)

    def test_a_large_body_arrives(self):
        status, answer = self.ask("POST", "/v1/encode", b"x" * (60 << 20), {"Content-Type": "application/x-npy"})
        self.assertEqual(json.loads(answer).get("code"), "invalid_parameter", (status, answer))

    def test_an_archive_arrives_whole(self):
        status, answer = self.ask("POST", "/v1/images?format=tar", json.dumps({"n": 64, "seed": 1}))
        self.assertEqual(status, 200)
        self.assertIn(b"manifest.json", answer)


class Nginx(Proxy, unittest.TestCase):
    config = "nginx.conf"

    def command(self, text):
        text = replaced(text, ("listen 443", f"listen 127.0.0.1:{self.port}"),
                        ("/etc/ssl/pfgmd/tls.crt", f"{TLS}/first.crt"), ("/etc/ssl/pfgmd/tls.key", f"{TLS}/first.key"))
        places = "".join(f"{name}_temp_path {self.folder}/{name};" for name in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return ["nginx", "-g", "daemon off;", "-c", self.write("nginx.conf", f"pid {self.folder}/pid; error_log stderr; "
                f"events {{}} http {{ access_log off; {places} {text} }}")]


class Haproxy(Proxy, unittest.TestCase):
    config = "haproxy.cfg"

    def command(self, text):
        pem = ""
        for name in ("first.crt", "first.key"):
            with open(os.path.join(TLS, name), encoding="utf-8") as f:
                pem += f.read()
        return ["haproxy", "-db", "-f", self.write("haproxy.cfg", replaced(
            text, ("bind :443", f"bind 127.0.0.1:{self.port}"), ("/etc/ssl/pfgmd/tls.pem", self.write("tls.pem", pem)),
            ("    user haproxy\n    group haproxy\n", "")))]


class Caddy(Proxy, unittest.TestCase):
    config = "Caddyfile"

    def command(self, text):
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = self.folder
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.write("Caddyfile", replaced(
            text, (f"\n{NAME} {{", f"\n{{\n\tadmin off\n\tauto_https off\n}}\nhttps://{NAME}:{self.port} {{\n\tbind 127.0.0.1\n"
                                   f"\ttls {TLS}/first.crt {TLS}/first.key")))]


if __name__ == "__main__":
    unittest.main(verbosity=2)
