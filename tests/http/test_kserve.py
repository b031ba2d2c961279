"""KServe's Open Inference Protocol, version 2, by a client written on the protocol's public text: JSON
and the binary extension, the same bytes as POST /v1/images, and what must be refused."""

import json
import math
import struct
import unittest

from harness import SharedDaemon
from test_streams import read_npy

MODEL = "/v2/models/digits8"
BIG = 2**64 - 1


def tensor(name, datatype, shape, data):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def seeds(*values, datatype="UINT64"):
    return tensor("seed", datatype, [len(values)], list(values))


def binary(name, datatype, shape, values):
    """A tensor's JSON and its bytes."""
    letter = {"UINT64": "Q", "INT64": "q", "FP32": "f"}[datatype]
    raw = struct.pack(f"<{len(values)}{letter}", *values)
    return {"name": name, "datatype": datatype, "shape": shape,
            "parameters": {"binary_data_size": len(raw)}}, raw


class Kserve(SharedDaemon):
    def post(self, body, headers=None):
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        return self.daemon.request("POST", MODEL + "/infer", body,
                                   {"Content-Type": "application/json", **(headers or {})})

    def post_binary(self, tensors, tail=b"", length=None, **members):
        head = json.dumps({"inputs": [t for t, _ in tensors], **members}).encode()
        return self.post(head + b"".join(raw for _, raw in tensors) + tail,
                         {"Content-Type": "application/octet-stream",
                          "Inference-Header-Content-Length": str(len(head)) if length is None else length})

    def infer(self, *inputs, **members):
        answer = self.post({"inputs": list(inputs), **members})
        self.assertEqual(answer.status, 200, answer.body)
        return {o["name"]: o for o in answer.json()["outputs"]}

    def tensors(self, answer):
        """Name → values of an answer, wherever they stand."""
        self.assertEqual(answer.status, 200, answer.body)
        length = answer.headers["Inference-Header-Content-Length"]
        head, tail = json.loads(answer.body[:int(length)]), answer.body[int(length):]
        out = {}
        for o in head["outputs"]:
            size = o.get("parameters", {}).get("binary_data_size")
            if size is None:
                out[o["name"]] = o["data"]
                continue
            letter = {"UINT8": "B", "FP32": "f"}[o["datatype"]]
            self.assertEqual(size, math.prod(o["shape"]) * struct.calcsize(letter))
            out[o["name"]] = list(struct.unpack(f"<{math.prod(o['shape'])}{letter}", tail[:size]))
            tail = tail[size:]
        self.assertEqual(tail, b"")
        return out

    def ours(self, seed, index, dtype="uint8", **fields):
        body = {"seed": str(seed), "first_index": str(index), "dtype": dtype, **fields}
        if dtype == "float32":
            body["layout"] = "chw"
        answer = self.daemon.images(body, accept="application/x-npy")
        self.assertEqual(answer.status, 200, answer.body)
        _, _, data = read_npy(answer.body)
        return list(struct.unpack("<64f" if dtype == "float32" else "<64B", data))

    def refused(self, answer, status, word):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(list(answer.json()), ["error"])
        self.assertIn(word, answer.json()["error"])

    # ---- server and models ----

    def test_health_and_metadata(self):
        self.assertEqual(self.daemon.get("/v2").json()["extensions"], ["binary_tensor_data"])
        self.assertEqual(self.daemon.get("/v2/health/live").json(), {"live": True})
        self.assertEqual(self.daemon.get("/v2/health/ready").json(), {"ready": True})
        self.assertEqual(self.daemon.get(MODEL + "/ready").json(), {"name": "digits8", "ready": True})
        model = self.daemon.get(MODEL).json()
        self.assertEqual([(t["name"], t["datatype"], t["shape"]) for t in model["inputs"] + model["outputs"]],
                         [("seed", "UINT64", [-1]), ("index", "UINT64", [-1]),
                          ("latents", "FP32", [-1, 1, 8, 8]), ("images", "UINT8", [-1, 8, 8, 1]),
                          ("samples", "FP32", [-1, 1, 8, 8])])
        for path in ["/v2/models/none", "/v2/models/none/ready"]:
            self.refused(self.daemon.get(path), 404, "none")
        self.refused(self.daemon.request("POST", "/v2/models/none/infer", "{}"), 404, "none")
        self.refused(self.daemon.request("POST", MODEL), 405, "GET")

    # ---- inference ----

    def test_same_bytes_as_our_route(self):
        out = self.infer(seeds(7, BIG, 7), tensor("index", "UINT64", [3], [0, 5, BIG]))
        self.assertEqual([o["shape"] for o in out.values()], [[3, 8, 8, 1], [3, 1, 8, 8]])
        for i, (seed, index) in enumerate([(7, 0), (BIG, 5), (7, BIG)]):
            part = slice(64 * i, 64 * i + 64)
            self.assertEqual(out["images"]["data"][part], self.ours(seed, index))
            self.assertEqual(out["samples"]["data"][part], self.ours(seed, index, "float32"))

    def test_index_is_zero_and_int64_is_taken(self):
        out = self.infer(seeds(3, 2**63 - 1, datatype="INT64"), outputs=[{"name": "images"}])
        self.assertEqual(list(out), ["images"])
        self.assertEqual(out["images"]["data"], self.ours(3, 0) + self.ours(2**63 - 1, 0))

    def test_binary_and_json_agree(self):
        plain = self.infer(seeds(BIG, 1))
        given = [binary("seed", "UINT64", [2], [BIG, 1]), binary("index", "UINT64", [2], [0, 0])]
        answer = self.post_binary(given, parameters={"binary_data_output": True}, id="a \"b\"")
        self.assertEqual(answer.headers["Content-Type"], "application/octet-stream")
        self.assertIn(b'"id":"a \\"b\\""', answer.body)
        out = self.tensors(answer)
        for name in ["images", "samples"]:
            self.assertEqual(out[name], plain[name]["data"])
        mixed = self.tensors(self.post_binary(given, outputs=[
            {"name": "samples", "parameters": {"binary_data": True}}, {"name": "images"}]))
        self.assertEqual(mixed, out)
        alone = self.post_binary(given, outputs=[{"name": "images"}])
        self.assertEqual(alone.headers["Content-Type"], "application/json")
        self.assertEqual(alone.json()["outputs"][0]["data"], out["images"])

    def test_latents_flat_nested_and_binary(self):
        values = [struct.unpack("<f", struct.pack("<f", 40 * math.sin(i)))[0] for i in range(128)]
        flat = self.infer(tensor("latents", "FP32", [2, 1, 8, 8], values))
        rows = [values[8 * i:8 * i + 8] for i in range(16)]
        nested = self.infer(tensor("latents", "FP32", [2, 1, 8, 8], [[rows[:8]], [rows[8:]]]))
        raw = self.tensors(self.post_binary([binary("latents", "FP32", [2, 1, 8, 8], values)],
                                            parameters={"binary_data_output": True}))
        one = self.infer(tensor("latents", "FP32", [1, 1, 8, 8], values[64:]))
        for name in ["images", "samples"]:
            self.assertEqual(flat[name]["data"], nested[name]["data"])
            self.assertEqual(flat[name]["data"], raw[name])
            self.assertEqual(flat[name]["data"][64:], one[name]["data"])

    def test_parameters_are_our_fields(self):
        out = self.infer(seeds(9), outputs=[{"name": "images"}],
                         parameters={"method": "euler", "steps": 5, "temperature": 0.9})
        self.assertEqual(out["images"]["data"], self.ours(
            9, 0, temperature=0.9, solver={"method": "euler", "steps": 5}))

    def test_a_label_comes_back(self):
        for label in ("", "of mine"):
            given = {"inputs": [seeds(9)], "parameters": {"steps": 3, "label": label} if label else {"steps": 3}}
            answer = self.daemon.request("POST", "/v2/models/digits8/infer", json.dumps(given))
            self.assertEqual(answer.json()["parameters"].get("label", ""), label)

    # ---- refusals ----

    def test_bad_requests(self):
        good = seeds(1)
        latents = tensor("latents", "FP32", [1, 1, 8, 8], [0.5] * 64)
        for status, word, body in [
                (400, "empty", ""), (400, "body", "{"), (400, "body", "[" * 100),
                (400, "inputs", '{"inputs":[],"inputs":[]}'), (422, "object", "[]"),
                (422, "/inputs", {}), (422, "/inputs", {"inputs": []}), (422, "/inputs", {"inputs": [1]}),
                (422, "x", {"inputs": [good], "x": 1}), (422, "/id", {"inputs": [good], "id": 7}),
                (422, "/id", {"inputs": [good], "id": "x" * 129}),
                (422, "twice", {"inputs": [good, good]}),
                (422, "/inputs/0/y", {"inputs": [{**good, "y": 1}]}),
                (422, "/inputs/0/name", {"inputs": [{**good, "name": "prompt"}]}),
                (422, "/inputs/0/datatype", {"inputs": [{**good, "datatype": "FP32"}]}),
                (422, "/inputs/0/datatype", {"inputs": [{**latents, "datatype": "FP64"}]}),
                (422, "/inputs/0", {"inputs": [{k: v for k, v in good.items() if k != "data"}]}),
                (422, "/inputs", {"inputs": [good, latents]}),
                (422, "/inputs", {"inputs": [tensor("index", "UINT64", [1], [1])]}),
                (422, "as long", {"inputs": [good, tensor("index", "UINT64", [2], [1, 2])]}),
                (422, "are the limit", {"inputs": [tensor("seed", "UINT64", [1000], [1] * 1000)]}),
                (422, "[n,1,8,8]", {"inputs": [tensor("latents", "FP32", [1, 8, 8, 1], [0] * 64)]}),
                (422, "/outputs/0", {"inputs": [good], "outputs": [{"name": "latents"}]}),
                (422, "twice", {"inputs": [good], "outputs": [{"name": "images"}] * 2}),
                (422, "/outputs/0", {"inputs": [good], "outputs": [{"name": "images", "z": 1}]}),
                (422, "binary_data", {"inputs": [good], "outputs": [{"name": "images", "parameters": {"binary_data": 1}}]}),
                (422, "/parameters/x", {"inputs": [good], "parameters": {"x": 1}}),
                (422, "/parameters", {"inputs": [good], "parameters": []}),
                (422, "/solver/steps", {"inputs": [good], "parameters": {"steps": 0}}),
                (422, "temperature", {"inputs": [latents], "parameters": {"temperature": 2}})]:
            with self.subTest(body=body):
                self.refused(self.post(body), status, word)
        self.refused(self.post({"inputs": [good]}, {"Content-Type": "text/plain"}), 415, "text/plain")

    def test_bad_shapes_and_values(self):
        for shape in [[], [0], [-1], [2], [1, 1], ["1"], [1.0], [True], None, [2**64], [2**63 - 1]]:
            with self.subTest(shape=shape):
                self.refused(self.post({"inputs": [tensor("seed", "UINT64", shape, [1])]}), 422, "/inputs/0")
        for shape in [[2**32, 2**32, 1, 1], [2**62, 2, 2, 2], [1, 1, 8, 2**61]]:
            with self.subTest(shape=shape):
                self.refused(self.post({"inputs": [tensor("latents", "FP32", shape, [0] * 64)]}), 422, "/inputs/0")
        for value in [-1, 2**64, 1.5, None, [1], "x", True, 10**30]:
            with self.subTest(value=value):
                self.refused(self.post({"inputs": [seeds(value)]}), 422, "value 0")
        self.refused(self.post({"inputs": [seeds(2**63, datatype="INT64")]}), 422, "value 0")
        for value in ["1e39", "-1e400", '"1"', "null", "NaN"]:
            text = ",".join(["0.5"] * 63 + [value])
            answer = self.post('{"inputs":[{"name":"latents","datatype":"FP32","shape":[1,1,8,8],"data":[%s]}]}' % text)
            with self.subTest(value=value):
                self.refused(answer, 400 if value == "NaN" else 422, "body" if value == "NaN" else "value 63")
        ragged = [[[[0] * 8] * 7 + [[0] * 7]]]
        self.refused(self.post({"inputs": [tensor("latents", "FP32", [1, 1, 8, 8], ragged)]}), 422, "as long as")

    def test_bad_binary(self):
        good = binary("seed", "UINT64", [1], [5])
        self.assertEqual(self.post_binary([good]).status, 200)
        for length in ["x", "-1", "99999", "18446744073709551616", "1, 1", "007"]:
            with self.subTest(length=length):
                self.refused(self.post_binary([good], length=length), 400, "Inference-Header")
        self.refused(self.post_binary([good], length="0"), 400, "empty")
        self.refused(self.post_binary([good], length="10"), 400, "body")
        self.refused(self.post_binary([good], tail=b"x"), 422, "1 bytes follow")
        self.refused(self.post_binary([(good[0], good[1][:7])]), 422, "7 follow")
        for size in [0, 7, 16, -8, 2**63 - 1, "8", None]:
            with self.subTest(size=size):
                bad = {**good[0], "parameters": {"binary_data_size": size}}
                self.refused(self.post_binary([(bad, good[1])]), 422, "/inputs/0")
        self.refused(self.post_binary([({**good[0], "data": [5]}, good[1])]), 422, "not both")
        self.refused(self.post_binary([binary("seed", "INT64", [1], [-5])]), 422, "value 0")
        for x in [math.nan, math.inf]:
            self.refused(self.post_binary([binary("latents", "FP32", [1, 1, 8, 8], [0.0] * 63 + [x])]), 422, "value 63")


if __name__ == "__main__":
    unittest.main()
