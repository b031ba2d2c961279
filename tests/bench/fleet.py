"""A fleet that works on one job, simulated: throughput, the time of the job, what lost replicas cost, where NATS is the bound.

    fleet.py [--image-s 0.055] [--store-us 36] [--report-us 65] [--tell-us 18] [--asked 3] [--replicas 1,3,10,30,100,300,1000] ...

Discrete events. A replica makes the images of its shard one after the other, its time per image spread as measured, and sends
them to NATS some at a time. NATS is one line: each result takes `--store-us` of it, each finished shard `--report-us` and
`--tell-us` for each replica that is asked about the job (`--asked`), divided by `--nats-cores`; and replicas call each other
every two seconds, or less often where they are more than a hundred (`--call-us` for each that hears it). A replica that waits for more than a window of acknowledgements stops. A shard is
acknowledged with its last image; the next one is fetched ahead. A replica that dies says nothing: its shards are handed out
again when nothing was heard for `--ack-s`, and only images that were not stored are made again.

The inputs are measured: image-s by pfgm bench, those in us by nats_rate.py. docs/scaling.md has the results.
"""

import argparse
import collections
import heapq
import itertools
import random

SHARD = 64   # images, JOBS_SHARD_IMAGES
GROUP = 16   # that are stored together: what a replica finishes in about a second, or 256
CALL_S, MANY = 2, 100  # SAY_NS and MANY of jobs_fleet_keep.c
WINDOW = 256  # images that a replica has sent and NATS has not acknowledged


class Replica:
    def __init__(self, number):
        self.number, self.alive = number, True
        self.shards = collections.deque()  # the one at work first, each a list of images that are left to be made
        self.unacknowledged, self.waits, self.busy = 0, False, False
        self.group = 0  # images under way


class Shard:
    def __init__(self, images):
        self.left = images      # to be made
        self.unstored = images  # to be stored
        self.owner = None


