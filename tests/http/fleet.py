"""A NATS server with JetStream on a free port, replicas of pfgmd that share it, and their jobs."""

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
import zipfile

from harness import Daemon, free_ports, wait_until

NATS = os.environ.get("NATS_SERVER") or shutil.which("nats-server")


class Nats:
    """A server that keeps its port and its folder when it is started again."""

    def __init__(self, *args, jetstream=True, config=None):
        self.folder = tempfile.TemporaryDirectory()
        self.port, self.monitor = free_ports(2)
        self.args = ["-m", str(self.monitor), *args]
        if jetstream:
            self.args += ["-js", "-sd", os.path.join(self.folder.name, "store")]
        if config:
            path = os.path.join(self.folder.name, "nats.conf")
            with open(path, "w") as f:
                f.write(config)
            self.args += ["-c", path]
        self.process = None
        self.start()

    def url(self, user=""):
        return f"nats://{user}127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            [NATS, "-a", "127.0.0.1", "-p", str(self.port), *self.args, "-l", os.path.join(self.folder.name, "log")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            assert self.process.poll() is None, "the NATS server has ended"
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        wait_until(answers, "the NATS server answers")

    def messages(self):
        """How many each of its clients was sent so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/connz", timeout=30) as answer:
            return {c["cid"]: c["out_msgs"] for c in json.load(answer)["connections"]}

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.kill()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Cluster:
    """Servers that know each other, and keep what they store in as many copies as they are asked to."""

    def __init__(self, count):
        ports = free_ports(count)
        routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
        self.servers = [Nats("--name", f"server{i}", "--cluster_name", "fleet", "--cluster", f"nats://127.0.0.1:{port}",
                             "--routes", routes) for i, port in enumerate(ports)]

    def url(self):
        return ",".join(server.url() for server in self.servers)

    def leaders(self):
        """The server that leads each stream, by the stream's name."""
        for server in self.servers:
            if server.process.poll() is None:
                address = f"http://127.0.0.1:{server.monitor}/jsz?streams=true&leader-only=false"
                with urllib.request.urlopen(address, timeout=30) as answer:
                    accounts = json.load(answer).get("account_details", [])
                return {s["name"]: self.servers[int(s["cluster"]["leader"].removeprefix("server"))]
                        for account in accounts for s in account.get("stream_detail", []) if s["cluster"].get("leader")}
        return {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()


def replica(nats, *args, **options):
    return Daemon("--nats", nats if isinstance(nats, str) else nats.url(), *args, **options)


def asked(daemon, method, path, body=None, headers=None):
    """The answer of a store that answers: a NATS server that had no turn for a moment is late, and is asked again. Whether
    it was is the answer's `repeated`: what was asked for first may have been done all the same."""
    late = []

    def ask():
        answer = daemon.request(method, path, body, headers)
        answer.repeated = bool(late)
        if answer.status != 503:
            return answer
        late.append(answer)
        return None
    return wait_until(ask, "the store answers")


def cancel(daemon, name):
    """As the job was seen: one that has ended meanwhile would be forgotten by whoever asks once more."""
    def is_cancelled():
        seen = asked(daemon, "GET", f"/v1/jobs/{name}")
        if seen.json()["state"] in ("cancelling", "cancelled"):
            return True
        answer = asked(daemon, "DELETE", f"/v1/jobs/{name}", headers={"If-Match": seen.headers["ETag"]})
        assert answer.status in (202, 412), answer.body
        return answer.status == 202
    wait_until(is_cancelled, f"job {name} is cancelled")


def file_job(daemon, fields, headers=None, method="POST", path="/v1/jobs"):
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4()), **(headers or {})}
    answer = asked(daemon, method, path, json.dumps(fields), headers)
    assert answer.status in (200, 202), answer.body
    return answer


def job_of(daemon, name):
    """None while the store cannot be reached."""
    answer = daemon.get(f"/v1/jobs/{name}")
    assert answer.status in (200, 503), answer.body
    return answer.json() if answer.status == 200 else None


def wait_job(daemon, name, condition, what, **more):
    def look():
        job = job_of(daemon, name)
        return job if job and condition(job) else None
    return wait_until(look, f"job {name} {what}", **more)


def wait_state(daemon, name, *states, **more):
    return wait_job(daemon, name, lambda job: job["state"] in states, f"is {states}", **more)


def jobs_check(daemon):
    return next(c for c in daemon.get("/readyz?verbose").json()["checks"] if c["name"] == "jobs")


def wait_trouble(daemon, words):
    """Until the log and /readyz say so. What they say first may be that the server waited for too long."""
    def said():
        return (words in jobs_check(daemon).get("detail", "") and
                any("jobs wait: " in line and words in line for line in daemon.lines))
    wait_until(said, words)


def pause(daemon, seconds):
    """Stops the process for so long."""
    daemon.signal(signal.SIGSTOP)
    time.sleep(seconds)
    daemon.signal(signal.SIGCONT)


def images_of(zipped):
    """SHA-256 of each picture of an archive, in order."""
    archive = zipfile.ZipFile(io.BytesIO(zipped))
    return [hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if name.endswith(".png")]


def pictures(daemon, name):
    """Of a job's archive; a replica that has just lost its server says so, and that it is to be asked again."""
    answer = None

    def answered():
        nonlocal answer
        answer = daemon.get(f"/v1/jobs/{name}/archive")
        return answer.status != 503
    wait_until(answered, "an answer for the archive")
    assert answer.status == 200, answer.body
    return images_of(answer.body)


def made_alone(fields, *args, **patience):
    """The pictures that one daemon makes of such a job, and how long it takes."""
    with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder, *args) as daemon:
        begun = time.monotonic()
        name = file_job(daemon, fields).json()["id"]
        wait_state(daemon, name, "succeeded", **patience)
        took = time.monotonic() - begun
        return pictures(daemon, name), took
