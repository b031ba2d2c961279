"""Leaves the OpenAPI document and a list of real answers in a folder, for the judges that
nightly_contract.sh calls; and has promtool judge the metrics while the daemon is busy."""

import json
import os
import subprocess
import sys

from harness import ENDLESS, Daemon, wait_until
from test_metrics import check_sums


def answers(daemon):
    """(path as the document writes it, the answer) of every JSON route and the usual refusals."""
    yield "post", "/v1/images", daemon.images({"seed": 7, "n": 2, "label": "x"})
    yield "post", "/v1/images", daemon.images({"n": 3, "grid": {"columns": 2}, "timeout_s": 60})
    yield "post", "/v1/images", daemon.images({"n": 0, "x": 1})
    yield "post", "/v1/images", daemon.images("{")
    yield "post", "/v1/images", daemon.images({"n": 2}, accept="image/png")
    yield "post", "/v1/images", daemon.images({"solver": {"method": "rk45", "max_nfe": 8}})
    yield "post", "/v1/images", daemon.request("POST", "/v1/images", "x", {"Content-Type": "text/x"})
    yield "get", "/v1/images/{seed}/{index}", daemon.get("/v1/images/7/3?format=json")
    yield "get", "/v1/images/{seed}/{index}", daemon.get("/v1/images/7/x")
    picture = daemon.images({"seed": 7}).json()["images"][0]["b64"]
    latent = daemon.request("POST", "/v1/encode", json.dumps({"images": [picture]}))
    yield "post", "/v1/encode", latent
    yield "post", "/v1/encode", daemon.request("POST", "/v1/encode", "{}")
    body = {"latents": [latent.json()["images"][0]["latent"]]}
    yield "post", "/v1/decode", daemon.request("POST", "/v1/decode", json.dumps(body))
    body = {"between": [{"seed": 1}, {"image": picture}], "frames": 3}
    yield "post", "/v1/interpolate", daemon.request("POST", "/v1/interpolate", json.dumps(body))
    yield "post", "/v1/likelihood", daemon.request("POST", "/v1/likelihood", json.dumps({"images": [picture]}))
    yield "get", "/v1/models/{name}", daemon.get("/v1/models/digits8")
    yield "get", "/v1/models/{name}", daemon.get("/v1/models/none")
    for path in ["/v1/models", "/v1/capabilities", "/livez", "/healthz", "/readyz", "/version"]:
        yield "get", path, daemon.get(path)


def judge_metrics(daemon):
    text = daemon.get("/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    return text.count(b"\n")


class Check:
    """As much of unittest.TestCase as check_sums needs."""

    @staticmethod
    def assertEqual(a, b, message=None):
        assert a == b, (a, b, message)


def main(folder):
    with Daemon("--workers", "2") as daemon:
        busy = [daemon.begin_images({"n": 4, "solver": ENDLESS}) for _ in range(3)]
        wait_until(lambda: daemon.metrics().sum("pfgmd_slots_busy") > 0, "busy slots")
        lines = judge_metrics(daemon)
        for s in busy:
            s.close()
        found = [{"method": method, "path": path, "status": str(a.status),
                  "type": a.headers["Content-Type"].split(";")[0], "body": a.json()}
                 for method, path, a in answers(daemon)]
        document = daemon.get("/openapi.json").body
        check_sums(Check, daemon.settled())
    print(f"promtool takes {lines} lines of a busy daemon; the sums hold when it is idle again")
    with open(os.path.join(folder, "openapi.json"), "wb") as f:
        f.write(document)
    with open(os.path.join(folder, "answers.json"), "w", encoding="utf-8") as f:
        json.dump(found, f)


if __name__ == "__main__":
    main(sys.argv[1])
