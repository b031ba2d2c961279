#!/usr/bin/env bash
# What takes too long for tests/run.sh, one after the other: the daemon under load (storm, throughput), a job, a
# training run and a conversion killed a hundred times each (killed), its contract before judges from elsewhere
# (contract) and behind proxies (proxies, haproxy), what jobs and replicas cost (jobs, replicas), a fleet that loses
# replicas and its NATS server (fleet), signals, limits, disks and networks in every state (matrix), the dearest
# bodies and the container's 512 MB (memory), everything at once for two minutes (soak), the files in conf/ before the
# programs that read them (conf), solvers and runs that take long (golden), whether the command line leaks (leaks),
# the container and the units under a real manager (container, systemd; root), the tutorial's lines on a bare Debian
# (tutorial; root), the same bytes on 64-bit Arm (cross), a release made twice (release), every k of the k-th call
# that fails (fault), what static analysis and valgrind say (analyse, memcheck), pfgm's speed beside PyTorch's and
# oneDNN's (compare, compare_train), and the images of the bundled models before a classifier (quality). Installs what
# is missing, prints a line each and ends with "N passed, N failed"; what each said, with its figures, is in
# build-nightly/NAME.log. About two and a half hours on two cores, two of them quality's; limits of time hold only
# where nothing else runs.
#
#     bash tests/nightly.sh [NAME ...]
set -eu
cd "$(dirname "$0")/.."
out=build-nightly
all=(storm throughput killed contract proxies haproxy jobs replicas fleet matrix memory soak conf golden leaks container
     systemd tutorial cross release fault analyse memcheck compare compare_train quality)

# Only the daemon's checks run what is built here: the others build their own, as users would.
prepare_daemon() {
    bash conf/deps.sh test && bash conf/deps.sh nightly &&
        { [ -f "$out/build.ninja" ] || meson setup "$out" -Dtests=false; } && ninja -C "$out"
}

# Chained, as "set -e" does not hold where an exit code is asked for.
check() {
    case $1 in
    storm | throughput | contract | proxies | haproxy | jobs | replicas | fleet | memory)
        prepare_daemon && sh tests/http/nightly.sh "$out" "$1"
        ;;
    killed)
        prepare_daemon && sh tests/http/nightly.sh "$out" killed &&
            PFGM=$PWD/$out/src/cli/pfgm GOLDEN=$PWD/tests/data/golden SANITIZER=none KILL_ROUNDS=100 \
                python3 tests/golden/test_killed.py -v
        ;;
    matrix)
        bash conf/deps.sh test && { [ -f build-test/build.ninja ] || meson setup build-test; } && ninja -C build-test &&
            MATRIX_NIGHT=1 MATRIX_ROUNDS=10 meson test -C build-test --no-rebuild --suite matrix --verbose
        ;;
    leaks)
        bash conf/deps.sh test && { [ -f build-asan/build.ninja ] || meson setup build-asan -Dsan=address; } &&
            ninja -C build-asan && GOLDEN_LEAKS=1 ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 \
            LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0 \
            meson test -C build-asan --no-rebuild --print-errorlogs --suite golden --suite numbers
        ;;
    golden)
        bash conf/deps.sh test && { [ -f build-test/build.ninja ] || meson setup build-test; } && ninja -C build-test &&
            GOLDEN_NIGHT=1 meson test -C build-test --no-rebuild --verbose "golden solvers" "golden plane"
        ;;
    soak) prepare_daemon && SOAK_BUILD=$out SOAK_EVERY=100 SOAK_INTERVAL=15 bash tests/soak.sh 0.034 --full ;;
    conf) bash conf/deps.sh test && bash conf/deps.sh nightly && bash tests/conf/run.sh "$out/conf-modules" ;;
    container | systemd | tutorial) bash conf/deps.sh container && bash "tests/$1.sh" ;;
    cross) prepare_daemon && bash tests/cross.sh ;;
    release) bash conf/deps.sh cross && bash tests/release.sh ;;
    fault) bash conf/deps.sh test && bash tests/fault/nightly.sh build-test ;;
    analyse | memcheck) bash "tests/$1.sh" ;;
    compare | compare_train) bash "tests/bench/$1.sh" ;;
    quality) bash tests/quality/run.sh ;;
    esac
}

[ $# -gt 0 ] || set -- "${all[@]}"
for name in "$@"; do
    case " ${all[*]} " in
    *" $name "*) ;;
    *)
        echo "nightly: no check \"$name\"; there are: ${all[*]}" >&2
        exit 2
        ;;
    esac
done

mkdir -p "$out"
passed=0 failed=0
for name in "$@"; do
    began=$SECONDS
    if check "$name" >"$out/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "passed $name, $((SECONDS - began)) s"
    else
        failed=$((failed + 1))
        echo "FAILED $name, $((SECONDS - began)) s; the end of $out/$name.log:"
        tail -n 20 "$out/$name.log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
