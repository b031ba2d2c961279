"""Starting, being ready, stopping, and clients that leave."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import (DIGITS, ENDLESS, FASHION, LATE, PATIENCE, PFGMD, SANITIZER, Daemon, answered,
                     closed_port, growing, has_ipv6, long_work, run, wait_until)


def status_of(s):
    """The status that comes on a socket, None when it closes without one."""
    try:
        head = s.recv(12)
    except ConnectionResetError:
        return None
    return int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else None


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Start(unittest.TestCase):
    def test_health_before_ready_llama_cpp_14092(self):
        """503 while loading; the first 200 means that work succeeds. There are so many models that they are still being
        loaded when all has been asked: on a quick machine, or one that stands still, more of them."""
        count = 6 if SANITIZER == "none" else 3
        while not self.was_loading(count):
            count *= 2
            self.assertLess(count, 500, "it is ready before its models are loaded")

    def was_loading(self, count):
        many = [f"--model=f{i}={FASHION}" for i in range(count)]
        with Daemon(*many, model=None, ready=False) as daemon:
            first = daemon.get("/readyz")
            live = daemon.get("/livez")
            verbose = daemon.get("/readyz?verbose")
            last = daemon.get(f"/v1/models/f{count - 1}")
            work = daemon.images({})
            if daemon.get("/readyz").status == 200:
                return False
            self.assertEqual((first.status, first.json()["code"]), (503, "loading"))
            self.assertRegex(first.json()["detail"], rf"model \d+ of {count}\b")
            self.assertEqual(live.status, 200)
            self.assertEqual(verbose.status, 503)
            self.assertFalse(verbose.json()["checks"][0]["ok"])
            self.assertEqual(last.json()["state"], "loading")
            self.assertEqual((work.status, work.json()["code"]), (503, "loading"))
            self.assertEqual(work.headers["Retry-After"], "1")
            wait_until(lambda: daemon.get("/readyz").status == 200, "ready")
            solver = {"method": "euler", "steps": 2}
            self.assertEqual(daemon.images({"model": f"f{count - 1}", "solver": solver}).status, 200)
            self.assertEqual(daemon.images({"solver": solver}).headers["X-Pfgm-Model"], "f0")
        return True

    def test_first_ready_answer_can_work_llama_cpp_14092(self):
        for _ in range(5):
            with Daemon(ready=False) as daemon:
                end = time.monotonic() + PATIENCE
                while daemon.get("/readyz").status != 200:
                    self.assertLess(time.monotonic(), end)
                self.assertEqual(daemon.images({"seed": 1}).status, 200)

    def test_port_taken_rayforce_473(self):
        with Daemon() as daemon:
            begun = time.monotonic()
            address = f"127.0.0.1:{daemon.port}"
            second = run(PFGMD, "--model", DIGITS, "--listen", address)
            self.assertLess(time.monotonic() - begun, LATE)
            self.assertEqual(second.returncode, 1)
            self.assertIn(address.encode(), second.stderr)
            self.assertIn(b"in use", second.stderr)
            self.assertNotIn(b"info ready", second.stderr)
            self.assertEqual(second.stderr.count(b"\n"), 1)

    def check_refused(self, path, *words):
        """Exit code 2, one error line with these words, never ready."""
        result = run(PFGMD, "--model", path, "--listen", "127.0.0.1:0")
        self.assertEqual(result.returncode, 2, result.stderr)
        errors = [x for x in result.stderr.decode().splitlines() if " error " in x]
        self.assertEqual(len(errors), 1, result.stderr)
        for word in words:
            self.assertIn(word, errors[0])
        self.assertNotIn(b"info ready", result.stderr)

    def test_bad_checkpoints(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.safetensors")
            with open(DIGITS, "rb") as f:
                good = f.read()
            for data, word in [(good[:-1000], "m.safetensors"), (b"", "m.safetensors"),
                               (b"version https://git-lfs.github.com/spec/v1\n" + b"x" * 88,
                                "lfs"),
                               (good[:-4] + b"\0\0\xc0\x7f", "finite")]:
                with open(path, "wb") as f:
                    f.write(data)
                self.check_refused(path, path, word)
            self.check_refused(os.path.join(folder, "absent.safetensors"), "absent.safetensors")

    def test_one_bad_model_among_good_ones(self):
        result = run(PFGMD, "--model", DIGITS, "--model", "b=/nonexistent", "--listen",
                     "127.0.0.1:0")
        self.assertEqual(result.returncode, 2)
        self.assertNotIn(b"info ready", result.stderr)

    def test_settings(self):
        for args in [["--frobnicate"], ["--workers", "x", "--model", DIGITS], [],
                     ["--model", DIGITS, "--listen", "nonsense"],
                     ["--model", DIGITS, "--config", "/nonexistent"]]:
            result = run(PFGMD, *args)
            self.assertIn(result.returncode, (1, 2), args)
            self.assertEqual(result.stderr.count(b"\n"), 1, result.stderr)
        self.assertEqual(run(PFGMD, "--help").returncode, 0)
        self.assertRegex(run(PFGMD, "--version").stdout, rb"^pfgmd \d+\.\d+\.\d+\n$")

    def test_the_manual_has_every_flag(self):
        with open(os.path.join(os.environ["CONF"], "..", "docs", "man", "pfgmd.8"), encoding="utf-8") as f:
            manual = f.read().replace("\\-", "-")
        flags = re.findall(r"--[a-z][a-z-]+", run(PFGMD, "--help").stdout.decode())
        self.assertGreater(len(flags), 40)
        self.assertEqual([flag for flag in flags if flag not in manual], [])

    def test_shipped_configuration_is_taken(self):
        conf = os.path.join(os.environ["CONF"], "pfgmd.conf")
        result = run(PFGMD, "--config", conf, "--model", "fashion=" + DIGITS, "--check-config")
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(conf, encoding="utf-8") as f:
            lines = f.read().splitlines()
        keys = [x[1:] for x in lines if x.startswith("#") and " = " in x and x[1] != " "]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "all.conf")
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(k for k in keys if not k.startswith(("path", "["))) + "\n")
                f.write(f"[model d]\npath = {DIGITS}\n")
            result = run(PFGMD, "--config", path, "--check-config")
            self.assertEqual(result.returncode, 0, result.stderr)
            with Daemon("--config", path, model=None) as daemon:
                limits = daemon.get("/v1/capabilities").json()["limits"]
                self.assertEqual((limits["n"], limits["queue_images"]), (64, 1024))

    def test_help_and_completion_list_every_setting(self):
        """Both are written by hand and from the help; the shipped configuration has all settings."""
        text = run(PFGMD, "--help").stdout.decode()
        with open(os.path.join(os.environ["CONF"], "pfgmd.conf"), encoding="utf-8") as f:
            keys = re.findall(r"^#([a-z_]+) =", f.read(), re.M)
        self.assertGreater(len(keys), 20)
        for key in keys:
            self.assertRegex(text, rf"--{key.replace('_', '-')}[ ,]")
        ask = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pfgmd; printf "%s\\n" "${COMPREPLY[@]}"'
        script = os.path.join(os.environ["CONF"], "completions", "pfgmd.bash")
        for words, answer in (([PFGMD, "--"], {"--" + key.replace("_", "-") for key in keys}),
                              ([PFGMD, "--kernel", "avx"], {"avx2", "avx512"}), ([PFGMD, "--check"], {"--check-config"})):
            offered = run("bash", "-c", ask, "bash", script, *words).stdout.decode().split()
            self.assertLessEqual(answer, set(offered))

    def test_systemd_is_told_traceway_361(self):
        """Asks for time while it loads, READY only when ready, STOPPING at the end."""
        with tempfile.TemporaryDirectory() as folder, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            path = os.path.join(folder, "notify")
            s.bind(path)
            s.settimeout(1 if os.environ["HAVE_SYSTEMD"] == "0" else PATIENCE)
            heard = []

            def listen(until):
                try:
                    while not any(until in text for text in heard):
                        heard.append(s.recv(4096).decode())
                except socket.timeout:
                    pass
            with Daemon("--drain-timeout", "90", env={"NOTIFY_SOCKET": path}) as daemon:
                listen("READY=1")
                daemon.signal(signal.SIGTERM)
                self.assertEqual(daemon.wait(), 0)
                listen("STOPPING=1")
            if os.environ["HAVE_SYSTEMD"] == "0":
                self.assertEqual(heard, [])
                return
            self.assertEqual([text.split("=")[0] for text in heard], ["STATUS", "READY",
                                                                      "STOPPING"])
            self.assertIn("EXTEND_TIMEOUT_USEC=", heard[0])
            self.assertIn("EXTEND_TIMEOUT_USEC=100000000", heard[-1])  # beyond the unit's TimeoutStopSec

    def test_ipv6(self):
        if not has_ipv6():
            self.assertIn("[::1]", run(PFGMD, "--model", DIGITS, "--listen", "[::1]:0").stderr.decode())
            return
        with Daemon(host="::1") as daemon:
            self.assertEqual(daemon.get("/livez").status, 200)

    def test_health_flag(self):
        with Daemon() as daemon:
            for host in ("127.0.0.1", "localhost"):  # a name may have an address at which nobody listens
                self.assertEqual(run(PFGMD, "--health", f"{host}:{daemon.port}").returncode, 0)
        with closed_port() as port:
            result = run(PFGMD, "--health", f"127.0.0.1:{port}")
        self.assertEqual((result.returncode, result.stderr.count(b"\n")), (1, 1))


class Busy(unittest.TestCase):
    def test_health_while_busy_ik_llama_cpp_1210(self):
        """An answer that had to wait for work would wait until that ends, which is after the test."""
        with Daemon("--workers", "2") as daemon:
            begun = [daemon.begin_images({"solver": ENDLESS}) for _ in range(8)]
            daemon.wait_metrics(lambda m: m.value("pfgmd_slots_busy") > 0, "work")
            times = []
            for i in range(200):
                start = time.monotonic()
                path = ["/livez", "/readyz", "/v1/models"][i % 3]
                self.assertEqual(daemon.get(path).status, 200)
                times.append(time.monotonic() - start)
            times.sort()
            print(f"health while busy: median {times[100] * 1e3:.1f} ms, slowest "
                  f"{times[-1] * 1e3:.1f} ms")
            self.assertLess(times[100], LATE / 20)
            self.assertLess(times[-1], LATE)
            for s in begun:
                s.close()

    def test_descriptors_run_short_pg_status_32(self):
        """With few descriptors the connections are fewer; nothing spins and service comes back."""
        limit = "ulimit -n 64; exec \"$0\" \"$@\""
        with Daemon("--idle-timeout", "600", command=["sh", "-c", limit]) as daemon:
            idle = [daemon.connect() for _ in range(100)]
            self.wait_quiet(daemon, 0.4)
            self.assertLess(len(daemon.lines), 12)
            for s in idle:
                s.close()
            # 503 while the ends come in
            wait_until(lambda: daemon.images({"seed": 1}).status == 200, "service again")

    def wait_quiet(self, daemon, most):
        """Until two seconds have passed in which the daemon used that little of the processor. What it still did at first
        is over then; one that never comes to rest fails."""
        def look():
            before = cpu_seconds(daemon.process.pid)
            time.sleep(2)
            return cpu_seconds(daemon.process.pid) - before < most
        wait_until(look, f"two seconds with less than {most} of the processor")

    def test_idle_uses_no_processor_openblas_5171(self):
        with Daemon("--workers", "2") as daemon:
            self.assertEqual(daemon.images({"n": 8}).status, 200)
            open_one = daemon.connect()
            self.wait_quiet(daemon, 0.05)
            open_one.close()

    def test_full_queue_lattice_932(self):
        """Exactly what does not fit is refused, at once; the rest is served."""
        with Daemon("--workers", "1", "--batch", "1", "--queue", "4") as daemon:
            running = daemon.begin_images({"solver": ENDLESS})
            daemon.wait_work(1)
            waiting = [daemon.begin_images({"seed": k}) for k in range(4)]
            daemon.wait_work(1, 4)
            self.assertEqual(daemon.get("/readyz").status, 200)
            for _ in range(6):
                refused = daemon.images({"seed": 9})
                self.assertEqual((refused.status, refused.json()["code"]), (503, "queue_full"))
                self.assertGreaterEqual(int(refused.headers["Retry-After"]), 1)
                self.assertEqual(refused.json()["limit"], 4)
            running.close()
            for s in waiting:
                self.assertEqual(status_of(s), 200)
                s.close()

    def test_disconnect_cancels_llama_cpp_24496(self):
        for reset in [False, True]:
            with Daemon("--workers", "1", "--batch", "1") as daemon:
                s = daemon.begin_images({"solver": ENDLESS})
                daemon.wait_work(1)
                if reset:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                left = time.monotonic()
                s.close()
                daemon.wait_line("/v1/images 499 ")
                self.assertLess(time.monotonic() - left, LATE)
                self.assertEqual(daemon.images({"seed": 1}).status, 200)

    def test_queued_of_vanished_clients_llama_cpp_13262(self):
        """What waits for clients that have gone is never computed."""
        with Daemon("--workers", "1", "--batch", "1") as daemon:
            running = daemon.begin_images({"solver": ENDLESS})
            daemon.wait_work(1)
            queued = [daemon.begin_images({"seed": 1, "solver": ENDLESS}) for _ in range(5)]
            daemon.wait_work(1, 5)
            for s in queued:
                s.close()
            daemon.wait_line("/v1/images 499 ", count=5)
            daemon.wait_work(1, 0)  # still the first
            running.close()
            begun = time.monotonic()
            self.assertEqual(daemon.images({"seed": 2}).status, 200)
            self.assertLess(time.monotonic() - begun, LATE)


class Stop(unittest.TestCase):
    def test_idle_stop_llama_cpp_10815(self):
        for number in [signal.SIGTERM, signal.SIGINT]:
            with Daemon("--drain-timeout", "600") as daemon:
                idle = [daemon.connect() for _ in range(2)]
                begun = time.monotonic()
                daemon.signal(number)
                self.assertEqual(daemon.wait(), 0)
                self.assertLess(time.monotonic() - begun, LATE)
                for s in idle:
                    s.close()

    def test_drain_kserve_3360(self):
        """What runs and what waits ends with 200; new work gets 503 and a closed connection. One that runs as long as its
        client stays keeps the process until all has been seen."""
        for seconds in growing(0.5, "work that runs when the drain begins"):
            if self.drained(seconds):
                return

    def drained(self, seconds):
        """False: what was to run longer than until the drain had ended before."""
        with Daemon("--workers", "1", "--batch", "2", "--drain-timeout", "600") as daemon:
            body = long_work(daemon, seconds)
            before = daemon.metrics().sum("pfgmd_images_admitted_total")
            kept = daemon.connect()
            endless = daemon.begin_images({"solver": ENDLESS})
            daemon.wait_work(1)
            begun = [daemon.begin_images(body)]
            daemon.wait_metrics(lambda m: m.sum("pfgmd_images_admitted_total") == before + 2, "what runs")
            begun += [daemon.begin_images({"seed": k}) for k in range(4)]
            daemon.wait_metrics(lambda m: m.sum("pfgmd_images_admitted_total") == before + 6, "all of it")
            daemon.signal(signal.SIGTERM)
            daemon.wait_line("stopping")
            if answered(begun[0]):
                return False
            ready = daemon.get("/readyz")
            self.assertEqual((ready.status, ready.json()["code"]), (503, "draining"))
            self.assertEqual(daemon.get("/livez").status, 200)
            new = daemon.images({"seed": 1})
            self.assertEqual((new.status, new.json()["code"]), (503, "draining"))
            self.assertEqual(new.headers["Connection"], "close")
            for s in begun:
                self.assertEqual(status_of(s), 200)
                s.close()
            self.assertIsNone(daemon.process.poll())
            endless.close()
            self.assertEqual(daemon.wait(), 0)
            kept.close()
            return True

    def test_drain_with_work_of_every_kind(self):
        """Running, waiting and streamed work ends well, and the process a moment after it."""
        with Daemon("--workers", "1", "--batch", "4", "--drain-timeout", "600") as daemon:
            body = long_work(daemon, 0.1)
            endless = daemon.begin_images({"solver": ENDLESS})  # keeps the process there while it is looked at
            daemon.wait_work(1)
            before = daemon.metrics().sum("pfgmd_images_admitted_total")
            sockets = [daemon.begin_images({**body, "seed": k, "priority": p})
                       for k, p in enumerate(["interactive", "batch"] * 2)]
            sockets.append(daemon.begin_images({**body, "format": "zip", "n": 2}))
            daemon.wait_metrics(lambda m: m.sum("pfgmd_images_admitted_total") == before + 6, "work of every kind")
            daemon.process.terminate()
            daemon.wait_line("stopping")
            self.assertEqual(daemon.metrics().value("pfgmd_draining"), 1)
            for s in sockets:
                self.assertEqual(status_of(s), 200)
            for s in sockets:
                s.close()
            begun = time.monotonic()
            endless.close()
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - begun, LATE)

    def test_drain_timeout(self):
        """What is not finished in time is answered with 503, and the exit code is still 0."""
        with Daemon("--workers", "1", "--batch", "2", "--drain-timeout", "1") as daemon:
            begun = [daemon.begin_images({"solver": ENDLESS}) for _ in range(4)]
            daemon.wait_work(2, 2)
            start = time.monotonic()
            daemon.signal(signal.SIGTERM)
            for s in begun:
                self.assertEqual(status_of(s), 503)
                s.close()
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - start, 1 + LATE)

    def test_second_signal(self):
        with Daemon("--workers", "1", "--drain-timeout", "600") as daemon:
            s = daemon.begin_images({"solver": ENDLESS})
            daemon.wait_work(1)
            daemon.signal(signal.SIGTERM)
            daemon.wait_line("stopping")
            begun = time.monotonic()
            daemon.signal(signal.SIGINT)
            self.assertNotEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - begun, LATE)
            s.close()

    def test_stop_while_loading(self):
        many = [f"--model=f{i}={FASHION}" for i in range(60)]
        with Daemon(*many, model=None, ready=False) as daemon:
            begun = time.monotonic()
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)
            self.assertLess(time.monotonic() - begun, LATE)

    def test_stop_under_load(self):
        """Clients that keep asking through the stop never see anything but 200, 503 or an end."""
        with Daemon("--workers", "2") as daemon:
            seen, stop = set(), threading.Event()

            def ask():
                while not stop.is_set():
                    try:
                        seen.add(daemon.images({"n": 2}).status)
                    except TimeoutError:
                        seen.add("no answer")
                        return
                    except OSError:
                        return
                    except Exception as e:  # http.client: an end before the answer
                        seen.add(type(e).__name__)
                        return
            threads = [threading.Thread(target=ask) for _ in range(16)]
            for t in threads:
                t.start()
            wait_until(lambda: 200 in seen, "an answer before the stop")
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)
            stop.set()
            for t in threads:
                t.join()
            self.assertLessEqual(seen, {200, 503})

    def test_as_pid_1(self):
        """The first process of a container gets no default actions from the kernel."""
        unshare = shutil.which("unshare")
        self.assertIsNotNone(unshare, "util-linux is not installed")
        command = [unshare, "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() != 0:
            command += ["--user", "--map-root-user"]
        probe = subprocess.run([*command, "true"], capture_output=True)
        if probe.returncode != 0:
            self.skipTest("no new pid namespace here: " + probe.stderr.decode())
        read, write = os.pipe()
        script = 'echo $$ >&3; exec "$0" --model "$1" --listen 127.0.0.1:0'
        process = subprocess.Popen([*command, "sh", "-c", "exec 3>&%d; " % write + script, PFGMD,
                                    DIGITS], stderr=subprocess.PIPE, pass_fds=[write], text=True)
        os.close(write)
        try:
            self.assertEqual(os.read(read, 10), b"1\n")
            for line in process.stderr:
                if " info ready" in line:
                    break
            children = f"/proc/{process.pid}/task/{process.pid}/children"
            with open(children, encoding="ascii") as f:
                os.kill(int(f.read().split()[0]), signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE), 0)
        finally:
            os.close(read)
            process.kill()
            process.wait()
            process.stderr.close()


if __name__ == "__main__":
    unittest.main()
