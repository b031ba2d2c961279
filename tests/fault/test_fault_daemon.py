"""The k-th call fails while pfgmd starts, and while it answers one request of each route and format.

After each failure: the process lives; the answer is the right one, an error of the server with its reason, or one that ends
before its end; the same request again gets the right answer. After all of a request's: whatever was answered was counted,
the gauges are at rest, and no memory is lost.

Environment: that of tests/http, and FAULT_SHIM, FAULT_TRIES (fault.py)."""

import http.client
import json
import os
import selectors
import shutil
import ssl
import subprocess
import sys
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "http")]
import fault  # noqa: E402
from fleet import NATS, Nats  # noqa: E402
from harness import PFGM, PFGMD, Daemon, wait_until
from harness import Answer as Whole  # noqa: E402
from routes import EULER, Request, difference, plain, requests  # noqa: E402
from test_fault_cli import png, put  # noqa: E402
from test_tls import TLS  # noqa: E402

ONLY = os.environ.get("FAULT_ONLY")  # requests and kinds, for a look by hand: "images_json/alloc"
REQUEST = ("alloc", "open", "read", "write", "sync", "map", "socket", "receive", "send", "event", "thread", "status", "size",
           "close", "entropy", "interrupt", "short")
SILENT = 1.0  # seconds for which an answer is waited for while every call fails
MUTE = 20.0  # seconds without a line at the start


def blamed(answer):
    """Whether an answer is an error of the server that says why."""
    if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        return any(b"\nevent: %s\n" % kind in answer.body for kind in (b"error", b"failed"))
    return answer.status in (500, 503, 507) and len(answer.body) > 0


class SecureDaemon(Daemon):
    """One that is asked for its metrics over TLS, too."""

    def request(self, method, path, body=None, headers=None, timeout=60.0):
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=Secure.SECURE)
        try:
            connection.request(method, path, body, headers or {})
            return Whole(connection.getresponse())
        finally:
            connection.close()


class Faulty(unittest.TestCase):
    ARGS = ()
    STORE = None  # of jobs; None: a folder
    SECURE = None

    @classmethod
    def setUpClass(cls):
        cls.top = fault.folder(cls, "pfgmd-fault-")
        cls.control = fault.Control(cls.top)
        for i in range(8):
            put(os.path.join(cls.top, "pictures", "ab"[i % 2], f"{i}.png"), png(i))
        cls.model = os.path.join(cls.top, "exact.safetensors")
        subprocess.run([PFGM, "convert", "--exact", os.path.join(cls.top, "pictures"), "-o", cls.model], check=True,
                       capture_output=True)
        cls.tried = cls.failed = cls.silent = 0
        cls.daemon = None

    @classmethod
    def start(cls):
        store = cls.STORE or ("--state", os.path.join(cls.top, "jobs"))
        kind = SecureDaemon if cls.SECURE else Daemon
        cls.daemon = kind("--workers", "1", "--http-threads", "1", *store, *cls.ARGS,
                            model=cls.model, env=cls.control.environment())

    @classmethod
    def tearDownClass(cls):
        if cls.daemon:
            code = cls.daemon.stop()
            assert code == 0, f"pfgmd ended with {code}: {cls.daemon.lines[-20:]}"
        print(f"{cls.tried} failures of the k-th call tried in pfgmd ({cls.__name__}), {cls.failed} were answered with an "
              f"error, {cls.silent} with nothing or half an answer")

    def restarted(self):
        """After a death, so that the other requests can be tried all the same."""
        type(self).daemon.stop()
        self.start()


