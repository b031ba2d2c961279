#!/usr/bin/env bash
# Static analysis of src, for tests/nightly.sh: clang-tidy (.clang-tidy says what is off, and why), cppcheck
# (tests/cppcheck.txt likewise), and gcc's -fanalyzer. Prints what they find; succeeds when that is nothing.
#
#     bash tests/analyse.sh [clang-tidy | cppcheck | fanalyzer ...]
set -eu
cd "$(dirname "$0")/.."
out=build-analyse
[ $# -gt 0 ] || set -- clang-tidy cppcheck fanalyzer
bash conf/deps.sh test
bash conf/deps.sh nightly
[ -f "$out/build.ninja" ] || meson setup "$out" -Dtests=false >/dev/null
# What is written while building (the page, the tables of options) is included by what is analysed.
ninja -C "$out" >"$out/ninja.log" 2>&1 || {
    cat "$out/ninja.log" >&2
    exit 1
}
jobs=$(nproc)
# Each source once, however often it is compiled.
mapfile -t sources < <(find src -name '*.c' | sort)
failed=0
for tool in "$@"; do
    echo "== $tool"
    case $tool in
    clang-tidy)
        printf '%s\0' "${sources[@]}" |
            xargs -0 -n 4 -P "$jobs" clang-tidy -p "$out" --quiet 2>"$out/clang-tidy.err" >"$out/clang-tidy.log" && code=0 || code=$?
        found=$(grep -E '(warning|error): ' "$out/clang-tidy.log" | sort -u || true)
        [ "$code" -eq 0 ] || [ -n "$found" ] || found=$(echo "clang-tidy ended with $code" && tail -n 20 "$out/clang-tidy.err")
        ;;
    cppcheck)
        found=$(cppcheck --project="$out/compile_commands.json" -j "$jobs" --enable=warning,portability --inline-suppr \
            --suppressions-list=tests/cppcheck.txt --quiet --template='{file}:{line}: {severity}: {message} [{id}]' 2>&1 | sort -u)
        ;;
    fanalyzer)
        # One compilation of each source; the vector bodies are the same text for other instructions.
        found=$(python3 tests/fanalyzer.py "$out" "$jobs")
        ;;
    *)
        echo "analyse: no tool \"$tool\"" >&2
        exit 2
        ;;
    esac
    if [ -n "$found" ]; then
        echo "$found"
        failed=1
    fi
done
exit "$failed"
