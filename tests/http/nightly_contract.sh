#!/bin/sh
# The OpenAPI document before two linters, real answers before ajv, and the metrics of a busy daemon
# before promtool. The three come from npm into a folder that is removed at the end, promtool from
# the package prometheus. PFGMD, PFGM and MODELS are set as nightly.sh sets them.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && npm init -y >/dev/null &&
    npm install --no-audit --no-fund --ignore-scripts --silent @redocly/cli@2 @stoplight/spectral-cli@6 ajv@8)
cp contract.js "$folder"
python3 nightly_contract.py "$folder"
cd "$folder"
npx redocly lint --extends recommended openapi.json
echo 'extends: ["spectral:oas"]' >.spectral.yaml
npx spectral lint --fail-severity error --ruleset .spectral.yaml openapi.json
node contract.js openapi.json answers.json
