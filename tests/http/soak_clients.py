"""What the clients of a soak do, each in its turn: an operation is given what all share and dice of its own, and tells what
it did not expect as a finding or by an exception."""

import base64
import http.client
import io
import json
import random
import socket
import tarfile
import threading
import time
import uuid
import zipfile

from harness import ENDLESS, PATIENCE
from harness import Answer as Received
from routes import FORM, Answer, difference, plain, requests
from test_latents import png
from test_security import bearer
from test_streams import png_pixels, read_npy

# Their answers have what reloads and jobs change.
CHANGING = {"models", "model", "readyz", "jobs_list", "capabilities"}
PICTURE = png(8, 8, 0, [bytes((x * y * 5) % 256 for x in range(8)) for y in range(8)])


class Unexpected(Exception):
    """Of an answer that has been reported."""


class Answers:
    """What all clients share: how they ask, and how often they were answered what."""

    def __init__(self, daemon, findings, judge, models):
        self.daemon, self.findings, self.judge, self.models = daemon, findings, judge, models
        self.lock, self.seen, self.right = threading.Lock(), {}, {}
        self.failures = self.jobs = self.left = 0
        self.hurry = lambda: False  # whether the others wait for this one
        self.table = list(requests("digits8", PICTURE))

    def asked(self, code):
        with self.lock:
            self.seen[code] = self.seen.get(code, 0) + 1

    def count(self, name, by=1):
        with self.lock:
            setattr(self, name, getattr(self, name) + by)

    def check(self, what, answer, expect):
        self.asked(str(answer.status))
        if answer.status not in expect:
            self.findings.add(f"{what}: {answer.status} {answer.body[:300]}")
            raise Unexpected
        return answer

    def ask(self, method, path, body=None, headers=None, expect=(200,), connection=None):
        """On a connection of its own, unless one is given."""
        own = connection or http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=20 * PATIENCE)
        if isinstance(body, (dict, list)):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        try:
            own.request(method, path, body, {**bearer("soak"), **(headers or {})})
            return self.check(f"{method} {path}", Received(own.getresponse()), expect)
        finally:
            if not connection:
                own.close()

    def begin(self, path, body, headers=b"", window=None):
        """A socket on which a request was sent."""
        s = self.daemon.connect(20 * PATIENCE) if window is None else self.connect_narrow(window)
        text = json.dumps(body).encode()
        s.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer soak\r\n%sContent-Length: %d\r\n\r\n"
                  % (path.encode(), headers, len(text)) + text)
        return s

    def connect_narrow(self, window):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        s.settimeout(20 * PATIENCE)
        s.connect((self.daemon.host, self.daemon.port))
        return s


# ---- images ----

def pictures(form, body):
    """(index or None, PNG) of each image of an answer; None where it is no PNG."""
    if form == "png":
        return [(None, body)]
    if form == "json":
        return [(int(i["index"]), base64.b64decode(i["b64"])) for i in json.loads(body)["images"]]
    if form == "events":
        events = [dict(line.split(b": ", 1) for line in block.split(b"\n")) for block in body.split(b"\n\n")
                  if b"event: image\n" in block + b"\n"]
        images = [json.loads(e[b"data"]) for e in events]
        return [(int(i["index"]), base64.b64decode(i["b64"])) for i in images]
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(body)) as z:
            files = {name: z.read(name) for name in z.namelist()}
    else:
        with tarfile.open(fileobj=io.BytesIO(body)) as t:
            files = {m.name: t.extractfile(m).read() for m in t.getmembers()}
    assert "manifest.json" in files, "the archive has no manifest"
    return [(int(name.rsplit("-", 1)[1][:-4]), data) for name, data in files.items() if name.endswith(".png")]


def solver_of(dice):
    return {"method": dice.choice(["euler", "multistep2"]), "steps": dice.randrange(3, 13)}


def take(a, body, form, answer):
    """What came of a request for images of digits8 goes to the judge."""
    images = sorted((body["first_index"] if i is None else i, None, data) for i, data in pictures(form, answer))
    assert [i for i, _, _ in images] == list(range(body["first_index"], body["first_index"] + body["n"])), "images are missing"
    a.judge.take(a.models["digits8"], body["seed"], body["solver"], images)


