"""A stream whose reader stops reading and then leaves: its work ends at once, not when a send times out."""

import json
import re
import socket
import time
import unittest

from harness import Daemon

SLOW = 1 if __import__("harness").SANITIZER == "none" else 10


def busy(daemon):
    text = daemon.get("/metrics").body.decode()
    return sum(float(re.search(r"^%s(?:\{[^}]*\})? ([0-9.e+]+)$" % name, text, re.M).group(1))
               for name in ("pfgmd_slots_busy", "pfgmd_queue_images"))


class Departure(unittest.TestCase):
    def stalled(self, daemon, n):
        """A reader with a small window that has asked for a tar of n images and reads nothing of it."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(60)
        s.connect((daemon.host, daemon.port))
        body = json.dumps({"n": n, "seed": 1, "format": "tar", "solver": {"method": "euler", "steps": 400}}).encode()
        s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return s

    def test_a_stalled_reader_that_leaves_is_noticed(self):
        n = 30000
        with Daemon("--n-max", str(n), "--queue", str(n)) as daemon:
            s = self.stalled(daemon, n)
            s.recv(1)  # the answer has begun, and now waits for a reader
            time.sleep(2 * SLOW)
            self.assertGreater(busy(daemon), 16)
            begun = time.monotonic()
            s.close()
            while busy(daemon) > 0:
                self.assertLess(time.monotonic() - begun, 5 * SLOW)
                time.sleep(0.02)
            print("slots were free %.0f ms after the reader had left" % (1e3 * (time.monotonic() - begun)))
            self.assertLess(time.monotonic() - begun, 1.0 * SLOW)


if __name__ == "__main__":
    unittest.main(verbosity=2)
