"""A stream whose reader stops reading and then leaves: its work ends at once, not when a send times out."""

import array
import contextlib
import fcntl
import json
import os
import socket
import tempfile
import termios
import time
import unittest

from harness import LATE, PATIENCE, PFGM, Daemon, run, wait_until
from test_latents import npy

N = 65_536  # images that would take far longer than the test


class Departure(unittest.TestCase):
    def test_a_sender_that_leaves_with_a_piece_of_its_body_is_not_held(self):
        """The library misses an end that comes in one packet with bytes, and would wait for the rest of the body."""
        head = b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n"
        with Daemon("--read-timeout", "600") as daemon:
            daemon.settled()
            before = daemon.descriptors()
            for _ in range(20):
                with daemon.connect() as s:
                    s.sendall(head + b"{")
            wait_until(lambda: daemon.descriptors() <= before, "as few descriptors as before")
            daemon.settled()

    def ask(self, daemon):
        """A reader with a small window that has asked for a tar of many images and reads nothing of it."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(PATIENCE)
        s.connect((daemon.host, daemon.port))
        body = json.dumps({"n": N, "seed": 1, "format": "tar", "solver": {"method": "euler", "steps": 600}}).encode()
        s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return s

    @staticmethod
    def unread(s):
        count = array.array("i", [0])
        fcntl.ioctl(s, termios.FIONREAD, count)
        return count[0]

    def is_stalled(self, s):
        """Whether the window is full: nothing has come for a second."""
        before = self.unread(s)
        time.sleep(1)
        return before > 0 and self.unread(s) == before

    def test_a_stalled_reader_that_leaves_is_noticed(self):
        with Daemon("--n-max", str(N), "--queue", str(N), "--idle-timeout", "3600", "--read-timeout", "3600") as daemon:
            s = self.ask(daemon)
            wait_until(lambda: self.is_stalled(s), "the answer waits for its reader")
            self.assertGreater(daemon.metrics().sum("pfgmd_queue_images"), 0)
            begun = time.monotonic()
            s.close()
            daemon.wait_work(0)
            took = time.monotonic() - begun
            print(f"slots were free {1e3 * took:.0f} ms after the reader had left")
            self.assertLess(took, LATE)

    def test_answers_that_nobody_reads_cannot_fill_the_memory(self):
        """Each is finished and within all limits. Where they have taken all memory that there is for answers, the one
        that has stood still for longest is cut for the sake of the next request."""
        n, side = 128, 128
        body = json.dumps({"n": n, "seed": 1, "format": "npy", "dtype": "float32", "solver": {"method": "euler", "steps": 2}}).encode()
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            data, model = os.path.join(folder, "d.npy"), os.path.join(folder, "m.safetensors")
            with open(data, "wb") as f:
                f.write(npy("|u1", (2, side, side, 1), bytes(side * side) + b"\xff" * side * side))
            self.assertEqual(run(PFGM, "convert", "--exact", data, "-o", model).returncode, 0)
            daemon = stack.enter_context(Daemon("--n-max", str(n), "--queue", str(n), model=model))

            def ask_and_read_nothing(count):
                s = stack.enter_context(socket.socket())
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.connect((daemon.host, daemon.port))
                s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                daemon.wait_metrics(lambda m: m.sum("pfgmd_images_total", outcome="ok") == count * n, "the answer is made")
            for count in range(1, 8):
                ask_and_read_nothing(count)
            time.sleep(1.2)  # for so long they have stood still
            ask_and_read_nothing(8)
            self.assertIn("not delivered", daemon.wait_line("/v1/images "))
            self.assertEqual(daemon.images({"seed": 1}).status, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
