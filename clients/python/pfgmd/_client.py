"""The blocking client. One connection a call: calls may come from several threads at once."""
import base64
import contextvars
import http.client
import json
import math
import os
import re
import socket
import ssl
import threading
import time
import uuid
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union
from urllib.parse import quote, urlsplit

from ._answers import End, Event, Image, Job, Latent, Likelihood
from ._errors import PfgmdError, Unavailable, error_of, error_of_problem

_TYPES = {"json": "application/json", "png": "image/png", "npy": "application/x-npy", "npz": "application/x-npz",
          "zip": "application/zip", "tar": "application/x-tar", "events": "text/event-stream"}
_UNSET = object()
_T = TypeVar("_T")


def body_of(fields: Mapping[str, Any]) -> Dict[str, Any]:
    """Our names to the server's: class_ is "class", integers beyond 2^63 are digits, absent ones are left out."""
    body: Dict[str, Any] = {}
    for name, value in fields.items():
        if value is _UNSET:
            continue
        if name in ("seed", "first_index"):
            if value is not None:
                body[name] = str(int(value))
        elif name == "class_":
            body["class"] = value
        elif value is not None:
            body[name] = value
    return body


def images_of(answer: Mapping[str, Any], names: Sequence[str] = ()) -> List[Image]:
    return [image_of(i, answer, names) for i in answer["images"]]


def image_of(data: Mapping[str, Any], answer: Mapping[str, Any], names: Sequence[str] = ()) -> Image:
    label = data.get("class")
    return Image(index=int(data["index"]), seed=int(answer["seed"]), png=base64.b64decode(data["b64"]), sha256=data["sha256"],
                 nfe=data["nfe"], label=label, url=data.get("url"), warnings=tuple(answer.get("warnings", ())),
                 class_name=names[label] if label is not None and label < len(names) else None)


def job_of(answer: bytes) -> Job:
    data = json.loads(answer)
    return Job(id=data["id"], state=data["state"], images_done=data["progress"]["images_done"],
               images_total=data["progress"]["images_total"], data=data)


def _job_path(id: str, more: str = "") -> str:
    return "/v1/jobs/" + quote(id, safe="") + more


def query_of(query: Mapping[str, Any]) -> str:
    words = "&".join("%s=%s" % (quote(k.rstrip("_")), quote("null" if v is None else str(v), safe=""))
                     for k, v in query.items())
    return "?" + words if words else ""


def end_of(end: End) -> Dict[str, Any]:
    if isinstance(end, Latent):
        return {"latent": base64.b64encode(end.npy).decode("ascii")}
    if isinstance(end, (bytes, bytearray)):
        kind = "image" if end[:4] == b"\x89PNG" else "latent"
        return {kind: base64.b64encode(end).decode("ascii")}
    seed, index = end
    return {"seed": str(int(seed)), "index": str(int(index))}


def given_of(name: str, data: Union[bytes, Sequence[Union[bytes, Latent]]],
             fields: Mapping[str, Any]) -> Dict[str, Any]:
    """The body of a route that begins with images or latents, one file or several."""
    files = [data] if isinstance(data, (bytes, bytearray)) else list(data)
    plain = [f.npy if isinstance(f, Latent) else f for f in files]
    return dict(body_of(fields), **{name: [base64.b64encode(f).decode("ascii") for f in plain]})


class Call:
    """What another thread needs to end a call: it shuts the socket down, which wakes whoever reads from it and tells
    the server that nobody waits any more, and it ends the wait before another try. Closing is left to the thread that
    reads, since a file must not be closed under a reader."""

    def __init__(self) -> None:
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._socket: Optional[socket.socket] = None

    def hold(self, connected: socket.socket) -> None:
        """Before anything is sent over it."""
        with self._lock:
            self._socket = connected
            if self._stopped.is_set():
                raise PfgmdError(0, {"detail": "the call was stopped"})

    def stop(self) -> None:
        with self._lock:
            self._stopped.set()
            if self._socket is not None:
                try:  # the plain socket's: that of TLS would first take the session away from under its reader
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    pass  # it is closed already

    def wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise PfgmdError(0, {"detail": "the call was stopped"})


