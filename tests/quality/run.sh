#!/usr/bin/env bash
# How good are the images? A classifier trained on Fashion-MNIST judges the models' samples: how often they are of the
# class that was asked for, and how far they are from the test images, beside what training images get (judge.py says
# more). Installs what that needs, builds, prints a table and writes the same as JSON to build-bench/quality.json. The
# first run trains the classifier, a few minutes; with all defaults sampling takes about two hours on two cores.
#
#     bash tests/quality/run.sh [MODEL ...] [-n N] [--solvers default,rk45,heun:18] [--seed S]
#
# Without a MODEL: those of conf/models that make Fashion-MNIST.
set -eu
cd "$(dirname "$0")/../.."
out=build-bench

bash tests/bench/build.sh
mkdir -p "$out/quality"

models=()
while [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; do
    models+=("$1")
    shift
done
[ ${#models[@]} -gt 0 ] || models=(conf/models/fashion*.safetensors)
/usr/bin/python3 tests/quality/judge.py "${models[@]}" --pfgm "$out/src/cli/pfgm" --scratch "$out/quality" \
    --json "$out/quality.json" "$@"
