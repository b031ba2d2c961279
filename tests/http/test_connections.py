"""What is left of connections that ended: nothing, whoever else is connected."""

import contextlib
import json
import os
import signal
import socket
import time
import unittest

from harness import ENDLESS, FASHION, LATE, PATIENCE, Daemon, wait_until

FORMATS = ["events", "npy", "npz", "zip", "tar"]


def sockets_of(daemon):
    """Descriptors of the process that are sockets."""
    folder = f"/proc/{daemon.process.pid}/fd"
    count = 0
    for name in os.listdir(folder):
        try:
            count += os.readlink(os.path.join(folder, name)).startswith("socket:")
        except FileNotFoundError:
            pass  # closed since it was listed
    return count


def ask(daemon, word, body):
    text = json.dumps(body).encode()
    s = daemon.connect()
    s.sendall(b"POST /v1/images?format=%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
              % (word.encode(), len(text)) + text)
    return s


class Departures(unittest.TestCase):
    """With idle connections beside, which are older and sleep on every thread of the library's."""

    def setUp(self):
        self.daemon = Daemon("--workers", "2", "--batch", "8", "--queue", "100000", "--idle-timeout", "3600")
        self.before = sockets_of(self.daemon)
        self.idle = [self.daemon.connect() for _ in range(20)]
        wait_until(lambda: sockets_of(self.daemon) == self.before + 20, "the idle connections are there")

    def tearDown(self):
        for s in self.idle:
            s.close()
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.check_sanitizers()

    def check_gone(self, since):
        """Only the idle connections keep a descriptor, and soon."""
        wait_until(lambda: sockets_of(self.daemon) <= self.before + 20, "no dead descriptor")
        print(f"no dead descriptor {time.monotonic() - since:.2f} s after the last had left")
        self.daemon.wait_metrics(lambda m: m.value("pfgmd_http_connections") == 21, "no other connection than the one that asks")

    def test_readers_that_leave_take_their_descriptor_along(self):
        for _ in range(2):
            leaving = [ask(self.daemon, word, {"n": 2, "solver": ENDLESS}) for word in FORMATS for _ in range(3)]
            wait_until(lambda: self.daemon.metrics().value("pfgmd_http_requests_open") == len(leaving) + 1,
                       "all have asked")
            for s in leaving:
                s.close()
        self.check_gone(time.monotonic())

    def test_readers_that_leave_after_the_first_images(self):
        for word in FORMATS:
            with ask(self.daemon, word, {"n": 64, "solver": {"method": "euler", "steps": 10}}) as s:
                s.recv(4096)
        self.check_gone(time.monotonic())


class Bursts(unittest.TestCase):
    """A thread of the HTTP library asks for 128 events at once. Where as many came, it once waited for further ones with
    these in hand, until somebody else asked for something."""

    def test_as_many_requests_at_once_as_a_thread_asks_for(self):
        for count in (127, 128, 129, 256):
            with self.subTest(count=count), Daemon("--http-threads", "1", "--idle-timeout", "86400") as daemon:
                before = sockets_of(daemon)
                with contextlib.ExitStack() as stack:
                    clients = [stack.enter_context(daemon.connect()) for _ in range(count)]
                    wait_until(lambda: sockets_of(daemon) == before + count, "all are connected")
                    time.sleep(0.3)  # the thread is at rest, and nothing but these requests wakes it
                    daemon.signal(signal.SIGSTOP)
                    os.waitpid(daemon.process.pid, os.WUNTRACED)
                    for s in clients:
                        s.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    daemon.signal(signal.SIGCONT)
                    for s in clients:
                        s.settimeout(LATE)
                        self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 200 "))


class Vanished(unittest.TestCase):
    def test_the_system_asks_a_silent_client_whether_it_is_there(self):
        """Each connection has the timer for it. At night tests/fault cuts the wire and waits for what follows."""
        with Daemon() as daemon, daemon.connect() as s:
            own = f"{daemon.port:04X}", f"{s.getsockname()[1]:04X}"

            def timer():
                with open("/proc/net/tcp", encoding="ascii") as f:
                    for fields in map(str.split, f):
                        if (fields[1].rsplit(":")[-1], fields[2].rsplit(":")[-1]) == own:
                            kind, when = fields[5].split(":")
                            return kind, int(when, 16) / 100
                return None
            kind, seconds = wait_until(timer, "the server's end of the connection")
            self.assertEqual(kind, "02")  # of keepalive
            self.assertLessEqual(seconds, 30)


class Heads(unittest.TestCase):
    def test_the_head_of_an_array_is_an_answer_that_was_delivered(self):
        with Daemon() as daemon:
            for word in ["npy", "npz", "png"]:
                answer = daemon.request("HEAD", f"/v1/images/7/0?format={word}")
                self.assertEqual((answer.status, answer.body), (200, b""))
                self.assertNotIn("not delivered", daemon.wait_line(f"HEAD /v1/images/7/0?format={word} 200 "))


class Drains(unittest.TestCase):
    N = 1200

    def ask_slowly(self, daemon):
        """A reader with a small window that has read the head of a finished answer of 3.8 MB."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(PATIENCE)
        s.connect((daemon.host, daemon.port))
        body = json.dumps({"n": self.N, "seed": 1, "dtype": "float32", "solver": {"method": "euler", "steps": 1}})
        s.sendall(b"POST /v1/images?format=npy HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                  % (len(body), body.encode()))
        first = s.recv(1000)
        daemon.wait_metrics(lambda m: m.sum("pfgmd_images_total") == self.N, "all images")
        return s, first

    def test_finished_answers_are_sent_up_to_the_end_of_the_drain(self):
        with Daemon("--n-max", str(self.N), "--queue", str(self.N), "--drain-timeout", "600", model=FASHION) as daemon:
            s, data = self.ask_slowly(daemon)
            idle = daemon.connect()
            daemon.process.terminate()
            daemon.wait_line("stopping")
            begun = time.monotonic()
            while time.monotonic() - begun < 2:  # longer than what was once left to it
                data += s.recv(4096)
                time.sleep(0.05)
            while piece := s.recv(1 << 20):
                data += piece
            self.assertEqual(len(data.split(b"\r\n\r\n", 1)[1]), 128 + self.N * 3136)
            self.assertEqual(daemon.wait(), 0)
            s.close()
            idle.close()


if __name__ == "__main__":
    unittest.main()
