"""clients/python against the real daemon."""

import asyncio
import base64
import contextlib
import contextvars
import hashlib
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest
import zipfile

try:
    import numpy
except ImportError:
    numpy = None

from harness import ENDLESS, LATE, MODELS, PATIENCE, Daemon, closed_port, read_request, scripted

sys.path.insert(0, os.path.join(os.environ["CLIENTS"], "python"))
import pfgmd  # noqa: E402
from pfgmd._client import CALL, Call  # noqa: E402


def answer_of(body, head=b"200 OK"):
    data = json.dumps(body).encode()
    return b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (head, len(data), data)


def job_in(state):
    return answer_of({"id": "x", "state": state, "progress": {"images_done": 0, "images_total": 1}})


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.client = pfgmd.Client("http://127.0.0.1:%d" % cls.daemon.port)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.daemon.check_sanitizers()

    def test_images_and_their_links(self):
        images = self.client.images(n=3, seed=2**64 - 1, first_index=2**53 + 1)
        self.assertEqual([i.index for i in images], [2**53 + 1, 2**53 + 2, 2**53 + 3])
        for image in images:
            self.assertEqual(image.seed, 2**64 - 1)
            self.assertEqual(hashlib.sha256(image.png).hexdigest(), image.sha256)
        self.assertEqual(self.client.image(2**64 - 1, 2**53 + 2), images[1].png)
        self.assertEqual(self.client.image(5, 0, method="euler", steps=3),
                         self.client.images(seed=5, solver={"method": "euler", "steps": 3})[0].png)

    def test_files_of_every_kind(self):
        with tempfile.TemporaryDirectory() as folder:
            starts = {"png": b"\x89PNG", "npy": b"\x93NUMPY", "npz": b"PK\x03\x04", "zip": b"PK\x03\x04", "tar": b""}
            for kind, start in starts.items():
                path = os.path.join(folder, "x." + kind)
                self.client.save(path, n=2, seed=1, **({"grid": {"columns": 2}} if kind == "png" else {}))
                with open(path, "rb") as f:
                    self.assertTrue(f.read().startswith(start), kind)
            with zipfile.ZipFile(os.path.join(folder, "x.zip")) as z:
                self.assertIn("manifest.json", z.namelist())
            with self.assertRaises(ValueError):
                self.client.save(os.path.join(folder, "x.jpg"))
            self.assertEqual(len(os.listdir(folder)), 5)

    def test_events(self):
        events = list(self.client.events(n=2, seed=3, preview_every=5))
        kinds = [e.kind for e in events]
        self.assertEqual((kinds[0], kinds[-1], kinds.count("image")), ("queued", "done", 2))
        self.assertIn("preview", kinds)

    def test_leaving_the_events_ends_the_work(self):
        for event in self.client.events(n=4, solver=ENDLESS):
            if event.kind == "started":
                break
        self.daemon.wait_work(0)

    def test_refusals_are_exceptions(self):
        with self.assertRaises(pfgmd.InvalidParameter) as caught:
            self.client.images(n=0)
        self.assertEqual((caught.exception.status, caught.exception.errors[0]["pointer"]), (422, "/n"))
        with self.assertRaises(pfgmd.InvalidParameter):
            self.client.images(class_="cat")
        with self.assertRaises(pfgmd.NotFound):
            self.client.model("other")
        with self.assertRaises(pfgmd.NumericalFailure):
            self.client.images(solver={"method": "rk45", "max_nfe": 8})
        with self.assertRaises(pfgmd.NumericalFailure):
            list(self.client.events(solver={"method": "rk45", "max_nfe": 8}))
        with self.assertRaises(pfgmd.DeadlineExceeded):
            self.client.images(timeout_s=0.2, solver=ENDLESS)
        with self.assertRaises(ValueError):
            pfgmd.Client("ftp://x")

    def test_what_the_server_tells(self):
        self.assertTrue(self.client.live() and self.client.ready())
        self.client.wait_ready()
        self.assertEqual(self.client.models()[0]["name"], "digits8")
        self.assertEqual(self.client.model("digits8")["shape"]["height"], 8)
        self.assertIn("multistep3", [s["method"] for s in self.client.capabilities()["solvers"]])

    def test_coroutines(self):
        async def both():
            client = pfgmd.AsyncClient("http://127.0.0.1:%d" % self.daemon.port)
            one, many = await asyncio.gather(client.images(seed=7), client.images(n=3, seed=7))
            kinds = [e.kind async for e in client.events(seed=7)]
            return one[0], many[0], kinds, await client.ready()
        one, many, kinds, ready = asyncio.run(both())
        self.assertEqual(one, many)
        self.assertEqual((kinds[-1], ready), ("done", True))

    def test_with_and_async_with(self):
        with pfgmd.Client("http://127.0.0.1:%d" % self.daemon.port) as client:
            one = client.images(seed=7)[0]

        async def within():
            async with pfgmd.AsyncClient("http://127.0.0.1:%d" % self.daemon.port) as client:
                return (await client.images(seed=7))[0]
        self.assertEqual(asyncio.run(within()), one)

    def test_a_notebook_shows_an_image(self):
        image = self.client.images(seed=7)[0]
        self.assertEqual(image._repr_png_(), image.png)
        self.assertEqual((image.label, image.class_name), (None, None))

    def cancelled(self, work):
        """Cancels the coroutine that `work` gives once two images of it are live; the server drops them."""
        async def leave():
            task = asyncio.ensure_future(work(pfgmd.AsyncClient("http://127.0.0.1:%d" % self.daemon.port)))
            await asyncio.to_thread(self.daemon.wait_work, 2)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(self.daemon.wait_work, 0)
        asyncio.run(leave())

    def test_a_cancelled_coroutine_ends_the_work(self):
        async def events(client):
            async for _ in client.events(n=2, solver=ENDLESS):
                pass
        self.cancelled(events)
        self.cancelled(lambda client: client.images(n=2, solver=ENDLESS))

    def test_a_timeout_of_events_is_a_timeout(self):
        async def first_of(n):
            client = pfgmd.AsyncClient("http://127.0.0.1:%d" % self.daemon.port)
            async for event in client.events(n=n, solver=ENDLESS):
                if event.kind == "image":
                    return
        with self.assertRaises(asyncio.TimeoutError):
            asyncio.run(asyncio.wait_for(first_of(1), 0.2))
        self.daemon.wait_work(0)

    def test_leaving_the_events_of_a_coroutine_ends_the_work(self):
        async def leave():
            client = pfgmd.AsyncClient("http://127.0.0.1:%d" % self.daemon.port)
            async for event in client.events(n=2, solver=ENDLESS):
                if event.kind == "started":
                    break
            await asyncio.to_thread(self.daemon.wait_work, 0)
        asyncio.run(leave())

    def test_latents_there_and_back(self):
        tight = {"method": "rk45", "rtol": 1e-5, "atol": 1e-5}
        images = self.client.images(n=2, seed=5, solver=tight)
        latents = self.client.encode([i.png for i in images], first_index=2**63)
        self.assertEqual([z.index for z in latents], [2**63, 2**63 + 1])
        self.assertEqual(self.client.encode(images[0].png)[0].npy, latents[0].npy)
        back = self.client.decode(latents, solver=tight, class_=None, grid={"columns": 1})
        sheet = self.client.decode([z.npy for z in latents], solver=tight, grid={"columns": 1})
        self.assertEqual(back[0].png, sheet[0].png)
        way = self.client.interpolate((5, 0), (2**64 - 1, 3), frames=3)
        self.assertEqual(way[0].png[:4], b"\x89PNG")
        self.assertEqual(len(self.client.interpolate(images[0].png, latents[1])), 10)
        whole = self.client.images(1, seed=5)[0]
        self.assertEqual(self.client.edit(whole.png, strength=1, seed=5)[0].png, whole.png)
        by_seed = self.client.edit((5, 0), 2, 0.25, mask=whole.png, seed=2**64 - 1)
        self.assertEqual([i.png for i in by_seed], [i.png for i in self.client.edit(whole.png, 2, 0.25, whole.png, seed=2**64 - 1)])
        told = self.client.likelihood([i.png for i in images], seed=2**64 - 1, solver={"rtol": 1e-2})
        self.assertEqual([t.seed for t in told], [2**64 - 1] * 2)
        self.assertTrue(all(0 < t.bits_per_dimension < 12 and t.nfe > 6 for t in told))
        with self.assertRaises(pfgmd.InvalidParameter) as caught:
            self.client.encode(b"GIF89a")
        self.assertEqual(caught.exception.errors[0]["pointer"], "/images/0")

        async def same():
            client = pfgmd.AsyncClient("http://127.0.0.1:%d" % self.daemon.port)
            up = await client.encode(images[0].png)
            down = await client.decode(up[0], solver=tight)
            told = await client.likelihood(images[0].png, seed=1, probes=1, solver={"rtol": 1e-2})
            return up[0].npy, down[0].png, len(await client.interpolate((1, 0), (2, 0), 2)), told[0].seed
        self.assertEqual(asyncio.run(same()), (latents[0].npy, self.client.decode(latents[0], solver=tight)[0].png, 2, 1))

    @unittest.skipUnless(numpy, "numpy is not installed")
    def test_arrays_there_and_back(self):
        pixels = self.client.array(n=2, seed=5)
        latents = self.client.encode_array(pixels)
        self.assertEqual((latents.shape, latents.dtype.name), ((2, 1, 8, 8), "float32"))
        numpy.testing.assert_array_equal(latents, self.client.encode_array(pixels[..., 0]))
        back = self.client.decode_array(latents, method="rk45", rtol=1e-5, atol=1e-5)
        self.assertLessEqual(int(numpy.abs(back.astype(int) - pixels).max()), 1)
        numpy.testing.assert_array_equal(self.client.encode(self.client.images(seed=5)[0].png)[0].to_numpy(), latents[0])


