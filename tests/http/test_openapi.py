"""/openapi.json against what the daemon does: every route and method, every field, every problem
code, and every JSON answer against its schema."""

import json
import os
import pathlib
import re
import tempfile
import unittest

from harness import Daemon
from test_security import Admin
from test_streams import Events

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUTES = re.findall(r'\{"[^"]+", "(/[^"]*)", (READ|"[A-Z, ]+")', "".join(
    (ROOT / "src/http/api/api_route.c").read_text().split("#define ROUTES")[0].split("\n")))


class Schema:
    """As much of JSON Schema 2020-12 as the document uses; any other keyword is an error."""

    TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    PLAIN = {"description", "default", "contentEncoding", "examples", "format"}

    def __init__(self, document):
        self.document = document

    def resolve(self, node):
        while "$ref" in node:
            at = self.document
            for step in node["$ref"][2:].split("/"):
                at = at[step]
            node = at
        return node

    def is_type(self, value, name):
        if name in ("integer", "number"):
            kinds = int if name == "integer" else (int, float)
            return isinstance(value, kinds) and not isinstance(value, bool)
        return isinstance(value, self.TYPES[name])

    def check(self, value, schema, where=""):
        schema = self.resolve(schema)
        for key, rule in schema.items():
            if key in self.PLAIN:
                continue
            ok = getattr(self, "rule_" + key)(value, rule, schema, where)
            assert ok is not False, f"{where}: {json.dumps(value)[:200]} breaks {key} {rule}"

    def rule_type(self, value, rule, _, __):
        return any(self.is_type(value, r) for r in (rule if isinstance(rule, list) else [rule]))

    def rule_properties(self, value, rule, _, where):
        for key in rule:
            if isinstance(value, dict) and key in value:
                self.check(value[key], rule[key], f"{where}/{key}")

    def rule_additionalProperties(self, value, rule, schema, where):
        extra = set(value) - set(schema.get("properties", {}))
        if rule is False:
            return not extra
        for key in extra:
            self.check(value[key], rule, f"{where}/{key}")

    def rule_items(self, value, rule, _, where):
        for i, item in enumerate(value):
            self.check(item, rule, f"{where}/{i}")

    def rule_minItems(self, value, rule, _, __):
        return len(value) >= rule

    def rule_maxItems(self, value, rule, _, __):
        return len(value) <= rule

    def rule_oneOf(self, value, rule, _, where):
        def fits(r):
            try:
                self.check(value, r, where)
                return True
            except AssertionError:
                return False
        return sum(fits(r) for r in rule) == 1

    def rule_required(self, value, rule, _, __):
        return set(rule) <= set(value)

    def rule_enum(self, value, rule, _, __):
        return value in rule

    def rule_const(self, value, rule, _, __):
        return value == rule

    def rule_pattern(self, value, rule, _, __):
        return re.search(rule, value) is not None

    def rule_minimum(self, value, rule, _, __):
        return value >= rule

    def rule_maximum(self, value, rule, _, __):
        return value <= rule

    def rule_exclusiveMaximum(self, value, rule, _, __):
        return value < rule

    def rule_minLength(self, value, rule, _, __):
        return len(value) >= rule

    def rule_maxLength(self, value, rule, _, __):
        return len(value) <= rule


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        path = os.path.join(cls.folder.name, "admin.sock")
        cls.daemon = Daemon("--admin", path, "--state", os.path.join(cls.folder.name, "state"))
        cls.admin = Admin(path)
        cls.document = cls.daemon.get("/openapi.json").json()
        cls.schema = Schema(cls.document)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.daemon.check_sanitizers()
        cls.folder.cleanup()

    def operation(self, path, method):
        return self.document["paths"][path][method.lower()]

    def check_answer(self, path, method, answer):
        """The answer's status, type and body are in the document."""
        responses = self.operation(path, method)["responses"]
        self.assertIn(str(answer.status), responses, (path, method))
        response = self.schema.resolve(responses[str(answer.status)])
        kind = (answer.headers["Content-Type"] or "").split(";")[0]
        content = response.get("content", {})
        if method != "HEAD" and answer.body:
            self.assertIn(kind, content, (path, method, answer.status))
            if kind.endswith("json"):
                self.schema.check(json.loads(answer.body), content[kind].get("schema", {}), path)
        for name, header in response.get("headers", {}).items():
            self.assertIn("schema", self.schema.resolve(header))

    def test_every_route_and_method_both_ways(self):
        self.assertGreaterEqual(len(ROUTES), 15)
        table = {}
        for label, allow in ROUTES:
            words = "GET, HEAD, OPTIONS" if allow == "READ" else allow.strip('"')
            table[label] = set(words.split(", ")) - {"OPTIONS"}
        documented = {path: {m.upper() for m in item if m in ("get", "head", "post", "put", "delete")}
                      for path, item in self.document["paths"].items()}
        self.assertEqual(documented, table)

    def test_operations_have_names_of_their_own(self):
        """Generators of clients make a function of each."""
        names = [operation["operationId"] for item in self.document["paths"].values()
                 for operation in item.values() if "operationId" in operation]
        self.assertEqual([name for name in names if names.count(name) > 1], [])

    def test_links_may_have_a_prefix(self):
        schema = self.document["components"]["schemas"]["Image"]["properties"]["url"]
        for link in ["/v1/images/1/2?model=a", "/a/b/v1/images/1/2?model=a"]:
            self.schema.check(link, schema)
        for link in ["v1/images/1/2?model=a", "/v1/images/1?model=a", "a/v1/images/1/2?model=a"]:
            self.assertRaises(AssertionError, self.schema.check, link, schema)

    def test_every_field_of_a_request(self):
        source = (ROOT / "src/http/api/api_order.c").read_text()
        read = set(re.findall(r'\{"(\w+)",\s*read_\w+\}', source))
        schemas = self.document["components"]["schemas"]
        request = schemas["ImageRequest"]["properties"]
        # the solver's are rows of a table, to which tests/unit/model/test_choice.c holds the document
        self.assertEqual(set(request) | set(request["grid"]["properties"]), read)
        values = {"model": "digits8", "n": 2, "seed": "18446744073709551615", "first_index": 0,
                  "solver": {"method": "multistep3", "steps": 3, "schedule": "rho", "t_max": 20,
                             "t_min": 0.01, "max_nfe": 100},
                  "grid": {"columns": 2, "scale": 2}, "embed_metadata": False, "format": "json",
                  "dtype": "uint8", "layout": "hwc", "preview_every": 1, "timeout_s": 60,
                  "priority": "batch", "label": "x", "class": None, "temperature": 0.9}
        self.assertEqual(set(values), set(request))
        self.schema.check(values, schemas["ImageRequest"])
        answer = self.daemon.images(values)
        self.assertEqual(answer.status, 200, answer.body)
        self.check_answer("/v1/images", "POST", answer)
        self.assertEqual(answer.json()["parameters"]["label"], "x")
        query = {p["name"] for p in self.document["paths"]["/v1/images/{seed}/{index}"]["parameters"]
                 if p["in"] == "query"}
        lookup = (ROOT / "src/http/api/api_lookup.c").read_text().split("static bool")[0]
        signed = set(re.findall(r'_PART "&(\w+)="', (ROOT / "src/http/app/http_link.c").read_text()))
        self.assertEqual(len(signed), 3)
        self.assertEqual(query, set(re.findall(r'"(\w+)"[,}]', lookup)) | signed | set(schemas["Solver"]["properties"]))

    def test_every_field_of_the_other_tasks(self):
        source = (ROOT / "src/http/api/api_flow.h").read_text()
        tasks = ("encode", "decode", "interpolate", "likelihood", "edit")
        words = r'words = \{"(\w+)", (COMMON|PICTURES)( "[^"]*")?, "([^"]*)"\}'
        table = [(task, *re.search(words, (ROOT / f"src/http/api/api_{task}.c").read_text()).groups(""))
                 for task in tasks]
        common = set(re.search(r'#define COMMON "([^"]*)"', source)[1].split())
        pictures = common | set(re.search(r'#define PICTURES COMMON "([^"]*)"', source)[1].split())
        schemas = self.document["components"]["schemas"]
        names = {"encode": "EncodeRequest", "decode": "DecodeRequest", "interpolate": "InterpolateRequest",
                 "likelihood": "LikelihoodRequest", "edit": "EditRequest"}
        for task, given, base, more, own in table:
            fields = (common if base == "COMMON" else pictures) | set(more.strip(' "').split()) | set(own.split())
            self.assertEqual(set(schemas[names[task]]["properties"]), fields | {given})
            operation = self.operation("/v1/" + task, "POST")
            query = {self.schema.resolve(p)["name"] for p in operation["parameters"]}
            expected = {"format"}
            if len(operation["requestBody"]["content"]) > 1:
                expected = fields - {"solver", "grid", "mask"} | set(schemas["Solver"]["properties"])
                if "grid" in fields:
                    expected |= {"columns", "scale"}
            self.assertEqual(query, expected, task)

    def test_answers_of_the_other_tasks_fit(self):
        picture = self.daemon.images({"seed": 1}).json()["images"][0]["b64"]
        rows = [("encode", "EncodeRequest", {"images": [picture], "label": "x", "timeout_s": 60, "priority": "batch"}),
                ("likelihood", "LikelihoodRequest", {"images": [picture], "seed": 1, "probes": 1, "constant": "reference",
                                                     "solver": {"rtol": 0.01, "atol": 0.01}}),
                ("interpolate", "InterpolateRequest", {"between": [{"seed": "1", "index": 2}, {"image": picture}], "frames": 3,
                                                       "solver": {"steps": 3, "method": "heun"}, "grid": {"scale": 2}}),
                ("edit", "EditRequest", {"image": picture, "mask": picture, "strength": 0.5, "n": 2, "seed": "2"}),
                ("edit", "EditRequest", {"image": {"seed": 1, "index": "2", "class": None}, "strength": 0.25, "temperature": 0.5})]
        for path, name, body in rows:
            self.schema.check(body, {"$ref": "#/components/schemas/" + name})
            answer = self.daemon.request("POST", "/v1/" + path, json.dumps(body), {"Content-Type": "application/json"})
            self.assertEqual(answer.status, 200, answer.body)
            self.check_answer("/v1/" + path, "POST", answer)
            if path == "encode":
                rows.append(("decode", "DecodeRequest", {"latents": [answer.json()["images"][0]["latent"]], "dtype": "uint8"}))
            for bad in ["{}", "{", "[]"]:
                refused = self.daemon.request("POST", "/v1/" + path, bad, {"Content-Type": "application/json"})
                self.check_answer("/v1/" + path, "POST", refused)
            for query in ["?format=npy", "?format=gif"]:
                self.check_answer("/v1/" + path, "POST", self.daemon.request("POST", "/v1/" + path + query, json.dumps(body)))

    def test_every_choice_that_is_documented_works(self):
        request = self.document["components"]["schemas"]["ImageRequest"]["properties"]
        solver = self.document["components"]["schemas"]["Solver"]["properties"]
        caps = self.daemon.get("/v1/capabilities").json()
        self.assertEqual(solver["method"]["enum"], [s["method"] for s in caps["solvers"]])
        self.assertEqual(solver["schedule"]["enum"], caps["schedules"])
        self.assertEqual(request["format"]["enum"], [f["format"] for f in caps["formats"]])
        types = {f["type"] for f in caps["formats"]}
        self.assertEqual(types, set(
            self.operation("/v1/images", "POST")["responses"]["200"]["content"]))
        for kind in types:
            answer = self.daemon.images({"seed": 1}, accept=kind)
            self.assertEqual(answer.headers["Content-Type"], kind)
            self.check_answer("/v1/images", "POST", answer)

    def test_every_problem_code(self):
        codes = set(re.findall(r'= \{\d+,\s*"(\w+)"',
                               (ROOT / "src/http/wire/http_problem.c").read_text()))
        self.assertEqual(set(self.document["components"]["schemas"]["Problem"]["properties"]
                             ["code"]["enum"]), codes)

    def test_answers_fit_their_schemas(self):
        rows = [("/v1/models", "/v1/models"), ("/v1/models/{name}", "/v1/models/digits8"),
                ("/v1/models/{name}", "/v1/models/none"), ("/v1/capabilities", "/v1/capabilities"),
                ("/livez", "/livez"), ("/healthz", "/healthz"), ("/readyz", "/readyz"),
                ("/readyz", "/readyz?verbose"), ("/health", "/health"), ("/health", "/health?verbose"),
                ("/version", "/version"), ("/metrics", "/metrics"),
                ("/openapi.json", "/openapi.json"),
                ("/v1/images/{seed}/{index}", "/v1/images/1/2"),
                ("/v1/images/{seed}/{index}", "/v1/images/1/2?format=json"),
                ("/v1/images/{seed}/{index}", "/v1/images/x/2"),
                ("/v1/images/{seed}/{index}", "/v1/images/1/2?format=zip"), ("/", "/"), ("/v2", "/v2"),
                ("/v2/health/live", "/v2/health/live"), ("/v2/health/ready", "/v2/health/ready"),
                ("/v2/models/{name}", "/v2/models/digits8"), ("/v2/models/{name}", "/v2/models/none"),
                ("/v2/models/{name}/ready", "/v2/models/digits8/ready"),
                ("/v2/models/{name}/ready", "/v2/models/none/ready"),
                ("/v2/models/{name}/stats", "/v2/models/digits8/stats"),
                ("/v2/models/{name}/stats", "/v2/models/none/stats"), ("/v2/models/stats", "/v2/models/stats")]
        for path, target in rows:
            for method in ["GET", "HEAD"]:
                self.check_answer(path, method, self.daemon.request(method, target))
        uid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        for method, path, target, body in [
                ("POST", "/v1/jobs", "/v1/jobs", '{"n":1,"label":"x","class":null}'), ("POST", "/v1/jobs", "/v1/jobs", '{"n":0}'),
                ("PUT", "/v1/jobs/{id}", f"/v1/jobs/{uid}", '{"solver":{"method":"rk45","max_nfe":8}}'),
                ("PUT", "/v1/jobs/{id}", f"/v1/jobs/{uid}", '{"n":2}'), ("GET", "/v1/jobs", "/v1/jobs", None),
                ("GET", "/v1/jobs/{id}", f"/v1/jobs/{uid}", None), ("GET", "/v1/jobs/{id}", "/v1/jobs/x", None),
                ("GET", "/v1/jobs/{id}/images/{index}", f"/v1/jobs/{uid}/images/0", None),
                ("GET", "/v1/jobs/{id}/events", f"/v1/jobs/{uid}/events", None),
                ("GET", "/v1/jobs/{id}/archive", f"/v1/jobs/{uid}/archive?layout=x", None),
                ("DELETE", "/v1/jobs/{id}", f"/v1/jobs/{uid}", None), ("HEAD", "/v1/jobs", "/v1/jobs", None)]:
            headers = {"Content-Type": "application/json"} if body else {}
            self.check_answer(path, method, self.daemon.request(method, target, body, headers))
        for body in ["{}", '{"n":0}', "{", '{"n":3,"format":"png"}', '{"solver":{"method":"rk45","max_nfe":8}}',
                     '{"timeout_s":0.001}']:
            self.check_answer("/v1/images", "POST", self.daemon.images(body))
        self.check_answer("/v1/images", "POST", self.daemon.images("{}", accept="text/html"))
        for body in ["", "{}", '{"ready":true}', '{"ready":1}', "{"]:
            self.check_answer("/v2/repository/index", "POST", self.daemon.request("POST", "/v2/repository/index", body))
        seed = '{"inputs":[{"name":"seed","datatype":"UINT64","shape":[1],"data":[1]}]'
        for path, target, bodies in [
                ("/v1/images/generations", "/v1/images/generations",
                 ["{}", '{"response_format":"url"}', '{"n":11}', "{", '{"model":"none"}']),
                ("/v2/models/{name}/infer", "/v2/models/digits8/infer",
                 [seed + "}", seed + ',"parameters":{"binary_data_output":true}}', "{}", "{"])]:
            for body in bodies:
                headers = {"Content-Type": "application/json"}
                answer = self.daemon.request("POST", target, body, headers)
                self.check_answer(path, "POST", answer)
        for method, path, target, body in [
                ("GET", "/debug/slots", "/debug/slots", None),
                ("POST", "/admin/v1/models/{name}/reload", "/admin/v1/models/digits8/reload", None),
                ("POST", "/admin/v1/models/{name}/reload", "/admin/v1/models/none/reload", None),
                ("PUT", "/admin/v1/log-level", "/admin/v1/log-level", {"level": "info"}),
                ("PUT", "/admin/v1/log-level", "/admin/v1/log-level", {"level": "x"})]:
            status, o = self.admin.request(method, target, body)
            response = self.operation(path, method)["responses"][str(status)]
            content = self.schema.resolve(response)["content"]
            self.schema.check(o, next(iter(content.values()))["schema"], path)

    def test_events_fit_their_schemas(self):
        solver = {"method": "euler", "steps": 4000}
        for body in [{"n": 2, "preview_every": 500, "solver": solver},
                     {"solver": {"method": "rk45", "max_nfe": 8}}]:
            for kind, data, _, _ in Events(self.daemon, body):
                name = "Problem" if kind == "failed" else kind.capitalize()
                self.schema.check(data, {"$ref": "#/components/schemas/" + name}, kind)


if __name__ == "__main__":
    unittest.main()
