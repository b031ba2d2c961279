#!/usr/bin/env bash
# Draws the pictures of docs/field.md again: docs/figures.sh PFGM MODEL SMALL, with the bundled model and the digits
# that `pfgm tune --nfe 6,10,20` has been over. With PFGMD, CHROMIUM and MODULES in the environment (see page.mjs) also the
# picture of the page in README.md. docs/figures.sh PFGM RUN draws those of docs/tutorial.md, of its training's folder.
set -eu
if [ $# -eq 2 ]; then
    pfgm=$1 run=${2%/}
    out=$(cd "$(dirname "$0")" && pwd)/img
    cp "$(find "$run/samples" -name 'step-*.png' | sort | tail -n 1)" "$out/tutorial-sheet.png"
    cp "$run/loss.png" "$out/tutorial-loss.png"
    "$pfgm" sample "$run/model.safetensors" --class each -n 16 --columns 2 --seed 7 --scale 2 -o "$out/tutorial-classes.png"
    exit 0
fi
pfgm=$1 model=$2 small=$3
here=$(cd "$(dirname "$0")" && pwd)
out=$here/img
for figure in field farfield shell lift prior; do
    "$pfgm" plot "$figure" -o "$out/$figure.png"
done
"$pfgm" plot trajectories "$model" -n 6 -o "$out/trajectories.png"
"$pfgm" plot solvers "$small" -n 64 -o "$out/solvers.png"
[ -z "${PFGMD:-}" ] || MODEL=$model node "$here/page.mjs" "$out/page.png"
