#!/usr/bin/env bash
# The Dockerfile as it stands, without a Docker engine: its base by mmdebstrap, built by buildah, run by podman with a
# read-only root, no capabilities and 512 MB; it must be healthy, make an image, end within 2 s of "stop" when idle, and
# go on with a job in another container that gets the same volume.
# Usage: tests/container.sh [BASE.tar], which is made where it is not there yet. About two minutes; root.
set -eu
cd "$(dirname "$0")/.."
. tests/container_lib.sh
containers_begin

base=${1:-$scratch/base.tar}
[ -f "$base" ] || containers_base "$base"
podman_run import -q "$base" docker.io/library/debian:bookworm-slim >/dev/null
# --pull=never: a base of another name fails at once. --format docker: the other format drops HEALTHCHECK.
buildah_run bud --isolation chroot --pull=never --format docker -t pfgmd:test . >"$scratch/build.log" 2>&1 || {
    tail -n 30 "$scratch/build.log" >&2
    fail "the image does not build"
}

size() {
    podman_run image inspect --format '{{.Size}}' "$1"
}
added=$((($(size pfgmd:test) - $(size docker.io/library/debian:bookworm-slim)) / 1000000))
echo "image: $(($(size pfgmd:test) / 1000000)) MB, $added MB over its base"
[ "$added" -le 120 ] || fail "the image is more than 120 MB over its base"

# begin NAME: a container with the volume "kept"; sets `address` and waits until it is ready.
begin() {
    podman_run run -d --name "$1" -p 127.0.0.1::8080 --read-only --cap-drop all --security-opt no-new-privileges \
        --memory 512m --pids-limit 64 -v kept:/var/lib/pfgmd pfgmd:test >/dev/null
    address=$(podman_run port "$1" 8080/tcp | head -n 1)
    wait_for 60 curl -fso /dev/null "http://$address/readyz" || {
        podman_run logs "$1" >&2
        fail "not ready within 60 s"
    }
}
started=$(date +%s%N)
begin t
echo "ready: $((($(date +%s%N) - started) / 1000000)) ms after its start"

status=$(podman_run exec t sed -n 's/^\(Uid\|CapEff\|CapBnd\|NoNewPrivs\):\t*//p' /proc/1/status | tr '\t\n' '  ')
[ "$status" = "65532 65532 65532 65532 0000000000000000 0000000000000000 1 " ] ||
    fail "user, capabilities or privileges are not as they should be: $status"
podman_run exec t grep -q ' / [a-z]* ro[, ]' /proc/mounts || fail "the root file system can be written"
podman_run healthcheck run t || fail "HEALTHCHECK says that it is not healthy"
version=$(podman_run exec t pfgmd --version)
label=$(podman_run image inspect --format '{{index .Labels "org.opencontainers.image.version"}}' pfgmd:test)
[ "$version" = "pfgmd $label" ] || fail "the label says version $label, the program $version"
podman_run exec t pfgm --version >/dev/null || fail "pfgm does not start in the image"

ask() {
    curl -fsS -m 120 -H 'Accept: image/png' -d '{"n":4,"seed":7,"grid":{"columns":2}}' \
        "http://$address/v1/images" -o "$scratch/$1.png"
}
if ! ask first || ! ask second; then
    podman_run logs t >&2
    fail "no image"
fi
[ "$(head -c 8 "$scratch/first.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "the answer is not a PNG"
cmp "$scratch/first.png" "$scratch/second.png" || fail "the same seed made another picture"
echo "picture: $(wc -c <"$scratch/first.png") bytes"

# A job that the first container does not end, and the second one does.
job=$(curl -fsS -m 60 -d '{"n":300,"seed":7}' "http://$address/v1/jobs" | sed 's/^{"id":"\([^"]*\)".*/\1/')
curl -fsS "http://$address/readyz?verbose" | grep -q '"jobs"' || fail "the container keeps no jobs"
some_are_there() {
    curl -fsS -m 60 "http://$address/v1/jobs/$job" | grep -q '"images_done":[1-9]'
}
wait_for 60 some_are_there || fail "the job does not begin"
podman_run kill -s KILL t >/dev/null
begin u
curl -fsS -m 600 "http://$address/v1/jobs/$job/archive?format=npz" -o "$scratch/job.npz" || fail "the job did not go on"
curl -fsS -m 60 "http://$address/v1/jobs/$job" | grep -q '"state":"succeeded"' || fail "the job did not succeed"
echo "job: went on in another container, $(wc -c <"$scratch/job.npz") bytes"

started=$(date +%s%N)
podman_run stop -t 10 u >/dev/null
took=$((($(date +%s%N) - started) / 1000000))
code=$(podman_run inspect --format '{{.State.ExitCode}}' u)
echo "stop: $took ms, exit code $code"
[ "$code" -eq 0 ] || fail "SIGTERM ended it with exit code $code"
[ "$took" -le 2000 ] || fail "an idle container took $took ms to stop"
echo "container: passed"
