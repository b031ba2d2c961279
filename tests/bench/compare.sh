#!/usr/bin/env bash
# pfgm against PyTorch and oneDNN on this machine: installs what that needs, builds, measures both sides alternately in
# one run and prints medians and ratios; the same as JSON. A few minutes; everything it writes is in build-bench.
#
#     bash tests/bench/compare.sh [--rounds N] [--budget SECONDS]
set -eu
cd "$(dirname "$0")/../.."
out=build-bench
golden=tests/data/golden/pfgm_fashion28.golden.safetensors

bash tests/bench/build.sh
gcc -std=gnu11 -O2 -Wall -Wextra -Wconversion -Wshadow tests/bench/conv_onednn.c -ldnnl -o "$out/conv_onednn"

scratch=$(mktemp -d "$out/compare.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
/usr/bin/python3 tests/bench/torch_ddpmpp.py write cifar10-ddpmpp "$scratch/cifar10-ddpmpp.safetensors"
/usr/bin/python3 tests/bench/compare.py --pfgm "$out/src/cli/pfgm" --onednn "$out/conv_onednn" \
    --large "$scratch/cifar10-ddpmpp.safetensors" --small conf/models/fashion28.safetensors \
    --golden "$golden" --scratch "$scratch" --json "$out/compare.json" "$@"
