"""pfgm against PyTorch and oneDNN in one run; compare.sh prepares what this needs and starts it.

Times on a machine that others use too are worth little, ratios within one run more. So every round measures each side
of each row once, one after the other, and a row's figure is the ratio of the medians over the rounds; beside it that of
the best, which a busy neighbour disturbs less, and on one core that of the processor times, which he hardly disturbs.
How much of the machine others took is told too: PyTorch's threads wait for each other at every layer, so on all cores a
neighbour costs it far more than his share. What this machine or this build cannot run is named with the reason.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TORCH = os.path.join(HERE, "torch_ddpmpp.py")
HELD_TO_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
MEMORY = ("contiguous", "channels_last")
NO_TIME = "no time was left for it, the machine is too busy (--budget)"
BOTH_FORMATS = 2  # rounds in which PyTorch runs both memory formats; then the better one only


class Unavailable(Exception):
    pass


def pfgm(options, *words):
    """The JSON that `pfgm bench` prints; Unavailable with its own words when it cannot run that."""
    done = subprocess.run([options.pfgm, "bench", *words, "--json"], capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout)
    raise Unavailable(done.stderr.strip().splitlines()[-1] if done.stderr else f"exit code {done.returncode}")


class Torch:
    """One PyTorch process that answers measurements."""

    def __init__(self, python, environment):
        self.process = subprocess.Popen([python, TORCH, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**os.environ, **environment})
        self.hello = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"compare.py: PyTorch ended with code {self.process.wait()}")
        return json.loads(line)

    def measure(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Series:
    """What one side of a row measured, round by round."""

    def __init__(self, reason=None):
        self.medians, self.bests, self.cpus, self.last, self.reason = [], [], [], None, reason

    def add(self, result):
        self.medians.append(result["ms_per_image"]["median"])
        self.bests.append(result["ms_per_image"]["best"])
        self.cpus.append(result["ms_per_image"]["cpu"])
        self.last = result

    def median(self):
        return statistics.median(self.medians)

    def cpu(self):
        """Processor time is the same whoever else runs, so the least is the truest; None on several cores."""
        alone = self.last.get("threads", self.last.get("workers")) == 1
        return min(self.cpus) if alone else None

    def best(self):
        return min(self.bests)


def our_series(options, workers):
    """Key: the words of `pfgm bench`."""
    large = ["--model", options.large, "--nfe", "104", "--seconds", "1"]
    small = ["--model", options.small, "--nfe", "100", "--seconds", "0.4"]
    eight, everyone, alone = ["--batch", "8"], ["--workers", str(workers)], ["--workers", "1"]
    single = ["--precision", "f32"]
    series = {"large f32": large + eight + everyone + ["--kernel", "avx512"],
              "large avx2": large + eight + everyone + ["--kernel", "avx2"]}
    series.update({f"large {p}": large + eight + everyone + ["--precision", p] for p in ("bf16x3", "bf16")})
    series.update({f"large alone {p}": large + ["--batch", "4", "--precision", p] + alone for p in ("bf16x3", "bf16")})
    series["large alone"] = large + ["--batch", "4"] + alone + single
    series["large single"] = large + ["--batch", "1"] + everyone + single
    series["large single alone"] = large + ["--batch", "1"] + alone + single
    series["small"] = small + eight + everyone + single
    series["small alone"] = small + eight + alone + single
    return series


def torch_series(options, workers):
    """Key: the process, and the request without its memory format."""
    large, small = {"model": options.large, "seconds": 1}, {"model": options.small, "seconds": 0.4}
    return {
        "large f32": ("native", {**large, "batch": 8, "threads": workers}),
        "large bf16": ("native", {**large, "batch": 8, "threads": workers, "dtype": "bf16"}),
        "large avx2": ("avx2", {**large, "batch": 8, "threads": workers}),
        "large alone": ("native", {**large, "batch": 4, "threads": 1}),
        "large alone bf16": ("native", {**large, "batch": 4, "threads": 1, "dtype": "bf16"}),
        "large single": ("native", {**large, "batch": 1, "threads": workers}),
        "small": ("native", {**small, "batch": 8, "threads": workers}),
        "small alone": ("native", {**small, "batch": 8, "threads": 1}),
    }


# label, our series, theirs ("ours:" for one of ours), what is aimed at
ROWS = [
    ("cifar10-ddpmpp, batch 8, all cores: f32 AVX-512 / PyTorch f32", "large f32", "large f32", 2.5),
    ("cifar10-ddpmpp, batch 8, all cores: f32 AVX2 / PyTorch f32 held to AVX2", "large avx2", "large avx2", 1.5),
    ("cifar10-ddpmpp, batch 8, all cores: bf16x3 / PyTorch f32", "large bf16x3", "large f32", 4),
    ("cifar10-ddpmpp, batch 8, all cores: bf16 / PyTorch bf16", "large bf16", "large bf16", 2.5),
    ("cifar10-ddpmpp, batch 8, all cores: bf16 / PyTorch f32", "large bf16", "large f32", 8),
    ("cifar10-ddpmpp, batch 8, all cores: f32 AVX-512 / PyTorch bf16", "large f32", "large bf16", None),
    ("cifar10-ddpmpp, batch 4, one core: f32 / PyTorch f32", "large alone", "large alone", None),
    ("cifar10-ddpmpp, batch 4, one core: bf16x3 / PyTorch f32", "large alone bf16x3", "large alone", None),
    ("cifar10-ddpmpp, batch 4, one core: bf16 / PyTorch bf16", "large alone bf16", "large alone bf16", None),
    ("cifar10-ddpmpp, batch 4, one core: bf16 / PyTorch f32", "large alone bf16", "large alone", None),
    ("cifar10-ddpmpp, batch 1, all cores: f32 / PyTorch f32", "large single", "large single", None),
    ("cifar10-ddpmpp, batch 1: all cores / one core", "large single", "ours:large single alone", 1.7),
    ("small network (28 pixels), batch 8, all cores: f32 / PyTorch f32", "small", "small", 5),
    ("small network (28 pixels), batch 8, one core: f32 / PyTorch f32", "small alone", "small alone", None),
]


# ---- measuring ----

def measure_ours(options, words, series, flags, late):
    if {"bf16", "bf16x3"} & set(words) and not {"amx_bf16", "avx512_bf16"} & set(flags):
        series.reason = "this machine has no instructions for bf16"
    elif late and not series.bests:
        series.reason = NO_TIME
    if series.reason or late:
        return
    try:
        series.add(pfgm(options, *words))
    except Unavailable as why:
        series.reason = str(why)
    print(".", end="", file=sys.stderr, flush=True)


def better(formats):
    """The memory format with the better best time."""
    return min((s for s in formats.values() if s.bests), key=Series.best, default=Series(NO_TIME))


def measure_theirs(processes, where, request, formats, round_number, late):
    for memory, series in formats.items():
        if late or (round_number >= BOTH_FORMATS and series is not better(formats)):
            continue
        series.add(processes[where].measure({**request, "memory": memory}))
        print(".", end="", file=sys.stderr, flush=True)


def run_rounds(options, machine):
    ours_words, theirs_requests = our_series(options, machine["workers"]), torch_series(options, machine["workers"])
    ours = {key: Series() for key in ours_words}
    theirs = {key: {m: Series() for m in MEMORY} for key in theirs_requests}
    processes = {"native": Torch(options.python, {}), "avx2": Torch(options.python, HELD_TO_AVX2)}
    # The other side follows at once where it has a side of the same name, so that neighbours fall on both.
    order = list(theirs_requests) + [k for k in ours_words if k not in theirs_requests]
    begun, rounds = time.monotonic(), 0
    while rounds < options.rounds and (rounds == 0 or
                                       (time.monotonic() - begun) * (rounds + 1) / rounds < options.budget):
        for key in order:
            late = time.monotonic() - begun > options.budget
            if key in theirs_requests:
                measure_theirs(processes, *theirs_requests[key], theirs[key], rounds, late)
            if key in ours_words:
                measure_ours(options, ours_words[key], ours[key], machine["flags"], late)
        rounds += 1
    print(file=sys.stderr)
    hello = processes["native"].hello
    for process in processes.values():
        process.close()
    return rounds, ours, {key: better(formats) for key, formats in theirs.items()}, hello


def check_fields(options):
    """The PyTorch network against golden tensors, and against ours on the large checkpoint."""
    def torch(*words):
        done = subprocess.run([options.python, TORCH, *words], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit("compare.py: the PyTorch network does not compute the field: its times mean nothing")
        return done.stdout.strip()
    points, answers = options.scratch + "/points.safetensors", options.scratch + "/answers.safetensors"
    checks = [json.loads(torch("check", options.small, options.golden))]
    torch("points", options.large, points)
    subprocess.run([options.pfgm, "field", options.large, "--precision", "f32", "--input", points, "--output", answers],
                   check=True, stdout=subprocess.DEVNULL)
    checks.append(json.loads(torch("check", options.large, points, answers)))
    for c, what in zip(checks, ("golden tensors", "pfgm field")):
        print(f"PyTorch network against {what}: v_x {c['v_x']:.1e}, v_t {c['v_t']:.1e} of the largest value")
    return checks


def compare_layers(options):
    """Single 3×3 convolutions on one core: ours against oneDNN's direct and Winograd kernels."""
    ops = pfgm(options, "ops", "--kernel", "auto", "--seconds", "0.05")
    kernel = ops["rows"][-1]["kernel"]  # the widest comes last, in f32
    forms = {(r["op"], r["side"], r["in"], r["out"]): r for r in ops["rows"] if r["kernel"] == kernel}
    sizes = [k[1:] for k in forms if k[0] == "winograd" and k[3] > 4]
    images = ops["rows"][0]["images"]
    done = subprocess.run([options.onednn, "0.05", str(images), *(str(n) for size in sizes for n in size)],
                          capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    layers = []
    for size, line in zip(sizes, done.stdout.splitlines()):
        theirs, direct, winograd = json.loads(line), forms["conv3x3", *size], forms["winograd", *size]
        layers.append({"side": size[0], "in": size[1], "out": size[2], "images": images, "kernel": kernel,
                       "direct": direct["gflops"], "winograd": winograd["gflops"],
                       "used": "winograd" if winograd["used"] else "direct",
                       "direct_share_of_peak": direct["share_of_peak"],
                       "onednn_direct": theirs["direct"], "onednn_winograd": theirs["winograd"]})
    return layers


def cpu_seconds():
    """Processor time of everybody, and of this process and those it has waited for."""
    with open("/proc/stat") as file:
        user, nice, system = (int(word) for word in file.readline().split()[1:4])
    everybody = (user + nice + system) / os.sysconf("SC_CLK_TCK")
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return everybody, sum(u.ru_utime + u.ru_stime for u in usage)


class Neighbours:
    """The share of the machine that other processes take, from here on."""

    def __init__(self):
        self.begun, self.cpu = time.monotonic(), cpu_seconds()

    def share(self, cpus):
        everybody, ours = (now - then for now, then in zip(cpu_seconds(), self.cpu))
        return max(0.0, (everybody - ours) / (time.monotonic() - self.begun) / cpus)


# ---- reporting ----

def row_result(label, ours, theirs, goal):
    result = {"row": label, "goal": goal}
    missing = ours.reason or theirs.reason
    if missing:
        return {**result, "not_measured": missing}
    cpu = theirs.cpu() / ours.cpu() if ours.cpu() and theirs.cpu() else None
    return {**result, "pfgm_ms": ours.median(), "other_ms": theirs.median(), "ratio": theirs.median() / ours.median(),
            "ratio_of_cpu": cpu, "ratio_of_best": theirs.best() / ours.best(), "pfgm_kernel": ours.last["kernel"],
            "pfgm_share_of_peak": ours.last["share_of_peak"], "other_memory": theirs.last.get("memory")}


def print_rows(results):
    print(f"\n{'ms an image and evaluation, medians':74} {'pfgm':>9} {'other':>9} {'ratio':>6} {'best':>6} {'cpu':>5} "
          f"{'goal':>5}")
    for r in results:
        goal = f"{r['goal']:g}" if r["goal"] else ""
        cpu = f"{r['ratio_of_cpu']:.2f}" if r.get("ratio_of_cpu") else ""
        if "not_measured" in r:
            print(f"{r['row']:74} not measured: {r['not_measured']}")
        else:
            print(f"{r['row']:74} {r['pfgm_ms']:9.3f} {r['other_ms']:9.3f} {r['ratio']:6.2f} {r['ratio_of_best']:6.2f} "
                  f"{cpu:>5} {goal:>5}")


def print_layers(layers):
    print(f"\n{'3x3 convolution, one core, GFLOP/s':36} {'direct':>7} {'of peak':>8} {'Winograd':>9} {'used':>9} "
          f"{'oneDNN':>8} {'Winograd':>9}")
    for r in layers:
        theirs = ["%.0f" % r[k] if r[k] else "none" for k in ("onednn_direct", "onednn_winograd")]
        size = f"{r['side']}x{r['side']} {r['in']}>{r['out']}, {r['images']} images"
        share = 100 * r["direct_share_of_peak"]
        print(f"{size:36} {r['direct']:7.0f} {share:6.0f} % {r['winograd']:9.0f} {r['used']:>9} {theirs[0]:>8} "
              f"{theirs[1]:>9}")


def memory_result(ours, theirs, hello):
    """Peak memory of one process each with the large network at batch 8, and our loading time."""
    shown = next((s for s in (ours["large f32"], ours["large avx2"]) if s.last), None)
    if not shown:
        return None
    result = {"pfgm_peak_rss_bytes": shown.last["peak_rss_bytes"], "pfgm_weights_bytes": shown.last["weights_bytes"],
              "pfgm_load_s": shown.last["load_s"], "torch_peak_rss_bytes": theirs, "torch_import_rss_bytes":
              hello["import_rss_bytes"]}
    for precision in ("bf16x3", "bf16"):
        last = ours["large " + precision].last
        if last:
            result[precision + "_peak_rss_bytes"] = last["peak_rss_bytes"]
    return result


def torch_memory(options, workers):
    """A process of its own, since a peak never falls again."""
    done = subprocess.run([options.python, TORCH, "time", options.large, "--batch", "8", "--threads", str(workers),
                           "--seconds", "0.1"], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)["peak_rss_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pfgm", required=True, help="the binary")
    parser.add_argument("--onednn", required=True, help="the binary of conv_onednn.c")
    parser.add_argument("--large", required=True, help="a cifar10-ddpmpp checkpoint")
    parser.add_argument("--small", required=True, help="the bundled model")
    parser.add_argument("--golden", required=True, help="golden tensors of the bundled model")
    parser.add_argument("--scratch", required=True, help="a folder for files in between")
    parser.add_argument("--json", required=True, help="where the results go")
    parser.add_argument("--python", default="/usr/bin/python3", help="a Python that has PyTorch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=180,
                        help="seconds of measuring; a round that would not fit is not begun, nor a row")
    options = parser.parse_args()
    machine = pfgm(options, "--model", options.small, "--seconds", "0.05", "--nfe", "1")["machine"]
    print(f"{machine['model']}, {machine['workers']} workers, {' '.join(machine['flags'])}")
    checks = check_fields(options)
    neighbours = Neighbours()
    rounds, ours, theirs, hello = run_rounds(options, machine)
    others = neighbours.share(machine["cpus"])
    results = [row_result(label, ours[a], ours[b[5:]] if b.startswith("ours:") else theirs[b], goal)
               for label, a, b, goal in ROWS]
    memory = memory_result(ours, torch_memory(options, machine["workers"]), hello)
    layers = compare_layers(options)
    print_rows(results)
    print_layers(layers)
    if memory:
        mb = {key: value / 1e6 for key, value in memory.items()}
        print(f"\ncifar10-ddpmpp, batch 8: peak memory {mb['pfgm_peak_rss_bytes']:.0f} MB (packed weights "
              f"{mb['pfgm_weights_bytes']:.0f} MB), PyTorch {mb['torch_peak_rss_bytes']:.0f} MB "
              f"({mb['torch_import_rss_bytes']:.0f} MB after import); ready in {memory['pfgm_load_s']:.2f} s")
        for precision in ("bf16x3", "bf16"):
            if precision + "_peak_rss_bytes" in mb:
                print(f"{precision}: peak memory {mb[precision + '_peak_rss_bytes']:.0f} MB")
    with open(options.json, "w") as file:
        json.dump({"machine": machine, "torch": hello["torch"], "rounds": rounds, "neighbours_share": others,
                   "checks": checks, "rows": results, "memory": memory, "layers": layers}, file, indent=2)
        file.write("\n")
    print(f"{rounds} rounds; other processes took {100 * others:.0f} % of the machine meanwhile; {options.json}")


if __name__ == "__main__":
    main()
