#!/usr/bin/env bash
# The files in conf/ before the programs that read them: Prometheus's settings and alerts (promtool), Compose's file with its
# fleet (docker-compose), the proxies' (haproxy) and Kubernetes' (the API's schemas, from npm).
# tests/conf/run.sh FOLDER, which keeps the npm packages. Needs what conf/deps.sh test and nightly install.
set -eu
modules=$(mkdir -p "${1:?which folder?}" && cd "$1" && pwd)
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

promtool check config conf/prometheus/prometheus.yml
promtool test rules tests/conf/alerts.yml

# Debian's docker-compose is older than the key "name".
sed '/^name:/d' conf/compose.yaml >"$scratch/compose.yaml"
docker-compose -f "$scratch/compose.yaml" --project-directory conf --profile fleet config >"$scratch/config.yaml"

cat tests/http/tls/first.crt tests/http/tls/first.key >"$scratch/tls.pem"
sed "s|/etc/ssl/pfgmd/tls.pem|$scratch/tls.pem|; /^    user haproxy/d; /^    group haproxy/d" conf/haproxy.cfg >"$scratch/haproxy.cfg"
for file in "$scratch/haproxy.cfg" conf/fleet/haproxy.cfg; do
    said=$(haproxy -c -f "$file" 2>&1) || { echo "$said" >&2; exit 1; }
    case $said in *WARNING* | *ALERT*) echo "$said" >&2; exit 1 ;; esac
done
# The fleet's backend is that of conf/haproxy.cfg, but for the servers.
backend() {
    sed -n '/^backend/,$ { s/ *#.*//; /^ *server/d; /default-server/d; /^$/d; p }' "$1"
}
diff <(backend conf/haproxy.cfg) <(backend conf/fleet/haproxy.cfg) || { echo "haproxy: two backends" >&2; exit 1; }
echo "haproxy: good, and one backend"

if ! cmp -s tests/conf/package.json "$modules/package.json"; then
    cp tests/conf/package.json "$modules/package.json.new"
    (cd "$modules" && mv package.json.new package.json && npm install --no-audit --no-fund --loglevel=error) || {
        rm -f "$modules/package.json"
        exit 1
    }
fi
MODULES=$modules node - "$scratch/config.yaml" <<'JS'
const yaml = require(process.env.MODULES + "/node_modules/js-yaml");
const services = yaml.load(require("fs").readFileSync(process.argv[2], "utf8")).services;
const of = (profile) => Object.keys(services).filter((s) => services[s].profiles?.[0] === profile).sort().join(" ");
const said = `always: ${of(undefined)}; fleet: ${of("fleet")}; replicas: ${services.replica.scale}`;
console.log(`compose: ${said}`);
if (said !== "always: grafana pfgmd prometheus; fleet: haproxy nats replica; replicas: 3") process.exit(1);
for (const [name, s] of Object.entries(services))
    if (!(s.ports ?? []).every((p) => p.startsWith("127.0.0.1:"))) throw new Error(`${name} is published beyond loopback`);
JS
MODULES=$modules node tests/conf/kubernetes.mjs conf/kubernetes/*.yaml
# Whoever has kubectl: the parts fit together.
if command -v kubectl >/dev/null; then
    kubectl kustomize conf/kubernetes >"$scratch/all.yaml"
    MODULES=$modules node tests/conf/kubernetes.mjs "$scratch/all.yaml"
fi
echo "conf: passed"
