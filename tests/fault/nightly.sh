#!/usr/bin/env bash
# Every k of every subcommand, of the start and of each route and format, once and then always (fault.py): some hundred
# thousand failures, hours of processor time. What has more than FAULT_TRIES calls of a kind is sampled evenly.
#
#     bash tests/fault/nightly.sh BUILD_FOLDER
set -eu
cd "$(dirname "$0")/../.."
folder=${1:?which build folder?}
[ -f "$folder/build.ninja" ] || meson setup "$folder" >/dev/null
ninja -C "$folder" >/dev/null
export FAULT_TRIES=${FAULT_TRIES:-2000}
exec meson test -C "$folder" --no-rebuild --suite fault --timeout-multiplier 100 --num-processes 2 --verbose
