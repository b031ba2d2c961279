# shellcheck shell=bash
# The root of Debian for arm64, of libraries alone, that tests/cross.sh and conf/release.sh build against. It is made
# once and kept in $XDG_CACHE_HOME, or else ~/.cache. To be sourced in the root of the tree; cross_root sets `root`.

# Packages are unpacked and not configured, so nothing of arm64 runs while the root is made. Links to absolute paths
# are made relative, as the linker would look for them on this machine.
make_root() {
    local made link target
    made=$(mktemp -d "$root.XXXXXX")
    mmdebstrap --quiet --variant=extract --architectures=arm64 --include="$libraries" bookworm "$made" || {
        rm -rf "$made"
        echo "cross: the root could not be made" >&2
        exit 1
    }
    find "$made" -type l -lname '/*' -printf '%p\t%l\n' | while IFS=$'\t' read -r link target; do
        ln -sfnr "$made$target" "$link"
    done
    chmod 755 "$made"
    mv -T "$made" "$root" 2>/dev/null || rm -rf "$made" # another run was first
}

# Its name has a digest of what is in it, so that another list of libraries makes another root. deps.sh does not list a
# libcurl where this machine has one.
cross_root() {
    local libraries
    libraries=$({ bash conf/deps.sh test list && echo libcurl4-gnutls-dev; } | grep -E '^(lib|zlib).*-dev$' | sort -u |
        paste -s -d ,)
    root=${XDG_CACHE_HOME:-$HOME/.cache}/pfgmd-arm64-$(sha256sum <<<"$libraries" | cut -c 1-12)
    mkdir -p "$(dirname "$root")"
    [ -d "$root" ] || make_root
}