class Names(unittest.TestCase):
    def test_images_have_the_names_of_their_classes(self):
        daemon = Daemon(model="garments=" + os.path.join(MODELS, "fashion10.safetensors"))
        self.addCleanup(daemon.stop)
        client = pfgmd.Client("http://127.0.0.1:%d" % daemon.port)
        quick = {"method": "euler", "steps": 2}
        one, = client.images(seed=7, class_="Sneaker", solver=quick)
        self.assertEqual((one.label, one.class_name), (7, "Sneaker"))
        all_data, = client.images(seed=7, class_=None, solver=quick)
        self.assertEqual((all_data.label, all_data.class_name), (None, None))
        labels = client.model("garments")["labels"]
        for image in client.images(n=3, seed=7, solver=quick):
            self.assertEqual(image.class_name, labels[image.label])
        self.assertEqual(client.edit(one.png, class_="Bag", solver=quick, seed=1)[0].class_name, "Bag")

    IMAGES = {"seed": "7", "model": {"name": "m", "sha256": "ab"},
              "images": [{"index": 0, "class": 1, "b64": base64.b64encode(b"PNG!").decode(), "sha256": "x", "nfe": 1}]}

    def test_images_are_not_lost_where_the_names_of_their_classes_are(self):
        """And the names are asked for again with the next images."""
        good, names = answer_of(self.IMAGES), answer_of({"sha256": "ab", "labels": ["cat", "dog"]})
        for failure in (answer_of({"code": "draining"}, b"503 x"), answer_of({"code": "quota_exceeded"}, b"429 x"),
                        answer_of({"code": "not_found"}, b"404 x"), b"", names[:-9]):
            with scripted([good, failure, good, names]) as address:
                client = pfgmd.Client(address)
                self.assertEqual([(i.png, i.label, i.class_name) for i in client.images()], [(b"PNG!", 1, None)])
                self.assertEqual([(i.png, i.label, i.class_name) for i in client.images()], [(b"PNG!", 1, "dog")])

    def test_a_call_that_is_stopped_at_the_names_is_stopped(self):
        call = Call()

        class Stopped(pfgmd.Client):
            def model(self, name):
                call.stop()
                raise pfgmd.Unavailable(0, {"detail": "the answer broke off"})

        def images(address):
            CALL.set(call)
            return Stopped(address).images()
        with scripted([answer_of(self.IMAGES)]) as address, self.assertRaisesRegex(pfgmd.PfgmdError, "was stopped"):
            contextvars.copy_context().run(images, address)