class Fleet:
    def __init__(self, o, replicas, images):
        self.o, self.images = o, images
        self.random = random.Random(replicas)
        self.replicas = [Replica(i) for i in range(replicas)]
        sizes = [SHARD] * (images // SHARD) + ([images % SHARD] if images % SHARD else [])
        self.work = collections.deque(Shard(n) for n in sizes)
        self.events, self.order = [], itertools.count()
        self.nats_free, self.nats_busy = 0.0, 0.0
        self.now, self.stored, self.made = 0.0, 0, 0

    def at(self, time, what, *args):
        heapq.heappush(self.events, (time, next(self.order), what, args))

    def nats(self, seconds):
        """When NATS has done what takes so long, after all that came before."""
        seconds /= self.o.nats_cores
        self.nats_free = max(self.nats_free, self.now) + seconds
        self.nats_busy += seconds
        return self.nats_free + self.o.round_trip_s

    def fetch(self, r):
        """Asks for shards until there is one ahead."""
        while r.alive and self.work and len(r.shards) < 2:
            shard = self.work.popleft()
            shard.owner = r
            r.shards.append(shard)
            self.nats(4e-6 * self.o.store_us)  # a delivery, signs of life, an acknowledgement
        self.make(r)

    def make(self, r):
        if not r.alive or r.busy or not r.shards or r.unacknowledged + GROUP > WINDOW:
            return
        shard = next((s for s in r.shards if s.left), None)
        if shard is None:
            return
        count = min(GROUP, shard.left)
        shard.left -= count
        r.busy, r.group = True, count
        spread = self.random.lognormvariate(-self.o.spread ** 2 / 2, self.o.spread)
        self.at(self.now + count * self.o.image_s * spread, self.made_some, r, shard, count)

    def made_some(self, r, shard, count):
        if not r.alive:
            return
        self.made += count
        r.busy, r.unacknowledged = False, r.unacknowledged + count
        self.at(self.nats(1e-6 * count * self.o.store_us), self.stored_some, r, shard, count)
        self.make(r)

    def stored_some(self, r, shard, count):
        self.stored += count  # also of one that died after it had sent them
        shard.unstored -= count
        r.unacknowledged -= count
        if shard.unstored == 0:
            self.nats(1e-6 * (self.o.report_us + min(self.o.asked, len(self.replicas)) * self.o.tell_us))
            if shard in r.shards:
                r.shards.remove(shard)
        self.fetch(r)

    def lose(self, count):
        for r in [x for x in self.replicas if x.alive][:count]:
            r.alive = False
            self.made += r.group if r.busy else 0  # at most: some of them are finished and not stored
            self.at(self.now + self.o.ack_s, self.hand_out_again, r)

    def hand_out_again(self, dead):
        for shard in dead.shards:
            if shard.unstored:
                shard.left = shard.unstored
                self.work.append(shard)
        dead.shards.clear()
        for r in self.replicas:
            self.fetch(r)

    def call(self):
        """What the replicas say to each other in a second."""
        self.nats(1e-6 * calls_per_s(len(self.replicas)) * self.o.call_us)
        self.at(self.now + 1, self.call)

    def run(self, lost=0, lost_at=0.0):
        self.call()
        for r in self.replicas:
            self.fetch(r)
        if lost:
            self.at(lost_at, self.lose, lost)
        while self.events and self.stored < self.images:
            self.now, _, what, args = heapq.heappop(self.events)
            what(*args)
        assert self.stored == self.images, (self.stored, self.images)
        return self.now


def calls_per_s(replicas):
    """Calls that are heard: each replica's by all."""
    return replicas * min(replicas, MANY) / CALL_S


def share(o, replicas):
    """Of NATS's time that a fleet takes which works as fast as it can."""
    per_image = o.store_us + (o.report_us + min(o.asked, replicas) * o.tell_us) / SHARD
    return 1e-6 * (replicas / o.image_s * per_image + calls_per_s(replicas) * o.call_us) / o.nats_cores


def bound(o):
    """Replicas at which NATS has no time left."""
    return next(replicas for replicas in itertools.count(1) if share(o, replicas) >= 1)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--image-s", type=float, default=0.055, help="seconds per image of one replica")
    a.add_argument("--spread", type=float, default=0.1, help="of that time, the standard deviation of its logarithm")
    a.add_argument("--store-us", type=float, default=36)
    a.add_argument("--report-us", type=float, default=65)
    a.add_argument("--tell-us", type=float, default=18)
    a.add_argument("--asked", type=float, default=3, help="replicas that are asked about the job, and so follow it")
    a.add_argument("--call-us", type=float, default=0.7)
    a.add_argument("--nats-cores", type=float, default=1)
    a.add_argument("--round-trip-s", type=float, default=0.001)
    a.add_argument("--ack-s", type=float, default=10)
    a.add_argument("--images", type=int, default=50_000)
    a.add_argument("--lost", type=float, default=0.1, help="share of the replicas that die at half time, at least one")
    a.add_argument("--replicas", default="1,3,10,30,100,300,1000")
    o = a.parse_args()
    print(f"inputs: {o.image_s * 1e3:g} ms per image, spread {o.spread:g}; NATS {o.store_us:g} us to store, "
          f"{o.report_us:g} us and {o.tell_us:g} us per follower for a report, {o.asked:g} followers, {o.nats_cores:g} cores; a silent shard comes back after {o.ack_s:g} s; {o.images} images")
    print(f"NATS has no time left at {bound(o)} replicas")
    print("| replicas | images/s | of the ideal | job | NATS busy | one lost | lost | then longer by | images made twice |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for count in map(int, o.replicas.split(",")):
        whole = Fleet(o, count, o.images)
        length = whole.run()
        row = [f"{count}", f"{o.images / length:.0f}", f"{o.images / length * o.image_s / count:.1%}", f"{length:.0f} s",
               f"{whole.nats_busy / length:.1%}"]
        if count == 1:
            print("| " + " | ".join(row) + " | – | – | – | – |")
            continue
        one = Fleet(o, count, o.images)
        row.append(f"{one.run(1, length / 2) - length:+.1f} s")
        many = Fleet(o, count, o.images)
        lost = max(1, round(o.lost * count))
        longer = many.run(lost, length / 2) - length
        print("| " + " | ".join(row + [f"{lost}", f"{longer:+.1f} s", f"{many.made - o.images}"]) + " |")


if __name__ == "__main__":
    main()
