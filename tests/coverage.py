"""Adds up what gcov counted in a build folder, and prints lines and branches of each room of src. Exit code 1: a goal is
missed, or counts cannot be trusted.

A source may be compiled several times: a kernel once for each instruction set, a header once for each file that includes
it. gcov knows each of them by itself. Here a line was reached if one of its compilations was, and so was each side of a
branch. Branches of assert() are left out: one of their sides is a fault of the program.

Only objects count that the build folder still makes, from sources as they are now: what was renamed or changed since has
left its old counts behind. gcov says of counts that are of another build or damaged that it leaves them out, and so does
this. Sources that this build compiles nowhere (another processor's, say) are named, as nobody knows their lines."""

import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SRC = os.path.join(ROOT, "src")
# The goals, in per cent. The second is for what reads hostile bytes, keeps jobs, or holds the threads together.
LINES, BRANCHES, LINES_HARD = 92, 80, 95
ASSERT = re.compile(r"\b(lock_)?assert(_held)?\(")
HARD = ("base", "ckpt", "import", "engine", "http", "jobs")


def objects(folder):
    """{note: source} of the objects of src that the build folder makes. The compiler leaves a note with each."""
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    found = {}
    for command in commands:
        source = os.path.normpath(os.path.join(command["directory"], command["file"]))
        if command["output"].startswith("src" + os.sep) and source.startswith(SRC + os.sep):
            found[os.path.join(command["directory"], os.path.splitext(command["output"])[0] + ".gcno")] = source
    return found


def counts(note):
    """gcov's report on one object, (file, lines) each, and what it complains about."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", note],
                          cwd=os.path.dirname(note), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{note}: gcov: {done.stderr}")
    # An object that no process has ever run has no counts, and gcov takes them for zeros.
    complaints = [line for line in done.stderr.splitlines() if line and "cannot open data file" not in line]
    found = []
    for text in done.stdout.splitlines():
        report = json.loads(text)
        for file in report["files"]:
            path = os.path.normpath(os.path.join(report["current_working_directory"], file["file"]))
            if path.startswith(SRC + os.sep):
                found.append((os.path.relpath(path, SRC), file["lines"]))
    return found, complaints


def rooms_of(path):
    """The room of a file, and its inner room where it is in one."""
    parts = path.split(os.sep)
    return ["/".join(parts[:n]) for n in range(1, min(3, len(parts)))]


def asserts(text):
    """The numbers of the lines on which an assertion stands, to its semicolon."""
    found, inside = set(), False
    for number, line in enumerate(text, 1):
        inside = inside or ASSERT.search(line) is not None
        if inside:
            found.add(number)
        inside = inside and not line.rstrip().endswith(";")
    return found


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


def missed(rooms, whole):
    """What is below its goal, a line each."""
    lines = [f"{name}: fewer than {LINES_HARD} % of the lines" for name in HARD
             if rooms[name].reached * 100 < rooms[name].lines * LINES_HARD]
    if whole.reached * 100 < whole.lines * LINES:
        lines.append(f"src: fewer than {LINES} % of the lines")
    if whole.taken * 100 < whole.branches * BRANCHES:
        lines.append(f"src: fewer than {BRANCHES} % of the branches")
    return lines


def main():
    folder = os.path.abspath(sys.argv[1])
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    branches = collections.defaultdict(lambda: collections.defaultdict(int))
    notes = objects(folder)
    doubts = [f"{os.path.relpath(note, folder)} is not there or older than its source: build again"
              for note, source in notes.items()
              if not os.path.exists(note) or os.path.getmtime(note) < os.path.getmtime(source)]
    if doubts:
        sys.exit("\n".join(doubts))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found, complaints in pool.map(counts, sorted(notes)):
            doubts += complaints
            for path, its_lines in found:
                for line in its_lines:
                    number = line["line_number"]
                    lines[path][number] += line["count"]
                    for place, branch in enumerate(line["branches"]):
                        branches[path][number, place] += branch["count"]
    if not any(count for its_lines in lines.values() for count in its_lines.values()):
        sys.exit(f"{folder}: no counts of src there")
    rooms, whole, unreached = collections.defaultdict(Tally), Tally(), []
    for path, its_lines in sorted(lines.items()):
        with open(os.path.join(SRC, path), encoding="utf-8") as file:
            text = file.read().splitlines()
        left_out = asserts(text)
        its_branches = {key: n for key, n in branches[path].items() if key[0] not in left_out}
        for tally in (*(rooms[name] for name in rooms_of(path)), whole):
            tally.add(its_lines, its_branches)
        missing = [n for n, count in sorted(its_lines.items()) if not count]
        if missing:
            unreached.append((len(missing), path, missing, text))
    print(f"{'room':<14}{'lines':>7}{'reached':>8}{'branches':>9}{'taken':>8}")
    for name, tally in sorted(rooms.items()):
        print(tally.row(name))
    print(whole.row("src"))
    everything = (os.path.join(place, name) for place, _, names in os.walk(SRC) for name in names if name.endswith(".c"))
    elsewhere = sorted(set(everything) - set(notes.values()))
    if elsewhere:
        print("not compiled here:", ", ".join(os.path.relpath(path, SRC) for path in elsewhere))
    below = missed(rooms, whole)
    print("\n".join(below) or "the goals are met")
    with open(os.path.join(folder, "unreached.txt"), "w", encoding="utf-8") as file:
        for count, path, missing, text in sorted(unreached, key=lambda u: (-u[0], u[1])):
            print(f"== src/{path}: {count} lines", file=file)
            for n in missing:
                print(f"{n:5} {text[n - 1]}", file=file)
    for doubt in doubts:
        print(doubt, file=sys.stderr)
    sys.exit(1 if below or doubts else 0)


if __name__ == "__main__":
    main()