class Wheel(unittest.TestCase):
    def built(self, folder):
        subprocess.run([sys.executable, "-c", "import pfgmd_build, sys; pfgmd_build.build_wheel(sys.argv[1]); "
                        "pfgmd_build.build_sdist(sys.argv[1])", folder], check=True,
                       env=dict(os.environ, PYTHONPATH=os.path.join(os.environ["CLIENTS"], "python", "backend")))
        return {name: os.path.join(folder, name) for name in sorted(os.listdir(folder))}

    def test_a_wheel_needs_no_network_and_has_the_same_bytes_twice(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            first, second = self.built(one), self.built(two)
            self.assertEqual(list(first), ["pfgmd-%s-py3-none-any.whl" % pfgmd.__version__,
                                           "pfgmd-%s.tar.gz" % pfgmd.__version__])
            for name, path in first.items():
                with open(path, "rb") as a, open(second[name], "rb") as b:
                    self.assertEqual(a.read(), b.read(), name)
            wheel, archive = first.values()
            told = subprocess.run([sys.executable, "-c", "import pfgmd; print(pfgmd.__file__, pfgmd.Client)"],
                                  env=dict(os.environ, PYTHONPATH=wheel), cwd=one, check=True, capture_output=True, text=True)
            self.assertIn(".whl", told.stdout)
            with zipfile.ZipFile(wheel) as z:
                record = z.read("pfgmd-%s.dist-info/RECORD" % pfgmd.__version__).decode().splitlines()
                self.assertEqual(sorted(row.split(",")[0] for row in record), sorted(z.namelist()))
                self.assertIn("pfgmd/py.typed", z.namelist())
            with tarfile.open(archive) as t:
                self.assertTrue(any(n.endswith("/backend/pfgmd_build.py") for n in t.getnames()))


class Trouble(unittest.TestCase):
    def test_nobody_there(self):
        with closed_port() as port:
            client = pfgmd.Client("http://127.0.0.1:%d" % port)
            self.assertFalse(client.live())
            with self.assertRaises(pfgmd.Unavailable):
                client.images()

    def test_a_503_is_tried_again_after_the_time_that_it_names(self):
        """A server that is full once, and then answers."""
        answers = [b"HTTP/1.1 503 x\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n"
                   b"Content-Length: 21\r\n\r\n{\"code\":\"queue_full\"}",
                   b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"data\":[]}"]
        with scripted(answers) as address:
            begun = time.monotonic()
            self.assertEqual(pfgmd.Client(address).models(), [])
            self.assertGreaterEqual(time.monotonic() - begun, 1.0)

    def test_a_store_that_is_away_or_full_for_a_moment_is_waited_for(self):
        """More often than refusals are tried again, as long as patience lasts; not where no time is named."""
        job = b'{"id":"x","state":"queued","progress":{"images_done":0,"images_total":1}}'
        good = b"HTTP/1.1 202 x\r\nContent-Length: %d\r\n\r\n%s" % (len(job), job)
        for head, code in ((b"503 x", b"jobs_off"), (b"507 x", b"store_full")):
            body = b'{"code":"%s"}' % code
            refusal = b"HTTP/1.1 %s\r\nRetry-After: %s\r\nContent-Length: %d\r\n\r\n%s"
            once = refusal % (head, b"1", len(body), body)
            with scripted([once, once, good]) as address:
                self.assertEqual(pfgmd.Client(address, retries=0).submit().id, "x")
            lasting = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (head, len(body), body)
            with scripted([lasting]) as address, self.assertRaises(pfgmd.Unavailable):
                pfgmd.Client(address).submit()

    def refused_at_once(self, answer, after, **options):
        with scripted([answer]) as address:  # a second try would wait for somebody who listens no more
            begun = time.monotonic()
            with self.assertRaises(pfgmd.PfgmdError) as caught:
                pfgmd.Client(address, **options).models()
            self.assertLess(time.monotonic() - begun, after)
        return caught.exception

    def test_a_wait_beyond_the_patience_is_an_error_at_once(self):
        day = b"HTTP/1.1 429 x\r\nRetry-After: 86399\r\nContent-Length: 25\r\n\r\n{\"code\":\"quota_exceeded\"}"
        error = self.refused_at_once(day, 50)
        self.assertIsInstance(error, pfgmd.QuotaExceeded)
        self.assertEqual(error.retry_after_s, 86399)
        soon = day.replace(b"86399", b"50")
        self.assertEqual(self.refused_at_once(soon, 40, patience=49).retry_after_s, 50)
        for odd in [b"-1", b"1e3", b"\xc2\xb2", b"Wed, 21 Oct 2026 07:28:00 GMT"]:
            self.assertEqual(self.refused_at_once(day.replace(b"86399", odd), 50).status, 429)

    def test_cancelling_ends_a_wait(self):
        full = b"HTTP/1.1 503 x\r\nRetry-After: 50\r\nContent-Length: 2\r\n\r\n{}"

        async def leave(address):
            task = asyncio.ensure_future(pfgmd.AsyncClient(address).models())
            while self.serving.is_alive():
                await asyncio.sleep(0.01)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.serving = threading.Thread(target=self.serve, args=(s, full))
            self.serving.start()
            begun = time.monotonic()
            asyncio.run(leave("http://127.0.0.1:%d" % s.getsockname()[1]))  # ends with the executor's threads
            self.assertLess(time.monotonic() - begun, 40)

    def serve(self, s, answer):
        """One answer, and the end of what is sent; then until the client closes."""
        s.settimeout(PATIENCE)
        with s.accept()[0] as connection:
            connection.settimeout(PATIENCE)
            connection.recv(65536)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    def test_an_answer_shorter_than_its_length_leaks_no_connection(self):
        for head in [b"200 OK", b"503 x", b"422 x"]:
            for work in [lambda c: c.models(), lambda c: list(c.events())]:
                with socket.create_server(("127.0.0.1", 0)) as s:
                    serving = threading.Thread(target=self.serve,
                                               args=(s, b"HTTP/1.1 %s\r\nContent-Length: 100\r\n\r\n{}" % head))
                    serving.start()
                    with self.assertRaises(pfgmd.PfgmdError) as caught:
                        work(pfgmd.Client("http://127.0.0.1:%d" % s.getsockname()[1]))
                    serving.join(PATIENCE)  # while the exception, and so its frames, are still there
                    self.assertFalse(serving.is_alive(), head)
                self.assertIn("broke off", str(caught.exception))

    def test_what_is_no_http_is_no_answer(self):
        with scripted([b"hello\r\n\r\n", b"hello\r\n\r\n"]) as address:
            with self.assertRaises(pfgmd.Unavailable):
                pfgmd.Client(address).models()
            self.assertFalse(pfgmd.Client(address).live())

    def test_an_address_with_a_path_keeps_it(self):
        seen = []
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{\"data\":[]}"
        for ending in ["", "/"]:
            with scripted([answer], seen) as address:
                self.assertEqual(pfgmd.Client(address + "/one/two" + ending).models(), [])
        self.assertEqual([s.split()[1] for s in seen], [b"/one/two/v1/models"] * 2)

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as f:
            f.write("me %s\n" % hashlib.sha256(b"secret-of-a-test").hexdigest())
            f.flush()
            with Daemon("--keys", f.name) as daemon:
                address = "http://127.0.0.1:%d" % daemon.port
                with self.assertRaises(pfgmd.Unauthenticated):
                    pfgmd.Client(address).images()
                image = pfgmd.Client(address, key="secret-of-a-test").images(seed=1)[0]
                self.assertEqual(daemon.get(image.url).body, image.png)  # signed: needs no key


class Jobs(unittest.TestCase):
    QUICK = {"method": "euler", "steps": 3}

    @classmethod
    def setUpClass(cls):
        cls.state = tempfile.TemporaryDirectory()
        cls.daemon = Daemon("--state", cls.state.name)
        cls.client = pfgmd.Client("http://127.0.0.1:%d" % cls.daemon.port)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.state.cleanup()

    def test_a_job_from_its_filing_to_its_end(self):
        fields = {"n": 3, "seed": 2**64 - 1, "solver": self.QUICK}
        job = self.client.submit(**fields, label="mine")
        self.assertEqual(self.client.submit(id=job.id, **fields, label="mine").id, job.id)
        with self.assertRaises(pfgmd.PfgmdError) as caught:
            self.client.submit(id=job.id, **fields, label="other")
        self.assertEqual(caught.exception.status, 409)
        job = self.client.wait(job.id)
        self.assertEqual((job.state, job.ended, job.images_done, job.images_total), ("succeeded", True, 3, 3))
        images = self.client.images(**fields)
        self.assertEqual([self.client.job_image(job.id, i) for i in range(3)], [i.png for i in images])
        self.assertTrue(self.client.job_image(job.id, 0, "npy").startswith(b"\x93NUMPY"))
        self.assertIn(job.id, [j.id for j in self.client.jobs("succeeded")])
        events = [e for e in self.client.job_events(job.id) if e.kind != "progress"]
        self.assertEqual([e.id for e in events], [1, 2, 3, 4, 5, 6])
        self.assertEqual([e.kind for e in self.client.job_events(job.id, after=4)], ["image", "done"])
        self.assertEqual(list(self.client.job_events(job.id, after=6)), [])
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("zip", "tar", "npy", "npz"):
                self.client.archive(job.id, os.path.join(folder, "x." + kind))
            with zipfile.ZipFile(os.path.join(folder, "x.zip")) as z:
                self.assertEqual({hashlib.sha256(z.read(n)).hexdigest() for n in z.namelist() if n.endswith(".png")},
                                 {i.sha256 for i in images})
            with self.assertRaises(ValueError):
                self.client.archive(job.id, os.path.join(folder, "x.png"))
            with self.assertRaises(pfgmd.NotFound):
                self.client.archive("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", os.path.join(folder, "y.zip"))
            self.assertEqual(len(os.listdir(folder)), 4)
        self.assertEqual(self.client.cancel(job.id).state, "succeeded")
        self.client.forget(job.id)
        with self.assertRaises(pfgmd.NotFound):
            self.client.job(job.id)

    def test_a_job_is_cancelled_and_what_it_had_is_not_forgotten(self):
        async def work():
            client = pfgmd.AsyncClient("http://127.0.0.1:%d" % self.daemon.port)
            job = await client.submit(n=2, solver=ENDLESS)
            self.assertFalse((await client.wait(job.id, timeout=0)).ended)
            with self.assertRaises(ValueError):
                await client.forget(job.id)
            await client.cancel(job.id)
            kinds = [e.kind async for e in client.job_events(job.id)]
            return kinds[-1], (await client.wait(job.id)).state, [j.id async for j in client.jobs("cancelled")] == [job.id]
        self.assertEqual(asyncio.run(work()), ("cancelled", "cancelled", True))

    def test_a_lost_answer_files_nothing_twice_and_events_go_on(self):
        job = b'{"id": "x", "state": "succeeded", "progress": {"images_done": 1, "images_total": 1}}'
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        seen = []
        with scripted([b"", head % len(job) + job], seen) as address:
            self.assertEqual(pfgmd.Client(address).submit(n=1).state, "succeeded")
        self.assertEqual(seen[0].split(b" ")[:2], seen[1].split(b" ")[:2])
        first, rest = b"id: 1\nevent: queued\ndata: {}\n\nid: 2\nevent: st", b"id: 2\nevent: done\ndata: {}\n\n"
        seen.clear()
        with scripted([head % 999 + first, head % len(rest) + rest], seen) as address:
            self.assertEqual([e.id for e in pfgmd.Client(address).job_events("x")], [1, 2])
        self.assertIn(b"Last-Event-ID: 1\r\n", seen[1])
        with scripted([head % 999 + b"cut"]) as address, tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(pfgmd.Unavailable):
                pfgmd.Client(address, patience=0).archive("x", os.path.join(folder, "x.npy"))
            self.assertEqual(os.listdir(folder), [])

    def test_a_wait_asks_for_less_time_than_its_connection_may_be_silent(self):
        for silence, timeout, asked in ((300, None, 20), (10, None, 5), (1, None, 1), (10, 2, 2), (300, 20, 20)):
            seen = []
            with scripted([job_in("succeeded")], seen) as address:
                pfgmd.Client(address, timeout=silence).wait("x", timeout)
            self.assertIn(b"Prefer: wait=%d\r\n" % asked, seen[0])
        job = self.client.submit(n=1, solver=ENDLESS)
        hasty = pfgmd.Client("http://127.0.0.1:%d" % self.daemon.port, timeout=2, patience=LATE)
        self.assertFalse(hasty.wait(job.id, timeout=3).ended)
        self.client.cancel(job.id)
        self.client.wait(job.id)
        self.client.forget(job.id)


class Insisting(unittest.TestCase):
    """Jobs of a server that drains, is silent or breaks off."""
    CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"id\""
    WHOLE = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull"

    @contextlib.contextmanager
    def paced(self, *answers):
        """The address of a server that gives each answer to one connection, in pieces with seconds between them."""
        with socket.create_server(("127.0.0.1", 0)) as s:
            s.settimeout(PATIENCE)

            def serve():
                with contextlib.suppress(OSError):
                    for answer in answers:
                        with s.accept()[0] as connection:
                            read_request(connection)
                            for piece in answer:
                                if isinstance(piece, bytes):
                                    connection.sendall(piece)
                                else:
                                    time.sleep(piece)
            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield "http://127.0.0.1:%d" % s.getsockname()[1]
            finally:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
                thread.join()

    def fetched(self, client):
        with tempfile.TemporaryDirectory() as folder:
            client.archive("x", os.path.join(folder, "x.npy"))
            self.assertEqual(os.listdir(folder), ["x.npy"])
            with open(os.path.join(folder, "x.npy"), "rb") as f:
                return f.read()

    def waited(self, address, timeout=None, silence=300):
        """The job that wait gives, and how long it paused."""
        pauses = []

        class Noted(Call):
            def wait(self, seconds):
                pauses.append(seconds)
                super().wait(seconds)

        def wait():
            CALL.set(Noted())
            return pfgmd.Client(address, timeout=silence).wait("x", timeout)
        return contextvars.copy_context().run(wait).state, pauses

    def test_a_wait_pauses_while_the_server_drains_and_answers_at_once(self):
        with scripted([job_in("queued"), job_in("running"), job_in("succeeded")]) as address:
            self.assertEqual(self.waited(address), ("succeeded", [1, 1]))
        with scripted([job_in("failed")]) as address:
            self.assertEqual(self.waited(address), ("failed", []))
        with self.paced([1.2, job_in("running")], [job_in("succeeded")]) as address:  # after most of 2 s
            self.assertEqual(self.waited(address, silence=4), ("succeeded", []))
        with self.paced([job_in("running")], [job_in("running")]) as address:
            state, pauses = self.waited(address, 0.5)
            self.assertEqual((state, [p for p in pauses if p > 0.5]), ("running", []))

    def test_the_events_of_a_job_may_be_silent_for_longer_than_the_timeout(self):
        """The server's comments come every 15 s."""
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nid: 1\nevent: queued\ndata: {}\n\n"
        with self.paced([head, 2, b": \n\nid: 2\nevent: done\ndata: {}\n\n"]) as address:
            client = pfgmd.Client(address, timeout=0.5, patience=0)
            self.assertEqual([e.id for e in client.job_events("x")], [1, 2])

    def test_an_answer_of_a_job_that_breaks_off_is_asked_for_again(self):
        for work in (lambda c: c.submit().state, lambda c: c.wait("x").state):
            with scripted([self.CUT, job_in("succeeded")]) as address:
                self.assertEqual(work(pfgmd.Client(address)), "succeeded")
        for work in (lambda c: c.job_image("x", 0), self.fetched):
            with scripted([self.CUT, self.WHOLE]) as address:
                self.assertEqual(work(pfgmd.Client(address)), b"full")
        with scripted([self.CUT]) as address, self.assertRaises(pfgmd.PfgmdError):  # what is no job's is not
            pfgmd.Client(address).models()

    def test_an_archive_that_the_disk_does_not_take_is_not_asked_for_again(self):
        with scripted([answer_of("x" * 65536)]) as address, tempfile.TemporaryDirectory() as folder:
            os.symlink("/dev/full", os.path.join(folder, "x.npy.part"))
            with self.assertRaises(OSError):
                pfgmd.Client(address).archive("x", os.path.join(folder, "x.npy"))

    def test_patience_begins_with_the_first_failure(self):
        """So a transfer that was well for longer than that has all of it."""
        with self.paced([self.CUT, 1.5], [self.WHOLE]) as address:
            self.assertEqual(self.fetched(pfgmd.Client(address, patience=1)), b"full")
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        with self.paced([head, 1.5], [head + b"id: 1\nevent: done\ndata: {}\n\n"]) as address:
            self.assertEqual([e.id for e in pfgmd.Client(address, patience=1).job_events("x")], [1])

    def test_patience_bounds_all_waits_of_a_call(self):
        """Those that the server names among them."""
        away, seen = answer_of({"code": "jobs_off"}, b"503 x\r\nRetry-After: 1"), []
        for work in (lambda c: c.submit(), lambda c: list(c.job_events("x"))):
            seen.clear()
            with scripted([away] * 3, seen) as address, self.assertRaises(pfgmd.Unavailable) as caught:
                work(pfgmd.Client(address, timeout=5, patience=2))
            self.assertEqual((caught.exception.status, len(seen)), (503, 3))


if __name__ == "__main__":
    unittest.main(verbosity=2)
