"""What holds of the tree as a whole: file sizes, head comments, the exported names, the table of faults, the pages."""
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [p for d in ("src", "include", "tests", "clients", "conf") for p in sorted((ROOT / d).rglob("*"))
           if p.suffix in (".c", ".h", ".py", ".sh") and p.is_file()]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "clients").rglob("*.md")),
         *sorted((ROOT / "conf").rglob("*.md"))]
LINES_MAX = 600


def code_of(path):
    """A C file's text without comments, strings and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.S)
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)
    return re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)


def includes_of(path):
    return re.findall(r'^#include "([^"]+)"', path.read_text(), flags=re.M)


def rooms():
    """Each room's C files; those of its inner rooms belong to it."""
    found = {}
    for path in SOURCES:
        if path.suffix in (".c", ".h") and path.is_relative_to(ROOT / "src"):
            found.setdefault(path.relative_to(ROOT / "src").parts[0], []).append(path)
    return found


class Room:
    """Who leans on whom in a room: a file leans on the headers that it includes and on the files whose functions it
    calls. So whoever only names a type of a header does not lean on the source beside it."""

    def __init__(self, paths):
        code = {path: code_of(path) for path in paths}
        own, home = {path: set() for path in paths}, {}
        for path in paths:
            for match in re.finditer(r"^([A-Za-z_][^;{}()=]*?)\b([a-z_]\w*)\([^;{}]*?\)\s*\{", code[path], flags=re.M):
                own[path].add(match[2])
                if path.suffix == ".h" or not match[1].startswith("static"):
                    home[match[2]] = path
        headers = {path.name: path for path in paths if path.suffix == ".h"}
        self.leans = {path: {} for path in paths}
        for path in paths:
            # A prototype calls nobody, and a macro is nobody's.
            calls = re.sub(r"^[A-Za-z_][^;{}()=]*?\b\w+\([^;{}]*?\);", "", code[path], flags=re.M)
            reasons = [(headers.get(name), "includes") for name in includes_of(path)]
            reasons += [(home.get(name), f"calls {name} of") for name in re.findall(r"\b([a-z_]\w*)\(", calls)
                        if name not in own[path]]
            for other, why in reasons:
                if other and other != path:
                    self.leans[path].setdefault(other, why)

    def reach(self, file):
        seen, todo = {file}, [file]
        while todo:
            for other in self.leans.get(todo.pop(), {}):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen

    def circles(self):
        """A line for each step of a circle, which names both files."""
        reach = {file: self.reach(file) for file in self.leans}
        return sorted(f"{file.relative_to(ROOT)} {why} {other.relative_to(ROOT)}, which leads back to it"
                      for file, edges in self.leans.items() for other, why in edges.items() if file in reach[other])


def inner_rooms(room):
    """The folders of a room from left to right, as its meson.build has them."""
    return re.findall(r"^subdir\('(\w+)'\)", (ROOT / "src" / room / "meson.build").read_text(), flags=re.M)


def rightward(room, paths, leans):
    """A line for each file that leans on one of an inner room right of its own; what lies in the room's own folder
    stands right of all inner rooms."""
    order = {ROOT / "src" / room / inner: place for place, inner in enumerate(inner_rooms(room))}
    place = {path: order.get(path.parent, len(order)) for path in paths}
    return sorted(f"{file.relative_to(ROOT)} {why} {other.relative_to(ROOT)}, which stands right of it"
                  for file, edges in leans.items() for other, why in edges.items() if place[file] < place[other])


def private_to(path):
    """The folders that a header's head says it is for, or None where it is for whoever sees it."""
    head = re.sub(r"\s*\n \* ?", " ", path.read_text().split("*/")[0])
    named = re.search(r"\bfor (?:the files of )?(src/[\w/]+(?:(?:, | and )src/[\w/]+)*) only", head, flags=re.I)
    if named:
        return [ROOT / folder for folder in re.findall(r"src/[\w/]+", named[1])]
    own = r"(?:inside|internal to) (?:the|this) room|for (?:the files of )?this room only|files of this room share"
    return [path.parent] if re.search(own, head, flags=re.I) else None


def private_uses():
    """A line for each use of a private header outside its room."""
    headers = {path.name: path for paths in rooms().values() for path in paths if path.suffix == ".h"}
    folders = {name: private_to(path) for name, path in headers.items()}
    return sorted(f"{path.relative_to(ROOT)} includes {headers[name].relative_to(ROOT)}, which is for "
                  + " and ".join(str(f.relative_to(ROOT)) for f in folders[name]) + " only"
                  for paths in rooms().values() for path in paths for name in includes_of(path)
                  if folders.get(name) and path.parent not in folders[name])


