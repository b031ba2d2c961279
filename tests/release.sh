#!/usr/bin/env bash
# conf/release.sh twice, from one commit: the same files with the same bytes, whose sums hold and which the SBOM names.
# Neither run sees the other's objects, and they are built in two folders, at two times and in two orders.
# Usage: tests/release.sh [PART ...], all but the image if absent, whose bytes also depend on Debian's archive
set -eu
cd "$(dirname "$0")/.."
fail() { echo "FAILED: $*" >&2 && exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# A clone: both runs have the same commit, even if somebody commits meanwhile.
git clone -q . "$scratch/tree"
cd "$scratch/tree"
[ $# -gt 0 ] || set -- source debian arm64 python
export CCACHE_DISABLE=1
bash conf/release.sh "$scratch/one" "$@" || fail "no release"
taskset -c "$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')" bash conf/release.sh "$scratch/two" "$@" || fail "no second release"
diff -r "$scratch/one" "$scratch/two" || fail "two releases of one commit differ"
cd "$scratch/one"
# A part's file never takes the name of another's.
case " $* " in *" source "*) tar -tzf pfgmd-*-source.tar.gz | grep -q '/meson.build$' || fail "no tree in the source archive" ;; esac
case " $* " in *" arm64 "*) ls pfgmd_*_arm64.deb pfgm_*_arm64.deb >/dev/null || fail "no packages for arm64" ;; esac
case " $* " in *" python "*) ls pfgmd-*.whl >/dev/null || fail "no wheel" ;; esac
sha256sum -c --quiet SHA256SUMS || fail "a sum is wrong"
python3 - *.spdx.json <<'END' || fail "the SBOM is not of this release"
import hashlib, json, os, sys
with open(sys.argv[1], encoding="utf-8") as f:
    bom = json.load(f)
assert bom["spdxVersion"] == "SPDX-2.3" and bom["SPDXID"] == "SPDXRef-DOCUMENT", bom["spdxVersion"]
ids = [p["SPDXID"] for p in bom["packages"]] + ["SPDXRef-DOCUMENT"]
assert len(set(ids)) == len(ids), "an identifier twice"
for r in bom["relationships"]:
    assert r["spdxElementId"] in ids and r["relatedSpdxElement"] in ids, r
sums = {p["name"]: p["checksums"][0]["checksumValue"] for p in bom["packages"] if p.get("checksums")}
for name in os.listdir("."):
    if name not in (sys.argv[1], "SHA256SUMS"):
        with open(name, "rb") as f:
            assert sums[name] == hashlib.sha256(f.read()).hexdigest(), name
END
ls -l
echo "release: passed, the same $(wc -l <SHA256SUMS) files twice"
