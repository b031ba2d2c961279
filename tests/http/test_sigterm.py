"""SIGTERM in each state: how soon the process ends, with which code, and what clients see."""

import re
import signal
import time
import unittest

from harness import FASHION, SANITIZER, Daemon, long_work
from test_lifecycle import status_of
from test_streams import Events

LATE = 1.0 if SANITIZER == "none" else 4.0  # seconds on top, for a machine that does other things


class Sigterm(unittest.TestCase):
    def check(self, args, least, most, *, prepare, numbers=(signal.SIGTERM,), code=0, model=...):
        """Ends after `least` to `most` seconds from the first signal; returns what was prepared."""
        kwargs = {} if model is ... else {"model": model, "ready": False}
        with Daemon("--workers", "1", "--batch", "2", *args, **kwargs) as daemon:
            held = prepare(daemon)
            begun = time.monotonic()
            for number in numbers:
                daemon.signal(number)
                time.sleep(0.2 if len(numbers) > 1 else 0)
            got = daemon.wait()
            took = time.monotonic() - begun
            if isinstance(code, int):
                self.assertEqual(got, code, daemon.lines[-5:])
            self.assertGreaterEqual(took, least)
            self.assertLess(took, most + LATE)
            return held

    def work(self, daemon, seconds, count, **fields):
        body = long_work(daemon, seconds, **fields)
        held = [daemon.begin_images({**body, "seed": k}) for k in range(count)]
        time.sleep(0.3)
        return held

    def statuses(self, held):
        found = {status_of(s) for s in held}
        for s in held:
            s.close()
        return found

    def test_loading(self):
        many = [f"--model=f{i}={FASHION}" for i in range(30)]
        self.check(many, 0, 1, prepare=lambda d: None, model=None)

    def test_idle(self):
        self.check(["--drain-timeout", "20"], 0, 0.5, prepare=lambda d: d.images({}))

    def test_idle_with_a_delay(self):
        self.check(["--drain-delay", "1"], 1.0, 1.2, prepare=lambda d: d.images({}))

    def test_busy_ends_with_its_work(self):
        held = self.check(["--drain-timeout", "60"], 0.1, 12, prepare=lambda d: self.work(d, 1.0, 2))
        self.assertEqual(self.statuses(held), {200})

    def test_busy_beyond_the_time(self):
        held = self.check(["--drain-timeout", "1"], 1.0, 2.0,
                          prepare=lambda d: self.work(d, 60.0, 2))
        self.assertEqual(self.statuses(held), {503})

    def test_delay_and_time_add_up(self):
        held = self.check(["--drain-delay", "1", "--drain-timeout", "1"], 2.0, 3.0,
                          prepare=lambda d: self.work(d, 60.0, 2))
        self.assertEqual(self.statuses(held), {503})

    def test_no_time_at_all(self):
        held = self.check(["--drain-timeout", "0"], 0, 1.0, prepare=lambda d: self.work(d, 60.0, 2))
        self.assertEqual(self.statuses(held), {503})

    def test_full_queue(self):
        def fill(daemon):
            body, held = long_work(daemon, 60.0), []
            while not re.search(rb'pfgmd_queue_images{priority="interactive"} 4\n', daemon.get("/metrics").body):
                self.assertLess(len(held), 40, "the queue does not fill")
                held.append(daemon.begin_images({**body, "seed": len(held)}))
                time.sleep(0.1)
            self.assertEqual(daemon.images({}, timeout=20).status, 503)
            return held
        held = self.check(["--drain-timeout", "1", "--queue", "4"], 1.0, 2.0, prepare=fill)
        self.assertEqual(self.statuses(held), {503})

    def test_open_streams(self):
        def stream(daemon):
            body = long_work(daemon, 60.0, n=4)
            streams = [Events(daemon, body) for _ in range(2)]
            return streams, [daemon.begin_images({**body, "format": f}) for f in ("zip", "npy")]
        streams, others = self.check(["--drain-timeout", "1"], 1.0, 2.0, prepare=stream)
        for s in streams:
            kind, problem, _, _ = list(s)[-1]
            self.assertEqual((kind, problem["code"]), ("failed", "draining"))
            s.close()
        self.assertEqual(self.statuses(others), {503})

    def test_a_second_signal_while_draining(self):
        for pair in [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)]:
            held = self.check(["--drain-timeout", "60"], 0.2, 0.5, numbers=pair, code=143,
                              prepare=lambda d: self.work(d, 60.0, 2))
            self.assertEqual(self.statuses(held), {None})

    def test_a_second_signal_in_the_delay(self):
        self.check(["--drain-delay", "60"], 0.2, 0.5, code=130,
                   numbers=(signal.SIGTERM, signal.SIGINT), prepare=lambda d: d.images({}))


if __name__ == "__main__":
    unittest.main()
