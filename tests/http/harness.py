"""Starts pfgmd on a free port and talks to it; always stops what it started."""

import contextlib
import http.client
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import threading
import time
import unittest

from prometheus_text import Metrics

PFGMD = os.environ["PFGMD"]
PFGM = os.environ.get("PFGM")  # None under the thread sanitizer
MODELS = os.environ["MODELS"]
SANITIZER = os.environ.get("SANITIZER", "none")  # builds with one are many times slower
DIGITS = os.path.join(MODELS, "digits8.safetensors")
FASHION = os.path.join(MODELS, "fashion28.safetensors")
# Machines that run tests are busy with other things, and stand still for a while now and then. So a test waits for a state,
# never for a time; and where something must happen at once, it may take this many seconds, of which it needs a fraction:
# what it is told from takes longer, or never comes.
LATE = {"none": 25.0, "address": 30.0}.get(SANITIZER, 40.0)
PATIENCE = 120.0 if SANITIZER == "none" else 300.0  # seconds after which a state that is waited for will not come any more
# A solver that works on one image for longer than any test lasts: tests end it by leaving.
ENDLESS = {"method": "heun", "steps": 100_000, "max_nfe": 10_000_000}


def wait_until(condition, what, timeout=PATIENCE):
    """The condition's value, once it is true. There is a last look behind the time: this process may have stood still."""
    end, last = time.monotonic() + timeout, False
    while not (value := condition()):
        assert not last, f"waited {timeout:.0f} s in vain: {what}"
        time.sleep(0.02)
        last = time.monotonic() >= end
    return value


def growing(seconds, what):
    """Lengths of work for a test in which some must still run at a certain moment. Where that moment was missed, as this
    process was kept waiting, the test is tried again with the next one, four times as long."""
    for k in range(3):
        yield seconds * 4 ** k
    raise AssertionError(f"missed each time: {what}")


def answered(*sockets):
    """Whether one of them has something to read."""
    return bool(select.select(sockets, [], [], 0)[0])


def body_of(response):
    """The whole body, or IncompleteRead. In pieces: read() sets aside at once what a head promises, were it gigabytes."""
    pieces = []
    while piece := response.read(1 << 16):
        pieces.append(piece)
    if response.length:
        raise http.client.IncompleteRead(b"".join(pieces), response.length)
    return b"".join(pieces)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = body_of(response)

    def json(self):
        return json.loads(self.body)