class Routes(Faulty):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start()

    def send(self, request, timeout=60.0):
        return request.send(self.daemon, timeout, self.SECURE)

    def counted(self, request):
        """Without the questions for metrics by which one waits for rest, however many they are; unless it is one of them."""
        m, name = self.daemon.settled(), "pfgmd_http_requests_total"
        return m.sum(name) - (0 if request.path == "/metrics" else m.sum(name, route="/metrics"))

    def try_one(self, request, right, kind, k, always):
        """What is wrong when the k-th call fails; None: nothing."""
        for patience in (SILENT, 20 * SILENT, 60.0) if always else (60.0,):
            self.control.arm(kind, k, always)
            answer = self.send(request, patience)
            _, failed = self.control.disarm()
            if answer.whole or failed:
                break  # else the daemon had not even come to that call
        type(self).tried += 1
        if self.daemon.process.poll() is not None:
            return f"pfgmd ended with {self.daemon.process.returncode}: {self.daemon.lines[-3:]}"
        if "X-Request-Id" in answer.headers:
            self.answered += 1
        if not answer.whole:
            type(self).silent += 1
            if not failed:
                return f"no whole answer, and nothing failed: {answer.raw[:200]}"
        elif plain(answer) != right and not (request.volatile and answer.status == right[0]):
            type(self).failed += 1
            if not blamed(answer):
                return f"answered with {difference(answer, right)}"
        if kind in ("interrupt", "short") and (not answer.whole or answer.status != right[0]):
            return f"failed: {answer.status} {answer.body[:300]}"
        again = self.send(request)
        self.answered += 1
        if not again.whole or (again.status if request.volatile else plain(again)) != (right[0] if request.volatile else right):
            return f"again: {difference(again, right)}"
        return None

    def lost(self, request, choices):
        """The choices after which memory is not freed."""
        found = []
        for choice in choices:
            for _ in range(8):
                self.control.arm(*choice)
                self.send(request, SILENT)
                self.control.disarm()
            self.daemon.settled()
            before = self.control["live"]
            for _ in range(40):  # what is kept for the next connection comes and goes by a score
                self.control.arm(*choice)
                self.send(request, SILENT / 4)
                self.control.disarm()
            self.daemon.settled()
            grown = self.control["live"] - before
            if grown >= 36:
                found.append(f"{request.name}/{choice[0]} {choice[1]}{' and after' if choice[2] else ''}: {grown} blocks more "
                             f"after 40 times\n{self.control.culprit()}")
        return found

    def sweep(self, request):
        for _ in range(2):
            whole = self.send(request)
        self.assertTrue(whole.whole, whole.raw[:300])
        right, findings = plain(whole), []
        self.answered = 0
        counted = self.counted(request)
        self.control.count()
        self.send(request)
        self.answered += 1
        counts = self.control.counts()
        self.daemon.settled()
        choices = [c for c in fault.choose(request.name, counts, REQUEST)
                   if not ONLY or f"{request.name}/{c[0]}".startswith(ONLY)]
        live = self.control["live"]
        for kind, k, always in choices:
            wrong = self.try_one(request, right, kind, k, always)
            if wrong:
                findings.append(f"{request.name}/{kind} {k} of {counts[kind]}{' and after' if always else ''}: {wrong}\n"
                                f"{self.control.culprit()}")
            if self.daemon.process.poll() is not None:
                self.restarted()
                counted, self.answered, live = self.counted(request), 0, self.control["live"]
        now = self.counted(request)
        self.assertGreaterEqual(now - counted, self.answered, "fewer requests are counted than were answered")
        if request.path != "/metrics":
            self.assertLessEqual(now - counted, 4 * len(choices) + 1, "more requests are counted than were sent")
        if self.control["live"] - live > 16 + len(choices) // 4:
            findings += self.lost(request, choices)
        return findings

    NAMES = None  # of the requests; None: all

    def test_each_route_and_format(self):
        findings = []
        for request in requests("exact", png(0)):
            if self.NAMES and request.name not in self.NAMES:
                continue
            if not ONLY or ONLY.startswith(request.name + "/") or ONLY == request.name:
                found = self.sweep(request)
                print(f"{request.name}: {len(found)} findings", *found, sep="\n", flush=True)
                findings += found
        self.assertFalse(findings, f"{len(findings)} findings:\n" + "\n".join(findings[:60]))


class Secure(Routes):
    """Some of them over TLS."""

    NAMES = ("images_json", "images_events", "readyz")

    ARGS = ("--tls-certificate", os.path.join(TLS, "rsa.crt"), "--tls-key", os.path.join(TLS, "rsa.key"))
    SECURE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    SECURE.check_hostname = False
    SECURE.verify_mode = ssl.CERT_NONE