def draw(a, dice):
    """Images in each format, and arrays that must have the pixels of the PNGs."""
    form = dice.choice(["json", "png", "zip", "tar", "events", "npy", "npz"])
    body = {"seed": dice.randrange(1 << 63), "first_index": dice.randrange(1000), "n": 1 if form == "png" else dice.randrange(1, 33),
            "solver": solver_of(dice)}
    if form == "events" and dice.random() < 0.5:
        body["preview_every"] = 1
    answer = a.ask("POST", "/v1/images?format=" + form, body)
    if form not in ("npy", "npz"):
        take(a, body, form, answer.body)
        return
    data = answer.body
    if form == "npz":
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            data = z.read("arr_0.npy")
    whole = a.ask("POST", "/v1/images", body).body
    take(a, body, "json", whole)
    if read_npy(data)[2] != b"".join(png_pixels(p) for _, p in pictures("json", whole)):
        a.findings.add(f"the {form} of {body} has other pixels than its PNGs")


def garment(a, dice):
    """Images of the bundled model by its own schedule, of a class or of one that is drawn."""
    label, first, seed = dice.choice([None, dice.randrange(10)]), dice.randrange(1000), dice.randrange(1 << 63)
    body = {"model": "fashion10", "seed": seed, "first_index": first, "n": dice.randrange(1, 5)}
    if label is not None:
        body["class"] = label
    images = [(i, label, data) for i, data in pictures("json", a.ask("POST", "/v1/images", body).body)]
    a.judge.take(a.models["fashion10"], seed, {}, images)


def turning(a, dice):
    """Of a model that is another one after each reload: whole answers of one of the two."""
    answer = a.ask("POST", "/v1/images", {"model": "turning", "n": 2, "seed": dice.randrange(1 << 32), "solver": {"method": "euler", "steps": 2}})
    o = answer.json()
    assert o["width"] in (8, 28) and len(o["images"]) == 2, o


def fail(a, dice):
    """What cannot be solved, and what is not finished in time."""
    if dice.random() < 0.5:
        a.ask("POST", "/v1/images", {"solver": {"method": "rk45", "max_nfe": 8}}, expect=(500,))
        a.count("failures")
    else:
        a.ask("POST", "/v1/images", {"solver": ENDLESS, "timeout_s": 0.01 + 0.04 * dice.random()}, expect=(504,))


# ---- all routes ----

def compare(a, request, answer):
    """With the first answer to this request."""
    if request.name in CHANGING or request.volatile:
        a.check(request.name, answer, (200,))
        return
    found = plain(answer)
    with a.lock:
        right = a.right.setdefault(request.name, found)
    a.asked(str(answer.status))
    if found != right:
        a.findings.add(f"{request.name}: {difference(answer, right)}")


def send(a, request, connection):
    connection.request(request.method, request.path, request.body, {**bearer("soak"), **request.headers})
    compare(a, request, Received(connection.getresponse()))


def route(a, dice):
    connection = http.client.HTTPConnection(a.daemon.host, a.daemon.port, timeout=20 * PATIENCE)
    try:
        send(a, dice.choice(a.table), connection)
    finally:
        connection.close()


def converse(a, dice):
    """Many on one connection."""
    connection = http.client.HTTPConnection(a.daemon.host, a.daemon.port, timeout=20 * PATIENCE)
    try:
        for _ in range(dice.randrange(2, 20)):
            send(a, dice.choice(a.table), connection)
            if a.hurry():
                return
    finally:
        connection.close()


REFUSED = [
    ("POST", "/v1/images", b"{", {}, 400), ("POST", "/v1/images", b'{"n":0}', {}, 422), ("POST", "/v1/images", b"[" * 5000, {}, 400),
    ("POST", "/v1/encode", b'{"images":["AAAA"]}', {}, 422), ("GET", "/v1/images", None, {}, 405), ("GET", "/v1/nothing", None, {}, 404),
    ("POST", "/v1/images?format=gif", b"{}", {}, 406), ("GET", "/v1/jobs/" + str(uuid.UUID(int=1)), None, {}, 404),
    ("POST", "/v1/images", b"{}", bearer("nobody"), 401), ("POST", "/v1/images", b"{}", bearer("viewer"), 403),
    ("POST", "/v1/images", b" " * (1 << 21), {}, 413), ("POST", "/v1/decode", bytes(3 << 20), {"Content-Type": "application/x-npy"}, 422),
    ("POST", "/v2/models/none/infer", b"{}", {}, 404), ("POST", "/v1/images/edits", b"--x", {"Content-Type": "multipart/form-data; boundary=x"}, 400),
    ("POST", "/v1/images/variations", b"--edge", {"Content-Type": FORM}, 400),
]


def refused(a, dice):
    method, path, body, headers, status = dice.choice(REFUSED)
    try:
        a.ask(method, path, body, headers, (status,))
    except BrokenPipeError:
        pass  # refused and closed before all of it was sent


# ---- those that leave, and those that are slow ----

