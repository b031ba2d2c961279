"""Everything at once for hours, at a pace: whatever clients do, done again and again, and once a minute, when all of them
pause, a line of figures: what must be as it was before is.

    soak.py run HOURS FOLDER [--share S] [--every N] [--interval S]
    soak.py plot FOLDER FILE.svg

HOURS of load go against a daemon of its own, with its store, keys and log in FOLDER. The daemon and this process together
take S of one processor (0.25; 0 is all that they get). Each N-th image (1,000) is compared with that of `pfgm sample`. At
the end it prints what it found, and ends with 1 if that is anything.

Environment: that of tests/http."""

import argparse
import hashlib
import itertools
import json
import os
import queue
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import soak_figures
from harness import DIGITS, FASHION, MODELS, PFGM, PFGMD, Daemon, wait_until
from soak_clients import OPERATIONS, PAUSES, Answers, Unexpected
from test_metrics import check_sums
from test_reload import replace
from test_security import Admin, bearer, key_line

MIB = 1 << 20
IDLE = 1000
SLOPE_MIB = 1.0  # per hour
JUDGED_H = 1.0  # a shorter run is too short for a slope
LONG = 1800.0  # seconds, for what may be behind everything else that the machine does
SPARE_S = 5.0  # of processor, which may be spent later than it is given
BOUND_MIB = 96  # which a shorter one may grow by after its first line
ESTABLISHED, CLOSE_WAIT = "01", "08"


class Served(Daemon):
    """One whose log goes into a file: all but the lines of requests, which are counted by their status."""

    def __init__(self, log, *args, **options):
        self.log, self.requests = open(log, "a", encoding="utf-8"), {}
        super().__init__(*args, **options)

    def _read(self):
        for line in self.process.stderr:
            found = re.match(r"\S+ (?:info|debug) \S+ \S+ (\d+) [\d.]+ms ", line)
            with self.changed:
                if found:
                    self.requests[found[1]] = self.requests.get(found[1], 0) + 1
                else:
                    self.log.write(line)
                    self.log.flush()
                    self.lines = [*self.lines[-1000:], line.rstrip("\n")]
                self.changed.notify_all()


class Findings:
    def __init__(self, path):
        self.lock, self.path, self.begun, self.count = threading.Lock(), path, time.monotonic(), 0

    def minute(self):
        return (time.monotonic() - self.begun) / 60

    def add(self, text):
        with self.lock, open(self.path, "a", encoding="utf-8") as f:
            self.count += 1
            line = f"minute {self.minute():.1f}: {text}"
            f.write(line + "\n")
            print("FOUND " + line, flush=True)


