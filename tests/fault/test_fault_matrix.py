"""Signals in each state of the daemon, a wall clock that jumps, limits of processes, descriptors and memory, and, with
MATRIX_NIGHT, what takes longer: a disk that is full in truth, ten thousand connections, clients that vanish, and a network
that loses and delays.

After each: nothing that was acknowledged is lost, no answer is wrong, the same image has the same bytes, the metrics add up.

Environment: that of tests/http, and CLOCK_SHIM."""

import hashlib
import io
import mmap
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "http")]
from harness import DIGITS, ENDLESS, FASHION, LATE, PFGMD, Daemon, run, wait_until  # noqa: E402
import wire  # noqa: E402
from jobs_calls import file_job, wait_state  # noqa: E402
from routes import plain, requests  # noqa: E402
from test_costs import forget, peak  # noqa: E402
from test_fault_cli import png  # noqa: E402
from test_lifecycle import status_of  # noqa: E402
from test_metrics import check_sums  # noqa: E402
from test_reload import replace  # noqa: E402
from test_security import Admin, bearer, key_line  # noqa: E402

NIGHT = os.environ.get("MATRIX_NIGHT") == "1"
ROUNDS = int(os.environ.get("MATRIX_ROUNDS", "1"))
SHORT = {"seed": 3, "solver": {"method": "euler", "steps": 5}}
JOB = {"n": 40, "seed": 9, "solver": {"method": "euler", "steps": 10}}
PICTURE = png(0)
STATES = ("idle", "loading", "loaded", "draining", "reloading")
SLOW = 4  # models that are loaded where loading must last until a signal has come


class Life:
    """A daemon in a state, with a job that was acknowledged before and is under way, and requests that it has taken."""

    def __init__(self, case, state, source):
        self.case, self.state = case, state
        self.folder = tempfile.TemporaryDirectory()
        case.addCleanup(self.folder.cleanup)
        self.model, self.admin_path = self.path("m.safetensors"), self.path("admin")
        replace(self.model, DIGITS)
        shutil.copytree(source, self.path("state"))
        slow = [f"--model=f{i}={FASHION}" for i in range(SLOW)] if state in ("loading", "reloading") else []
        self.args = [f"--model=digits8={self.model}", *slow, "--admin", self.admin_path, "--state", self.path("state"),
                     "--workers", "2", "--drain-timeout", "600"]
        self.daemon = Daemon(*self.args, model=None, ready=state != "loading")
        case.addCleanup(self.daemon.stop)
        self.admin = Admin(self.admin_path)
        self.short, self.endless = [], None
        if state in ("loaded", "draining"):
            self.endless = self.daemon.begin_images({"solver": ENDLESS, "n": 2})
            self.daemon.wait_metrics(lambda m: m.value("pfgmd_slots_busy") >= 2, "work")
            self.short = [self.daemon.begin_images(SHORT) for _ in range(3)]
            self.daemon.wait_metrics(lambda m: m.sum("pfgmd_images_admitted_total") >= 5, "all of the work")
        if state == "draining":
            self.daemon.signal(signal.SIGTERM)
            self.daemon.wait_line("stopping")
        if state == "reloading":
            self.daemon.signal(signal.SIGHUP)
            self.daemon.wait_line("SIGHUP")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def leave(self):
        if self.endless:
            self.endless.close()
        self.endless = None

    def answers(self, *right):
        for s in self.short:
            self.case.assertIn(status_of(s), right)
            s.close()
        self.short = []

    def reloads(self):
        return self.daemon.metrics().sum("pfgmd_model_reloads_total", outcome="ok")

    def lives_well(self):
        """It answers, the image is the same, and what was counted adds up."""
        self.leave()
        answer = wait_until(lambda: (a := self.daemon.images(SHORT)).status == 200 and a, "an image")
        self.case.assertEqual(answer.json()["images"][0]["sha256"], self.case.right)
        check_sums(self.case, wait_until(self.rests, "the daemon comes to rest"))

    def rests(self):
        m = self.daemon.metrics()
        idle = m.sum("pfgmd_queue_images") == m.value("pfgmd_slots_busy") == 0 and m.value("pfgmd_http_requests_open") == 1
        return m if idle and not self.daemon.get("/v1/jobs?state=running").json()["jobs"] else None

    def ends(self, code):
        self.case.assertEqual(self.daemon.wait(), code, self.daemon.lines[-5:])
        self.leave()
        for s in self.short:
            s.close()
        self.short = []

    def goes_on(self):
        """Another daemon on what is left ends the job with the right images."""
        self.daemon.stop()
        with Daemon(f"--model=digits8={self.model}", "--admin", self.admin_path, "--state", self.path("state"), model=None) as again:
            self.case.assertEqual(wait_state(again, self.case.job, "succeeded", "failed")["state"], "succeeded")
            data = again.get(f"/v1/jobs/{self.case.job}/archive?format=tar").body
            with tarfile.open(fileobj=io.BytesIO(data)) as t:
                names = [f"pfgm-9-{i}.png" for i in range(JOB["n"])]
                self.case.assertEqual([hashlib.sha256(t.extractfile(n).read()).hexdigest() for n in names], self.case.digests)
            self.case.assertEqual(again.images(SHORT).json()["images"][0]["sha256"], self.case.right)
        self.case.assertEqual(sorted(os.listdir(self.folder.name)), ["m.safetensors", "state"])
        self.case.assertLessEqual(set(os.listdir(self.path("state"))), {"jobs.sqlite3", "jobs.sqlite3-wal", "jobs.sqlite3-shm", "lock"})


