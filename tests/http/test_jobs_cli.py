"""`pfgm jobs` against the real daemon, its restarts, and servers that are not well."""

import contextlib
import filecmp
import hashlib
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
import unittest
import uuid
import zipfile

from harness import DIGITS, ENDLESS, PATIENCE, PFGM, Daemon, closed_port, free_ports, read_request, run, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
QUICK = ["--solver", "euler", "--steps", "3"]
BUILT = b"without libcurl" not in run(PFGM, "jobs", "list", "--server", "http://127.0.0.1:1", "--patience", "0").stderr


def jobs(address, *words, env=None, code=0):
    """Standard output of `pfgm jobs`; `code` is how it must end."""
    done = run(PFGM, "jobs", *map(str, words), env={**os.environ, "PFGM_URL": address, **(env or {})})
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode() if code == 0 else done.stderr.decode()


def job_of(daemon, name):
    return json.loads(daemon.get(f"/v1/jobs/{name}").body)


@contextlib.contextmanager
def served(answer):
    """A server: `answer(request, number)` gives the bytes that follow on each request, by connection."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as s:
        s.settimeout(0.1)

        def serve():
            number = 0
            while not stop.is_set():
                try:
                    connection, _ = s.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.sendall(answer(read_request(connection).decode(), number))
                number += 1
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{s.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


def http(body, status="200 OK", length=None, **headers):
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n"
            f"Connection: close\r\n{lines}\r\n").encode() + body


@unittest.skipUnless(BUILT, "built without libcurl")
class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.state = tempfile.TemporaryDirectory()
        cls.daemon = Daemon("--state", cls.state.name)
        cls.address = f"http://127.0.0.1:{cls.daemon.port}"

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.state.cleanup()
        cls.daemon.check_sanitizers()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def test_what_is_fetched_is_what_sample_gives(self):
        same = ["-n", 6, "--seed", 2**64 - 1, "--first-index", 4, "--temperature", "0.9", *QUICK]
        name = jobs(self.address, "submit", *same, "--label", "one of mine").strip()
        self.assertEqual(jobs(self.address, "watch", name), f"job {name} succeeded: 6 of 6 images\n")
        for out in ("s/", "s.npz", "s.npy"):
            self.assertEqual(run(PFGM, "sample", DIGITS, *map(str, same), "-o", self.path(out)).returncode, 0)
        self.assertIn("6 images fetched, 0 there before", jobs(self.address, "fetch", name, "-o", self.path("j/")))
        names = os.listdir(self.path("s"))
        self.assertEqual(sorted(os.listdir(self.path("j"))), sorted(names))
        self.assertEqual(filecmp.cmpfiles(self.path("j"), self.path("s"), names, shallow=False)[1:], ([], []))
        for ending in ("npz", "npy"):
            jobs(self.address, "fetch", name, "-o", self.path("j." + ending))
        self.assertTrue(filecmp.cmp(self.path("j.npy"), self.path("s.npy"), shallow=False))
        with zipfile.ZipFile(self.path("j.npz")) as a, zipfile.ZipFile(self.path("s.npz")) as b:
            self.assertEqual({n: a.read(n) for n in a.namelist()}, {n: b.read(n) for n in b.namelist()})
        jobs(self.address, "fetch", name, "-o", self.path("j.zip"))
        with zipfile.ZipFile(self.path("j.zip")) as z:
            self.assertEqual(len(z.namelist()), 7)
        jobs(self.address, "fetch", name, "-o", self.path("j.tar"))
        with tarfile.open(self.path("j.tar")) as t, zipfile.ZipFile(self.path("j.zip")) as z:
            self.assertEqual([(n, t.extractfile(n).read()) for n in t.getnames()][:6],
                             [(n, z.read(n)) for n in z.namelist()][:6])
            self.assertEqual(t.getnames()[6:], ["manifest.json"])

        os.unlink(self.path("j/000005.png"))  # a broken download goes on
        with open(self.path("j/000006.png"), "r+b") as f:
            f.truncate(50)
        self.assertIn("2 images fetched, 4 there before", jobs(self.address, "fetch", name, "-o", self.path("j/")))
        self.assertEqual(filecmp.cmpfiles(self.path("j"), self.path("s"), names, shallow=False)[1:], ([], []))

    def test_submitting_twice_is_one_job(self):
        name = str(uuid.uuid4())
        words = ["submit", "--id", name, "-n", 2, *QUICK]
        self.assertEqual(jobs(self.address, *words), name + "\n")
        self.assertEqual(jobs(self.address, *words), name + "\n")
        self.assertIn("answered 409", jobs(self.address, *words, "--label", "other", code=2))
        self.assertEqual(json.loads(jobs(self.address, *words, "--json"))["id"], name)

    def test_the_list_and_the_end_of_a_job(self):
        names = [jobs(self.address, "submit", "--label", f"job {i}", *QUICK).strip() for i in range(3)]
        for name in names:
            jobs(self.address, "watch", name)
        lines = [json.loads(line) for line in jobs(self.address, "list", "-n", 2, "--json").splitlines()]
        self.assertEqual([job["id"] for job in lines], names[:0:-1])
        table = jobs(self.address, "list", "--state", "succeeded").splitlines()
        self.assertRegex(table[0], rf"^{names[2]}  succeeded +1/1  \S+ +digits8  job 2$")
        self.assertIn("succeeded: 1 of 1", jobs(self.address, "cancel", names[0]))  # and nothing is lost
        self.assertEqual(job_of(self.daemon, names[0])["state"], "succeeded")
        self.assertIn("is forgotten", jobs(self.address, "cancel", names[0], "--forget"))
        self.assertEqual(json.loads(jobs(self.address, "cancel", names[1], "--forget", "--json")),
                         {"id": names[1], "forgotten": True})
        self.assertIn("answered 410", jobs(self.address, "watch", names[0], code=2))
        self.assertIn("answered 404", jobs(self.address, "watch", uuid.uuid4(), code=2))

    def endless(self):
        name = str(uuid.uuid4())
        answer = self.daemon.request("PUT", f"/v1/jobs/{name}", json.dumps({"n": 2, "solver": ENDLESS}))
        self.assertEqual(answer.status, 202)
        return name

    def test_a_job_that_is_cancelled_fails_its_watcher(self):
        name = self.endless()
        watcher = subprocess.Popen([PFGM, "jobs", "watch", name, "--json", "--server", self.address],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(json.loads(watcher.stdout.readline())["event"], "queued")
        self.assertIn("cancel it first", jobs(self.address, "cancel", name, "--forget", code=2))
        self.assertIn("cancel", jobs(self.address, "cancel", name))
        out, err = watcher.communicate(timeout=PATIENCE)
        last = json.loads(out.splitlines()[-1])
        self.assertEqual((watcher.returncode, last["event"], last["data"]["state"]), (1, "cancelled", "cancelled"))
        self.assertIn(f"job {name} cancelled with 0 of 2 images", err)
        self.assertIn("cancelled with 0 of 2", jobs(self.address, "fetch", name, "-o", self.path("x.zip"), code=1))
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_lost_answer_to_cancel_does_not_forget_the_job(self):
        """The request is sent again when the job is cancelled already, and by then DELETE would forget it."""
        name, heads = self.endless(), []
        wait_until(lambda: job_of(self.daemon, name)["state"] == "running", "the job runs")

        def relay(head, _):
            heads.append(head)
            with self.daemon.connect() as s:
                s.sendall(head.replace("\r\n", "\r\nConnection: close\r\n", 1).encode())
                answer = b""
                while piece := s.recv(65536):
                    answer += piece
            if sum(h.startswith("DELETE") for h in heads) > 1 or not head.startswith("DELETE"):
                return answer
            wait_until(lambda: job_of(self.daemon, name)["state"] == "cancelled", "the job is cancelled")
            return b""  # the connection ends without an answer
        with served(relay) as address:
            self.assertIn("cancelled: 0 of 2", jobs(address, "cancel", name))
        self.assertEqual([h.split()[0] for h in heads], ["GET", "DELETE", "DELETE", "GET"])
        self.assertEqual(job_of(self.daemon, name)["state"], "cancelled")

    def test_a_terminal_gets_a_bar(self):
        name = self.endless()
        ours, theirs = pty.openpty()
        watcher = subprocess.Popen([PFGM, "jobs", "watch", name, "--server", self.address], stderr=theirs,
                                   stdout=subprocess.DEVNULL)
        os.close(theirs)
        seen = []

        def read():  # up to the end: a terminal that nobody reads holds its programs up
            with contextlib.suppress(OSError):
                while piece := os.read(ours, 4096):
                    seen.append(piece)
        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: re.search(rb"\[[# ]{20}\] 0/2 images", b"".join(seen)), "a bar")
        jobs(self.address, "cancel", name)
        self.assertEqual(watcher.wait(PATIENCE), 1)
        reader.join()
        os.close(ours)

    def test_words_that_are_wrong(self):
        for words, text in ((["watch"], "the ID of one job is needed"), (["watch", "../models"], "no ID of a job"),
                            (["submit", "--id", "x"], "no UUID"), (["submit", "-n", "0"], "from 1 to 1000000"),
                            (["submit", "digits8"], "a model is --model NAME"), (["submit", "--class", "cat"], "answered 422"),
                            (["fetch", str(uuid.uuid4())], "-o OUT is needed"), (["submit", "--temperature", "0"], "must be 0.001 to 10, is 0"), (["list", "--state", "odd"], "answered 422"),
                            (["fetch", str(uuid.uuid4()), "-o", "x.rar"], "must end in .zip"), ([], "submit, list, watch"),
                            (["list", "--server", "ftp://x"], "is no address"), (["list", "--server", "http://a@b"], "is no address"),
                            (["list", "--key-file", "/nonexistent"], "/nonexistent")):
            self.assertIn(text, jobs(self.address, *words, code=2), words)

    def test_a_redirection_is_no_success(self):
        """A proxy that leads from http to https without a page: nothing was filed, listed or cancelled."""
        name = str(uuid.uuid4())
        with served(lambda *_: http(b"", "308 Permanent Redirect", Location="https://models.example/v1/jobs")) as address:
            for words in (["submit"], ["list"], ["cancel", name], ["watch", name, "--patience", "0"],
                          ["fetch", name, "-o", self.path("a.zip")]):
                with self.subTest(words=words):
                    said = jobs(address, *words, code=2)
                    self.assertIn('answered 308, which leads to "https://models.example/v1/jobs"', said)

    def test_what_is_not_the_job_is_no_receipt(self):
        with served(lambda *_: http(b'{"id": "another"}')) as address:
            self.assertIn("is not the job", jobs(address, "submit", code=1))

    def test_without_a_store_and_without_a_server(self):
        with Daemon() as daemon:
            address = f"http://127.0.0.1:{daemon.port}"
            self.assertIn("\"state\" names the folder", jobs(address, "submit", code=1))  # at once
        with closed_port() as port:
            said = jobs(f"http://127.0.0.1:{port}", "submit", "--patience", "1", code=1)
            self.assertRegex(said, "no answer: .*the same with --id [0-9a-f-]{36} asks again")

    def test_the_key_comes_from_a_file_or_the_environment(self):
        keys, key, other = self.path("keys"), self.path("key"), self.path("other")
        for file, text in ((keys, "".join(f"{who} {hashlib.sha256(letter * 32).hexdigest()}\n" for who, letter in (("me", b"a"), ("you", b"b")))), (key, "a" * 32 + "\n"), (other, "c" * 32 + "\n")):
            with open(file, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
                f.write(text)
        with tempfile.TemporaryDirectory() as state, Daemon("--state", state, "--keys", keys) as daemon:
            address = f"http://127.0.0.1:{daemon.port}"
            name = jobs(address, "submit", *QUICK, "--key-file", key).strip()
            self.assertIn(name, jobs(address, "list", env={"PFGM_KEY": "a" * 32}))
            self.assertEqual(jobs(address, "list", env={"PFGM_KEY": "b" * 32}), "")
            self.assertIn("answered 401", jobs(address, "list", code=2))
            self.assertIn("answered 401", jobs(address, "list", "--key-file", other, code=2))
            self.assertIn("answered 404", jobs(address, "watch", name, env={"PFGM_KEY": "b" * 32}, code=2))
            self.assertIn("printable ASCII", jobs(address, "list", env={"PFGM_KEY": "a b"}, code=2))

    def test_certificates_are_verified(self):
        certificate, key = (os.path.join(HERE, "tls", "first." + ending) for ending in ("crt", "key"))
        with Daemon("--tls-certificate", certificate, "--tls-key", key) as daemon:
            address = f"https://localhost:{daemon.port}"
            self.assertIn("no answer: ", jobs(address, "list", code=2))  # at once: another try has no better end
            self.assertIn("state", jobs(address, "list", "--ca", certificate, code=1))
            self.assertIn("no answer: ", jobs(address, "list", "--ca", "/nonexistent", code=2))

    def test_a_restart_of_the_server_is_lived_through(self):
        with tempfile.TemporaryDirectory() as state, contextlib.ExitStack() as ends:
            port, = free_ports(1)

            def start():
                daemon = Daemon("--state", state, "--listen", f"127.0.0.1:{port}")
                ends.callback(daemon.stop)
                return daemon

            def begin(*words):
                process = ends.enter_context(subprocess.Popen([PFGM, "jobs", *words, "--server", address],
                                                              stdout=subprocess.PIPE))
                ends.callback(process.kill)  # and then it is waited for
                return process
            daemon = start()
            address = f"http://127.0.0.1:{port}"
            name = jobs(address, "submit", "-n", 24, "--seed", 5, "--solver", "euler", "--steps", 60).strip()
            watcher, fetcher = begin("watch", name, "--json"), begin("fetch", name, "-o", self.path("f/"))
            for _ in range(2):
                done = job_of(daemon, name)["progress"]["images_done"]
                wait_until(lambda: job_of(daemon, name)["progress"]["images_done"] > min(done, 22), "an image more")
                daemon.signal(signal.SIGKILL)
                daemon.wait()
                daemon.stop()
                daemon = start()
            lines = [json.loads(line) for line in watcher.communicate(timeout=PATIENCE)[0].splitlines()]
            said = fetcher.communicate(timeout=PATIENCE)[0]
            self.assertEqual((watcher.returncode, fetcher.returncode), (0, 0))
            told = [line for line in lines if line["event"] != "progress"]
            self.assertEqual([line["id"] for line in told], list(range(1, len(told) + 1)))  # each once, in order
            self.assertEqual(sorted(line["data"]["index"] for line in told if line["event"] == "image"), list(range(24)))
            self.assertIn(b"24 images fetched, 0 there before", said)
            self.assertEqual(len(os.listdir(self.path("f"))), 24)

    # ---- a server that breaks off ----

    def fake(self, archive):
        """A job of two images, whose archive `archive(head, number)` answers."""
        name, sha = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", ["%064x" % i for i in range(2)]
        job = {"id": name, "state": "succeeded", "parameters": {"first_index": "0"}, "error": None,
               "progress": {"images_done": 2, "images_total": 2, "fraction": 1.0, "eta_s": None}}
        text = "".join(f"id: {i + 1}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" for i, (kind, data) in enumerate(
            [("queued", job), ("started", job), *(("image", {"index": i, "sha256": sha[i]}) for i in range(2)), ("done", job)]))
        tries = []

        def answer(head, _):
            if "/archive" in head:
                tries.append(head)
                return archive(head, len(tries))
            if "/images/" in head:
                return http(b"\x89PNG and nothing that was named")
            return http(text.encode(), Content_Type="text/event-stream") if "/events" in head else http(json.dumps(job).encode())
        return name, answer, tries

    def npy(self):
        head = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 8, 8, 1), }".ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(range(128))

    def test_a_store_that_is_away_or_full_for_a_moment_is_waited_for(self):
        """A Retry-After says that it passes; without one there is no store at all."""
        name, done = str(uuid.uuid4()), None
        away = http(b'{"code":"jobs_off","detail":"away"}', "503 x", Retry_After=1)
        full = http(b'{"code":"store_full","detail":"full"}', "507 x", Retry_After=1)
        job = {"id": name, "state": "succeeded", "progress": {"images_done": 1, "images_total": 1}}
        done = http(f"id: 4\nevent: done\ndata: {json.dumps(job)}\n\n".encode(), Content_Type="text/event-stream")
        for first, words, last in ((away, ("watch", name), done), (away, ("submit", "--id", name), http(json.dumps(job).encode())),
                                   (full, ("submit", "--id", name), http(json.dumps(job).encode()))):
            with served(lambda _, number: first if number == 0 else last) as address:
                self.assertIn(name, jobs(address, *words))
        for final in (http(b'{"code":"jobs_off","detail":"away"}', "503 x"), http(b'{"code":"store_full"}', "507 x")):
            asked = []

            def refuse(head, number):
                asked.append(number)
                return final
            with served(refuse) as address:
                jobs(address, "watch", name, code=1)
            self.assertEqual(asked, [0])

    def test_an_end_without_all_images_is_no_success(self):
        name = str(uuid.uuid4())
        job = {"id": name, "state": "succeeded", "parameters": {"first_index": "0"},
               "progress": {"images_done": 2, "images_total": 2}}
        done = http(f"id: 5\nevent: done\ndata: {json.dumps(job)}\n\n".encode(), Content_Type="text/event-stream")
        with served(lambda head, _: done if "/events" in head else http(json.dumps(job).encode())) as address:
            for out in ("some/", "some.zip"):
                self.assertIn("told of 0 of its 2 images", jobs(address, "fetch", name, "-o", self.path(out), code=1))

    def test_a_broken_archive_goes_on_or_begins_anew(self):
        whole = self.npy()

        def ranged(head, number):
            if number == 1:
                return http(whole[:100], length=len(whole), ETag='"x"', Accept_Ranges="bytes")
            assert "Range: bytes=100-\r\n" in head and 'If-Range: "x"' in head, head
            return http(whole[100:], "206 Partial Content", ETag='"x"', Accept_Ranges="bytes",
                        Content_Range=f"bytes 100-{len(whole) - 1}/{len(whole)}")

        def plain(head, number):
            assert "Range:" not in head
            return http(whole[:100], length=len(whole)) if number == 1 else http(whole)
        for archive, text in ((ranged, b"it goes on there"), (plain, b"begins anew")):
            name, answer, tries = self.fake(archive)
            with served(answer) as address:
                done = run(PFGM, "jobs", "fetch", name, "-o", self.path("x.npy"), "--server", address)
            self.assertEqual((done.returncode, len(tries)), (0, 2), done.stderr)
            self.assertIn(text, done.stderr)
            with open(self.path("x.npy"), "rb") as f:
                self.assertEqual(f.read(), whole)

    def test_what_is_not_what_was_named_gets_no_name(self):
        short = self.npy()[:-1]
        other = io.BytesIO()
        with zipfile.ZipFile(other, "w") as z:
            z.writestr("0.png", b"not it")
            z.writestr("1.png", b"not it")
            z.writestr("manifest.json", json.dumps({"images": [{"index": i, "name": f"{i}.png"} for i in range(2)]}))
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as t:
            t.addfile(tarfile.TarInfo("0.png"), b"")
        for out, body, text in (("x.npy", short, "x.npy"), ("x.zip", other.getvalue(), "another SHA-256"),
                                ("x.zip", other.getvalue()[:99], "x.zip"), ("x.npz", other.getvalue(), "has no array arr_0"),
                                ("x.tar", packed.getvalue(), "another SHA-256"), ("x.tar", bytes(1024), "0 of 2 images"),
                                ("x.tar", packed.getvalue()[:900], "ends too early"), ("x.tar", b"x" * 2048, "begins no file"),
                                ("d/", b"", "another SHA-256")):
            name, answer, _ = self.fake(lambda head, number, body=body: http(body))
            with served(answer) as address:
                done = run(PFGM, "jobs", "fetch", name, "-o", self.path(out), "--server", address)
            self.assertIn(done.returncode, (1, 2), out)
            self.assertIn(text, done.stderr.decode(), out)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertEqual([n for n in os.listdir(self.folder) if n != "d"], [])
        self.assertEqual(os.listdir(self.path("d")), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
