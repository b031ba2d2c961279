"""One request of each route and format, for a model of 8 x 8 grey pixels, and what of its answer is the same each time."""

import base64
import http.client
import io
import json
import re
import ssl
import tarfile
import time
import zipfile

from test_latents import latents

EULER = {"method": "euler", "steps": 2}
FORM = "multipart/form-data; boundary=edge"
# What differs from answer to answer to the same request.
DRAWN = re.compile(rb'"(id|instance|request)": ?"[^"]*"|"(queue_ms|compute_ms|encode_ms|created|'
                   rb'images_waiting)": ?[0-9.e+-]+|"timings": ?\{[^}]*\}|'
                   rb'&expires=\d+&signature=[0-9a-f]+')


class Answer:
    """What came on a connection until it was closed. `whole`: it has all that its head promises."""

    def __init__(self, raw):
        self.raw, self.status, self.body, self.whole, self.headers = raw, None, b"", False, {}
        if b"\r\n\r\n" not in raw:
            return
        try:
            response = http.client.HTTPResponse(Replay(raw))
            response.begin()
            self.headers = response.headers
            self.status = response.status
            self.body = response.read()
            self.whole = True
        except (http.client.HTTPException, ValueError):
            pass


class Replay:
    def __init__(self, raw):
        self.raw = raw

    def makefile(self, *_):
        return io.BytesIO(self.raw)


def plain(answer):
    """What must be the same whenever the request is repeated."""
    body = answer.body
    if body[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(body)) as z:
            body = b"\n".join(n.encode() + b"=" + DRAWN.sub(b"", z.read(n)) for n in sorted(z.namelist()))
    elif answer.headers.get("Content-Type", "").startswith("application/x-tar"):
        with tarfile.open(fileobj=io.BytesIO(body)) as t:
            body = b"\n".join(m.name.encode() + b"=" + DRAWN.sub(b"", t.extractfile(m).read())
                              for m in sorted(t.getmembers(), key=lambda m: m.name))
    elif answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        # How often progress is told depends on time, and so does whether a comment says that the stream is still there.
        parts = [p for p in body.split(b"\n\n") if b"event: progress" not in p and b"event: preview" not in p and p[:1] != b":"]
        body = b"\n\n".join(DRAWN.sub(b"", re.sub(rb"(?m)^id: .*\n", b"", p)) for p in parts)
    return answer.status, DRAWN.sub(b"", body)


def difference(answer, right):
    """Where an answer begins to be another one."""
    one, other = plain(answer)[1], right[1]
    at = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    return f"{answer.status} with {one[max(0, at - 60):at + 100]} in the place of {other[max(0, at - 60):at + 100]}"


class Request:
    def __init__(self, name, method, path, body=None, accept=None, kind="application/json", volatile=False):
        self.name, self.method, self.path, self.volatile = name, method, path, volatile
        self.body = json.dumps(body).encode() if isinstance(body, dict) else body
        self.headers = {} if body is None else {"Content-Type": kind}
        if accept:
            self.headers["Accept"] = accept
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        if body is not None:
            head += [f"Content-Length: {len(self.body)}"]
        self.raw = "\r\n".join(head).encode() + b"\r\n\r\n" + (self.body or b"")

    def send(self, daemon, timeout=60.0, secure=None):
        got, end, s = b"", time.monotonic() + timeout, None
        try:
            with daemon.connect(timeout=timeout) as s:
                if secure:
                    s = secure.wrap_socket(s, server_hostname="localhost")
                s.sendall(self.raw)
                while True:
                    s.settimeout(max(0.01, end - time.monotonic()))
                    piece = s.recv(1 << 16)
                    if not piece:
                        break
                    got += piece
        except (OSError, ssl.SSLError):
            pass
        finally:
            if secure and s:
                s.close()
        return Answer(got)


def multipart_of(parts):
    """A form of parts, each with its fields and the blank line behind them."""
    return b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"


def multipart(**parts):
    """A form of named parts: bytes are a file."""
    found = []
    for name, data in parts.items():
        file = '; filename="a.png"' if isinstance(data, bytes) else ""
        data = data if isinstance(data, bytes) else str(data).encode()
        found.append(f'Content-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data)
    return multipart_of(found)


def requests(model, picture):
    """One of each route and format, for the model of that name; `picture` is a PNG of its size."""
    draw = {"seed": 5, "n": 2, "solver": EULER}
    one = {"seed": 5, "solver": EULER}
    image = base64.b64encode(picture).decode()
    for name, accept in (("json", None), ("npy", "application/x-npy"), ("npz", "application/x-npz"),
                         ("zip", "application/zip"), ("tar", "application/x-tar"), ("events", "text/event-stream")):
        yield Request(f"images_{name}", "POST", "/v1/images", {**one, "preview_every": 1} if name == "events" else draw, accept)
    yield Request("images_png", "POST", "/v1/images", one, "image/png")
    yield Request("images_sheet", "POST", "/v1/images", {**draw, "grid": {}}, "image/png")
    yield Request("images_wrong", "POST", "/v1/images", {"seed": -1, "nothing": 3})
    yield Request("link", "GET", "/v1/images/5/0?method=euler&steps=2")
    yield Request("generations", "POST", "/v1/images/generations", {"prompt": "a", "n": 1, "response_format": "b64_json"},
                  volatile=True)
    yield Request("edits", "POST", "/v1/images/edits", multipart(image=picture, prompt="a", seed=3), kind=FORM, volatile=True)
    yield Request("variations", "POST", "/v1/images/variations", multipart(image=picture), kind=FORM, volatile=True)
    yield Request("encode", "POST", "/v1/encode", {"images": [image], "solver": {"method": "rk45", "rtol": 0.1}})
    yield Request("decode", "POST", "/v1/decode", latents([3.0] * 64), "image/png", "application/x-npy")
    yield Request("interpolate", "POST", "/v1/interpolate", {"between": [{"seed": 1}, {"seed": 2}], "frames": 3, "class": None,
                                                            "solver": EULER}, "image/apng")
    yield Request("edit", "POST", "/v1/edit", {**one, "image": image, "mask": image})
    yield Request("likelihood", "POST", "/v1/likelihood", {"images": [image], "seed": 7,
                                                          "solver": {"method": "rk45", "rtol": 0.5}})
    infer = {"inputs": [{"name": "seed", "shape": [1], "datatype": "UINT64", "data": [5]}],
             "parameters": {"method": "euler", "steps": 2}}
    yield Request("infer", "POST", f"/v2/models/{model}/infer", infer)
    yield Request("infer_binary", "POST", f"/v2/models/{model}/infer", {**infer, "parameters": {
        **infer["parameters"], "binary_data_output": True}}, kind="application/octet-stream")
    for name, path in (("models", "/v1/models"), ("model", f"/v1/models/{model}"), ("capabilities", "/v1/capabilities"),
                       ("kserve", "/v2"), ("kserve_model", f"/v2/models/{model}"), ("page", "/"), ("livez", "/livez"),
                       ("readyz", "/readyz?verbose"), ("version", "/version"), ("openapi", "/openapi.json"),
                       ("nowhere", "/nowhere"), ("jobs_list", "/v1/jobs?state=failed")):
        yield Request(name, "GET", path)
    yield Request("metrics", "GET", "/metrics", volatile=True)
    yield Request("stats", "GET", "/v2/models/stats", volatile=True)
    yield Request("index", "POST", "/v2/repository/index", {})
