#!/usr/bin/env bash
# From a fresh clone on Debian 12 to pictures: installs what is missing, builds, starts pfgmd on the bundled model
# and saves a sheet of forty samples as samples.png.
#
#   bash conf/quickstart.sh          and leave the daemon serving
#   bash conf/quickstart.sh --once   and stop it after the picture, unless it ran before
#   bash conf/quickstart.sh --stop   stop the daemon that an earlier run left; its jobs stay in .quickstart/jobs
#
# PFGMD_PORT (8080) is the port on 127.0.0.1; when it is taken, any free one is used and said.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
state=$root/.quickstart
picture=$root/samples.png
model=conf/models/fashion.safetensors

say() { printf '%s\n' "$@"; }
fail() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# The process that an earlier run started, if it still is a pfgmd of ours.
running() {
    [ -f "$state/pid" ] || return 1
    pid=$(cat "$state/pid")
    kill -0 "$pid" 2>/dev/null || return 1
    [ ! -e "/proc/$pid/exe" ] || case "$(readlink "/proc/$pid/exe")" in "$root"/build/*pfgmd*) ;; *) return 1 ;; esac
}

# Jobs stay: they go on, and are to be had, after the next start.
forget() { rm -f "$state/pid" "$state/address" "$state/log"; }
stop() {
    if ! running; then
        forget
        return 1
    fi
    kill -TERM "$pid"
    for _ in $(seq 400); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    ! kill -0 "$pid" 2>/dev/null || fail "process $pid does not end; its log is $state/log"
    forget
}

# Starts pfgmd on port $1 and waits until it listens; sets `address`.
start() {
    mkdir -p "$state"
    nohup env -u PFGMD_PORT build/src/daemon/pfgmd --model "fashion=$model" --listen "127.0.0.1:$1" --state "$state/jobs" \
        >"$state/log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$state/pid"
    for _ in $(seq 100); do
        address=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$state/log" | head -n 1)
        [ -z "$address" ] || return 0
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

once=no
case "${1:-}" in
'') ;;
--once) once=yes ;;
--stop)
    if stop; then say "pfgmd is stopped."; else say "No pfgmd of this quickstart is running."; fi
    exit 0
    ;;
*)
    fail "unknown option $1; it knows --once and --stop"
    ;;
esac

bash conf/deps.sh build
if [ ! -f build/build.ninja ]; then
    say "Configuring…"
    meson setup build -Dtests=false >build.log 2>&1 || { cat build.log >&2; fail "meson setup failed"; }
    rm -f build.log
fi
# On a terminal ninja's own line of progress is shown; elsewhere its output only when it fails.
say "Building, a few minutes the first time…"
if [ -t 1 ]; then
    ninja -C build || fail "the build failed"
else
    output=$(ninja -C build 2>&1) || { printf '%s\n' "$output" >&2; fail "the build failed"; }
fi

begun=no
if running; then
    address=$(cat "$state/address")
    say "pfgmd is running already (process $pid)."
else
    start "${PFGMD_PORT:-8080}" || start 0 || { cat "$state/log" >&2; fail "pfgmd did not start"; }
    echo "$address" >"$state/address"
    begun=yes
fi

for _ in $(seq 300); do
    [ "$(curl -s -o /dev/null -w '%{http_code}' "http://$address/readyz")" = 200 ] && break
    kill -0 "$pid" 2>/dev/null || { cat "$state/log" >&2; fail "pfgmd ended while loading"; }
    sleep 0.1
done

say "Sampling forty images…"
request='{"n": 40, "seed": 7, "grid": {"columns": 10, "scale": 3}}'
curl -sS --fail-with-body -H 'Content-Type: application/json' -H 'Accept: image/png' \
    -d "$request" -o "$picture.part" "http://$address/v1/images" ||
    fail "the request failed: $(cat "$picture.part" 2>/dev/null)"
mv "$picture.part" "$picture"

say "" "The picture:  $picture"
if [ $once$begun = yesyes ]; then
    stop
    say "pfgmd is stopped."
else
    say "The daemon:   http://$address  (process $pid, log $state/log)" \
        "Another:      curl -H 'Accept: image/png' -d '{\"n\": 16, \"grid\": {\"columns\": 4}}' http://$address/v1/images -o more.png" \
        "To stop it:   bash conf/quickstart.sh --stop"
fi
