"""Answers that are not read, or slowly: what they hold, and who gives way when there is no memory for more."""

import contextlib
import json
import os
import socket
import struct
import tempfile
import threading
import time
import unittest

from harness import PATIENCE, PFGM, SANITIZER, Daemon, run, wait_until
from jobs_calls import QUICK, file_job, wait_state
from test_latents import npy

MIB = 1 << 20
MEASURED = SANITIZER == "none"  # sanitizers keep what was freed


def memory(daemon):
    """What the daemon holds, in bytes."""
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def model_of(folder, side):
    """A model whose images have one channel of side × side."""
    data, model = os.path.join(folder, "d.npy"), os.path.join(folder, "m.safetensors")
    with open(data, "wb") as f:
        f.write(npy("|u1", (2, side, side, 1), bytes(side * side) + b"\xff" * side * side))
    assert run(PFGM, "convert", "--exact", data, "-o", model).returncode == 0
    return model


def distant(daemon, stack):
    """A connection with small segments and windows, for which the kernel here keeps little, as for one from far away."""
    s = stack.enter_context(socket.socket())
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(PATIENCE)
    s.connect((daemon.host, daemon.port))
    return s


def status_of(s):
    """The status of the answer that comes, of which no more is read."""
    return int(s.recv(12).split()[1])


