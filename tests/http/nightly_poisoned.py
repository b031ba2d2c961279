"""A shard that ends whoever takes it: after five replicas it is handed out no more, its job fails with the reason, and the
replica that says so lives on. It takes a minute, as each death is noticed only when the shard was waited for."""

import signal
import time

from fleet import Nats, file_job, replica, wait_state
from harness import ENDLESS

DELIVERIES = 5  # DELIVERIES_MAX
PATIENCE = {"timeout": 600.0}


def main():
    with Nats() as nats:
        filed = replica(nats, "--workers", "1")
        name = file_job(filed, {"n": 3, "solver": ENDLESS}).json()["id"]
        begun = time.monotonic()
        for i in range(DELIVERIES):
            with filed if i == 0 else replica(nats, "--workers", "1") as victim:
                victim.wait_metrics(lambda m: m.value("pfgmd_slots_busy") > 0, "the shard is taken")
                print(f"{time.monotonic() - begun:5.1f} s: delivery {i + 1}", flush=True)
                victim.signal(signal.SIGKILL)
                victim.wait()
        with replica(nats, "--workers", "1") as last:
            job = wait_state(last, name, "failed", **PATIENCE)
            print(f"{time.monotonic() - begun:5.1f} s: {job['error']}", flush=True)
            assert f"images 0 to 2 were handed out {DELIVERIES} times" in job["error"]["detail"], job
            assert last.metrics().value("pfgmd_slots_busy") == 0
            other = file_job(last, {"n": 3, "solver": {"method": "euler", "steps": 3}}).json()["id"]
            wait_state(last, other, "succeeded", **PATIENCE)


if __name__ == "__main__":
    main()
