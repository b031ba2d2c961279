#!/usr/bin/env bash
# Makes a release of what is committed here, from a clean clone: conf/release.sh OUT [PART ...]
#
#   source   pfgmd-VERSION-source.tar.gz, the tree
#   debian   Debian packages for this machine's architecture (dpkg-dev)
#   arm64    the same for 64-bit Arm, cross-built (conf/deps.sh cross)
#   python   wheel and source archive of the Python client
#   image    pfgmd-VERSION-ARCH.oci.tar, the container's image for this machine's architecture (buildah)
#   image_arm64  the same for 64-bit Arm: cross-built programs in a base that is set up in emulation (besides, a kernel
#            that runs programs of arm64 by qemu-user-static)
#
# Without a PART: all whose tools are installed; it is said which are not. In any case OUT gets pfgmd-VERSION.spdx.json
# (what is in the release and what it depends on, SPDX 2.3) and SHA256SUMS of all files.
#
# The same commit gives the same bytes on the same machine: all dates are the commit's. Of the image this holds as long
# as Debian's archive and the base image are the same.
set -eu
umask 022
cd "$(dirname "$0")/.."
say() { printf 'release: %s\n' "$*"; }
fail() { say "$@" >&2 && exit 1; }
[ $# -gt 0 ] || fail "name a folder for the release"
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
[ -z "$(ls -A "$out")" ] || fail "$out is not empty"

# What a part needs, if it is not there.
lacks() {
    case $1 in
    source) ;;
    debian) command -v dpkg-shlibdeps >/dev/null || echo dpkg-dev ;;
    arm64) for tool in dpkg-shlibdeps aarch64-linux-gnu-gcc mmdebstrap; do command -v "$tool" >/dev/null || echo "$tool"; done ;;
    python) command -v python3 >/dev/null || echo python3 ;;
    image) command -v buildah >/dev/null || echo buildah ;;
    image_arm64)
        lacks image
        lacks arm64
        grep -qs ^enabled /proc/sys/fs/binfmt_misc/qemu-aarch64 || echo "qemu-user-static with binfmt_misc"
        ;;
    *) fail "there is no part $1" ;;
    esac
}
parts=()
if [ $# -eq 0 ]; then
    for part in source debian arm64 python image image_arm64; do
        lack=$(lacks "$part" | head -n 1)
        if [ -z "$lack" ]; then parts+=("$part"); else say "without $part: $lack is not installed"; fi
    done
else
    for part in "$@"; do
        lack=$(lacks "$part" | head -n 1)
        [ -z "$lack" ] || fail "$part needs $lack"
        parts+=("$part")
    done
fi

[ -z "$(git status --porcelain)" ] || say "what is not committed here is not in the release"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
git clone -q . "$scratch/pfgmd"
cd "$scratch/pfgmd"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
version=$(sed -n "s/^  version : '\(.*\)',/\1/p" meson.build)
commit=$(git rev-parse HEAD)

make_source() {
    git archive --format=tar --prefix="pfgmd-$version/" HEAD | gzip -9n >"$out/pfgmd-$version-source.tar.gz"
}
make_debian() {
    bash conf/debian/build.sh build-deb "$out"
}
cross_build() {
    local root
    [ ! -e build-arm64/build.ninja ] || return 0
    . tests/cross_root.sh
    cross_root
    printf "[constants]\nroot = '%s'\n" "$root" >root.ini
    meson setup build-arm64 --prefix=/usr -Dtests=false --cross-file root.ini --cross-file tests/cross-arm64.ini
    ninja -C build-arm64
}
make_arm64() {
    cross_build
    # A build for this machine, whose dependencies dpkg-shlibdeps can read.
    [ -e build-deb/build.ninja ] || meson setup build-deb --prefix=/usr -Dtests=false
    ninja -C build-deb
    bash conf/debian/build.sh build-arm64 "$out" build-deb
}
make_python() {
    PYTHONPATH=clients/python/backend PYTHONDONTWRITEBYTECODE=1 python3 -c 'import pfgmd_build, sys
pfgmd_build.build_wheel(sys.argv[1])
pfgmd_build.build_sdist(sys.argv[1])' "$out"
}
# image_of ARCH [OPTION ...]: by the Dockerfile, if no option names another.
image_of() {
    local arch=$1
    shift
    buildah bud --isolation chroot --timestamp "$SOURCE_DATE_EPOCH" --format oci --platform "linux/$arch" \
        -t "pfgmd:$version-$arch" "$@" .
    buildah push -q "pfgmd:$version-$arch" "oci-archive:$out/pfgmd-$version-$arch.oci.tar:pfgmd:$version"
}
make_image() {
    image_of "$(dpkg --print-architecture)"
}
# The Dockerfile's last stage, which takes from a folder what its first stage would have compiled in emulation.
make_image_arm64() {
    cross_build
    DESTDIR=$scratch/arm64/out meson install -C build-arm64 --no-rebuild
    awk '/^FROM / { stage++ } stage == 2' Dockerfile >"$scratch/arm64.Dockerfile"
    image_of arm64 --build-context "build=$scratch/arm64" -f "$scratch/arm64.Dockerfile"
}

for part in "${parts[@]}"; do
    # No "||" behind it: a shell to the left of one goes on after what fails in it.
    set +e
    (
        set -eu -o pipefail
        "make_$part"
    ) >"$scratch/$part.log" 2>&1
    code=$?
    set -e
    if [ "$code" -ne 0 ]; then
        tail -n 30 "$scratch/$part.log" >&2
        fail "$part could not be made"
    fi
    say "$part"
done
bash conf/deps.sh run list >"$scratch/run"
python3 conf/release_sbom.py "$version" "$commit" "$SOURCE_DATE_EPOCH" "$out" "$scratch/run" \
    >"$out/pfgmd-$version.spdx.json.part"
mv "$out/pfgmd-$version.spdx.json.part" "$out/pfgmd-$version.spdx.json"
(cd "$out" && sha256sum -- * >"$scratch/sums" && mv "$scratch/sums" SHA256SUMS)
say "$(wc -l <"$out/SHA256SUMS") files of $version, commit $commit, in $out"
