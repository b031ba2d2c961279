"""New models in the place of old ones, and the ends of life that test_lifecycle.py leaves out."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import DIGITS, ENDLESS, FASHION, LATE, PATIENCE, PFGMD, SANITIZER, Daemon, long_work, wait_until
from test_metrics import check_sums
from test_security import Admin


def replace(path, source, cut=0):
    with open(source, "rb") as f:
        data = f.read()
    with open(path + ".new", "wb") as f:
        f.write(data[:len(data) - cut])
    os.replace(path + ".new", path)


class Reload(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "m.safetensors")
        self.socket = os.path.join(self.folder.name, "admin.sock")
        replace(self.path, DIGITS)
        self.args = ["--model", "m=" + self.path, "--admin", self.socket, "--workers", "2"]
        self.admin = Admin(self.socket)

    def tearDown(self):
        self.folder.cleanup()

    @staticmethod
    def wait_reload(daemon, state):
        def look():
            note = daemon.get("/v1/models/m").json().get("reload", {})
            return note if note.get("state") == state else None
        return wait_until(look, f"a reload that is {state}")

    def test_another_model_takes_the_name_under_load(self):
        """What was asked of the old model is answered by it; nothing fails, ready stays ready."""
        with Daemon(*self.args, model=None) as daemon:
            old = daemon.images({"seed": 1}).json()
            body = {**long_work(daemon, 1.0), "n": 2}
            before = daemon.metrics().sum("pfgmd_images_admitted_total")
            held = [daemon.begin_images(body) for _ in range(3)]
            daemon.wait_metrics(lambda m: m.sum("pfgmd_images_admitted_total") == before + 6, "work on the old model")
            seen, stop = [], threading.Event()

            def ask():
                solver = {"method": "euler", "steps": 2}
                while not stop.is_set():
                    o = daemon.images({"seed": 1, "solver": solver})
                    seen.append((o.status, o.json()["width"]))
                    seen.append((daemon.get("/readyz").status, 0))
            threads = [threading.Thread(target=ask) for _ in range(3)]
            for t in threads:
                t.start()
            wait_until(lambda: (200, 8) in seen, "an answer of the old model")
            replace(self.path, FASHION)
            status, o = self.admin.request("POST", "/admin/v1/models/m/reload")
            self.assertEqual((status, o["reload"]), (202, "loading"))
            self.wait_reload(daemon, "ok")
            wait_until(lambda: (200, 28) in seen, "an answer of the new model")
            stop.set()
            for t in threads:
                t.join()
            self.assertEqual({s for s, _ in seen}, {200})
            self.assertEqual({w for _, w in seen if w}, {8, 28})
            for s in held:
                with s.makefile("rb") as f:
                    head = b"".join(iter(f.readline, b"\r\n"))
                    text = f.read(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
                self.assertEqual(json.loads(text)["model"]["sha256"], old["model"]["sha256"])
                s.close()
            self.assertNotEqual(daemon.get("/v1/models/m").json()["sha256"], old["model"]["sha256"])
            m = daemon.settled()
            check_sums(self, m)
            self.assertEqual(m.value("pfgmd_model_reloads_total", outcome="ok"), 1)

    def test_a_broken_file_changes_nothing_tensorsharp_158(self):
        with Daemon(*self.args, model=None) as daemon:
            before = daemon.images({"seed": 1}).json()["images"][0]["sha256"]
            for count, cut in enumerate([1000, 10 ** 9], 1):
                replace(self.path, DIGITS, cut)
                if count == 1:
                    daemon.signal(signal.SIGHUP)
                else:
                    self.admin.request("POST", "/admin/v1/models/m/reload")
                daemon.wait_line("the old one stays", count=count)
                note = self.wait_reload(daemon, "failed")
                self.assertIn("m.safetensors", note["detail"])
                self.assertEqual(daemon.get("/readyz").status, 200)
                after = daemon.images({"seed": 1}).json()["images"][0]["sha256"]
                self.assertEqual(after, before)
                daemon.wait_metrics(lambda m, count=count: m.value("pfgmd_model_reloads_total", outcome="failed") == count,
                                    "it is counted")
            replace(self.path, DIGITS)
            daemon.signal(signal.SIGHUP)
            self.wait_reload(daemon, "ok")

    def test_a_number_that_was_lowered_has_not_changed(self):
        """The limit of descriptors lowers "connections"; a SIGHUP said each time that somebody had changed it."""
        with Daemon(*self.args, model=None, command=("prlimit", "--nofile=300:300")) as daemon:
            daemon.wait_line("connections need more file descriptors than the limit of 300; taking 236")
            for count in (1, 2):
                daemon.signal(signal.SIGHUP)
                daemon.wait_line("SIGHUP: reading", count=count)
                daemon.wait_metrics(lambda m, count=count: m.value("pfgmd_model_reloads_total", outcome="ok") == count, "a reload")
            self.assertEqual([line for line in daemon.lines if "takes a restart" in line], [])

    @unittest.skipIf(SANITIZER == "address", "its allocator keeps what is freed")
    def test_memory_of_old_models_is_given_back(self):
        with Daemon(*self.args, model=None) as daemon:
            def resident(rounds):
                for _ in range(rounds):
                    self.admin.request("POST", "/admin/v1/models/m/reload")
                    self.wait_reload(daemon, "ok")
                    daemon.images({"seed": 1, "solver": {"method": "euler", "steps": 1}})
                return daemon.metrics().value("process_resident_memory_bytes")
            first = resident(10)
            self.assertLess(resident(20), first * 1.25 + (8 << 20))

    @unittest.skipIf(SANITIZER != "none", "a measurement, made with the plain build")
    def test_the_heaps_of_loaders_that_have_ended_are_given_back(self):
        """Of models of several sizes; each reload's thread may have a heap of its own."""
        bundled = os.path.join(os.path.dirname(FASHION), "fashion10.safetensors")
        with Daemon(f"--model=a={bundled}", f"--model=b={DIGITS}", f"--model=c={DIGITS}", model=None) as daemon:
            def held(m):
                return m.value("process_resident_memory_bytes")
            first = held(daemon.metrics())
            for count in range(1, 9):
                daemon.signal(signal.SIGHUP)
                daemon.wait_metrics(lambda m, count=count: m.sum("pfgmd_model_reloads_total", outcome="ok") >= 3 * count, "a reload")
            last = held(daemon.wait_metrics(lambda m: held(m) < 1.5 * first, "no more than half as much again"))
            print(f"{first / 2**20:.0f} MiB, after eight reloads {last / 2**20:.0f}")

    def test_a_broken_configuration_changes_nothing(self):
        conf = os.path.join(self.folder.name, "pfgmd.conf")

        def write(text):
            with open(conf, "w", encoding="utf-8") as f:
                f.write(f"{text}\n[model m]\npath = {self.path}\n")
        write("log_level = info")
        with Daemon("--config", conf, model=None) as daemon:
            write("frobnicate = 1")
            daemon.signal(signal.SIGHUP)
            self.assertIn("pfgmd.conf:1", daemon.wait_line("frobnicate"))
            daemon.wait_line("stays as it was")
            self.assertEqual(daemon.images({"seed": 1}).status, 200)
            write("batch = 3")
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("batch has changed, which takes a restart")
            daemon.wait_line("loaded in", count=2)
            self.assertEqual(daemon.images({"seed": 1}).status, 200)
            write(f"[model n]\npath = {self.path}")
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("model n is new, which takes a restart")
            daemon.wait_line("model n is to be the default, which takes a restart")


