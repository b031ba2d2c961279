#!/usr/bin/env bash
# pfgmd on 64-bit Arm, built here and run in emulation: the unit tests of arithmetic, image files and model files;
# samples and twenty steps of training with the bytes that AVX2 gives; the daemon answering a request. Ends with
# "N passed, N failed"; what each check said is in build-cross/checks.
#
#     tests/cross.sh [bytes] [BUILD]
#
# "bytes" is the build, one image of the smallest model by each solver, and the training. BUILD is a folder in which pfgm is built for x86
# (build-nightly, which is made if it is not there). The root of Debian for arm64, of libraries alone, is made once
# and kept in $XDG_CACHE_HOME, or else ~/.cache.
set -eu
cd "$(dirname "$0")/.."
part=all
[ "${1:-}" != bytes ] || { part=bytes && shift; }
native=${1:-build-nightly}
out=build-cross
bash conf/deps.sh cross

[ "$(uname -m)" = x86_64 ] && grep -q -w avx2 /proc/cpuinfo || {
    echo "cross: needs an x86 processor with AVX2, whose bytes are the measure" >&2
    exit 1
}

# ---- the root ----

. tests/cross_root.sh
cross_root

# ---- the builds ----

mkdir -p "$out/checks"
if [ ! -f "$out/build.ninja" ] || ! grep -q -F "'$root'" "$out/root.ini"; then
    rm -rf "$out"
    mkdir -p "$out/checks"
    printf "[constants]\nroot = '%s'\n" "$root" >"$out/root.ini"
    meson setup "$out" --cross-file "$out/root.ini" --cross-file tests/cross-arm64.ini >/dev/null
fi
rooms=(base field ode nn image ckpt)
tests=()
targets=(src/cli/pfgm)
if [ "$part" = all ]; then
    for room in "${rooms[@]}"; do
        for source in tests/unit/"$room"/test_*.c; do
            name=$(basename "$source" .c)
            tests+=("tests/unit/$room/${room}_$name")
        done
    done
    targets+=(src/daemon/pfgmd "${tests[@]}")
fi
ninja -C "$out" "${targets[@]}" >"$out/checks/build.log" 2>&1 || {
    tail -n 40 "$out/checks/build.log" >&2
    exit 1
}
[ -f "$native/build.ninja" ] || meson setup "$native" -Dtests=false >/dev/null
ninja -C "$native" src/cli/pfgm >/dev/null

# ---- the checks ----

scratch=$(mktemp -d)
daemon=
finish() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT

passed=0 failed=0
# check NAME COMMAND...: a line each, and the command's words in a file.
check() {
    local name=$1 began=$SECONDS
    shift
    if "$@" >"$out/checks/${name//[ \/]/_}.log" 2>&1; then
        passed=$((passed + 1))
        echo "passed $name, $((SECONDS - began)) s"
    else
        failed=$((failed + 1))
        echo "FAILED $name, $((SECONDS - began)) s; the end of what it said:"
        tail -n 20 "$out/checks/${name//[ \/]/_}.log"
    fi
}

arm() {
    qemu-aarch64-static -L "$root" "$@"
}

# One digest for both: the file of samples holds the kernel's id too.
sample_bytes() {
    local model=$1 solver=$2 n=$3
    local choice=()
    [ "$solver" = default ] || choice=(--solver "$solver")
    set -- sample "conf/models/$model.safetensors" --seed 7 -n "$n" ${choice[@]+"${choice[@]}"}
    "$native/src/cli/pfgm" "$@" --kernel avx2 -o "$scratch/x86.safetensors" &&
        arm "$out/src/cli/pfgm" "$@" --kernel neon --workers 2 -o "$scratch/arm.safetensors" &&
        sha256sum "$scratch/x86.safetensors" "$scratch/arm.safetensors" &&
        cmp "$scratch/x86.safetensors" "$scratch/arm.safetensors"
}

# 48 grey pictures of 8 pixels in four classes, by a generator of its own.
make_data() {
    python3 - "$1" <<'PY'
import io, random, struct, sys, zipfile
draw = random.Random(5)
def npy(kind, shape, data):
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("images.npy", npy("|u1", (48, 8, 8), bytes(draw.randrange(256) for _ in range(48 * 64))))
    z.writestr("labels.npy", npy("<i8", (48,), b"".join(struct.pack("<q", i % 4) for i in range(48))))
PY
}

# The weights, the optimiser's state and the losses; a run's other files have times.
train_bytes() {
    make_data "$scratch/data.npz"
    cat >"$scratch/run.json" <<'JSON'
{"network": {"nf": 16, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [4]}, "conditional": true,
 "batch": 16, "large_batch": 32, "warmup": 2, "log_every": 4, "save_every": 100, "sheet_every": 0}
JSON
    set -- train -d "$scratch/data.npz" -c "$scratch/run.json" --steps 20 --threads 2
    "$native/src/cli/pfgm" "$@" --kernel avx2 -o "$scratch/x86" &&
        arm "$out/src/cli/pfgm" "$@" --kernel neon -o "$scratch/arm" &&
        sha256sum "$scratch"/{x86,arm}/{model,state}.safetensors &&
        cmp "$scratch/x86/model.safetensors" "$scratch/arm/model.safetensors" &&
        cmp "$scratch/x86/state.safetensors" "$scratch/arm/state.safetensors" &&
        cmp <(cut -d , -f 1-3 "$scratch/x86/log.csv") <(cut -d , -f 1-3 "$scratch/arm/log.csv")
}

# A picture by HTTP, with the bytes that pfgm writes on x86.
daemon_answers() {
    local log=$scratch/daemon.log address=
    qemu-aarch64-static -L "$root" "$out/src/daemon/pfgmd" --model conf/models/digits8.safetensors \
        --listen 127.0.0.1:0 --kernel neon --workers 1 --batch 1 2>"$log" &
    daemon=$!
    for _ in $(seq 600); do
        address=$(sed -nE 's/.*(127\.0\.0\.1:[1-9][0-9]*).*/\1/p' "$log" | head -n 1)
        [ -z "$address" ] || ! curl -fs "http://$address/readyz" >/dev/null || break
        kill -0 "$daemon" || { cat "$log" && return 1; }
        sleep 0.2
    done
    curl -fsS -H 'Accept: image/png' -d '{"n": 1, "seed": 7}' -o "$scratch/arm.png" "http://$address/v1/images" &&
        "$native/src/cli/pfgm" sample conf/models/digits8.safetensors --seed 7 -n 1 --kernel avx2 \
            -o "$scratch/x86.png" &&
        sha256sum "$scratch"/{x86,arm}.png && cmp "$scratch/x86.png" "$scratch/arm.png" || return 1
    kill "$daemon"
    wait "$daemon" || return 1
    daemon=
}

# Some tests are about this machine's memory or threads, and slow in emulation.
for test in ${tests[@]+"${tests[@]}"}; do
    check "$(basename "$test")" arm "$out/$test"
done
n=4
[ "$part" = all ] || n=1
for solver in default rk45 heun; do
    check "digits8 $solver" sample_bytes digits8 "$solver" "$n"
done
check "training" train_bytes
if [ "$part" = all ]; then
    for solver in default rk45 heun; do
        check "fashion10 $solver" sample_bytes fashion10 "$solver" "$n"
    done
    check "daemon" daemon_answers
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
