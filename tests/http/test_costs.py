"""What a hostile body or picture costs: memory in proportion to its bytes, and no time of those threads that serve
everybody."""

import base64
import contextlib
import http.client
import itertools
import json
import multiprocessing
import os
import signal
import struct
import tempfile
import threading
import time
import unittest
import zipfile
import zlib

from harness import DIGITS, ENDLESS, PATIENCE, PFGM, SANITIZER, Daemon, run
from routes import FORM, multipart, multipart_of
from test_latents import b64, npy, post

MIB = 1 << 20
LIARS = [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"sPLT", b"pCAL", b"sCAL"]
MEASURED = SANITIZER == "none"  # sanitizers keep what was freed
SIZE = int(os.environ.get("COSTS_MIB", "2")) * MIB  # of large bodies; 64 is their limit
CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "corpus")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


BEGIN = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
PIXELS = chunk(b"IDAT", zlib.compress(b"".join(bytes([0, *range(i, i + 8)]) for i in range(8)))) + chunk(b"IEND", b"")


def picture(*chunks):
    return BEGIN + b"".join(chunks) + PIXELS


def liar(name):
    """44 bytes: a chunk that declares 2 GiB behind a valid header."""
    return BEGIN + struct.pack(">I", 0x7fffffff) + name + b"abc"