def terminate(life):
    """SIGTERM: what was taken is answered; in a drain it ends at once."""
    life.daemon.signal(signal.SIGTERM)
    if life.state == "draining":
        life.ends(143)
        return
    if life.state == "loaded":
        life.daemon.wait_line("stopping")
        life.leave()
        life.answers(200)
    life.ends(0)


def kill(life):
    life.daemon.signal(signal.SIGKILL)
    life.ends(-signal.SIGKILL)


def hang_up(life):
    """SIGHUP: everything is loaded again, whatever else goes on; a drain is not held up by it."""
    before = life.reloads()
    life.daemon.signal(signal.SIGHUP)
    life.daemon.wait_line("SIGHUP", count=2 if life.state == "reloading" else 1) if life.state != "draining" else None
    if life.state == "draining":
        life.leave()
        life.answers(200)
        life.ends(0)
        return
    wait_until(lambda: life.reloads() > before, "a reload")
    life.leave()
    life.answers(200)
    life.lives_well()


def stand_still(life):
    """SIGSTOP, requests of those who stay and of one who leaves, SIGCONT: those who stayed are answered."""
    life.daemon.signal(signal.SIGSTOP)
    asked = [life.daemon.begin_images(SHORT) for _ in range(3)]
    life.daemon.begin_images(SHORT).close()
    time.sleep(0.3)
    life.daemon.signal(signal.SIGCONT)
    right = {"loading": (200, 503), "draining": (503,)}.get(life.state, (200,))
    life.leave()
    for s in asked:
        life.case.assertIn(status_of(s), (*right, None) if life.state == "draining" else right)
        s.close()
    life.answers(200)
    if life.state == "draining":
        life.ends(0)
    else:
        life.lives_well()


SIGNALS = (terminate, kill, hang_up, stand_still)


