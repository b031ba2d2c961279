"""Three NATS servers that keep three copies (nats_replicas = 3), and the one that leads the images is killed while a job runs:
the job goes on with two, nothing is lost, and the third one catches up. Prints its figures."""

import contextlib
import os
import sys
import time

from fleet import Cluster, file_job, made_alone, pictures, replica, wait_job, wait_state
from harness import wait_until

IMAGES = int(os.environ.get("PFGM_FLEET_IMAGES", "2000"))
FIELDS = {"n": IMAGES, "seed": "5", "solver": {"method": "heun", "steps": 9}}
PATIENCE = {"timeout": 1800.0}


def main():
    expected, _ = made_alone(FIELDS, **PATIENCE)
    with Cluster(3) as cluster, contextlib.ExitStack() as stack:
        daemons = [stack.enter_context(replica(cluster.url(), "--nats-replicas", "3", "--workers", "1")) for _ in range(2)]
        for daemon in daemons:
            daemon.wait_line("jobs are kept at")
        begun = time.monotonic()
        name = file_job(daemons[0], FIELDS).json()["id"]
        wait_job(daemons[1], name, lambda job: job["progress"]["images_done"] >= 0.2 * IMAGES, "is begun", **PATIENCE)
        leader = cluster.leaders()["pfgm-results"]
        leader.kill()
        print(f"{time.monotonic() - begun:6.1f} s: the server that leads the images is killed", flush=True)
        job = wait_state(daemons[1], name, "succeeded", "failed", **PATIENCE)
        print(f"{time.monotonic() - begun:6.1f} s: {job['state']}, {job['progress']['images_done']} images", flush=True)
        assert job["state"] == "succeeded", job["error"]
        for daemon in daemons:
            assert pictures(daemon, name) == expected, "the images are others"
        leader.start()
        wait_until(lambda: len(cluster.leaders()) == 4, "each stream has a leader")
        other = next(server for server in cluster.servers if server is not leader)
        for _ in range(60):  # until the one that was away has its copies, another one may not go
            time.sleep(0.5)
        other.kill()
        again = stack.enter_context(replica(cluster.url(), "--nats-replicas", "3"))
        again.wait_line("jobs are kept at")
        assert pictures(again, name) == expected, "a copy is not whole"
        print(f"all {IMAGES} images are there with the first server away, and with another one away later")
    return 0


if __name__ == "__main__":
    sys.exit(main())
