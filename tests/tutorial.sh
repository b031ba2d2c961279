#!/usr/bin/env bash
# The lines of docs/tutorial.md as a reader would paste them, in order, in a fresh clone of what is committed here, on a
# bare Debian 12 in a container. Only the training is shorter. About fifteen minutes on two cores; root.
# Usage: tests/tutorial.sh [MINUTES of training, 1]
set -eu
cd "$(dirname "$0")/.."
. tests/container_lib.sh
containers_begin

# Every block of ```sh, with the minutes of the training replaced; they must be where this looks for them.
sed -n '/^```sh$/,/^```$/{/^```/d;p}' docs/tutorial.md >"$scratch/lines"
grep -q -- '--minutes 20$' "$scratch/lines" || fail "the tutorial does not train for 20 minutes any more"
{ echo 'set -eu' && sed "s/--minutes 20\$/--minutes ${1:-1}/" "$scratch/lines"; } >"$scratch/lines.sh"

git clone -q . "$scratch/clone"
containers_base "$scratch/base.tar"
podman_run import -q "$scratch/base.tar" docker.io/library/debian:bookworm-slim >/dev/null
container=$(buildah_run from --pull=never docker.io/library/debian:bookworm-slim)
buildah_run copy -q "$container" "$scratch/clone" /pfgmd
buildah_run copy -q "$container" "$scratch/lines.sh" /lines.sh
buildah_run run --isolation chroot --workingdir /pfgmd "$container" bash /lines.sh || fail "a line of the tutorial failed"

# What the reader was promised.
made=$(buildah_run mount "$container")/pfgmd
for picture in classes nearest asked trousers sneaker-0 sneaker-1; do
    [ "$(head -c 8 "$made/$picture.png" | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "$picture.png is no PNG"
done
[ -s "$made/mine.safetensors" ] && [ -s "$made/run/loss.png" ] || fail "a file of the run is missing"
echo "tutorial: passed"
