"""What guidance costs and gives: of a model that was trained with labels left out, n samples for each way to guide,
judged as judge.py judges. A way is G, or G:T_MIN:T_MAX where it acts on a part of the path alone (an empty bound is
none). Prints a table in Markdown; with --json the same as figures.

    bash tests/bench/build.sh
    /usr/bin/python3 tests/quality/guidance.py conf/models/fashion10.safetensors --pfgm build-bench/src/cli/pfgm \\
        --scratch build-bench/quality -n 2000 --json build-bench/guidance.json
"""

import argparse
import sys

import torch

from judge import Judge, common_options, describe, keep

WAYS = "1,1.25,1.5,2,3"


def options_of(way):
    names = ("--guidance", "--guidance-t-min", "--guidance-t-max")
    return [word for pair in zip(names, way.split(":")) if pair[1] for word in pair]


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", help="a checkpoint of 28×28 grey images with the ten classes")
    p.add_argument("--ways", default=WAYS, help="G[:T_MIN[:T_MAX]], separated by commas (%(default)s)")
    p.add_argument("-n", type=int, default=2000)
    common_options(p)
    return p.parse_args()


def main():
    o = options()
    torch.set_num_threads(1)
    if not describe(o.pfgm, o.model):
        sys.exit(f"{o.model}: knows no classes")
    judge, rows = Judge(o, [o.n]), []
    print(f"{o.n} samples each; the floor is {judge.floors[o.n][0]:.2f}; of real images {judge.accuracy[0]:.3f} are found right\n")
    print("| guidance | evaluations | class agreement | distance | ratio to the floor |\n|---|---:|---:|---:|---:|", flush=True)
    for way in o.ways.split(","):
        row = judge.row(o, o.model, way, options_of(way), o.n)[1]
        rows.append(row)
        print(f"| {way} | {row['nfe']:.1f} | {row['agreement']:.3f} | {row['distance']:.2f} | {row['ratio']:.1f} |", flush=True)
        keep(o, {"real": judge.accuracy[0], "rows": rows})


if __name__ == "__main__":
    main()
