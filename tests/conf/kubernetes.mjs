// Holds Kubernetes manifests to the schemas of their API versions, and to what a hardened cluster asks for.
// node kubernetes.mjs FILE... with kubernetes-models and js-yaml in the folder MODULES.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.MODULES + "/");
const yaml = require("js-yaml");
const faults = [];
const known = new Map(); // "kind/name" of everything

// The class of a kind. Its validation reads every field that the schema knows, and no others.
function modelOf(o) {
    return require("kubernetes-models/" + o.apiVersion)[o.kind];
}

// An object in whose place the validation can be given this one, which notes the fields that were not read: the server would
// drop them, and what they set would not hold.
function watched(value, path, unread) {
    if (value === null || typeof value !== "object") return value;
    const fields = Array.isArray(value) ? [] : Object.keys(value);
    for (const key of fields) unread.add(`${path}/${key}`);
    return new Proxy(value, {
        get(of, key) {
            unread.delete(`${path}/${String(key)}`);
            const child = Reflect.get(of, key);
            return fields.includes(key) || (Array.isArray(of) && /^\d+$/.test(String(key)))
                ? watched(child, `${path}/${String(key)}`, unread) : child;
        },
    });
}

function check(file, o) {
    const what = `${file}: ${o?.kind} ${o?.metadata?.name}`;
    let model;
    try {
        model = modelOf(o);
    } catch {
        faults.push(`${what}: there is no API version ${o?.apiVersion}`);
        return;
    }
    if (!model) {
        faults.push(`${what}: there is no such kind in ${o.apiVersion}`);
        return;
    }
    try {
        const unread = new Set();
        model.prototype.validate.call(watched(Object.assign(new model(), o), "", unread));
        for (const path of unread) faults.push(`${what}: the schema has no field ${path}`);
    } catch (e) {
        faults.push(`${what}: ${e.message}`);
    }
    known.set(`${o.kind}/${o.metadata.name}`, o);
    const pod = o.spec?.template?.spec;
    for (const container of pod?.containers ?? []) checkContainer(`${what}, container ${container.name}`, pod, container);
}

function checkContainer(what, pod, c) {
    const safe = {
        "runAsNonRoot": pod.securityContext?.runAsNonRoot === true,
        "seccompProfile": pod.securityContext?.seccompProfile?.type === "RuntimeDefault",
        "automountServiceAccountToken: false": pod.automountServiceAccountToken === false,
        "allowPrivilegeEscalation: false": c.securityContext?.allowPrivilegeEscalation === false,
        "readOnlyRootFilesystem": c.securityContext?.readOnlyRootFilesystem === true,
        "capabilities dropped": c.securityContext?.capabilities?.drop?.includes("ALL"),
        "requests and limits": ["cpu", "memory"].every((r) => c.resources?.requests?.[r] && c.resources?.limits?.[r]),
        "three probes": c.startupProbe && c.livenessProbe && c.readinessProbe,
    };
    for (const [name, holds] of Object.entries(safe)) if (!holds) faults.push(`${what}: lacks ${name}`);
    const ports = new Set((c.ports ?? []).map((p) => p.name));
    for (const probe of [c.startupProbe, c.livenessProbe, c.readinessProbe])
        if (probe && !ports.has(probe.httpGet.port)) faults.push(`${what}: no port ${probe.httpGet.port}`);
    const volumes = new Set([...(pod.volumes ?? []), ...(pod.claims ?? [])].map((v) => v.name));
    for (const m of c.volumeMounts ?? []) volumes.delete(m.name);
    for (const left of volumes) faults.push(`${what}: the volume ${left} is mounted nowhere`);
}

// Names and labels by which one object means another.
function checkReferences() {
    const labelsOf = (kind) => [...known.values()].filter((o) => o.kind === kind).map((o) => o.spec.template.metadata.labels);
    const pods = [...labelsOf("Deployment"), ...labelsOf("StatefulSet")];
    const matches = (selector) => pods.some((l) => Object.entries(selector).every(([k, v]) => l[k] === v));
    for (const [name, o] of known) {
        const selector = { Service: o.spec?.selector, PodDisruptionBudget: o.spec?.selector?.matchLabels,
                           NetworkPolicy: o.spec?.podSelector?.matchLabels, Deployment: o.spec?.selector?.matchLabels,
                           StatefulSet: o.spec?.selector?.matchLabels }[o.kind];
        if (selector && !matches(selector)) faults.push(`${name}: selects no pod`);
        const target = o.kind === "HorizontalPodAutoscaler" && o.spec.scaleTargetRef;
        if (target && !known.has(`${target.kind}/${target.name}`)) faults.push(`${name}: scales nothing`);
    }
}

for (const file of process.argv.slice(2))
    for (const o of yaml.loadAll(readFileSync(file, "utf8"))) {
        if (o.kind !== "Kustomization") check(file, o);
    }
checkReferences();
for (const fault of faults) console.error(fault);
console.log(`${known.size} Kubernetes objects, ${faults.length} faults`);
process.exit(faults.length ? 1 : 0);
