"""What holds of the tree as a whole: file sizes, head comments, the exported names, the table of faults."""
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [p for d in ("src", "include", "tests", "clients", "conf") for p in sorted((ROOT / d).rglob("*"))
           if p.suffix in (".c", ".h", ".py", ".sh") and p.is_file()]
LINES_MAX = 600


class House(unittest.TestCase):
    def test_no_file_is_longer_than_600_lines(self):
        self.assertGreater(len(SOURCES), 50)
        for path in SOURCES:
            with self.subTest(path=path):
                self.assertLessEqual(len(path.read_text().splitlines()), LINES_MAX)

    def test_every_c_file_opens_with_its_reasoning(self):
        for path in SOURCES:
            if path.suffix in (".c", ".h"):
                with self.subTest(path=path):
                    self.assertTrue(path.read_text().startswith("/*"), "no head comment")

    def test_each_third_party_header_has_one_home(self):
        homes = {"jansson.h": ["src/base"], "gnutls/": ["src/base"], "png.h": ["src/image"], "zip.h": ["src/image"],
                 "microhttpd.h": ["src/http"], "systemd/": ["src/daemon"], "cairo": ["src/plot"]}
        for path in SOURCES:
            name = str(path.relative_to(ROOT))
            if not name.startswith("src/"):
                continue
            for header, allowed in homes.items():
                if re.search(rf"#include <{re.escape(header)}", path.read_text()):
                    with self.subTest(path=name, header=header):
                        self.assertTrue(any(name.startswith(room + "/") for room in allowed))

    def test_the_library_exports_what_its_header_declares(self):
        declared = set(re.findall(r"PFGM_API[^;(]*?\b(pfgm_\w+)\(", (ROOT / "include/pfgm.h").read_text()))
        listing = subprocess.run(["nm", "-D", "--defined-only", os.environ["LIBPFGM"]], check=True,
                                 capture_output=True, text=True).stdout
        exported = {line.split()[-1] for line in listing.splitlines() if line.split()[1] in "TDBR"}
        # The sanitizers add names of their own.
        exported = {n for n in exported if not re.match(r"_*(asan|tsan|ubsan|lsan|sanitizer)|__odr_asan", n)}
        self.assertEqual(exported, declared)
        self.assertGreater(len(declared), 5)

    def test_every_fault_in_the_table_is_a_test(self):
        rows = [line for line in (ROOT / "tests/FAULTS.md").read_text().splitlines()
                if line.startswith("|") and "`" in line]
        self.assertGreater(len(rows), 20)
        for row in rows:
            cells = [c.strip() for c in row.strip("|").split("|")]
            names = re.findall(r"`([^`]+)`", cells[1])
            files = re.findall(r"`([^`]+)`", cells[2])
            with self.subTest(row=row):
                self.assertTrue(names and files)
                text = "".join((ROOT / f).read_text() for f in files)
                for name in names:
                    self.assertIn(name, text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
