#!/bin/sh
# The documented example writes two different images of the right size, and names a missing model:
# test_example.sh EXAMPLE MODEL (8x8, one channel).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$1" "$2" "$dir/image" >"$dir/told"
[ "$(grep -c "bits per dimension" "$dir/told")" -eq 2 ] || { echo "no likelihoods"; exit 1; }
for i in 0 1; do
    [ "$(head -n 2 "$dir/image$i" | tr '\n' ' ')" = "P5 8 8 " ] || { echo "image$i: header"; exit 1; }
    [ "$(wc -c <"$dir/image$i")" -eq $((11 + 64)) ] || { echo "image$i: size"; exit 1; }
done
if cmp -s "$dir/image0" "$dir/image1"; then echo "both images are the same"; exit 1; fi
if "$1" "$dir/absent.safetensors" "$dir/image" 2>"$dir/error"; then echo "no model, no error"; exit 1; fi
grep -q absent.safetensors "$dir/error"