def fill(start, item, end, size):
    return start + item * ((size - len(start) - len(end)) // len(item)) + end


def bodies_of(size):
    """(name, path, type, body, status) of bodies of about that size, the dearest that are known of each kind."""
    text = "application/json"
    for name, item in [("objects", b"{},"), ("arrays", b"[],"), ("strings", b'"",'), ("numbers", b"0,")]:
        for path, member in [("/v1/encode", b"images"), ("/v1/decode", b"latents"), ("/v1/interpolate", b"between"),
                             ("/v1/edit", b"mask"), ("/v1/likelihood", b"images")]:
            yield name, path, text, fill(b'{"%s":[' % member, item, b"0]}", size), 400
    yield "members", "/v1/encode", text, b"{" + b",".join(b'"%x":0' % i for i in range(size // 12)) + b"}", 400
    yield "a long string", "/v1/encode", text, fill(b'{"images":["', b"AAAA", b'"]}', size), 422
    yield "a long name", "/v1/likelihood", text, fill(b'{"', b"AAAA", b'":1}', size), 422
    yield "a long number", "/v1/decode", text, fill(b'{"latents":', b"9", b"}", size), 422
    yield "escapes", "/v1/decode", text, fill(b'{"latents":["', b"\\n", b'"]}', size), 422
    long, half = (picture(chunk(b"tEXt", b"k\0" + b"x" * (n * 3 // 4 - 300))) for n in (size, size // 2))
    yield "a picture with a text", "/v1/encode", text, b'{"images":["%s"]}' % base64.b64encode(long), 200
    yield "the same as an end", "/v1/interpolate", text, \
        b'{"between":[{"seed":1},{"image":"%s"}]}' % base64.b64encode(long), 200
    yield "the same by itself", "/v1/likelihood", "image/png", long, 200
    yield "a picture in empty pieces", "/v1/encode", "image/png", picture(chunk(b"IDAT", b"") * (size // 12 - 16)), 200
    yield "an array", "/v1/decode", "application/x-npy", npy("<f4", (size // 256 - 1, 1, 8, 8), bytes((size // 256 - 1) * 256)), 422
    yield "two pictures with texts", "/v1/edit", text, \
        b'{"image":"%s","mask":"%s"}' % ((base64.b64encode(half),) * 2), 200
    yield "a picture with a text in a form", "/v1/images/edits", FORM, multipart(image=long), 200
    yield "the same to be varied", "/v1/images/variations", FORM, multipart(image=long), 200
    yield "parts", "/v1/images/edits", FORM, multipart_of([b'Content-Disposition: form-data; name="user"\r\n\r\n\r\n'] * (size // 60)), 413
    yield "one part's fields", "/v1/images/edits", FORM, multipart_of([b"x: y\r\n" * (size // 6 - 40) + b"\r\n"]), 400
    yield "what might be a boundary", "/v1/images/variations", FORM, multipart(image=b"\r\n--edg" * (size // 7 - 40)), 422
    yield "a prompt", "/v1/images/edits", FORM, multipart(image=picture(), prompt="x" * (size - 1000)), 422
    yield "zeroes behind the pixels", "/v1/encode", "image/png", \
        BEGIN + chunk(b"IDAT", zlib.compress(bytes(16 * size), 9)) + chunk(b"IEND", b""), 422


def small_bodies():
    """Likewise of the routes that take 1 MiB."""
    text, size, infer = "application/json", MIB, "/v2/models/digits8/infer"
    tensor = b'{"inputs":[{"name":"latents","datatype":"FP32","shape":[1,1,8,8],"data":['
    for name, item in [("objects", b"{},"), ("arrays", b"[],")]:
        for path, start in [("/v1/images", b'{"class":['), ("/v1/images/generations", b'{"class":['), ("/v1/jobs", b'{"solver":['),
                            ("/v2/repository/index", b'{"ready":['), (infer, tensor)]:
            yield name, path, text, fill(start, item, b"0]" + (b"}]}" if path == infer else b"}"), size), 400
    yield "strings", infer, text, fill(tensor, b'"",', b"0]}]}", size), 422
    yield "numbers", infer, text, fill(tensor, b"0,", b"0]}]}", size), 422
    yield "rows", infer, text, fill(tensor, b"[0,0,0,0,0,0,0,0],", b"0]}]}", size), 422
    yield "numbers beyond range", infer, text, fill(tensor, b"1e999,", b"0]}]}", size), 422
    yield "numbers beyond range", "/v1/images/generations", text, fill(b'{"n":', b"9", b"}", size), 422


def peak(daemon):
    """The largest memory that the daemon has held since `forget`, in bytes."""
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) * 1024


def forget(daemon):
    """What it holds now, from which the next peak is counted."""
    with open(f"/proc/{daemon.process.pid}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")
    return peak(daemon)


class Memory(unittest.TestCase):
    def within(self, daemon, before, bytes_more):
        if MEASURED:
            self.assertLess(peak(daemon) - before, bytes_more)

    def test_a_chunk_that_declares_2_gib(self):
        requests = [("/v1/encode", "image/png", lambda p: p),
                    ("/v1/encode", "application/json", lambda p: {"images": [b64(p)]}),
                    ("/v1/likelihood", "image/png", lambda p: p),
                    ("/v1/interpolate", "application/json", lambda p: {"between": [{"seed": 1}, {"image": b64(p)}]})]
        with Daemon() as daemon:
            for path, kind, body in requests:
                self.assertEqual(post(daemon, path, body(b"no picture"), kind).status, 422)
                for name in LIARS:
                    with self.subTest(path=path, kind=kind, chunk=name):
                        self.assertEqual(len(liar(name)), 44)
                        before = forget(daemon)
                        answer = post(daemon, path, body(liar(name)), kind)
                        self.assertEqual(answer.status, 422)
                        self.assertIn(f"chunk {name.decode()} declares 2147483647 bytes", answer.json()["detail"])
                        self.within(daemon, before, MIB)

    def test_a_body_costs_a_small_multiple_of_its_bytes(self):
        with tempfile.TemporaryDirectory() as state, Daemon("--workers", "1", "--state", state, "--read-timeout", "600") as daemon:
            for path in ["/v1/encode", "/v1/likelihood"]:  # each worker's first likelihood takes memory that it keeps
                self.assertEqual(post(daemon, path, picture(), "image/png").status, 200)
            for name, path, kind, body, status in bodies_of(SIZE):
                self.assertLessEqual(len(body), SIZE, name)
                with self.subTest(body=name, path=path):
                    before = forget(daemon)
                    answer = post(daemon, path, body, kind)
                    self.assertEqual(answer.status, status, answer.body[:300])
                    self.within(daemon, before, 4 * len(body) + SIZE)  # 64 MiB to the largest body of 64 MiB
            for name, path, kind, body, status in small_bodies():
                with self.subTest(body=name, path=path):
                    before = forget(daemon)
                    answer = post(daemon, path, body, kind)
                    self.assertEqual(answer.status, status, answer.body[:300])
                    self.within(daemon, before, 4 * len(body) + 64 * MIB)

    def test_what_fuzzing_has_kept_costs_little_on_any_route(self):
        """Each body of the corpus on each route that takes one, as each kind of body that it takes."""
        text, array, png = "application/json", "application/x-npy", "image/png"
        entrances = [(path, text) for path in ("/v1/images", "/v1/interpolate", "/v1/jobs", "/v1/images/generations",
                                               "/v2/models/digits8/infer", "/v2/repository/index")]
        entrances += [(path, kind) for path in ("/v1/encode", "/v1/likelihood", "/v1/edit") for kind in (text, array, png)]
        entrances += [("/v1/decode", text), ("/v1/decode", array), ("/v1/images/edits", FORM), ("/v1/images/variations", FORM),
                      ("/v2/models/digits8/infer", "application/octet-stream")]
        bodies = set()
        for name in ["request", "kserve", "multipart", "png", "dataset"]:
            with zipfile.ZipFile(os.path.join(CORPUS, name + ".zip")) as z:
                bodies |= {z.read(member)[start:] for member in z.namelist() for start in (0, 1)}  # a first byte may name a route
        with tempfile.TemporaryDirectory() as state, Daemon("--workers", "1", "--state", state) as daemon:
            before = forget(daemon)
            connection = http.client.HTTPConnection(daemon.host, daemon.port, timeout=PATIENCE)
            for body, (path, kind) in itertools.product(sorted(bodies), entrances):
                connection.request("POST", path, body, {"Content-Type": kind})
                answer = connection.getresponse()
                text = answer.read()
                self.assertTrue(answer.status < 500 or b"numerical_failure" in text, (path, kind, body, text[:300]))
            connection.close()
            self.within(daemon, before, 64 * MIB)
            print(f"{len(bodies)} bodies as {len(entrances)} kinds of request: {(peak(daemon) - before) / MIB:.1f} MiB more at the most")


def memory_of(*command):
    """(exit code, standard error, the most memory held) of a run of pfgm."""
    with tempfile.TemporaryFile() as log:
        pid = os.posix_spawn(PFGM, [PFGM, *command], os.environ,
                             file_actions=[(os.POSIX_SPAWN_DUP2, log.fileno(), 2), (os.POSIX_SPAWN_DUP2, log.fileno(), 1)])
        _, status, usage = os.wait4(pid, 0)
        log.seek(0)
        return os.waitstatus_to_exitcode(status), log.read().decode(), usage.ru_maxrss * 1024


class CommandLine(unittest.TestCase):
    def test_a_chunk_that_declares_2_gib(self):
        """Against the same command and a picture that is refused for its first bytes; a process is never quite like
        another."""
        with tempfile.TemporaryDirectory() as folder:
            def path(*names):
                return os.path.join(folder, *names)

            def write(content, *names):
                os.makedirs(path(*names[:-1]), exist_ok=True)
                with open(path(*names), "wb") as f:
                    f.write(content)
                return path(*names)
            plain = write(b"GIF89a", "plain", "z.png")
            config = write(json.dumps({"steps": 1, "batch": 4, "large_batch": 4, "network": {"nf": 8, "num_res_blocks": 1, "ch_mult": [1, 2]}}).encode(),
                           "c.json")
            for i in range(4):
                for set_name in ["plain", "liars"]:
                    write(picture(chunk(b"tEXt", b"k\0%d" % i)), set_name, f"{i}.png")
            for name in LIARS:
                write(liar(name), "liars", f"{name.decode()}.png")
            runs = {"encode": lambda p, s: ["encode", DIGITS, "-i", p, "-o", path("o.npy")],
                    "likelihood": lambda p, s: ["likelihood", DIGITS, "-i", p],
                    "train": lambda p, s: ["train", "--data", path(s), "-o", path("run-" + s), "--config", config,
                                           "--threads", "1"],
                    "eval": lambda p, s: ["eval", DIGITS, "--data", path(s), "-n", "2", "--train", path(s)]}
            for name, command in runs.items():
                of_folders = name in ("train", "eval")
                code, text, before = memory_of(*command(plain, "plain"))
                self.assertEqual(code, 0 if of_folders else 2, text)
                for liar_name in [LIARS[0]] if of_folders else LIARS:
                    with self.subTest(command=name, chunk=liar_name):
                        code, text, most = memory_of(*command(path("liars", f"{liar_name.decode()}.png"), "liars"))
                        self.assertEqual(code, 0 if of_folders else 2, text)
                        for told in LIARS if of_folders else [liar_name]:
                            self.assertIn(f"chunk {told.decode()} declares 2147483647 bytes", text)
                        if MEASURED:
                            self.assertLess(most, before + 4 * MIB)


class Time(unittest.TestCase):
    """Large bodies are read while everybody else is served."""

    LONG = b'{"images":["%s"]}' % base64.b64encode(picture(chunk(b"tEXt", b"k\0" + b"x" * (9 * MIB))))

    @contextlib.contextmanager
    def sent(self, daemon, body, kind=b"application/json", path=b"/v1/encode"):
        with daemon.connect() as s:
            s.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
                      % (path, kind, len(body)) + body)
            yield s

    def test_workers_rest_beside_an_exact_field(self):
        """They have nothing to help with: an exact field has no network whose products are shared."""
        with tempfile.TemporaryDirectory() as folder:
            data, model = os.path.join(folder, "d.npy"), os.path.join(folder, "m.safetensors")
            with open(data, "wb") as f:
                f.write(npy("|u1", (400, 8, 8, 1), bytes(i * i % 251 for i in range(400 * 64))))
            self.assertEqual(run(PFGM, "convert", "--exact", data, "-o", model).returncode, 0)
            with Daemon("--workers", "4", model=model) as daemon, daemon.begin_images({"solver": ENDLESS}):
                daemon.wait_work(1)

                def processor_seconds():
                    with open(f"/proc/{daemon.process.pid}/stat", encoding="ascii") as f:
                        fields = f.read().rsplit(")", 1)[1].split()
                    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                begun, used = time.monotonic(), processor_seconds()
                time.sleep(1)
                shares = (processor_seconds() - used) / (time.monotonic() - begun)
                print(f"one image takes {shares:.2f} processors")
                self.assertLess(shares, 1.3)

    @staticmethod
    def observe(daemon, over, pipe):
        """How long each answer about health takes, in a process of its own, which does not push bodies."""
        times = []
        while not over.is_set():
            asked = time.monotonic()
            status = daemon.get("/livez").status
            assert status == 200, status
            times.append(time.monotonic() - asked)
            time.sleep(0.01)
        pipe.send(times)

    def test_health_is_told_while_large_bodies_are_read(self):
        texts = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(MIB), 9)) * 120
        packed = json.dumps({"images": [b64(picture(texts))] * 4}).encode()
        with Daemon("--workers", "1") as daemon:
            latents = post(daemon, "/v1/encode", picture(), "image/png").json()["images"][0]["latent"]
            context = multiprocessing.get_context("fork")
            mine, theirs = context.Pipe(False)
            over = context.Event()
            observer = context.Process(target=self.observe, args=(daemon, over, theirs))
            observer.start()
            answers, begun = [], time.monotonic()

            def ask(body):
                answer = post(daemon, "/v1/encode", body)
                answers.append((answer, time.monotonic() - begun))
            bodies = [packed, self.LONG] * (4 if SANITIZER == "none" else 1)  # which learns nothing more from the others
            crowd = [threading.Thread(target=ask, args=(body,)) for body in bodies]
            for t in crowd:
                t.start()
            for t in crowd:
                t.join()
            over.set()
            times = mine.recv()
            observer.join()
            slowest = ([0.0, 0.0, 0.0] + sorted(times))[-3]  # the observer may have stood still once or twice itself
            for answer, _ in answers:
                self.assertEqual(answer.status, 200, answer.body[:300])
                self.assertEqual({image["latent"] for image in answer.json()["images"]}, {latents})
            whole = max(took for _, took in answers)
            print(f"{len(bodies)} large bodies took {whole:.2f} s, a slow answer about health {slowest * 1e3:.1f} ms")
            self.assertLess(slowest, max(0.1, whole / len(bodies)))

    def test_tensors_in_bytes_are_read_aside_too(self):
        n = 4000
        tensor = {"name": "latents", "datatype": "FP32", "shape": [n, 1, 8, 8],
                  "parameters": {"binary_data_size": n * 256}}
        head = json.dumps({"inputs": [tensor]}).encode()
        values = struct.pack("<f", float("nan"))
        with Daemon("--n-max", "4096", "--queue", "4096") as daemon:
            answer = daemon.request("POST", "/v2/models/digits8/infer", head + bytes(n * 256 - 4) + values,
                                    {"Inference-Header-Content-Length": str(len(head))})
            self.assertEqual(answer.status, 422)
            self.assertIn(f"value {64 * n - 1} must be a finite number", answer.json()["error"])

    def test_who_leaves_while_its_body_waits_starts_nothing(self):
        work = json.dumps({"images": [b64(picture())], "solver": ENDLESS}).encode() + b" " * 32768
        with Daemon("--workers", "1") as daemon:
            def admitted_with_one_that_leaves():
                """It may come to its turn before it has left, where this process was kept waiting."""
                before = daemon.settled().sum("pfgmd_images_admitted_total")
                with self.sent(daemon, self.LONG) as first:
                    with self.sent(daemon, work):
                        pass
                    self.assertTrue(first.recv(12).startswith(b"HTTP/1.1 200"))
                return daemon.settled().sum("pfgmd_images_admitted_total") - before
            tries = 1
            while admitted_with_one_that_leaves() != 1:
                tries += 1
                self.assertLess(tries, 20)
            m = daemon.metrics()
            self.assertEqual(m.sum("pfgmd_http_requests_total", route="/v1/encode", code="200"), tries)
            self.assertEqual(m.sum("pfgmd_http_requests_total", route="/v1/encode", code="499"), tries)

    def test_a_stop_does_not_wait_for_the_bodies_that_wait(self):
        with Daemon("--drain-timeout", "1", "--workers", "1") as daemon, contextlib.ExitStack() as stack:
            body = self.LONG[:-1] + b',"solver":%s}' % json.dumps(ENDLESS).encode()  # or the first ends before the last has come
            sockets = [stack.enter_context(self.sent(daemon, body)) for _ in range(4)]
            daemon.wait_metrics(lambda m: m.value("pfgmd_http_requests_open") == 5, "four requests and the one that asks")
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)
            for s in sockets:
                answer = b"".join(iter(lambda: s.recv(65536), b""))
                self.assertRegex(answer, rb"\A(HTTP/1.1 (200|503) |\Z)")  # nothing: not all of it had been received


if __name__ == "__main__":
    unittest.main()
