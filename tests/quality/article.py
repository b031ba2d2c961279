"""The articles' claims, measured.

shares      how often lines end on each of a few sources, against how far the plane t = T is: the largest error of a
            share. Exact fields, drawn by `pfgm sample`.
bias        what the normalised objective learns with a large batch of B images, against the field of all images, by the
            range of t (objective_bias.c).
robustness  PFGM, PFGM++ with D = 128, and D = infinity (diffusion) at two sizes of network and equal training, on
            Fashion-MNIST at 14 x 14 pixels: energy distance of samples to held-out images (of images to images about 0)
            against the number of steps, for Euler's method (robust to the size of steps?) and each model's own
            sampler, and the same models with every weight rounded to few bits (robust to weak networks?).

Standard library only."""

import argparse
import json
import math
import os
import random
import struct
import subprocess
import sys

DATA = "/usr/share/datasets/fashion-mnist"
TRAIN = os.path.join(DATA, "train-images-idx3-ubyte.gz")
TEST = os.path.join(DATA, "t10k-images-idx3-ubyte.gz")
SOURCES, RADII, LINES = 5, (1, 2, 3, 5, 10, 20, 40), 100000
NETWORKS = {"small": {"nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1},
            "larger": {"nf": 16, "ch_mult": [1, 2], "num_res_blocks": 2}}
OBJECTIVES = {"PFGM": {"objective": "pfgm"},
              "D = 128": {"objective": "pfgmpp", "D": 128},
              "D = inf": {"objective": "pfgmpp", "D": "inf"}}
WAYS = [("euler", k) for k in (5, 10, 20, 50, 100)] + [("heun", k) for k in (5, 9, 18)]
BITS = (None, 6, 5, 4)
SAMPLES = 1000


def run(*words):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def npy(shape, values):
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s,), }" % ", ".join(map(str, shape))
    text += " " * (-(11 + len(text)) % 64) + "\n"
    return (b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() +
            struct.pack("<%df" % len(values), *values))


