#!/usr/bin/env bash
# How much of src the tests reach: builds with gcov's counters in build-coverage, runs the tests (those of the suites
# that are named, else all), and prints lines and branches of each room and in all. The counters add up over runs;
# "fresh" first begins anew, and "report" prints what is there without running anything. Lines that no test reached
# are in build-coverage/unreached.txt, the largest pieces first.
#
#     bash tests/coverage.sh [fresh] [report | SUITE ...]
#
# The daemon and the command line run as the processes that they are, so what only a real process does counts too. A
# process that is killed leaves no counts: kill -9 is tested, and never counted.
set -eu
cd "$(dirname "$0")/.."
out=build-coverage
bash conf/deps.sh test

# Little is optimised, as merged and moved lines would have no counts of their own; the compiler then sees less, and warns
# of what the plain build does not. Functions are counted before they are put into their callers, so that each branch is
# one branch, and by atomic additions: gcc works out most counts from a few, and one that a thread lost would make others
# wrong. Tests with limits of time get ten times of theirs.
if [ ! -f "$out/build.ninja" ]; then
    meson setup "$out" -Db_coverage=true -Doptimization=1 -Ddebug=true -Dwerror=false \
        -Dc_args="-fno-early-inlining -fprofile-update=atomic" >/dev/null || {
        cat "$out/meson-logs/meson-log.txt" >&2
        exit 1
    }
fi
if [ "${1:-}" = fresh ]; then
    find "$out" -name '*.gcda' -delete
    shift
fi
if [ "${1:-}" != report ]; then
    nice -n 19 ninja -C "$out" >"$out/ninja.log" 2>&1 || {
        cat "$out/ninja.log" >&2
        exit 1
    }
    suites=()
    for suite in "$@"; do
        suites+=(--suite "$suite")
    done
    nice -n 19 meson test -C "$out" --no-rebuild --timeout-multiplier 10 \
        ${suites[@]+"${suites[@]}"} >"$out/tests.log" 2>&1 || {
        echo "these tests did not pass, and what they reach counts all the same:" >&2
        grep -E ' (FAIL|TIMEOUT|ERROR|INTERRUPT) ' "$out/tests.log" >&2 || tail -n 20 "$out/tests.log" >&2
    }
fi
exec python3 tests/coverage.py "$out"
