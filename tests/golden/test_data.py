"""Which classes `pfgm train` finds in a data set, and what it refuses before the first step.

PFGM is the binary. Standard library only."""

import io
import json
import os
import resource
import shlex
import signal
import struct
import subprocess
import unittest
import zipfile

from test_train import PFGM, TINY, Case, npy, picture, png


class Data(Case):
    def small(self, **changes):
        config = dict(TINY, steps=1, **changes)
        return self.write("config.json", json.dumps(config).encode())

    def labels(self, run):
        """Of the model; None: it knows no classes."""
        with open(self.path(run, "model.safetensors"), "rb") as f:
            size = struct.unpack("<Q", f.read(8))[0]
            return json.loads(json.loads(f.read(size))["__metadata__"]["pfgm"]).get("labels")

    def folders(self, names, folder="set", each=2):
        for i, name in enumerate(names):
            for k in range(each):
                self.write("%s/%s/%d.png" % (folder, name, k), png(8, 8, picture(10 * i + k)))
        return self.path(folder)

    @staticmethod
    def exact(data, output, *more):
        return subprocess.run([PFGM, "convert", "--exact", data, "-o", output, *more], capture_output=True, text=True)

    def sample(self, run, *more):
        done = subprocess.run([PFGM, "sample", self.path(run, "model.safetensors"), "--solver", "euler",
                               "--steps", "1", "-o", self.path("out") + "/", "--json", *more],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


class Classes(Data):
    def test_classes_are_learned_unless_told_otherwise(self):
        data = self.folders(["cat", "dog"])
        for name, more, labels in (("usual", {}, ["cat", "dog"]), ("told", {"conditional": True}, ["cat", "dog"]),
                                   ("without", {"conditional": False}, None)):
            self.train(data, name, "--config", self.small(**more))
            self.assertEqual(self.labels(name), labels)
        self.assertEqual(self.digests("usual"), self.digests("told"))
        self.train(self.folders(["all"], "one"), "one-run", "--config", self.small())
        self.assertIsNone(self.labels("one-run"))
        self.sample("usual", "-n", "1", "--class", "dog")

    def test_vectors_with_labels_are_learned_with_them(self):
        def member(kind, code, shape, values):
            text = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
            text += " " * (-(11 + len(text)) % 64) + "\n"
            return (b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() +
                    struct.pack("<%d%s" % (len(values), code), *values))
        with zipfile.ZipFile(self.path("v.npz"), "w") as z:
            z.writestr("x.npy", member("<f4", "f", "(20, 2)", [float(i % 7) for i in range(40)]))
            z.writestr("y.npy", member("<i4", "i", "(20,)", [i % 2 for i in range(20)]))
        config = {"network": {"width": 16, "depth": 1}, "batch": 4, "steps": 1}
        self.train(self.path("v.npz"), "run", "--config", self.write("c.json", json.dumps(config).encode()))
        self.assertEqual(self.labels("run"), ["0", "1"])

    def test_names_that_are_numbers_sort_as_numbers(self):
        data = self.folders(["10", "9", "1", "02", "b", "1a"])
        self.train(data, "run", "--config", self.small())
        self.assertEqual(self.labels("run"), ["1", "02", "9", "10", "1a", "b"])

    def test_a_class_without_images_is_named_and_never_drawn(self):
        images = [picture(i) for i in range(12)]
        pixels = b"".join(b"".join(r) for r in images)
        self.write("a-images-idx3-ubyte", struct.pack(">IIII", 0x803, 12, 8, 8) + pixels)
        self.write("a-labels-idx1-ubyte", struct.pack(">II", 0x801, 12) + bytes(1 + i % 4 for i in range(12)))
        data = self.path("a-images-idx3-ubyte")
        done = self.train(data, "run", "--config", self.small())
        self.assertIn("no image is of class 0", done.stderr)
        self.assertEqual(self.labels("run"), ["1", "2", "3", "4"])
        drawn = {i["class"] for i in self.sample("run", "-n", "40")["images"]}
        self.assertEqual(len(drawn), 4)
        # names for all numbers, or for those that are there
        for count, run in ((5, "five"), (4, "four")):
            names = ["zero", "one", "two", "three", "four"][5 - count:]
            self.train(data, run, "--config", self.small(labels=names))
            self.assertEqual(self.labels(run), ["one", "two", "three", "four"])
            self.train(data, run, "--resume", "--steps", 2)
        self.write("set/full/0.png", png(8, 8, picture(1)))
        self.write("set/other/0.png", png(8, 8, picture(2)))
        self.write("set/spoiled/0.png", b"no picture")
        self.assertIn("class spoiled", self.train(self.path("set"), "folders", "--config", self.small()).stderr)
        self.assertEqual(self.labels("folders"), ["full", "other"])

    def test_a_name_that_no_checkpoint_can_hold_is_refused_before_step_1(self):
        data = self.folders(["a", "b"])
        bad = os.path.join(data.encode(), b"caf\xe9")
        os.rename(self.path("set", "b").encode(), bad)
        self.refused(self.train(data, "run", "--config", self.small(), ok=False), "caf?", "UTF-8")
        self.assertFalse(os.path.exists(self.path("run")))
        self.train(data, "named", "--config", self.small(labels=["a", "b"]))
        self.train(data, "none", "--config", self.small(conditional=False))
        os.rename(bad, self.path("set", "c" * 129).encode())
        self.refused(self.train(data, "run", "--config", self.small(), ok=False), "ccc", "129 bytes")

    def test_memory_follows_what_a_file_holds_and_not_what_it_declares(self):
        """64 bytes of IDX took 4.3 GB."""
        data = self.write("a-idx3-ubyte", struct.pack(">IIII", 0x803, 0xffffffff, 1, 1) + bytes(48))

        def little_memory():
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        with open(PFGM, "rb") as f:
            options = {} if b"__asan_init" in f.read() else {"preexec_fn": little_memory}
        self.refused(self.train(data, "run", ok=False, **options), "ends after 48 of 4294967295 bytes")

    def test_a_source_that_is_not_utf8_or_ends_in_a_slash(self):
        data = self.folders(["a", "b"])
        other = self.path("caf").encode() + b"\xe9"
        os.rename(data, other)
        done = subprocess.run([PFGM, "train", "--data", other, "-o", self.path("run"), "--config", self.small()],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr)
        os.rename(other, data)
        model = self.path("exact.safetensors")
        subprocess.run([PFGM, "convert", "--exact", data + "//", "-o", model], check=True,
                       stdout=subprocess.DEVNULL)
        inspect = subprocess.run([PFGM, "inspect", model, "--json"], stdout=subprocess.PIPE, check=True)
        self.assertIn('"source_name":"set"', inspect.stdout.decode().replace(" ", ""))


    def test_an_exact_field_is_of_names_that_a_checkpoint_can_hold(self):
        data = self.folders(["a", "b" * 130])
        self.refused(self.exact(data, self.path("m.safetensors")), "bbb", "130 bytes")
        self.assertFalse(os.path.exists(self.path("m.safetensors")))

    def test_an_exact_field_does_not_replace_its_sources(self):
        source = self.write("a-idx3-ubyte", struct.pack(">IIII", 0x803, 4, 8, 8) + bytes(range(256)))
        os.link(source, self.path("link"))
        for output in (source, self.path("link")):
            self.refused(self.exact(source, output), "is the input file")
        self.assertEqual(os.path.getsize(source), 272)


class Refused(Data):
    """What a run could not use or go on with, before its first step."""

    def test_steps_that_are_done_are_not_undone(self):
        data = self.folders(["a"])
        self.train(data, "run", "--config", self.small())
        self.refused(self.train(data, "run", "--resume", "--steps", 0, ok=False), "--steps", "0 steps", "1 are done")
        change = self.write("end.json", b'{"steps": 0}')
        before = self.digests("run")
        self.refused(self.train(data, "run", "--resume", "--continue-with", change, ok=False), "end.json", "1 are done")
        self.assertEqual(self.digests("run"), before)

    def test_a_run_lies_outside_its_data(self):
        """Its sheets were pictures of the data, which were others when it was resumed."""
        data = self.folders(["a"])
        os.symlink(data, self.path("link"))
        for run in ("set", "set/run", "link/a/run/"):
            self.refused(self.train(data, run, "--config", self.small(), ok=False), self.path(run), "folder of the data", data)
        self.refused(self.train(data, "set/a/0.png", "--config", self.small(), ok=False), "not a folder")
        self.assertEqual(sorted(os.listdir(data)), ["a"])

    def test_a_key_of_another_objective_is_not_passed_over(self):
        """D alone trained the field of PFGM, and said nothing."""
        data = self.folders(["a"])
        for more, word in (({"D": 128}, "pfgmpp"), ({"sigma_data": 0.5, "objective": "pfgm"}, "pfgmpp"),
                           ({"intervals": 10, "objective": "pfgmpp"}, "pfgm distill")):
            done = self.train(data, "run", "--config", self.small(**more), ok=False)
            self.refused(done, next(iter(more)), word)
        self.train(data, "run", "--config", self.small())  # config.json lists the keys of pfgmpp, as they usually are
        self.train(data, "again", "--config", self.path("run", "config.json"))
        with open(self.path("run", "config.json")) as f:
            old = json.load(f)
        old["D"] = 64
        self.write("run/config.json", json.dumps(old).encode())
        # what an earlier version began: only its digest is another one here
        self.assertIn("passed over", self.train(data, "run", "--resume", ok=False).stderr)

    def test_pictures_that_are_no_png_are_named(self):
        """A class of JPEGs, and one without a file, were left out without a word, with --strict too."""
        data = self.folders(["cat", "dog"])
        os.mkdir(self.path("set/empty"))
        for name in ("set/fish/1.JPG", "set/cat/notes.txt", "set/dataset.txt", "set/README"):
            self.write(name, b"words")
        jpeg = self.write("set/dog/found", b"\xff\xd8\xff\xe0" + bytes(20))
        done = self.exact(data, self.path("m.safetensors"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no image is of class empty, fish: left out", done.stderr)
        for name in ("fish/1.JPG", "dog/found"):
            self.assertIn(name + ": is a picture and no PNG file", done.stderr)
        self.assertIn("2 files skipped", done.stdout)
        self.refused(self.exact(data, self.path("m.safetensors"), "--strict"), "is a picture and no PNG file")
        os.unlink(jpeg)
        os.unlink(self.path("set/fish/1.JPG"))
        done = self.exact(data, self.path("m.safetensors"), "--strict")  # lists and licences lie beside pictures
        self.assertEqual(done.returncode, 0, done.stderr)
        archive = self.path("a.zip")
        with zipfile.ZipFile(archive, "w") as z:
            z.write(self.path("set/cat/0.png"), "cat/0.png")
            z.writestr("fish/1.jpg", b"x")
        self.assertIn("no image is of class fish", self.exact(archive, self.path("m.safetensors")).stderr)


class Shown(Data):
    def test_the_first_step_is_shown_and_one_slash(self):
        """Nothing was to be seen for the first fifty steps; and "run//model.safetensors"."""
        data = self.folders(["only"], each=1)
        config = dict(TINY, steps=2, log_every=50)
        done = self.train(data, "run/", "--config", self.write("c.json", json.dumps(config).encode()))
        self.assertIn("data     1 image of 1×8×8, 1 class, 0 files skipped", done.stdout)
        self.assertEqual(len([line for line in done.stdout.splitlines() if line.startswith("step 1  loss")]), 1)
        self.assertIn("/run/model.safetensors", done.stdout)
        self.assertNotIn("//", done.stdout)

    def stopped(self, *words):
        """What a run that is interrupted after its first steps says, in words of a shell."""
        process = subprocess.Popen([PFGM, "train", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 0, error)
        said = out.splitlines()[-1]
        self.assertTrue(said.startswith("continue with: pfgm train "), said)
        return shlex.split(said[len("continue with: pfgm train "):])

    def test_a_stopped_run_says_what_continues_it(self):
        """It left out how the data are read, so that the command was refused, and the end."""
        for i in range(6):
            self.write("my 'own' pictures/%d.png" % i, png(18, 16, [bytes(18)] * i + [bytes(range(18))] * (16 - i)))
        config = self.write("c.json", json.dumps(TINY).encode())
        common = ["--data", self.path("my 'own' pictures"), "-o", self.path("a run")]
        more = ["--center-crop", "16", "--resize", "8", "--strict", "--steps", "10000000", "--export-dtype", "bf16",
                "--threads", "2", "--kernel", "c"]
        said = self.stopped(*common, "--config", config, *more)
        self.assertEqual(said, common + ["--resume"] + more)
        end = self.saved_step("a run") + 2
        done = subprocess.run([PFGM, "train", *said, "--steps", str(end)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("done after step %d:" % end, done.stdout)

    def test_a_stopped_run_says_where_the_labels_are(self):
        images = self.write("images", struct.pack(">IIII", 0x803, 4, 8, 8) + bytes(range(256)))
        labels = self.write("labels", struct.pack(">II", 0x801, 4) + bytes([0, 1, 0, 1]))
        config = self.write("c.json", json.dumps(dict(TINY, steps=10000000)).encode())
        common = ["--data", images, "-o", self.path("run")]
        said = self.stopped(*common, "--config", config, "--labels", labels)
        self.assertEqual(said, common + ["--resume", "--labels", labels])


class Archives(Data):
    """Sets as the tools of EDM and StyleGAN write them: shards, and classes in dataset.json."""

    def write_set(self, told, folder="set"):
        files = {"%05d/img%08d.png" % (i // 3, i): png(8, 8, picture(i)) for i in range(9)}
        if told is not None:
            files["dataset.json"] = json.dumps(told).encode()
        for name, data in files.items():
            self.write(folder + "/" + name, data)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as z:
            for name in reversed(files):
                z.writestr(name, files[name])
            z.writestr("__MACOSX/00000/._img00000000.png", b"\0\x05\x16\x07")
        return self.path(folder), self.write(folder + ".zip", archive.getvalue())

    def test_dataset_json_tells_the_classes(self):
        told = {"labels": [["%05d/img%08d.png" % (i // 3, i), 5 * (i % 2)] for i in range(9)]}
        for source, run in zip(self.write_set(told), ("folder", "zip")):
            done = self.train(source, run, "--config", self.small(), "--json")
            self.assertEqual(json.loads(done.stdout.splitlines()[0])["images"], 9)
            self.assertEqual(self.labels(run), ["0", "5"])
        self.assertEqual(self.digest("folder", "state.safetensors"), self.digest("zip", "state.safetensors"))

    def test_shards_are_no_classes_where_it_tells_of_none(self):
        for source, run in zip(self.write_set({"labels": None}), ("folder", "zip")):
            done = self.train(source, run, "--config", self.small(), "--json")
            self.assertEqual(json.loads(done.stdout.splitlines()[0])["classes"], 0)

    def test_an_archive_of_folders_is_the_folder(self):
        for source, run in zip(self.write_set(None), ("folder", "zip")):
            self.train(source, run, "--config", self.small())
            self.assertEqual(self.labels(run), ["00000", "00001", "00002"])
        self.assertEqual(self.digest("folder", "state.safetensors"), self.digest("zip", "state.safetensors"))

    def test_a_damaged_dataset_json_is_named(self):
        cases = (([], "dataset.json"), ({"labels": 3}, "must be an array"),
                 ({"labels": [["00000/img00000000.png", [0, 1]]]}, "00000/img00000000.png"),
                 ({"labels": [["a"]]}, "element 0"), ({"labels": [["a", -1]]}, "element 0"))
        for i, (told, word) in enumerate(cases):
            for source in self.write_set(told, "set%d" % i):
                if isinstance(told, list):
                    self.assertIn("passed over", self.train(source, "run", "--config", self.small()).stderr)
                    subprocess.run(["rm", "-r", self.path("run")], check=True)
                else:
                    self.refused(self.train(source, "run", "--config", self.small(), ok=False),
                                 "dataset.json", word)
        told = {"labels": [["%05d/img%08d.png" % (i // 3, i), i % 2] for i in range(8)]}
        for source in self.write_set(told, "short"):
            self.refused(self.train(source, "run", "--strict", "--config", self.small(), ok=False),
                         "img00000008.png", "no label")


if __name__ == "__main__":
    unittest.main()
