"""POST /v1/images and the routes around it."""

import base64
import hashlib
import json
import struct
import unittest
import zlib

from harness import SharedDaemon

SEED_TEXT = "must be an integer"


def png_header(data):
    """Width, height, channels of a PNG whose chunks are checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, header, end = 8, None, False
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        crc = struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
        assert zlib.crc32(kind + body) == crc
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        end = kind == b"IEND"
        at += 12 + length
    assert end
    return header[0], header[1], {0: 1, 2: 3}[header[3]]


class Images(SharedDaemon):
    def test_json_answer(self):
        answer = self.daemon.images({"n": 3, "seed": 7, "first_index": 2})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(answer.headers["Vary"], "Accept")
        self.assertEqual(answer.headers["X-Pfgm-Seed"], "7")
        self.assertEqual(answer.headers["X-Pfgm-Model"], "digits8")
        self.assertRegex(answer.headers["Server-Timing"],
                         r"^queue;dur=[\d.]+, compute;dur=[\d.]+")
        o = answer.json()
        self.assertEqual(
            set(o), {"id", "model", "kernel", "precision", "seed", "n", "width", "height",
                     "channels", "images", "parameters", "timings"})
        self.assertEqual(o["id"], answer.headers["X-Request-Id"])
        self.assertEqual(o["model"]["name"], "digits8")
        self.assertEqual(o["kernel"], answer.headers["X-Pfgm-Kernel"])
        self.assertEqual((o["seed"], o["n"]), ("7", 3))
        self.assertEqual((o["width"], o["height"], o["channels"]), (8, 8, 1))
        self.assertEqual([i["index"] for i in o["images"]], [2, 3, 4])
        for image in o["images"]:
            data = base64.b64decode(image["b64"], validate=True)
            self.assertEqual(hashlib.sha256(data).hexdigest(), image["sha256"])
            self.assertEqual(png_header(data), (8, 8, 1))
            self.assertEqual(image["mime"], "image/png")
            self.assertGreater(image["nfe"], 0)
            self.assertGreaterEqual(image["steps_rejected"], 0)
        solver = o["parameters"]["solver"]
        self.assertEqual(solver["method"], "multistep3")
        self.assertEqual(set(solver), {"method", "steps", "schedule", "t_max", "t_min", "max_nfe"})
        solver = self.daemon.images({"solver": {"atol": 1e-3}}).json()["parameters"]["solver"]
        self.assertEqual(solver["method"], "rk45")
        self.assertEqual(set(solver), {"method", "rtol", "atol", "t_max", "t_min", "max_nfe"})
        self.assertEqual(set(o["timings"]), {"queue_ms", "compute_ms", "encode_ms"})
        self.assertGreater(o["timings"]["compute_ms"], 0)

    def test_every_method_echoes_what_it_used(self):
        for method, schedule in [("euler", "log"), ("improved-euler", "log"), ("heun", "log"), ("ipndm4", "log"),
                                 ("multistep2", "power"), ("multistep3", "power"), ("unipc3", "power")]:
            o = self.daemon.images({"seed": 1, "solver": {"method": method, "steps": 5}}).json()
            solver = o["parameters"]["solver"]
            self.assertEqual((solver["method"], solver["steps"], solver["schedule"]), (method, 5, schedule))
            self.assertNotIn("rtol", solver)
        o = self.daemon.images({"seed": 1, "solver": {"method": "multistep3", "steps": 5, "schedule": "power"}}).json()
        self.assertEqual(o["parameters"]["solver"]["schedule"], "power")
        self.assertEqual(o["images"][0]["nfe"], 5)
        o = self.daemon.images({"seed": 1, "solver": {"method": "euler", "steps": 1}})
        self.assertEqual(o.status, 200)

    def test_png(self):
        answer = self.daemon.images({"seed": 7}, accept="image/png")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Content-Type"], "image/png")
        self.assertEqual(png_header(answer.body), (8, 8, 1))
        digest = hashlib.sha256(answer.body).hexdigest()
        self.assertEqual(answer.headers["ETag"], f'"{digest}"')
        o = self.daemon.images({"seed": 7}).json()
        self.assertEqual(o["images"][0]["sha256"], digest)

    def test_metadata_is_optional(self):
        with_text = self.daemon.images({"seed": 7}, accept="image/png").body
        without = self.daemon.images({"seed": 7, "embed_metadata": False}, accept="image/png").body
        self.assertIn(b'"seed":"7"', with_text)
        self.assertNotIn(b"seed", without)

    def test_grid(self):
        body = {"n": 5, "seed": 7, "first_index": 9, "grid": {"columns": 3, "scale": 2}}
        png = self.daemon.images(body, accept="image/png")
        self.assertEqual(png.status, 200)
        width, height, channels = png_header(png.body)
        self.assertEqual((width % 2, height % 2, channels), (0, 0, 1))
        self.assertGreaterEqual(width, 3 * 8 * 2)
        self.assertGreaterEqual(height, 2 * 8 * 2)
        o = self.daemon.images(body).json()
        self.assertEqual(len(o["images"]), 1)
        self.assertEqual(o["images"][0]["index"], 9)
        self.assertEqual((o["width"], o["height"]), (width, height))
        self.assertEqual(o["images"][0]["sha256"], hashlib.sha256(png.body).hexdigest())
        self.assertEqual(o["parameters"]["grid"], {"columns": 3, "scale": 2})
        square = self.daemon.images({"n": 9, "seed": 7, "grid": {}}).json()
        self.assertEqual(square["parameters"]["grid"], {"columns": 3, "scale": 1})
        self.assertEqual(square["width"], square["height"])

    def test_seeds_shifthackz_569(self):
        same = set()
        for seed in [5, "5"]:
            o = self.daemon.images({"seed": seed}).json()
            self.assertEqual(o["seed"], "5")
            same.add(o["images"][0]["sha256"])
        self.assertEqual(len(same), 1)
        others = set()
        for seed in [6687881544318117707, 6687881544318117708, 9007199254740992, 9007199254740993,
                     2**63 - 1, str(2**63), str(2**64 - 1)]:
            o = self.daemon.images({"seed": seed}).json()
            self.assertEqual(o["seed"], str(seed))
            others.add(o["images"][0]["sha256"])
        self.assertEqual(len(others), 7)

    def test_a_drawn_seed_is_returned(self):
        first = self.daemon.images({}).json()
        second = self.daemon.images({}).json()
        self.assertNotEqual(first["seed"], second["seed"])
        again = self.daemon.images({"seed": first["seed"]}).json()
        self.assertEqual(again["images"][0]["sha256"], first["images"][0]["sha256"])

    def test_indices_to_the_end(self):
        o = self.daemon.images({"n": 2, "seed": 1, "first_index": str(2**64 - 2)}).json()
        self.assertEqual([i["index"] for i in o["images"]], [str(2**64 - 2), str(2**64 - 1)])

    def test_negotiation(self):
        one, four = {"seed": 1}, {"seed": 1, "n": 4}
        sheet = {"seed": 1, "n": 4, "grid": {"columns": 2}}
        rows = [
            (one, None, "", "application/json"),
            (one, "*/*", "", "application/json"),
            (one, "image/png", "", "image/png"),
            (one, "image/png;q=0.2, application/json;q=0.1", "", "image/png"),
            (one, "application/json", "?format=png", "image/png"),
            (one, "image/png", "?format=json", "application/json"),
            (four, "image/png, application/json;q=0.5", "", "application/json"),
            (sheet, "image/png", "", "image/png"),
            (four, "image/png", "", None),
            (four, None, "?format=png", None),
            (one, "text/html", "", None),
            (one, None, "?format=gif", None),
        ]
        for body, accept, query, want in rows:
            with self.subTest(body=body, accept=accept, query=query):
                answer = self.daemon.images(body, accept, query)
                if want:
                    self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, want))
                else:
                    self.assertEqual(answer.status, 406)
                    o = answer.json()
                    self.assertEqual(o["code"], "not_acceptable")
                    self.assertIn("application/json", o["available"])

    def test_request_ids(self):
        for sent, kept in [("abc-1.2_Z", True), ("a" * 128, True), ("a" * 129, False),
                           ("a b", False), ("a,b", False), ("\u00e4", False)]:
            answer = self.daemon.get("/livez", {"X-Request-Id": sent})
            self.assertEqual(answer.headers["X-Request-Id"] == sent, kept)
            self.assertRegex(answer.headers["X-Request-Id"], r"^[A-Za-z0-9._-]{1,128}$")

    def test_models(self):
        o = self.daemon.get("/v1/models").json()
        self.assertEqual([m["name"] for m in o["data"]], ["digits8"])
        m = self.daemon.get("/v1/models/digits8").json()
        self.assertEqual(m, o["data"][0])
        self.assertEqual(m["state"], "ready")
        self.assertEqual(m["shape"], {"channels": 1, "height": 8, "width": 8})
        missing = self.daemon.get("/v1/models/other")
        self.assertEqual((missing.status, missing.json()["code"]), (404, "not_found"))

    def test_capabilities_and_version(self):
        o = self.daemon.get("/v1/capabilities").json()
        self.assertEqual(o["limits"]["n"], 64)
        self.assertEqual(o["limits"]["body_bytes"], 1 << 20)
        self.assertEqual({s["method"] for s in o["solvers"]},
                         {"rk45", "euler", "improved-euler", "heun", "multistep2", "multistep3", "ipndm4",
                          "unipc3"})
        self.assertEqual(o["schedules"], ["log", "power", "rho", "tuned"])
        self.assertEqual(self.daemon.get("/version").json()["name"], "pfgmd")


class Errors(SharedDaemon):
    def check(self, body, status, code, pointer=None):
        answer = self.daemon.images(body)
        self.assertEqual(answer.status, status, (body[:80], answer.body))
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        o = answer.json()
        self.assertEqual((o["status"], o["code"]), (status, code), body[:80])
        for key in ["type", "title", "detail", "instance"]:
            self.assertTrue(o[key])
        if pointer is not None:
            self.assertEqual(o["errors"][0]["pointer"], pointer, body[:80])
            self.assertTrue(o["errors"][0]["detail"])
        return o

    def test_parsed_but_wrong(self):
        big = 2**64
        rows = [
            ('[]', ""), ('"x"', ""), ('null', ""), ('3', ""),
            ('{"n":0}', "/n"), ('{"n":65}', "/n"), ('{"n":5000000}', "/n"),
            ('{"n":2147483649}', "/n"), ('{"n":[1]}', "/n"), ('{"n":1.0}', "/n"),
            ('{"seed":-1}', "/seed"), ('{"seed":%d}' % big, "/seed"),
            ('{"seed":"%d"}' % big, "/seed"), ('{"seed":%d}' % 2**63, "/seed"),
            ('{"seed":1e3}', "/seed"), ('{"seed":1.5}', "/seed"),
            ('{"first_index":%d}' % big, "/first_index"),
            ('{"n":2,"first_index":"%d"}' % (big - 1), "/first_index"),
            ('{"solver":{"method":"euler","steps":0}}', "/solver/steps"),
            ('{"solver":{"method":"rk45","steps":10}}', "/solver/steps"),
            ('{"solver":{"method":"euler","rtol":0.1}}', "/solver/rtol"),
            ('{"solver":{"method":"magic"}}', "/solver/method"),
            ('{"solver":{"method":"heun","schedule":"linear"}}', "/solver/schedule"),
            ('{"solver":{"method":"rk45","schedule":"log"}}', "/solver/schedule"),
            ('{"solver":{"bar":1}}', "/solver/bar"), ('{"foo":1}', "/foo"),
            ('{"model":"other"}', "/model"), ('{"model":5}', "/model"),
            ('{"grid":{"columns":0}}', "/grid/columns"), ('{"embed_metadata":"no"}',
                                                          "/embed_metadata"),
        ]
        for body, pointer in rows:
            with self.subTest(body=body):
                self.check(body, 422, "invalid_parameter", pointer)
        self.assertEqual(self.check('{"n":65}', 422, "invalid_parameter")["limit"], 64)

    def test_absurd_solvers_llama_cpp_19367(self):
        rows = [
            ('{"solver":{"rtol":-1}}', "/solver/rtol"),
            ('{"solver":{"atol":-1}}', "/solver/atol"),
            ('{"solver":{"atol":0,"rtol":0}}', "/solver/rtol"),
            ('{"solver":{"rtol":1e-14,"atol":1e-14}}', "/solver/rtol"),
            ('{"solver":{"rtol":1}}', "/solver/rtol"),
            ('{"solver":{"t_max":1e308}}', "/solver/t_max"),
            ('{"solver":{"t_max":1e999}}', "/solver/t_max"),
            ('{"solver":{"t_max":1e19}}', "/solver/t_max"),
            ('{"solver":{"t_min":0}}', "/solver/t_min"),
            ('{"solver":{"t_min":5,"t_max":1}}', "/solver/t_max"),
            ('{"solver":{"method":"euler","steps":1000,"max_nfe":5}}', "/solver/max_nfe"),
        ]
        for body, pointer in rows:
            with self.subTest(body=body):
                self.check(body, 422, "invalid_parameter", pointer)

    def test_not_json_llamafile_116(self):
        for body in ['', ' ', '{:', '{"seed":1', '{"seed":1}}', '{"seed":01}', 'seed=1', '\ufeff{}',
                     '{"n":NaN}']:
            with self.subTest(body=body):
                o = self.check(body.encode(), 400, "malformed_json")
                self.assertRegex(o["detail"], "line \\d+, column \\d+|empty")

    def test_nul_monero_11361(self):
        for body in [b'{"seed":1}\0junk', b'{"solver":"rk45\\u0000x"}', b'{"seed\\u0000":1}']:
            self.check(body, 400, "malformed_json")

    def test_duplicate_keys_jsoncons_505(self):
        for body in ['{"seed":1,"seed":2}', '{"seed":1,"se\\u0065d":2}']:
            self.assertIn("duplicate", self.check(body, 400, "malformed_json")["detail"])

    def test_deep_nesting_jansson_282(self):
        for body in ["[" * 100000, '{"a":' * 2000]:
            self.check(body, 400, "malformed_json")

    def test_a_sheet_that_is_too_large(self):
        o = self.check('{"n":64,"grid":{"columns":1024,"scale":16}}', 422, "invalid_parameter",
                       "/grid")
        self.assertIn("scale", o["detail"])

    def test_an_unsolvable_image_is_reported(self):
        o = self.check('{"n":2,"seed":1,"solver":{"method":"rk45","max_nfe":10}}', 500, "numerical_failure")
        self.assertRegex(o["errors"][0]["pointer"], "^/images/[01]$")

    def test_one_failure_leaves_its_neighbours_alone_litserve_340(self):
        import threading
        results = {}

        def ask(name, body):
            results[name] = self.daemon.images(body)
        threads = [threading.Thread(target=ask, args=(i, {"seed": 11})) for i in range(7)]
        threads.append(threading.Thread(target=ask,
                                        args=("bad", {"seed": 11, "solver": {"method": "rk45", "max_nfe": 8}})))
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(results.pop("bad").status, 500)
        for answer in results.values():
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.json()["images"][0]["sha256"], self.reference)

    def test_media_types(self):
        for kind, status in [("application/json", 200), ("application/json; charset=utf-8", 200),
                             ("APPLICATION/JSON", 200), (None, 200),
                             ("application/x-www-form-urlencoded", 200), ("text/plain", 415),
                             ("multipart/form-data; boundary=a", 415)]:
            headers = {} if kind is None else {"Content-Type": kind}
            answer = self.daemon.request("POST", "/v1/images", '{"seed":1}', headers)
            self.assertEqual(answer.status, status, kind)
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://foreign.example"}
        self.assertEqual(self.daemon.request("POST", "/v1/images", "{}", form).status, 415)
        answer = self.daemon.request("POST", "/v1/images", "{}", {"Content-Encoding": "gzip"})
        self.assertEqual((answer.status, answer.json()["code"]), (415, "unsupported_media_type"))

    def test_unknown_query(self):
        answer = self.daemon.images({}, query="?seed=5")
        self.assertEqual(answer.status, 422)
        self.assertIn("seed", answer.json()["detail"])

    def test_routes_and_methods(self):
        rows = [
            ("POST", "/", 405, "GET, HEAD, OPTIONS"), ("GET", "/livez/", 404, None), ("GET", "//livez", 404, None),
            ("GET", "/v1/../livez", 404, None), ("GET", "/v1%2Fimages", 404, None),
            ("GET", "/livez%00/x", 400, None), ("GET", "/livez%", 400, None),
            ("GET", "/v1/images", 405, "POST, OPTIONS"), ("PUT", "/v1/images", 405,
                                                          "POST, OPTIONS"),
            ("POST", "/livez", 405, "GET, HEAD, OPTIONS"),
            ("DELETE", "/v1/models", 405, "GET, HEAD, OPTIONS"),
            ("OPTIONS", "/v1/images", 204, "POST, OPTIONS"),
            ("get", "/livez", 501, None), ("BREW", "/v1/images", 501, None),
        ]
        for method, path, status, allow in rows:
            with self.subTest(method=method, path=path):
                answer = self.daemon.request(method, path)
                self.assertEqual((answer.status, answer.headers["Allow"]), (status, allow))
                if status >= 400:
                    self.assertEqual(answer.json()["status"], status)

    def test_head(self):
        for path in ["/livez", "/readyz", "/healthz", "/version", "/v1/models"]:
            get, head = self.daemon.get(path), self.daemon.request("HEAD", path)
            self.assertEqual((get.status, head.status, head.body), (200, 200, b""))
            self.assertEqual(get.headers["Content-Length"], head.headers["Content-Length"])


if __name__ == "__main__":
    unittest.main()
