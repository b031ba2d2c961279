"""The fleet of conf/compose.yaml by hand: its NATS, its three replicas with their settings, its HAProxy, on free ports.

What containers add is left out: names become ports of the loopback address."""

import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import socket
import subprocess
import tempfile
import unittest
import zipfile

from fleet import NATS, Nats, wait_state
from harness import ENDLESS, Answer, Daemon, free_ports, wait_until
from test_haproxy import replaced

SOLVER = {"method": "euler", "steps": 8}
IMAGES = 400


def settings_of_replica():
    """The variables that conf/compose.yaml gives to a replica."""
    with open(os.path.join(os.environ["CONF"], "compose.yaml"), encoding="utf-8") as f:
        text = f.read()
    replica = re.search(r"^  replica:\n(.*?)^  \w", text, re.M | re.S)[1]
    return dict(re.findall(r'^      (PFGMD_\w+): "?([^"\n]*)"?$', replica, re.M))


@unittest.skipUnless(os.environ.get("HAVE_NATS") == "1", "this build is without NATS (libnats-dev)")
@unittest.skipUnless(NATS, "there is no nats-server (conf/deps.sh test installs it)")
class Fleet(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.port, *self.ports = free_ports(4)
        nats = self.stack.enter_context(Nats())
        settings = settings_of_replica()
        self.assertEqual(settings["PFGMD_NATS"], "nats://nats:4222")
        settings.update(PFGMD_NATS=nats.url(), PFGMD_TRUSTED_PROXIES="127.0.0.1",
                        PFGMD_DRAIN_DELAY="1")
        self.settings = settings
        self.replicas = [self.stack.enter_context(Daemon("--workers", "1", port=p, env=settings)) for p in self.ports]
        self.begin_proxy()

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def begin_proxy(self):
        with open(os.path.join(os.environ["CONF"], "fleet/haproxy.cfg"), encoding="utf-8") as f:
            text = f.read()
        text = replaced(re.sub(r"^resolvers compose\n(    .*\n)+", "", text, flags=re.M),
                        ("bind :8080", f"bind 127.0.0.1:{self.port}"), (" resolvers compose init-addr none", ""),
                        ("    server-template replica 10 replica:8080",
                         "\n".join(f"    server s{i} 127.0.0.1:{p}" for i, p in enumerate(self.ports))))
        path = os.path.join(self.folder, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        proxy = subprocess.Popen(["haproxy", "-db", "-f", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        self.stack.callback(proxy.wait)
        self.stack.callback(proxy.terminate)
        wait_until(lambda: self.listens() and self.ask("GET", "/readyz").status == 200, "HAProxy answers")

    def ask(self, method, path, fields=None, headers=None):
        """Again while a store is late, which says so at once; a POST has a key, so that it is the same job."""
        body = None if fields is None else json.dumps(fields)

        def answered():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = Answer(connection.getresponse())
            connection.close()
            return answer if answer.status != 503 else None
        return wait_until(answered, f"an answer to {method} {path}")

    def file_job(self, key, fields):
        answer = self.ask("POST", "/v1/jobs", fields, {"Idempotency-Key": key})
        self.assertIn(answer.status, (200, 202), answer.body)
        return answer.json()["id"]

    def test_whoever_is_asked_answers_for_a_job_and_a_lost_replica_loses_nothing(self):
        fields = {"n": IMAGES, "seed": 3, "solver": SOLVER}
        name = self.file_job("one", fields)
        wait_until(lambda: self.ask("GET", f"/v1/jobs/{name}").json()["progress"]["images_done"] > 0, "the job begins")
        self.replicas[1].process.kill()
        self.replicas[1].process.wait()  # a dying one still takes connections
        self.assertEqual(self.file_job("one", fields), name)
        archive = self.ask("GET", f"/v1/jobs/{name}/archive?format=zip")  # waits for what is missing
        self.assertEqual(archive.status, 200)
        members = zipfile.ZipFile(io.BytesIO(archive.body))
        digests = [hashlib.sha256(members.read(f"pfgm-3-{i}.png")).hexdigest() for i in range(IMAGES)]
        with Daemon(env={k: self.settings[k] for k in ("PFGMD_KERNEL", "PFGMD_PRECISION")}) as one:
            for first in range(0, IMAGES, 50):
                images = one.images({"n": 50, "first_index": first, "seed": 3, "solver": SOLVER}).json()["images"]
                self.assertEqual([i["sha256"] for i in images], digests[first:first + 50])
        for replica in (self.replicas[0], self.replicas[2]):
            wait_state(replica, name, "succeeded")
        name = self.file_job("two", {"n": 1000, "solver": ENDLESS})
        for replica in (self.replicas[0], self.replicas[2]):
            replica.wait_metrics(lambda m: m.value("pfgmd_slots_busy") > 0, "each that is left has its share of a job")
        self.ask("DELETE", f"/v1/jobs/{name}")


if __name__ == "__main__":
    unittest.main()
