"""A stream whose reader stops reading and then leaves: its work ends at once, not when a send times out."""

import array
import fcntl
import json
import socket
import termios
import time
import unittest

from harness import LATE, PATIENCE, Daemon, wait_until

N = 30000  # images that would take far longer than the test


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
        body = json.dumps({"n": N, "seed": 1, "format": "tar", "solver": {"method": "euler", "steps": 400}}).encode()
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
        with Daemon("--n-max", str(N), "--queue", str(N)) as daemon:
            s = self.ask(daemon)
            wait_until(lambda: self.is_stalled(s), "the answer waits for its reader")
            self.assertGreater(daemon.metrics().sum("pfgmd_queue_images"), N / 2)
            begun = time.monotonic()
            s.close()
            daemon.wait_work(0)
            took = time.monotonic() - begun
            print(f"slots were free {1e3 * took:.0f} ms after the reader had left")
            self.assertLess(took, LATE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
