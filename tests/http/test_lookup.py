"""GET /v1/images/{seed}/{index}: the same image again, with a tag that is known beforehand."""

import hashlib
import unittest

from harness import SharedDaemon


class Lookup(SharedDaemon):
    def test_the_same_bytes_as_a_post(self):
        for index in [0, 7]:
            png = self.daemon.images({"seed": 7, "first_index": index}, accept="image/png").body
            answer = self.daemon.get(f"/v1/images/7/{index}")
            self.assertEqual((answer.status, answer.body), (200, png))
            self.assertEqual(answer.headers["Content-Type"], "image/png")
        last = self.daemon.get(f"/v1/images/{2**64 - 1}/{2**64 - 1}")
        self.assertEqual((last.status, last.headers["X-Pfgm-Seed"]), (200, str(2**64 - 1)))

    def test_formats(self):
        o = self.daemon.get("/v1/images/7/0", {"Accept": "application/json"})
        self.assertEqual(o.headers["Cache-Control"], "no-store")
        self.assertEqual(o.json()["n"], 1)
        npy = self.daemon.get("/v1/images/7/0?format=npy&dtype=float32")
        self.assertTrue(npy.body.startswith(b"\x93NUMPY"))
        for path, status in [("?format=zip", 406), ("?format=events", 406), ("?format=gif", 422)]:
            self.assertEqual(self.daemon.get("/v1/images/7/0" + path).status, status)
        self.assertEqual(self.daemon.get("/v1/images/7/0", {"Accept": "text/html"}).status, 406)

    def test_an_address_that_is_opened_in_a_browser_is_a_picture(self):
        opened = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"}
        answer = self.daemon.get("/v1/images/7/0", opened)
        self.assertEqual(answer.headers["Content-Type"], "image/png")
        self.assertIn("ETag", answer.headers)
        self.assertEqual(self.daemon.images({"format": "png"}, accept="*/*;q=0.8").headers["Content-Type"], "image/png")

    def test_the_query_is_the_order(self):
        query = "?model=digits8&method=euler&steps=3&schedule=rho&max_nfe=1000&embed_metadata=false"
        png = self.daemon.get("/v1/images/7/0" + query).body
        body = {"seed": 7, "embed_metadata": False,
                "solver": {"method": "euler", "steps": 3, "schedule": "rho", "max_nfe": 1000}}
        self.assertEqual(self.daemon.images(body, accept="image/png").body, png)

    def test_noise_of_a_stochastic_way_is_the_images_own(self):
        solver = {"method": "heun", "steps": 6, "churn": 3, "churn_t_max": 20, "churn_noise": 1.01}
        together = self.daemon.images({"seed": 7, "n": 3, "solver": solver}).json()
        resolved = together["parameters"]["solver"]
        self.assertEqual({k: resolved[k] for k in ("churn", "churn_t_min", "churn_t_max")},
                         {"churn": 3, "churn_t_min": 0, "churn_t_max": 20})
        query = "&".join(f"{k}={v}" for k, v in solver.items())
        png = self.daemon.get("/v1/images/7/2?" + query).body
        self.assertEqual(hashlib.sha256(png).hexdigest(), together["images"][2]["sha256"])
        calm = self.daemon.get("/v1/images/7/2?method=heun&steps=6").body
        self.assertNotEqual(calm, png)

    def test_tags(self):
        first = self.daemon.get("/v1/images/7/0")
        tag = first.headers["ETag"]
        self.assertRegex(tag, '^"[0-9a-f]{64}"$')
        self.assertEqual(first.headers["Cache-Control"], "public, max-age=31536000, immutable")
        for field in [tag, "W/" + tag, f'"x", {tag}', "*"]:
            same = self.daemon.get("/v1/images/7/0", {"If-None-Match": field})
            self.assertEqual((same.status, same.body, same.headers["ETag"]), (304, b"", tag))
        for field in ['"x"', tag[1:-1], tag[:-2] + '"']:
            self.assertEqual(
                self.daemon.get("/v1/images/7/0", {"If-None-Match": field}).status, 200)
        others = {self.daemon.get("/v1/images/" + rest).headers["ETag"] for rest in [
            "7/0", "7/1", "8/0", "7/0?method=euler", "7/0?rtol=0.01", "7/0?embed_metadata=false",
            "7/0?format=npy", "7/0?format=npy&dtype=float32", "7/0?format=npy&layout=chw"]}
        self.assertEqual(len(others), 9)

    def test_head(self):
        get, head = (self.daemon.request(m, "/v1/images/7/0") for m in ("GET", "HEAD"))
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["Content-Length"], str(len(get.body)))
        self.assertEqual(head.headers["ETag"], get.headers["ETag"])
        self.assertEqual(hashlib.sha256(get.body).hexdigest(),
                         self.daemon.images({"seed": 7}).json()["images"][0]["sha256"])

    def test_what_is_wrong_is_named(self):
        rows = [("x/0", "/seed"), ("-1/0", "/seed"), (f"{2**64}/0", "/seed"), ("01/0", "/seed"),
                ("7/x", "/first_index"), ("7/0?steps=0&method=euler", "/solver/steps"),
                ("7/0?steps=3&method=rk45", "/solver/steps"), ("7/0?n=2", ""),
                ("7/0?churn=1&method=rk45", "/solver/churn"),
                ("7/0?churn=1&method=unipc3", "/solver/churn"),
                ("7/0?churn_noise=1&method=heun", "/solver/churn_noise"),
                ("7/0?churn=2&churn_t_min=5&churn_t_max=4&method=heun", "/solver/churn_t_max"), ("7/0?seed=1", ""),
                ("7/0?model=digits8&model=digits8", ""), ("7/0?model=other", "/model"),
                ("7/0?timeout_s=-1", "/timeout_s"), ("7/0?priority=high", "/priority")]
        for rest, pointer in rows:
            with self.subTest(rest=rest):
                answer = self.daemon.get("/v1/images/" + rest)
                self.assertEqual(answer.status, 422, answer.body)
                self.assertEqual(answer.json()["errors"][0]["pointer"], pointer)
        for rest in ["7", "7/", "7/0/", "/0", "7/0/1"]:
            self.assertEqual(self.daemon.get("/v1/images/" + rest).status, 404, rest)
        refused = self.daemon.request("POST", "/v1/images/7/0", "{}")
        self.assertEqual((refused.status, refused.headers["Allow"]), (405, "GET, HEAD, OPTIONS"))


if __name__ == "__main__":
    unittest.main()