class Jobs(Faulty):
    """A job from its filing to its archive, in a file or in NATS: it ends with the right images, or says why it failed, or
    was never acknowledged; and the next job is right."""

    def ask(self, method, path, body=None, timeout=60.0):
        return Request("", method, path, body).send(self.daemon, timeout)

    def state_of(self, name):
        answer = self.ask("GET", f"/v1/jobs/{name}")
        return json.loads(answer.body)["state"] if answer.whole and answer.status == 200 else None

    def archive(self, name):
        answer = self.ask("GET", f"/v1/jobs/{name}/archive?format=npy")
        return answer.body if answer.whole and answer.status == 200 else None

    def file(self, name, timeout=60.0):
        return self.ask("PUT", f"/v1/jobs/{name}", {"n": 2, "seed": 5, "solver": EULER}, timeout)

    def try_one(self, kind, k, always, right):
        name = str(uuid.uuid4())
        self.control.arm(kind, k, always)
        filed = self.file(name, SILENT if always else 60.0)
        if filed.status == 202 and not always:
            wait_until(lambda: self.state_of(name) in ("succeeded", "failed"), "the job has ended")
        self.control.disarm()
        type(self).tried += 1
        if self.daemon.process.poll() is not None:
            return f"pfgmd ended with {self.daemon.process.returncode}: {self.daemon.lines[-3:]}"
        if filed.whole and filed.status not in (202, 500, 503, 507):
            return f"filing was answered with {filed.status}: {filed.body[:300]}"
        if filed.status != 202:
            type(self).failed += filed.whole
            type(self).silent += not filed.whole
            again = wait_until(lambda: (a := self.file(name)).status in (200, 202) and a, "the job can be filed")
            self.assertTrue(again.whole)
        wait_until(lambda: self.state_of(name) in ("succeeded", "failed"), "the job has ended")
        if self.state_of(name) == "failed":
            error = json.loads(self.ask("GET", f"/v1/jobs/{name}").body)["error"]
            type(self).failed += 1
            if not error or not fault.reason_named(kind, error["detail"]):
                return f"failed without its reason: {error}"
        elif self.archive(name) != right:
            return "other images"
        return None

    def sweep(self, label):
        self.start()
        first, name = str(uuid.uuid4()), str(uuid.uuid4())
        self.assertEqual(self.file(first).status, 202)
        wait_until(lambda: self.state_of(first) == "succeeded", "the job is done")
        right = self.archive(first)
        self.assertEqual(right[:6], b"\x93NUMPY")
        self.control.count()
        self.file(name)
        wait_until(lambda: self.state_of(name) == "succeeded", "the job is done")
        counts, findings = self.control.counts(), []
        for kind, k, always in fault.choose(label, counts, REQUEST):
            if ONLY and not f"{label}/{kind}".startswith(ONLY):
                continue
            wrong = self.try_one(kind, k, always, right)
            if wrong:
                findings.append(f"{label}/{kind} {k} of {counts[kind]}{' and after' if always else ''}: {wrong}\n"
                                f"{self.control.culprit()}")
            if self.daemon.process.poll() is not None:
                self.restarted()
        self.assertFalse(findings, f"{len(findings)} findings:\n" + "\n".join(findings[:40]))

    def test_in_a_file(self):
        self.sweep("jobs")

    @unittest.skipUnless(NATS and os.environ.get("HAVE_NATS") == "1", "no NATS server, or a build without its client")
    def test_in_nats(self):
        if self.daemon:
            self.daemon.stop()
        with Nats() as nats:
            type(self).STORE = ("--nats", nats.url())
            self.sweep("nats")
            self.assertEqual(self.daemon.stop(), 0)
        type(self).daemon = None


