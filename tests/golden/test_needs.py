"""The program on a machine in need: a file that is shortened, a folder that cannot be synced, rights and links of the files
that it replaces. Memory that is refused is in tests/fault.

Environment: PFGM, the program; GOLDEN, the folder of golden files; MODELS, that of the bundled models; FAIL_CALLS, a
library that makes calls fail, absent in builds that bring their own allocator."""

import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_file  # noqa: E402
from sanitized import SANITIZED, plain_only  # noqa: E402

PFGM = os.environ["PFGM"]
GOLDEN = os.environ["GOLDEN"]
DIGITS = os.path.join(os.environ["MODELS"], "digits8.safetensors")
FAIL_CALLS = os.environ.get("FAIL_CALLS")


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def pfgm(self, *arguments, **environment):
        return subprocess.run([PFGM, *arguments], capture_output=True, text=True, timeout=600,
                              env={**os.environ, **environment})


class Shortened(Case):
    @unittest.skipUnless(FAIL_CALLS, "the build brings its own allocator")
    def test_a_file_that_is_cut_while_it_is_mapped(self):
        archive = self.path("m.pth")
        shutil.copyfile(os.path.join(GOLDEN, "pfgm_digits8.pth"), archive)
        run = self.pfgm("inspect", archive, LD_PRELOAD=FAIL_CALLS, FAIL_SHORTEN=archive)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stderr, "pfgm: a file was shortened while it was read; try again\n")


class Replaced(Case):
    FEW = ("-n", "1", "--steps", "2", "--solver", "euler", "--seed", "1")

    def sample(self, out, **environment):
        run = self.pfgm("sample", DIGITS, *self.FEW, "-o", out, **environment)
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_mode_and_owner_stay(self):
        out = self.path("a.png")
        self.sample(out)
        first = os.stat(out)
        mask = os.umask(0)
        os.umask(mask)
        self.assertEqual(stat.S_IMODE(first.st_mode), 0o666 & ~mask)
        os.chmod(out, 0o600)
        refused = None
        if os.geteuid() == 0:
            try:
                os.chown(out, 1234, 2345)
            except OSError as e:  # a user namespace may know nobody else
                refused = e
        before = os.stat(out)
        self.sample(out)
        after = os.stat(out)
        self.assertNotEqual(after.st_ino, before.st_ino)
        self.assertEqual((after.st_mode, after.st_uid, after.st_gid), (before.st_mode, before.st_uid, before.st_gid))
        if refused:
            self.skipTest(f"of the mode alone: nobody else can own a file here: {refused}")

    def test_links_are_followed(self):
        os.mkdir(self.path("there"))
        os.symlink("there/b.png", self.path("a.png"))
        os.symlink(self.path("a.png"), self.path("link.png"))
        for _ in range(2):  # the first makes what the link names, the second replaces it
            self.sample(self.path("link.png"))
            self.assertTrue(os.path.islink(self.path("link.png")) and os.path.islink(self.path("a.png")))
            self.assertEqual(os.listdir(self.path("there")), ["b.png"])
            self.assertFalse(os.path.islink(self.path("there/b.png")))
        os.symlink("round.png", self.path("round.png"))
        run = self.pfgm("sample", DIGITS, *self.FEW, "-o", self.path("round.png"))
        self.assertEqual(run.returncode, 2)
        self.assertIn("symbolic links", run.stderr)

    @unittest.skipUnless(FAIL_CALLS, "the build brings its own allocator")
    def test_a_folder_that_cannot_be_synced(self):
        out = self.path("a.png")
        run = self.pfgm("sample", DIGITS, *self.FEW, "-o", out, LD_PRELOAD=FAIL_CALLS, FAIL_FOLDER_SYNC="1")
        self.assertEqual(run.returncode, 1)
        self.assertIn("the new file is in its place, but its folder cannot be synced", run.stderr)
        self.assertEqual(os.listdir(self.folder), ["a.png"])


class Digests(Case):
    def test_each_flipped_bit_of_the_weights_is_found(self):
        good = self.path("m.safetensors")
        with open(self.path("c.json"), "w") as f:
            f.write(safetensors_file.read(os.path.join(GOLDEN, "pfgm_digits8.golden.safetensors"))[0]["config"])
        run = self.pfgm("convert", os.path.join(GOLDEN, "pfgm_digits8.pth"), "--config", self.path("c.json"), "-o", good)
        self.assertEqual(run.returncode, 0, run.stderr)
        with open(good, "rb") as f:
            content = f.read()
        data = 8 + struct.unpack("<Q", content[:8])[0]
        count = 4 if SANITIZED else 12
        for i in range(count):
            at = data + (len(content) - data - 1) * i // (count - 1)
            bad = bytearray(content)
            bad[at] ^= 1 << (i % 8)
            with open(self.path("bad.safetensors"), "wb") as f:
                f.write(bad)
            run = self.pfgm("sample", self.path("bad.safetensors"), "-n", "1", "--steps", "2", "--solver", "euler",
                            "-o", self.path("out.png"))
            self.assertEqual(run.returncode, 2, run.stderr)
            self.assertIn("is damaged: its data do not have the digest", run.stderr)
        run = self.pfgm("inspect", self.path("bad.safetensors"))
        self.assertEqual(run.returncode, 2)
        self.assertIn("is damaged", run.stderr)
        self.assertEqual(self.pfgm("inspect", good).returncode, 0)

    def test_files_without_and_of_other_kinds(self):
        metadata, tensors = safetensors_file.read(DIGITS)
        self.assertNotIn("data_digest", metadata)
        self.assertEqual(self.pfgm("inspect", DIGITS).returncode, 0)
        safetensors_file.write(self.path("m.safetensors"), tensors, {**metadata, "data_digest": "md5:00"})
        run = self.pfgm("inspect", self.path("m.safetensors"))
        self.assertEqual(run.returncode, 2)
        self.assertIn('digest "md5:00" is of a kind that is not known', run.stderr)

    @plain_only
    def test_the_digest_is_what_the_documentation_says(self):
        import hashlib
        out = self.path("s.safetensors")
        run = self.pfgm("sample", DIGITS, "-n", "9000", "--steps", "1", "--solver", "euler", "--seed", "1", "-o", out)
        self.assertEqual(run.returncode, 0, run.stderr)
        with open(out, "rb") as f:
            header, data = safetensors_file.split(f.read())
        self.assertGreater(len(data), 2 << 20)
        pieces = b"".join(hashlib.sha256(data[i:i + (1 << 20)]).digest() for i in range(0, len(data), 1 << 20))
        self.assertEqual(header["__metadata__"]["data_digest"], "sha256-1MiB:" + hashlib.sha256(pieces).hexdigest())


class Shapes(Case):
    def test_numbers_beyond_63_bits_name_the_tensor(self):
        for shape, offsets in ((f"[1,{2**63}]", "[0,4]"), ("[1]", f"[0,{2**64}]"), (f"[{10**40}]", "[0,4]")):
            header = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w\\u0041":{"dtype":"F32","shape":%s,' \
                     '"data_offsets":%s}}' % (shape, offsets)
            with open(self.path("m.safetensors"), "wb") as f:
                f.write(safetensors_file.build(header, bytes(8)))
            run = self.pfgm("inspect", self.path("m.safetensors"))
            self.assertEqual(run.returncode, 2)
            self.assertIn('tensor "wA": a number of its shape or data_offsets is 2^63 or more', run.stderr)


if __name__ == "__main__":
    unittest.main()