class Gate:
    """Where clients wait for their next turn: while figures are taken, and while too much of the processor was used."""

    def __init__(self, spent, share):
        self.changed, self.inside, self.open, self.ended = threading.Condition(), 0, True, False
        self.spent, self.share, self.begun, self.before = spent, share, time.monotonic(), spent()
        self.seen, self.looked = self.before, 0.0

    def ahead(self):
        """Whether more was spent than there is to spend. Looks ten times per second. What others have kept it from
        spending is lost, so that it does not rush afterwards."""
        now = time.monotonic()
        if self.share and now - self.looked > 0.1:
            self.looked, self.seen = now, self.spent()
            self.begun = max(self.begun, now - (self.seen - self.before + SPARE_S) / self.share)
        return self.share and self.seen - self.before > self.share * (now - self.begun)

    def enter(self):
        """False: there are no more turns."""
        while True:
            with self.changed:
                while not self.open and not self.ended:
                    self.changed.wait()
                if self.ended:
                    return False
                if not self.ahead():
                    self.inside += 1
                    return True
            time.sleep(0.05)

    def leave(self):
        with self.changed:
            self.inside -= 1
            self.changed.notify_all()

    def close(self):
        """Until nobody is inside."""
        with self.changed:
            self.open = False
            while self.inside:
                self.changed.wait()

    def reopen(self):
        with self.changed:
            self.open = True
            self.changed.notify_all()

    def end(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()


class Judge:
    """Compares each N-th image with what the command line makes of the same inputs."""

    def __init__(self, every, findings, folder):
        self.every, self.findings, self.path = every, findings, os.path.join(folder, "judged.png")
        self.lock, self.images, self.compared = threading.Lock(), 0, 0
        self.waiting = queue.Queue()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def take(self, model, seed, solver, images):
        """`images`: (index, class or None, PNG) of each that was received."""
        with self.lock:
            first = self.images
            self.images += len(images)
            due = (first // self.every + 1) * self.every - 1 - first
        for at in range(due, len(images), self.every):
            self.waiting.put((model, seed, solver, *images[at]))

    def work(self):
        while (item := self.waiting.get()) is not None:
            model, seed, solver, index, label, png = item
            words = [PFGM, "sample", model, "--seed", str(seed), "--first-index", str(index), "-o", self.path]
            words += [w for name, value in solver.items() for w in ("--solver" if name == "method" else "--" + name, str(value))]
            words += [] if label is None else ["--class", str(label)]
            made = subprocess.run(words, capture_output=True, text=True)
            if made.returncode:
                self.findings.add(f"pfgm sample: {made.stderr.strip()}")
                continue
            with open(self.path, "rb") as f:
                right = f.read()
            self.compared += 1
            if right != png:
                self.findings.add(f"image {index} of seed {seed} of {os.path.basename(model)}, {solver}, class {label}: SHA-256 "
                                  f"{hashlib.sha256(png).hexdigest()} in the place of {hashlib.sha256(right).hexdigest()}")

    def stop(self):
        self.waiting.put(None)
        self.thread.join()


def sockets_of(daemon):
    """(inode → state of the connections at the daemon's port, inodes of the daemon's sockets)."""
    states, owned = {}, set()
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in itertools.islice(f, 1, None):
            fields = line.split()
            if int(fields[1].rsplit(":", 1)[1], 16) == daemon.port:
                states[fields[9]] = fields[3]
    folder = f"/proc/{daemon.process.pid}/fd"
    for name in os.listdir(folder):
        try:
            target = os.readlink(os.path.join(folder, name))
        except FileNotFoundError:
            continue  # closed since it was listed
        if target.startswith("socket:["):
            owned.add(target[8:-1])
    return states, owned


def figures(daemon):
    """What the system says of the daemon, without asking it."""
    states, owned = sockets_of(daemon)
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        status = dict(line.split(":", 1) for line in f)
    held = [states.get(inode) for inode in owned]
    return {"descriptors": daemon.descriptors(), "living": held.count(ESTABLISHED), "dead": held.count(CLOSE_WAIT),
            "rss_mib": round(int(status["VmRSS"].split()[0]) / 1024, 2),
            "anonymous_mib": round(int(status["RssAnon"].split()[0]) / 1024, 2), "threads": int(status["Threads"])}


class Soak:
    def __init__(self, hours, folder, share, every, interval):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        self.hours, self.folder, self.interval = hours, folder, interval
        self.findings = Findings(self.path("findings"))
        self.guest = "guest-0"
        self.write_keys()
        models = {name: self.path(name + ".safetensors") for name in ("digits8", "fashion10", "turning")}
        for name, path in models.items():
            replace(path, os.path.join(MODELS, "fashion10.safetensors") if name == "fashion10" else DIGITS)
        self.daemon = Served(
            self.path("pfgmd.log"), *(f"--model={name}={path}" for name, path in models.items()), "--admin", self.path("admin"),
            "--keys", self.path("keys"), "--state", self.path("jobs"), "--jobs-keep", "120", "--idle-timeout", "86400",
            "--read-timeout", "600", "--queue", "4096", "--n-max", "1024",
            "--log-level", "debug", model=None, ready=False)  # what monitors repeat has its line there
        self.daemon.wait_line(" info ready", LONG)
        self.admin = Admin(self.path("admin"))
        self.judge = Judge(every, self.findings, folder)
        self.answers = Answers(self.daemon, self.findings, self.judge, models)
        self.gate = Gate(self.spent, share)
        self.answers.hurry = lambda: not self.gate.open
        self.idle, self.base, self.reloads, self.last = [], None, {"ok": 0, "failed": 0}, (0, 0, time.monotonic())

    def path(self, name):
        return os.path.join(self.folder, name)

    def spent(self):
        """Processor seconds of the daemon, of this process and of the children that have ended."""
        with open(f"/proc/{self.daemon.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(os.times()[:4])

    # ---- changes while it runs ----

    def write_keys(self):
        with open(self.path("keys.new"), "w", encoding="ascii") as f:
            f.write(key_line("soak", "soak") + key_line("guest", self.guest) + key_line("viewer", "viewer", "read-only"))
        os.replace(self.path("keys.new"), self.path("keys"))

    def knows(self, key):
        return self.answers.ask("GET", "/v1/models", headers=bearer(key), expect=(200, 401)).status == 200

    def change_keys(self):
        """A new key for the guest: from then on the old one is nobody's."""
        old, self.guest = self.guest, f"guest-{int(self.guest[6:]) + 1}"
        self.write_keys()
        self.hang_up()
        wait_until(lambda: self.knows(self.guest), "the new key is known", LONG)
        if self.knows(old):
            self.findings.add("an old key is still known")

    def reloaded(self, outcome, count):
        return self.daemon.metrics().sum("pfgmd_model_reloads_total", outcome=outcome) >= count

    def hang_up(self):
        """SIGHUP loads all three models again."""
        self.reloads["ok"] += 3
        self.daemon.signal(signal.SIGHUP)
        wait_until(lambda: self.reloaded("ok", self.reloads["ok"]), "the models are loaded again", LONG)

    def turn(self, source, cut=0):
        """Another checkpoint, or a broken one, for the model "turning"."""
        outcome = "failed" if cut else "ok"
        self.reloads[outcome] += 1
        replace(self.path("turning.safetensors"), source, cut)
        self.admin.request("POST", "/admin/v1/models/turning/reload")
        self.answers.asked("202")
        wait_until(lambda: self.reloaded(outcome, self.reloads[outcome]), f"a reload that is {outcome}", LONG)

    def change(self):
        self.change_keys()
        self.turn(FASHION)
        self.turn(DIGITS, 1000)
        self.turn(DIGITS)  # so that each line is taken with the same models

    def change_idle(self):
        """A thousand connections, half of which have asked before they fell silent."""
        for s in self.idle:
            s.close()
        self.idle = [self.daemon.connect() for _ in range(IDLE)]
        for s in self.idle[::2]:
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for s in self.idle[::2]:
            self.answers.asked(s.recv(4096)[9:12].decode())

    # ---- figures ----

    def rest(self):
        """What the daemon says once all clients pause and all jobs have ended."""
        def at_rest():
            m = self.daemon.metrics()
            live = m.value("pfgmd_jobs", state="queued") + m.value("pfgmd_jobs", state="running")
            said = (m.sum("pfgmd_queue_images"), m.value("pfgmd_slots_busy"), live, m.value("pfgmd_http_requests_open"),
                    m.value("pfgmd_http_connections"))
            return m if said == (0, 0, 0, 1, len(self.idle) + 1) else None
        try:
            return wait_until(at_rest, "the daemon comes to rest", LONG)
        except AssertionError as e:
            m = self.daemon.metrics()
            gauges = ("pfgmd_queue_images", "pfgmd_slots_busy", "pfgmd_jobs", "pfgmd_http_requests_open", "pfgmd_http_connections")
            self.findings.add(f"{e}: {[(*key, value) for key, value in m.samples.items() if key[0] in gauges and value]}")
            return m

    def differences(self, m, line):
        """What the daemon says against what the system and its log say. The question itself has a connection."""
        idle = len(self.idle)
        pairs = [
            ("living connections", line["living"], idle),
            ("descriptors of connections whose client has left", line["dead"], 0),
            ("pfgmd_http_connections", m.value("pfgmd_http_connections"), idle + 1),
            ("process_open_fds", m.value("process_open_fds"), line["descriptors"] + 1),
            ("live slots of the admin socket", len(self.admin.request("GET", "/debug/slots")[1]["live"]), 0),
            ("images that failed", m.sum("pfgmd_images_total", outcome="failed"), self.answers.failures),
            ("dropped lines of the log", m.value("pfgmd_log_lines_dropped_total"), 0),
        ]
        self.answers.asked("200")
        pairs += [(f"reloads that were {o}", m.sum("pfgmd_model_reloads_total", outcome=o), n) for o, n in self.reloads.items()]
        if self.base:
            pairs += [("descriptors besides connections", line["descriptors"] - line["living"], self.base["descriptors"]),
                      ("threads", line["threads"], self.base["threads"])]
        wrong = [f"{what}: {found:g} in the place of {right:g}" for what, found, right in pairs if found != right]
        try:
            check_sums(unittest.TestCase(), m)
        except AssertionError as e:
            wrong.append(f"the metrics do not add up: {' '.join(str(e).split())}")
        return wrong + self.uncounted()

    def uncounted(self):
        """Each request has its line in the log, and those that clients saw answered are among them."""
        logged = dict(self.daemon.requests)
        m = self.daemon.metrics()
        counted = {}
        for (name, labels), value in m.samples.items():
            if name == "pfgmd_http_requests_total" and value:
                code = dict(labels)["code"]
                counted[code] = counted.get(code, 0) + value
        wrong = [] if counted == logged else [f"requests: {counted} are counted and {logged} logged"]
        return wrong + [f"{count} answers with {code} were seen, and {counted.get(code, 0):g} are counted"
                        for code, count in self.answers.seen.items() if count > counted.get(code, 0)]

    def line(self, busy):
        """A line of the file, when all is as it should be, or has not been for a minute."""
        end = time.monotonic() + 60
        while True:
            m, line = self.rest(), figures(self.daemon)
            wrong = self.differences(m, line)
            if not wrong or time.monotonic() > end:
                break
            time.sleep(0.2)
        for text in wrong:
            self.findings.add(text)
        if self.base is None:
            self.base = {"descriptors": line["descriptors"] - line["living"], "threads": line["threads"]}
        line["store_mib"] = round(m.value("pfgmd_job_store_bytes") / MIB, 2)
        self.write(busy, line)

    def write(self, busy, line):
        images, requests, then = self.last
        now, asked = time.monotonic(), sum(self.daemon.requests.values())
        minutes = (now - then) / 60
        out = {"minute": round(self.findings.minute(), 2), "busy": busy, "rest": line,
               "per_minute": {"images": round((self.judge.images - images) / minutes),
                              "requests": round((asked - requests) / minutes)},
               "images": self.judge.images, "compared": self.judge.compared, "requests": asked, "answers": self.answers.seen,
               "jobs": self.answers.jobs, "left": self.answers.left, "reloads": self.reloads,
               "spent_s": round(self.spent(), 1), "findings": self.findings.count}
        self.last = (self.judge.images, asked, now)
        with open(self.path("figures.jsonl"), "a", encoding="utf-8") as f:
            f.write(json.dumps(out) + "\n")

    # ---- the run ----

    def client(self, operation, seed):
        dice = random.Random(seed)
        while self.gate.enter():
            try:
                operation(self.answers, dice)
            except Unexpected:
                pass
            except Exception as e:  # whatever it is, it is something that a client should not see
                if self.daemon.process.poll() is None:
                    self.findings.add(f"{operation.__name__}: {type(e).__name__}: {e}")
            finally:
                self.gate.leave()
            time.sleep(PAUSES.get(operation, 0.0))

    def alive(self):
        if self.daemon.process.poll() is None:
            return True
        self.findings.add(f"pfgmd ended with {self.daemon.process.returncode}: {self.daemon.lines[-5:]}")
        return False

    def minutes(self, end):
        while time.monotonic() < end and self.alive():
            next_line = time.monotonic() + self.interval
            self.change()
            time.sleep(max(0.0, min(next_line, end) - time.monotonic()))
            busy = figures(self.daemon)
            self.gate.close()
            if random.random() < 0.1:
                self.change_idle()
            self.line(busy)
            self.gate.reopen()

    def run(self):
        self.change_idle()
        crowd = [threading.Thread(target=self.client, args=(operation, i)) for i, operation in enumerate(OPERATIONS)]
        for thread in crowd:
            thread.start()
        try:
            self.minutes(time.monotonic() + 3600 * self.hours)
        except Exception as e:
            self.findings.add(f"{type(e).__name__}: {e}")
            raise
        finally:
            self.gate.end()
            for thread in crowd:
                thread.join()
            self.judge.stop()
            self.finish()
        return 1 if self.findings.count else 0

    def finish(self):
        for s in self.idle:
            s.close()
        self.idle = []
        if self.daemon.process.poll() is None:
            self.line(figures(self.daemon))
            if self.daemon.stop() != 0:
                self.findings.add(f"pfgmd ended with {self.daemon.process.returncode}")
        self.judge_memory()
        last = soak_figures.read(self.path("figures.jsonl"))[-1]
        print(f"{last['requests']} requests, {last['images']} images, {last['compared']} compared with pfgm sample, {last['jobs']} jobs, "
              f"{last['left']} clients that left, {self.reloads['ok']} reloads, {last['spent_s']:.0f} s of processor; "
              f"{self.findings.count} findings", flush=True)

    def judge_memory(self):
        lines = soak_figures.read(self.path("figures.jsonl"))
        soak_figures.plot(lines, self.path("soak.svg"))
        first, last = lines[0]["rest"]["rss_mib"], lines[-1]["rest"]["rss_mib"]
        grown = soak_figures.memory_slope(lines)
        print(f"resident memory at rest: {first} MiB in the first line, {last} in the last one"
              + ("" if grown is None else f", {grown:+.2f} MiB per hour after the warm-up"))
        if self.hours < JUDGED_H:
            if last - first > BOUND_MIB:
                self.findings.add(f"resident memory has grown by {last - first:.1f} MiB")
        elif grown is None or grown >= SLOPE_MIB:
            self.findings.add(f"resident memory grows by {grown} MiB per hour, {SLOPE_MIB} is allowed")


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("hours", type=float)
    run.add_argument("folder")
    run.add_argument("--share", type=float, default=0.25)
    run.add_argument("--every", type=int, default=1000)
    run.add_argument("--interval", type=float, default=60.0)
    plot = commands.add_parser("plot")
    plot.add_argument("folder")
    plot.add_argument("file")
    o = parser.parse_args()
    if o.command == "plot":
        soak_figures.plot(soak_figures.read(os.path.join(o.folder, "figures.jsonl")), o.file)
        return 0
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended early"))  # with all that was found so far
    print(f"{PFGMD}, {o.hours} hours, {o.share or 'all'} of a processor, in {o.folder}", flush=True)
    return Soak(o.hours, os.path.abspath(o.folder), o.share, o.every, o.interval).run()


if __name__ == "__main__":
    sys.exit(main())
