"""SIGTERM in each state: how soon the process ends, with which code, and what clients see."""

import re
import signal
import time
import unittest

from harness import ENDLESS, FASHION, LATE, Daemon, answered, growing, long_work
from test_lifecycle import status_of
from test_streams import Events


class Sigterm(unittest.TestCase):
    def check(self, args, least, most, *, prepare, numbers=(signal.SIGTERM,), code=0, model=...):
        """Ends after `least` to `most` seconds from the first signal; returns what was prepared. A second signal comes
        when the daemon has said what it made of the first."""
        kwargs = {} if model is ... else {"model": model, "ready": False}
        with Daemon("--workers", "1", "--batch", "2", *args, **kwargs) as daemon:
            held = prepare(daemon)
            begun = time.monotonic()
            daemon.signal(numbers[0])
            for number in numbers[1:]:
                daemon.wait_line("not ready any more" if "--drain-delay" in args else "stopping")
                daemon.signal(number)
            got = daemon.wait()
            took = time.monotonic() - begun
            if isinstance(code, int):
                self.assertEqual(got, code, daemon.lines[-5:])
            self.assertGreaterEqual(took, least)
            self.assertLess(took, most + LATE)
            return held

    def work(self, daemon):
        """Two images at once, which do not end by themselves."""
        held = [daemon.begin_images({"solver": ENDLESS, "seed": k}) for k in range(2)]
        daemon.wait_work(2)
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
        self.check(["--drain-timeout", "600"], 0, 0.5, prepare=lambda d: d.images({}))

    def test_idle_with_a_delay(self):
        self.check(["--drain-delay", "1"], 1.0, 1.2, prepare=lambda d: d.images({}))

    def test_busy_ends_with_its_work(self):
        for seconds in growing(2.0, "work that runs when the signal comes"):
            with Daemon("--workers", "1", "--batch", "2", "--drain-timeout", "600") as daemon:
                body = long_work(daemon, seconds)
                before = daemon.metrics().sum("pfgmd_images_admitted_total")
                held = [daemon.begin_images({**body, "seed": k}) for k in range(2)]
                daemon.wait_metrics(lambda m: m.sum("pfgmd_images_admitted_total") == before + 2, "work")
                daemon.signal(signal.SIGTERM)
                daemon.wait_line("stopping")
                ran = not answered(*held)
                self.assertEqual(daemon.wait(), 0)
            self.assertEqual(self.statuses(held), {200})
            if ran:
                return

    def test_busy_beyond_the_time(self):
        held = self.check(["--drain-timeout", "1"], 1.0, 2.0,
                          prepare=self.work)
        self.assertEqual(self.statuses(held), {503})

    def test_delay_and_time_add_up(self):
        held = self.check(["--drain-delay", "1", "--drain-timeout", "1"], 2.0, 3.0,
                          prepare=self.work)
        self.assertEqual(self.statuses(held), {503})

    def test_no_time_at_all(self):
        held = self.check(["--drain-timeout", "0"], 0, 1.0, prepare=self.work)
        self.assertEqual(self.statuses(held), {503})

    def test_full_queue(self):
        def fill(daemon):
            held = []
            while not re.search(rb'pfgmd_queue_images{priority="interactive"} 4\n', daemon.get("/metrics").body):
                self.assertLess(len(held), 40, "the queue does not fill")
                held.append(daemon.begin_images({"solver": ENDLESS, "seed": len(held)}))
                time.sleep(0.1)
            self.assertEqual(daemon.images({}).status, 503)
            return held
        held = self.check(["--drain-timeout", "1", "--queue", "4"], 1.0, 2.0, prepare=fill)
        self.assertEqual(self.statuses(held), {503})

    def test_open_streams(self):
        def stream(daemon):
            body = {"solver": ENDLESS, "n": 4}
            streams = [Events(daemon, body) for _ in range(2)]
            others = [daemon.begin_images({**body, "format": f}) for f in ("zip", "npy")]
            daemon.wait_metrics(lambda m: m.value("pfgmd_slots_busy") >= 2 and
                                m.value("pfgmd_slots_busy") + m.sum("pfgmd_queue_images") == 16, "work")
            return streams, others
        streams, others = self.check(["--drain-timeout", "1"], 1.0, 2.0, prepare=stream)
        for s in streams:
            kind, problem, _, _ = list(s)[-1]
            self.assertEqual((kind, problem["code"]), ("failed", "draining"))
            s.close()
        self.assertEqual(self.statuses(others), {503})

    def test_a_second_signal_while_draining(self):
        for pair in [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)]:
            held = self.check(["--drain-timeout", "600"], 0, 0.5, numbers=pair, code=143,
                              prepare=self.work)
            self.assertEqual(self.statuses(held), {None})

    def test_a_second_signal_in_the_delay(self):
        self.check(["--drain-delay", "600"], 0, 0.5, code=130,
                   numbers=(signal.SIGTERM, signal.SIGINT), prepare=lambda d: d.images({}))


if __name__ == "__main__":
    unittest.main()