DECLARATION = re.compile(
    r"\s+(?:(?:static|const|volatile|_Atomic|_Thread_local)\s+)*"
    r"(?:(?:struct|enum|union)\s+\w+|(?:unsigned|signed|long|short)(?:\s+(?:int|long|char|short))*|[A-Za-z_]\w*)"
    r"(?:\s+const)?(?:\s+\**|\s*\*+\s*(?:const\s+)?)[A-Za-z_]\w*\s*(?:\[|=|;|,|$)")
STATEMENT = re.compile(r"\s*(?:return|else|case|if|for|while|switch|do|break|continue)\b")


def blanks_behind_declarations(path):
    """The numbers of blank lines that stand behind the declarations at the head of a block."""
    text = re.sub(r"/\*.*?\*/", lambda m: "#" + "\n#" * m[0].count("\n"), path.read_text(), flags=re.S)
    text = re.sub(r"'(?:[^'\\\n]|\\.)'", "0", text)
    text = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)
    lines = [(number, line.rstrip(" #")) for number, line in enumerate(text.split("\n"), 1)
             if not line.lstrip().startswith("#")]
    for at, (_, line) in enumerate(lines):
        if not (line == "{" or re.search(r"(?:\)|\belse|\bdo) \{$", line)):
            continue
        here, end, depth = at + 1, at + 1, 0
        while here < len(lines) and DECLARATION.match(lines[here][1]) and not STATEMENT.match(lines[here][1]):
            while here < len(lines):
                code = lines[here][1]
                depth += sum(map(code.count, "({[")) - sum(map(code.count, ")}]"))
                here += 1
                if depth <= 0 and code.rstrip().endswith((";", "}")):
                    break
            end = here
        if end > at + 1 and end < len(lines) and not lines[end][1].strip():
            yield lines[end][0]


def c_functions(path):
    """The functions that a C file defines, as (type and name, name, parameters, body)."""
    return re.findall(r"^((?:static |inline )*\w[\w *]*?\b(\w+))\(([^;{}]*?)\)\n\{\n(.*?)^\}", code_of(path),
                      flags=re.S | re.M)


DECLARES = re.compile(r"\s*(?:const|static|struct|enum|unsigned|int|long|double|float|char|bool|size_t|ssize_t|u?int\d+_t|"
                      r"json_t|json_int_t|FILE|DIR|va_list|pthread_t|sigset_t)\b(?! *\()")


