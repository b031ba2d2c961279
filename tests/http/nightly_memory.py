"""The container's 512 MB, with its model and its settings, under the worst mix that is known: the dearest bodies of the
largest size, bodies that stall, thousands of connections with half a head, finished answers that nobody reads, and a
reload; all at once, in a memory cgroup of that size. The daemon must live, answer about its health meanwhile, and make
the same images afterwards.

    nightly_memory.py [MEGABYTES]

Where no memory cgroup can be made, its own peak is compared with the limit instead, and that is said."""

import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time

from harness import MODELS, Daemon, wait_until
from routes import FORM
from test_costs import MIB, SIZE, bodies_of, peak
from test_latents import post

BUNDLED = os.path.join(MODELS, "fashion10.safetensors")
LIMIT = int(sys.argv[1] if len(sys.argv) > 1 else 512) * 1_000_000
CONNECTIONS, STALLED, UNREAD = 3000, 300, 200


class Group:
    """A memory cgroup within our own, of either version; `folder` is None where none can be made."""

    def __init__(self, limit):
        self.folder = None
        with open("/proc/self/cgroup", encoding="ascii") as f:
            lines = [line.rstrip("\n").split(":", 2) for line in f]
        v1 = next((path for _, names, path in lines if "memory" in names.split(",")), None)
        own = next((path for number, _, path in lines if number == "0"), "/")
        top, names = ("/sys/fs/cgroup/memory" + v1, ("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.failcnt")) if v1 \
            else ("/sys/fs/cgroup" + own, ("memory.max", "memory.peak", "memory.events"))
        self.limit, self.most, self.failures = names
        folder = os.path.join(top, f"pfgmd-memory-{os.getpid()}")
        try:
            os.mkdir(folder)
            self.folder = folder
            with open(os.path.join(folder, self.limit), "w", encoding="ascii") as f:
                f.write(str(limit))
        except OSError as e:
            self.why = str(e)
            self.remove()

    def command(self):
        """Puts what it starts into the group."""
        return ["sh", "-c", f'echo $$ >{self.folder}/cgroup.procs && exec "$@"', "sh"] if self.folder else []

    def read(self, name):
        try:
            with open(os.path.join(self.folder, name), encoding="ascii") as f:
                return f.read().strip()
        except FileNotFoundError:
            return "not known"

    def remove(self):
        if self.folder:
            os.rmdir(self.folder)
        self.folder = None


def half_heads(daemon, stack):
    """Connections whose head goes on as long as it may, and does not end."""
    for _ in range(CONNECTIONS):
        s = stack.enter_context(daemon.connect())
        s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nX-Half: " + b"x" * 7000)


def stalled_bodies(daemon, stack):
    for _ in range(STALLED):
        s = stack.enter_context(daemon.connect())
        s.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000001\r\n\r\n" + b" " * 1_000_000)


def unread_answers(daemon, stack):
    """Each of the largest number of images, as floats, finished and not read."""
    for i in range(UNREAD):
        s = stack.enter_context(daemon.begin_images({"n": 64, "seed": i, "dtype": "float32", "format": "npz",
                                                     "solver": {"method": "euler", "steps": 1}}))
        s.settimeout(600)


def dear_bodies(daemon, seconds, seen, wrong):
    """The dearest of each kind, four at a time, again and again."""
    dear = [(name, path, kind, body) for name, path, kind, body, _ in bodies_of(SIZE)
            if name in ("a long string", "strings", "numbers", "the same as an end", "an array", "two pictures with texts")
            or kind == FORM]
    end = time.monotonic() + seconds

    def send(dice):
        while time.monotonic() < end:
            name, path, kind, body = dice.choice(dear)
            try:
                seen.append((name, post(daemon, path, body, kind).status))
            except OSError as e:
                if daemon.process.poll() is None and not isinstance(e, (BrokenPipeError, ConnectionResetError)):
                    wrong.append(f"{name}: {e}")
    threads = [threading.Thread(target=send, args=(random.Random(i),)) for i in range(5)]
    for t in threads:
        t.start()
    return threads


def mix(daemon, stack, seconds):
    """What was answered with what, and what went wrong."""
    seen, wrong, slowest = [], [], 0.0
    half_heads(daemon, stack)
    threads = dear_bodies(daemon, seconds, seen, wrong)
    stalled_bodies(daemon, stack)
    unread_answers(daemon, stack)
    daemon.signal(signal.SIGHUP)
    while any(t.is_alive() for t in threads) and daemon.process.poll() is None:
        asked = time.monotonic()
        if daemon.get("/livez").status != 200:
            wrong.append("/livez")
        slowest = max(slowest, time.monotonic() - asked)
        time.sleep(0.1)
    for t in threads:
        t.join()
    return seen, wrong, slowest


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    group = Group(LIMIT)
    if not group.folder:
        print(f"no memory cgroup can be made here ({group.why}); the process's own peak is measured", flush=True)
    with tempfile.TemporaryDirectory() as state, contextlib.ExitStack() as stack:
        stack.callback(lambda: wait_until(lambda: not group.remove(), "the group is empty") if group.folder else None)
        model = shutil.copy(BUNDLED, state)
        daemon = stack.enter_context(Daemon("--state", os.path.join(state, "jobs"), "--read-timeout", "600", model=model,
                                            command=group.command()))
        right = daemon.images({"seed": 7, "n": 2}).json()["images"]
        seen, wrong, slowest = mix(daemon, stack, float(os.environ.get("MIX_S", "60")))
        if daemon.process.poll() is not None:
            sys.exit(f"pfgmd ended with {daemon.process.returncode}: {daemon.lines[-3:]}")
        if wait_until(lambda: (a := daemon.images({"seed": 7, "n": 2})).status == 200 and a, "an answer").json()["images"] != right:
            wrong.append("the same seed makes other images")
        counts = {}
        for name, status in seen:
            counts.setdefault(name, {}).setdefault(status, 0)
            counts[name][status] += 1
        for name, found in counts.items():
            print(f"{name}: {found}")
        print(f"the slowest answer about health took {slowest:.2f} s; the most resident {peak(daemon) / MIB:.0f} MiB"
              + (f"; of the group {int(group.read(group.most)) / MIB:.0f} MiB, {' '.join(group.read(group.failures).split())} times at its limit"
                 if group.folder else ""))
        if peak(daemon) >= LIMIT:
            wrong.append(f"more than {LIMIT} bytes")
    if wrong:
        sys.exit("\n".join(wrong[:20]))


if __name__ == "__main__":
    main()
