"""Jobs of a fleet: several replicas of pfgmd that share a NATS server."""

import base64
import json
import os
import signal
import socket
import tempfile
import time
import unittest
import uuid

from fleet import (NATS, Nats, asked, cancel, file_job, images_of, jobs_check, pictures, replica, wait_job, wait_state,
                   wait_trouble)
from harness import DIGITS, ENDLESS, FASHION, LATE, PFGMD, Daemon, run, wait_until

QUICK = {"method": "euler", "steps": 3}
HAVE_NATS = os.environ.get("HAVE_NATS") == "1"


def ask_nats(nats, subject, payload):
    """What the server itself answers on the wire, or a stream to what it is sent to keep."""
    with socket.create_connection(("127.0.0.1", nats.port), timeout=LATE) as s, s.makefile("rwb") as wire:
        wire.readline()
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        wire.write(b'CONNECT {"verbose":false}\r\nSUB answer 1\r\n')
        wire.write(f"PUB {subject} answer {len(body)}\r\n".encode() + body + b"\r\n")
        wire.flush()
        while not (line := wire.readline()).startswith(b"MSG "):
            assert line and not line.startswith(b"-ERR"), line
        answer = json.loads(wire.read(int(line.split()[-1])))
        assert "error" not in answer, answer
        return answer


