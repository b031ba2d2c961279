"""conf/haproxy.cfg in front of three daemons: a restart of one after the other costs no request; the death of one costs at
most those it was asked at that moment.

HAPROXY_REQUESTS makes it larger, and then the file's own times count; nightly.sh does both."""

import collections
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from harness import Daemon, free_ports, wait_until

REQUESTS = int(os.environ.get("HAPROXY_REQUESTS", "0"))
LONG = REQUESTS > 0
CLIENTS = 6
NAME = "images.example"
TLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls")
SOLVER = {"method": "euler", "steps": 8}
SEEDS = 8
REPLICAS = 3


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, (old, text)
        text = text.replace(old, new)
    return text


def begin_proxy(stack, folder, port, ports, stats):
    """HAProxy by conf/haproxy.cfg on a port, with a server for each of the ports, which ends with the stack: the process and its log."""
    pem = os.path.join(folder, "tls.pem")
    with open(pem, "w", encoding="utf-8") as out:
        for name in ("first.crt", "first.key"):
            with open(os.path.join(TLS, name), encoding="utf-8") as f:
                out.write(f.read())
    servers = "\n".join(f"    server s{i} 127.0.0.1:{p}" for i, p in enumerate(ports))
    changes = [(":443", f"127.0.0.1:{port}"), ("/etc/ssl/pfgmd/tls.pem", pem), ("/dev/log local0", "stderr local0"),
               ("    user haproxy\n    group haproxy\n", f"    stats socket {stats}\n"),
               ("    server one 127.0.0.1:8080", servers)]
    if not LONG:
        changes.append(("inter 1s", "inter 200ms"))
    with open(os.path.join(os.environ["CONF"], "haproxy.cfg"), encoding="utf-8") as f:
        text = replaced(f.read(), *changes)
    path = os.path.join(folder, "haproxy.cfg")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    log = stack.enter_context(open(os.path.join(folder, "log"), "w+", encoding="utf-8"))
    proxy = subprocess.Popen(["haproxy", "-db", "-f", path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    stack.callback(proxy.wait)
    stack.callback(proxy.terminate)
    return proxy, log


class Load:
    """Clients that ask one after the other, each on a connection that it keeps, until they are told to stop and there were
    enough. `failed` has what was no image, or not the image of its seed."""

    def __init__(self, port, expected):
        self.port, self.expected = port, expected
        self.answered, self.failed, self.seconds = 0, [], []
        self.of = [0] * CLIENTS  # answers by client
        self.lock, self.stop = threading.Lock(), False
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def ask(self, number):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=120, context=self.tls)
        seed = number
        while not self.stop or self.answered < REQUESTS:
            seed = (seed + 1) % SEEDS
            begun = time.monotonic()
            try:
                connection.request("POST", "/v1/images", json.dumps({"seed": seed, "solver": SOLVER}),
                                   {"Host": NAME, "Accept": "image/png"})
                answer = connection.getresponse()
                body = answer.read()
                good = answer.status == 200 and hashlib.sha256(body).hexdigest() == self.expected[seed]
                what = None if good else (answer.status, body[:200])
            except (OSError, http.client.HTTPException) as e:
                connection.close()
                what = repr(e)
            with self.lock:
                self.answered += 1
                self.of[number] += 1
                self.seconds.append(time.monotonic() - begun)
                if what is not None:
                    self.failed.append(what)
        connection.close()

    def more(self, count=20):
        """Waits until so many more requests were answered."""
        goal = self.answered + count
        wait_until(lambda: self.answered >= goal, f"{count} more answers")

    def one_each(self):
        """Waits until no client waits any more for what it has asked for by now."""
        before = list(self.of)
        wait_until(lambda: all(now > was for now, was in zip(self.of, before)), "an answer for each client")

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join()


class Haproxy(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        os.chmod(self.folder, 0o755)
        self.port, *self.ports = free_ports(1 + REPLICAS)
        self.replicas = [None] * REPLICAS
        self.stack.callback(lambda: [r.stop() for r in self.replicas if r])
        for i in range(REPLICAS):
            self.begin(i)
        self.expected = [i["sha256"] for seed in range(SEEDS)
                         for i in self.replicas[0].images({"seed": seed, "solver": SOLVER}).json()["images"]]
        self.begin_proxy()

    def begin(self, i):
        if self.replicas[i]:
            self.replicas[i].stop()
        self.replicas[i] = Daemon("--workers", "1", "--trusted-proxies", "127.0.0.1", "--public-url", f"https://{NAME}",
                                  "--drain-delay", "5" if LONG else "1", port=self.ports[i])

    def begin_proxy(self):
        self.stats = os.path.join(self.folder, "stats")
        _, self.log = begin_proxy(self.stack, self.folder, self.port, self.ports, self.stats)
        for i in range(REPLICAS):
            self.wait_server(i, "UP")

    def wait_server(self, i, status):
        """Until the proxy holds that replica for up or down."""
        def look():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
                s.connect(self.stats)
                s.sendall(b"show stat\n")
                rows = s.makefile(encoding="utf-8").read().lstrip("# ").splitlines()
                names = rows[0].split(",")
                for row in rows[1:]:
                    of = dict(zip(names, row.split(",")))
                    if of.get("svname") == f"s{i}":
                        return of["status"] == status
            return False
        wait_until(look, f"replica {i} is {status} for the proxy")

    def judge(self, load, what, most=0):
        self.log.seek(0)
        said = [line for line in self.log.read().splitlines() if " 503 " in line or " 502 " in line or "DOWN" in line]
        self.assertLessEqual(len(load.failed), most, (load.failed[:5], said[-20:]))
        counts = collections.Counter()
        for replica in self.replicas:
            with contextlib.suppress(OSError):
                counts[replica.port] = int(replica.metrics().sum("pfgmd_images_total"))
        worst = sorted(load.seconds)
        print(f"{what}: {load.answered} requests, {len(load.failed)} failed, median {1e3 * worst[len(worst) // 2]:.0f} ms, "
              f"longest {1e3 * worst[-1]:.0f} ms; images of the processes that are left: {sorted(counts.values())}")

    def test_a_rolling_restart_under_load_costs_no_request(self):
        load = Load(self.port, self.expected)
        try:
            load.more()
            for i, replica in enumerate(self.replicas):
                replica.signal(signal.SIGTERM)
                self.assertEqual(replica.wait(), 0)
                self.assertFalse(any("not delivered" in line for line in replica.lines))
                self.begin(i)
                self.wait_server(i, "UP")
                load.more()
        finally:
            load.end()
        self.judge(load, "rolling restart")

    def test_the_death_of_a_replica_costs_at_most_what_it_had_not_read(self):
        # HAProxy asks again where the connection was closed; it does not where it was reset, as the system does when a
        # process dies before it has read everything.
        load = Load(self.port, self.expected)
        try:
            load.more()
            self.replicas[1].process.kill()
            self.wait_server(1, "DOWN")
            load.one_each()
            failed = len(load.failed)
            load.more()
            self.begin(1)
            self.wait_server(1, "UP")
            load.more()
        finally:
            load.end()
        self.assertEqual(len(load.failed), failed, load.failed[-5:])
        self.judge(load, "kill -9 of one of three", most=CLIENTS)


if __name__ == "__main__":
    unittest.main()
