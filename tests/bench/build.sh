#!/usr/bin/env bash
# What measures pfgm against others needs: their packages, and the program in build-bench/src/cli/pfgm. Quiet unless it fails.
set -eu
cd "$(dirname "$0")/../.."
out=build-bench

bash conf/deps.sh bench
[ -f "$out/build.ninja" ] || meson setup "$out" -Dtests=false >/dev/null
ninja -C "$out" src/cli/pfgm >"$out/ninja.log" 2>&1 || {
    cat "$out/ninja.log" >&2
    exit 1
}
