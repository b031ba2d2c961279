"""The daemon's own rate under overload against the engine's, both with one worker on core 0 and the
clients on core 1, in turns, as other things may run on the machine too."""

import json
import os
import subprocess
import sys
import threading
import time

from harness import FASHION, PFGM, Daemon

SECONDS = float(os.environ.get("PFGM_OVERLOAD_S", "20"))
STEPS = 20


def bench():
    out = subprocess.run(["taskset", "-c", "0", PFGM, "bench", "--model", FASHION, "--workers", "1",
                          "--batch", "8", "--solver", "euler", "--steps", str(STEPS), "--seconds",
                          "5", "--json"], check=True, capture_output=True).stdout
    return json.loads(out)["images_per_s"]


def serve(daemon, seconds):
    stop, counts = time.monotonic() + seconds, []

    def ask():
        while time.monotonic() < stop:
            answer = daemon.images({"n": 8, "solver": {"method": "euler", "steps": STEPS}})
            if answer.status == 200:
                counts.append(8)
            else:
                assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
                time.sleep(0.2)
    threads = [threading.Thread(target=ask) for _ in range(20)]
    begun = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sum(counts) / (time.monotonic() - begun)


def main():
    os.sched_setaffinity(0, {1})
    with Daemon("--workers", "1", "--batch", "8", "--queue", "64", model=FASHION,
                command=["taskset", "-c", "0"]) as daemon:
        rounds = [(bench(), serve(daemon, SECONDS / 2)) for _ in range(2)]
    best = max(served / own for own, served in rounds)
    for own, served in rounds:
        print(f"engine {own:.2f} images/s, daemon {served:.2f} images/s: {served / own:.1%}")
    sys.exit(best < 0.95)


if __name__ == "__main__":
    main()
