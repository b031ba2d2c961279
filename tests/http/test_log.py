"""The log: that nobody who reads it, or does not, can hold the daemon up, and that no client can forge it."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from harness import DIGITS, LATE, PATIENCE, PFGMD, Daemon, wait_until
from prometheus_text import Metrics


def get(port, target):
    """The body of an answer, over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
        s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % target)
        data = b""
        while piece := s.recv(65536):
            data += piece
    return data.partition(b"\r\n\r\n")[2]


def post(port, body):
    """An image, of which only the status counts."""
    text = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
        s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                  % len(text) + text)
        data = b""
        while piece := s.recv(65536):
            data += piece
    assert data.startswith(b"HTTP/1.1 200 "), data[:500]


class Unread(unittest.TestCase):
    """Standard error is a pipe of one page that is read up to the port, and then no more."""

    def setUp(self):
        self.read, write = os.pipe()
        fcntl.fcntl(self.read, fcntl.F_SETPIPE_SZ, 4096)
        self.process = subprocess.Popen([PFGMD, "--model", DIGITS, "--listen", "127.0.0.1:0", "--drain-timeout", "600"],
                                        stdin=subprocess.DEVNULL, stderr=write)
        os.close(write)
        self.text = b""
        while b" info ready\n" not in self.text:
            piece = os.read(self.read, 4096)
            self.assertTrue(piece, self.text)
            self.text += piece
        self.port = int(re.search(rb"listening on 127.0.0.1:(\d+)", self.text)[1])

    def tearDown(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.read)

    def dropped(self):
        return Metrics(get(self.port, b"/metrics")).value("pfgmd_log_lines_dropped_total")

    def fill(self):
        """Requests with long targets until lines are dropped: every one is answered."""
        asked = 0
        while self.dropped() == 0:
            for _ in range(100):
                self.assertIn(b'"version"', get(self.port, b"/version?" + b"x" * 1000))
                asked += 1
            self.assertLess(asked, 10_000)
        return asked

    def test_nobody_reads_the_log(self):
        self.fill()
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE), 0)
        self.assertLess(time.monotonic() - begun, LATE)

    def test_a_second_signal_and_an_unread_log(self):
        self.fill()
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            body = json.dumps({"solver": {"method": "heun", "steps": 50_000, "max_nfe": 10_000_000}}).encode()
            s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            wait_until(lambda: Metrics(get(self.port, b"/metrics")).value("pfgmd_slots_busy") == 1, "the work runs")
            self.process.send_signal(signal.SIGTERM)
            wait_until(lambda: b"draining" in get(self.port, b"/readyz"), "it drains")
            self.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.process.wait(PATIENCE), 128 + signal.SIGTERM)

    def test_it_says_how_many_lines_were_dropped_when_it_flows_again(self):
        self.fill()
        before = self.dropped()
        self.assertGreater(before, 0)
        said = rb"warn (\d+) lines of the log were dropped"
        while not re.search(said, self.text):
            piece = os.read(self.read, 65536)
            self.assertTrue(piece)
            self.text += piece
        self.assertGreaterEqual(int(re.search(said, self.text)[1]), before)
        # And from then on nothing is lost: the next request has its line.
        get(self.port, b"/version?after")
        while b"/version?after 200" not in self.text:
            piece = os.read(self.read, 65536)
            self.assertTrue(piece)
            self.text += piece
        for line in self.text.decode().splitlines():  # whole lines only
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warn) ")

    def test_the_reader_of_the_log_leaves(self):
        os.close(self.read)
        self.read = os.open(os.devnull, os.O_RDONLY)  # for tearDown
        get(self.port, b"/version")
        wait_until(lambda: self.dropped() > 0, "lines that could not be written are counted")
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE), 0)


class Polls(unittest.TestCase):
    POLLS = ["/livez", "/readyz", "/metrics", "/v2/health/ready", "/v1/jobs"]

    def asked(self, *flags):
        with tempfile.TemporaryDirectory() as state, Daemon("--state", state, *flags) as daemon:
            for path in self.POLLS:
                self.assertEqual(daemon.get(path).status, 200)
            self.assertEqual(daemon.get("/v1/jobs/none").status, 404)
            daemon.wait_line("GET /v1/jobs/none 404 ")  # what is wrong is logged
        # All lines are there: one is written when its answer has gone, which may be after the next question has come.
        return [path for path in self.POLLS if any(f" {path} 200 " in line for line in daemon.lines)]

    def test_good_answers_to_polls_are_lines_for_debugging_only(self):
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.asked("--log-level", "debug"), self.POLLS)


FORGED = "x key=root address=10.0.0.1"
STRANGE = 'a"b\\c=d'
CONTROLS = "\x1b[2J\x85\x9b31m\u2028\u202e"


class Forged(unittest.TestCase):
    def request(self, daemon, label):
        answer = daemon.images({"label": label, "solver": {"method": "euler", "steps": 1}})
        self.assertEqual(answer.status, 200, answer.body)

    def test_values_are_quoted_where_they_need_it(self):
        with Daemon() as daemon:
            for label in ["plain", FORGED, STRANGE, "größe"]:
                self.request(daemon, label)
            daemon.wait_line("label=plain ")
            daemon.wait_line("label=größe ")
            daemon.wait_line('label="x key=root address=10.0.0.1" ')
            daemon.wait_line(r'label="a\"b\\c=d" ')

    def test_fields_behind_a_long_target_are_there(self):
        with Daemon() as daemon:
            daemon.get("/version?" + "%41" * 2000)
            self.assertRegex(daemon.wait_line("/version?%41"), r" [0-9]{3} [0-9.]+ms \S+ .*\baddress=127.0.0.1$")

    def test_controls_and_bytes_that_are_no_utf8_are_escaped(self):
        for form in ["text", "json"]:
            # The bytes themselves: the harness would hide them.
            process = subprocess.Popen([PFGMD, "--model", DIGITS, "--listen", "127.0.0.1:0", "--log-format", form],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.addCleanup(process.stderr.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            lines = []
            while not lines or b"ready" not in lines[-1]:
                lines.append(process.stderr.readline())
                self.assertTrue(lines[-1], lines)
            port = int(re.search(rb"listening on 127.0.0.1:(\d+)", b"".join(lines))[1])
            for target in [b"/raw\xff\xfe\xc3", "/c1\x85\x9b31m".encode(), "/line\u2028\u202e".encode(), b"/\x1b[2J"]:
                get(port, target)
            post(port, {"label": CONTROLS, "solver": {"method": "euler", "steps": 1}})
            process.send_signal(signal.SIGTERM)
            data = b"".join(lines) + process.stderr.read()
            self.assertEqual(process.wait(PATIENCE), 0)
            text = data.decode("utf-8")  # or it fails
            self.assertFalse(re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text), text)
            if form == "text":
                self.assertIn(r'label="\x1b[2J\u0085\u009b31m\u2028\u202e" ', text)
            else:
                labels = [json.loads(line).get("label") for line in text.splitlines()]
                self.assertIn(CONTROLS, labels)


if __name__ == "__main__":
    unittest.main()