@unittest.skipUnless(HAVE_NATS, "this build is without NATS (libnats-dev)")
@unittest.skipUnless(NATS, "there is no nats-server (conf/deps.sh test installs it)")
class Fleet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nats = Nats()
        cls.daemons = [replica(cls.nats) for _ in range(3)]

    @classmethod
    def tearDownClass(cls):
        for daemon in cls.daemons:
            daemon.stop()
            daemon.check_sanitizers()
        cls.nats.stop()

    def test_a_job_of_a_fleet_outlives_who_accepted_it(self):
        fields = {"n": 400, "seed": 7, "solver": {"method": "euler", "steps": 30}}
        with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder) as alone:
            first = replica(self.nats)
            name = file_job(first, fields).json()["id"]
            wait_job(self.daemons[0], name, lambda job: job["progress"]["images_done"] > 0, "has an image")
            first.signal(signal.SIGKILL)
            first.wait()
            first.stop()
            same = file_job(alone, fields).json()["id"]
            job = wait_state(self.daemons[2], name, "succeeded", "failed")
            self.assertEqual((job["state"], job["progress"]["images_done"]), ("succeeded", 400))
            archive = asked(self.daemons[1], "GET", f"/v1/jobs/{name}/archive")
            wait_state(alone, same, "succeeded")
            self.assertEqual(images_of(archive.body), images_of(alone.get(f"/v1/jobs/{same}/archive").body))
        logs = []
        for daemon in self.daemons[:2]:  # the same events whoever is asked, each image once
            with self.subTest(daemon=daemon.port):
                text = asked(daemon, "GET", f"/v1/jobs/{name}/events").body.decode()
                logs.append([line for line in text.splitlines() if line.startswith(("id:", "event: image", "data: {\"index"))])
                self.assertEqual(text.count("event: image\n"), 400)
        self.assertEqual(logs[0], logs[1])

    def test_a_replica_does_not_hear_of_each_image_of_others(self):
        """Else the messages of a job grow with the square of the fleet."""
        images = 1000
        with Nats() as nats, replica(nats) as one, replica(nats) as two, replica(nats) as three:
            for daemon in (one, two, three):
                daemon.wait_metrics(lambda m: m.value("pfgmd_job_replicas") == 3, "all are known")
            before = nats.messages()
            begun = time.monotonic()
            name = file_job(one, {"n": images, "solver": QUICK}).json()["id"]
            wait_state(one, name, "succeeded")
            seconds = time.monotonic() - begun
            heard = sum(count - before.get(client, 0) for client, count in nats.messages().items())
        # The acknowledgement of each image, to whoever stored it, what goes with shards, and each second some twenty.
        print(f"{heard} messages for {images} images in {seconds:.1f} s")
        self.assertLess(heard, 3 * images + 40 * seconds)  # there were four and more for each image

    def test_a_key_is_one_job_for_all_replicas(self):
        fields, key = {"n": 1, "solver": QUICK}, {"Idempotency-Key": str(uuid.uuid4())}
        first = file_job(self.daemons[0], fields, key)
        again = file_job(self.daemons[1], fields, key)
        self.assertIn(first.status, (202, 200) if first.repeated else (202,))
        self.assertEqual(again.status, 200)
        self.assertEqual(first.json()["id"], again.json()["id"])
        other = asked(self.daemons[2], "POST", "/v1/jobs", json.dumps({**fields, "n": 2}),
                      {"Content-Type": "application/json", **key})
        self.assertEqual((other.status, other.json()["code"]), (409, "idempotency_conflict"))

    def test_a_cancellation_reaches_all_replicas(self):
        name = file_job(self.daemons[0], {"n": 1000, "solver": ENDLESS}).json()["id"]
        for daemon in self.daemons:
            daemon.wait_metrics(lambda m: m.value("pfgmd_slots_busy") > 0, "every replica works on it")
        cancel(self.daemons[1], name)
        begun = time.monotonic()
        for daemon in self.daemons:
            daemon.wait_metrics(lambda m: m.value("pfgmd_slots_busy") == 0, "no replica works on it")
        self.assertLess(time.monotonic() - begun, LATE)
        for daemon in self.daemons:
            wait_state(daemon, name, "cancelled")
        self.assertEqual(asked(self.daemons[2], "DELETE", f"/v1/jobs/{name}").status, 204)
        wait_until(lambda: self.daemons[0].get(f"/v1/jobs/{name}").status == 410, "it is forgotten everywhere")

    def test_a_job_that_nobody_can_work_on_says_so(self):
        with replica(self.nats, model=FASHION) as other:
            fields = {"n": 2, "solver": {"method": "euler", "steps": 1}}
            done = file_job(other, fields).json()["id"]
            wait_state(other, done, "succeeded")
            wait_until(lambda: "detail" not in file_job(self.daemons[0], {"n": 1, "solver": QUICK}).json(), "no detail")
            name = file_job(other, {"n": 64, "solver": ENDLESS}).json()["id"]
            wait_job(self.daemons[0], name, lambda job: job["state"] == "running" and "detail" not in job, "runs")
        job = wait_job(self.daemons[0], name, lambda job: "detail" in job, "waits for a replica")
        self.assertIn("no replica has loaded", job["detail"])
        m = self.daemons[0].wait_metrics(lambda m: m.value("pfgmd_jobs_unserved") == 1, "it is counted")
        self.assertEqual(m.value("pfgmd_job_images_waiting"), 0)  # more replicas of the same kind would not help
        cancel(self.daemons[0], name)
        wait_state(self.daemons[1], name, "cancelled")

    def test_metrics_and_readiness(self):
        for daemon in self.daemons:
            daemon.wait_metrics(lambda m: m.value("pfgmd_job_replicas") >= 3, "all replicas are known")
            m = daemon.wait_metrics(lambda m: m.value("pfgmd_job_store_up") == 1, "the store is up")
            self.assertGreaterEqual(m.value("pfgmd_job_images_waiting"), 0)
            wait_until(lambda: jobs_check(daemon)["ok"], "the store answers")


