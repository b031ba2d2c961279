# shellcheck shell=bash
# What tests/container.sh and tests/systemd.sh share: an image store of its own that goes when the script ends, so that
# nothing kept on the machine can hide a missing step, and a podman that also runs where the machine's own limits and
# control groups are narrow. To be sourced by bash with "set -eu", as root, in the root of the tree.
#
# After containers_begin: scratch, the folder for files; podman_run and buildah_run, the two tools in that store.

containers_begin() {
    [ "$(id -u)" -eq 0 ] || {
        echo "$0: needs root, for mmdebstrap and podman" >&2
        exit 1
    }
    bash conf/deps.sh container
    # podman refuses a run-time folder of more than fifty characters.
    scratch=$(mktemp -d /tmp/pfgmd-ct.XXXXXX)
    trap containers_end EXIT
    # runc: crun does not run on hybrid control groups. Limits named, as the defaults need CAP_SYS_RESOURCE.
    cat >"$scratch/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
CONF
    export CONTAINERS_CONF=$scratch/containers.conf
}

podman_run() {
    podman --root "$scratch/root" --runroot "$scratch/run" "$@"
}

buildah_run() {
    buildah --root "$scratch/root" --runroot "$scratch/run" "$@"
}

containers_end() {
    local code=$?
    podman_run rm --all --force --time 2 >/dev/null 2>&1 || true
    # The deepest first; podman does not look after what buildah has mounted.
    findmnt -rno TARGET | grep "^$scratch/" | sort -r | xargs -r -n 1 umount || true
    rm -rf "$scratch"
    exit "$code"
}

# containers_base TAR [PACKAGES]: Debian 12 as small as Docker's "slim", with packages between commas.
containers_base() {
    mmdebstrap --variant=minbase --quiet ${2:+--include="$2"} \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$1"
}

# wait_for SECONDS COMMAND…: until the command succeeds; 1 when it does not in time.
wait_for() {
    local tries=$(($1 * 5))
    shift
    while ! "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
    done
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
