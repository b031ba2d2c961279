"""Gives a PFGM++ checkpoint a schedule of its own, which was chosen by judging its samples, as its default.

    /usr/bin/python3 conf/train/own_schedule.py MODEL.safetensors multistep2 12

The nodes are the grid `power` from sigma_max to sigma_min, and the last step leads to 0. The schedules that `pfgm tune`
has found for other numbers of evaluations stay, but for those of more; MODEL is written in place."""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden"))
from safetensors_file import build, split  # noqa: E402

EXPONENT = 10


def power_nodes(high, low, count):
    u0, u1 = high ** (1 / EXPONENT), low ** (1 / EXPONENT)
    between = [(u0 + (u1 - u0) * i / (count - 1)) ** EXPONENT for i in range(1, count - 1)]
    return [high, *between, low]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("model")
    p.add_argument("method", help="a method of fixed steps")
    p.add_argument("evaluations", type=int)
    options = p.parse_args()
    with open(options.model, "rb") as f:
        head, data = split(f.read())
    described = json.loads(head["__metadata__"]["pfgm"])
    nodes = power_nodes(described["sigma_max"], described["sigma_min"], options.evaluations)
    fewer = [t for t in described.get("tuned", []) if len(t["nodes"]) < options.evaluations]
    described["tuned"] = [*fewer, {"method": options.method, "nodes": nodes, "default": True}]
    head["__metadata__"]["pfgm"] = json.dumps(described, separators=(",", ":"))
    encoded = json.dumps(head, separators=(",", ":")).encode()
    with open(options.model + ".new", "wb") as f:
        f.write(build(encoded, data, b" " * (-len(encoded) % 8)))
    os.replace(options.model + ".new", options.model)


main()