class Life(unittest.TestCase):
    def test_a_drain_may_be_delayed(self):
        """Not ready at once, but work is taken until the delay is over."""
        with Daemon("--drain-delay", "3600") as daemon:
            daemon.signal(signal.SIGTERM)
            daemon.wait_line("not ready any more")
            ready = daemon.get("/readyz")
            self.assertEqual((ready.status, ready.json()["code"]), (503, "draining"))
            self.assertEqual(daemon.images({"seed": 1}).status, 200)
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 128 + signal.SIGTERM)
        with Daemon("--drain-delay", "2") as daemon:
            begun = time.monotonic()
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)
            self.assertGreaterEqual(time.monotonic() - begun, 2)
            self.assertLess(time.monotonic() - begun, 2 + LATE)

    def test_stop_during_a_reload(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.safetensors")
            shutil.copy(FASHION, path)
            many = [f"--model=f{i}={path}" for i in range(12)]
            with Daemon(*many, model=None) as daemon:
                begun = time.monotonic()
                daemon.signal(signal.SIGHUP)
                daemon.wait_line("SIGHUP")
                daemon.signal(signal.SIGTERM)
                self.assertEqual(daemon.wait(), 0)
                self.assertLess(time.monotonic() - begun, LATE)

    @unittest.skipIf(os.environ["HAVE_SYSTEMD"] == "0", "built without libsystemd")
    def test_a_socket_may_be_handed_over(self):
        """As systemd does it: descriptor 3, LISTEN_FDS and LISTEN_PID."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            script = 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" --model "$1"'
            fd = listener.fileno()
            process = subprocess.Popen(
                ["sh", "-c", f"exec 3<&{fd}; " + script, PFGMD, DIGITS], pass_fds=[fd],
                stderr=subprocess.PIPE, text=True)
            try:
                for line in process.stderr:
                    if " info ready" in line:
                        break
                with socket.create_connection(("127.0.0.1", port)) as s:
                    s.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200"))
                process.terminate()
                self.assertEqual(process.wait(PATIENCE), 0)
            finally:
                process.kill()
                process.wait()
                process.stderr.close()

    @unittest.skipIf(os.environ["HAVE_SYSTEMD"] == "0", "built without libsystemd")
    def test_the_watchdog_hears_from_a_busy_daemon_traceway_361(self):
        with tempfile.TemporaryDirectory() as folder, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            path = os.path.join(folder, "notify")
            s.bind(path)
            s.settimeout(PATIENCE)
            limit_s = 0.5 if SANITIZER == "none" else 1
            env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": f"{limit_s * 1e6:.0f}"}
            with Daemon("--workers", "2", env=env) as daemon:
                busy = daemon.begin_images({"solver": ENDLESS, "n": 8})
                daemon.wait_metrics(lambda m: m.value("pfgmd_slots_busy") == 8, "work")
                s.setblocking(False)
                try:
                    while s.recv(4096):
                        pass  # what came before
                except BlockingIOError:
                    s.settimeout(PATIENCE)
                times = []

                def four_in_time():
                    """Whether the last signs came soon enough one behind the other: what hears them may be kept waiting too."""
                    if s.recv(4096) == b"WATCHDOG=1":
                        times.append(time.monotonic())
                    last = times[-5:]
                    return len(last) == 5 and max(b - a for a, b in zip(last, last[1:])) < limit_s
                wait_until(four_in_time, "signs of life within the limit")
                busy.close()

    def test_settings_from_the_environment(self):
        with Daemon(env={"PFGMD_N_MAX": "3", "PFGMD_BATCH": "2"}) as daemon:
            self.assertEqual(daemon.get("/v1/capabilities").json()["limits"]["n"], 3)
        with Daemon("--n-max", "4", env={"PFGMD_N_MAX": "3"}) as daemon:
            self.assertEqual(daemon.get("/v1/capabilities").json()["limits"]["n"], 4)
        for variable, code in [("PFGMD_FROB", 0), ("PFGMD_N_MAX", 2)]:  # no setting, no number
            result = subprocess.run([PFGMD, "--model", DIGITS, "--check-config"],
                                    capture_output=True, env={**os.environ, variable: "x"})
            self.assertEqual(result.returncode, code)
            self.assertIn(variable.encode(), result.stderr)


if __name__ == "__main__":
    unittest.main()