class Signals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A store with a job that has begun."""
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.source = os.path.join(folder.name, "state")
        with Daemon("--state", cls.source) as daemon:
            cls.right = daemon.images(SHORT).json()["images"][0]["sha256"]
            cls.digests = [i["sha256"] for i in daemon.images(JOB).json()["images"]]
            cls.job = file_job(daemon, JOB).json()["id"]
            daemon.signal(signal.SIGKILL)
            daemon.wait()

    def test_each_signal_in_each_state(self):
        """In the suite in every other one."""
        cells = [(send, state) for i, send in enumerate(SIGNALS) for j, state in enumerate(STATES) if NIGHT or (i + j) % 2 == 0]
        for number in range(ROUNDS):
            for send, state in cells:
                with self.subTest(signal=send.__name__, state=state, round=number):
                    life = Life(self, state, self.source)
                    send(life)
                    life.goes_on()
        print(f"{ROUNDS} rounds of {len(cells)} pairs of a signal and a state")


class Clock(unittest.TestCase):
    """Only the clock on the wall jumps: by hours and years, forwards and back."""

    JUMPS = (3600, -7200, 400 * 86400, -10 * 365 * 86400, 20 * 365 * 86400, 0)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        path = os.path.join(self.folder, "clock")
        with open(path, "wb") as f:
            f.truncate(4096)
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        self.env = {"LD_PRELOAD": os.environ["CLOCK_SHIM"], "CLOCK_CONTROL": path}

    def jump(self, seconds):
        struct.pack_into("=q", self.page, 0, seconds * 1_000_000_000)

    def test_what_waits_goes_on_as_if_nothing_had_happened(self):
        with Daemon("--state", os.path.join(self.folder, "state"), "--workers", "2", "--batch", "4", "--watchdog", "60",
                    "--drain-timeout", "600", "--read-timeout", "1200", "--idle-timeout", "1200", "--jobs-keep", "31536000",
                    env=self.env) as daemon:
            right = daemon.images(SHORT).json()["images"][0]["sha256"]
            idle = daemon.connect()
            held = daemon.begin_images({"solver": ENDLESS, "timeout_s": 3000})
            half = daemon.connect()
            half.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{")
            daemon.wait_metrics(lambda m: m.value("pfgmd_slots_busy") == 1 and m.value("pfgmd_http_requests_open") == 3, "work")
            long = file_job(daemon, {"n": 4, "solver": ENDLESS}).json()["id"]
            wait_state(daemon, long, "running")
            for seconds in self.JUMPS:
                self.jump(seconds)
                with self.subTest(jump=seconds):
                    name = file_job(daemon, {"n": 2, **SHORT}).json()["id"]
                    job = wait_state(daemon, name, "succeeded", "failed")
                    self.assertEqual(job["state"], "succeeded")
                    year = time.gmtime(time.time() + seconds).tm_year
                    self.assertTrue(job["finished_at"].startswith(f"{year}-"), (job["finished_at"], year))
                    self.assertEqual(daemon.images(SHORT).json()["images"][0]["sha256"], right)
                    self.assertEqual(daemon.get("/livez").status, 200)
                    self.assertEqual(daemon.get(f"/v1/jobs/{long}").json()["state"], "running")
                    daemon.wait_line(f"{year}-")
            time.sleep(0.5)  # the watcher has looked
            half.sendall(b"}")
            self.assertEqual(status_of(half), 200)
            idle.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(status_of(idle), 200)
            daemon.signal(signal.SIGTERM)
            daemon.wait_line("stopping")
            self.jump(86400)
            time.sleep(0.3)
            self.assertIsNone(daemon.process.poll())
            held.close()
            self.assertEqual(daemon.wait(), 0)
            for s in (idle, half):
                s.close()

    def test_quotas_and_links_follow_the_clock_and_come_back(self):
        keys = os.path.join(self.folder, "keys")
        with open(keys, "w", encoding="ascii") as f:
            f.write(key_line("few", "few", "images=2"))
        with Daemon("--keys", keys, "--link-lifetime", "60", env=self.env) as daemon:
            def ask():
                return daemon.request("POST", "/v1/images", "{}", bearer("few"))
            first = ask()
            self.assertEqual((first.status, ask().status, ask().status), (200, 200, 429))
            url = first.json()["images"][0]["url"]
            self.jump(86400)
            self.assertEqual((daemon.get(url).status, ask().status), (403, 200))  # the link has expired; a new day
            self.jump(0)
            self.assertLess(int(daemon.get(url).status), 500)
            self.jump(-86400)
            self.assertIn(ask().status, (200, 429))
            self.assertEqual(daemon.get("/livez").status, 200)


class Limits(unittest.TestCase):
    def prlimit(self, daemon, user=(), **limits):
        """As the daemon's own user: a root without CAP_SYS_RESOURCE may not change those of another one's."""
        for name, value in limits.items():
            subprocess.run([*user, "prlimit", "--pid", str(daemon.process.pid), f"--{name}={value}"], check=True)

    @staticmethod
    def folder_for_nobody(case):
        folder = tempfile.TemporaryDirectory()
        case.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o777)
        model = shutil.copy(DIGITS, folder.name)
        program = shutil.copy(PFGMD, folder.name)
        for path in (model, program):
            os.chmod(path, 0o755)
        return folder.name, model, program

    def test_no_thread_can_be_started(self):
        """As a user who may have no more of them: a start says so and ends; a reload says so, and the old model stays."""
        if os.geteuid() != 0:
            self.skipTest("root is not bound by its own limit, and only root can become somebody else")
        _, model, program = self.folder_for_nobody(self)
        user = ["setpriv", "--reuid", "64999", "--regid", "64999", "--clear-groups"]
        result = run(*user, "prlimit", "--nproc=3", program, "--model", model, "--listen", "127.0.0.1:0")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertRegex(result.stderr.decode().splitlines()[-1], "error .*(thread|Resource temporarily unavailable)")
        with Daemon(model=model, command=user) as daemon:
            right = daemon.images(SHORT).json()["images"]
            self.prlimit(daemon, user, nproc="1:")
            daemon.signal(signal.SIGHUP)
            daemon.wait_line(" error ")
            self.assertEqual(daemon.images(SHORT).json()["images"], right)
            self.prlimit(daemon, user, nproc="1000:")
            daemon.signal(signal.SIGHUP)
            wait_until(lambda: daemon.metrics().sum("pfgmd_model_reloads_total", outcome="ok") == 1, "a reload")
            self.assertEqual(daemon.images(SHORT).json()["images"], right)

    def test_descriptors_end_while_it_runs(self):
        """None is left for connections, store and models: who waits is served when there are some again."""
        with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder) as daemon:
            right = daemon.images(SHORT).json()["images"]
            name = file_job(daemon, {"n": 300, **SHORT}).json()["id"]
            self.prlimit(daemon, nofile=f"{daemon.descriptors()}:")
            daemon.signal(signal.SIGHUP)
            waiting = [daemon.begin_images(SHORT) for _ in range(4)]
            daemon.wait_line("SIGHUP")
            time.sleep(0.3)
            self.prlimit(daemon, nofile="1024:")
            for s in waiting:
                self.assertEqual(status_of(s), 200)
                s.close()
            self.assertEqual(wait_state(daemon, name, "succeeded", "failed")["state"], "succeeded")
            self.assertEqual(daemon.images(SHORT).json()["images"], right)

    def test_memory_ends_while_it_runs(self):
        """A few MiB above what it has: what is too large is refused, and everything else goes on."""
        with Daemon() as daemon:
            right = daemon.images(SHORT).json()["images"]
            with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as f:
                held = int(f.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            self.prlimit(daemon, **{"as": f"{held + (4 << 20)}:"})
            seen = {daemon.request("POST", "/v1/encode", b" " * (16 << 20) + b"{}").status for _ in range(5)}
            self.assertLessEqual(seen, {500, 503})
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("digits8", count=2)
            self.assertEqual(daemon.images(SHORT).json()["images"], right)
            self.prlimit(daemon, **{"as": "unlimited:"})
            self.assertEqual(daemon.request("POST", "/v1/encode", b" " * (16 << 20) + b"{}").status, 422)
            self.assertEqual(daemon.images(SHORT).json()["images"], right)
            check_sums(self, daemon.settled())


@unittest.skipUnless(NIGHT, "at night: MATRIX_NIGHT=1")
class Disk(unittest.TestCase):
    def test_a_disk_that_is_full(self):
        """A file system of 2 MiB of the daemon's own: jobs wait, requests go on; with more room the jobs end."""
        with tempfile.TemporaryDirectory() as folder:
            mount = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=2m none {folder} && exec "$@"', "sh"]
            with Daemon("--state", folder, command=mount) as daemon:
                body = {"n": 20_000, "seed": 9, "solver": {"method": "euler", "steps": 1}}
                name = file_job(daemon, body).json()["id"]
                self.assertIn("full", daemon.wait_line("jobs wait: "))
                self.assertEqual(daemon.images(SHORT).status, 200)
                refused = wait_until(lambda: (a := file_job(daemon, SHORT)).status != 202 and a, "a job that is refused")
                self.assertEqual((refused.status, refused.json()["code"]), (507, "store_full"))
                subprocess.run(["nsenter", "-m", "-t", str(daemon.process.pid), "mount", "-o", "remount,size=200m", "none", folder],
                               check=True)
                self.assertEqual(wait_state(daemon, name, "succeeded", "failed")["state"], "succeeded")
                last = daemon.get(f"/v1/jobs/{name}/images/19999").body
                right = daemon.images({**body, "n": 1, "first_index": 19999}, accept="image/png").body
                self.assertEqual(last, right)


