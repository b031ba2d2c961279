"""What guidance costs and gives: of a model that was trained with labels left out, n samples for each way to guide,
judged as judge.py judges. A way is G, or G:T_MIN:T_MAX where it acts on a part of the path alone (an empty bound is
none). Prints a table in Markdown; with --json the same as figures.

    bash tests/bench/build.sh
    /usr/bin/python3 tests/quality/guidance.py conf/models/fashion10.safetensors --pfgm build-bench/src/cli/pfgm \\
        --scratch build-bench/quality -n 2000 --json build-bench/guidance.json
"""

import argparse
import json
import os
import subprocess
import sys

import numpy
import torch

import judge

WAYS = "1,1.25,1.5,2,3"


def words_of(way):
    names = ("--guidance", "--guidance-t-min", "--guidance-t-max")
    return [word for pair in zip(names, way.split(":")) if pair[1] for word in pair]


def sample(o, way):
    path = os.path.join(o.scratch, "guided.npz")
    words = [o.pfgm, "sample", o.model, "-n", str(o.n), "--seed", str(o.seed), "--class", "each", "--json", "-o", path]
    run = subprocess.run(words + words_of(way), stdout=subprocess.PIPE)
    if run.returncode:
        sys.exit(f"guidance {way}: exit code {run.returncode}")
    with numpy.load(path) as arrays:
        images, asked = arrays["arr_0"][..., 0], arrays["class"]
    os.remove(path)
    return images, asked, sum(i["nfe"] for i in json.loads(run.stdout)["images"]) / o.n


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", help="a checkpoint of 28×28 grey images with the ten classes")
    p.add_argument("--ways", default=WAYS, help="G[:T_MIN[:T_MAX]], separated by commas (%(default)s)")
    p.add_argument("-n", type=int, default=2000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--pfgm", required=True, help="the program")
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    p.add_argument("--scratch", required=True, help="folder for the classifier and for samples")
    p.add_argument("--json", help="file for the results")
    return p.parse_args()


def main():
    o = options()
    torch.set_num_threads(1)
    if not judge.describe(o.pfgm, o.model):
        sys.exit(f"{o.model}: knows no classes")
    train_split, test_split = judge.read_split(o.data, "train"), judge.read_split(o.data, "t10k")
    net = judge.classifier(o.scratch, train_split)
    features, found = judge.look(net, test_split[0])
    reference = judge.fit(features)
    least = judge.floor(judge.look(net, train_split[0])[0], train_split[1], o.n, reference)[0]
    real = judge.agreement(found, test_split[1])[0]
    print(f"{o.n} samples each; the floor is {least:.2f}; of real images {real:.3f} are found right\n")
    print("| guidance | evaluations | class agreement | distance | ratio to the floor |\n|---|---:|---:|---:|---:|", flush=True)
    rows = []
    for way in o.ways.split(","):
        images, asked, nfe = sample(o, way)
        features, found = judge.look(net, images)
        distance, agreement = judge.frechet(judge.fit(features), reference), judge.agreement(found, asked)
        rows.append({"way": way, "nfe": nfe, "agreement": agreement[0], "agreement_by_class": agreement[1],
                     "distance": distance, "ratio": distance / least})
        print(f"| {way} | {nfe:.1f} | {agreement[0]:.3f} | {distance:.2f} | {distance / least:.1f} |", flush=True)
        if o.json:
            with open(o.json, "w") as f:
                json.dump({"model": o.model, "n": o.n, "floor": least, "real": real, "rows": rows}, f, indent=2)


if __name__ == "__main__":
    main()
