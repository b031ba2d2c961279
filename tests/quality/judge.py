"""How good are a model's images? Judged by a classifier that saw the training split of Fashion-MNIST.

A small convolutional network is trained on the 60,000 training images (seeded, so that it comes out the same again on
the same machine; kept in the scratch folder and used again). Then, of each model and solver, n samples:

agreement  how often the classifier finds the class that was asked for. Real test images get its test accuracy.
distance   the Fréchet distance between the normal distributions fitted to the classifier's 128 penultimate features
           of the samples and of the 10,000 test images.
floor      the same distance of n training images, as many of each class, the mean of several draws: what samples from
           the data themselves would get. The distance has a bias that depends on n, so only equal n may be compared.

Samples are drawn by `pfgm sample`, class after class where the model knows classes. Of the numbers only the ratio
between two models, or to the floor, means anything; they are no FID, whose network and images are others.
"""

import argparse
import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import time

import numpy
import torch
from torch import nn

CLASSES = 10
EPOCHS = 4
BATCH = 128
SEED = 1
FLOOR_DRAWS = 5
FULL = ("default", "rk45")  # judged with more samples than the others


def read_idx(path, rank):
    with gzip.open(path) as f:
        head = struct.unpack(">%dI" % (1 + rank), f.read(4 * (1 + rank)))
        if head[0] != 0x800 + rank:
            sys.exit(f"{path}: not an IDX file of {rank} dimensions")
        values = numpy.frombuffer(f.read(), numpy.uint8)
    if values.size != numpy.prod(head[1:]):
        sys.exit(f"{path}: {values.size} bytes of data, the head says {numpy.prod(head[1:])}")
    return values.reshape(head[1:])


def read_split(folder, name):
    images = read_idx(os.path.join(folder, f"{name}-images-idx3-ubyte.gz"), 3)
    labels = read_idx(os.path.join(folder, f"{name}-labels-idx1-ubyte.gz"), 1)
    if len(images) != len(labels) or labels.max() >= CLASSES:
        sys.exit(f"{folder}: images and labels of \"{name}\" do not belong together")
    return images, labels.astype(numpy.int64)


def as_input(images):
    return torch.from_numpy(images.astype(numpy.float32) / 127.5 - 1).unsqueeze(1)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, CLASSES))

    def forward(self, x):
        return self.head(self.features(x))


def train(images, labels):
    torch.manual_seed(SEED)
    net = Classifier()
    x, y = as_input(images), torch.from_numpy(labels)
    steps = EPOCHS * ((len(x) + BATCH - 1) // BATCH)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"classifier: epoch {epoch + 1} of {EPOCHS}, loss {total / len(x):.4f}", file=sys.stderr)
    return net


def look(net, images):
    """Features [n,128] in double and the class that is found [n]."""
    features, found = [], []
    net.eval()
    with torch.no_grad():
        for part in as_input(images).split(500):
            seen = net.features(part)
            features.append(seen.double().numpy())
            found.append(net.head(seen).argmax(1).numpy())
    return numpy.concatenate(features), numpy.concatenate(found)


def classifier(scratch, train_split):
    """The trained network; from the scratch folder if it was trained before with this file on these data."""
    digest = hashlib.sha256(train_split[0].tobytes() + train_split[1].tobytes())
    with open(__file__, "rb") as f:
        digest.update(f.read().split(b"def look")[0])  # the network and how it is trained
    path = os.path.join(scratch, f"classifier-{digest.hexdigest()[:16]}.pt")
    if os.path.exists(path):
        net = Classifier()
        net.load_state_dict(torch.load(path))
        return net
    net = train(*train_split)
    torch.save(net.state_dict(), path + ".new")
    os.replace(path + ".new", path)
    return net


def fit(features):
    return features.mean(0), numpy.cov(features, rowvar=False)


def frechet(a, b):
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)"""
    values, vectors = numpy.linalg.eigh(a[1])
    root = (vectors * numpy.sqrt(values.clip(0))) @ vectors.T
    cross = numpy.linalg.eigvalsh(root @ b[1] @ root)
    return float(((a[0] - b[0]) ** 2).sum() + numpy.trace(a[1]) + numpy.trace(b[1]) -
                 2 * numpy.sqrt(cross.clip(0)).sum())


def floor(features, labels, n, reference):
    """Mean and deviation over draws of n training images, as evenly over the classes as samples are."""
    draws = []
    for draw in range(FLOOR_DRAWS):
        random = numpy.random.default_rng(SEED + draw)
        rows = []
        for c in range(CLASSES):
            rows.append(random.choice(numpy.flatnonzero(labels == c), n // CLASSES + (c < n % CLASSES), replace=False))
        draws.append(frechet(fit(features[numpy.concatenate(rows)]), reference))
    return float(numpy.mean(draws)), float(numpy.std(draws))


def describe(pfgm, model):
    text = subprocess.run([pfgm, "inspect", model, "--json"], check=True, capture_output=True).stdout
    found = json.loads(text)["description"]
    if (found["arch"]["channels"], found["arch"]["image_size"]) != (1, 28):
        sys.exit(f"{model}: makes no 28×28 grey images")
    labels = len(found.get("labels", []))
    if labels not in (0, CLASSES):
        sys.exit(f"{model}: knows {labels} classes, the data have {CLASSES}")
    return labels > 0


def solver_words(solver):
    """METHOD[:STEPS[:SCHEDULE]] as options of `pfgm sample`."""
    method, *rest = solver.split(":")
    words = [] if method == "default" else ["--solver", method]
    return words + [w for pair in zip(("--steps", "--schedule"), rest) for w in pair]


def sample(o, model, conditional, options, n):
    """Images [n,28,28], the classes that were asked for, and what `pfgm sample` reports."""
    path = os.path.join(o.scratch, f"samples-{os.getpid()}.npz")
    words = [o.pfgm, "sample", model, "-n", str(n), "--seed", str(o.seed), "--json", "-o", path] + options
    begun = time.monotonic()
    run = subprocess.run(words + (["--class", "each"] if conditional else []), stdout=subprocess.PIPE)
    if run.returncode:
        sys.exit(f"{' '.join(words)}: exit code {run.returncode}")
    report = json.loads(run.stdout)
    with numpy.load(path) as arrays:
        images, asked = arrays["arr_0"][..., 0], arrays["class"] if conditional else None
    os.remove(path)
    return images, asked, {"sha256": report["model"]["sha256"], "kernel": report["kernel"], "solver": report["solver"],
                           "nfe": sum(i["nfe"] for i in report["images"]) / n,
                           "seconds": round(time.monotonic() - begun, 1)}


def agreement(found, asked):
    """Of all images, and of each class."""
    return float((found == asked).mean()), [float((found[asked == c] == c).mean()) for c in range(CLASSES)]


APART = """apart: the root mean square difference, in data scale, from the same model's pictures of the same starts by the
first way that is named: with rk45 first, whether another way gives rk45's picture."""


