"""The daemon's own rate under overload against the engine's, both with one worker on core 0 and the
clients on core 1. Other things may run on the machine too, so short measurements of both take turns
and the medians are compared; the checkpoint, the solver and the batch are the same."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time

from harness import FASHION, PFGM, Daemon

SECONDS = float(os.environ.get("PFGM_OVERLOAD_S", "20"))
ROUNDS = 5
STEPS = 20
BATCH = 8
SOLVER = {"method": "euler", "steps": STEPS}


def bench(seconds):
    out = subprocess.run(["taskset", "-c", "0", PFGM, "bench", "--model", FASHION, "--workers", "1",
                          "--batch", str(BATCH), "--solver", "euler", "--steps", str(STEPS),
                          "--seconds", str(seconds), "--json"], check=True,
                         capture_output=True).stdout
    return json.loads(out)["images_per_s"]


def images_done(daemon, nfe):
    """In evaluations of the field, which come more evenly than whole images, eight at a time."""
    text = daemon.get("/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.split("\n")
               if line.startswith("pfgmd_field_evaluations_total{")) / nfe


def serve(daemon, nfe, seconds):
    """Images a second that the daemon makes, between two looks while the crowd asks: neither the
    crowd's arrival nor its end counts."""
    end = time.monotonic() + 1.0 + seconds

    def ask():
        while time.monotonic() < end + 0.5:
            answer = daemon.images({"n": BATCH, "solver": SOLVER})
            if answer.status != 200:
                assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
                time.sleep(0.2)
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for t in threads:
        t.start()
    time.sleep(1.0)
    first, begun = images_done(daemon, nfe), time.monotonic()
    time.sleep(max(0.0, end - time.monotonic()))
    rate = (images_done(daemon, nfe) - first) / (time.monotonic() - begun)
    for t in threads:
        t.join()
    return rate


def main():
    os.sched_setaffinity(0, {1})
    slice_s = max(2.0, SECONDS / ROUNDS / 2)
    with Daemon("--workers", "1", "--batch", str(BATCH), "--queue", "64", model=FASHION,
                command=["taskset", "-c", "0"]) as daemon:
        nfe = daemon.images({"solver": SOLVER}).json()["images"][0]["nfe"]
        rounds = [(bench(slice_s), serve(daemon, nfe, slice_s)) for _ in range(ROUNDS)]
    for own, served in rounds:
        print(f"engine {own:.2f} images/s, daemon {served:.2f} images/s: {served / own:.1%}")
    ratio = statistics.median(s for _, s in rounds) / statistics.median(o for o, _ in rounds)
    print(f"of the medians: {ratio:.1%}")
    sys.exit(ratio < 0.95)


if __name__ == "__main__":
    main()
