"""HTTPS: what is negotiated, and what a new certificate leaves behind."""

import os
import shutil
import signal
import socket
import ssl
import tempfile
import unittest
import warnings

from harness import DIGITS, PATIENCE, PFGMD, Daemon, run, wait_until

TLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls")
# Forward secrecy and authenticated encryption; by the names that OpenSSL has for them.
TAKEN = {
    "rsa": {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256"},
    "first": {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"},
}


def start(name, *args):
    return Daemon("--tls-certificate", os.path.join(TLS, name + ".crt"), "--tls-key", os.path.join(TLS, name + ".key"),
                  *args)


def client(suites="ALL", oldest=ssl.TLSVersion.TLSv1_2, newest=ssl.TLSVersion.TLSv1_2):
    """A client that would take anything: no verification, no lower bound on strength."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of the versions that are to be refused
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(suites + ":@SECLEVEL=0")
    context.minimum_version, context.maximum_version = oldest, newest
    return context


def negotiated(daemon, context):
    """(suite, version), or None when the server refuses."""
    with daemon.connect() as s:
        try:
            with context.wrap_socket(s) as secure:
                return secure.cipher()[0], secure.version()
        except (ssl.SSLError, ConnectionError):
            return None


def suites_of_the_library():
    context = client("ALL:COMPLEMENTOFALL")
    return sorted({c["name"] for c in context.get_ciphers() if not c["name"].startswith("TLS_")})


class Negotiation(unittest.TestCase):
    def test_each_suite_without_forward_secrecy_or_authenticated_encryption_is_refused(self):
        suites = suites_of_the_library()
        self.assertGreater(len(suites), 40)
        for weak in ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384",
                     "DHE-RSA-AES256-SHA256", "ECDHE-RSA-AES128-SHA256"]:
            self.assertIn(weak, suites)  # the client of this test can ask for them
        for name, taken in TAKEN.items():
            with start(name) as daemon:
                for suite in suites:
                    with self.subTest(certificate=name, suite=suite):
                        self.assertEqual(negotiated(daemon, client(suite)),
                                         (suite, "TLSv1.2") if suite in taken else None)

    def test_versions(self):
        with start("rsa") as daemon:
            for version, expected in [(ssl.TLSVersion.TLSv1, None), (ssl.TLSVersion.TLSv1_1, None),
                                      (ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]:
                with self.subTest(version=version):
                    found = negotiated(daemon, client(oldest=version, newest=version))
                    self.assertEqual(found and found[1], expected)


class Exchange(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.pair = [os.path.join(self.folder.name, "server." + kind) for kind in ("crt", "key")]
        self.install("first")

    def install(self, name):
        for path in self.pair:
            shutil.copy(os.path.join(TLS, name + path[-4:]), path)

    @staticmethod
    def threads(daemon):
        return len(os.listdir(f"/proc/{daemon.process.pid}/task"))

    def reload(self, daemon, count):
        daemon.signal(signal.SIGHUP)
        daemon.wait_line("loaded in", count=count + 1)

    def served(self, daemon):
        """The certificate that a new connection gets."""
        with daemon.connect() as s, client().wrap_socket(s) as secure:
            return secure.getpeercert(binary_form=True)

    def test_what_served_an_older_certificate_ends_with_its_last_connection(self):
        with Daemon("--tls-certificate", self.pair[0], "--tls-key", self.pair[1], "--idle-timeout", "600") as daemon:
            threads, files = self.threads(daemon), daemon.descriptors()
            first = self.served(daemon)
            kept = client().wrap_socket(daemon.connect())  # holds the first daemon of the library
            for count, name in enumerate(["second", "first", "second"], 1):
                self.install(name)
                self.reload(daemon, count)
                self.assertEqual(self.served(daemon) == first, name == "first")
            # No further SIGHUP is needed. The connection that is left holds one set of threads.
            wait_until(lambda: self.threads(daemon) < threads + 6, "those without connections are gone")
            self.assertGreater(self.threads(daemon), threads)
            kept.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            self.assertTrue(kept.recv(1000).startswith(b"HTTP/1.1 200 "))
            kept.close()
            wait_until(lambda: self.threads(daemon) <= threads and daemon.descriptors() <= files, "all as it was")

    def test_a_certificate_of_another_path_is_live_and_said_to_be(self):
        """SIGHUP takes it at once, so that no line says that it takes a restart."""
        conf = os.path.join(self.folder.name, "pfgmd.conf")

        def write(name, level):
            with open(conf, "w", encoding="utf-8") as f:
                f.write("".join(f"{key} = {os.path.join(TLS, name)}.{kind}\n" for key, kind in
                                (("tls_certificate", "crt"), ("tls_key", "key"))))
                f.write(f"batch = {level}\n[model m]\npath = {DIGITS}\n")
        write("first", 8)
        with Daemon("--config", conf, model=None) as daemon:
            first = self.served(daemon)
            write("second", 4)
            daemon.signal(signal.SIGHUP)
            daemon.wait_line("batch has changed, which takes a restart")
            daemon.wait_line("loaded in", count=2)
            self.assertNotEqual(self.served(daemon), first)
            self.assertFalse([line for line in daemon.lines if "tls_" in line and "restart" in line])

    def test_an_unchanged_certificate_starts_nothing(self):
        with Daemon("--tls-certificate", self.pair[0], "--tls-key", self.pair[1]) as daemon:
            threads = self.threads(daemon)
            with client().wrap_socket(daemon.connect()):
                for count in range(1, 4):
                    self.reload(daemon, count)
                wait_until(lambda: self.threads(daemon) <= threads, "the loader's thread has ended")


class Verdicts(unittest.TestCase):
    """--check-config, the start and a reload find the same fault in a pair and say the same of it."""

    PAIRS = {
        "an encrypted key": ("first.crt", "encrypted.key", "encrypted.key: is encrypted"),
        "a key of another certificate": ("first.crt", "second.key", "second.key: is not the key of the first"),
        "swapped files": ("first.key", "first.crt", "first.key: holds a private key and no certificate"),
        "two certificates": ("first.crt", "first.crt", "first.crt: holds a certificate and no key"),
        "no PEM": (os.path.basename(__file__), "first.key", ": holds no certificate in PEM"),
        "a key that is none": ("first.crt", os.path.basename(__file__), ": holds no private key in PEM"),
        "a missing file": ("first.crt", "none.key", "none.key: cannot open the file"),
    }

    @staticmethod
    def place(name):
        return os.path.join(os.path.dirname(TLS) if name.endswith(".py") else TLS, name)

    def test_the_start_and_check_config_agree(self):
        for what, (certificate, key, cause) in self.PAIRS.items():
            flags = ["--model", DIGITS, "--listen", "127.0.0.1:0", "--tls-certificate", self.place(certificate),
                     "--tls-key", self.place(key)]
            with self.subTest(what):
                checked, started = run(PFGMD, "--check-config", *flags), run(PFGMD, *flags)
                self.assertEqual((checked.returncode, started.returncode), (2, 2))
                self.assertEqual(checked.stdout, b"")
                self.assertIn(cause, checked.stderr.decode())
                self.assertIn(cause, started.stderr.decode())

    def test_a_good_pair(self):
        for name in ["first", "second", "rsa"]:
            checked = run(PFGMD, "--check-config", "--model", DIGITS, "--tls-certificate", self.place(name + ".crt"),
                          "--tls-key", self.place(name + ".key"))
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_models_are_judged_by_their_headers(self):
        """A folder, a file that is no checkpoint: what would end the start is not called good."""
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as f:
            f.write(b"version https://git-lfs.github.com/spec/v1\n")
            f.flush()
            for path in [f.name, TLS]:
                checked, started = (run(PFGMD, *flag, "--model", path, "--listen", "127.0.0.1:0")
                                    for flag in [["--check-config"], []])
                self.assertEqual((checked.returncode, started.returncode), (2, 2))
                self.assertIn(path.encode(), checked.stderr)


class Health(unittest.TestCase):
    def test_the_health_flag_asks_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            admin = os.path.join(folder, "admin.sock")
            with start("first", "--admin", admin) as daemon:
                self.assertEqual(run(PFGMD, "--health", f"127.0.0.1:{daemon.port}").returncode, 0)
                self.assertEqual(run(PFGMD, "--health", admin).returncode, 0)
            gone = run(PFGMD, "--health", admin)
            self.assertEqual(gone.returncode, 1)
            self.assertIn(b"gives no answer", gone.stderr)

    def test_a_port_that_speaks_neither(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            s.settimeout(PATIENCE)
            result = run(PFGMD, "--health", f"127.0.0.1:{s.getsockname()[1]}")  # connected, never answered
            self.assertEqual(result.returncode, 1)


if __name__ == "__main__":
    unittest.main()
