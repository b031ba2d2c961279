#!/usr/bin/env bash
# pfgm train against PyTorch on this machine: one network of 1 M parameters at 28×28, batch 64, both sides alternately in
# one run, medians and their ratio. PyTorch gets the faster of its two memory formats. About five minutes.
#
#     bash tests/bench/compare_train.sh [ROUNDS] [THREADS]
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-3}
threads=${2:-2}
out=build-bench

bash tests/bench/build.sh
scratch=$(mktemp -d "$out/train.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

/usr/bin/python3 - "$scratch" <<'PYTHON'
import json, sys
import numpy
numpy.save(sys.argv[1] + "/data.npy", numpy.random.default_rng(1).integers(0, 256, (8192, 28, 28), "u1"))
json.dump({"network": {"nf": 24, "ch_mult": [1, 2, 2], "num_res_blocks": 2}, "batch": 64, "large_batch": 1024,
           "dropout": 0, "steps": 60, "log_every": 60, "save_every": 1000000, "sheet_every": 0},
          open(sys.argv[1] + "/config.json", "w"))
PYTHON

ours() {
    rm -rf "$scratch/run"
    "$out/src/cli/pfgm" train --data "$scratch/data.npy" -o "$scratch/run" -c "$scratch/config.json" \
        --threads "$threads" >"$scratch/log"
    tail -1 "$scratch/run/log.csv" | cut -d, -f5
}
theirs() {
    /usr/bin/python3 tests/bench/torch_train.py "$scratch/run/config.json" --threads "$threads" --memory "$1" |
        tee -a "$scratch/torch.json" | sed 's/.*"images_per_second": \([0-9.]*\).*/\1/'
}
for _ in $(seq "$rounds"); do
    ours >>"$scratch/ours"
    theirs contiguous >>"$scratch/contiguous"
    theirs channels_last >>"$scratch/channels_last"
done
features=$(grep -m1 '^flags' /proc/cpuinfo | grep -oE '\b(avx2|avx512f|avx512_bf16|amx_bf16)\b' | sort -u | tr '\n' ' ' || true)
echo "machine  $(grep -m1 '^model name' /proc/cpuinfo | sed 's/.*: //'), $(nproc) processors, $threads threads used; $features"
head -2 "$scratch/log"
head -1 "$scratch/torch.json"
/usr/bin/python3 - "$scratch" <<'PYTHON'
import statistics, sys
median = {n: statistics.median(float(l) for l in open(f"{sys.argv[1]}/{n}")) for n in
          ("ours", "contiguous", "channels_last")}
best = max(median["contiguous"], median["channels_last"])
print("images a second: pfgm %.1f, PyTorch %.1f (contiguous) and %.1f (channels last); ratio to the better %.2f" % (
    median["ours"], median["contiguous"], median["channels_last"], median["ours"] / best))
PYTHON
