"""Bodies that stall, trickle or never end: their answer, and what they leave behind."""

import contextlib
import json
import os
import signal
import ssl
import time
import unittest

from harness import ENDLESS, LATE, Daemon, answered, wait_until
from test_costs import MEASURED, MIB, forget, peak
from test_framing import read_answers, send_all, statuses
from test_security import TLS

TYPE = b"Content-Type: application/problem+json\r\n"


def head(length=None, path=b"/v1/images", more=b""):
    framing = b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
    return b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\n" + framing + more + b"\r\n"


def problem_of(data):
    return json.loads(data.split(b"\r\n\r\n", 1)[1])


def connect_tls(daemon):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(daemon.connect())


class CutShort(unittest.TestCase):
    def check(self, data, status, code):
        self.assertEqual(statuses(data), [status], data[:300])
        self.assertIn(TYPE, data)
        self.assertIn(b"X-Request-Id: mine\r\n", data)
        self.assertIn(b"Connection: close\r\n", data)
        problem = problem_of(data)
        self.assertEqual((problem["status"], problem["code"]), (status, code))
        return problem

    def test_a_stalled_body_is_told_why(self):
        with Daemon("--read-timeout", "1") as daemon:
            stalled = []
            for path in [b"/v1/images", b"/v1/encode"]:
                for sent in [head(1000, path), head(1000, path) + b"{", head(None, path) + b"5\r\n{"]:
                    stalled.append(daemon.connect())
                    stalled[-1].sendall(sent)
            for s in stalled:
                data, closed = read_answers(s)
                self.assertTrue(closed)
                self.assertIn("within 1 s", self.check(data, 408, "request_timeout")["detail"])
                s.close()
            daemon.wait_line("/v1/encode 408 ", count=3)
            m = daemon.settled()
            self.assertEqual(m.sum("pfgmd_http_requests_total", code="408"), 6)
            self.assertEqual(m.sum("pfgmd_requests_rejected_total", reason="request_timeout"), 6)

    def test_a_stalled_body_of_other_interfaces(self):
        with Daemon("--read-timeout", "1") as daemon:
            for path in [b"/v1/images/generations", b"/v2/models/digits8/infer"]:
                with daemon.connect() as s:
                    s.sendall(head(1000, path) + b"{")
                    data, _ = read_answers(s)
                    self.assertEqual(statuses(data), [408])
                    self.assertIn("error", problem_of(data))

    def test_a_refusal_is_not_replaced_by_the_timeout(self):
        with Daemon("--read-timeout", "1") as daemon, daemon.connect() as s:
            s.sendall(head(1000, more=b"Content-Type: text/plain\r\n") + b"x")
            self.check(read_answers(s)[0], 415, "unsupported_media_type")

    def test_an_endless_body_is_told_why(self):
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        options = ["--tls-certificate", f"{TLS}/first.crt", "--tls-key", f"{TLS}/first.key"]
        for connect, args in [(Daemon.connect, []), (connect_tls, options)]:
            with Daemon(*args) as daemon, connect(daemon) as s:
                s.sendall(head() + 80 * piece + b"1\r\n ")  # the last byte that is read is the last that is sent
                data, closed = read_answers(s)
                self.assertTrue(closed)
                self.assertEqual(self.check(data, 413, "content_too_large")["limit"], 1 << 20)
                daemon.wait_line("/v1/images 413 ")

    def test_a_client_that_leaves_during_its_body_is_499_everywhere(self):
        with Daemon() as daemon:
            with daemon.connect() as s:
                s.sendall(head(1000) + b"{")
                daemon.wait_metrics(lambda m: m.value("pfgmd_http_requests_open") == 2, "the body has begun")
            self.assertIn(" mine ", daemon.wait_line("/v1/images 499 "))
            self.assertEqual(daemon.settled().sum("pfgmd_http_requests_total", code="499"), 1)

    def test_stalled_large_bodies_keep_no_place(self):
        """Where all places are held by bodies that stopped, whoever comes gets one of theirs."""
        with Daemon("--read-timeout", "600") as daemon:
            stalled = [daemon.connect() for _ in range(4)]
            for s in stalled:
                s.sendall(head(4 << 20, b"/v1/encode") + b" " * 1_200_000)
            daemon.wait_metrics(lambda m: m.value("pfgmd_http_held_bytes", kind="large_body") > 4 * 1_150_000,
                                "all four have taken their places")
            begun = time.monotonic()
            fits = b" " * 1_200_000 + b"{}"  # read to its end and found wanting

            def is_taken():
                return daemon.request("POST", "/v1/encode", fits).status == 422
            wait_until(is_taken, "a place of one that gave way")
            self.assertTrue(is_taken())
            print(f"a place among stalled bodies after {time.monotonic() - begun:.1f} s")
            m = daemon.wait_metrics(lambda m: m.sum("pfgmd_requests_rejected_total", reason="request_timeout") > 0,
                                    "the one that gave way")
            self.assertLess(m.sum("pfgmd_requests_rejected_total", reason="request_timeout"), 4)
            gone = daemon.wait_line("/v1/encode 408 ")
            self.assertIn(" mine ", gone)
            for s in stalled:
                s.close()

    def test_a_body_that_came_fast_and_stopped_keeps_no_place(self):
        """Its average would be that of one under way for a minute."""
        size = 60 << 20
        with Daemon("--read-timeout", "600") as daemon, daemon.connect() as s:
            send_all(s, head(size + 100, b"/v1/encode") + b" " * size)
            daemon.wait_metrics(lambda m: m.value("pfgmd_http_held_bytes", kind="large_body") >= size - MIB, "its place")
            begun = time.monotonic()
            fits = b" " * (8 << 20) + b"{}"
            wait_until(lambda: daemon.request("POST", "/v1/encode", fits).status == 422, "a place of one that gave way")
            self.assertLess(time.monotonic() - begun, LATE)

    def test_what_is_too_large_is_let_go_when_that_is_known(self):
        with Daemon("--read-timeout", "600") as daemon, daemon.connect() as s:
            s.sendall(b"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece = b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n"
            send_all(s, piece * 60)
            daemon.wait_metrics(lambda m: m.value("pfgmd_http_held_bytes", kind="large_body") > 50 * MIB, "its place")
            send_all(s, piece * 5)
            daemon.wait_metrics(lambda m: m.value("pfgmd_http_held_bytes", kind="large_body") == 0, "nothing is kept of it")

    def test_stalled_bodies_of_the_usual_size_cannot_fill_the_memory(self):
        """Each is within the limit of a body, and none of them ends. Small bodies are taken meanwhile, and larger ones as
        soon as a stalled one has given way."""
        count, size = 150, 1_000_000
        with Daemon("--read-timeout", "600") as daemon, contextlib.ExitStack() as stack:
            before = forget(daemon)
            for _ in range(count):
                s = stack.enter_context(daemon.connect())
                send_all(s, head(size + 1) + b" " * size)
            daemon.wait_metrics(lambda m: m.value("pfgmd_http_requests_open") - 1 + m.sum("pfgmd_http_requests_total", code="408")
                                == count, "all have begun")
            self.assertEqual(daemon.images({"seed": 1}).status, 200)
            held = peak(daemon) - before
            print(f"{count} stalled bodies of {size} bytes take {held / MIB:.0f} MiB")
            if MEASURED:
                self.assertLess(held, 100 * MIB)
            fits = b" " * 1_045_000 + b"{}"  # more than what one of them lacks
            wait_until(lambda: daemon.images(fits).status == 200, "room for another body")

            def gives_way():  # those refused while all were coming leave room, which others fill
                send_all(stack.enter_context(daemon.connect()), head(size + 1) + b" " * size)
                return any("/v1/images 408 " in line for line in daemon.lines)
            wait_until(gives_way, "one gives way to another")
            # at once only where the room is not the other's by now
            wait_until(lambda: daemon.images(fits).status == 200, "room again")
        with Daemon("--read-timeout", "600") as daemon:  # and what is under way is not cut for the sake of others
            with daemon.connect() as s:
                s.sendall(head(len(fits)) + fits[:300_000])
                self.assertEqual([daemon.images(fits).status for _ in range(20)], [200] * 20)
                s.sendall(fits[300_000:])
                self.assertEqual(statuses(read_answers(s, quiet=0.5)[0]), [200])


class Late(unittest.TestCase):
    def test_what_was_cut_does_not_begin(self):
        """The last byte comes while the process stands still, behind the questions of others. When it goes on, that byte
        is late, and only then is read."""
        body = json.dumps({"solver": ENDLESS}).encode()
        with Daemon("--read-timeout", "1", "--http-threads", "1", "--idle-timeout", "600") as daemon:
            while not (begun := self.stopped_within(daemon, body)):
                pass  # the limit was over before the process stood still
            others, s = begun
            for other in others:
                other.sendall(8 * b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            s.sendall(body[-1:])
            time.sleep(1.2)  # beyond the limit
            daemon.signal(signal.SIGCONT)
            self.assertEqual(statuses(read_answers(s)[0]), [408])
            for other in [*others, s]:
                other.close()
            m = daemon.settled()
            self.assertEqual(m.sum("pfgmd_images_admitted_total"), 0)

    @staticmethod
    def stopped_within(daemon, body):
        """The process stands still in the middle of a body: connections of others, and that of the body."""
        others, s = [daemon.connect() for _ in range(60)], daemon.connect()
        s.sendall(head(len(body)) + body[:-1])
        daemon.wait_metrics(lambda m: m.value("pfgmd_http_requests_open") == 2 or answered(s), "the body has begun")
        daemon.signal(signal.SIGSTOP)
        os.waitpid(daemon.process.pid, os.WUNTRACED)  # all of it has stopped
        if not answered(s):
            return others, s
        daemon.signal(signal.SIGCONT)
        for other in [*others, s]:
            other.close()
        return None


if __name__ == "__main__":
    unittest.main()
