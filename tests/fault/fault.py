"""The page that fault_shim.c shares with a test, which of its calls are tried, and what a failure is called."""

import mmap
import os
import re
import struct
import subprocess
import tempfile
import zlib

SHIM = os.environ["FAULT_SHIM"]
# How many k are tried of each kind in a case, evenly over all that there are, first once and then always. 0: a sample for
# the suite, which takes of each case three allocations and one call of every third of the other kinds.
TRIES = int(os.environ.get("FAULT_TRIES", "0"))

# The kinds in the order of fault_shim.c, with what an error's line must say of them.
REASONS = {
    "alloc": r"memory|allocat|Resource temporarily unavailable",  # the latter of a thread's memory, says the C library
    "open": "Too many open files",
    "read": "Input/output error",
    "write": "(?i)no space left|Input/output error",  # what a stream has forgotten is the latter
    "sync": "Input/output error",
    "rename": "Input/output error",
    "remove": "Input/output error",
    "map": r"memory|allocat",
    "socket": "Too many open files",
    "receive": "Input/output error",
    "send": "Input/output error",
    "event": r"memory|allocat",
    "thread": "Resource temporarily unavailable|thread",
    "status": "Input/output error",
    "size": "(?i)no space left",
    "close": "Input/output error",
    "entropy": "Input/output error|random",
    "interrupt": None,  # not a failure: what was asked for is done
    "short": None,
}
KINDS = list(REASONS)
FIELDS = ("kinds", "k", "always", "count", "failed", "live", "track", "traced")


class Control:
    """The shared page. Its fields are numbers: control["count"]."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "control")
        with open(self.path, "wb") as f:
            f.truncate(4096)
        with open(self.path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)

    def environment(self, **more):
        return {**os.environ, "LD_PRELOAD": SHIM, "FAULT_CONTROL": self.path, **more}

    def __getitem__(self, field):
        return struct.unpack_from("=q", self.page, 8 * FIELDS.index(field))[0]

    def __setitem__(self, field, value):
        struct.pack_into("=q", self.page, 8 * FIELDS.index(field), value)

    def arm(self, kind, k, always=False):
        """From now on the k-th call of the kind fails, and all after it, if `always`."""
        self["kinds"] = 0
        self["count"] = self["failed"] = self["traced"] = 0
        self["k"], self["always"] = k, always
        self["kinds"] = 1 << KINDS.index(kind)

    def count(self):
        """From now on all calls are counted, and none fails."""
        self["kinds"] = 0
        self.page[64:256] = bytes(192)

    def counts(self):
        """{kind: number of calls} since count()."""
        return dict(zip(KINDS, struct.unpack_from(f"={len(KINDS)}q", self.page, 64)))

    def disarm(self):
        """How many calls there were, and how many failed."""
        self["kinds"] = 0
        return self["count"], self["failed"]

    def culprit(self):
        """Who made the first call that failed, a line each: function and place in the source, as far as is known."""
        text = self.page[256:256 + self["traced"]].decode(errors="replace")
        lines = []
        for line in text.splitlines()[:14]:
            name, offset = line.rsplit("+", 1)
            found = subprocess.run(["addr2line", "-fse", name, offset], capture_output=True, text=True).stdout.split("\n")
            where = " ".join(found[:2]) if found and not found[0].startswith("??") else offset
            lines.append(f"    {os.path.basename(name)}: {where}")
        return "\n".join(lines)


def choose(case, counts, kinds):
    """(kind, k, always) for each failure that is tried in a case."""
    if TRIES:
        for kind in kinds:
            count = counts[kind]
            tries = min(count, TRIES)
            for k in sorted({1 + i * (count - 1) // max(1, tries - 1) for i in range(tries)}):
                yield kind, k, False
                if REASONS[kind]:
                    yield kind, k, True
        return
    spread = zlib.crc32(case.encode())
    for i in range(3):
        count = counts["alloc"]
        yield "alloc", 1 + (spread + i * (count // 3)) % count, i == 2
    present = [kind for kind in kinds if kind != "alloc" and counts[kind]]
    for i, kind in enumerate(present):
        if (i + spread) % 3 == 0:
            yield kind, 1 + spread % counts[kind], REASONS[kind] is not None and (spread >> 8 + i) % 2 == 1


def reason_named(kind, text):
    return re.search(REASONS[kind], text) is not None


def folder(case, prefix):
    made = tempfile.TemporaryDirectory(prefix=prefix)
    case.addClassCleanup(made.cleanup)
    return made.name
