#!/usr/bin/env bash
# What the articles say of PFGM, as tables of this implementation (article.py says which); writes them as Markdown and JSON
# to build-article/. About an hour on two cores; what is trained stays there and is used again.
#
#     bash tests/quality/article.sh [--only shares,bias,robustness] [--steps N]
set -eu
cd "$(dirname "$0")/../.."
out=build-article

bash conf/deps.sh test
bash conf/deps.sh bench
[ -f "$out/build.ninja" ] || meson setup "$out" >/dev/null
ninja -C "$out" src/cli/pfgm tests/quality/objective_bias >"$out/ninja.log" 2>&1 || {
    cat "$out/ninja.log" >&2
    exit 1
}
python3 tests/quality/article.py --pfgm "$out/src/cli/pfgm" --bias "$out/tests/quality/objective_bias" --scratch "$out" "$@"
