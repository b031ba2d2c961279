"""Starts pfgmd on a free port and talks to it; always stops what it started."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

PFGMD = os.environ["PFGMD"]
PFGM = os.environ["PFGM"]
MODELS = os.environ["MODELS"]
SANITIZER = os.environ.get("SANITIZER", "none")  # builds with one are many times slower
DIGITS = os.path.join(MODELS, "digits8.safetensors")
FASHION = os.path.join(MODELS, "fashion28.safetensors")


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


class Daemon:
    """One pfgmd. `lines` holds what it wrote to standard error so far."""

    def __init__(self, *args, model=DIGITS, ready=True, host="127.0.0.1", command=(),
                 env=None):
        models = [] if model is None else ["--model", model]
        listen = f"[{host}]:0" if ":" in host else f"{host}:0"
        self.host = host
        self.lines = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            [*command, PFGMD, *models, "--listen", listen, *args],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            env=None if env is None else {**os.environ, **env})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            line = self.wait_line("listening on ")
            self.port = int(line.rsplit(":", 1)[1].rstrip('"}'))  # in JSON too
            if ready:
                self.wait_line(" info ready")
        except BaseException:
            self.stop()
            raise

    def _read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def wait_line(self, text, timeout=60, count=1):
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                found = [line for line in self.lines if text in line]
                if len(found) >= count:
                    return found[count - 1]
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self.reader.is_alive()):
                    raise AssertionError(f"no line with {text!r} in {self.lines}")
                self.changed.wait(min(left, 0.2))

    def connect(self, timeout=60):
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=120):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def images(self, body, accept=None, query="", timeout=120):
        headers = {"Content-Type": "application/json"}
        if accept is not None:
            headers["Accept"] = accept
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        return self.request("POST", "/v1/images" + query, body, headers, timeout)

    def begin_images(self, body):
        """Sends a request and returns its socket without waiting for the answer."""
        text = json.dumps(body).encode()
        s = self.connect()
        s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(text)
                  + text)
        return s

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        code = self.process.wait(timeout)
        self.reader.join(10)
        return code

    def stop(self):
        """Ends it; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(10)
        self.process.stderr.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.check_sanitizers()  # also after a failure, which may have come from there

    def check_sanitizers(self):
        """In builds with sanitizers their reports stand among the lines."""
        bad = [line for line in self.lines if "Sanitizer" in line or "runtime error" in line]
        assert not bad, "\n".join(self.lines)


def long_work(daemon, seconds, **fields):
    """A request body that keeps one image busy for about that long on this machine and build."""
    steps = 100
    while True:
        solver = {"method": "euler", "steps": steps, "max_nfe": 10_000_000}
        answer = daemon.images({"seed": 1, "solver": solver})
        assert answer.status == 200, answer.body
        compute = answer.json()["timings"]["compute_ms"] / 1000
        if compute > 0.1 or steps >= 100_000:
            break
        steps *= 4
    steps = max(1, min(100_000, int(steps * seconds / compute)))
    return {"seed": 1, **fields,
            "solver": {"method": "euler", "steps": steps, "max_nfe": 10_000_000}}


def run(*args, timeout=120, env=None):
    return subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                          env=env)


class SharedDaemon(unittest.TestCase):
    """Tests that share one daemon, which must be the same process and still answer at the end."""

    ARGS = ()

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(*cls.ARGS)
        cls.reference = cls.daemon.images({"seed": 11}).json()["images"][0]["sha256"]

    @classmethod
    def tearDownClass(cls):
        code = cls.daemon.stop()
        cls.daemon.check_sanitizers()
        assert code == 0, f"pfgmd ended with {code}: {cls.daemon.lines[-20:]}"

    def tearDown(self):
        self.assertIsNone(self.daemon.process.poll(), self.daemon.lines[-20:])
        self.assertEqual(self.daemon.get("/livez").status, 200)
        again = self.daemon.images({"seed": 11}).json()["images"][0]["sha256"]
        self.assertEqual(again, self.reference)