def leave(a, dice):
    """At some moment of a request that would go on, with an end or a reset."""
    word = dice.choice(["json", "events", "zip", "tar", "npy", "npz", "body", "head", "jobs"])
    a.count("left")
    if word in ("body", "head"):
        s = a.daemon.connect(PATIENCE)
        text = b"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer soak\r\nContent-Length: 3000000\r\n\r\n" + b"{" * 100000
        s.sendall(text[:dice.randrange(1, 110 if word == "head" else len(text))])
    elif word == "jobs":
        s = a.daemon.connect(PATIENCE)
        s.sendall(b"GET /v1/jobs?limit=100 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer soak\r\n\r\n")
    else:
        s = a.begin("/v1/images?format=" + word, {"seed": 9, "n": 2, "solver": ENDLESS})
    time.sleep(dice.random() * 0.05)
    if dice.random() < 0.5:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()


def read_slowly(a, dice):
    """Through a narrow window, a little at a time; half of them leave before the end."""
    body = {"seed": dice.randrange(1 << 63), "first_index": 0, "n": 1024, "solver": {"method": "euler", "steps": 1}}
    end, data = time.monotonic() + dice.uniform(1, 10), b""
    with a.begin("/v1/images?format=tar", body, b"Connection: close\r\n", window=4096) as s:
        while time.monotonic() < end and not a.hurry():
            piece = s.recv(4096)
            data += piece
            if not piece:
                break
            time.sleep(0.02)
        if dice.random() < 0.5:
            a.count("left")
            return
        while piece := s.recv(1 << 16):
            data += piece
    answer = Answer(data)
    assert answer.whole, f"a slow reader got {len(data)} bytes and no whole answer: {data[:100]}"
    a.check("a slow reader", answer, (200,))
    take(a, body, "tar", answer.body)


def write_slowly(a, dice):
    """A body in pieces: a small one over seconds, or one beyond 1 MiB."""
    request = dice.choice([r for r in a.table if r.name in ("encode", "edit", "edits", "likelihood", "images_npz", "infer")])
    text, pause = request.body, 0.05
    if dice.random() < 0.2 and request.name in ("encode", "edit", "likelihood"):
        text, pause = text + b" " * (2 << 20), 0.001
    head = "".join(f"{k}: {v}\r\n" for k, v in {**bearer("soak"), **request.headers}.items()).encode()
    with a.daemon.connect(20 * PATIENCE) as s:
        s.sendall(b"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n"
                  % (request.method.encode(), request.path.encode(), head, len(text)))
        step = max(1, len(text) // dice.randrange(10, 100))
        for at in range(0, len(text), step):
            s.sendall(text[at:at + step])
            time.sleep(0 if a.hurry() else pause)
        answer = Answer(b"".join(iter(lambda: s.recv(1 << 16), b"")))
    assert answer.whole, f"a slow writer got no whole answer: {answer.raw[:100]}"
    compare(a, request, answer)


# ---- jobs ----

def job(a, dice):
    """From its filing, which is repeated, to its archive; one in four is cancelled."""
    body = {"seed": dice.randrange(1 << 63), "first_index": 0, "n": dice.randrange(2, 200), "solver": solver_of(dice)}
    name = str(uuid.UUID(int=random.getrandbits(128), version=4))
    place = "/v1/jobs/" + name
    a.ask("PUT", place, body, expect=(202,))
    a.ask("PUT", place, body, expect=(200,))
    a.ask("PUT", place, {**body, "n": 1}, expect=(409,))
    a.count("jobs")
    if dice.random() < 0.25:
        time.sleep(dice.random() * 0.2)
        a.ask("DELETE", place, expect=(202, 204))
        return
    if dice.random() < 0.5:
        events = a.ask("GET", place + "/events").body
        assert events.rstrip().rsplit(b"\n\n", 1)[-1].find(b"event: done") >= 0, events[-300:]
    end = time.monotonic() + 20 * PATIENCE
    while (state := a.ask("GET", place, headers={"Prefer": "wait=10"}).json())["state"] in ("queued", "running"):
        assert time.monotonic() < end, f"job {name} does not end"
    assert state["state"] == "succeeded", state
    form = dice.choice(["zip", "tar"])
    take(a, body, form, a.ask("GET", f"{place}/archive?format={form}").body)
    tag = a.ask("GET", place + "/images/0").headers["ETag"]
    a.ask("GET", place + "/images/0", headers={"If-None-Match": tag}, expect=(304,))
    if dice.random() < 0.5:
        a.ask("DELETE", place, expect=(204,))
        a.ask("GET", place, expect=(404, 410))


OPERATIONS = [draw, draw, route, route, converse, refused, fail, garment, turning, leave, leave, read_slowly, read_slowly,
              write_slowly, write_slowly, job, job]
PAUSES = {refused: 0.25, leave: 0.25, fail: 0.25}  # seconds, as what is soon done would be most of what is done