def read_npy(path):
    with open(path, "rb") as f:
        data = f.read()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    return struct.unpack("<%df" % ((len(data) - start) // 4), data[start:])


def shares(o):
    rng = random.Random(3)
    points = [(rng.gauss(0, 1), rng.gauss(0, 1)) for _ in range(SOURCES)]
    middle = [sum(p[k] for p in points) / SOURCES for k in (0, 1)]
    radius = max(math.dist(p, middle) for p in points)
    data, model, out = (os.path.join(o.scratch, n) for n in
                        ("sources.npy", "sources.safetensors", "ends.npy"))
    with open(data, "wb") as f:
        f.write(npy((SOURCES, 2), [v for p in points for v in p]))
    rows = []
    for radii in RADII:
        run(o.pfgm, "convert", "--exact", data, "--t-max", radii * radius, "--t-min", 1e-3, "-o", model)
        run(o.pfgm, "sample", model, "-n", LINES, "--seed", 1, "--solver", "multistep3", "--steps", 60,
            "-o", out)
        ends = read_npy(out)
        counts = [0] * SOURCES
        for x in zip(ends[::2], ends[1::2]):
            counts[min(range(SOURCES), key=lambda k: math.dist(points[k], x))] += 1
        errors = [c / LINES * SOURCES - 1 for c in counts]
        rows.append({"radii": radii, "worst": max(map(abs, errors)),
                     "root_mean_square": math.sqrt(sum(v * v for v in errors) / SOURCES)})
    noise = math.sqrt((SOURCES - 1) / LINES)
    table = ["| T over the radius | largest error of a share | root mean square |", "|---|---|---|"]
    table += ["| %g | %.1f %% | %.2f %% |" % (r["radii"], 100 * r["worst"],
                                           100 * r["root_mean_square"]) for r in rows]
    table += ["", "%d lines to %d sources; chance alone gives a root mean square of %.2f %%." % (
        LINES, SOURCES, 100 * noise)]
    return rows, table


def bias(o):
    rows = json.loads(run(o.bias, TRAIN))["rows"]
    batches = sorted({r["large_batch"] for r in rows})
    table = ["| t | " + " | ".join("B = %d" % b for b in batches) + " |",
             "|---|" + "---|" * len(batches)]
    for low in sorted({r["t_low"] for r in rows}):
        cells = [next(r for r in rows if r["t_low"] == low and r["large_batch"] == b) for b in batches]
        table.append("| %g to %g | " % (low, cells[0]["t_high"]) +
                     " | ".join("%.3f ± %.3f" % (c["bias"], c["spread"]) for c in cells) + " |")
    return rows, table


def rounded(path, bits, out):
    """Every matrix of the file rounded to 2^bits levels between its ends; vectors stay."""
    with open(path, "rb") as f:
        data = f.read()
    length = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + length])
    body = bytearray(data[8 + length:])
    for name, t in head.items():
        if name == "__metadata__" or len(t["shape"]) < 2:
            continue
        begin, end = t["data_offsets"]
        values = struct.unpack("<%df" % ((end - begin) // 4), body[begin:end])
        low, step = min(values), (max(values) - min(values)) / (2 ** bits - 1)
        values = [low + round((v - low) / step) * step if step else v for v in values]
        body[begin:end] = struct.pack("<%df" % len(values), *values)
    with open(out, "wb") as f:
        f.write(data[:8 + length] + body)


def judge(o, model, method, steps):
    found = json.loads(run(o.pfgm, "eval", model, "--data", TEST, "--resize", 14, "-n", SAMPLES,
                           "--solver", method, "--steps", steps, "--loss-points", 0, "--json"))
    return found["energy_distance"]


def robustness(o):
    rows = []
    for size, network in NETWORKS.items():
        for name, objective in OBJECTIVES.items():
            folder = os.path.join(o.scratch, "%s-%s" % (size, name.replace(" ", "").replace("=", "")))
            model, config = os.path.join(folder, "model.safetensors"), folder + ".json"
            with open(config, "w") as f:
                json.dump(dict(objective, network=network, batch=64, steps=o.steps,
                               learning_rate=1e-3, warmup=200, decay="cosine", ema=0.999, dropout=0,
                               sheet_every=0, log_every=500), f)
            if not os.path.exists(os.path.join(folder, "done")):
                resume = ["--resume"] if os.path.exists(os.path.join(folder, "state.safetensors")) else []
                run(o.pfgm, "train", "--data", TRAIN, "--resize", 14, "-o", folder, "--config", config,
                    *resume)
                open(os.path.join(folder, "done"), "w").close()
            for method, steps in WAYS:
                rows.append({"size": size, "model": name, "bits": None, "method": method,
                             "steps": steps, "energy_distance": judge(o, model, method, steps)})
            for bits in BITS[1:]:
                rounded(model, bits, folder + "-rounded.safetensors")
                rows.append({"size": size, "model": name, "bits": bits, "method": "heun", "steps": 18,
                             "energy_distance": judge(o, folder + "-rounded.safetensors", "heun", 18)})
            print("trained and judged: %s, %s" % (size, name), file=sys.stderr)

    def cell(**wanted):
        return "%.3f" % next(r["energy_distance"] for r in rows if all(r[k] == v for k, v in wanted.items()))

    table = ["| network, model | " + " | ".join("%s %d" % w for w in WAYS) + " |",
             "|---|" + "---|" * len(WAYS)]
    for size in NETWORKS:
        for name in OBJECTIVES:
            table.append("| %s, %s | " % (size, name) + " | ".join(
                cell(size=size, model=name, bits=None, method=m, steps=k) for m, k in WAYS) + " |")
    table += ["", "| network, model, heun 18 | " + " | ".join(
        "%d bits" % b if b else "32 bits" for b in BITS) + " |", "|---|" + "---|" * len(BITS)]
    for size in NETWORKS:
        for name in OBJECTIVES:
            table.append("| %s, %s | " % (size, name) + " | ".join(
                cell(size=size, model=name, bits=b, method="heun", steps=18) for b in BITS) + " |")
    return rows, table


def main():
    parser = argparse.ArgumentParser()
    for name in ("pfgm", "bias", "scratch"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--only", default="shares,bias,robustness")
    parser.add_argument("--steps", type=int, default=1500)
    o = parser.parse_args()
    measures = {"shares": shares, "bias": bias, "robustness": robustness}
    found = {}
    for name in o.only.split(","):
        found[name], table = measures[name](o)
        print("## %s\n\n%s\n" % (name, "\n".join(table)), flush=True)
        with open(os.path.join(o.scratch, "article.%s.md" % name), "w") as f:
            f.write("\n".join(table) + "\n")
        with open(os.path.join(o.scratch, "article.%s.json" % name), "w") as f:
            json.dump(found[name], f, indent=1)


if __name__ == "__main__":
    main()
