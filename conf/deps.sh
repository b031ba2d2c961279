#!/usr/bin/env bash
# Installs the Debian packages that a purpose needs, if any is missing:
# conf/deps.sh run|build|test|container|nightly|cross|bench|fuzz. With "list" behind it, prints their names instead.
# The one list of packages; quickstart, tests and the Dockerfile use it. Uses sudo when not root.
set -eu

run=(libmicrohttpd12 libjansson4 libpng16-16 libzip4 libgnutls30 libunistring2 libsystemd0
     libcairo2 libsqlite3-0 libnats3.4 libcurl3-gnutls libopenblas0-pthread ca-certificates)
build=(gcc libc6-dev meson ninja-build pkg-config libmicrohttpd-dev libjansson-dev libpng-dev
       libzip-dev zlib1g-dev libgnutls28-dev libunistring-dev libsystemd-dev libcairo2-dev
       libsqlite3-dev libnats-dev libopenblas-dev)
# Any flavour of libcurl will do, and only one can be installed
pkg-config --exists libcurl 2>/dev/null || build+=(libcurl4-gnutls-dev)
case "${1:-}" in
run) packages=("${run[@]}") ;;
build) packages=("${build[@]}" curl ca-certificates) ;;
test) packages=("${build[@]}" curl ca-certificates libcmocka-dev libasan8 libubsan1 libtsan2 python3 procps chromium-headless-shell haproxy
        nats-server openssl locales)
    # npm may have come from elsewhere, and Debian's brings some four hundred packages along
    command -v npm >/dev/null || packages+=(nodejs npm)
    ;;
# What tests/container.sh and tests/systemd.sh need
container) packages=(buildah podman runc netavark aardvark-dns iptables catatonit mmdebstrap systemd curl ca-certificates) ;;
# What tests/http/nightly.sh and tests/conf/run.sh need besides: promtool, the other proxies, a reader of compose.yaml; and
# tests/analyse.sh and tests/memcheck.sh
nightly) packages=(prometheus nginx caddy python3-numpy docker-compose clang-tidy cppcheck valgrind) ;;
# What tests/cross.sh needs: a compiler for arm64, what makes its root, and what runs its programs
cross) packages=("${build[@]}" curl ca-certificates python3 ccache gcc-aarch64-linux-gnu mmdebstrap qemu-user-static) ;;
bench) packages=("${build[@]}" python3-torch python3-numpy libdnnl-dev dataset-fashion-mnist) ;;
# What tests/fuzz.sh needs: a compiler with libFuzzer, and what names the lines in its reports
fuzz) packages=("${build[@]}" python3 clang libclang-rt-14-dev llvm) ;;
*)
    echo "usage: conf/deps.sh run|build|test|container|nightly|cross|bench|fuzz [list]" >&2
    exit 2
    ;;
esac

if [ "${2:-}" = list ]; then
    printf '%s\n' "${packages[@]}"
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "deps.sh: these packages are missing and need root to install: ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi
echo "Installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "deps.sh: the packages could not be installed" >&2
    exit 1
fi
