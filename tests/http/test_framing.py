"""Raw bytes against the daemon: how it frames requests, and what it does with those that two
parsers could read differently."""

import json
import re
import socket
import time
import unittest

from harness import LATE, PATIENCE, Daemon, SharedDaemon, wait_until

BODY = b'{"seed":11}'
CLOSE = b"Connection: close\r\n"
LAST = CLOSE + b"\r\n"  # ends a head whose answer is the last
NEXT = b"GET /version HTTP/1.1\r\nHost: localhost\r\n" + LAST


def read_answers(s, timeout=PATIENCE, quiet=None):
    """Everything until the other side closes; whether it did. With `quiet`, that many seconds of silence after the first
    bytes end it too: for connections that may stay open."""
    data = b""
    s.settimeout(timeout)
    try:
        while piece := s.recv(65536):
            data += piece
            if quiet is not None:
                s.settimeout(quiet)
    except socket.timeout:
        return data, False
    except ConnectionResetError:
        pass
    return data, True


def send_all(s, data):
    """Sends what the other side lets through: it may close before the end of what it refuses, and what it said before
    can be read all the same."""
    try:
        s.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def statuses(data):
    return [int(m) for m in re.findall(rb"HTTP/1\.1 (\d{3})", data)]


class Framing(SharedDaemon):
    def exchange(self, data):
        with self.daemon.connect() as s:
            send_all(s, data)
            return read_answers(s)

    def post(self, head, body=BODY):
        return b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n" + body

    def test_doubtful_frames(self):
        chunked = b"5\r\n{    \r\n1\r\n}\r\n0\r\n\r\n"
        hidden = b"0\r\n\r\nGET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
        rows = [
            (b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(hidden), hidden, 400),
            (b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunked, 400),
            (b"Content-Length: 2\r\nContent-Length: 11\r\n", BODY, 400),
            (b"Content-Length: 11\r\nContent-Length: 11\r\n", BODY, 400),
            (b"Content-Length: 11, 11\r\n", BODY, 400),
            (b"Content-Length: +11\r\n", BODY, 400),
            (b"Transfer-Encoding: xchunked\r\n", chunked, 501),
            (b"Transfer-Encoding: gzip, chunked\r\n", chunked, 501),
            (b"Transfer-Encoding : chunked\r\n", chunked, 400),
            (b"X Y: z\r\nContent-Length: 11\r\n", BODY, 400),
            (b"Content-Length : 11\r\n", BODY, 400),
            (b"Host: y\r\nContent-Length: 11\r\n", BODY, 400),
            (b"Expect: 200-ok\r\nContent-Length: 11\r\n", BODY, 417),
        ]
        for head, body, status in rows:
            with self.subTest(head=head):
                data, closed = self.exchange(self.post(head, body))
                # The library's own 400 repeats its head inside its body.
                self.assertEqual(set(statuses(data)), {status}, data)
                self.assertTrue(closed)
                self.assertIn(b"Connection: close", data)

    def test_what_the_library_refuses_itself(self):
        rows = [
            (b"GET /livez HTTP/1.1\r\n\r\n", 400),
            (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
            (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 431),
            (self.post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n"), 400),
        ]
        for data, status in rows:
            answer, closed = self.exchange(data)
            self.assertEqual(statuses(answer)[:1], [status], answer[:200])
            self.assertTrue(closed)

    def test_targets(self):
        rows = [(b"/livez%00", 400), (b"/livez%00/../../etc", 400),
                (b"livez", 400), (b"http://x/livez", 200), (b"/livez?x=%00", 400),
                (b"/../livez", 404), (b"/%6civez", 404), (b"/livez#a", 400),
                (b"/" + b"a" * 600, 400)]
        for target, status in rows:
            with self.subTest(target=target):
                data, _ = self.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + LAST)
                self.assertEqual(statuses(data)[:1], [status], data)
        data, _ = self.exchange(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n" + LAST)
        self.assertEqual(statuses(data), [204])
        data, closed = self.exchange(b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertTrue(closed)
        self.assertNotIn(200, statuses(data))

    def test_too_many_fields(self):
        head = b"".join(b"X%d: y\r\n" % i for i in range(200))
        data, closed = self.exchange(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n")
        self.assertEqual((statuses(data), closed), ([400], True))

    def test_early_refusals_are_said_as_the_client_reads_them(self):
        paths = {b"/v1/images": "instance", b"/v2": None, b"/v2/models/digits8/infer": None, b"/v2/nothing": None,
                 b"/v1/images/generations": "message", b"/v1/images/edits?x": "message"}
        rows = [(b"Expect: 200-ok\r\n", b"", 417), (b"Transfer-Encoding: gzip, chunked\r\n", b"", 501),
                (b"Content-Length: 1\r\n" * 2, b"", 400), (b"A: b\n", b"", 400), (b"A: b\r\n" * 130, b"", 400), (b"", b"/%00", 400)]
        for path, member in paths.items():
            for field, end, status in rows:
                with self.subTest(path=path, field=field[:40]):
                    data, _ = self.exchange(b"POST " + path + end + b" HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\n" +
                                            field + b"\r\n")
                    head, _, body = data.partition(b"\r\n\r\n")
                    self.assertEqual(statuses(head), [status], data)
                    self.assertIn(b"X-Request-Id: mine\r\n", head + b"\r\n")
                    said = json.loads(body)
                    if member == "instance":
                        self.assertEqual((said["status"], said["instance"]), (status, "urn:pfgm:request:mine"))
                    else:
                        self.assertEqual(list(said), ["error"])
                        self.assertEqual(isinstance(said["error"], str), member is None)

    def test_a_delete_needs_no_length(self):
        """As curl and browsers send it. It has no body by RFC 9110, so nothing can be hidden behind it."""
        data, _ = self.exchange(b"DELETE /v1/jobs/x HTTP/1.1\r\nHost: localhost\r\n\r\n" + NEXT)
        self.assertEqual(statuses(data), [503, 200])
        for method in [b"POST", b"PUT", b"PATCH"]:
            data, closed = self.exchange(method + b" /v1/jobs/x HTTP/1.1\r\nHost: localhost\r\n\r\n" + NEXT)
            self.assertEqual((len(statuses(data)), closed), (1, True))

    def test_body_in_pieces_tangle_accelerator_506(self):
        padded = BODY + b" " * 60000
        for body, step, pause in [(BODY, 1, 0.002), (padded, 7000, 0)]:
            with self.daemon.connect() as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                s.sendall(self.post(CLOSE + b"Content-Length: %d\r\n" % len(body), b""))
                for at in range(0, len(body), step):
                    s.sendall(body[at:at + step])
                    time.sleep(pause)
                data, _ = read_answers(s)
            self.assertEqual(statuses(data), [200])
            self.assertIn(b"X-Pfgm-Seed: 11", data)

    def test_chunked_body(self):
        data, _ = self.exchange(self.post(CLOSE + b"Transfer-Encoding: chunked\r\n",
                                          b"4\r\n{\"se\r\n7;x=y\r\ned\":11}\r\n0\r\n\r\n"))
        self.assertEqual(statuses(data), [200])
        self.assertIn(b"X-Pfgm-Seed: 11", data)

    def test_pipelined_requests_keep_their_order(self):
        data, _ = self.exchange(self.post(b"Content-Length: 11\r\n")
                                + b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                + b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n" + LAST)
        self.assertEqual(statuses(data), [200, 200, 404])
        self.assertLess(data.index(b"X-Pfgm-Seed"), data.index(b'"pfgmd"'))

    def test_expect_continue_cpp_httplib_349(self):
        """It comes at once, and not when others send their body without it: in the best of five, as the machine may be busy."""
        body = BODY + b" " * 2000
        times = []
        for _ in range(5):
            with self.daemon.connect() as s:
                begun = time.monotonic()
                s.sendall(self.post(CLOSE + b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(body), b""))
                self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 100"))
                times.append(time.monotonic() - begun)
                s.sendall(body)
                data, _ = read_answers(s)
            self.assertEqual(statuses(data), [200])
        self.assertLess(min(times), 1.0)

    def test_expect_is_refused_before_the_body_cpp_httplib_349(self):
        for head, status in [(b"Content-Length: 1073741824\r\n", 413),
                             (b"Content-Length: 5\r\nContent-Type: text/plain\r\n", 415)]:
            data, closed = self.exchange(self.post(b"Expect: 100-continue\r\n" + head, b""))
            self.assertEqual((statuses(data), closed), ([status], True), data)

    def test_too_large_bodies(self):
        limit = 1 << 20
        fits = BODY + b" " * (limit - len(BODY))
        data, _ = self.exchange(
            self.post(CLOSE + b"Content-Length: %d\r\n" % limit, fits))
        self.assertEqual(statuses(data), [200])
        over = fits + b" "
        data, closed = self.exchange(self.post(b"Content-Length: %d\r\n" % (limit + 1), over))
        self.assertEqual((statuses(data), closed), ([413], True))
        problem = json.loads(data.split(b"\r\n\r\n", 1)[1])
        self.assertEqual((problem["code"], problem["limit"]), ("content_too_large", limit))
        chunks = b"100001\r\n" + over + b"\r\n0\r\n\r\n"
        data, closed = self.exchange(self.post(b"Transfer-Encoding: chunked\r\n", chunks))
        self.assertEqual((statuses(data), closed), ([413], True))

    def test_an_endless_body_is_cut(self):
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sent = 0
        with self.daemon.connect() as s:
            s.sendall(self.post(b"Transfer-Encoding: chunked\r\n", b""))
            try:
                while sent < 64 << 20:
                    s.sendall(piece)
                    sent += len(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
        self.assertLess(sent, 32 << 20)

    def test_connection_stays_usable_after_a_refusal_colibri_610(self):
        rows = [
            (b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n" + BODY, 405),
            (b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n" + BODY, 404),
            (self.post(b"Content-Length: 11\r\nContent-Type: text/x\r\n"), 415),
            (self.post(b"Content-Length: 3\r\n", b"{:x"), 400),
            (self.post(b"Content-Length: 7\r\n", b'{"n":0}'), 422),
            (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n" + BODY, 200),
        ]
        for data, status in rows:
            with self.subTest(status=status):
                answer, _ = self.exchange(data + NEXT)
                self.assertEqual(statuses(answer), [status, 200], answer)
                self.assertIn(b'"pfgmd"', answer)

    def test_client_leaves_during_the_answer_cpp_httplib_77(self):
        body = (b'{"seed":1,"n":64,"grid":{"scale":16},"solver":{"method":"euler","steps":2}}')
        self.daemon.settled()
        before = self.daemon.descriptors()
        for i in range(60):
            s = self.daemon.connect()
            s.sendall(self.post(b"Content-Length: %d\r\n" % len(body), body))
            if i % 3:
                s.recv(100)
            if i % 2:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        wait_until(lambda: self.daemon.descriptors() <= before, "as few descriptors as before")


class Slow(unittest.TestCase):
    def test_trickling_requests_are_cut_datum_gateway_186(self):
        """One byte now and then keeps no connection open, nor does silence."""
        with Daemon("--idle-timeout", "1", "--read-timeout", "1") as daemon:
            for _ in range(10):  # again where connections were idle for too long before they had begun
                if self.trickle(daemon):
                    break
            else:
                self.fail("a body that trickles has no answer")
            self.assertEqual(daemon.get("/livez").status, 200)

    def trickle(self, daemon):
        """Whether the request whose body was due had its answer; the others have none."""
        head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
        body = b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        silent = daemon.connect()
        trickling = [daemon.connect(), daemon.connect()]
        send_all(trickling[0], head)
        send_all(trickling[1], body)
        begun = time.monotonic()
        open_ones, answers = list(trickling), {s: b"" for s in trickling}
        while open_ones and time.monotonic() - begun < PATIENCE:
            for s in list(open_ones):
                data, ended = read_answers(s, 0.15)  # before the byte, which may be one to a closed end
                answers[s] += data
                if ended:
                    open_ones.remove(s)
                else:
                    send_all(s, b"a")
        self.assertFalse(open_ones)
        self.assertLess(time.monotonic() - begun, 2 + LATE)
        self.assertTrue(read_answers(silent)[1])
        for s in [silent, *trickling]:
            s.close()
        found = [statuses(answers[s]) for s in trickling]
        if found == [[], []]:
            return False
        self.assertEqual(found, [[], [408]])
        daemon.wait_line("/v1/images 408 ")
        return True

    def test_idle_connections_over_the_limit_leave_datum_gateway_186(self):
        with Daemon("--connections", "16", "--idle-timeout", "1") as daemon:
            idle = [daemon.connect() for _ in range(30)]
            begun = time.monotonic()
            self.assertEqual(daemon.get("/livez").status, 200)
            self.assertLess(time.monotonic() - begun, 1 + LATE)
            for s in idle:
                s.close()


if __name__ == "__main__":
    unittest.main()
