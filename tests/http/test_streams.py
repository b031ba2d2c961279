"""Answers in pieces: arrays, archives and events; slow readers and readers that leave."""

import base64
import hashlib
import io
import json
import socket
import struct
import tarfile
import threading
import time
import unittest
import zipfile

from fleet import pause
from harness import ENDLESS, LATE, PATIENCE, SANITIZER, Daemon, SharedDaemon, wait_until


def read_npy(data):
    """dtype, shape and the values' bytes of an .npy, version 1.0."""
    assert data[:8] == b"\x93NUMPY\x01\x00"
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10:10 + length].decode("latin-1")
    assert header.endswith("\n") and (10 + length) % 64 == 0
    fields = eval(header, {"__builtins__": {}})  # a literal of our own making
    assert fields["fortran_order"] is False
    return fields["descr"], fields["shape"], data[10 + length:]


def png_pixels(data):
    """The grey values of an 8-bit grey PNG."""
    import zlib
    at, raw, width, height = 8, b"", 0, 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", body[:10])
            assert (depth, color) == (8, 0)
        if kind == b"IDAT":
            raw += body
        at += 12 + length
    raw, out, above = zlib.decompress(raw), b"", bytes(width)
    for y in range(height):
        kind, line = raw[y * (width + 1)], bytearray(raw[y * (width + 1) + 1:(y + 1) * (width + 1)])
        for x in range(width):
            a, b = line[x - 1] if x else 0, above[x]
            c = above[x - 1] if x else 0
            p = a + b - c
            near = min((abs(p - v), i) for i, v in enumerate((a, b, c)))[1]
            line[x] = (line[x] + [0, a, b, (a + b) // 2, (a, b, c)[near]][kind]) % 256
        above = bytes(line)
        out += above
    return out


class Events:
    """A reader of server-sent events on a socket, which it closes after the last."""

    def __init__(self, daemon, body, query="", path="/v1/images"):
        text = json.dumps(body).encode()
        self.socket = daemon.connect()
        self.socket.sendall(b"POST " + (path + query).encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
                            b"Accept: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(text)
                            + text)
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        for line in iter(self.file.readline, b"\r\n"):
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.rest = b""

    def _more(self):
        size = int(self.file.readline(), 16)
        piece = self.file.read(size)
        self.file.readline()
        self.rest += piece
        return size

    def __iter__(self):
        """(event, data, id, arrival), and (None, comment, None, arrival)."""
        while True:
            while b"\n\n" in self.rest:
                block, self.rest = self.rest.split(b"\n\n", 1)
                fields = {}
                for line in block.decode().split("\n"):
                    name, value = line.split(":", 1)
                    fields[name] = value.strip()
                if "event" in fields:
                    yield (fields["event"], json.loads(fields["data"]), int(fields["id"]),
                           time.monotonic())
                else:
                    yield None, fields.get(""), None, time.monotonic()
            if self._more() == 0:
                assert self.rest == b""
                self.close()
                return

    def close(self):
        self.file.close()
        self.socket.close()


class Formats(SharedDaemon):
    ARGS = ("--workers", "2", "--batch", "4")
    BODY = {"seed": 7, "first_index": 3, "n": 9}

    def setUp(self):
        o = self.daemon.images(self.BODY).json()
        self.pngs = [base64.b64decode(i["b64"]) for i in o["images"]]

    def test_npy(self):
        answer = self.daemon.images(self.BODY, accept="application/x-npy")
        self.assertEqual(answer.headers["Content-Type"], "application/x-npy")
        self.assertEqual(int(answer.headers["Content-Length"]), len(answer.body))
        dtype, shape, data = read_npy(answer.body)
        self.assertEqual((dtype, shape), ("|u1", (9, 8, 8, 1)))
        self.assertEqual(data, b"".join(png_pixels(p) for p in self.pngs))
        one = self.daemon.images({**self.BODY, "n": 1}, query="?format=npy")
        self.assertEqual(read_npy(one.body)[1], (1, 8, 8, 1))

    def test_float_samples_and_layout(self):
        body = {**self.BODY, "dtype": "float32", "layout": "chw"}
        dtype, shape, data = read_npy(self.daemon.images(body, accept="application/x-npy").body)
        self.assertEqual((dtype, shape), ("<f4", (9, 1, 8, 8)))
        values = struct.unpack(f"<{9 * 64}f", data)
        pixels = b"".join(png_pixels(p) for p in self.pngs)
        for value, pixel in zip(values, pixels):
            self.assertLessEqual(abs(int(255 * min(max((value + 1) / 2, 0), 1)) - pixel), 1)
        for field, value in [("dtype", "float32"), ("layout", "chw")]:
            refused = self.daemon.images({field: value})
            self.assertEqual(refused.status, 422)
            self.assertEqual(refused.json()["errors"][0]["pointer"], "/" + field)

    def test_npz(self):
        answer = self.daemon.images(self.BODY, accept="application/x-npz")
        with zipfile.ZipFile(io.BytesIO(answer.body)) as z:
            self.assertIsNone(z.testzip())
            self.assertEqual(z.namelist(), ["arr_0.npy", "seed.npy", "index.npy"])
            dtype, shape, data = read_npy(z.read("arr_0.npy"))
            self.assertEqual((dtype, shape), ("|u1", (9, 8, 8, 1)))
            self.assertEqual(data, b"".join(png_pixels(p) for p in self.pngs))
            self.assertEqual(read_npy(z.read("seed.npy")), ("<u8", (1,), struct.pack("<Q", 7)))
            self.assertEqual(read_npy(z.read("index.npy"))[2], struct.pack("<9Q", *range(3, 12)))
        again = self.daemon.images(self.BODY, accept="application/x-npz")
        self.assertEqual(again.body, answer.body)

    def check_members(self, read, names):
        self.assertEqual(names[-1], "manifest.json")
        manifest = json.loads(read("manifest.json"))
        self.assertEqual([i["index"] for i in manifest["images"]], list(range(3, 12)))
        self.assertEqual(sorted(names[:-1]), sorted(i["name"] for i in manifest["images"]))
        for image, png in zip(manifest["images"], self.pngs):
            self.assertEqual(read(image["name"]), png)
            self.assertEqual(image["sha256"], hashlib.sha256(png).hexdigest())
        self.assertEqual(manifest["seed"], "7")
        self.assertGreater(manifest["timings"]["compute_ms"], 0)

    def test_zip(self):
        answer = self.daemon.images(self.BODY, accept="application/zip")
        self.assertIn("attachment", answer.headers["Content-Disposition"])
        with zipfile.ZipFile(io.BytesIO(answer.body)) as z:
            self.assertIsNone(z.testzip())
            self.check_members(z.read, z.namelist())

    def test_tar(self):
        answer = self.daemon.images(self.BODY, accept="application/x-tar")
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as t:
            self.check_members(lambda name: t.extractfile(name).read(), t.getnames())
            self.assertEqual({m.mtime for m in t.getmembers()}, {0})

    def test_a_sheet_in_an_archive(self):
        body = {**self.BODY, "grid": {"columns": 3}}
        png = self.daemon.images(body, accept="image/png").body
        with zipfile.ZipFile(io.BytesIO(self.daemon.images(body, query="?format=zip").body)) as z:
            self.assertEqual(z.read("pfgm-7-3.png"), png)
            self.assertEqual(len(json.loads(z.read("manifest.json"))["images"]), 1)
        self.assertEqual(self.daemon.images(body, query="?format=npy").status, 406)

    def test_the_body_may_name_the_format(self):
        for accept, want in [(None, "application/zip"), ("*/*", "application/zip"),
                             ("application/json", "application/json")]:
            answer = self.daemon.images({"format": "zip"}, accept=accept)
            self.assertEqual(answer.headers["Content-Type"], want)
        answer = self.daemon.images({"format": "zip"}, query="?format=png")
        self.assertEqual(answer.headers["Content-Type"], "image/png")

    def test_a_failure_before_the_first_image_keeps_its_status(self):
        for word in ["npy", "npz", "zip", "tar"]:
            answer = self.daemon.images({"n": 2, "solver": {"method": "rk45", "max_nfe": 8}}, query="?format=" + word)
            self.assertEqual((answer.status, answer.json()["code"]), (500, "numerical_failure"))

    def test_events_tell_the_whole_story(self):
        solver = {"method": "euler", "steps": 40}
        stream = Events(self.daemon, {"seed": 7, "n": 3, "preview_every": 10, "solver": solver})
        self.assertEqual(stream.status, 200)
        self.assertEqual(stream.headers["content-type"], "text/event-stream")
        self.assertEqual(stream.headers["x-accel-buffering"], "no")
        self.assertEqual(stream.headers["cache-control"], "no-store")
        events = list(stream)
        stream.close()
        kinds = [e[0] for e in events]
        self.assertEqual((kinds[0], kinds[1], kinds[-1]), ("queued", "started", "done"))
        self.assertEqual([e[2] for e in events], list(range(1, len(events) + 1)))
        images = {e[1]["index"]: e[1] for e in events if e[0] == "image"}
        plain = self.daemon.images({"seed": 7, "n": 3, "solver": solver}).json()["images"]
        self.assertEqual([images[i] for i in range(3)], plain)
        self.assertEqual(events[0][1]["seed"], "7")
        self.assertEqual(events[0][1]["parameters"]["preview_every"], 10)
        self.assertEqual(events[-1][1]["images"], 3)
        previews = [e[1] for e in events if e[0] == "preview"]
        self.assertTrue(previews)
        for preview in previews:
            self.assertEqual(preview["step"] % 10, 0)
            self.assertTrue(base64.b64decode(preview["b64"]).startswith(b"\x89PNG"))

    def test_events_of_a_failure_llama_cpp_16109(self):
        for _ in range(20):  # also when it fails before the answer begins
            events = list(Events(self.daemon, {"n": 2, "solver": {"method": "rk45", "max_nfe": 8}}))
            self.assertEqual(events[-1][0], "failed")
        kind, problem, _, _ = events[-1]
        self.assertEqual((kind, problem["code"]), ("failed", "numerical_failure"))
        self.assertRegex(problem["errors"][0]["pointer"], "^/images/[01]$")
        kind, problem, _, _ = list(Events(self.daemon, {"solver": ENDLESS, "timeout_s": 0.3}))[-1]
        self.assertEqual((kind, problem["code"], problem["status"]),
                         ("failed", "deadline_exceeded", 504))

    def test_refusals_come_before_the_stream(self):
        stream = Events(self.daemon, {"n": 0})
        self.assertEqual(stream.status, 422)
        stream.close()


class Pace(unittest.TestCase):
    def test_progress_arrives_as_it_happens_libevent_536(self):
        """Of work that has no end in the test: what arrives has not waited for it."""
        with Daemon("--workers", "1") as daemon:
            begun = time.monotonic()
            stream, events, progress = Events(daemon, {"seed": 1, "solver": ENDLESS}), [], []
            for event in stream:
                events.append(event)
                progress = [e for e in events if e[0] == "progress"]
                if len(progress) >= 5:
                    break
            stream.close()
            self.assertEqual(events[0][0], "queued")
            self.assertNotIn("done", [e[0] for e in events])
            self.assertLessEqual(len(progress) - 1, (events[-1][3] - begun) / 0.25)  # at most four per second
            fractions = [e[1]["fraction"] for e in progress]
            self.assertEqual(fractions, sorted(fractions))
            self.assertEqual(progress[0][1]["images_total"], 1)

    def test_the_last_progress_says_all(self):
        with Daemon() as daemon:
            for n, steps in [(64, 10), (1, 1)]:
                events = list(Events(daemon, {"n": n, "seed": 1, "solver": {"method": "euler", "steps": steps}}))
                self.assertEqual([e[0] for e in events[-2:]], ["progress", "done"])
                last = events[-2][1]
                self.assertEqual((last["images_done"], last["fraction"], last["eta_s"]), (n, 1, 0))
                self.assertEqual((last["images_total"], last["steps_done"]), (n, n * steps))

    @unittest.skipIf(SANITIZER != "none", "fifteen seconds, which a sanitizer learns nothing from")
    def test_comments_while_it_waits_mistral_vibe_794(self):
        """Behind other work a stream says so, then that it is still there. The process stands still for most of that time,
        which it could only spend on that work."""
        with Daemon("--workers", "1", "--batch", "1") as daemon:
            running = daemon.begin_images({"solver": ENDLESS, "n": 4})
            daemon.wait_work(1, 3)
            begun = time.monotonic()
            stream = Events(daemon, {"seed": 1})
            events = iter(stream)
            self.assertEqual(next(events)[0], "queued")
            pause(daemon, 14)
            kind, _, _, arrival = next(events)
            self.assertIsNone(kind)
            self.assertGreater(arrival - begun, 14.9)
            running.close()
            self.assertEqual([e[0] for e in events if e[0] in ("started", "done")],
                             ["started", "done"])
            stream.close()

    def test_one_stalled_reader_among_24(self):
        """The others keep their pace, and the stalled one still gets all of its answer."""
        with Daemon("--workers", "2", "--batch", "4") as daemon:
            others, n = (23, 12) if SANITIZER == "none" else (7, 8)
            body = {"n": n, "preview_every": 1, "solver": {"method": "euler", "steps": n}}

            def read(results, k):
                begun = time.monotonic()
                kinds = [e[0] for e in Events(daemon, {**body, "seed": k})]
                results[k] = (kinds[-1], kinds.count("image"), time.monotonic() - begun)

            def round_of(count):
                results = {}
                threads = [threading.Thread(target=read, args=(results, k)) for k in range(count)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                return results
            alone = round_of(others)
            text = json.dumps({**body, "n": 64, "seed": 99}).encode()
            stalled = socket.socket()
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            stalled.connect((daemon.host, daemon.port))
            stalled.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
                            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            daemon.wait_metrics(lambda m: m.sum("pfgmd_images_admitted_total") == others * n + 64, "the stalled one")
            beside = round_of(others)
            for results in [alone, beside]:
                self.assertEqual({r[:2] for r in results.values()}, {("done", n)})
            mean = [sum(r[2] for r in results.values()) / others for results in (alone, beside)]
            print(f"{others} streams: {mean[0]:.2f} s each, beside a stalled one {mean[1]:.2f} s")
            self.assertLess(mean[1], 4 * mean[0] + LATE)  # behind the stalled one they would never end
            stalled.settimeout(PATIENCE)
            data = b""
            while piece := stalled.recv(1 << 16):
                data += piece
            stalled.close()
            self.assertEqual(data.count(b"event: image"), 64)
            self.assertIn(b"event: done", data)

    def test_readers_that_leave_free_everything(self):
        with Daemon("--workers", "2", "--batch", "2") as daemon:
            daemon.images({})
            daemon.settled()
            before = daemon.descriptors()
            for word in ["events", "zip", "npy", "tar", "npz"]:
                text = json.dumps({"solver": ENDLESS, "n": 2}).encode()
                s = daemon.connect()
                s.sendall(b"POST /v1/images?format=%s HTTP/1.1\r\nHost: localhost\r\n"
                          b"Content-Length: %d\r\n\r\n" % (word.encode(), len(text)) + text)
                daemon.wait_work(2)
                s.close()
                left = time.monotonic()
                # one that begins to be written at that moment has its status already
                wait_until(lambda: any(f"/v1/images?format={word} " in line and (" 499 " in line or "(not delivered)" in line)
                                       for line in daemon.lines), "its line")
                self.assertLess(time.monotonic() - left, LATE)
            self.assertEqual(daemon.images({"seed": 1}).status, 200)
            wait_until(lambda: daemon.descriptors() <= before, "as few descriptors as before")

    def test_streams_end_with_the_server_mtplx_124(self):
        """After the time to finish is up each stream gets a last event, and the process ends."""
        with Daemon("--workers", "1", "--batch", "2", "--drain-timeout", "1") as daemon:
            streams = [Events(daemon, {"solver": ENDLESS, "n": 16}) for _ in range(3)]
            idle = [daemon.connect() for _ in range(2)]
            begun = time.monotonic()
            daemon.process.terminate()
            for stream in streams:
                kind, problem, _, _ = list(stream)[-1]
                self.assertEqual((kind, problem["code"]), ("failed", "draining"))
                stream.close()
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - begun, 1 + LATE)
            for s in idle:
                s.close()


if __name__ == "__main__":
    unittest.main()
