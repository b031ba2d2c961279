"""Compiles each source of a configured build folder once more with gcc's -fanalyzer, and prints what it finds.

    fanalyzer.py BUILD_FOLDER JOBS"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

# What gcc 12 is known to misjudge, and why that does not matter here.
OFF = {
    "malloc-leak": "loses sight of what is stored in a struct of the caller's, and of what a _clear function frees",
    "fd-leak": "likewise, of descriptors in structs",
    "use-of-uninitialized-value": "does not follow out parameters that are set where 0 is returned",
    "possible-null-argument": "does not see that asprintf and strdup were looked at through a function's result",
    "possible-null-dereference": "as possible-null-argument",
    "null-dereference": "takes invariants of a struct (a length above 0 means that there are data) for two questions",
    "null-argument": "as null-dereference",
}


def analyse(entry):
    words = shlex.split(entry["command"])
    words = words[1:] if os.path.basename(words[0]) == "ccache" else words
    words = [w for w in words if w not in ("-O3", "-Werror") and not w.startswith("-fdiagnostics-color")]
    words[words.index("-o") + 1] = "/dev/null"
    for flag in ("-MQ", "-MF"):
        if flag in words:
            at = words.index(flag)
            del words[at:at + 2]
    words = [w for w in words if w != "-MD"]
    done = subprocess.run([*words, "-O0", "-U_FORTIFY_SOURCE", "-fanalyzer", *(f"-Wno-analyzer-{name}" for name in OFF)],
                          cwd=entry["directory"], capture_output=True, text=True)
    found = re.findall(r"^(?:\.\./)*(\S+?:\d+):\d+: (?:warning|error): (.*)$", done.stderr, flags=re.M)
    if done.returncode != 0 and not found:
        return [done.stderr]
    return [f"{place}: {text}" for place, text in found if "-Wanalyzer" in text]


def main():
    folder, jobs = sys.argv[1], int(sys.argv[2])
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as f:
        entries = {e["file"]: e for e in json.load(f) if "/src/" in e["file"] or e["file"].startswith("../src/")}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        found = sorted({line for lines in pool.map(analyse, entries.values()) for line in lines})
    print("\n".join(found), end="\n" if found else "")


if __name__ == "__main__":
    main()