@unittest.skipUnless(NIGHT, "at night: MATRIX_NIGHT=1")
class Crowd(unittest.TestCase):
    COUNT = 10_000

    @staticmethod
    def times(daemon):
        taken = []
        for _ in range(100):
            begun = time.monotonic()
            assert daemon.get("/livez").status == 200
            taken.append(time.monotonic() - begun)
        return sorted(taken)

    def test_ten_thousand_idle_connections(self):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if most < self.COUNT + 1000:
            self.skipTest(f"{most} descriptors are allowed here, which is too few")
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        with Daemon("--connections", str(self.COUNT + 100), "--idle-timeout", "3600") as daemon:
            right = daemon.images(SHORT).json()["images"]
            alone, before, files = self.times(daemon), forget(daemon), daemon.descriptors()
            idle = [daemon.connect() for _ in range(self.COUNT)]
            for s in idle[::2]:
                s.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for s in idle[::2]:
                self.assertEqual(status_of(s), 200)
            daemon.wait_metrics(lambda m: m.value("pfgmd_http_connections") == self.COUNT + 1, "all are there")
            beside = self.times(daemon)
            held = (peak(daemon) - before) / self.COUNT
            self.assertEqual(daemon.images(SHORT).json()["images"], right)
            for s in idle:
                s.close()
            wait_until(lambda: daemon.descriptors() <= files, "as few descriptors as before")
            check_sums(self, daemon.settled())
            print(f"{self.COUNT} idle connections: {held / 1024:.1f} KiB each; an answer about health takes {beside[50] * 1e3:.2f} ms at "
                  f"the median and {beside[-1] * 1e3:.2f} at the most, alone {alone[50] * 1e3:.2f} and {alone[-1] * 1e3:.2f}")
            self.assertLess(beside[50], LATE / 20)


