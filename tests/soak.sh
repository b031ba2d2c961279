#!/usr/bin/env bash
# Everything that clients do, for hours, at a quarter of one processor: requests of all kinds, jobs, a thousand idle
# connections, slow readers and writers, departures, reloads, changes of keys. Once a minute a line of figures: descriptors
# against living sockets, memory, threads, gauges against what they stand for; each 1,000th image is compared with that of
# pfgm sample. Says at the end what was found, and ends with 1 if that is anything.
#
#     bash tests/soak.sh HOURS [--full]    --full: as much of the processors as there is
#     bash tests/soak.sh --plot FILE.svg   draws the figures so far
#
# SOAK_STATE is the folder (build-nightly/soak): run/figures.jsonl, run/findings, run/pfgmd.log, run/soak.svg. SOAK_BUILD is
# the build whose programs are taken (build-nightly, which is then built); they are copied first, so that a build meanwhile
# does not touch them. For hours behind other work: setsid nice -n 19 bash tests/soak.sh 2 >log 2>&1 &
set -eu
cd "$(dirname "$0")/.."
build=${SOAK_BUILD:-build-nightly}
state=${SOAK_STATE:-build-nightly/soak}

fail() {
    echo "soak: $*" >&2
    exit 2
}

export PYTHONDONTWRITEBYTECODE=1 HAVE_SYSTEMD=${HAVE_SYSTEMD:-1} MODELS=$PWD/conf/models CLIENTS=$PWD/clients CONF=$PWD/conf
export PFGMD=$state/bin/pfgmd PFGM=$state/bin/pfgm
if [ "${1:-}" = --plot ]; then
    [ $# -eq 2 ] || fail "say where to: tests/soak.sh --plot FILE.svg"
    exec python3 tests/http/soak.py plot "$state/run" "$2"
fi
[ $# -ge 1 ] || fail "say for how many hours: tests/soak.sh HOURS [--full]"
hours=$1 share=0.25
[ "${2:-}" != --full ] || share=0
if [ -z "${SOAK_BUILD:-}" ]; then
    bash conf/deps.sh test
    [ -f "$build/build.ninja" ] || meson setup "$build" -Dtests=false >/dev/null
    ninja -C "$build" >/dev/null
fi
mkdir -p "$state/bin"
cp "$build/src/daemon/pfgmd" "$build/src/cli/pfgm" "$state/bin/"
exec python3 tests/http/soak.py run "$hours" "$state/run" --share "$share" \
    --every "${SOAK_EVERY:-1000}" --interval "${SOAK_INTERVAL:-60}"