def infer(n, binary):
    """A request for n samples as numbers, and that as bytes."""
    body = json.dumps({"inputs": [{"name": "seed", "datatype": "UINT64", "shape": [n], "data": list(range(n))}],
                       "outputs": [{"name": "samples", "parameters": {"binary_data": binary}}],
                       "parameters": {"method": "euler", "steps": 2}}).encode()
    return b"POST /v2/models/m/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Unread(unittest.TestCase):
    def test_the_page_and_the_document_are_held_once(self):
        """Those who ask for them and read nothing hold no copies."""
        count = 200
        with Daemon() as daemon, contextlib.ExitStack() as stack:
            for path in ["/openapi.json", "/"]:
                size = len(daemon.get(path).body)
                sockets = [distant(daemon, stack) for _ in range(count)]
                for s in sockets:  # what a connection takes in any case
                    s.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    self.assertIn(b"alive", s.recv(1000))
                before = memory(daemon)
                for s in sockets:
                    s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
                for s in sockets:
                    self.assertEqual(status_of(s), 200)
                daemon.wait_metrics(lambda m: m.value("pfgmd_http_requests_open") > count, "all wait to be read")
                more = memory(daemon) - before
                print(f"{path} of {size} bytes, {count} times unread: {more / MIB:.1f} MiB more")
                if MEASURED:
                    self.assertLess(more, count * size / 4)
                whole = sockets[0].makefile("rb").read(len(daemon.get(path).body))
                self.assertGreater(len(whole), size - 1)
                for s in sockets:
                    s.close()
                daemon.settled()

    def test_what_is_told_at_once_cannot_fill_the_memory(self):
        """Images of jobs, without end and unread: they have 64 MiB together, and whoever reads nothing gives way."""
        side, count = 512, 84
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            model, state = model_of(folder, side), os.path.join(folder, "state")
            daemon = stack.enter_context(Daemon("--state", state, model=model))
            name = file_job(daemon, {"n": 1, "seed": 1, "dtype": "float32", "solver": QUICK}).json()["id"]
            wait_state(daemon, name, "succeeded")
            path = f"/v1/jobs/{name}/images/0?format=npy"
            whole = daemon.get(path)
            self.assertEqual((whole.status, len(whole.body)), (200, 4 * side * side + 128))
            before, statuses = memory(daemon), []
            for _ in range(count):
                s = distant(daemon, stack)
                s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
                statuses.append(status_of(s))
            more = memory(daemon) - before
            print(f"{count} images of {len(whole.body)} bytes unread: {more / MIB:.0f} MiB more, {statuses.count(503)} refused")
            self.assertLessEqual(set(statuses), {200, 503})
            if MEASURED:
                self.assertLess(more, 80 * MIB)

            def again():
                answer = daemon.get(path)
                if answer.status == 200:
                    return answer
                self.assertEqual((answer.status, answer.json()["code"], answer.headers["Retry-After"]), (503, "queue_full", "1"))
                self.assertEqual(answer.headers["Cache-Control"], "no-store")
                self.assertIsNone(answer.headers["ETag"])
                return None
            self.assertEqual(wait_until(again, "somebody gives way").body, whole.body)
            self.assertIn(" 200 ", daemon.wait_line("(not delivered)"))
            self.assertEqual(daemon.images({"seed": 1, "solver": QUICK}).status, 200)

    def test_who_reads_slowly_does_not_give_way(self):
        """An answer that is read at a steady pace is not cut for others, though it was asked for first; those that
        nobody reads are."""
        n, side = 64, 128
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            daemon = stack.enter_context(Daemon("--n-max", str(n), "--queue", str(n), model=model_of(folder, side)))
            slow, full, got = distant(daemon, stack), threading.Event(), []

            def read():
                with contextlib.suppress(OSError):
                    while piece := slow.recv(65536 if full.is_set() else 2048):
                        got.append(piece)
                        full.wait(0.02)
            slow.sendall(infer(n, True).replace(b"Host:", b"Connection: close\r\nHost:"))
            got.append(slow.recv(12))
            reader = threading.Thread(target=read)
            reader.start()
            while not any("(not delivered)" in line for line in daemon.lines):
                self.assertLess(len(daemon.lines), 200)
                s = distant(daemon, stack)
                s.sendall(infer(n, True))
                if status_of(s) == 503:
                    time.sleep(0.1)
            full.set()
            reader.join(PATIENCE)
            answer = b"".join(got)
            head, _, body = answer.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
            self.assertIn(b"Content-Length: %d" % len(body), head)
            self.assertGreater(len(body), 4 * n * side * side)

    @unittest.skipUnless(MEASURED, "takes long under a sanitizer, where memory is not measured")
    def test_numbers_as_text_take_the_room_that_they_need(self):
        """An answer of KServe's interface as JSON has about 20 bytes per number."""
        n, side, count = 16, 128, 20
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            daemon = stack.enter_context(Daemon("--n-max", str(n), "--queue", str(n), model=model_of(folder, side)))
            statuses, before = [], memory(daemon)
            for _ in range(count):
                s = distant(daemon, stack)
                s.sendall(infer(n, False))
                statuses.append(status_of(s))
            self.assertLessEqual(set(statuses), {200, 503})
            more = memory(daemon) - before
            print(f"{count} answers of {n * side * side} numbers unread: {more / MIB:.0f} MiB more, {statuses.count(503)} refused")
            self.assertLess(more, 110 * MIB)

    def test_a_sheet_has_a_bound(self):
        """Nothing ends the encoding of a sheet, so it is refused before it is begun, by its pixels."""
        with tempfile.TemporaryDirectory() as folder, Daemon(model=model_of(folder, 64)) as daemon:
            most = daemon.get("/v1/capabilities").json()["limits"]["grid_bytes"]
            self.assertEqual(most, 32 * MIB)
            for path, fields in [("/v1/images", {"n": 64, "seed": 1}), ("/v1/interpolate", {"between": [{"seed": 1}, {"seed": 2}], "frames": 64})]:
                for grid, status in [({"columns": 32, "scale": 16}, 422), ({"columns": 8, "scale": 12}, 422),
                                     ({"columns": 8, "scale": 8}, 200)]:
                    with self.subTest(path=path, grid=grid):
                        answer = daemon.request("POST", path, json.dumps({**fields, "grid": grid, "format": "png", "solver": QUICK}))
                        self.assertEqual(answer.status, status, answer.body[:300])
                        if status == 422:
                            o = answer.json()
                            self.assertEqual((o["code"], o["limit"], o["errors"][0]["pointer"]), ("invalid_parameter", most, "/grid"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
