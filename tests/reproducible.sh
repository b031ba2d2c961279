#!/usr/bin/env bash
# Builds what is committed twice, in two folders, at two times and in two orders, and compares every byte of what is
# installed. Neither build sees the other's objects. For tests/nightly.sh; about ten minutes on two cores.
set -eu
cd "$(dirname "$0")/.."
bash conf/deps.sh build
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
export CCACHE_DISABLE=1
build() {
    mkdir -p "$top/$1"
    git archive HEAD | tar -x -C "$top/$1"
    (
        cd "$top/$1"
        meson setup build -Dtests=false --prefix=/usr >/dev/null
        ninja -C build -j "$2" >ninja.log 2>&1 || {
            cat ninja.log >&2
            exit 1
        }
        DESTDIR="$top/$1/installed" meson install -C build --no-rebuild >/dev/null
        cd installed
        find . \( -type f -o -type l \) -print0 | sort -z | xargs -0 sha256sum
    )
}
build one "$(nproc)" >"$top/one.txt"
sleep 1 # so that no clock says the same
build another/place 1 >"$top/another.txt"
if ! diff "$top/one.txt" "$top/another.txt"; then
    echo "reproducible: the two builds differ" >&2
    exit 1
fi
echo "$(wc -l <"$top/one.txt") files are the same, byte for byte"
