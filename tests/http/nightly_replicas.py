"""One, two and three replicas of one worker each behind conf/haproxy.cfg: images per second, and the processor time per image
of the replicas, of the proxy, and of the store where a job makes them. REPLICAS_S seconds for each.

Processor time does not depend on what else the machine does; images per second do, and more replicas than processors can only
share them."""

import contextlib
import json
import os
import tempfile
import time

from harness import DIGITS, MODELS, Daemon, free_ports, wait_until
from nightly_jobs import thread_seconds
from test_haproxy import Load, SEEDS, begin_proxy
import test_haproxy

SECONDS = float(os.environ.get("REPLICAS_S", "20"))
MODEL = {"digits8": DIGITS, "fashion10": os.path.join(MODELS, "fashion10.safetensors")}


def behind_proxy(model, count):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        port, *ports = free_ports(1 + count)
        replicas = [stack.enter_context(Daemon("--workers", "1", "--trusted-proxies", "127.0.0.1", "--public-url",
                                               "https://images.example", port=p, model=MODEL[model])) for p in ports]
        expected = [replicas[0].images({"seed": s}).json()["images"][0]["sha256"] for s in range(SEEDS)]
        proxy, _ = begin_proxy(stack, folder, port, ports, os.path.join(folder, "stats"))
        test_haproxy.SOLVER = {}
        time.sleep(3)  # the checks find the servers
        load = Load(port, expected)
        load.more(10)
        processes = [proxy, *(r.process for r in replicas)]
        before = [sum(thread_seconds(p).values()) for p in processes]
        answered, begun = load.answered, time.monotonic()
        time.sleep(SECONDS)
        count_now, length = load.answered - answered, time.monotonic() - begun
        spent = [sum(thread_seconds(p).values()) - b for p, b in zip(processes, before)]
        load.end()
        assert not load.failed, load.failed[:3]
        print(f"{model}, {count} replicas: {count_now / length:.1f} images/s; processor time per image: replicas "
              f"{1e3 * sum(spent[1:]) / count_now:.2f} ms, proxy {1e3 * spent[0] / count_now:.2f} ms; "
              f"{sum(spent) / length:.2f} processors were had", flush=True)


def stored(model):
    """The same by a job: all threads but the workers store, or file the job and answer."""
    with tempfile.TemporaryDirectory() as folder, Daemon("--workers", "1", "--state", folder, model=MODEL[model]) as daemon:
        body = json.dumps({"n": 1_000_000, "seed": 1})
        name = daemon.request("POST", "/v1/jobs", body, {"Content-Type": "application/json"}).json()["id"]

        def done():
            return daemon.get(f"/v1/jobs/{name}").json()["progress"]["images_done"]
        wait_until(lambda: done() > 0, "the job runs")
        first, before = done(), thread_seconds(daemon.process)
        time.sleep(SECONDS)
        count, spent = done() - first, sorted(s - before.get(t, 0) for t, s in thread_seconds(daemon.process).items())
        print(f"{model}, a job: processor time per image: worker {1e3 * spent[-1] / count:.2f} ms, store and all else "
              f"{1e3 * sum(spent[:-1]) / count:.2f} ms", flush=True)


if __name__ == "__main__":
    for which in MODEL:
        for number in (1, 2, 3):
            behind_proxy(which, number)
        stored(which)
