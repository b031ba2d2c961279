"""`pfgm sample --shard I/N --resume` and `pfgm merge`: what shards give is what one run gives, byte for byte, also when
they were killed on the way; and what does not belong together is told in one line.

PFGM is the binary, SOURCE the source tree. Standard library only."""

import filecmp
import json
import os
import random
import re
import resource
import signal
import subprocess
import tempfile
import unittest
import zipfile

from sanitized import SANITIZED

PFGM, SOURCE = os.environ["PFGM"], os.environ["SOURCE"]
MODELS = os.path.join(SOURCE, "conf", "models")
DIGITS = os.path.join(MODELS, "digits8.safetensors")
QUICK = ["--solver", "euler", "--steps", "4"]
ROUNDS = 4 if SANITIZED else 8


def pfgm(*words):
    return subprocess.run([PFGM, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)


def lines_of(path):
    """Whole lines of a journal, without its head."""
    try:
        with open(path, "rb") as f:
            return max(0, f.read().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


class Shards(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def good(self, *words):
        done = pfgm(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return done.stdout

    def refused(self, text, *words, code=2):
        done = pfgm(*words)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(text, done.stderr)

    def whole(self, *words):
        """What one run writes, as a file and as a folder."""
        self.good("sample", DIGITS, *words, "-o", self.path("whole.npz"))
        self.good("sample", DIGITS, *words, "-o", self.path("whole/"))

    def same_file(self, name):
        self.assertTrue(filecmp.cmp(self.path(name), self.path("whole.npz"), shallow=False), name)

    def same_folder(self, name):
        names = os.listdir(self.path("whole"))
        self.assertEqual(sorted(os.listdir(self.path(name))), sorted(names))
        self.assertEqual(filecmp.cmpfiles(self.path(name), self.path("whole"), names, shallow=False)[1:], ([], []))

    def shards(self, count, words, out):
        for i in range(1, count + 1):
            self.good("sample", DIGITS, *words, "--shard", f"{i}/{count}", "--resume", "-o", self.path(out % {"i": i}))

    def test_joined_shards_are_what_one_run_gives(self):
        words = ["-n", 11, "--seed", 2**64 - 1, "--first-index", 5, *QUICK]
        self.whole(*words)
        self.shards(3, words, "part-%(i)d.npz")
        self.shards(3, words, "parts/")
        files = [self.path(f"part-{i}.npz") for i in (3, 1, 2)]
        self.good("merge", *files, "-o", self.path("a.npz"))
        self.same_file("a.npz")
        self.good("merge", self.path("parts"), "-o", self.path("b.npz"))
        self.same_file("b.npz")
        self.good("merge", *files, "-o", self.path("c/"))
        self.same_folder("c")
        self.good("merge", self.path("parts/"), "-o", self.path("d/"))
        self.same_folder("d")

    def test_classes_are_joined_too(self):
        words = ["-n", 5, "--seed", 3, "--solver", "euler", "--steps", "2"]
        model = os.path.join(MODELS, "fashion10.safetensors")
        self.good("sample", model, *words, "-o", self.path("whole.npz"))
        self.good("sample", model, *words, "-o", self.path("whole/"))
        for i in (1, 2):
            self.good("sample", model, *words, "--shard", f"{i}/2", "-o", self.path("x/"))
            self.good("sample", model, *words, "--shard", f"{i}/2", "-o", self.path(f"x-{i}.npz"))
        self.good("merge", self.path("x/"), "-o", self.path("x.npz"))
        self.same_file("x.npz")
        self.good("merge", self.path("x-1.npz"), self.path("x-2.npz"), "-o", self.path("y/"))
        self.same_folder("y")

    def test_images_that_are_there_stay(self):
        words = ["-n", 4, "--seed", 7, *QUICK, "--resume", "-o", self.path("x/")]
        self.good("sample", DIGITS, *words)
        before = {name: os.stat(self.path("x/" + name)).st_ino for name in os.listdir(self.path("x"))}
        self.assertIn("4 of them there before", self.good("sample", DIGITS, *words))
        os.unlink(self.path("x/000001.png"))
        with open(self.path("x/000002.png"), "r+b") as f:
            f.truncate(60)
        self.assertIn("2 of them there before", self.good("sample", DIGITS, *words))
        after = {name: os.stat(self.path("x/" + name)).st_ino for name in os.listdir(self.path("x"))}
        self.assertEqual(after.keys(), before.keys())
        self.assertEqual([after[f"00000{i}.png"] for i in (0, 3)], [before[f"00000{i}.png"] for i in (0, 3)])
        self.whole("-n", 4, "--seed", 7, *QUICK)
        self.good("merge", self.path("x"), "-o", self.path("x.npz"))
        self.same_file("x.npz")

        alone = ["-n", 4, "--seed", 7, *QUICK, "--shard", "1/2", "--resume", "-o", self.path("x-1.npz")]
        self.good("sample", DIGITS, *alone)
        inode = os.stat(self.path("x-1.npz")).st_ino
        self.assertIn("2 of them there before", self.good("sample", DIGITS, *alone))
        self.assertEqual(os.stat(self.path("x-1.npz")).st_ino, inode)

    def ended_at(self, size, words):
        """A run that the system ends, with no chance to tidy up, when a file of it would grow past `size` bytes."""
        done = subprocess.run([PFGM, "sample", DIGITS, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        self.assertEqual(done.returncode, -signal.SIGXFSZ)

    def test_a_killed_shard_goes_on_where_it_was(self):
        words = ["-n", 24, "--seed", 3, "--solver", "euler", "--steps", "60", "--workers", 1, "--shard", "2/2", "--resume",
                 "-o", self.path("k/")]
        journal, dice, at = self.path("k/.shard-2-of-2.part"), random.Random(5), 0
        kept = {}
        self.ended_at(600, words)
        for _ in range(ROUNDS):
            self.ended_at(os.stat(journal).st_size + dice.randint(1, 110), words)
            at = lines_of(journal)
            for name, inode in kept.items():
                self.assertEqual(os.stat(name).st_ino, inode, f"{name} was made again")
            with open(journal, "rb") as f:
                lines = f.read().split(b"\n")[1:-1]
            kept = {self.path("k/%06d.png" % int(json.loads(line)["index"])): 0 for line in lines}
            kept = {name: os.stat(name).st_ino for name in kept}
        self.assertGreater(at, 1)
        said = self.good("sample", DIGITS, *words)
        self.assertGreaterEqual(int(re.search(r"(\d+) of them there before", said)[1]), at)
        self.refused("of 2 shards 1 is missing: 1", "merge", self.path("k/"), "-o", self.path("k.npz"))
        self.good("sample", DIGITS, *words[:-5], "--workers", 2, "--shard", "1/2", "-o", self.path("k/"))
        self.assertEqual([n for n in os.listdir(self.path("k")) if n.startswith(".")], [])
        self.good("merge", self.path("k/"), "-o", self.path("k.npz"))
        self.whole(*words[:8])
        self.same_file("k.npz")

    def test_a_disk_that_is_full_in_the_middle_of_a_line_leaves_whole_lines(self):
        """The limit of a file's size stands for the disk, and some line of the journal crosses it."""
        words = ["-n", 80, "--seed", 3, *QUICK, "--workers", 2, "--shard", "1/2", "--resume", "-o", self.path("f/")]
        for limit in (2001, 2002, 2600):
            with self.subTest(limit):
                done = subprocess.run(
                    [PFGM, "sample", DIGITS, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                    restore_signals=False,  # SIGXFSZ stays ignored
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
                self.assertIn("write the journal", done.stderr)
                with open(self.path("f/.shard-1-of-2.part"), "rb") as f:
                    kept = f.read()
                self.assertTrue(kept.endswith(b"\n"), kept[-80:])
                for line in kept.splitlines():
                    json.loads(line)
        self.assertIn("of them there before", self.good("sample", DIGITS, *words))
        self.good("sample", DIGITS, *words[:-5], "--shard", "2/2", "-o", self.path("f/"))
        self.good("merge", self.path("f/"), "-o", self.path("f.npz"))
        self.whole(*words[:8])
        self.same_file("f.npz")

    def test_what_is_of_another_run_is_refused(self):
        words = ["-n", 4, "--seed", 7, *QUICK]
        self.shards(2, words, "x/")
        self.shards(2, words, "x-%(i)d.npz")
        other = os.path.join(MODELS, "fashion10.safetensors")
        for out in ("x/", "x-1.npz"):
            begin, end = ["sample", DIGITS], ["--shard", "1/2", "--resume", "-o", self.path(out)]
            self.refused("seed is \"7\", and not \"8\"", *begin, "-n", 4, "--seed", 8, *QUICK, *end)
            self.refused("its n is 4, and not 5", *begin, "-n", 5, "--seed", 7, *QUICK, *end)
            self.refused("its temperature is 1, and not 0.5", *begin, *words, "--temperature", "0.5", *end)
            self.refused("its kernel is ", *begin, *words, "--kernel", "c", *end)
            self.refused("its model is ", "sample", other, *words, *end)
            self.refused("its shards is 2, and not 4", *begin, *words, "--shard", "4/4", "-o", self.path(out))
        labelled = ["sample", other, *words, "--shard", "1/2", "-o", self.path("f/")]
        self.good(*labelled)
        self.refused("its class is \"drawn\", and not 3", *labelled, "--class", "3")
        self.refused("is shard 1/2, and not shard 2: each shard needs a file of its own", "sample", DIGITS, *words,
                     "--shard", "2/2", "-o", self.path("x-1.npz"))
        self.good("sample", DIGITS, "-n", 4, "--seed", 8, *QUICK, "--shard", "2/2", "-o", self.path("y-2.npz"))
        self.refused("y-2.npz: is of another run: its seed is \"8\", and not \"7\"", "merge", self.path("x-1.npz"),
                     self.path("y-2.npz"), "-o", self.path("z.npz"))
        self.refused("is shard 1/2, and so is what is in", "merge", self.path("x-1.npz"), self.path("x-1.npz"), "-o",
                     self.path("z.npz"))
        self.refused("of 2 shards 1 is missing: 2", "merge", self.path("x-1.npz"), "-o", self.path("z.npz"))
        self.assertFalse(os.path.exists(self.path("z.npz")))

    def test_a_torn_shard_is_told_and_made_again(self):
        words = ["-n", 4, "--seed", 7, *QUICK]
        self.shards(2, words, "x-%(i)d.npz")
        self.shards(2, words, "x/")
        self.whole(*words)
        file, files = self.path("x-2.npz"), [self.path("x-1.npz"), self.path("x-2.npz")]
        with open(file, "rb") as f:
            bytes_before = f.read()
        flipped = bytearray(bytes_before)
        flipped[bytes_before.index(b"\x93NUMPY") + 200] ^= 1  # a pixel, of which the archive has a checksum
        for torn in (bytes_before[:len(bytes_before) // 2], bytes(flipped)):
            with open(file, "wb") as f:
                f.write(torn)
            self.refused("x-2.npz", "merge", *files, "-o", self.path("z.npz"))
            done = pfgm("sample", DIGITS, *words, "--shard", "2/2", "--resume", "-o", file)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("is torn and made again", done.stderr)
            with open(file, "rb") as f:
                self.assertEqual(f.read(), bytes_before)
        with open(self.path("x/000003.png"), "r+b") as f:
            f.seek(70)
            f.write(b"?")
        self.refused("000003.png: is not the image that the manifest of shard 2/2 names", "merge", self.path("x"), "-o",
                     self.path("z.npz"))
        self.refused("000003.png: is not the image", "merge", self.path("x"), "-o", self.path("z/"))
        self.assertFalse(os.path.exists(self.path("z")))
        self.refused("holds images of another run", "sample", DIGITS, *QUICK, "-o", self.path("x/"))
        self.refused("is the input file", "merge", *files, "-o", file)
        manifest = self.path("x/shard-1-of-2.manifest")
        with open(manifest, "rb") as f:
            text = f.read()
        for bad in (text[:-10], b"", b"{}\n", text.replace(b'"form":"png"', b'"form":"gif"'), text + b"[]\n",
                    text + b'{"index":"3","class":null,"sha256":"' + b"0" * 64 + b'"}\n'):
            with open(manifest, "wb") as f:
                f.write(bad)
            self.refused("shard-1-of-2.manifest: ", "merge", self.path("x"), "-o", self.path("z.npz"))
        os.unlink(manifest)
        self.shards(2, words, "x/")
        self.good("merge", self.path("x"), "-o", self.path("z.npz"))
        self.same_file("z.npz")

    def test_what_no_npz_can_hold_is_refused_before_the_work(self):
        big = os.path.join(MODELS, "fashion28.safetensors")  # of 784 bytes an image
        words = ("sample", big, "--seed", 1, "-o", self.path("x.npz"), "-n")
        self.refused("larger than the 4 GiB that an npz can hold", *words, 6000000)
        self.refused("larger than the 4 GiB that an npz can hold", *words, 10000000, "--shard", "1/1")
        self.assertEqual(os.listdir(self.folder), [])
        self.write_manifest(n=6, shape=[3, 20000, 20000])
        self.refused("6 images of 20000×20000 would be larger", "merge", self.folder, "-o", self.path("x.npz"))

    def write_manifest(self, **head):
        """Of a run of one shard with nothing behind the images' lines."""
        head = {"pfgm_shards": 1, "shard": 1, "shards": 1, "n": 1, "seed": "7", "first_index": "0", "form": "png",
                "shape": [1, 8, 8], "classes": False, "class": "drawn", "seed_rule": {}, **head}
        with open(self.path("shard-1-of-1.manifest"), "w") as f:
            f.write(json.dumps(head) + "\n")
            for i in range(min(head["n"], 10)):
                f.write(json.dumps({"index": str(i), "class": None, "sha256": "0" * 64}) + "\n")

    def test_a_manifest_takes_no_memory_for_what_it_promises(self):
        self.write_manifest(n=2**32)
        self.refused("no head of a shard's manifest", "merge", self.folder, "-o", self.path("x.npz"))
        with zipfile.ZipFile(self.path("bomb.npz"), "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("manifest.npy", b"\x93NUMPY" + bytes(1 << 26))
        self.refused('has no array "manifest" of a shard', "merge", self.path("bomb.npz"), "-o", self.path("x.npz"))

    def test_what_cannot_be_a_shard(self):
        out = ["-o", self.path("x/")]
        self.refused("needs --seed", "sample", DIGITS, "-n", 4, "--shard", "1/2", *out)
        self.refused("needs -n", "sample", DIGITS, "--seed", 4, "--shard", "1/2", *out)
        self.refused("too few for 8 shards", "sample", DIGITS, "-n", 4, "--seed", 4, "--shard", "1/8", *out)
        self.refused("a folder DIR/ or a file .npz", "sample", DIGITS, "-n", 4, "--seed", 4, "--resume", "-o", "x.npy")
        self.refused("does not go with --json", "sample", DIGITS, "-n", 4, "--seed", 4, "--resume", "--json", *out)
        for word in ("0/2", "3/2", "1", "1/2/3", "-1/2", "1/", "/2", "1/100001", "1" * 40 + "/2"):
            self.refused("is not I/N", "sample", DIGITS, "-n", 4, "--seed", 4, "--shard", word, *out)
        self.good("sample", DIGITS, "-n", 2, "--seed", 4, *QUICK, "-o", self.path("plain.npz"))
        self.refused("has no array \"manifest\" of a shard", "merge", self.path("plain.npz"), "-o", self.path("z.npz"))
        self.refused("has no array \"manifest\" of a shard", "sample", DIGITS, "-n", 2, "--seed", 4, "--resume", "-o",
                     self.path("plain.npz"))
        self.refused("has no shard that is whole", "merge", self.folder, "-o", self.path("z.npz"))
        self.refused("absent: is not there", "merge", self.path("absent"), "-o", self.path("z.npz"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