class Pauses:
    """Growing ones between tries, in all no longer than patience. Its clock begins with the first failure: what went
    well for long before that was no waiting."""

    def __init__(self, patience: float) -> None:
        self._patience, self._next = patience, 0.25
        self._end: Optional[float] = None

    def begin(self) -> None:
        """There was a failure."""
        if self._end is None:
            self._end = time.monotonic() + self._patience

    def left(self) -> float:
        return self._patience if self._end is None else self._end - time.monotonic()

    def wait(self, error: Unavailable) -> None:
        """Raises the error where another try makes no sense, or patience is over."""
        after = error.retry_after_s  # of a store of jobs that is away or full, too
        timed = error.status != 0 and isinstance(after, int) and after >= 0
        lasting = error.status != 0 and not timed and error.code not in ("queue_full", "loading", "draining", "")
        seconds = max(self._next, after) if timed and after is not None else self._next
        if lasting or seconds > self.left():
            raise error
        self.begin()
        (CALL.get() or Call()).wait(seconds)
        self._next = min(2 * self._next, 15.0)


#: The call that this context makes, where somebody may want to stop it.
CALL: "contextvars.ContextVar[Optional[Call]]" = contextvars.ContextVar("pfgmd call", default=None)

#: What a connection raises when it does not keep to HTTP, breaks or is silent for too long.
_BROKEN = (OSError, http.client.HTTPException)


class _Exchange:
    """A connection and its answer, which are closed together: where the server ends the connection after an answer,
    http.client hands the socket to the answer, and closing the connection alone leaves it open."""

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._connection, self.answer = connection, answer

    def __enter__(self) -> http.client.HTTPResponse:
        return self.answer

    def __exit__(self, *_: Any) -> None:
        self.answer.close()
        self._connection.close()