class Asking(Faulty):
    """pfgm jobs, which asks a daemon that is well: what it says is right, or it names what failed and changed no file."""

    KINDS = ("alloc", "open", "read", "write", "sync", "rename", "map", "socket", "receive", "send", "event", "thread",
             "status", "close", "entropy", "interrupt", "short")

    def ask(self, *words):
        server = f"http://127.0.0.1:{self.daemon.port}"
        return subprocess.run([PFGM, "jobs", *words, "--server", server], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=300, env=self.control.environment())

    def test_each_of_its_subcommands(self):
        type(self).daemon = Daemon("--workers", "1", "--state", os.path.join(self.top, "jobs"), model=self.model)
        job, out = str(uuid.uuid4()), os.path.join(self.top, "fetched.npz")
        patience = ("--patience", "0")
        findings = []
        for name, words in (("submit", ("submit", "-n", "2", "--seed", "5", "--solver", "euler", "--steps", "2", "--id", job,
                                        *patience)),
                            ("list", ("list", *patience)), ("watch", ("watch", job, *patience)),
                            ("fetch", ("fetch", job, "-o", out, *patience))):
            whole = self.ask(*words)
            self.assertEqual(whole.returncode, 0, whole.stderr)
            self.control.count()
            self.ask(*words)
            for kind, k, always in fault.choose(f"jobs_{name}", self.control.counts(), self.KINDS):
                put(out, b"what was there before")
                self.control.arm(kind, k, always)
                done = self.ask(*words)
                self.control.disarm()
                type(self).tried += 1
                type(self).failed += done.returncode != 0
                with open(out, "rb") as f:
                    fetched = f.read()
                wrong = None
                if done.returncode not in (0, 1):
                    wrong = f"ended with {done.returncode}: {done.stderr}"
                elif done.returncode and fault.REASONS[kind] is None:
                    wrong = f"failed: {done.stderr}"
                elif done.returncode and not fault.reason_named(kind, done.stderr.decode(errors="replace")):
                    wrong = f"the reason is not named: {done.stderr!r}"
                elif done.returncode and name == "fetch" and fetched != b"what was there before":
                    wrong = "failed, and changed the file"
                elif done.returncode == 0 and name == "fetch" and fetched[:2] != b"PK":
                    wrong = "success without its file"
                elif done.returncode == 0 and name in ("submit", "list") and done.stdout != whole.stdout:
                    wrong = f"success with another output: {done.stdout}"
                if wrong:
                    findings.append(f"jobs_{name}/{kind} {k}{' and after' if always else ''}: {wrong}\n{self.control.culprit()}")
        left = [n for n in os.listdir(self.top) if n.endswith(".tmp")]
        self.assertFalse(findings + left, f"{len(findings)} findings:\n" + "\n".join(findings[:40]))


class Start(Faulty):
    """pfgmd is ready and answers rightly, or ends with a line that says why."""

    def start_once(self, *args):
        state = os.path.join(self.top, "state")
        shutil.rmtree(state, ignore_errors=True)
        process = subprocess.Popen([PFGMD, "--model", self.model, "--listen", "127.0.0.1:0", "--workers", "1",
                                    "--http-threads", "1", "--state", state, *args], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, bufsize=0, env=self.control.environment())
        text, waited = b"", selectors.DefaultSelector()
        waited.register(process.stderr, selectors.EVENT_READ)
        while b" info ready" not in text:
            # The line that says so may be what failed: who says nothing for so long, and lives, is ready.
            piece = os.read(process.stderr.fileno(), 1 << 16) if waited.select(MUTE) else b" info ready"
            if not piece:
                break
            text += piece
        waited.close()
        lines = text.decode(errors="replace").splitlines()
        return process, lines

    def test_each_failure_at_the_start(self):
        findings = []
        self.control.count()
        process, lines = self.start_once()
        counts = self.control.counts()
        process.terminate()
        process.communicate()
        self.assertEqual(process.returncode, 0)
        for kind, k, always in fault.choose("start", counts, REQUEST):
            if ONLY and not f"start/{kind}".startswith(ONLY):
                continue
            self.control.arm(kind, k, always)
            process, lines = self.start_once()
            self.control.disarm()
            type(self).tried += 1
            ready = any(" info ready" in line for line in lines)
            if ready:
                process.terminate()
            text = "\n".join(lines) + process.communicate(timeout=60)[1].decode(errors="replace")
            wrong = None
            if ready and process.returncode != 0:
                wrong = f"was ready and ended with {process.returncode}: {text[-600:]}"
            elif not ready and process.returncode != 1:
                wrong = f"ended with {process.returncode}: {text[-600:]}"
            elif not ready and not (fault.REASONS[kind] and fault.reason_named(kind, text)):
                wrong = f"the reason is not named: {text[-600:]}"
            if wrong:
                findings.append(f"start/{kind} {k} of {counts[kind]}{' and after' if always else ''}: {wrong}\n"
                                f"{self.control.culprit()}")
        self.assertFalse(findings, f"{len(findings)} findings:\n" + "\n".join(findings[:40]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
