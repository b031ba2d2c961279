#!/usr/bin/env bash
# Every test: installs what is missing, builds, runs all tests, then again those that read, write or compute something
# of their own under the address and undefined-behaviour sanitizers, and the threaded ones under the thread sanitizer.
# What compares words and numbers is sanitized at night (nightly.sh leaks). Ends with "N passed, N failed".
# The builds stay in build-test, build-asan and build-tsan, so a second run is quick.
set -eu
cd "$(dirname "$0")/.."
bash conf/deps.sh test

# The sanitizers read their memory map there; a bare chroot has none mounted.
if [ ! -e /proc/self/maps ] && ! mount -t proc proc /proc 2>/dev/null; then
    echo "tests: /proc is not mounted, and the sanitizers need it: mount -t proc proc /proc" >&2
    exit 1
fi

# What the tests of a suite need of a configured folder, as ninja's targets.
targets() {
    python3 - "$1" "$2" <<'PY'
import json, os, subprocess, sys
folder, suite = sys.argv[1:]
def ask(what):
    return json.loads(subprocess.check_output(["meson", "introspect", what, folder]))
needed = {d for t in ask("--tests") if any(s.split(":")[-1] == suite for s in t["suite"]) for d in t["depends"]}
files = [f for t in ask("--targets") if t["id"] in needed for f in t["filename"]]
print(*(os.path.relpath(f, folder) for f in files))
PY
}
# build FOLDER SANITIZER [SUITE]
build() {
    local folder=$1 sanitizer=$2 suite=${3:-}
    echo "== $folder is built"
    if [ ! -f "$folder/build.ninja" ]; then
        meson setup "$folder" -Dsan="$sanitizer" >/dev/null || {
            cat "$folder/meson-logs/meson-log.txt" >&2
            return 1
        }
    fi
    local needed=()
    if [ -n "$suite" ]; then
        read -ra needed <<<"$(targets "$folder" "$suite")"
    fi
    # On a terminal ninja's own line of progress is shown; elsewhere its output only when it fails.
    if [ -t 1 ]; then
        ninja -C "$folder" ${needed[@]+"${needed[@]}"}
    else
        ninja -C "$folder" ${needed[@]+"${needed[@]}"} >"$folder/ninja.log" 2>&1 || {
            cat "$folder/ninja.log" >&2
            return 1
        }
    fi
}
# check FOLDER NAME COUNT ARGUMENTS: those tests, so many at once; NAME is that of their log
check() {
    local folder=$1 name=$2 count=$3
    shift 3
    echo "== $folder is tested"
    rm -f "$folder/meson-logs/$name.json"
    meson test -C "$folder" --no-rebuild --print-errorlogs --num-processes "$count" --logbase "$name" "$@" || true
}
# beside LOG COMMAND ARGUMENTS: one of the two above while something else is done, in a session of its own, so that it
# ends with all that it started when this script does.
export -f build targets check
companion=
beside() {
    companion_log=$1
    shift
    setsid bash -euc '"$@"' bash "$@" >"$companion_log" 2>&1 &
    companion=$!
}
# Waits for it and shows what it printed; the result is its own.
join() {
    local result=0
    wait "$companion" || result=$?
    companion=
    cat "$companion_log"
    return "$result"
}
finish() { [ -z "$companion" ] || kill -TERM -- "-$companion" 2>/dev/null || true; }
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:strict_string_checks=1
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
build build-test none
# Many tests wait for most of their time, so the sanitizers' programs are built meanwhile, behind them: some kernels share
# the processor by sessions before they look at niceness.
build_sanitizers() {
    { echo 19 >/proc/self/autogroup; } 2>/dev/null || true
    renice -n 19 $$ >/dev/null
    build build-asan address
    build build-tsan thread threads
}
export -f build_sanitizers
beside build-test/sanitizers.log build_sanitizers
check build-test testlog $(($(nproc) + 1)) --no-suite alone
join
beside build-tsan/tests.log check build-tsan testlog 1 --suite threads --no-suite alone
check build-asan testlog $((2 * $(nproc))) --no-suite numbers --no-suite alone
join
# Nothing else runs from here on.
for folder in build-test build-asan build-tsan; do
    check "$folder" testlog-alone 1 --suite alone
done

# What the field's tests measured, of the plain build: the numbers in docs/field.md.
python3 - build-test/meson-logs/testlog.json <<'PY'
import json, sys
for line in open(sys.argv[1]):
    r = json.loads(line)
    name = r["name"].split(" / ")[-1]
    if name in ("field prior", "field derivative", "ode flow", "ode density", "ode orders", "ode multistep", "ode rk45_trace"):
        print(f"== {name}")
        print("\n".join(l for l in r.get("stdout", "").splitlines() if l.strip() and l[0] not in "[ "))
PY

# Every test must have left its line; a suite that ran nothing is a failure too.
python3 - build-{test,asan,tsan}/meson-logs/testlog{,-alone}.json <<'PY'
import json, sys
passed = failed = 0
for path in sys.argv[1:]:
    results = [json.loads(line) for line in open(path)]
    if not results:
        print(f"{path}: no test ran")
        failed += 1
    for r in results:
        if r["result"] in ("OK", "EXPECTEDFAIL"):
            passed += 1
        else:
            failed += 1
            print(f"FAILED {path.split('/')[0]}: {r['name']} ({r['result']})")
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
PY
