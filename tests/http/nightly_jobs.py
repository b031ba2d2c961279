"""What jobs cost the requests beside them, what requests cost a job, and what the store costs, in figures.

    nightly_jobs.py beside    one-image requests beside a job: their p95 latency, and what is left of the machine for the job
    nightly_jobs.py long      a long job: the store's share of the time, the slope of the memory, the archive in numpy

Other things may run on the machine too, so what is compared takes turns and medians count. JOBS_SCALE=0.05 is a short form
in which figures are printed and only what does not depend on the time is judged.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from harness import DIGITS, MODELS, Daemon, wait_until

SCALE = float(os.environ.get("JOBS_SCALE", "1"))
BUNDLED = os.path.join(MODELS, "fashion10.safetensors")
NFE = 20  # evaluations per image of its tuned schedule
failures = []


def judge(what, value, bound, unit=""):
    print(f"{what}: {value:.4g}{unit}, at most {bound:.4g}{unit}: {'good' if value <= bound else 'MISSED'}", flush=True)
    if value > bound and SCALE >= 1:
        failures.append(what)


def file_job(daemon, **fields):
    answer = daemon.request("POST", "/v1/jobs", json.dumps(fields), {"Content-Type": "application/json"})
    assert answer.status == 202, answer.body
    return answer.json()["id"]


def job_of(daemon, name):
    return daemon.get(f"/v1/jobs/{name}").json()


def wait_job(daemon, name):
    wait_until(lambda: job_of(daemon, name)["state"] == "succeeded", "the job's end", 3600)


def made(daemon):
    """Evaluations of the field so far, which come more evenly than whole images."""
    return daemon.metrics().sum("pfgmd_field_evaluations_total")


def per_95(values):
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def thread_seconds(process):
    """Processor time of each thread so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    out = {}
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/task/{task}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
            out[task] = (int(fields[11]) + int(fields[12])) / ticks
    return out


# ---- requests beside a job ----

def ask_each_second(daemon, seconds):
    """Latencies of one-image requests, one per second, whether or not the last one has been answered."""
    taken, threads = [], []

    def ask(seed):
        begun = time.monotonic()
        answer = daemon.images({"seed": seed})
        assert answer.status == 200, answer.body
        taken.append(time.monotonic() - begun)
    begun = time.monotonic()
    for i in range(int(seconds)):
        time.sleep(max(0.0, begun + i - time.monotonic()))
        threads.append(threading.Thread(target=ask, args=(i,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return taken


def rates_of_job(daemon, seconds, requests):
    """Evaluations for the job and processor time, both per second, and the latencies of the requests beside it."""
    first, spent, begun = made(daemon), sum(thread_seconds(daemon.process).values()), time.monotonic()
    taken = ask_each_second(daemon, seconds) if requests else time.sleep(seconds)
    length, spent = time.monotonic() - begun, sum(thread_seconds(daemon.process).values()) - spent
    own = made(daemon) - first - NFE * len(taken or [])
    return own / length, spent / length, taken


def step_seconds(daemon):
    m = daemon.metrics()
    return m.value("pfgmd_ode_step_duration_seconds_sum"), m.value("pfgmd_ode_step_duration_seconds_count")


def beside(rounds=5):
    seconds = max(4, 60 * SCALE)
    idle, busy, alone, shared = [], [], [], []
    with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder, model=BUNDLED) as daemon:
        ask_each_second(daemon, 3)
        for _ in range(rounds):
            idle += ask_each_second(daemon, seconds)
            name = file_job(daemon, n=1_000_000, seed=1)
            wait_until(lambda name=name: job_of(daemon, name)["progress"]["images_done"] > 0, "the job runs")
            sum_before, count_before = step_seconds(daemon)
            alone.append(rates_of_job(daemon, seconds, False))
            sum_after, count_after = step_seconds(daemon)
            shared.append(rates_of_job(daemon, seconds, True))
            busy += shared[-1][2]
            assert daemon.request("DELETE", f"/v1/jobs/{name}").status in (200, 202, 204)
            daemon.wait_work(0)
    step = (sum_after - sum_before) / (count_after - count_before)
    print(f"idle: {len(idle)} requests, median {1e3 * statistics.median(idle):.1f} ms, p95 {1e3 * per_95(idle):.1f} ms; "
          f"beside a job: median {1e3 * statistics.median(busy):.1f} ms, p95 {1e3 * per_95(busy):.1f} ms; "
          f"one step of the job: {1e3 * step:.1f} ms")
    for a, s in zip(alone, shared):
        print(f"job alone {a[0]:.0f} evaluations/s, with one request per second {s[0]:.0f}: {s[0] / a[0]:.1%}; "
              f"a request costs {s[1] - s[0] * a[1] / a[0]:.3f} s of processor time")
    judge("p95 of requests beside a job", 1e3 * per_95(busy), 1e3 * (2 * per_95(idle) + step), " ms")
    judge("what requests take from a job", 1 - statistics.median(s[0] / a[0] for a, s in zip(alone, shared)), 0.2)


# ---- a long job ----

def anonymous_kib(daemon):
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))


