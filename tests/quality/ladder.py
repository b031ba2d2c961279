"""The ladder: how far samples are from the test images over the number of evaluations, of a teacher by its usual method,
by its tuned schedules, and of its students. Judged as judge.py judges; prints a table in Markdown, and writes it as JSON
and as a sheet on which each row of the table is a row of the same twelve images, from top to bottom.

A rung that a model does not have is left out: a schedule that it was not tuned for, a student of other steps, and one
evaluation of a teacher whose path ends with a step to 0.

    bash tests/bench/build.sh
    /usr/bin/python3 tests/quality/ladder.py conf/models/fashion10.safetensors --students one.safetensors,two.safetensors \\
        --pfgm build-bench/src/cli/pfgm --scratch build-bench/quality -n 2000 --json ladder.json --sheet ladder.png
"""

import argparse
import json
import struct
import subprocess
import sys
import zlib

import numpy
import torch

from judge import Judge, common_options, describe, keep, sample

EVALUATIONS = [1, 2, 4, 6, 10, 20]
SEEN = 12  # images of a row of the sheet
SCALE, GAP = 2, 6


def description(pfgm, model):
    text = subprocess.run([pfgm, "inspect", model, "--json"], check=True, capture_output=True).stdout
    return json.loads(text)["description"]


def rungs(o):
    """(model, way, evaluations, options of pfgm sample) from the bottom up."""
    found = []
    of_teacher = description(o.pfgm, o.teacher)
    if "teacher_sha256" in of_teacher:
        sys.exit(f"{o.teacher}: is a student itself: name its teacher")
    to_zero = of_teacher["family"] == "pfgmpp"
    tuned = [len(t["nodes"]) - 1 + to_zero for t in of_teacher.get("tuned", [])]
    for k in o.evaluations:
        if k > to_zero:
            found.append((o.teacher, "teacher", k, ["--solver", "multistep3", "--steps", str(k), "--schedule", "power"]))
        if k in tuned:
            found.append((o.teacher, "tuned", k, ["--schedule", "tuned", "--steps", str(k)]))
        for student in o.students:
            if len(description(o.pfgm, student)["tuned"][0]["nodes"]) - 1 == k:
                found.append((student, "student", k, []))
    return found


def check_students(o):
    for student in o.students:
        if "teacher_sha256" not in description(o.pfgm, student):
            sys.exit(f"{student}: is not a student")


def enlarged(row):
    """[SEEN,28,28] as one line of pictures."""
    line = numpy.concatenate(list(row.repeat(SCALE, 1).repeat(SCALE, 2)), 1)
    return numpy.concatenate([line, numpy.zeros((GAP, line.shape[1]), numpy.uint8)])


def write_png(path, pixels):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    height, width = pixels.shape
    raw = numpy.concatenate([numpy.zeros((height, 1), numpy.uint8), pixels], 1).tobytes()
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("teacher", help="a checkpoint of 28×28 grey images")
    p.add_argument("--students", default="", help="what pfgm distill made of it, separated by commas")
    p.add_argument("--evaluations", default=",".join(map(str, EVALUATIONS)), help="separated by commas (%(default)s)")
    p.add_argument("-n", type=int, default=2000)
    p.add_argument("--sheet", help="PNG file of twelve images for each row")
    common_options(p)
    o = p.parse_args()
    o.students = [s for s in o.students.split(",") if s]
    o.evaluations = [int(k) for k in o.evaluations.split(",")]
    return o


def main():
    o = options()
    torch.set_num_threads(1)
    check_students(o)
    judge, rows, lines = Judge(o, [o.n]), [], []
    print(f"{o.n} samples each; the floor is {judge.floors[o.n][0]:.2f}\n")
    print("| evaluations | by | class agreement | distance | ratio to the floor |\n|---:|---|---:|---:|---:|", flush=True)
    for model, way, k, words in rungs(o):
        row = judge.row(o, model, way, words, o.n)[1]
        rows.append(row)
        agreement = f"{row['agreement']:.3f}" if "agreement" in row else "–"
        print(f"| {row['nfe']:.0f} | {way} | {agreement} | {row['distance']:.2f} | {row['ratio']:.1f} |", flush=True)
        keep(o, {"seed": o.seed, "rows": rows})
        if o.sheet:
            lines.append(enlarged(sample(o, model, describe(o.pfgm, model), words, SEEN)[0]))
            write_png(o.sheet, numpy.concatenate(lines))


if __name__ == "__main__":
    main()
