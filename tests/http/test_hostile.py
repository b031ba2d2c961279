"""A table of malformed and hostile requests as raw bytes: for each the status that must come first
and whether the connection must be closed after it. After each row the daemon must still answer."""

import concurrent.futures
import socket
import unittest

from harness import SharedDaemon, wait_until
from test_framing import read_answers, send_all, statuses

H = b"Host: localhost\r\n"
POST = b"POST /v1/images HTTP/1.1\r\n" + H


def post(head, body=b"", target=b"/v1/images"):
    return b"POST " + target + b" HTTP/1.1\r\n" + H + head + b"\r\n" + body


def sized(body, head=b""):
    return post(head + b"Content-Length: %d\r\n" % len(body), body)


def get(target, head=b"", method=b"GET", version=b"HTTP/1.1"):
    return method + b" " + target + b" " + version + b"\r\n" + H + head + b"\r\n"


HIDDEN = b"GET /version HTTP/1.1\r\n" + H + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# bytes, status (None: an end without an answer will do), closed (None: either)
ROWS = {
    # framing: one request hidden in another
    "length and chunked": (post(CHUNKED + b"Content-Length: 40\r\n", b"0\r\n\r\n" + HIDDEN), 400, True),
    "chunked and length": (post(b"Content-Length: 40\r\n" + CHUNKED, b"0\r\n\r\n" + HIDDEN), 400, True),
    "two lengths": (post(b"Content-Length: 2\r\nContent-Length: 40\r\n", b"{}" + HIDDEN), 400, True),
    "two equal lengths": (post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"), 400, True),
    "a list of lengths": (post(b"Content-Length: 2, 2\r\n", b"{}"), 400, True),
    "signed length": (post(b"Content-Length: +2\r\n", b"{}"), 400, True),
    "negative length": (post(b"Content-Length: -2\r\n", b"{}"), 400, True),
    "hexadecimal length": (post(b"Content-Length: 0x2\r\n", b"{}"), 400, True),
    "blank in a length": (post(b"Content-Length: 1 2\r\n", b"{}          "), 400, True),
    "empty length": (post(b"Content-Length:\r\n", b"{}"), 400, True),
    "length beyond 64 bits": (post(b"Content-Length: 99999999999999999999\r\n"), (400, 413), True),
    "length of a gigabyte": (post(b"Content-Length: 1073741824\r\n"), 413, True),
    "the same, expected": (post(b"Expect: 100-continue\r\nContent-Length: 1073741824\r\n"), 413, True),
    "unknown coding": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501, True),
    "stacked codings": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501, True),
    "chunked twice": (post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 501, True),
    "two codings": (post(CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"), (400, 501), True),
    "identity coding": (post(b"Transfer-Encoding: identity\r\n", b"{}"), 501, True),
    "quoted coding": (post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), 501, True),
    "blank before the colon": (post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400, True),
    "tab before the colon": (post(b"Content-Length\t: 2\r\n", b"{}"), 400, True),
    "blank in a name": (post(b"X Y: z\r\n"), 400, True),
    "folded line": (get(b"/livez", b"X: a\r\n b\r\n"), (200, 400), None),
    "line without a colon": (get(b"/livez", b"nonsense\r\n"), (200, 400), None),
    "control byte in a name": (get(b"/livez", b"X\x01Y: z\r\n"), 400, True),
    "high byte in a name": (get(b"/livez", b"X\xff: z\r\n"), (200, 400), None),
    "empty name": (get(b"/livez", b": z\r\n"), (200, 400), None),
    "two hosts": (get(b"/livez", b"Host: y\r\n"), 400, True),
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400, True),
    "unknown expectation": (post(b"Expect: 200-ok\r\nContent-Length: 2\r\n", b"{}"), 417, True),
    "chunk size of letters": (post(CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n"), 400, True),
    "negative chunk size": (post(CHUNKED, b"-1\r\n{}\r\n0\r\n\r\n"), 400, True),
    "chunk size of 2^64": (post(CHUNKED, b"10000000000000000\r\n{}\r\n0\r\n\r\n"), (400, 413), True),
    "129 fields": (get(b"/livez", b"".join(b"X%d: y\r\n" % i for i in range(129))), 400, True),
    "a field of 40 KiB": (get(b"/livez", b"X: " + b"a" * 40000 + b"\r\n"), 431, True),
    # the line
    "a target of 40 KiB": (get(b"/" + b"a" * 40000), 414, True),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", None, None),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None, True),
    "HTTP/3.7": (get(b"/livez", version=b"HTTP/3.7"), (400, 505), True),
    "no version at all": (b"GET /livez nonsense\r\n" + H + b"\r\n", (400, 505), True),
    "small letters": (get(b"/livez", method=b"get"), 501, None),
    "unknown method": (get(b"/livez", method=b"BREW"), 501, None),
    "method of symbols": (get(b"/livez", method=b"G@T"), 501, None),
    "TRACE": (get(b"/livez", method=b"TRACE"), 405, None),
    "CONNECT": (get(b"x:80", method=b"CONNECT"), (400, 404, 405), None),
    "PUT to a reader": (get(b"/livez", method=b"PUT", head=b"Content-Length: 0\r\n"), 405, None),
    "GET of the work": (get(b"/v1/images"), 405, None),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n", None, None),
    "only line feeds": (b"\r\n" * 100 + get(b"/livez"), (200, 400), None),
    # the target
    "NUL in the target": (get(b"/livez%00"), 400, None),
    "NUL and dots": (get(b"/a%00b/../../etc/passwd"), 400, None),
    "NUL in the query": (get(b"/livez?a=%00"), 400, None),
    "dots": (get(b"/v1/../livez"), 404, None),
    "encoded dots": (get(b"/v1/%2e%2e/livez"), 404, None),
    "encoded slash": (get(b"/v1%2fmodels"), 404, None),
    "encoded letter": (get(b"/%6civez"), 404, None),
    "two slashes": (get(b"//livez"), 404, None),
    "backslash": (get(b"/..\\..\\etc"), (400, 404), None),
    "bare percent": (get(b"/livez%"), 400, None),
    "half an escape": (get(b"/livez%2"), 400, None),
    "fragment": (get(b"/livez#x"), 400, None),
    "no slash": (get(b"livez"), 400, None),
    "high byte": (get(b"/\xff\xfe"), 400, None),
    "absolute form": (get(b"http://elsewhere/livez"), 200, None),
    "other scheme": (get(b"file:///etc/passwd"), (400, 404), None),
    "asterisk": (get(b"*"), (400, 404, 405), None),
    "admin on the public side": (post(b"Content-Length: 0\r\n", target=b"/admin/v1/drain"), 404, None),
    # the body
    "multipart with NUL": (sized(b"--a\0b--", b"Content-Type: multipart/form-data; boundary=a\0b\r\n"),
                           (400, 415), None),
    "multipart": (sized(b"--a--", b"Content-Type: multipart/form-data; boundary=a\r\n"), 415, None),
    "gzip body": (sized(b"\x1f\x8b\x08", b"Content-Encoding: gzip\r\n"), 415, None),
    "form from a page": (sized(b"{}", b"Content-Type: application/x-www-form-urlencoded\r\n"
                                      b"Origin: https://evil.example\r\n"), 415, None),
    "text from a page": (sized(b"{}", b"Content-Type: text/plain\r\n"), 415, None),
    "empty": (sized(b""), 400, None),
    "not JSON": (sized(b"seed=1"), 400, None),
    "UTF-16": (sized('{"n":1}'.encode("utf-16")), 400, None),
    "bad UTF-8": (sized(b'{"model":"\xff\xfe"}'), 400, None),
    "lone surrogate": (sized(b'{"model":"\\ud800"}'), 400, None),
    "100,000 brackets": (sized(b"[" * 100000), 400, None),
    "a key twice": (sized(b'{"n":1,"n":2}'), 400, None),
    "NUL at the end": (sized(b'{"n":1}\0'), 400, None),
    "a million images": (sized(b'{"n":1000000}'), 422, None),
    "a label of 129": (sized(b'{"label":"' + b"a" * 129 + b'"}'), 422, None),
    "a key of 60,000": (sized(b'{"' + b"a" * 60000 + b'":1}'), 422, None),
    "10,000 unknown keys": (sized(b"{" + b",".join(b'"k%d":1' % i for i in range(10000)) + b"}"),
                            400, None),
    "a number of 100,000 digits": (sized(b'{"seed":' + b"9" * 100000 + b"}"), 422, None),
}


class Hostile(SharedDaemon):
    def send(self, row):
        data, status, closed = row
        with self.daemon.connect() as s:
            send_all(s, data)
            if closed:
                return read_answers(s)
            # Where no answer will do, silence will: the rest of a request is waited for.
            return read_answers(s, *([2] if status is None else []), quiet=0.5)

    def test_the_table(self):
        self.assertGreaterEqual(len(ROWS), 60)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(pool.map(self.send, ROWS.values()))
        for (name, (_, status, closed)), (answer, ended) in zip(ROWS.items(), results):
            with self.subTest(name=name):
                found = statuses(answer.split(b"<html>")[0])
                if status is None:
                    self.assertNotIn(200, found, answer[:200])
                else:
                    allowed = status if isinstance(status, tuple) else (status,)
                    # The library's own 400 repeats its head inside its body.
                    self.assertEqual(len(set(found)), 1, answer[:300])
                    self.assertIn(found[0], allowed, answer[:300])
                if closed:
                    self.assertTrue(ended, "the connection stays open")
                self.assertNotIn(b'"name":"pfgmd"', answer, "the hidden request was answered")

    def test_broken_heads(self):
        """A valid head with one byte changed anywhere, deterministic."""
        good = bytearray(sized(b'{"seed":11,"n":1}', b"Accept: application/json\r\nX-Request-Id: a\r\n"))
        state, alive = 12345, 0
        for k in range(300):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            data = bytearray(good)
            data[(state >> 33) % len(data)] = (state >> 20) & 0xff
            with self.daemon.connect() as s:
                s.settimeout(0.02)
                try:
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except (socket.timeout, OSError):
                    pass
            if k % 50 == 0:
                self.assertEqual(self.daemon.get("/livez").status, 200)
                alive += 1
        self.assertEqual(alive, 6)
        # none is kept by a client that has gone
        wait_until(lambda: self.daemon.metrics().value("pfgmd_http_connections") <= 3, "connections end")


if __name__ == "__main__":
    unittest.main()