@unittest.skipUnless(NIGHT, "at night: MATRIX_NIGHT=1")
class Network(unittest.TestCase):
    def setUp(self):
        try:
            self.wire = wire.Wire()
        except OSError as e:
            self.skipTest(str(e))
        self.addCleanup(self.wire.__exit__)

    def start(self, *args):
        daemon = self.wire.server.run(lambda: Daemon(*args, host="10.200.0.1"))
        self.addCleanup(daemon.stop)
        return daemon

    def metrics(self, daemon):
        """Asked for on the server's side, where nothing is lost."""
        return self.wire.server.run(daemon.metrics)

    def wait(self, daemon, condition, what, **more):
        return wait_until(lambda: condition(self.metrics(daemon)), what, **more)

    def test_packets_that_are_lost_and_late(self):
        daemon = self.start("--workers", "2")
        table = [r for r in requests("digits8", PICTURE) if not r.volatile and r.name not in ("models", "model", "readyz")]
        right = {r.name: self.wire.server.run(lambda r=r: plain(r.send(daemon))) for r in table}
        self.wire.loss, self.wire.delay_s = 0.05, (0.02, 0.08)

        def one(request):
            answer = request.send(daemon, timeout=300.0)
            self.assertTrue(answer.whole, (request.name, answer.raw[:200]))
            self.assertEqual(plain(answer), right[request.name], request.name)

        def all_of_them():
            with ThreadPoolExecutor(16) as pool:
                for _ in range(4):
                    list(pool.map(one, table))
        begun = time.monotonic()
        self.wire.client.run(all_of_them)
        print(f"{4 * len(table)} requests with 20 to 80 ms each direction, {self.wire.lost} of {self.wire.carried + self.wire.lost} "
              f"packets lost, in {time.monotonic() - begun:.0f} s")
        self.wire.loss, self.wire.delay_s = 0.0, (0.0, 0.0)
        self.wait(daemon, lambda m: m.value("pfgmd_http_connections") == 1 and m.value("pfgmd_http_requests_open") == 1, "rest")
        check_sums(self, self.metrics(daemon))

    def test_clients_that_vanish_are_noticed(self):
        """The wire is cut while some wait for their work, some stand in a body, some are idle and some read a stream: no
        packet says that they have gone. What they held is free again."""
        daemon = self.start("--workers", "2", "--idle-timeout", "20", "--read-timeout", "20")

        def begin():
            half = daemon.connect()
            half.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{")
            return [daemon.connect(), half, *(daemon.begin_images({"solver": ENDLESS, "format": f}) for f in ("json", "npy", "events"))]
        sockets = self.wire.client.run(begin)
        self.wait(daemon, lambda m: m.value("pfgmd_slots_busy") == 3 and m.value("pfgmd_http_connections") == 6, "work")
        self.wire.cut = True
        begun = time.monotonic()
        self.wait(daemon, lambda m: m.value("pfgmd_slots_busy") <= 1, "the work of those who wait in silence is dropped")
        print(f"{time.monotonic() - begun:.0f} s until work for clients that had vanished was dropped")
        self.assertLess(time.monotonic() - begun, 60 + 2 * LATE)
        for s in sockets:
            s.close()  # which nobody hears

    def test_a_wire_that_was_cut_for_a_while(self):
        """Who waits all the same gets the right answer."""
        daemon = self.start("--workers", "2")
        table = [r for r in requests("digits8", PICTURE) if r.name in ("images_json", "images_zip", "encode", "edit", "decode")]
        right = {r.name: self.wire.server.run(lambda r=r: plain(r.send(daemon))) for r in table}
        with ThreadPoolExecutor(1) as pool:
            def ask():
                return [plain(r.send(daemon, timeout=300.0)) for r in table for _ in range(20)]
            self.wire.delay_s = (0.005, 0.01)
            asked = pool.submit(self.wire.client.run, ask)
            for _ in range(3):
                time.sleep(1)
                self.wire.cut = True
                time.sleep(3)
                self.wire.cut = False
            self.assertEqual(asked.result(), [right[r.name] for r in table for _ in range(20)])


if __name__ == "__main__":
    unittest.main()
