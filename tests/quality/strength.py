"""What a strength does: test images of Fashion-MNIST are edited by `pfgm edit` at several strengths, by all data and
into another class. Per strength, of all variations: the evaluations they took, how far they are from their image (the
root mean square over pixels, in grey levels, and the 10th and 90th per cent of it), and of which class they are for the
five nearest of the 60,000 training images. On the test images themselves those five are right as often as printed.

    /usr/bin/python3 tests/quality/strength.py PFGM conf/models/fashion10.safetensors
"""

import os
import re
import subprocess
import sys
import tempfile

import gzip

import numpy

DATA = "/usr/share/datasets/fashion-mnist"
STRENGTHS = [0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1]
PER_CLASS, VARIATIONS, NEAREST = 2, 4, 5


def read(name, head):
    with gzip.open(os.path.join(DATA, name)) as f:
        return numpy.frombuffer(f.read()[head:], numpy.uint8)


def split(name):
    return read(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 784), read(f"{name}-labels-idx1-ubyte.gz", 8)


def classes_of(pictures, known, labels):
    """By a vote of the nearest known pictures."""
    x, y = pictures.astype(numpy.float32), known.astype(numpy.float32)
    distances = (y * y).sum(1)[None] - 2 * x @ y.T
    near = labels[numpy.argpartition(distances, NEAREST, 1)[:, :NEAREST]]
    return numpy.array([numpy.bincount(row, minlength=10).argmax() for row in near])


def main():
    pfgm, model = sys.argv[1:3]
    known, labels = split("train")
    tests, of = split("t10k")
    chosen = numpy.concatenate([numpy.flatnonzero(of == c)[:PER_CLASS] for c in range(10)])
    print(f"of 500 test images {100 * (classes_of(tests[-500:], known, labels) == of[-500:]).mean():.1f} % are found right")
    with tempfile.TemporaryDirectory() as folder:
        image, out = (os.path.join(folder, name) for name in ("in.npy", "out.npy"))
        for strength in STRENGTHS:
            cells = []
            for turned in (0, 1):
                made, nfe = [], []
                for k in chosen:
                    numpy.save(image, tests[k].reshape(1, 28, 28))
                    into = str((of[k] + 3) % 10) if turned else "none"
                    done = subprocess.run([pfgm, "edit", model, "--image", image, "--strength", str(strength), "--new-seed", str(k), "-n",
                                           str(VARIATIONS), "--class", into, "-o", out], check=True, capture_output=True, text=True)
                    nfe.append(float(re.search(r"nfe mean ([\d.]+)", done.stdout)[1]))
                    made.append(numpy.load(out).reshape(VARIATIONS, 784))
                moved = numpy.sqrt(((numpy.array(made, float) - tests[chosen][:, None]) ** 2).mean(2))
                found = classes_of(numpy.concatenate(made), known, labels)
                own = numpy.repeat(of[chosen], VARIATIONS)
                cells += [numpy.mean(nfe), moved.mean(), *numpy.percentile(moved, [10, 90]), 100 * (found == own).mean()]
                if turned:
                    cells.append(100 * (found == (own + 3) % 10).mean())
            print("| %.1f | %.1f | %.1f | %.0f to %.0f | %.0f | %.1f | %.0f | %.0f |" % (strength, *cells[:5], cells[6], *cells[9:]), flush=True)


if __name__ == "__main__":
    main()
