#!/usr/bin/env bash
# valgrind's memcheck over the portable kernel: what it reads uninitialised no sanitizer sees. The vector bodies are
# beyond what valgrind 3.19 can run. For tests/nightly.sh.
set -eu
cd "$(dirname "$0")/.."
bash conf/deps.sh test
bash conf/deps.sh nightly
out=build-memcheck top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
[ -f "$out/build.ninja" ] || meson setup "$out" -Dtests=false -Doptimization=1 -Ddebug=true -Dwerror=false >/dev/null
ninja -C "$out" >"$out/ninja.log" 2>&1 || {
    cat "$out/ninja.log" >&2
    exit 1
}
check() {
    echo "== pfgm $*"
    valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
        "$out/src/cli/pfgm" "$@" >/dev/null
}
models=conf/models
few=(--kernel c --workers 1 --seed 1 --solver euler --steps 2)
check sample "$models/digits8.safetensors" "${few[@]}" -n 2 -o "$top/a.png"
check sample "$models/fashion10.safetensors" "${few[@]}" -o "$top/b.npz"
check sample "$models/digits8.safetensors" "${few[@]}" -o "$top/one.npy"
check encode "$models/digits8.safetensors" -i "$top/one.npy" --kernel c --workers 1 --rtol 0.5 -o "$top/latents.npy"
check likelihood "$models/digits8.safetensors" -i "$top/one.npy" --kernel c --workers 1 --rtol 0.5
check convert tests/data/golden/pfgmpp_ncsnpp_rgb16_d128.pkl -o "$top/m.safetensors"
check inspect "$top/m.safetensors"
