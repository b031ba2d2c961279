"""What the objectives, their laws of noise levels and their averages make of one network and the same images: each case is
trained by `pfgm train` and judged as judge.py judges. Prints a table in Markdown; with --json the same as figures.

A case is a name of CASES, or NAME=FILE with a configuration that is laid over the common one. Two are trained at once, on
a thread each. What is trained stays in the scratch folder, is used again, and goes on where it was interrupted.

    bash tests/bench/build.sh
    /usr/bin/python3 tests/quality/objectives.py --pfgm build-bench/src/cli/pfgm --scratch build-bench/quality
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

import torch

from judge import Judge, common_options, keep

COMMON = {"network": {"nf": 24, "ch_mult": [1, 2, 2], "num_res_blocks": 1, "attn_resolutions": [7]},
          "conditional": True, "label_dropout": 0.1, "batch": 64, "warmup": 100, "learning_rate": 1e-3, "decay": "cosine",
          "ema": 0.999, "dropout": 0, "seed": 1, "log_every": 100, "save_every": 500, "sheet_every": 0}


def denoiser(d, mean=None, data=None):
    given = {"log_sigma_mean": mean, "sigma_data": data}
    return {"objective": "pfgmpp", "D": d, **{k: v for k, v in given.items() if v is not None}}


CASES = {
    "pfgm": {"objective": "pfgm"},
    "D = 1": denoiser(1),
    "D = 128": denoiser(128),
    "D = 2048": denoiser(2048),
    "D = inf": denoiser("inf"),
    "D = 128, more noise": denoiser(128, 0.2),
    "D = 2048, more noise": denoiser(2048, 0.2),
    "D = inf, more noise": denoiser("inf", 0.2),
    "D = 128, data 0.5": denoiser(128, data=0.5),
    "D = 128, data 0.5, more noise": denoiser(128, -0.3, data=0.5),
}


def folder_of(o, name, config):
    """By the name, for who looks, and by all that the run is."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]
    return os.path.join(o.scratch, "objective-" + "".join(c if c.isalnum() or c in "-." else "_" for c in name) + "-" + digest)


def train(o, name, config):
    """The folder of the run, which is at its end."""
    steps = max(1, o.images // config.get("batch", COMMON["batch"]))
    config = {**COMMON, "steps": steps, "decay_steps": steps // 2, **config}
    folder = folder_of(o, name, config)
    words = [o.pfgm, "train", "--data", os.path.join(o.data, "train-images-idx3-ubyte.gz"), "-o", folder, "--threads", "1",
             "--json"]
    if os.path.exists(os.path.join(folder, "state.safetensors")):
        words.append("--resume")
    else:
        path = folder + ".json"
        with open(path, "w") as f:
            json.dump(config, f)
        words += ["--config", path]
    run = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        print(f"{name}: {run.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return folder


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cases", nargs="*", default=list(CASES), help="names, or NAME=FILE; without one: all")
    p.add_argument("--images", type=int, default=200000, help="of each run, counted with repetition (%(default)s)")
    p.add_argument("--steps", type=int, default=20, help="evaluations of a sample, by multistep3 (%(default)s)")
    p.add_argument("-n", type=int, default=2000, help="samples of each (%(default)s)")
    common_options(p)
    return p.parse_args()


def config_of(case):
    name, _, path = case.partition("=") if case not in CASES else (case, "", "")
    if path:
        with open(path) as f:
            return name, json.load(f)
    if name not in CASES:
        sys.exit(f"{case}: is none of {', '.join(CASES)}, and no NAME=FILE")
    return name, CASES[name]


def judge_one(o, judge, name, folder, model):
    average = model[len("model-ema-"):-len(".safetensors")] or "its own"
    row = judge.row(o, os.path.join(folder, model), name, ["--solver", "multistep3", "--steps", str(o.steps)], o.n)[1]
    print(f"| {name} | {average} | {row['agreement']:.3f} | {row['distance']:.2f} | {row['ratio']:.1f} |", flush=True)
    return {**row, "average": average}


def main():
    o = options()
    torch.set_num_threads(1)
    os.makedirs(o.scratch, exist_ok=True)
    cases = dict(config_of(case) for case in o.cases)
    rows = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {name: pool.submit(train, o, name, config) for name, config in cases.items()}
        judge = Judge(o, [o.n])
        print(f"{o.images} images each, {o.n} samples of {o.steps} evaluations; the floor is {judge.floors[o.n][0]:.2f}; "
              f"of real images {judge.accuracy[0]:.3f} are found right\n")
        print("| objective | average | class agreement | distance | ratio to the floor |\n|---|---|---:|---:|---:|", flush=True)
        for name, run in runs.items():
            folder = run.result()
            for model in sorted(m for m in os.listdir(folder) if m.startswith("model")) if folder else []:
                rows.append(judge_one(o, judge, name, folder, model))
                keep(o, {"images": o.images, "real": judge.accuracy[0], "rows": rows})


if __name__ == "__main__":
    main()
