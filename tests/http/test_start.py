"""The first and the last moments: the environment, closed descriptors, early signals, what a failed start leaves."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import DIGITS, ENDLESS, PATIENCE, PFGM, PFGMD, Daemon, free_ports, run, wait_until

LINKS = {  # as Kubernetes and Docker inject them for a service or container of that name
    "PFGMD_SERVICE_HOST": "10.0.0.7", "PFGMD_SERVICE_PORT": "8080", "PFGMD_SERVICE_PORT_HTTP": "8080",
    "PFGMD_PORT": "tcp://10.0.0.7:8080", "PFGMD_PORT_8080_TCP": "tcp://10.0.0.7:8080",
    "PFGMD_PORT_8080_TCP_PROTO": "tcp", "PFGMD_PORT_8080_TCP_PORT": "8080", "PFGMD_PORT_8080_TCP_ADDR": "10.0.0.7",
    "PFGMD_ADMIN_SERVICE_HOST": "10.0.0.8", "PFGMD_ADMIN_PORT": "tcp://10.0.0.8:80",
    "PFGMD_NAME": "/web/pfgmd", "PFGMD_ENV_LANG": "C",
}


class Environment(unittest.TestCase):
    def check(self, **variables):
        return run(PFGMD, "--check-config", "--model", DIGITS, env={**os.environ, **variables})

    def test_service_links_are_passed_over(self):
        result = self.check(**LINKS)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        with Daemon(env=LINKS) as daemon:
            self.assertFalse([line for line in daemon.lines if " warn " in line])

    def test_what_is_no_setting_is_warned_of(self):
        result = self.check(PFGMD_PORT="8093", PFGMD_N_MAXX="3")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(len(result.stderr.splitlines()), 1)
        for name in [b"PFGMD_PORT", b"PFGMD_N_MAXX"]:
            self.assertIn(name, result.stderr)

    def test_a_bad_value_of_a_setting_still_ends_the_start(self):
        result = self.check(PFGMD_N_MAX="many")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"PFGMD_N_MAX: n_max must be a whole number", result.stderr)


class Words(unittest.TestCase):
    def test_short_flags(self):
        for short, long in [("-h", "--help"), ("-V", "--version")]:
            first, second = run(PFGMD, short), run(PFGMD, long)
            self.assertEqual((first.returncode, first.stdout), (0, second.stdout))
            self.assertTrue(first.stdout)

    def test_output_that_is_lost_is_a_failure(self):
        for program in [PFGM, PFGMD]:
            for word in ["--version", "--help"]:
                with self.subTest(program=program, word=word), open("/dev/full", "wb") as full:
                    result = subprocess.run([program, word], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE)
                    self.assertEqual(result.returncode, 1)
                    self.assertIn(b"standard output", result.stderr)
        with open("/dev/full", "wb") as full:
            result = subprocess.run([PFGMD, "--check-config", "--model", DIGITS], stdout=full, stderr=subprocess.PIPE,
                                    timeout=PATIENCE)
            self.assertEqual(result.returncode, 1)

    def test_a_taken_port_says_what_to_do(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
            result = run(PFGMD, "--model", DIGITS, "--listen", f"127.0.0.1:{port}")
        self.assertEqual(result.returncode, 1)
        for words in [f"127.0.0.1:{port}", "another process", "--listen 127.0.0.1:0", "quickstart.sh --stop"]:
            self.assertIn(words, result.stderr.decode())


class SelfTest(unittest.TestCase):
    def test_a_kernel_that_computes_wrong_serves_nothing(self):
        broken = os.environ["BROKEN_PFGMD"]
        result = run(broken, "--model", DIGITS, "--listen", "127.0.0.1:0")
        self.assertEqual(result.returncode, 1, result.stderr)
        kernel = re.search(r"kernel (\S+),", "\n".join(self.lines()))[1]
        self.assertIn(f"{kernel}: this kernel computes a product wrong on this machine", result.stderr.decode())
        self.assertNotIn(b" ready", result.stderr)

    @staticmethod
    def lines():
        with Daemon() as daemon:
            return daemon.lines


class Descriptors(unittest.TestCase):
    """What the shell writes as <&- >&- 2>&-."""

    def test_the_daemon_gives_no_socket_the_number_of_a_closed_one(self):
        port, = free_ports(1)
        process = subprocess.Popen(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', PFGMD, "--model", DIGITS, "--listen",
                                    f"127.0.0.1:{port}"])
        try:
            def ready():
                try:
                    with socket.create_connection(("127.0.0.1", port)) as s:
                        s.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                        return s.recv(100).startswith(b"HTTP/1.1 200 ")
                except ConnectionError:
                    return False
            wait_until(ready, "ready")
            for fd in range(3):
                self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE), 0)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def test_the_command_line_writes_no_words_into_its_files(self):
        with tempfile.TemporaryDirectory() as folder:
            outs = [os.path.join(folder, name) for name in ("a.npy", "b.npy")]
            for out, closed in zip(outs, ["", " <&- >&- 2>&-"]):
                result = run("sh", "-c", 'exec "$0" "$@"' + closed, PFGM, "sample", DIGITS, "-n", "2", "--seed", "1",
                             "-o", out)
                self.assertIn(result.returncode, (0, 1) if closed else (0,))  # 1: its words are lost
            contents = []
            for out in outs:
                with open(out, "rb") as f:
                    contents.append(f.read())
            self.assertEqual(contents[0], contents[1])

    def test_output_to_a_closed_descriptor_is_lost(self):
        for program in [PFGM, PFGMD]:
            self.assertEqual(run("sh", "-c", 'exec "$0" --version >&-', program).returncode, 1)


class Signals(unittest.TestCase):
    def test_a_stop_before_the_first_line_is_a_stop(self):
        """By the time that a configuration has been read, and it is a large one, signals have long been held back."""
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
            f.write("#\n" * 500_000)
            f.flush()
            # The address sanitizer's strict checks would read the rest of the text anew at each line.
            options = os.environ.get("ASAN_OPTIONS", "") + ":strict_string_checks=0"
            process = subprocess.Popen([PFGMD, "--config", f.name, "--model", DIGITS, "--listen", "127.0.0.1:0"],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       env=dict(os.environ, ASAN_OPTIONS=options))

            def field(file, pattern, base):
                with open(f"/proc/{process.pid}/{file}", encoding="ascii") as text:
                    return int(re.search(pattern, text.read())[1], base)
            while field("io", r"rchar: (\d+)", 10) < 900_000:  # no sleep: the moment is short
                self.assertIsNone(process.poll())
            self.assertTrue(field("status", r"SigBlk:\s*(\w+)", 16) >> (signal.SIGTERM - 1) & 1)
            process.send_signal(signal.SIGTERM)
            output = process.stderr.read()
            process.stderr.close()
            self.assertEqual(process.wait(PATIENCE), 0, output)


class AdminSocket(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "admin.sock")
        self.folder = folder.name

    def test_a_failed_start_takes_it_along(self):
        bad = os.path.join(self.folder, "bad.safetensors")
        keys = os.path.join(self.folder, "keys")
        for path in [bad, keys]:
            with open(path, "w", encoding="ascii") as f:
                f.write("this is neither a checkpoint nor a line of keys\n")
        for flags in [["--model", bad], ["--model", DIGITS, "--keys", keys]]:
            with self.subTest(flags):
                result = run(PFGMD, *flags, "--listen", "127.0.0.1:0", "--admin", self.path)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertFalse(os.path.lexists(self.path))

    def test_another_daemons_is_left_alone(self):
        with Daemon("--admin", self.path):
            result = run(PFGMD, "--model", DIGITS, "--listen", "127.0.0.1:0", "--admin", self.path)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(run(PFGMD, "--health", self.path).returncode, 0)

    def test_a_second_signal_takes_it_along(self):
        with Daemon("--admin", self.path, "--drain-timeout", "600") as daemon:
            with daemon.begin_images({"solver": ENDLESS}):
                daemon.wait_work(1)
                daemon.signal(signal.SIGTERM)
                daemon.wait_line("stopping")
                daemon.signal(signal.SIGTERM)
                self.assertEqual(daemon.wait(), 143)
            self.assertFalse(os.path.lexists(self.path))


@unittest.skipIf(os.environ["HAVE_SYSTEMD"] == "0", "built without libsystemd")
class Watchdog(unittest.TestCase):
    def test_it_hears_signs_during_the_delay_of_a_drain(self):
        with tempfile.TemporaryDirectory() as folder, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            name = os.path.join(folder, "notify")
            manager.bind(name)
            manager.settimeout(PATIENCE)
            with Daemon("--drain-delay", "3600",
                        env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000"}) as daemon:
                daemon.signal(signal.SIGTERM)
                daemon.wait_line("not ready any more")
                while b"STOPPING=1" not in manager.recv(1000):
                    pass
                for _ in range(3):  # of which each comes after half of the limit
                    self.assertIn(b"WATCHDOG=1", manager.recv(1000))
                daemon.signal(signal.SIGTERM)
                self.assertEqual(daemon.wait(), 143)


if __name__ == "__main__":
    unittest.main()
