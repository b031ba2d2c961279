"""Weights averaged over a longer time than a run has kept: a + k (a − b), where b is the average of a faster rate.

    /usr/bin/python3 conf/train/slower_average.py SLOW.safetensors FAST.safetensors K -o OUT.safetensors

Both are of one run (`ema_others`) and in f32. What the last part of a run still moves in the weights is in b more than
in a, so the step from b to a, taken on, leads towards an average over more steps. How far is measured on held-out
pictures. OUT is in f16. Needs numpy."""

import argparse
import json
import os
import sys

import numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden"))
from safetensors_file import build, split  # noqa: E402


def read(path):
    with open(path, "rb") as f:
        head, data = split(f.read())
    described = head.pop("__metadata__")
    if any(t["dtype"] != "F32" for t in head.values()):
        sys.exit(f"{path}: its tensors are not all F32")
    return described, head, data


def tensor(head, data, name):
    begin, end = head[name]["data_offsets"]
    return numpy.frombuffer(data[begin:end], "<f4").astype(numpy.float64)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("slow", help="the average of the slower rate")
    p.add_argument("fast", help="that of the faster rate, of the same run")
    p.add_argument("k", type=float, help="how far: 0 gives SLOW itself")
    p.add_argument("-o", "--output", required=True)
    options = p.parse_args()
    described, head, data = read(options.slow)
    _, other, faster = read(options.fast)
    if {n: t["shape"] for n, t in head.items()} != {n: t["shape"] for n, t in other.items()}:
        sys.exit(f"{options.fast}: has other tensors than {options.slow}")
    del described["data_digest"]  # that of other data; pfgm tune and pfgm convert write a new one
    written, parts, at = {"__metadata__": described}, [], 0
    for name in sorted(head, key=lambda n: head[n]["data_offsets"]):
        a = tensor(head, data, name)
        w = (a + options.k * (a - tensor(other, faster, name))).astype("<f4").astype("<f2")
        if not numpy.isfinite(w).all():
            sys.exit(f"{name}: a number is too large for f16")
        written[name] = {"dtype": "F16", "shape": head[name]["shape"], "data_offsets": [at, at + w.nbytes]}
        parts.append(w.tobytes())
        at += w.nbytes
    encoded = json.dumps(written, separators=(",", ":")).encode()
    with open(options.output, "wb") as f:
        f.write(build(encoded, b"".join(parts), b" " * (-len(encoded) % 8)))


main()
