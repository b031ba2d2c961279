"""clients/shell/pfgm-get against the daemon."""

import base64
import hashlib
import json
import os
import shutil
import struct
import tarfile
import tempfile
import time
import unittest
import zipfile

from harness import ENDLESS, Daemon, SharedDaemon, closed_port, run, scripted

GET = os.path.join(os.environ["CLIENTS"], "shell", "pfgm-get")


class Client(SharedDaemon):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = os.path.join(self.folder.name, "x.png")

    def tearDown(self):
        self.folder.cleanup()
        super().tearDown()

    def get(self, *args, shell="sh"):
        return run(shell, GET, "-u", f"http://127.0.0.1:{self.daemon.port}", *args)

    def digest(self, name):
        with open(os.path.join(self.folder.name, name), "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def test_one_image(self):
        for shell in [s for s in ["sh", "bash", "dash"] if shutil.which(s)]:
            result = self.get("-s", str(2**64 - 1), "-i", "3", "-o", self.out, shell=shell)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout, b"seed 18446744073709551615\n")
            body = {"seed": str(2**64 - 1), "first_index": 3}
            want = self.daemon.images(body).json()["images"][0]["sha256"]
            self.assertEqual(self.digest("x.png"), want)

    def test_several_images(self):
        result = self.get("-n", "5", "-s", "7", "-m", "euler", "-k", "4", "-o", self.out)
        self.assertEqual(result.returncode, 0, result.stderr)
        body = {"n": 5, "seed": 7, "solver": {"method": "euler", "steps": 4}}
        want = [i["sha256"] for i in self.daemon.images(body).json()["images"]]
        self.assertEqual(sorted(os.listdir(self.folder.name)),
                         [f"x-{k:03d}.png" for k in range(5)])
        self.assertEqual([self.digest(f"x-{k:03d}.png") for k in range(5)], want)
        self.assertEqual(result.stderr.decode().splitlines(),
                         [f"wrote {self.folder.name}/x-{k:03d}.png" for k in range(5)])

    def test_edits(self):
        self.assertEqual(self.get("-s", "5", "-o", self.out).returncode, 0)
        with open(self.out, "rb") as f:
            source = base64.b64encode(f.read()).decode()
        mask = os.path.join(self.folder.name, "mask.png")
        shutil.copy(self.out, mask)
        for words, more in (((), {}), (("-S", "0.25"), {"strength": 0.25}), (("-S", "0"), {"strength": 0}),
                            (("-P", mask), {"mask": source})):
            for image, name in ((source, self.out), ({"seed": "5", "index": "0"}, "5")):
                kept = os.path.join(self.folder.name, "edited.png")
                result = self.get("-E", name, *words, "-s", "7", "-o", kept)
                self.assertEqual(result.returncode, 0, result.stderr)
                want = self.daemon.request("POST", "/v1/edit", json.dumps({"image": image, "seed": 7, **more}),
                                           {"Content-Type": "application/json"}).json()
                self.assertEqual(self.digest("edited.png"), want["images"][0]["sha256"])
        result = self.get("-E", "5", "-n", "2", "-s", "7", "-o", os.path.join(self.folder.name, "two.png"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotEqual(self.digest("two-000.png"), self.digest("two-001.png"))
        for words, why in ((("-S", "1"), "go with -E"), (("-E", "5", "-S", "much"), "must be a number"),
                           (("-E", "5", "-P", "none.png"), "cannot read"), (("-E", "none.png"), "cannot read"),
                           (("-E", "x.gif"), "whole number"), (("-E", "5", "-d", mask), "only one of")):
            refused = self.get(*words, "-o", self.out)
            self.assertEqual(refused.returncode, 2, words)
            self.assertIn(why, refused.stderr.decode())

    def test_sheet(self):
        result = self.get("-n", "4", "-s", "7", "-g", "2", "-x", "3", "-M", "digits8", "-o",
                          self.out)
        self.assertEqual(result.returncode, 0, result.stderr)
        body = {"n": 4, "seed": 7, "grid": {"columns": 2, "scale": 3}}
        want = self.daemon.images(body).json()["images"][0]["sha256"]
        self.assertEqual(self.digest("x.png"), want)

    @staticmethod
    def tar_names(path):
        with tarfile.open(path) as t:
            return t.getnames()

    def test_archives_and_arrays(self):
        for ending, accept in [("npy", "application/x-npy"), ("npz", "application/x-npz")]:
            out = os.path.join(self.folder.name, "x." + ending)
            result = self.get("-n", "3", "-s", "7", "-o", out)
            self.assertEqual(result.returncode, 0, result.stderr)
            with open(out, "rb") as f:
                self.assertEqual(f.read(), self.daemon.images({"n": 3, "seed": 7}, accept).body)
        for ending, names in [("zip", lambda p: zipfile.ZipFile(p).namelist()),
                              ("tar", self.tar_names)]:
            out = os.path.join(self.folder.name, "x." + ending)
            result = self.get("-n", "3", "-s", "7", "-o", out)
            self.assertEqual((result.returncode, result.stdout), (0, b"seed 7\n"), result.stderr)
            self.assertEqual(sorted(names(out)), ["manifest.json"] +
                             [f"pfgm-7-{k}.png" for k in range(3)])

    def test_latents_there_and_back(self):
        path = [os.path.join(self.folder.name, name) for name in ["x.png", "z.npy", "y.png", "x.npy"]]
        self.assertEqual(self.get("-s", "5", "-o", path[0]).returncode, 0)
        result = self.get("-e", path[0], "-i", str(2**64 - 1), "-o", path[1])
        self.assertEqual((result.returncode, result.stdout), (0, b""), result.stderr)
        with open(path[0], "rb") as f:
            picture = f.read()
        latent = self.daemon.request("POST", "/v1/encode?format=npy", picture, {"Content-Type": "image/png"}).body
        with open(path[1], "rb") as f:
            self.assertEqual(f.read(), latent)
        for out, digest in [(path[2], "y-000.png"), (path[3], "x.npy")]:
            result = self.get("-d", path[1], "-m", "heun", "-k", "4", "-c", "none", "-M", "digits8", "-o", out)
            self.assertEqual(result.returncode, 0, result.stderr)
            kind = "npy" if out.endswith("npy") else "png"
            down = self.daemon.request("POST", f"/v1/decode?method=heun&steps=4&format={kind}", latent,
                                       {"Content-Type": "application/x-npy"}).body
            self.assertEqual(self.digest(digest), hashlib.sha256(down).hexdigest())
        result = self.get("-a", path[0], "-b", "18446744073709551615,3", "-n", "3", "-o", path[2])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue({"y-000.png", "y-001.png", "y-002.png"} <= set(os.listdir(self.folder.name)))
        sheet = self.get("-a", path[1], "-b", "8", "-g", "5", "-o", path[2])
        self.assertEqual(sheet.returncode, 0, sheet.stderr)
        with open(path[2], "rb") as f:
            self.assertEqual(struct.unpack(">II", f.read(24)[16:]), (40, 16))
        result = self.get("-l", path[0], "-s", "7", "-i", "3")
        told = self.daemon.request("POST", "/v1/likelihood?seed=7&first_index=3", picture, {"Content-Type": "image/png"}).json()
        self.assertEqual(result.stdout.decode(), f"3 {told['images'][0]['bits_per_dimension']}\nseed 7\n")

    def test_models(self):
        result = self.get("-L")
        self.assertEqual((result.returncode, result.stdout), (0, b"digits8 ready\n"), result.stderr)

    def test_a_503_is_tried_again_after_the_time_that_it_names(self):
        """A server that is full once, and then answers; and one that stays full."""
        full = (b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
                b"Content-Length: 37\r\n\r\n{\"code\":\"queue_full\",\"detail\":\"full\"}")
        good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nPNG!"
        later = full.replace(b"Retry-After: 1", b"Retry-After: 60")
        for answers, args, code in [([full, good], [], 0), ([full, full], ["-r", "1"], 1),
                                    ([later], ["-r", "0", "-w", "600"], 1)]:
            with scripted(answers) as address:
                begun = time.monotonic()
                result = run("sh", GET, "-u", address, *args, "-o", self.out)
            self.assertEqual(result.returncode, code, result.stderr)
            took = time.monotonic() - begun
            if len(answers) > 1:
                self.assertGreaterEqual(took, 1.0)
            else:
                self.assertLess(took, 60.0)
            if code:
                self.assertIn(b"503: full", result.stderr)

    def test_a_store_that_is_away_or_full_for_a_moment_is_waited_for(self):
        """More often than other refusals are tried again, as long as patience lasts; not where no time is named."""
        job = b'{"id":"x","state":"queued"}'
        good = b"HTTP/1.1 202 x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(job), job)
        seen = b"HTTP/1.1 204 x\r\nConnection: close\r\n\r\n"
        for head, code in ((b"503 x", b"jobs_off"), (b"507 x", b"store_full")):
            body = b'{"code":"%s"}' % code
            end = b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
            once, lasting = b"HTTP/1.1 %s\r\nRetry-After: 0\r\n" % head + end, b"HTTP/1.1 %s\r\n" % head + end
            with scripted([once, once, good]) as address:
                result = run("sh", GET, "-u", address, "-r", "1", "-I", "x", "-J", "submit")
            self.assertEqual((result.returncode, result.stdout), (0, b"x\n"), result.stderr)
            with scripted([lasting]) as address:
                self.assertEqual(run("sh", GET, "-u", address, "-J", "submit").returncode, 1)
            if code == b"jobs_off":
                for answers, status in (([once, seen], 0), ([lasting], 1)):
                    with scripted(answers) as address:
                        result = run("sh", GET, "-u", address, "-I", "x", "-J", "events")
                    self.assertEqual(result.returncode, status, result.stderr)

    def test_a_wait_beyond_the_patience_is_an_error_at_once(self):
        day = (b"HTTP/1.1 429 x\r\nRetry-After: %s\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
               b"Content-Length: 44\r\n\r\n{\"code\":\"quota_exceeded\",\"detail\":\"used up\"}")
        for after, args in [(b"86399", []), (b"50", ["-w", "49"]), (b"99999999999999999999", [])]:
            with scripted([day % after]) as address:  # a second try would find nobody
                begun = time.monotonic()
                result = run("sh", GET, "-u", address, *args, "-o", self.out)
            self.assertLess(time.monotonic() - begun, 50)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"429: used up; another try makes sense in " + after + b" s\n", result.stderr)

    def test_an_address_with_a_path_keeps_it(self):
        seen = []
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nPNG!"
        for ending in ["", "/"]:
            with scripted([answer], seen) as address:
                result = run("sh", GET, "-u", address + "/one/two" + ending, "-o", self.out)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([s.split()[1] for s in seen], [b"/one/two/v1/images"] * 2)

    def test_a_key(self):
        keys, key = (os.path.join(self.folder.name, name) for name in ("keys", "key"))
        with open(keys, "w", encoding="ascii") as f:
            f.write("a " + hashlib.sha256(b"sesame").hexdigest() + "\n")
        with open(key, "w", encoding="ascii") as f:
            f.write("sesame\n")
        with Daemon("--keys", keys) as daemon:
            url = f"http://127.0.0.1:{daemon.port}"
            refused = run("sh", GET, "-u", url, "-o", self.out)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(b"401", refused.stderr)
            self.assertEqual(run("sh", GET, "-u", url, "-K", key, "-o", self.out).returncode, 0)

    def test_errors(self):
        rows = [
            (["-n", "0", "-o", self.out], 1, b"422: /n: must be an integer"),
            (["-s", "18446744073709551616", "-o", self.out], 1, b"/seed"),
            (["-M", "other", "-o", self.out], 1, b'no model "other"'),
            (["-m", "rk45", "-k", "5", "-o", self.out], 1, b"/solver/steps"),
            (["-n", "x", "-o", self.out], 2, b"whole number"),
            (["-m", 'a"b', "-o", self.out], 2, b"plain name"),
            (["-n", "1"], 2, b"-o OUT.png"),
            (["-o", "x.jpg"], 2, b".png"),
            (["-c", 'a\\"b', "-o", self.out], 1, b"/class"),
            (["-c", "a\nb", "-o", self.out], 2, b"control"),
            (["-a", "1", "-o", self.out], 2, b"together"),
            (["-a", "1", "-b", "x", "-o", self.out], 2, b"whole number"),
            (["-a", "y", "-b", "1", "-o", self.out], 2, b"whole number"),
            (["-a", "1", "-b", "/nonexistent.png", "-o", self.out], 2, b"cannot read"),
            (["-e", "/nonexistent.png", "-o", "x.npy"], 2, b"cannot read"),
            (["-e", GET, "-o", "x.npy"], 2, b".png or .npy"),
            (["-e", GET, "-o", self.out], 2, b"as .npy"),
            (["-e", GET, "-L"], 2, b"only one"),
            (["-o", self.out, "more"], 2, b"unexpected"),
            (["-Z"], 2, b"Usage"),
            (["-o", "/nonexistent/x.png"], 1, b"cannot write"),
        ]
        for args, code, text in rows:
            with self.subTest(args=args):
                result = self.get(*args)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(text, result.stderr)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_no_server(self):
        with closed_port() as port:
            result = run("sh", GET, "-u", f"http://127.0.0.1:{port}", "-o", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no answer from", result.stderr)


class Jobs(unittest.TestCase):
    def test_a_job_from_its_filing_to_its_end(self):
        with tempfile.TemporaryDirectory() as folder, Daemon("--state", os.path.join(folder, "state")) as daemon:
            def get(*args):
                return run("sh", GET, "-u", f"http://127.0.0.1:{daemon.port}", *args)

            def path(name):
                return os.path.join(folder, name)
            words = ["-n", "3", "-s", "7", "-m", "euler", "-k", "4"]
            done = get(*words, "-J", "submit")
            self.assertEqual(done.returncode, 0, done.stderr)
            name = done.stdout.decode().strip()
            self.assertRegex(name, "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$")
            self.assertEqual(get(*words, "-I", name, "-J", "submit").stdout.decode(), name + "\n")
            self.assertIn(b"409", get("-n", "4", "-I", name, "-J", "submit").stderr)
            self.assertEqual(get("-I", name, "-J", "wait").stdout, b"succeeded 3 3\n")
            self.assertEqual(get("-I", name, "-J", "cancel").stdout, b"succeeded 3 3\n")
            told = [line.split(" ", 2) for line in get("-I", name, "-J", "events").stdout.decode().splitlines()]
            self.assertEqual([word[0] for word in told if word[1] != "progress"], list("123456"))
            self.assertEqual(told[-1][1], "done")
            want = [i["sha256"] for i in daemon.images({"n": 3, "seed": 7, "solver": {"method": "euler", "steps": 4}})
                    .json()["images"]]
            self.assertEqual(get("-I", name, "-i", "2", "-J", "image", "-o", path("x.png")).returncode, 0)
            with open(path("x.png"), "rb") as f:
                self.assertEqual(hashlib.sha256(f.read()).hexdigest(), want[2])
            self.assertEqual(get("-I", name, "-J", "archive", "-o", path("x.zip")).returncode, 0)
            with zipfile.ZipFile(path("x.zip")) as z:
                self.assertEqual(len(z.namelist()), 4)
            for words, code, text in ((["-J", "wait"], 2, b"-I ID is missing"), (["-J", "odd"], 2, b"-J is submit"),
                                      (["-I", name, "-J", "archive", "-o", "x.png"], 2, b"must end in .zip"),
                                      (["-I", name[:-1] + "x", "-J", "events"], 1, b"the server answered 404"),
                                      (["-I", name[:-1] + "x", "-J", "status"], 1, b"the server answered 404")):
                done = get(*words)
                self.assertEqual((done.returncode, done.stdout), (code, b""), words)
                self.assertIn(text, done.stderr)
            name = json.loads(daemon.request("POST", "/v1/jobs", json.dumps({"n": 2, "solver": ENDLESS})).body)["id"]
            self.assertIn(b" 0 2\n", get("-I", name, "-J", "status").stdout)
            self.assertEqual(get("-I", name, "-J", "cancel").returncode, 0)
            done = get("-I", name, "-J", "wait")
            self.assertEqual((done.returncode, done.stdout), (1, b"cancelled 0 2\n"))

    def test_a_wait_pauses_while_the_server_drains_and_answers_at_once(self):
        answers = []
        for state in (b"queued", b"running", b"succeeded"):
            job = b'{"id":"x","state":"%s","progress":{"images_done":1,"images_total":1}}' % state
            answers.append(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(job), job))
        begun = time.monotonic()
        with scripted(answers) as address:
            done = run("sh", GET, "-u", address, "-I", "x", "-J", "wait")
        self.assertEqual((done.returncode, done.stdout), (0, b"succeeded 1 1\n"), done.stderr)
        self.assertGreaterEqual(time.monotonic() - begun, 2.0)


if __name__ == "__main__":
    unittest.main()
