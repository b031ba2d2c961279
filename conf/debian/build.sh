#!/usr/bin/env bash
# Builds Debian packages of this tree: conf/debian/build.sh [BUILD-DIR [OUT-DIR [NATIVE-DIR]]]
# pfgmd: the server, its unit, settings and models; pfgm: the command line, the library and header.
# Dependencies are read off the binaries by dpkg-shlibdeps (package dpkg-dev). It knows the libraries of this machine
# alone. So a BUILD-DIR for another architecture (meson setup --prefix=/usr --cross-file ...) needs NATIVE-DIR, a build
# of the same tree for this one: a release of Debian has the same packages for both, if the binaries need the same
# libraries, which is checked.
# With SOURCE_DATE_EPOCH set, the same tree and compiler give the same bytes (conf/release.sh).
set -eu
umask 022
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build-deb}
out=${2:-$build}
command -v dpkg-shlibdeps >/dev/null || { echo "build.sh: install dpkg-dev first" >&2; exit 1; }
[ -e "$build/build.ninja" ] || meson setup "$build" "$root" --prefix=/usr -Dtests=false >&2
ninja -C "$build" >&2
build=$(cd "$build" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
version=$(sed -n "s/^  version : '\(.*\)',/\1/p" "$root/meson.build")
native=${3:-}
case $(LC_ALL=C readelf -h "$build/src/daemon/pfgmd" | sed -n 's/.*Machine: *//p') in
*X86-64) arch=amd64 ;;
AArch64) arch=arm64 ;;
*) arch=$(dpkg --print-architecture) ;;
esac
if [ "$arch" != "$(dpkg --print-architecture)" ] && [ ! -e "$native/build.ninja" ]; then
    echo "build.sh: $build is for $arch: name a build for this machine, whose dependencies are read" >&2
    exit 1
fi
[ -z "$native" ] || native=$(cd "$native" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
DESTDIR=$work/pfgmd meson install -C "$build" --no-rebuild >&2
cd "$work"
# What is the command line's moves; everything else stays the server's
(cd pfgmd && find . -name 'pfgm' -o -name 'pfgm.1*' -o -name '_pfgm' -o -name 'pfgm.fish' -o -name 'libpfgm.so*' \
    -o -name 'libpfgm.pc' -o -name 'pfgm.h') >list
while read -r file; do
    mkdir -p "pfgm/$(dirname "$file")"
    mv "pfgmd/$file" "pfgm/$file"
done <list
find pfgmd -type d -empty -delete
# In KiB, of the files' lengths: what du counts depends on the file system.
size_of() {
    find "$1" -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum + 0 }'
}
needed() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | sort
}
# The binary whose libraries dpkg-shlibdeps knows: this one, or the same of the native build.
readable() {
    [ -n "$native" ] || { echo "$PWD/$1" && return; }
    local other
    other=$(find "$native/src" -type f -name "$(basename "$1")" | head -n 1)
    [ -n "$other" ] && [ "$(needed "$other")" = "$(needed "$1")" ] || {
        echo "build.sh: $(basename "$1") needs other libraries than in $native" >&2
        return 1
    }
    echo "$other"
}
# maintain SCRIPT COMMAND...: a maintainer script of pfgmd whose commands run where systemd does.
maintain() {
    local script=pfgmd/DEBIAN/$1
    shift
    { printf '#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then\n'; printf '    %s\n' "$@"; echo fi; } >"$script"
    chmod 755 "$script"
}
for package in pfgm pfgmd; do
    find "$package" -path '*/man/*' -type f ! -name '*.gz' -exec gzip -9n {} +
    mkdir -p "$package/DEBIAN" "$package/usr/share/doc/$package" debian
    cp "$root/LICENSE" "$package/usr/share/doc/$package/copyright"
    printf 'Source: pfgmd\n\nPackage: %s\nArchitecture: any\n' "$package" >debian/control
    mapfile -t binaries < <(find "$package/usr" -type f \( -path '*/bin/*' -o -name '*.so.*' \))
    for i in "${!binaries[@]}"; do
        binaries[i]=$(readable "${binaries[i]}")
    done
    depends=$(dpkg-shlibdeps -O "${binaries[@]}" | sed -n 's/^shlibs:Depends=//p')
    [ -n "$depends" ] || { echo "build.sh: no dependencies found of $package" >&2; exit 1; }
    if [ "$package" = pfgm ]; then
        text="command line and library for Poisson flow generative models"
        echo activate-noawait ldconfig >pfgm/DEBIAN/triggers
    else
        text="server for Poisson flow generative models"
        echo /etc/pfgmd/pfgmd.conf >pfgmd/DEBIAN/conffiles
        # An upgrade restarts a daemon that runs; a removal stops it, a purge forgets that it was enabled.
        # What systemd says of it does not leave the package half installed: the daemon's log has the reason.
        maintain postinst 'systemctl daemon-reload || true' \
            'if [ -n "$2" ]; then systemctl try-restart pfgmd.service || echo "pfgmd does not start: journalctl -u pfgmd" >&2; fi'
        maintain prerm 'if [ "$1" = remove ]; then systemctl stop pfgmd.socket pfgmd.service || true; fi'
        maintain postrm 'systemctl daemon-reload || true'
        # Also where no systemd runs, as in a chroot.
        echo 'if [ "$1" = purge ]; then rm -f /etc/systemd/system/*.wants/pfgmd.service /etc/systemd/system/*.wants/pfgmd.socket; fi' \
            >>pfgmd/DEBIAN/postrm
    fi
    cat >"$package/DEBIAN/control" <<EOF
Package: $package
Version: $version
Architecture: $arch
Maintainer: The pfgmd authors <pfgmd@localhost.localdomain>
Installed-Size: $(size_of "$package/usr")
Depends: $depends
Recommends: ca-certificates
Suggests: libopenblas0-pthread
Section: science
Priority: optional
Description: $text
EOF
    dpkg-deb --root-owner-group --build "$package" "$out/${package}_${version}_$arch.deb"
done
