#!/usr/bin/env bash
# Draws the pictures of docs/field.md again: docs/figures.sh PFGM MODEL
set -eu
pfgm=$1 model=$2
out=$(cd "$(dirname "$0")" && pwd)/img
for figure in field farfield shell lift; do
    "$pfgm" plot "$figure" -o "$out/$figure.png"
done
"$pfgm" plot trajectories "$model" -n 5 -o "$out/trajectories.png"
"$pfgm" plot solvers "$model" -n 64 -o "$out/solvers.png"