class Daemon:
    """One pfgmd. `lines` holds what it wrote to standard error so far."""

    def __init__(self, *args, model=DIGITS, ready=True, host="127.0.0.1", port=0, command=(),
                 env=None):
        models = [] if model is None else ["--model", model]
        listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.host = host
        self.lines = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            [*command, PFGMD, *models, "--listen", listen, *args],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
            env={"PFGMD_NFE_MAX": str(ENDLESS["max_nfe"]), **os.environ, **(env or {})})
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

    def wait_line(self, text, timeout=PATIENCE, count=1):
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                left = end - time.monotonic()
                found = [line for line in self.lines if text in line]
                if len(found) >= count:
                    return found[count - 1]
                if left <= 0 or (self.process.poll() is not None and not self.reader.is_alive()):
                    raise AssertionError(f"no line with {text!r} in {self.lines}")
                self.changed.wait(min(left, 0.2))

    def metrics(self):
        answer = self.get("/metrics")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return Metrics(answer.body)

    def wait_metrics(self, condition, what):
        """The first metrics for which the condition holds."""
        def look():
            m = self.metrics()
            return m if condition(m) else None
        return wait_until(look, what)

    def wait_work(self, live, waiting=0):
        """Until so many images are in a slot and so many wait for one."""
        return self.wait_metrics(
            lambda m: (m.value("pfgmd_slots_busy"), m.sum("pfgmd_queue_images")) == (live, waiting),
            f"{live} images live and {waiting} waiting")

    def settled(self):
        """The metrics once no other request or connection is open and nothing is queued or live, twice in a row: what
        the kernel held back the first time has come by the second."""
        def at_rest(m):
            return (m.sum("pfgmd_queue_images") == 0 and m.value("pfgmd_slots_busy") == 0 and
                    m.value("pfgmd_http_requests_open") == 1 and m.value("pfgmd_http_connections") == 1 and
                    m.sum("pfgmd_http_held_bytes") == 0)

        def look():
            first = self.metrics()
            time.sleep(0.05)
            second = self.metrics()
            return second if at_rest(first) and at_rest(second) else None
        return wait_until(look, "the daemon comes to rest")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connect(self, timeout=PATIENCE):
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=2 * PATIENCE):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def images(self, body, accept=None, query="", timeout=2 * PATIENCE):
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
        s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(text)
                  + text)
        return s

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=PATIENCE):
        code = self.process.wait(timeout)
        self.reader.join(PATIENCE)
        return code

    def stop(self):
        """Ends it; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(PATIENCE)
        self.process.stderr.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        alive = self.process.poll() is None
        code = self.stop()
        self.check_sanitizers()  # also after a failure, which may have come from there
        assert kind or not alive or code >= 0, f"ended by signal {-code}, or not at all: " + "\n".join(self.lines[-20:])

    def check_sanitizers(self):
        """In builds with sanitizers their reports stand among the lines."""
        bad = [line for line in self.lines if "Sanitizer" in line or "runtime error" in line]
        assert not bad, "\n".join(self.lines)


def long_work(daemon, seconds, **fields):
    """A request body that keeps one image busy for at least about that long on this machine and build: longer when
    something else has its processor. For work that only must not end there is ENDLESS."""
    def measure(steps):
        solver = {"method": "euler", "steps": steps, "max_nfe": 10_000_000}
        answer = daemon.images({"seed": 1, "solver": solver})
        assert answer.status == 200, answer.body
        return answer.json()["timings"]["compute_ms"] / 1000
    steps = 100
    while measure(steps) < 0.05 and steps < 100_000:
        steps *= 4
    fastest = min(measure(steps) for _ in range(3))  # the one that was disturbed least
    steps = max(1, min(100_000, int(steps * seconds / fastest)))
    return {"seed": 1, **fields,
            "solver": {"method": "euler", "steps": steps, "max_nfe": 10_000_000}}


def away_from_midnight():
    """Quotas are of a day of UTC, which must not end within a test."""
    left = 86400 - time.time() % 86400
    if left < 120:
        time.sleep(left + 1)


def has_ipv6():
    """Whether the loopback has an address of it; kernels that know it may have it switched off."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return True
    return False


CLAIMS = []


def free_ports(count):
    """Ports that nobody has, for servers that are told theirs and may come and go. They lie apart from those that the system
    gives away by itself, to whoever connects; and other tests that run at the same time claim others: by a name in the same
    network that lasts as long as the process."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        first, last = map(int, f.read().split())
    apart = [*range(10_000, first), *range(last + 1, 65_536)]
    random.shuffle(apart)
    ports = []
    for port in apart or random.sample(range(first, last + 1), 1000):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0pfgm-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        ports.append(port)
        if len(ports) == count:
            return ports
    raise AssertionError("no port is free")


@contextlib.contextmanager
def closed_port():
    """A port of the loopback address on which nobody listens, and which nobody else gets."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


def read_request(connection):
    """All of it: what is left unread when a connection is closed takes the answer along."""
    connection.settimeout(PATIENCE)
    got, due = b"", 1
    while len(got) < due and (piece := connection.recv(65536)):
        got += piece
        head, blank, _ = got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        due = len(head) + 4 + (int(length[1]) if length else 0) if blank else len(got) + 1
    return got


@contextlib.contextmanager
def scripted(answers, seen=None):
    """The address of a server that gives each of the answers to one connection. `seen` gets what it was sent."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        s.settimeout(2 * PATIENCE)

        def serve():
            for answer in answers:
                connection, _ = s.accept()
                got = read_request(connection)
                if seen is not None:
                    seen.append(got)
                connection.sendall(answer)
                connection.close()
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{s.getsockname()[1]}"
        thread.join()


def run(*args, timeout=4 * PATIENCE, env=None):
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
