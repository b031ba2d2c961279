#!/usr/bin/python3
"""Gives a PFGM++ checkpoint a schedule of its own, which was chosen by judging its samples, as its default.

    own_schedule.py MODEL.safetensors multistep2 12

The nodes are the grid `power` from sigma_max to sigma_min, and the last step leads to 0. The schedules that `pfgm tune`
has found for other numbers of evaluations stay, but for those of more; MODEL is written in place."""

import argparse
import json
import os
import struct

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
        (length,) = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(length))
        data = f.read()
    described = json.loads(head["__metadata__"]["pfgm"])
    nodes = power_nodes(described["sigma_max"], described["sigma_min"], options.evaluations)
    fewer = [t for t in described.get("tuned", []) if len(t["nodes"]) < options.evaluations]
    described["tuned"] = [*fewer, {"method": options.method, "nodes": nodes, "default": True}]
    head["__metadata__"]["pfgm"] = json.dumps(described, separators=(",", ":"))
    encoded = json.dumps(head, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with open(options.model + ".new", "wb") as f:
        f.write(struct.pack("<Q", len(encoded)) + encoded + data)
    os.replace(options.model + ".new", options.model)


main()
