"""A fleet that loses what it can lose while it works on one job: the replica that accepted it, another one, a third for
longer than a shard is waited for, and the NATS server itself. In the end every image is there, once, and is the one that
a daemon by itself makes. Prints its figures."""

import json
import os
import signal
import sys
import threading
import time

from fleet import Nats, file_job, made_alone, pause, pictures, replica, wait_job, wait_state

IMAGES = int(os.environ.get("PFGM_FLEET_IMAGES", "5000"))
FIELDS = {"n": IMAGES, "seed": "18446744073709551615", "solver": {"method": "heun", "steps": 18}}
ACK_S = 10  # JOBS_WIRE_ACK_S
PATIENCE = {"timeout": 3600.0}


def events(daemon, name):
    """Index of each image in the order of the events."""
    text = daemon.get(f"/v1/jobs/{name}/events").body.decode()
    blocks = [block for block in text.split("\n\n") if "\nevent: image\n" in block]
    return [json.loads(block.split("data: ", 1)[1])["index"] for block in blocks]


def done(job):
    return job["progress"]["images_done"]


def main():
    expected, took = made_alone(FIELDS, "--workers", "1", **PATIENCE)
    print(f"one daemon by itself: {IMAGES} images in {took:.1f} s", flush=True)
    with Nats() as nats:
        daemons = [replica(nats, "--workers", "1") for _ in range(4)]
        accepting, killed, stopped, asked = daemons
        begun = time.monotonic()
        name = file_job(accepting, FIELDS).json()["id"]

        def step(part, what):
            """Goes on when so many images are there."""
            job = wait_job(asked, name, lambda job: done(job) >= part * IMAGES or job["state"] == "succeeded", what,
                           **PATIENCE)
            print(f"{time.monotonic() - begun:6.1f} s, {done(job)} images: {what}", flush=True)
            assert job["state"] == "running", job["state"]

        step(0.1, "the replica that accepted the job is gone for good")
        accepting.signal(signal.SIGKILL)
        step(0.25, f"another one is stopped for {ACK_S + 5} s")
        pausing = threading.Thread(target=pause, args=(stopped, ACK_S + 5))
        pausing.start()
        step(0.35, "a third one is killed")
        killed.signal(signal.SIGKILL)
        killed.wait()
        step(0.5, "the NATS server is killed, and started again after 3 s")
        nats.kill()
        time.sleep(3)
        nats.start()
        pausing.join()
        killed = replica(nats, "--workers", "1")  # it comes back, as a new process
        daemons.append(killed)
        job = wait_state(asked, name, "succeeded", "failed", **PATIENCE)
        took = time.monotonic() - begun
        print(f"{took:6.1f} s: {job['state']}, {done(job)} images", flush=True)
        assert job["state"] == "succeeded", job["error"]
        new = replica(nats)
        daemons.append(new)
        for daemon in (asked, stopped, new):  # none of which saw the submission
            assert pictures(daemon, name) == expected, "the images are others"
            order = events(daemon, name)
            assert sorted(order) == list(range(IMAGES)), "an image is missing, or there twice"
        made = sum(int(d.metrics().sum("pfgmd_images_total")) for d in (asked, stopped, killed))
        print(f"all {IMAGES} images are there, each once, and are one daemon's; three replicas of the five made {made}")
        for daemon in daemons:
            daemon.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
