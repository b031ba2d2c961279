#!/usr/bin/env bash
# Looks for inputs that the program does not survive: libFuzzer on each entrance (tests/fuzz), by turns, for so many hours
# in all. What it has learned stays in a folder, so the next call goes on from there; a finding is printed with its
# reproducer, and the next target has its turn.
#
#     bash tests/fuzz.sh HOURS [TARGET ...]     all targets, unless some are named; 0.5 is half an hour
#     bash tests/fuzz.sh --keep [TARGET ...]    takes what was learned, made as small as it gets, into tests/fuzz/corpus
#     bash tests/fuzz.sh --list
#
# FUZZ_STATE is the folder (build-fuzz/state): TARGET/corpus, TARGET/findings, TARGET.log of the last turn, and times.log
# with the seconds of processor that each turn took. FUZZ_TURN is how long a turn is (600 seconds). One process at a time.
# Ends with 1 when there was a finding. Needs clang (conf/deps.sh fuzz).
set -eu
cd "$(dirname "$0")/.."
build=build-fuzz
state=${FUZZ_STATE:-$build/state}
turn=${FUZZ_TURN:-600}
mapfile -t all < <(sed -n "s/^  '\([a-z]*\)' : 'fuzz_.*/\1/p" tests/fuzz/meson.build)

fail() {
    echo "fuzz: $*" >&2
    exit 2
}

[ $# -gt 0 ] || fail "say for how many hours: tests/fuzz.sh HOURS [TARGET ...]"
what=$1
shift
if [ "$what" = --list ]; then
    printf '%s\n' "${all[@]}"
    exit 0
fi
[ $# -gt 0 ] || set -- "${all[@]}"
for target in "$@"; do
    case " ${all[*]} " in
    *" $target "*) ;;
    *) fail "no target \"$target\"; there are: ${all[*]}" ;;
    esac
done

prepare() {
    command -v clang >/dev/null || bash conf/deps.sh fuzz
    local compiler=clang
    ! command -v ccache >/dev/null || compiler="ccache clang"
    [ -f "$build/build.ninja" ] || CC=$compiler meson setup "$build" -Dsan=fuzz --buildtype=debugoptimized >/dev/null
    ninja -C "$build" "${@/#/tests/fuzz/fuzz_}" >"$build/ninja.log" 2>&1 || {
        cat "$build/ninja.log" >&2
        exit 1
    }
    for target in "$@"; do
        mkdir -p "$state/$target/corpus" "$state/$target/findings"
        [ ! -f "tests/fuzz/corpus/$target.zip" ] ||
            python3 tests/fuzz/pack.py unpack "tests/fuzz/corpus/$target.zip" "$state/$target/corpus"
    done
}

words_of() {
    case $1 in
    kserve) echo request ;;
    head | multipart) echo connection ;;
    torch) echo pickle ;;
    safetensors | training) echo description ;;
    idx) echo dataset ;;
    keys) echo config ;;
    written) ;;
    *) echo "$1" ;;
    esac
}

# The longest input worth trying: what is longer is slower, and says no more.
longest_of() {
    case $1 in
    connection | multipart | head) echo 4096 ;;
    config | torch | dataset) echo 16384 ;;
    *) echo 8192 ;;
    esac
}

options_of() {
    local words
    words=$(words_of "$1")
    # A finding is looked for in three ways: a crash, a minute without an end, memory beyond what the machine has.
    echo "-max_len=$(longest_of "$1") -timeout=60 -rss_limit_mb=3000 -artifact_prefix=$state/$1/findings/ ${words:+-dict=tests/fuzz/dict/$words.dict}"
}

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1:handle_abort=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
ulimit -c 0

# run_turn TARGET SECONDS
run_turn() {
    local TIMEFORMAT='%U %S' before after
    before=$(find "$state/$1/findings" -type f | sort)
    # shellcheck disable=SC2046 # the options are words
    { time "$build/tests/fuzz/fuzz_$1" $(options_of "$1") -max_total_time="$2" -print_final_stats=1 \
        "$state/$1/corpus" >"$state/$1.log" 2>&1 || true; } 2>"$state/time"
    echo "$1 $(tail -n 1 "$state/time")" >>"$state/times.log"
    after=$(find "$state/$1/findings" -type f | sort)
    echo "$1: $(find "$state/$1/corpus" -type f | wc -l) inputs, $(sed -n 's/^stat::number_of_executed_units: *//p' "$state/$1.log") tried"
    [ "$before" != "$after" ] || return 0
    found=1
    comm -13 <(echo "$before") <(echo "$after") | while read -r file; do
        cp "$state/$1.log" "$file.log"
        echo "FOUND $file (its report: $file.log)"
    done
    grep -m 3 -E 'ERROR|SUMMARY|does not hold|are allocated' "$state/$1.log" || true
}

prepare "$@"
if [ "$what" = --keep ]; then
    for target in "$@"; do
        small=$(mktemp -d)
        # shellcheck disable=SC2046
        "$build/tests/fuzz/fuzz_$target" $(options_of "$target") -merge=1 "$small" "$state/$target/corpus" >"$state/$target.log" 2>&1
        python3 tests/fuzz/pack.py pack "$small" "tests/fuzz/corpus/$target.zip"
        rm -rf "$small"
    done
    exit 0
fi
seconds=$(awk -v hours="$what" 'BEGIN { if (hours + 0 <= 0) exit 1; printf "%d", hours * 3600 }') || fail "\"$what\" is no number of hours"
end=$((SECONDS + seconds)) found=0
[ $((seconds / $#)) -ge "$turn" ] || turn=$((seconds / $# > 0 ? seconds / $# : 1))
while [ $SECONDS -lt $end ]; do
    for target in "$@"; do
        [ $SECONDS -lt $end ] && run_turn "$target" "$turn"
    done
done
echo "seconds of processor so far:"
awk '{ s[$1] += $2 + $3 } END { for (t in s) printf "  %-12s %.0f\n", t, s[t] }' "$state/times.log" | sort
exit $found
