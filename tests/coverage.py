"""Adds up what gcov counted in a build folder, and prints lines and branches of each room of src.

A source may be compiled several times: a kernel once for each instruction set, a library once more with sanitizers. gcov
knows each of them by itself. Here a line was reached if one of its compilations was, and so was each side of a branch.
Branches of assert() are left out: one of their sides is a fault of the program."""

import collections
import concurrent.futures
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SRC = os.path.join(ROOT, "src")
# The goals, in per cent. The second is for what reads hostile bytes, keeps jobs, or holds the threads together.
LINES, BRANCHES, LINES_HARD = 92, 80, 95
HARD = ("base", "ckpt", "import", "engine", "http", "jobs")


def objects(folder):
    """The notes that the compiler left of the objects of src, in the build folder."""
    for place, _, names in os.walk(os.path.join(folder, "src")):
        for name in names:
            if name.endswith(".gcno"):
                yield os.path.join(place, name)


def counts(note):
    """gcov's report on one object: a list of (file, lines)."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", os.path.abspath(note)],
                          cwd=os.path.dirname(note), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{note}: gcov: {done.stderr.decode()}")
    found = []
    for text in done.stdout.splitlines():
        report = json.loads(text)
        for file in report["files"]:
            path = os.path.normpath(os.path.join(report["current_working_directory"], file["file"]))
            if path.startswith(SRC + os.sep):
                found.append((os.path.relpath(path, SRC), file["lines"]))
    return found


def room(path):
    parts = path.split(os.sep)
    inner = parts[0] in ("nn", "http", "cli") and len(parts) > 2
    return "/".join(parts[:2] if inner else parts[:1])


def goal(name):
    return LINES_HARD if name.split("/")[0] in HARD else 0


class Tally:
    def __init__(self):
        self.lines = self.reached = self.branches = self.taken = 0

    def add(self, lines, branches):
        self.lines += len(lines)
        self.reached += sum(1 for count in lines.values() if count)
        self.branches += len(branches)
        self.taken += sum(1 for count in branches.values() if count)

    def row(self, name):
        def share(part, whole):
            return f"{100 * part / whole:6.1f}" if whole else "     -"
        return (f"{name:<14}{self.lines:>7}{share(self.reached, self.lines)} %"
                f"{self.branches:>9}{share(self.taken, self.branches)} %")


def main():
    folder = sys.argv[1]
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    branches = collections.defaultdict(lambda: collections.defaultdict(int))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(counts, sorted(objects(folder))):
            for path, its_lines in found:
                for line in its_lines:
                    number = line["line_number"]
                    lines[path][number] += line["count"]
                    for place, branch in enumerate(line["branches"]):
                        branches[path][number, place] += branch["count"]
    if not lines:
        sys.exit(f"{folder}: no counts of src there")
    rooms, whole, unreached = collections.defaultdict(Tally), Tally(), []
    for path, its_lines in sorted(lines.items()):
        with open(os.path.join(SRC, path), encoding="utf-8") as file:
            text = file.read().splitlines()
        asserts = {n for n, line in enumerate(text, 1) if "assert(" in line or "lock_assert_held(" in line}
        its_branches = {key: n for key, n in branches[path].items() if key[0] not in asserts}
        for tally in (rooms[room(path)], whole):
            tally.add(its_lines, its_branches)
        missing = [n for n, count in sorted(its_lines.items()) if not count]
        if missing:
            unreached.append((len(missing), path, missing, text))
    print(f"{'room':<14}{'lines':>7}{'reached':>8}{'branches':>9}{'taken':>8}")
    for name, tally in sorted(rooms.items()):
        print(tally.row(name))
    print(whole.row("src"))
    below = [name for name, tally in sorted(rooms.items()) if tally.reached < tally.lines * goal(name) / 100]
    if below or whole.reached < whole.lines * LINES / 100 or whole.taken < whole.branches * BRANCHES / 100:
        print(f"the goals are {LINES} % of all lines, {BRANCHES} % of all branches, {LINES_HARD} % of the lines of "
              f"{', '.join(HARD)}; of these are below theirs: {', '.join(below) or 'none'}")
    with open(os.path.join(folder, "unreached.txt"), "w", encoding="utf-8") as file:
        for count, path, missing, text in sorted(unreached, key=lambda u: (-u[0], u[1])):
            print(f"== src/{path}: {count} lines", file=file)
            for n in missing:
                print(f"{n:5} {text[n - 1] if n <= len(text) else ''}", file=file)


if __name__ == "__main__":
    main()