def apart(images, first):
    difference = images.astype(numpy.float64) - first.astype(numpy.float64)
    return float(numpy.sqrt((difference ** 2).mean()) / 127.5)


class Judge:
    """The classifier, the test images as it sees them (and of how many it finds the class), and the floors."""

    def __init__(self, o, sizes):
        train_split, test_split = read_split(o.data, "train"), read_split(o.data, "t10k")
        self.net = classifier(o.scratch, train_split)
        features, found = look(self.net, test_split[0])
        self.reference, self.accuracy = fit(features), agreement(found, test_split[1])
        features = look(self.net, train_split[0])[0]
        self.floors = {n: floor(features, train_split[1], n, self.reference) for n in sorted(set(sizes))}

    def row(self, o, model, way, options, n):
        """The images that the options give, and what they are worth."""
        conditional = describe(o.pfgm, model)
        images, asked, row = sample(o, model, conditional, options, n)
        features, found = look(self.net, images)
        row.update(model=model, way=way, n=n, distance=frechet(fit(features), self.reference), floor=self.floors[n][0])
        row["ratio"] = row["distance"] / row["floor"]
        if conditional:
            row["agreement"], row["agreement_by_class"] = agreement(found, asked)
        return images, row


def show(row):
    agreement = f"{row['agreement']:9.4f}" if "agreement" in row else f"{'-':>9}"
    print(f"{os.path.basename(row['model']):28} {row['way']:20} {row['nfe']:7.1f} {row['n']:6} {agreement} "
          f"{row['distance']:9.3f} {row['floor']:8.3f} {row['ratio']:7.2f} {row['apart']:7.4f}", flush=True)


def keep(o, result):
    """What there is so far, in the file of --json."""
    if o.json:
        with open(o.json, "w") as f:
            json.dump(result, f, indent=2)


def common_options(p):
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--pfgm", required=True, help="the program")
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    p.add_argument("--scratch", required=True, help="folder for the classifier and for samples")
    p.add_argument("--json", help="file for the results")


def options():
    p = argparse.ArgumentParser(description=__doc__, epilog=APART, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+", help="checkpoints of 28×28 grey images")
    common_options(p)
    p.add_argument("--solvers", default="default,rk45,multistep3:20,multistep3:12,unipc3:20,heun:18,euler:100",
                   help="METHOD[:STEPS[:SCHEDULE]], separated by commas (%(default)s)")
    p.add_argument("-n", type=int, help="samples of each, in the place of 10000 for default and rk45, 2000 for others")
    p.add_argument("--threads", type=int, default=1,
                   help="of the classifier (1; more are slower where other programs hold the cores)")
    o = p.parse_args()
    o.solvers = o.solvers.split(",")
    if o.n is not None and not 2 * CLASSES <= o.n <= 50000:
        p.error(f"-n must be {2 * CLASSES} to 50000")
    return o


def main():
    o = options()
    torch.set_num_threads(o.threads)
    sizes = {solver: o.n or (10000 if solver in FULL else 2000) for solver in o.solvers}
    judge = Judge(o, sizes.values())
    result = {"classifier": {"test_accuracy": judge.accuracy[0], "by_class": judge.accuracy[1]}, "floor": {}, "rows": []}
    print(f"classifier: finds the class of {judge.accuracy[0]:.4f} of the test images")
    for n, (mean, deviation) in judge.floors.items():
        result["floor"][n] = {"distance": mean, "deviation": deviation}
        print(f"floor: {n} training images are {mean:.3f} ± {deviation:.3f} from the test images")
    print(f"{'model':28} {'solver':20} {'nfe':>7} {'n':>6} {'agreement':>9} {'distance':>9} {'floor':>8} {'ratio':>7} {'apart':>7}")
    for model in o.models:
        first = {}
        for solver in o.solvers:
            images, row = judge.row(o, model, solver, solver_words(solver), sizes[solver])
            row["apart"] = apart(images, first.setdefault(row["n"], images))
            result["rows"].append(row)
            show(row)
            keep(o, result)


if __name__ == "__main__":
    main()