def slope_per_hour(samples):
    """Of (seconds, KiB) in MiB per hour: the median of the slopes between the points of one half and those of the other."""
    half = len(samples) // 2
    slopes = [(k2 - k1) / (t2 - t1) for (t1, k1), (t2, k2) in zip(samples[:half], samples[-half:])]
    return statistics.median(slopes) * 3600 / 1024


def engine_rate(seconds):
    """Images per second of the same order where no store is: POST /v1/images at batch priority, always enough in flight."""
    with Daemon("--queue", "1024") as daemon:
        end = time.monotonic() + seconds + 1

        def ask():
            while time.monotonic() < end:
                answer = daemon.images({"n": 64, "seed": 1, "priority": "batch"}, query="?format=npz")
                assert answer.status == 200, answer.body
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        first, begun = made(daemon), time.monotonic()
        time.sleep(seconds)
        rate = (made(daemon) - first) / (time.monotonic() - begun)
        for thread in threads:
            thread.join()
    return rate


def long():
    n = int(50_000 * SCALE)
    memory, rates = [], []
    with tempfile.TemporaryDirectory() as folder, Daemon("--state", folder) as daemon:
        if SCALE >= 1:  # the store's caches of 8 MiB fill first, and the allocator's lists
            wait_job(daemon, file_job(daemon, n=300_000, seed=2, solver={"method": "euler", "steps": 1}))
        before, cpu_before = time.monotonic(), thread_seconds(daemon.process)
        name = file_job(daemon, n=n, seed=1)
        last = (before, made(daemon))
        while (job := job_of(daemon, name))["state"] in ("queued", "running"):
            time.sleep(max(0.2, 2 * min(1, SCALE)))
            now = (time.monotonic(), made(daemon))
            rates.append((now[1] - last[1]) / (now[0] - last[0]))
            last = now
            memory.append((now[0] - before, anonymous_kib(daemon)))
        length = time.monotonic() - before
        assert job["state"] == "succeeded", job
        spent = {t: s - cpu_before.get(t, 0) for t, s in thread_seconds(daemon.process).items()}
        store = daemon.metrics().value("pfgmd_job_store_bytes")
        ranked = sorted(spent.values(), reverse=True)
        workers = int(daemon.metrics().value("pfgmd_workers"))
        archive = daemon.get(f"/v1/jobs/{name}/archive?format=npz").body
    cost = sum(ranked[workers:]) / sum(ranked)
    print(f"{n} images in {length:.1f} s, {n / length:.1f} images/s; workers {sum(ranked[:workers]):.2f} s of processor time, "
          f"all other threads {sum(ranked[workers:]):.2f} s; the store takes {store / n:.0f} bytes per image")
    warm = [m for m in memory if m[0] > length / 4]
    print(f"memory without files: {memory[0][1]} KiB at first, {warm[0][1]} KiB after a quarter, {warm[-1][1]} KiB at the end")
    judge("processor time of the store and all that is not sampling", cost, 0.05)
    judge("slope of the memory", slope_per_hour(warm), 1.0, " MiB/h")
    own = engine_rate(max(3, 20 * SCALE))
    print(f"median rate of the job {statistics.median(rates):.0f} evaluations/s, of requests without a store {own:.0f}: "
          f"{statistics.median(rates) / own:.1%}")
    check_archive(archive, n)


# Debian's Python, whose numpy conf/deps.sh installs: another one may come first in PATH.
LOADED = """
import sys, numpy
arrays = numpy.load(sys.argv[1])
print({key: (arrays[key].dtype.name, arrays[key].shape) for key in arrays.files})
images = next(arrays[key] for key in arrays.files if arrays[key].ndim == 4)
assert images.shape[0] == int(sys.argv[2]) and images.any(axis=(1, 2, 3)).all(), "images are missing"
"""


def check_archive(archive, n):
    with tempfile.NamedTemporaryFile(suffix=".npz") as f:
        f.write(archive)
        f.flush()
        subprocess.run(["/usr/bin/python3", "-c", LOADED, f.name, str(n)], check=True)
    print(f"the archive has {len(archive)} bytes, and numpy reads it")


if __name__ == "__main__":
    for word in sys.argv[1:] or ("beside", "long"):
        {"beside": beside, "long": long}[word]()
    print("missed: " + ", ".join(failures) if failures else "all goals met" if SCALE >= 1 else "short form: not judged")
    sys.exit(bool(failures))
