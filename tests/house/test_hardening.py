"""What the compiler and the linker were told to make an attack harder, read from the programs themselves.

Environment: BINARIES, a list of programs and libraries; SANITIZER; OBJECTS, the folder of the build."""
import json
import os
import re
import shlex
import subprocess
import unittest

BINARIES = os.environ["BINARIES"].split(os.pathsep)
SANITIZED = os.environ.get("SANITIZER", "none") != "none"


def readelf(what, path):
    return subprocess.run(["readelf", "-W", what, path], capture_output=True, text=True, check=True).stdout


def symbols(path):
    rows = [line.split() for line in readelf("--dyn-syms", path).splitlines()]
    return {row[7].split("@")[0] for row in rows if len(row) > 7}


class Hardening(unittest.TestCase):
    def each(self, check):
        for path in BINARIES:
            with self.subTest(os.path.basename(path)):
                check(path)

    def test_addresses_are_random(self):
        self.each(lambda path: self.assertRegex(readelf("-h", path), r"Type:\s+DYN"))

    def test_tables_of_functions_are_read_only(self):
        def check(path):
            self.assertIn("GNU_RELRO", readelf("-l", path))
            self.assertRegex(readelf("-d", path), r"BIND_NOW|\bNOW\b")
        self.each(check)

    def test_nothing_is_writable_and_executable(self):
        def check(path):
            segments = readelf("-l", path)
            self.assertRegex(segments, r"GNU_STACK\s+(0x\w+\s+){5}RW\s")
            for line in segments.splitlines():
                self.assertFalse(re.match(r"\s*LOAD\s.*\sRWE\s", line), line)
        self.each(check)

    def test_no_path_is_searched_for_libraries(self):
        """Besides the system's. Only the build folder's own programs for tests have one."""
        self.each(lambda path: self.assertNotRegex(readelf("-d", path), r"RPATH|RUNPATH"))

    @unittest.skipIf(SANITIZED, "sanitizers have checks of their own")
    def test_stacks_and_buffers_are_checked(self):
        def check(path):
            found = symbols(path)
            self.assertIn("__stack_chk_fail", found)
            self.assertTrue(any(name.endswith("_chk") and name != "__stack_chk_fail" for name in found),
                            "no function of _FORTIFY_SOURCE is used")
        self.each(check)

    def test_each_source_has_the_flags(self):
        with open(os.path.join(os.environ["BUILD"], "compile_commands.json"), encoding="utf-8") as f:
            ours = [e for e in json.load(f) if e["file"].startswith("../src/")]
        self.assertGreater(len(ours), 100)
        for entry in ours:
            words = shlex.split(entry["command"])
            protectors = [w for w in words if re.match("-f(no-)?stack-protector", w)]
            fortified = [w for w in words if re.match("-[DU]_FORTIFY_SOURCE", w)]
            # The last one counts. A sanitizer checks buffers itself, which the checked functions would hide from it.
            self.assertEqual((protectors[-1:], fortified[-1:]),
                             (["-fstack-protector-strong"], ["-U_FORTIFY_SOURCE" if SANITIZED else "-D_FORTIFY_SOURCE=2"]),
                             entry["file"])


if __name__ == "__main__":
    unittest.main()