def blanks_after_declarations(path):
    """The numbers of empty lines that stand between a block's declarations and its code."""
    lines = path.read_text().splitlines()
    for head, line in enumerate(lines):
        if not line.endswith("{") or re.search(r"= \{$|^\s*(?:static |const )*(?:struct|enum|union)\b[^()]*\{$", line):
            continue
        at, declared = head + 1, False
        while at < len(lines) and DECLARES.match(lines[at]):
            depth = 0
            while at < len(lines):
                code = re.sub(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|/\*.*?\*/", "", lines[at])
                depth += len(re.findall(r"[({]", code)) - len(re.findall(r"[)}]", code))
                at += 1
                if depth == 0 and code.rstrip().endswith(";"):
                    break
            declared = True
        if declared and at < len(lines) and not lines[at]:
            yield at + 1


class House(unittest.TestCase):
    def test_a_blocks_code_follows_its_declarations(self):
        for path in SOURCES:
            if path.suffix == ".c" and path.is_relative_to(ROOT / "src"):
                self.assertEqual([f"{path}:{line}" for line in blanks_after_declarations(path)], [])

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

    def test_no_blank_line_behind_declarations(self):
        for path in SOURCES:
            if path.suffix in (".c", ".h"):
                with self.subTest(path=path):
                    self.assertEqual(list(blanks_behind_declarations(path)), [])

    def test_a_calls_status_is_called_result(self):
        for path in SOURCES:
            if path.suffix in (".c", ".h") and path.is_relative_to(ROOT / "src"):
                with self.subTest(path=path):
                    self.assertEqual(re.findall(r"\bint (?:rc|ret|err|bad|failed)\b", code_of(path)), [])

    def test_an_ending_says_what_it_ends(self):
        """What is called _free frees the pointer that it is given; what is called _clear does not."""
        seen = 0
        for path in SOURCES:
            if path.suffix != ".c" or not path.is_relative_to(ROOT / "src"):
                continue
            for head, name, parameters, body in c_functions(path):
                if not name.endswith(("_free", "_clear")) or " void " not in f" {head} ":
                    continue
                given = [parameter.split()[-1].strip("*") for parameter in parameters.split(",")]
                frees = any(re.search(rf"\bfree\({one}\);", body) for one in given)
                seen += 1
                with self.subTest(path=path, function=name):
                    self.assertEqual(frees, name.endswith("_free"))
        self.assertGreater(seen, 30)

    def test_each_third_party_header_has_one_home(self):
        homes = {"jansson.h": ["src/base"], "gnutls/": ["src/base"], "png.h": ["src/image"], "zip.h": ["src/archive"],
                 "microhttpd.h": ["src/http/server"], "systemd/": ["src/daemon"], "cairo": ["src/plot"],
                 "sqlite3.h": ["src/jobs"], "nats/": ["src/jobs"], "cblas.h": ["src/blas"],
                 "curl/": ["src/cli/remote"]}
        for path in SOURCES:
            name = str(path.relative_to(ROOT))
            if not name.startswith("src/"):
                continue
            for header, allowed in homes.items():
                if re.search(rf"#include <{re.escape(header)}", path.read_text()):
                    with self.subTest(path=name, header=header):
                        self.assertTrue(any(name.startswith(room + "/") for room in allowed))

    def test_no_circle_of_files(self):
        for room, paths in rooms().items():
            circles = Room(paths).circles()
            with self.subTest(room=room):
                self.assertFalse(circles, "\n" + "\n".join(circles))

    def test_an_inner_room_sees_nothing_right_of_it(self):
        for room, paths in rooms().items():
            with self.subTest(room=room):
                folders = {path.parent for path in paths} - {ROOT / "src" / room}
                self.assertEqual({folder.name for folder in folders}, set(inner_rooms(room)))
                upward = rightward(room, paths, Room(paths).leans)
                self.assertFalse(upward, "\n" + "\n".join(upward))

    def test_a_private_header_stays_in_its_room(self):
        uses = private_uses()
        self.assertFalse(uses, "\n" + "\n".join(uses))

    def test_no_member_of_an_answer_is_optional_to_jansson(self):
        """An optional value of json_pack whose making failed would be left out in silence."""
        for path in sorted((ROOT / "src/http").rglob("*.c")):
            for call in re.findall(r'json_pack\(\s*((?:"[^"]*"\s*)+)', path.read_text()):
                with self.subTest(path=path, call=call):
                    self.assertNotRegex(call, r"[oO][*?]")

    def test_the_library_exports_what_its_header_declares(self):
        declared = set(re.findall(r"PFGM_API[^;(]*?\b(pfgm_\w+)\(", (ROOT / "include/pfgm.h").read_text()))
        listing = subprocess.run(["nm", "-D", "--defined-only", os.environ["LIBPFGM"]], check=True,
                                 capture_output=True, text=True).stdout
        exported = {line.split()[-1] for line in listing.splitlines() if line.split()[1] in "TDBR"}
        # The sanitizers add names of their own, and the linker of their builds its marks.
        exported = {n for n in exported if not re.match(r"_*(asan|tsan|ubsan|lsan|sanitizer)|__odr_asan|(_edata|_end|__bss_start)$", n)}
        self.assertEqual(exported, declared)
        self.assertGreater(len(declared), 5)

    def test_prose_is_wrapped_at_100_columns(self):
        """Tables and code aside."""
        long = []
        for path in PAGES:
            prose = re.sub(r"^ *```.*?^ *```", lambda m: "\n" * m[0].count("\n"), path.read_text(), flags=re.M | re.S)
            long += [f"{path.relative_to(ROOT)}:{number} has {len(line)} columns"
                     for number, line in enumerate(prose.splitlines(), 1) if len(line) > 100 and not line.startswith("|")]
        self.assertEqual(long, [])

    def test_the_manual_page_of_the_settings_has_each_with_its_default(self):
        settings = re.findall(r"^#([a-z_]+ =.*?) *$", (ROOT / "conf/pfgmd.conf").read_text(), flags=re.M)
        page = (ROOT / "docs/man/pfgmd.conf.5").read_text().replace("\\-", "-")
        self.assertGreater(len(settings), 20)
        for setting in settings:
            self.assertIn(f".B {setting}\n", page)

    def test_links_between_pages_lead_somewhere(self):
        for path in PAGES:
            for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
                name, _, part = target.partition("#")
                if not name.startswith("http"):
                    page = path.parent / name if name else path
                    with self.subTest(page=path, link=target):
                        self.assertTrue(page.exists())
                        heads = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M) if part else []
                        marks = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads]
                        self.assertTrue(not part or part in marks, marks)

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
