#!/usr/bin/env bash
# The units as they are installed: nothing for systemd-analyze to complain about, little exposure, and a life under a real
# manager in a container: start by notification, socket, reload, a stopped process found by the watchdog, kill -9, and
# the same picture, the kept file and the job after each.
# Usage: tests/systemd.sh [BASE.tar], Debian with systemd-sysv and curl, which is made where it is not there yet. Root.
set -eu
cd "$(dirname "$0")/.."
. tests/container_lib.sh
if ! command -v systemd-analyze >/dev/null; then
    echo "systemd: skipped, as systemd-analyze (package systemd) is missing"
    exit 0
fi
containers_begin
bash conf/deps.sh build

{
    meson setup "$scratch/build" --prefix=/usr -Dtests=false
    ninja -C "$scratch/build"
    DESTDIR=$scratch/tree/files meson install -C "$scratch/build" --no-rebuild
} >"$scratch/build.log" 2>&1 || {
    tail -n 30 "$scratch/build.log" >&2
    fail "the tree does not build"
}
units=$scratch/tree/files/usr/lib/systemd/system

# verify wants to see the program, which lies elsewhere here. A faulty setting is a warning with exit code 0 unless
# it is told otherwise, so the silence is looked at too.
mkdir "$scratch/units"
sed "s|/usr/bin/pfgmd|$scratch/tree/files&|" "$units/pfgmd.service" >"$scratch/units/pfgmd.service"
cp "$units/pfgmd.socket" "$scratch/units/"
said=$(systemd-analyze verify --recursive-errors=yes --man=no "$scratch/units/"pfgmd.* 2>&1) || fail "verify: $said"
[ -z "$said" ] || fail "verify: $said"
# The threshold is in tenths of the figure that is printed.
systemd-analyze security --offline=true --threshold=12 "$units/pfgmd.service" >"$scratch/security" 2>&1 || {
    cat "$scratch/security" >&2
    fail "the unit is exposed more than 1.2"
}
sed -n 's/^→ *\(.*[0-9.]*\) .*/\1/p' "$scratch/security"

base=${1:-$scratch/base.tar}
[ -f "$base" ] || containers_base "$base" systemd-sysv,curl
podman_run import -q "$base" localhost/manager-base >/dev/null
cp conf/deps.sh "$scratch/tree/"
# A watchdog that the test need not wait half a minute for; all else is as installed.
mkdir -p "$scratch/tree/files/etc/systemd/system/pfgmd.service.d"
printf '[Service]\nWatchdogSec=4\n' >"$scratch/tree/files/etc/systemd/system/pfgmd.service.d/test.conf"
cat >"$scratch/tree/Dockerfile" <<'D'
FROM localhost/manager-base
COPY deps.sh /tmp/deps.sh
RUN bash /tmp/deps.sh run
COPY files/ /
CMD ["/sbin/init"]
D
buildah_run bud --isolation chroot --pull=never --format docker -t manager:test "$scratch/tree" >"$scratch/bud.log" 2>&1 || {
    tail -n 30 "$scratch/bud.log" >&2
    fail "the manager's image does not build"
}
podman_run run -d --name m --systemd=always --privileged manager:test >/dev/null

inside() {
    podman_run exec m "$@"
}
of_service() {
    inside systemctl show --property="$1" --value pfgmd.service
}
give_up() {
    inside systemctl status --no-pager pfgmd.service >&2 || true
    inside journalctl --no-pager -n 30 -u pfgmd.service >&2 || true
    fail "$@"
}
manager_is_up() {
    local state
    state=$(inside systemctl is-system-running 2>/dev/null) || true
    [ "$state" = running ] || [ "$state" = degraded ]
}
# restarted COUNT: as many restarts were made and the service is ready again.
restarted() {
    [ "$(of_service NRestarts)" -ge "$1" ] && [ "$(of_service ActiveState)" = active ]
}
# same_picture WHEN: the daemon answers, and with the bytes of the first time.
same_picture() {
    inside curl -fsS -m 120 -d '{"seed":7}' -H 'Accept: image/png' http://127.0.0.1:8080/v1/images >"$scratch/now.png" ||
        give_up "no image $1"
    [ -f "$scratch/first.png" ] || cp "$scratch/now.png" "$scratch/first.png"
    cmp "$scratch/first.png" "$scratch/now.png" || fail "another picture $1"
    [ "$(inside cat /var/lib/pfgmd/kept)" = whole ] || fail "the state is not whole $1"
    inside curl -fsS -m 60 "http://127.0.0.1:8080/v1/jobs/$job" >"$scratch/job" || give_up "the job is gone $1"
}

