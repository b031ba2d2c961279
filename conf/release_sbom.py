"""The parts of a release as SPDX 2.3 JSON: release_sbom.py VERSION COMMIT EPOCH OUT RUN-LIST

The files in OUT with their SHA-256, the bundled models with their licences, and the Debian packages in RUN-LIST that the
programs need when they run, with the versions that are installed where the release was made. The same input gives the
same bytes."""
import hashlib
import json
import os
import subprocess
import sys
import time
import uuid

MODELS = {"fashion.safetensors": "MIT", "fashion10.safetensors": "MIT", "fashion28.safetensors": "MIT", "digits8.safetensors": "CC-BY-4.0"}


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def package(identifier, name, version, licence, checksum=None, purl=None):
    p = {"SPDXID": "SPDXRef-" + identifier, "name": name, "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
         "licenseConcluded": licence, "licenseDeclared": licence, "copyrightText": "NOASSERTION"}
    if version:
        p["versionInfo"] = version
    if checksum:
        p["checksums"] = [{"algorithm": "SHA256", "checksumValue": checksum}]
    if purl:
        p["externalRefs"] = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]
    return p


def installed(name):
    """The version; one that is not installed here has none."""
    found = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True, check=False)
    return found.stdout if found.returncode == 0 else ""


def main(version, commit, epoch, out, run_list):
    packages = [package("pfgmd", "pfgmd", version, "Apache-2.0")]
    relations = []

    def add(p, relation, reverse=False):
        packages.append(p)
        ends = ("SPDXRef-pfgmd", p["SPDXID"])
        relations.append(dict(zip(("spdxElementId", "relatedSpdxElement"), ends[::-1] if reverse else ends),
                              relationshipType=relation))

    for number, name in enumerate(n for n in sorted(os.listdir(out)) if not n.endswith(".part")):
        add(package("file-%d" % number, name, version, "NOASSERTION", digest(os.path.join(out, name))),
            "GENERATED_FROM", reverse=True)
    for number, (name, licence) in enumerate(sorted(MODELS.items())):
        add(package("model-%d" % number, name, "", licence, digest(os.path.join("conf", "models", name))), "CONTAINS")
    with open(run_list, encoding="utf-8") as f:
        for number, name in enumerate(sorted(f.read().split())):
            found = installed(name)
            purl = "pkg:deb/debian/%s%s" % (name, "@" + found.replace("+", "%2B").replace(":", "%3A") if found else "")
            add(package("library-%d" % number, name, found, "NOASSERTION", purl=purl), "DEPENDS_ON")
    relations.insert(0, {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                         "relatedSpdxElement": "SPDXRef-pfgmd"})
    text = json.dumps(packages, sort_keys=True)
    document = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
                "name": "pfgmd-" + version, "comment": "commit " + commit,
                "documentNamespace": "urn:uuid:%s" % uuid.uuid5(uuid.NAMESPACE_OID, commit + text),
                "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch))),
                                 "creators": ["Tool: conf/release.sh"]},
                "packages": packages, "relationships": relations}
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
