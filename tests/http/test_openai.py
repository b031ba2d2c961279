"""OpenAI's images route without a browser's or a library's help: fields, answers, links, errors in its
shape, and what must be refused. test_classes has prompts that name a class; tests/page drives it with OpenAI's own client too."""

import base64
import json
import os
import tempfile
import unittest

from harness import DIGITS, Daemon, SharedDaemon
from test_security import bearer, key_line

PATH = "/v1/images/generations"


def generate(daemon, body, headers=None):
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    return daemon.request("POST", PATH, body, {"Content-Type": "application/json", **(headers or {})})


class OpenAI(SharedDaemon):
    def refused(self, body, status, kind, code, param, word=""):
        answer = generate(self.daemon, body)
        self.assertEqual(answer.status, status, answer.body)
        error = answer.json()["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertEqual((error["type"], error["code"], error["param"]), (kind, code, param))
        self.assertIn(word, error["message"])

    def test_same_bytes_as_our_route(self):
        ours = self.daemon.images({"seed": 7, "first_index": 3, "n": 2, "solver": {"steps": 9}}).json()
        answer = generate(self.daemon, {"prompt": "a nine", "seed": 7, "first_index": 3, "n": 2, "steps": 9,
                                        "size": "8x8", "output_format": "png", "user": "me",
                                        "response_format": "b64_json", "quality": "auto"}).json()
        self.assertEqual([i["b64_json"] for i in answer["data"]], [i["b64"] for i in ours["images"]])
        self.assertEqual((answer["size"], answer["output_format"]), ("8x8", "png"))
        self.assertEqual((answer["pfgm"]["seed"], answer["pfgm"]["prompt"]), ("7", "ignored"))
        self.assertGreater(answer["created"], 1.6e9)
        largest = generate(self.daemon, '{"seed":18446744073709551615}').json()
        self.assertEqual(largest["pfgm"]["seed"], "18446744073709551615")

    def test_everything_may_be_absent_or_null(self):
        answer = generate(self.daemon, {k: None for k in ["prompt", "n", "size", "seed", "steps", "model",
                                                          "response_format", "output_format", "stream"]})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json()["pfgm"]["prompt"], "absent")
        self.assertEqual(len(generate(self.daemon, {}).json()["data"]), 1)

    def test_links_are_absolute_and_lead_to_the_image(self):
        body = {"seed": "18446744073709551615", "n": 2}
        inlined = generate(self.daemon, body).json()["data"]
        linked = generate(self.daemon, {**body, "response_format": "url"}).json()["data"]
        start = f"http://{self.daemon.host}:{self.daemon.port}"
        for a, b in zip(inlined, linked):
            self.assertTrue(b["url"].startswith(start + "/v1/images/18446744073709551615/"), b)
            self.assertNotIn("b64_json", b)
            self.assertEqual(self.daemon.get(b["url"][len(start):]).body, base64.b64decode(a["b64_json"]))
        odd = generate(self.daemon, {**body, "response_format": "url"}, {"Host": 'x"/y'})
        self.assertEqual(odd.status, 421)

    def test_refusals(self):
        bad, wrong = "invalid_request_error", "invalid_parameter"
        for body, param in [({"n": 11}, "n"), ({"n": 0}, "n"), ({"n": "2"}, "n"), ({"size": "9x9"}, "size"),
                            ({"size": 8}, "size"), ({"response_format": "png"}, "response_format"),
                            ({"output_format": "webp"}, "output_format"), ({"prompt": 7}, "prompt"),
                            ({"stream": True}, "stream"), ({"seed": -1}, "seed"), ({"temperature": 1}, "temperature"),
                            ({"steps": 0}, "solver/steps"), ({"first_index": 1.5}, "first_index"),
                            ('{"seed":18446744073709551616}', "seed"),
                            ('{"seed":1e999}', "seed"), ('{"n":1e999}', "n"), ({"a/b": 1}, "a~1b")]:
            with self.subTest(body=body):
                self.refused(body, 422, bad, wrong, param)
        self.refused([], 422, bad, wrong, None, "object")
        self.refused({"model": "dall-e-3"}, 404, bad, "model_not_found", None, "dall-e-3")
        for body, word in [("", "empty"), ("{", "body"), ('{"n":1,"n":2}', "n")]:
            self.refused(body, 400, bad, "malformed_json", None, word)
        self.refused("[" * 1000, 400, bad, "malformed_json", None)
        self.assertEqual(generate(self.daemon, "x" * (1 << 21)).json()["error"]["code"], "content_too_large")
        answer = self.daemon.get(PATH)
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "POST, OPTIONS"))
        self.assertIn("error", answer.json())


class WithKeys(unittest.TestCase):
    def test_keys_and_signed_links(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = os.path.join(folder, "keys")
            with open(keys, "w", encoding="ascii") as f:
                f.write(key_line("alice", "sesame") + key_line("few", "few-key", "images=3"))
            with Daemon("--keys", keys, model=DIGITS) as daemon:
                error = generate(daemon, {}, bearer("wrong")).json()["error"]
                self.assertEqual((error["type"], error["code"]), ("authentication_error", "unauthenticated"))
                url = generate(daemon, {"response_format": "url"}, bearer("sesame")).json()["data"][0]["url"]
                self.assertIn("signature=", url)
                self.assertEqual(daemon.get(url[url.index("/v1/"):]).status, 200)
                over = generate(daemon, {"n": 4}, bearer("few-key"))
                self.assertEqual((over.status, over.json()["error"]["type"]), (429, "rate_limit_error"))


if __name__ == "__main__":
    unittest.main()