@unittest.skipUnless(HAVE_NATS, "this build is without NATS (libnats-dev)")
@unittest.skipUnless(NATS, "there is no nats-server (conf/deps.sh test installs it)")
class Trouble(unittest.TestCase):
    """Servers that are not what they should be. Whatever is wrong, images are served."""

    def assert_trouble(self, daemon, words):
        wait_trouble(daemon, words)
        self.assertEqual(daemon.metrics().value("pfgmd_job_store_up"), 0)
        answer = daemon.get("/v1/jobs")
        self.assertEqual((answer.status, answer.json()["code"]), (503, "jobs_off"))
        self.assertIn("Retry-After", answer.headers)
        self.assertEqual(daemon.images({"solver": QUICK}).status, 200)

    def test_a_server_without_jetstream(self):
        with Nats(jetstream=False) as nats, replica(nats) as daemon:
            self.assert_trouble(daemon, "has no JetStream")

    def test_wrong_credentials(self):
        with Nats("--user", "pfgmd", "--pass", "right") as nats:
            with replica(nats.url("pfgmd:wrong@")) as daemon:
                self.assert_trouble(daemon, "refuses the credentials")
                self.assertNotIn("wrong", "\n".join(daemon.lines))
            with replica(nats.url("pfgmd:right@")) as daemon:
                daemon.wait_line("jobs are kept at nats://127.0.0.1:")
                self.assertNotIn("right", "\n".join(daemon.lines))

    def test_a_server_that_goes_and_comes(self):
        nats = Nats()
        with nats, replica(nats) as daemon:
            name = file_job(daemon, {"n": 3, "solver": QUICK}).json()["id"]
            wait_state(daemon, name, "succeeded")
            nats.kill()
            self.assert_trouble(daemon, "the connection to NATS is lost")
            daemon.wait_line("no NATS server answers there")
            nats.start()
            daemon.wait_line("jobs are kept at", count=2)
            wait_job(daemon, name, lambda job: job["progress"]["images_done"] == 3, "has its images")
            self.assertEqual(len(pictures(daemon, name)), 3)
            wait_until(lambda: jobs_check(daemon)["ok"], "the store answers")
            name = file_job(daemon, {"n": 3, "solver": QUICK}).json()["id"]
            wait_state(daemon, name, "succeeded")

    def test_an_archive_waits_for_a_server_that_goes_and_comes(self):
        fields = {"n": 120, "seed": 3, "solver": {"method": "euler", "steps": 40}}
        with Nats() as nats, replica(nats, "--workers", "1") as daemon:
            name = file_job(daemon, fields).json()["id"]
            s = daemon.connect()
            s.sendall(f"GET /v1/jobs/{name}/archive HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            got = s.recv(4096)
            nats.kill()
            daemon.wait_line("no NATS server answers there")
            nats.start()
            while more := s.recv(65536):
                got += more
            s.close()
            self.assertEqual(len(images_of(got.split(b"\r\n\r\n", 1)[1])), 120)

    def test_a_server_that_hangs_holds_nobody_up(self):
        """Whoever asks is told so at once. The connection stays, and all goes on when the server does: unless it hangs for
        so long that it is left, for which this process must have stood still itself."""
        self.assertTrue(any(self.hangs_for_a_moment() for _ in range(5)))

    def hangs_for_a_moment(self):
        with Nats() as nats, replica(nats) as daemon:
            name = file_job(daemon, {"n": 2, "solver": QUICK}).json()["id"]
            wait_state(daemon, name, "succeeded")
            image = asked(daemon, "GET", f"/v1/jobs/{name}/images/0").body
            begun = time.monotonic()
            nats.process.send_signal(signal.SIGSTOP)
            os.waitpid(nats.process.pid, os.WUNTRACED)  # all of it has stopped
            try:
                late = [daemon.get(f"/v1/jobs/{name}/images/{i}") for i in (0, 1)]
                late.append(daemon.request("POST", "/v1/jobs", json.dumps({"n": 1}), {"Content-Type": "application/json"}))
                self.assertEqual(daemon.get("/livez").status, 200)
            finally:
                nats.process.send_signal(signal.SIGCONT)
            if time.monotonic() - begun > 4:
                return False
            for answer in late:
                self.assertEqual((answer.status, answer.json()["code"]), (503, "jobs_off"), answer.body)
                self.assertIn("is late", answer.json()["detail"])
                self.assertIn("Retry-After", answer.headers)
            again = wait_until(lambda: (a := daemon.get(f"/v1/jobs/{name}/images/0")).status == 200 and a, "it answers")
            self.assertEqual(again.body, image)
            self.assertEqual(sum("jobs are kept at" in line for line in daemon.lines), 1)
            return True

    def test_events_wait_for_a_server_that_goes_and_comes(self):
        """On one connection: each image is told of once, and the end."""
        fields = {"n": 120, "seed": 3, "solver": {"method": "euler", "steps": 40}}
        with Nats() as nats, replica(nats, "--workers", "1") as daemon:
            name = file_job(daemon, fields).json()["id"]
            with daemon.connect() as s:
                s.sendall(f"GET /v1/jobs/{name}/events HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                got = s.recv(4096)
                nats.kill()
                daemon.wait_line("no NATS server answers there")
                nats.start()
                while more := s.recv(65536):
                    got += more
        kinds = [line[7:] for line in got.decode().splitlines() if line.startswith("event: ")]
        self.assertEqual((kinds.count("image"), kinds[-1]), (120, "done"))

    def test_events_end_after_images_whose_reports_come_later(self):
        """The record of the end may come first to another replica, which waits for the images: for ten seconds."""
        self.assertTrue(any(self.reports_come_later() for _ in range(5)))

    def reports_come_later(self):
        """False: this process stood still, and they may have come too late."""
        with Nats() as nats, replica(nats) as one:
            name = file_job(one, {"n": 3, "solver": QUICK}).json()["id"]
            wait_state(one, name, "succeeded")
            subject = f"pfgm.done.{name}.0"
            report = ask_nats(nats, "$JS.API.STREAM.MSG.GET.pfgm-done", {"last_by_subj": subject})["message"]["data"]
            ask_nats(nats, "$JS.API.STREAM.PURGE.pfgm-done", {"filter": f"pfgm.done.{name}.>"})
            with replica(nats) as two, two.connect() as s:
                wait_state(two, name, "succeeded")
                begun = time.monotonic()
                s.sendall(f"GET /v1/jobs/{name}/events HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                got = b""
                while b"event: started" not in got:  # with which the end would come, if nothing kept it
                    self.assertTrue(more := s.recv(65536), got)
                    got += more
                ask_nats(nats, subject, base64.b64decode(report))
                if time.monotonic() - begun > 5:
                    return False
                while more := s.recv(65536):
                    got += more
        kinds = [line[7:] for line in got.decode().splitlines() if line.startswith("event: ")]
        self.assertEqual(kinds, ["queued", "started", "image", "image", "image", "done"])
        return True

    def test_a_certificate_that_nobody_vouches_for(self):
        here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls")
        certificate, key = (os.path.join(here, name) for name in ("first.crt", "first.key"))
        with Nats("--tls", "--tlscert", certificate, "--tlskey", key) as nats:
            url = f"tls://localhost:{nats.port}"
            with replica(url) as daemon:
                self.assert_trouble(daemon, "cannot connect to NATS")
            with replica(url, env={"SSL_CERT_FILE": certificate}) as daemon:  # an authority of the system's
                daemon.wait_line("jobs are kept at tls://localhost:")
            with replica(url, "--nats-ca", certificate) as daemon:
                daemon.wait_line("jobs are kept at tls://localhost:")
            with replica(url.replace("localhost", "127.1"), "--nats-ca", certificate) as daemon:  # another name for it
                self.assert_trouble(daemon, "cannot connect to NATS")

    def test_a_server_without_tls_is_not_told_the_password(self):
        """tls:// is no wish: who answers without TLS may be anybody on the path."""
        with Nats("--user", "pfgmd", "--pass", "secret") as nats:
            with replica(nats.url("pfgmd:secret@").replace("nats://", "tls://")) as daemon:
                self.assert_trouble(daemon, "cannot connect to NATS")
            with replica(nats.url("pfgmd:secret@")) as daemon:
                daemon.wait_line("jobs are kept at nats://")


class Settings(unittest.TestCase):
    def check(self, *args):
        return run(PFGMD, "--check-config", "--model", DIGITS, *args)

    def assert_refused(self, words, *args):
        got = self.check(*args)
        self.assertEqual(got.returncode, 2)
        self.assertIn(words, got.stderr.decode())

    @unittest.skipIf(HAVE_NATS, "this build has NATS")
    def test_a_build_without_nats_says_so(self):
        self.assert_refused("built without NATS", "--nats", "nats://localhost:4222")

    @unittest.skipUnless(HAVE_NATS, "this build is without NATS (libnats-dev)")
    def test_what_is_wrong_is_named(self):
        good = ("--nats", "nats://localhost:4222")
        self.assertEqual(self.check(*good).returncode, 0)
        self.assert_refused('"state" or "nats", not both', *good, "--state", "/tmp")
        self.assert_refused("nats://HOST:PORT", "--nats", "localhost:4222")
        self.assert_refused("give all of them as one", "--nats", "tls://a:4222,nats://b:4222")
        self.assert_refused("nats_credentials", *good, "--nats-credentials", "/nowhere")
        self.assert_refused("nats_ca", *good, "--nats-ca", "/nowhere")
        self.assert_refused('without "nats"', "--nats-ca", "/nowhere")
        self.assert_refused("nats_replicas", *good, "--nats-replicas", "0")


if __name__ == "__main__":
    unittest.main()