class Client:
    """address: "http://host:port" or "https://…", with a path where the server stands below one. timeout: seconds of
    silence on a connection (images may take long: the server's own deadline is the field timeout_s). retries: how
    often a 429, 503 or 507 is tried again. patience: the seconds, from the first failure on, that one call may wait between
    its tries; a Retry-After beyond what is left of them is the error at once."""

    def __init__(self, address: str = "http://127.0.0.1:8080", key: Optional[str] = None, timeout: float = 300.0,
                 retries: int = 3, context: Optional[ssl.SSLContext] = None, patience: float = 60.0) -> None:
        parts = urlsplit(address if "//" in address else "//" + address, scheme="http")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("%r is not an http or https address" % address)
        self._tls, self._host = parts.scheme == "https", parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = quote(parts.path.rstrip("/"), safe="/%")
        self._key, self._timeout, self._retries, self._context = key, timeout, retries, context
        self._patience = patience
        self._names: Dict[str, List[str]] = {}  # of classes, by the SHA-256 of the model

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        """Nothing is kept open between calls."""

    # ---- images ----

    def images(self, n: int = 1, **fields: Any) -> List[Image]:
        """n images; every field of POST /v1/images by its name, class_ for class."""
        return self._images_of(self._post("json", body_of(dict(fields, n=n))))

    def _images_of(self, text: bytes) -> List[Image]:
        """The images of an answer, with the names of their classes, which the server says once for a model."""
        answer = json.loads(text)
        model = answer.get("model", {})
        if any(i.get("class") is not None for i in answer["images"]) and model["sha256"] not in self._names:
            try:
                found = self.model(model["name"])
            except PfgmdError:  # a name is an ornament, and what was computed is not lost for it
                (CALL.get() or Call()).wait(0)  # but a call that was stopped is
                found = {}
            if found.get("sha256") == model["sha256"]:  # else it was reloaded meanwhile
                self._names[model["sha256"]] = list(found.get("labels") or ())
        return images_of(answer, self._names.get(model.get("sha256", ""), ()))

    def image(self, seed: int, index: int = 0, **query: Any) -> bytes:
        """The PNG of one image, by GET /v1/images/{seed}/{index}; the query takes model, method, steps, class_ …"""
        return self._get("/v1/images/%d/%d%s" % (seed, index, query_of(query)), "image/png")

    def array(self, n: int = 1, **fields: Any) -> Any:
        """A numpy array: uint8 [n,H,W,C], or as dtype and layout say. Needs numpy."""
        import io
        import numpy
        return numpy.load(io.BytesIO(self._post("npy", body_of(dict(fields, n=n)))), allow_pickle=False)

    def save(self, path: "os.PathLike[str] | str", n: int = 1, **fields: Any) -> None:
        """Writes what the server sends, by the ending of the name: .png, .npy, .npz, .zip or .tar."""
        kind = os.fspath(path).rsplit(".", 1)[-1]
        if kind not in ("png", "npy", "npz", "zip", "tar"):
            raise ValueError("%s must end in .png, .npy, .npz, .zip or .tar" % os.fspath(path))
        data = self._post(kind, body_of(dict(fields, n=n)))
        part = os.fspath(path) + ".part"
        with open(part, "wb") as f:
            f.write(data)
        os.replace(part, path)

    def events(self, n: int = 1, **fields: Any) -> Iterator[Event]:
        """Events until the last one. An end before that, or leaving the loop, ends the work on the server; a failure
        is raised."""
        with self._open("POST", "/v1/images", "events", body_of(dict(fields, n=n))) as answer:
            yield from self._events_of(answer)

    @staticmethod
    def _lines_of(answer: http.client.HTTPResponse) -> Iterator[str]:
        try:
            for raw in answer:
                yield raw.decode("utf-8").rstrip("\n")
        except _BROKEN as e:
            raise Unavailable(0, {"detail": "the stream of events broke off: %s" % e}) from e
        raise Unavailable(0, {"detail": "the stream of events broke off"})

    def _read_events(self, answer: http.client.HTTPResponse) -> Iterator[Event]:
        kind, data, number = "", "", None
        for line in self._lines_of(answer):
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                data = line[6:]
            elif line.startswith("id: "):
                number = int(line[4:]) if line[4:].isdigit() else None
            elif not line and kind:
                yield Event(kind, json.loads(data), number)
                kind = ""

    def _events_of(self, answer: http.client.HTTPResponse) -> Iterator[Event]:
        for event in self._read_events(answer):
            if event.kind == "failed":
                raise error_of_problem(int(event.data.get("status", 500)), event.data)
            yield event
            if event.kind in ("done", "cancelled"):
                return

    # ---- jobs ----

    def submit(self, n: int = 1, id: Optional[str] = None, **fields: Any) -> Job:
        """Files a job of up to 1,000,000 images; fields as of images(). The id is a UUID, drawn here if absent: when
        an answer is lost, it is asked for again and files nothing twice."""
        path, body = _job_path(id or str(uuid.uuid4())), body_of(dict(fields, n=n))
        return job_of(self._insist(lambda pauses: self._read(self._open("PUT", path, "json", body, pauses=pauses))))

    def job(self, id: str) -> Job:
        return job_of(self._get(_job_path(id)))

    def jobs(self, state: Optional[str] = None) -> Iterator[Job]:
        """Those of this key, the newest first."""
        query: Dict[str, Any] = {"limit": 100}
        if state is not None:
            query["state"] = state
        while True:
            page = json.loads(self._get("/v1/jobs" + query_of(query)))
            for data in page["jobs"]:
                yield job_of(json.dumps(data).encode())
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def wait(self, id: str, timeout: Optional[float] = None) -> Job:
        """The job once it has ended, however; or as it is after timeout seconds. Restarts of the server are waited
        for as long as patience lasts."""
        end = None if timeout is None else time.monotonic() + timeout
        longest = max(1, int(min(20.0, (self._timeout or 40.0) / 2)))  # so the answer comes well before the silence is too long
        while True:
            left = longest if end is None else max(0.0, min(longest, end - time.monotonic()))
            job, early = self._insist(lambda pauses: self._look(id, math.ceil(left), pauses))
            now = time.monotonic()
            if job.ended or (end is not None and now >= end):
                return job
            if early:
                (CALL.get() or Call()).wait(1.0 if end is None else min(1.0, end - now))

    def _look(self, id: str, seconds: int, pauses: Pauses) -> Tuple[Job, bool]:
        """The job, and whether the answer came long before the seconds in which the server was to wait for the job's
        end: a server that is about to stop answers at once."""
        headers, begun = {"Prefer": "wait=%d" % seconds} if seconds else {}, time.monotonic()
        job = job_of(self._read(self._open("GET", _job_path(id), "json", None, headers, pauses, self._silence(2.0))))
        return job, time.monotonic() - begun < seconds / 2

    def job_events(self, id: str, after: int = 0) -> Iterator[Event]:
        """The events of a job behind the one with that id, to the last: done, failed or cancelled, whose data is the
        job. Where the connection is lost, it goes on behind the last event that came. The server says something every
        15 s, so less than 30 s of silence never count as too long, however short the client's timeout is."""
        pauses = Pauses(self._patience)
        while True:
            headers = {"Last-Event-ID": str(after)} if after else {}
            try:
                with self._open("GET", _job_path(id, "/events"), "events", None, headers, pauses,
                                self._silence(30.0)) as answer:
                    if answer.status == 204:
                        return
                    for event in self._read_events(answer):
                        after = event.id or after
                        pauses = Pauses(self._patience)
                        yield event
                        if event.kind in ("done", "failed", "cancelled"):
                            return
            except Unavailable as e:
                pauses.wait(e)

    def job_image(self, id: str, place: int, kind: str = "") -> bytes:
        """Image `place` of the job, from 0, as a PNG, or what kind says ("npy"; samples are that in any case)."""
        path = _job_path(id, "/images/%d" % place)
        return self._insist(lambda pauses: self._read(self._open("GET", path, kind or "*/*", None, pauses=pauses)))

    def archive(self, id: str, path: "os.PathLike[str] | str") -> None:
        """Writes all images of the job, by the ending of the name: .zip, .tar, .npy or .npz. While the job runs it
        waits for what is missing. The file has its name once all of it has come; what breaks off is fetched again from
        its beginning."""
        kind = os.fspath(path).rsplit(".", 1)[-1]
        if kind not in ("zip", "tar", "npy", "npz"):
            raise ValueError("%s must end in .zip, .tar, .npy or .npz" % os.fspath(path))
        part = os.fspath(path) + ".part"

        def fetch(pauses: Pauses) -> None:
            with self._open("GET", _job_path(id, "/archive"), kind, None, pauses=pauses) as answer, open(part, "wb") as f:
                self._copy(answer, f)
        try:
            self._insist(fetch)
            os.replace(part, path)
        finally:
            if os.path.exists(part):
                os.unlink(part)

    def cancel(self, id: str) -> Job:
        """Cancels the job, which keeps the images that it has; one that has ended stays as it is."""
        return self._remove(id, False)[0]

    def forget(self, id: str) -> None:
        """Deletes a job that has ended, with its images."""
        if not self._remove(id, True)[1]:
            raise ValueError("job %s has not ended: cancel it first, and wait" % id)

    def _remove(self, id: str, ended: bool) -> Tuple[Job, bool]:
        """DELETE forgets a job that has ended, so it says with If-Match which state it means; 412: it is another one
        by now. The job, and whether it was removed, which is not done unless it has ended as was expected."""
        while True:
            exchange = self._open("GET", _job_path(id), "json", None)
            tag = exchange.answer.getheader("ETag", "*")
            job = job_of(self._read(exchange))
            if job.ended != ended:
                return job, False
            try:
                answer = self._read(self._open("DELETE", _job_path(id), "json", None, {"If-Match": tag}))
            except PfgmdError as e:
                if e.status != 412:
                    raise
            else:
                return job_of(answer) if answer else job, True

    @staticmethod
    def _copy(answer: http.client.HTTPResponse, to: BinaryIO) -> None:
        piece = b"-"
        while piece:
            try:
                piece = answer.read(1 << 20)
                if not piece and answer.length:  # a read of a part does not say that bytes are missing
                    raise http.client.IncompleteRead(b"", answer.length)
            except _BROKEN as e:
                raise Unavailable(0, {"detail": "the archive broke off: %s" % e}) from e
            to.write(piece)  # a disk that is full is no matter of the server

    # ---- latents ----

    def encode(self, images: Union[bytes, Sequence[bytes]], **fields: Any) -> List[Latent]:
        """The latents of PNGs. Fields are those of POST /v1/encode: model, solver, class_, first_index …"""
        answer = json.loads(self._post("json", given_of("images", images, fields), "/v1/encode"))
        return [Latent(index=int(i["index"]), npy=base64.b64decode(i["latent"]), nfe=i["nfe"]) for i in answer["images"]]

    def encode_array(self, images: Any, **query: Any) -> Any:
        """A numpy array float32 [n,C,H,W] of an array of images: uint8 [n,H,W,C] or [n,H,W], or floats [n,C,H,W] in
        data scale. Needs numpy."""
        return self._numpy("/v1/encode", images, query)

    def decode(self, latents: Union[bytes, Latent, Sequence[Union[bytes, Latent]]], **fields: Any) -> List[Image]:
        """The images of latents. Fields are those of POST /v1/decode: model, solver, class_, grid …"""
        several = [latents] if isinstance(latents, Latent) else latents
        return self._images_of(self._post("json", given_of("latents", several, fields), "/v1/decode"))

    def decode_array(self, latents: Any, **query: Any) -> Any:
        """A numpy array of images, uint8 [n,H,W,C] or as dtype and layout say, of floats [n,C,H,W]. Needs numpy."""
        return self._numpy("/v1/decode", latents, query)

    def interpolate(self, a: End, b: End, frames: int = 10, **fields: Any) -> List[Image]:
        """Images from one end to the other along the great circle between their latents, both ends among them. An
        end (seed, index) is that image, its class included: two of two classes need class_."""
        body = dict(body_of(fields), between=[end_of(a), end_of(b)], frames=frames)
        return self._images_of(self._post("json", body, "/v1/interpolate"))

    def edit(self, image: Union[bytes, Tuple[int, int]], n: int = 1, strength: Optional[float] = None,
             mask: Optional[bytes] = None, **fields: Any) -> List[Image]:
        """Variations of a PNG, or of the image (seed, index) with the class that it draws: strength 0 leaves it as it
        is, and of 1 nothing is left. mask is a PNG, light where the image is kept. Fields are those of POST /v1/edit."""
        source = end_of(image)
        body = dict(body_of(dict(fields, n=n, strength=strength)), image=source.get("image", source))
        if mask is not None:
            body["mask"] = base64.b64encode(mask).decode("ascii")
        return self._images_of(self._post("json", body, "/v1/edit"))

    def likelihood(self, images: Union[bytes, Sequence[bytes]], **fields: Any) -> List[Likelihood]:
        """Of PNGs. Fields are those of POST /v1/likelihood: seed, probes, constant, model, solver, class_ …"""
        answer = json.loads(self._post("json", given_of("images", images, fields), "/v1/likelihood"))
        return [Likelihood(index=int(i["index"]), bits_per_dimension=i["bits_per_dimension"],
                           log_likelihood=i["log_likelihood"], nfe=i["nfe"], seed=int(answer["seed"]))
                for i in answer["images"]]

    # ---- the server ----

    def models(self) -> List[Dict[str, Any]]:
        return list(json.loads(self._get("/v1/models"))["data"])

    def model(self, name: str) -> Dict[str, Any]:
        return dict(json.loads(self._get("/v1/models/" + quote(name, safe=""))))

    def capabilities(self) -> Dict[str, Any]:
        return dict(json.loads(self._get("/v1/capabilities")))

    def live(self) -> bool:
        return self._healthy("/livez")

    def ready(self) -> bool:
        return self._healthy("/readyz")

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Until the server is ready; Unavailable after timeout seconds."""
        end = time.monotonic() + timeout
        while not self.ready():
            if time.monotonic() > end:
                raise Unavailable(0, {"detail": "not ready after %g s" % timeout})
            time.sleep(0.1)

    def _healthy(self, path: str) -> bool:
        try:
            with self._ask("GET", path, {}, None) as answer:
                return answer.status == 200
        except _BROKEN:
            return False

    # ---- how ----

    def _silence(self, least: float) -> Optional[float]:
        """The limit of silence of an answer that has reason to be silent for so long. None: none."""
        return None if self._timeout is None else max(self._timeout, least)

    def _ask(self, method: str, path: str, headers: Dict[str, str], body: Optional[bytes],
             silence: Optional[float] = None) -> _Exchange:
        connection: http.client.HTTPConnection
        if self._tls:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout,
                                                     context=self._context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        if self._key:
            headers = dict(headers, Authorization="Bearer " + self._key)
        call = CALL.get()
        try:
            connection.connect()
            if call:
                call.hold(connection.sock)
            if silence is not None:
                connection.sock.settimeout(silence)
            connection.request(method, self._prefix + path, body, headers)
            return _Exchange(connection, connection.getresponse())
        except BaseException:
            connection.close()
            raise

    def _insist(self, work: Callable[[Pauses], _T]) -> _T:
        """What `work` returns, which can be done twice: it is, where there is no answer or one that broke off, and where
        a refusal passes."""
        pauses = Pauses(self._patience)
        while True:
            try:
                return work(pauses)
            except Unavailable as e:
                pauses.wait(e)

    def _open(self, method: str, path: str, kind: str, sent: Union[None, bytes, Dict[str, Any]],
              more: Optional[Dict[str, str]] = None, pauses: Optional[Pauses] = None,
              silence: Optional[float] = None) -> _Exchange:
        """A good answer; refusals that may pass are tried again, as long as the patience of `pauses` lasts. What is sent
        is fields, or an NPY file. silence: seconds, in the place of the client's timeout."""
        headers = dict(more or {}, Accept=_TYPES.get(kind, kind))
        if sent is not None:
            headers["Content-Type"] = _TYPES["npy" if isinstance(sent, bytes) else "json"]
        body = json.dumps(sent).encode() if isinstance(sent, dict) else sent
        pauses = pauses or Pauses(self._patience)
        patience = pauses.left()
        for attempt in range(self._retries + 1):
            try:
                exchange = self._ask(method, path, headers, body, silence)
            except _BROKEN as e:
                raise Unavailable(0, {"detail": "%s:%d does not answer: %s" % (self._host, self._port, e)}) from e
            if exchange.answer.status in (200, 202, 204):
                return exchange
            error = self._refusal(exchange)
            after = error.retry_after_s
            again = error.status in (429, 503, 507) and attempt < self._retries
            if not again or not isinstance(after, int) or not 0 <= after <= patience:
                raise error
            patience -= after
            pauses.begin()
            (CALL.get() or Call()).wait(after)
        raise AssertionError("unreachable")

    @staticmethod
    def _refusal(exchange: _Exchange) -> PfgmdError:
        with exchange as answer:
            try:
                body = answer.read()
            except _BROKEN as e:
                return error_of_problem(answer.status, {
                    "detail": "the server answered %d, and the answer broke off: %s" % (answer.status, e)})
            error = error_of(answer.status, body)
            after = answer.headers.get("Retry-After", "")
            if re.fullmatch("[0-9]{1,9}", after):
                error.retry_after_s = int(after)
            return error

    def _read(self, exchange: _Exchange) -> bytes:
        with exchange as answer:
            try:
                return answer.read()
            except _BROKEN as e:
                raise Unavailable(0, {"detail": "the answer broke off: %s" % e}) from e

    def _get(self, path: str, kind: str = "application/json") -> bytes:
        return self._read(self._open("GET", path, kind, None))

    def _post(self, kind: str, body: Dict[str, Any], path: str = "/v1/images") -> bytes:
        return self._read(self._open("POST", path, kind, body))

    def _numpy(self, path: str, array: Any, query: Mapping[str, Any]) -> Any:
        import io
        import numpy
        sent = io.BytesIO()
        numpy.save(sent, numpy.ascontiguousarray(array), allow_pickle=False)
        answer = self._read(self._open("POST", path + query_of(query), "npy", sent.getvalue()))
        return numpy.load(io.BytesIO(answer), allow_pickle=False)