wait_for 60 manager_is_up || fail "the manager does not come up"
inside systemctl start pfgmd.service || give_up "the service does not start"
inside sh -c 'echo whole >/var/lib/pfgmd/kept'
job=$(inside curl -fsS -m 60 -d '{"n":100,"seed":7}' http://127.0.0.1:8080/v1/jobs | sed 's/^{"id":"\([^"]*\)".*/\1/')
same_picture "after the start"
pid=$(of_service MainPID)
status=$(inside sed -n 's/^\(CapEff\|NoNewPrivs\|Seccomp\):\t*//p' "/proc/$pid/status" | tr '\n' ' ')
[ "$status" = "0000000000000000 1 2 " ] || fail "capabilities, privileges or filter are not as they should be: $status"
[ "$(inside stat -c %u "/proc/$pid")" -ge 61184 ] || fail "the user is not a dynamic one"
inside curl -fsS --unix-socket /run/pfgmd/admin.sock http://localhost/metrics >"$scratch/metrics" || give_up "no admin socket"
for name in process_start_time_seconds process_open_fds process_cpu_seconds_total process_resident_memory_bytes; do
    grep -q "^$name [0-9]" "$scratch/metrics" || fail "the sandbox hides $name"
done
inside systemctl reload pfgmd.service || give_up "reload"
[ "$(of_service MainPID)" = "$pid" ] || fail "reload was a restart"
same_picture "after the reload"
echo "start and reload: as they should"

inside sh -c "kill -STOP $pid"
wait_for 60 restarted 1 || give_up "the watchdog did not restart a stopped process"
[ "$(of_service MainPID)" != "$pid" ] || fail "the stopped process is still there"
same_picture "after the watchdog"
echo "watchdog: restarted"

inside sh -c "kill -KILL $(of_service MainPID)"
wait_for 60 restarted 2 || give_up "no restart after SIGKILL"
same_picture "after SIGKILL"
job_is_done() {
    inside curl -fsS -m 60 "http://127.0.0.1:8080/v1/jobs/$job" | grep -q '"state":"succeeded"'
}
wait_for 300 job_is_done || give_up "the job did not go on after SIGKILL"
echo "kill -9: restarted, and the job went on"

inside systemctl stop pfgmd.service
[ "$(of_service Result)" = success ] || give_up "stop"
inside systemctl start pfgmd.socket || fail "the socket does not start"
# The first connection starts the service, which answers 503 while it loads.
inside curl -sS -m 60 -o /dev/null http://127.0.0.1:8080/readyz || give_up "the socket takes no connection"
is_active() {
    [ "$(of_service ActiveState)" = active ]
}
wait_for 60 is_active || give_up "the socket did not start the service"
same_picture "by the socket"
inside systemctl restart pfgmd.service &
restart=$!
for _ in 1 2 3 4; do
    # 503 while it loads is an answer; a refused connection is not.
    inside curl -sS -m 60 -o /dev/null http://127.0.0.1:8080/livez || fail "a connection was refused during a restart"
done
wait "$restart" || give_up "restart with the socket"
same_picture "after a restart with the socket"
inside systemctl stop pfgmd.socket pfgmd.service
echo "socket: no connection refused"
echo "systemd: passed"
