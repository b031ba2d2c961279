#!/usr/bin/env bash
# The page in a real browser, our JavaScript client and OpenAI's own, against a fresh daemon: PFGMD, PFGM and MODEL from the environment.
# The npm packages of package.json are kept in MODULES (a folder of the build) from run to run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
daemon=
# A test that is ended may leave the daemon stopped. One that does not end by itself is ended after a minute.
finish() {
    if [ -n "$daemon" ] && kill -TERM "$daemon" 2>/dev/null; then
        kill -CONT "$daemon" 2>/dev/null || true
        for _ in $(seq 600); do
            kill -0 "$daemon" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$daemon" 2>/dev/null || true
        wait "$daemon" || true
    fi
    rm -rf "$scratch"
}
trap finish EXIT

mkdir -p "$MODULES"
if ! cmp -s "$here/package.json" "$MODULES/package.json"; then
    cp "$here/package.json" "$MODULES/package.json.new"
    (cd "$MODULES" && mv package.json.new package.json && npm install --no-audit --no-fund --loglevel=error) >"$scratch/npm" 2>&1 || {
        rm -f "$MODULES/package.json"
        cat "$scratch/npm" >&2
        exit 1
    }
fi

python3 - "$scratch/ring.npy" <<'PY'
import math, struct, sys
points = [f(2 * math.pi * i / 200) for i in range(200) for f in (math.cos, math.sin)]
head = "{'descr': '<f4', 'fortran_order': False, 'shape': (200, 2), }".ljust(117) + "\n"
with open(sys.argv[1], "wb") as out:
    out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<400f", *points))
PY
"$PFGM" convert --exact "$scratch/ring.npy" -o "$scratch/plane.safetensors" >/dev/null
"$PFGMD" --model "$MODEL" --model "$scratch/plane.safetensors" --state "$scratch/state" --nfe-max 0 --trusted-proxies 127.0.0.1 --listen 127.0.0.1:0 >"$scratch/log" 2>&1 &
daemon=$!
address=
for _ in $(seq 1200); do # two minutes
    address=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$scratch/log" | head -n 1)
    [ -n "$address" ] && curl -fs "http://$address/readyz" >/dev/null && break
    kill -0 "$daemon" || { cat "$scratch/log" >&2; exit 1; }
    sleep 0.1
done
[ -n "$address" ] || { cat "$scratch/log" >&2; exit 1; }
ADDRESS="http://$address" DAEMON=$daemon CLIENTS=$here/../../clients CHROMIUM=$(command -v chromium-headless-shell) node --test --test-concurrency=1 "$here/client.mjs" "$here/openai.mjs" \
    "$here/page.mjs" "$here/kept.mjs" "$here/jobs.mjs" "$here/edit.mjs" "$here/field.mjs"
