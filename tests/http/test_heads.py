"""Heads on which the HTTP library gives up, or which it reads more leniently than others do."""

import re
import unittest

from harness import SANITIZER, Daemon, wait_until
from test_framing import read_answers, send_all, statuses

COOKIES = b"Cookie: " + b"a=b; " * 1600 + b"\r\n"
ARGUMENTS = b"&".join(b"a%d=b" % i for i in range(500))


def resident(daemon):
    with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096


def exchange(daemon, data):
    with daemon.connect() as s:
        send_all(s, data)
        return read_answers(s)


class Forgotten(unittest.TestCase):
    """The library takes cookies and queries apart into a memory of fixed size, and when that is full it may forget
    that it had begun the request."""

    def check_nothing_stays(self, data, status, code):
        with Daemon() as daemon:
            for _ in range(50):
                exchange(daemon, data)
            before = resident(daemon)
            for _ in range(400):
                answer, closed = exchange(daemon, data)
                self.assertEqual((statuses(answer), closed), ([status], True), answer[:200])
                self.assertIn(b'"code":"%s"' % code, answer)
                self.assertRegex(answer, rb"X-Request-Id: \w+\r\n")
            grown = resident(daemon) - before
            print(f"{len(data)} bytes of head 400 times: {grown / 1024:.0f} KiB more")
            if SANITIZER == "none":  # sanitizers keep what was freed
                self.assertLess(grown, 400 * 5000)
            m = daemon.settled()
            self.assertEqual(m.sum("pfgmd_http_requests_total", code=str(status)), 450)
            self.assertEqual(m.sum("pfgmd_requests_rejected_total", reason=code.decode()), 450)

            def lines():
                return [x for x in list(daemon.lines) if re.search(rf" {status} [0-9.]+ms \w+ code={code.decode()}\b", x)]
            wait_until(lambda: len(lines()) >= 450, "a line for each")
        self.assertEqual(len(lines()), 450, daemon.lines[-1])

    def test_a_cookie_of_many_pairs(self):
        head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + COOKIES + b"\r\n"
        self.check_nothing_stays(head, 431, b"head_too_large")

    def test_a_query_of_many_arguments(self):
        head = b"GET /livez?" + ARGUMENTS + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.check_nothing_stays(head, 400, b"bad_request")

    def test_the_same_before_keys_are_looked_at(self):
        """Nothing of it depends on what is asked for, and nobody else notices."""
        with Daemon() as daemon:
            for target in [b"/v1/images", b"/nowhere", b"/v1/images/1/0"]:
                answer, closed = exchange(daemon, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + COOKIES + b"\r\n")
                self.assertEqual((statuses(answer), closed), ([431], True))
            self.assertEqual(daemon.metrics().value("pfgmd_http_requests_open"), 1)
            few = b"GET /readyz?verbose&" + b"&".join(b"a%d" % i for i in range(100)) + b" HTTP/1.1\r\nHost: localhost\r\n" \
                  b"Connection: close\r\nCookie: " + b"a=b; " * 100 + b"\r\n\r\n"
            self.assertEqual(statuses(exchange(daemon, few)[0]), [200])
            wait_until(lambda: daemon.metrics().value("pfgmd_http_connections") == 1, "no connection stays")


HIDDEN = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
LENGTH = b"%d" % len(HIDDEN)
# Heads that a stricter parser in front reads as one request with a body, or not at all.
LENIENT = {
    "folded length": POST + b"Content-Length:\r\n " + LENGTH + b"\r\n\r\n",
    "length folded within": POST + b"Content-Length: " + LENGTH[:1] + b"\r\n\t" + LENGTH[1:] + b"\r\n\r\n",
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "coding folded within": POST + b"Transfer-Encoding: chun\r\n ked\r\n\r\n0\r\n\r\n",
    "another folded field": POST + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "fold of blanks alone": POST + b"X: a\r\n \r\nContent-Length: 0\r\n\r\n",
    "fold before the first field": b"GET /livez HTTP/1.1\r\n X: y\r\nHost: localhost\r\n\r\n",
    "NUL behind a length": POST + b"Content-Length: 2\0\r\n\r\n{}",
    "NUL and more behind a length": POST + b"Content-Length: 0\0 1\r\n\r\n",
    "NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "NUL in the last value": GET + b"X: \0\r\n\r\n",
    "NUL in a target": b"GET /livez\0x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "line feed behind the first line": b"GET /livez HTTP/1.1\nHost: localhost\r\n\r\n",
    "line feed behind a field": b"GET /livez HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "line feed behind the last field": b"GET /livez HTTP/1.1\r\nHost: localhost\n\r\n",
    "line feed as the empty line": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\n",
    "line feeds only": b"GET /livez HTTP/1.1\nHost: localhost\n\n",
    "two blanks in the first line": b"GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


class Lenient(unittest.TestCase):
    def test_what_hides_in_a_head_is_refused(self):
        with Daemon() as daemon:
            for name, data in LENIENT.items():
                with self.subTest(name=name):
                    answer, closed = exchange(daemon, data + HIDDEN)
                    self.assertEqual((statuses(answer), closed), ([400], True), answer[:300])
                    self.assertIn(b'"code":"bad_request"', answer)

    def test_what_may_hide_a_request_ends_the_connection(self):
        """Bare line feeds in the lines of chunks do not show, nor is it known why a length is missing: the answer is given
        and nothing behind it."""
        chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        rows = [(POST + b"\r\n", 400), (b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
                (b"PUT /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
                (chunked + b"2\n{}\n0\n\n", 200), (chunked + b"2\r\n{}\r\n0\r\n\r\n", 200),
                (chunked + b"2;x\n{}\r\n0\r\nX: y\n\r\n", 200)]
        with Daemon() as daemon:
            for data, status in rows:
                with self.subTest(data=data):
                    answer, closed = exchange(daemon, data + HIDDEN)
                    self.assertEqual((statuses(answer), closed), ([status], True), answer[:300])
                    self.assertIn(b"Connection: close\r\n", answer)

    def test_heads_of_every_length_are_taken(self):
        """Whole, in pieces and byte by byte, one behind the other, up to what the library has room for."""
        with Daemon() as daemon, daemon.connect() as s:
            for size in [0, 1, 100, 1000, 4000, 8000, 12000, 20000, 25000]:
                for fields in [1, 2, 50]:
                    if size < fields - 1:
                        continue
                    more = b"".join(b"X%d:%s%s%s\r\n" % (i, b" \t" * (i % 3), b"y" * (size // fields), b" " * (i % 2))
                                    for i in range(fields))
                    data = GET + more + b"Empty:\r\nBlank: \r\nLast: z\r\n\r\n"
                    for step in [len(data), 1000, 7] if size < 5000 else [len(data), 1460]:
                        for k in range(0, len(data), step):
                            s.sendall(data[k:k + step])
                        answer = b""
                        while not answer.endswith(b"}\n"):
                            piece = s.recv(4096)
                            self.assertTrue(piece, (size, fields, step))
                            answer += piece
                        self.assertEqual(statuses(answer), [200], (size, fields, step, answer))

    def test_targets_in_the_log_hold_visible_bytes_only(self):
        with Daemon() as daemon:
            exchange(daemon, b"GET /a\tb\x01\xffc HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn("GET /a%09b%01%FFc 400 ", daemon.wait_line(" 400 "))


if __name__ == "__main__":
    unittest.main()
