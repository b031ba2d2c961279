"""Heads on which the HTTP library gives up, or which it reads more leniently than others do."""

import re
import unittest

from harness import Daemon, wait_until
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
            self.assertLess(grown, 400 * 5000)
            m = daemon.settled()
            self.assertEqual(m.sum("pfgmd_http_requests_total", code=str(status)), 450)
            self.assertEqual(m.sum("pfgmd_requests_rejected_total", reason=code.decode()), 450)
            lines = [x for x in daemon.lines if re.search(rf" {status} [0-9.]+ms \w+ code={code.decode()}\b", x)]
            self.assertEqual(len(lines), 450, daemon.lines[-1])

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


if __name__ == "__main__":
    unittest.main()
