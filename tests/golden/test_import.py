"""Networks that the PFGM++ reference saved whole, through the real program: its .pkl, its .pt and
plain tensors of the same network convert to the same weights, nothing in them is run, and what does
not fit ends in exit code 2, one line that names the culprit, no output.

Environment: PFGM, the program; GOLDEN, the folder of golden files. Run with python3; nothing but
the standard library is used."""

import collections
import hashlib
import json
import math
import os
import pickle
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_file
import torch_file
from song_network import shapes
from test_convert import Case, data_of, description_of, golden, processor_seconds

D128, COND = "pfgmpp_ncsnpp_rgb16_d128", "pfgmpp_ddpmpp_rgb16_dinf_cond"
SAVED = {D128: D128 + ".pkl", COND: COND + ".pt"}
HOOKS = ("_backward_hooks", "_forward_hooks", "_forward_pre_hooks", "_state_dict_hooks")
NAMES = {D128: ("fourier", "residual", 2, [1, 3, 3, 1]),
         COND: ("positional", "standard", 1, [1, 1])}


def floats(raw):
    return struct.unpack("<%df" % (len(raw) // 4), raw)


class Call:
    """Pickles as a call of any function, as a hostile file would have it."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments

    def __reduce__(self):
        return getattr(sys.modules[self.module], self.name), self.arguments


class Import(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config, cls.tensors = {}, {}
        for name in SAVED:
            metadata, tensors = safetensors_file.read(golden(name + ".golden.safetensors"))
            cls.config[name] = json.loads(metadata["config"])
            cls.tensors[name] = {k[len("weights."):]: v for k, v in tensors.items()
                                 if k.startswith("weights.")}

    def import_(self, path, *extra):
        return self.run_pfgm("convert", path, "-o", self.out, *extra)

    def imported(self, path, *extra):
        run = self.import_(path, *extra)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return data_of(self.out)

    def written(self, content, name="made"):
        with open(self.path(name), "wb") as f:
            f.write(content)
        return self.path(name)

    def arguments(self, name):
        """What the reference records of the network's constructor."""
        config = self.config[name]
        embedding, encoder, noise, taps = NAMES[name]
        return {"img_resolution": config["image_size"], "in_channels": 3, "out_channels": 3,
                "label_dim": config["label_dim"], "augment_dim": config["augment_dim"],
                "model_channels": config["model_channels"],
                "channel_mult": config["channel_mult"], "num_blocks": config["num_blocks"],
                "attn_resolutions": config["attn_resolutions"], "dropout": 0.13,
                "embedding_type": embedding, "encoder_type": encoder, "decoder_type": "standard",
                "channel_mult_noise": noise, "resample_filter": taps}

    def module(self, name=D128, network=None, outer=None, tensors=None, source="", args=(),
               classes=("EDMPrecond", "SongUNet"), attributes=None):
        """The network as the reference saves it. `tensors` replaces or (None) removes some;
        `attributes` gives {class: {attribute: value}} to the modules inside."""
        values = {k: torch_file.from_bytes(raw, shape)
                  for k, (_, shape, raw) in self.tensors[name].items()}
        values.update(tensors or {})
        tree = lambda: collections.defaultdict(tree)
        root = tree()
        for key, value in values.items():
            at = root
            *path, last = key.split(".")
            for part in path:
                at = at[part]
            if value is not None:
                at[last] = value

        def built(node, path):
            state = {"training": False, "_parameters": collections.OrderedDict(),
                     "_buffers": collections.OrderedDict(), "_non_persistent_buffers_set": set(),
                     "_modules": collections.OrderedDict()}
            state.update({hook: collections.OrderedDict() for hook in HOOKS})
            for key, child in node.items():
                if isinstance(child, dict):
                    state["_modules"][key] = built(child, path + (key,))
                elif key in ("freqs", "resample_filter"):
                    state["_buffers"][key] = child
                else:
                    state["_parameters"][key] = torch_file.Parameter(child)
            if path in (("model", "enc"), ("model", "dec")):
                return torch_file.module_dict(state)
            kind = classes[len(path)] if len(path) < 2 and path in ((), ("model",)) else \
                "UNetBlock" if state["_modules"] else \
                "GroupNorm" if "norm" in path[-1] else "Conv2d"
            state.update((attributes or {}).get(kind, {}))
            state.update(_init_args=(), _init_kwargs={})
            if path == ():
                finite = self.config[name]["D"] != "inf"
                state.update(img_resolution=16, img_channels=3, D=128, pfgmpp=finite,
                             label_dim=self.config[name]["label_dim"], sigma_min=0,
                             sigma_max=math.inf, sigma_data=0.5)
                state.update(outer or {})
                state = {k: v for k, v in state.items() if v is not ...}
            elif path == ("model",):
                state["_init_args"] = args
                state["_init_kwargs"] = self.arguments(name) if network is None else network
            return torch_file.Record(kind, state, source)

        return built(root, ())

    def pickled(self, *args, protocol=4, **options):
        return self.written(torch_file.encode_plain({"ema": self.module(*args, **options)},
                                                    protocol), "made.pkl")


class Weights(Import):
    def test_the_three_kinds_of_file_give_the_same_weights(self):
        for name, saved in SAVED.items():
            plain = self.imported(golden(name + ".golden.safetensors"))
            self.assertEqual(self.imported(golden(saved)), plain)
            with open(golden(saved), "rb") as f:
                content = f.read()
            for other in ("x.pth", "x.safetensors", "x"):
                self.assertEqual(self.imported(self.written(content, other)), plain)

    def test_layouts(self):
        for name in SAVED:
            self.imported(golden(name + ".golden.safetensors"))
            ours, theirs = safetensors_file.read(self.out)[1], dict(self.tensors[name])
            left = {raw for _, _, raw in theirs.values()}
            blocks = ["model.enc.8x8_block0", "model.dec.8x8_in0", "model.dec.8x8_block1"]
            attention = [k[:-len(".NIN_0.W")] for k in ours if k.endswith(".NIN_0.W")]
            self.assertEqual(len(attention), 3)
            for module, block in zip(attention, blocks):
                qkv, proj = (floats(theirs["%s.%s.weight" % (block, k)][2])
                             for k in ("qkv", "proj"))
                bias = floats(theirs[block + ".qkv.bias"][2])
                channels = ours[module + ".NIN_0.b"][1][0]
                for k in range(4):
                    w = floats(ours["%s.NIN_%d.W" % (module, k)][2])
                    b = floats(ours["%s.NIN_%d.b" % (module, k)][2])
                    row = (lambda o: qkv[(3 * o + k) * channels:]) if k < 3 else \
                        (lambda o: proj[o * channels:])
                    for o in range(channels):
                        self.assertEqual(w[o::channels], row(o)[:channels])
                        if k < 3:
                            self.assertEqual(b[o], bias[3 * o + k])
            moved = [k for k in ours if ".NIN_" in k and not k.endswith("NIN_3.b")
                     or k.startswith("label") or name == COND and k == "all_modules.0.bias"]
            for key, (_, shape, raw) in ours.items():
                if key not in moved:
                    self.assertIn(raw, left, key)
            self.assertEqual(len(ours) - len(moved) + 3 * 3 + (3 if name == COND else 0),
                             len([k for k in theirs if not k.endswith("resample_filter") and
                                  "augment" not in k]))

    def test_class_embedding(self):
        self.imported(golden(COND + ".pt"))
        ours, theirs = safetensors_file.read(self.out)[1], self.tensors[COND]
        self.assertEqual(ours["label_embedding.weight"][1], [5, 16])
        rows = floats(ours["label_embedding.weight"][2])
        weight, bias = (floats(theirs["model.map_label." + k][2]) for k in ("weight", "bias"))
        first, old = (floats(theirs["model.map_layer0." + k][2]) for k in ("weight", "bias"))
        new = floats(ours["all_modules.0.bias"][2])
        for k in range(5):
            for e in range(16):
                self.assertAlmostEqual(rows[16 * k + e], weight[5 * e + k] * math.sqrt(5),
                                       delta=1e-6)
        for i in range(64):
            folded = old[i] + sum(first[16 * i + e] * bias[e] for e in range(16))
            self.assertAlmostEqual(new[i], folded, delta=1e-6)

    def test_descriptions(self):
        for name, saved in SAVED.items():
            run = self.import_(golden(saved), "--json")
            summary = json.loads(run.stdout)
            told = description_of(self.out)
            shown = json.loads(self.run_pfgm("inspect", golden(saved), "--json").stdout)
            self.assertEqual(told, summary["description"])
            self.assertEqual(told, shown["description"])
            self.assertEqual(summary["augment_left_out"], name == D128)
            self.assertEqual(shown["container"], "pickle" if name == D128 else "zip")
            self.assertEqual(len(shown["tensors"]), len(self.tensors[name]))
            with open(golden(saved), "rb") as f:
                source = hashlib.sha256(f.read()).hexdigest()
            provenance = {"source_sha256": source, "source_name": saved, "weights": "ema",
                          "step": None if name == D128 else 777}
            self.assertEqual(told.pop("provenance"), provenance)
            self.imported(golden(name + ".golden.safetensors"))
            plain = description_of(self.out)
            plain.pop("provenance")
            self.assertEqual(told, plain)
            config = self.config[name]
            self.assertEqual((told["family"], told["D"], told["sigma_max"], told["sigma_min"],
                              told["sigma_data"], told["rho"], told["num_steps"]),
                             ("pfgmpp", config["D"], 80, 0.002, 0.5, 7, 18))
            self.assertEqual(told.get("labels"), list("01234") if name == COND else None)
            self.assertEqual(told["arch"]["fir"], name == D128)

    def test_raw_and_averaged(self):
        ema, net = self.module(COND), self.module(COND, tensors={
            "model.enc.16x16_conv.bias": torch_file.tensor([7.0] * 16)})
        torch_file.save_zip({"ema": ema, "net": net, "step": 5, "optimizer_state": {}},
                            self.path("both.pt"))
        plain = self.imported(golden(COND + ".golden.safetensors"))
        self.assertEqual(self.imported(self.path("both.pt")), plain)
        self.assertNotEqual(self.imported(self.path("both.pt"), "--weights", "raw"), plain)
        raw = description_of(self.out)["provenance"]
        self.assertEqual((raw["weights"], raw["step"]), ("raw", 5))
        torch_file.save_zip({"net": net}, self.path("raw.pt"))
        shown = json.loads(self.run_pfgm("inspect", self.path("raw.pt"), "--json").stdout)
        self.assertEqual(shown["description"]["provenance"]["weights"], "raw")
        os.remove(self.out)
        self.refused(self.import_(self.path("raw.pt")), "no EMA weights")
        self.refused(self.import_(golden(D128 + ".pkl"), "--weights", "raw"), 'no raw weights')
        self.refused(self.import_(golden(D128 + ".golden.safetensors"), "--weights", "raw"),
                     "one set of weights")

    def test_protocols_containers_and_types(self):
        plain = self.imported(golden(D128 + ".golden.safetensors"))
        for protocol in (3, 4, 5):  # 2 has no bytes
            self.assertEqual(self.imported(self.pickled(protocol=protocol)), plain)
        ema = {"ema": self.module()}
        torch_file.save_zip(ema, self.path("made.pt"), deflate=True)
        self.assertEqual(self.imported(self.path("made.pt")), plain)
        torch_file.save_legacy(ema, self.path("made.pt"))
        self.assertEqual(self.imported(self.path("made.pt")), plain)
        views = {k: torch_file.restrided(torch_file.from_bytes(raw, shape), (0, 2, 3, 1))
                 for k, (_, shape, raw) in self.tensors[D128].items() if len(shape) == 4}
        self.assertEqual(self.imported(self.pickled(tensors=views)), plain)

    def test_networks_of_other_sizes(self):
        for name in SAVED:
            self.assertEqual(shapes(self.arguments(name)),
                             {k: v[1] for k, v in self.tensors[name].items()})
        cifar = {**self.arguments(D128), "img_resolution": 32, "model_channels": 128,
                 "channel_mult": [2, 2, 2], "num_blocks": 4, "attn_resolutions": [16]}
        ddpmpp = self.arguments(COND)
        ffhq = {**cifar, "img_resolution": 64, "channel_mult": [1, 2, 2, 2],
                **{k: ddpmpp[k] for k in ("embedding_type", "encoder_type", "channel_mult_noise",
                                          "resample_filter")}}
        for published, scalars in ((cifar, 56397827), ({**cifar, "label_dim": 10}, 56400643),
                                   (ffhq, 61805571)):
            self.assertEqual(sum(math.prod(v) for k, v in shapes(published).items()
                                 if not k.endswith(("resample_filter", "freqs"))),
                             scalars, published)
        for change in ({"model_channels": 8}, {"model_channels": 4, "label_dim": 3, "num_blocks": 2,
                       "attn_resolutions": [4, 16], "channel_mult": [1, 1, 2, 2, 1],
                       "img_resolution": 64}):
            for published in (cifar, ffhq):
                small = {**published, **change}
                tensors = {k: torch_file.from_bytes(bytes(4 * math.prod(v)), v)
                           for k, v in shapes(small).items() if "filter" not in k}
                side = len(small["resample_filter"])
                taps = [a * b / sum(small["resample_filter"])**2 for a in small["resample_filter"]
                        for b in small["resample_filter"]]
                tensors.update({k: torch_file.tensor(taps, (1, 1, side, side))
                                for k in shapes(small) if "filter" in k})
                tensors.update({k: None for k in self.tensors[COND] if k not in tensors})
                run = self.import_(self.pickled(
                    COND, network=small, tensors=tensors,
                    outer={k: small[k] for k in ("img_resolution", "label_dim")}), "--json")
                self.assertEqual(run.stderr, "")
                kept = [math.prod(v) for k, v in shapes(small).items()
                        if not k.endswith(("resample_filter", "map_augment.weight", "label.bias"))]
                self.assertEqual(json.loads(run.stdout)["parameters"], sum(kept))

    def test_defaults_and_positions(self):
        plain = self.imported(golden(COND + ".golden.safetensors"))
        given = self.arguments(COND)
        for key in ("augment_dim", "dropout", "embedding_type", "encoder_type", "decoder_type",
                    "channel_mult_noise", "resample_filter"):
            given.pop(key)
        self.assertEqual(self.imported(self.pickled(COND, network=given)), plain)
        args = tuple(given.pop(k) for k in ("img_resolution", "in_channels", "out_channels"))
        self.assertEqual(self.imported(self.pickled(COND, network=given, args=args)), plain)
        self.assertIs(description_of(self.out)["null_class"], False)
        self.imported(self.pickled(COND, network={**self.arguments(COND), "label_dropout": 0.1}))
        self.assertNotIn("null_class", description_of(self.out))  # it has learned the field of no class
        self.imported(self.pickled(outer={"sigma_min": 0.01, "sigma_max": 50}))
        told = description_of(self.out)
        self.assertEqual((told["sigma_min"], told["sigma_max"]), (0.01, 50))
        self.imported(self.pickled(outer={"pfgmpp": False}))
        self.assertEqual(description_of(self.out)["D"], "inf")
        self.imported(self.pickled(outer={"pfgmpp": ..., "D": ...}))
        self.assertEqual(description_of(self.out)["D"], "inf")


class Hostile(Import):
    """Files that would create a file called PWNED if anything in them ran."""

    def setUp(self):
        super().setUp()
        self.mark = self.path("PWNED")
        self.code = "open(%r, 'w').close()" % self.mark

    def tearDown(self):
        self.assertFalse(os.path.exists(self.mark))

    def both_refuse(self, path, *words):
        for run in (self.import_(path), self.run_pfgm("inspect", path)):
            self.refused(run, *words)

    def test_source_text_is_not_run_orbax_3014(self):
        plain = self.imported(golden(D128 + ".golden.safetensors"))
        self.assertEqual(self.imported(self.pickled(source="import os\n" + self.code)), plain)
        torch_file.save_zip({"ema": self.module(source=self.code)}, self.path("made.pt"))
        self.assertEqual(self.imported(self.path("made.pt")), plain)
        self.assertEqual(self.run_pfgm("inspect", self.path("made.pt")).returncode, 0)

    def test_calls_in_modules_orbax_3014(self):
        import subprocess  # by the name that the pickles shall have
        touch = "touch " + self.mark
        calls = [Call("os", "system", touch), Call("builtins", "eval", self.code),
                 Call("builtins", "exec", self.code), Call("subprocess", "Popen", touch),
                 Call("os", "popen", touch), Call("builtins", "getattr", [], "sort"),
                 Call("builtins", "__import__", "os"), Call("subprocess", "getoutput", touch)]
        for i, call in enumerate(calls):
            where = ({"hook": call}, {"_modules": {"model": call}}, {"_init_kwargs": call})[i % 3]
            ema = {"ema": self.module(outer=where)}
            self.both_refuse(self.written(torch_file.encode_plain(ema)), "refused global")
            torch_file.save_zip({"ema": self.module(), "optimizer_state": call},
                                self.path("made.pt"))
            self.both_refuse(self.path("made.pt"), "refused global")

    def test_opcodes_that_call(self):
        touch = b"X" + struct.pack("<I", len(self.mark) + 6) + b"touch " + self.mark.encode()
        begin = b"\x80\x02}X\x03\0\0\0ema"
        holder = b"ctorch.nn.modules.container\nModuleDict\n"
        record = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
        bodies = [(b"(" + touch + b"ios\nsystem\n", "INST"),
                  (b"(cos\nsystem\n" + touch + b"o", "os.system"),
                  (b"cos\nsystem\n" + touch + b"\x85\x81", "os.system"),
                  (b"cos\nsystem\n" + touch + b"\x85}\x92", "os.system"),
                  (b"\x8c\x02os\x8c\x06system\x93" + touch + b"\x85R", "os.system"),
                  (b"\x82\x01", "EXT1"), (b"Pos.system\n", "PERSID"),
                  (touch + b"Q", "persistent id"),
                  (record + touch + b"\x85R", "persistence record"),
                  (record + touch + b"\x85\x81", "instance of torch_utils"),
                  (record + b"}b", "refused to set the state"),
                  (holder + touch + b"\x85\x81", "ModuleDict"),
                  (holder + b")\x81X\x0c\0\0\0__setstate__b",
                   "refused to set the state")]
        for i, (body, word) in enumerate(bodies):
            content = begin + body + b"s."
            self.both_refuse(self.written(content), word, "at byte")
            if i % 2:  # one machine runs the stream of every container
                self.both_refuse(self.written(torch_file.legacy_head() + content), word, "at byte")
            else:
                torch_file.pack_zip(self.path("made.pt"), content, {})
                self.both_refuse(self.path("made.pt"), word, "at byte")

    def test_calls_in_an_embedded_stream_orbax_3014(self):
        call = pickle.dumps(Call("os", "system", "touch " + self.mark), protocol=2)
        stream = torch_file.legacy_head() + call + pickle.dumps([], protocol=2)
        content = pickle.dumps({"ema": stream}, protocol=3)
        at = content.index(b"C" + bytes([len(stream)]) if len(stream) < 256 else b"B")
        content = content[:at] + b"ctorch.storage\n_load_from_bytes\n" + content[at:-2]
        self.both_refuse(self.written(content + b"\x85Rs."), "refused global", "embedded at")

    def test_truncated(self):
        whole = torch_file.encode_plain({"ema": self.module()})
        for length in (len(whole) - 1, len(whole) // 2, 5000, 300, 60, 11, 2):
            self.both_refuse(self.written(whole[:length]), "truncated")
        self.both_refuse(self.written(whole + b"x"), "1 bytes follow it")


class Structure(Import):
    def made_refused(self, *words, **options):
        self.refused(self.import_(self.pickled(**options)), *words)

    def test_tensors(self):
        key = "model.dec.16x16_block0.conv1.weight"
        shape = self.tensors[D128][key][1]
        wrong = torch_file.tensor([0.0] * 9, (1, 1, 3, 3))
        self.made_refused('"%s" is missing from "ema"' % key, tensors={key: None})
        self.made_refused('"%s"' % key, str(shape) + " expected", "[1, 1, 3, 3] found",
                          tensors={key: wrong})
        self.made_refused('"model.enc.16x16_block0.skip.weight"', "unexpected",
                          tensors={"model.enc.16x16_block0.skip.weight": wrong})
        self.made_refused('"model.map_label.bias"', "unexpected",
                          tensors={"model.map_label.bias": wrong})
        self.made_refused("map_augment.weight", "[32, 9] expected",
                          tensors={"model.map_augment.weight": wrong})
        self.made_refused('"model.map_augment.weight" is missing',
                          tensors={"model.map_augment.weight": None})
        bad = torch_file.tensor([0.0] * 95 + [math.nan])
        self.made_refused("model.enc.8x8_block0.qkv.bias", "non-finite", "element 31 is NaN",
                          tensors={"model.enc.8x8_block0.qkv.bias": bad})
        key = "model.enc.16x16_conv.bias"
        for metadata in ({}, {"neg": True}, {"conj": True}):  # lazily negated: the file has the other sign
            lazy = torch_file.tensor([1.0] * 16)
            lazy.metadata = metadata
            if metadata:
                self.made_refused("a tensor with metadata", "resolve_neg()", tensors={key: lazy})
            else:
                self.imported(self.pickled(tensors={key: lazy}))
                os.remove(self.out)
        self.made_refused("dtype I32", tensors={
            "model.enc.16x16_conv.bias": torch_file.tensor(range(16), kind="IntStorage")})

    def test_filters(self):
        key = "model.enc.8x8_down.skip.resample_filter"
        taps = [a * b / 64 for a in (1, 3, 3, 1) for b in (1, 3, 3, 1)]
        half = torch_file.tensor(taps, (1, 1, 4, 4), "HalfStorage")
        self.imported(self.pickled(tensors={key: half}))
        os.remove(self.out)
        odd = taps[:5] + [9.1 / 64] + taps[6:]
        self.made_refused('"%s": element 5 is 0.142' % key, "[1,3,3,1]",
                          tensors={key: torch_file.tensor(odd, (1, 1, 4, 4))})
        self.made_refused(key, "element 0 is nan",
                          tensors={key: torch_file.tensor([math.nan] * 16, (1, 1, 4, 4))})
        self.made_refused('"%s" is missing' % key, tensors={key: None})
        self.made_refused(key, "[1, 1, 4, 4] expected",
                          tensors={key: torch_file.tensor([0.25] * 4, (1, 1, 2, 2))})
        self.made_refused("qkv.resample_filter", "unexpected", tensors={
            "model.enc.8x8_block0.qkv.resample_filter": torch_file.tensor(taps, (1, 1, 4, 4))})

    def test_networks_that_are_not_known(self):
        given = self.arguments(D128)
        for change, word in (({"decoder_type": "skip"}, "decoder_type"),
                             ({"encoder_type": "skip"}, "encoder_type"),
                             ({"channel_mult_emb": 2}, "channel_mult_emb"),
                             ({"embedding_type": "positional"}, "embedding_type"),
                             ({"channel_mult_noise": 1}, "channel_mult_noise"),
                             ({"resample_filter": [1, 2, 1]}, "resample_filter"),
                             ({"resample_filter": [1, 1]}, "is known only with the filter"),
                             ({"out_channels": 6}, "out_channels"), ({"heads": 4}, '"heads"'),
                             ({"channel_mult": [1, 0]}, "channel_mult"),
                             ({"channel_mult": [1] * 99}, "channel_mult"),
                             ({"num_blocks": 10**9}, "num_blocks"),
                             ({"model_channels": 2.5}, "model_channels"),
                             ({"img_resolution": -1}, "img_resolution"),
                             ({"label_dim": 10**6}, "label_dim"), ({"dropout": None}, "dropout"),
                             ({"augment_dim": math.inf}, "augment_dim"), ({"label_dropout": 2}, "label_dropout")):
            self.made_refused("made.pkl: ema", word, network={**given, **change})
        given.pop("in_channels")
        self.made_refused("in_channels", network=given)
        self.made_refused("in_channels", network={}, args=(16,))
        self.made_refused("were not recorded", args=(1,) * 18)
        for classes, word in ((("VPPrecond", "SongUNet"), "VPPrecond"),
                              (("EDMPrecond", "DhariwalUNet"), "DhariwalUNet")):
            self.made_refused(word, "not supported", classes=classes)
        for kind, attribute, value in (("UNetBlock", "num_heads", 4), ("GroupNorm", "eps", 1e-5),
                                       ("UNetBlock", "adaptive_scale", True),
                                       ("GroupNorm", "num_groups", 2),
                                       ("UNetBlock", "skip_scale", 1.0)):
            self.made_refused(attribute, attributes={kind: {attribute: value}})
        for outer, word in (({"D": None}, '"D"'), ({"D": math.nan}, "finite"), ({"D": 0}, '"D"'),
                            ({"pfgmpp": 1}, "pfgmpp"), ({"pfgmpp": ...}, "pfgmpp"),
                            ({"D": ...}, '"D"'),
                            ({"img_resolution": 32}, "img_resolution"),
                            ({"label_dim": 10}, "label_dim"), ({"sigma_data": 0}, "sigma_data"),
                            ({"sigma_max": 1e-3}, "sigma_max"), ({"_modules": {}}, '"model"')):
            self.made_refused(word, outer=outer)
        given = torch_file.Record("EDMPrecond", {}, version=5)
        self.refused(self.import_(self.written(torch_file.encode_plain({"ema": given}))), "version")

    def test_trees(self):
        holder = torch_file.module_dict({"_modules": {}})
        vars(holder)["_modules"]["again"] = holder
        record = torch_file.Record("X", {"_modules": {"a": holder}})
        wide = torch_file.Record("X", {"_modules": {}})
        for _ in range(5):
            wide = torch_file.Record("X", {"_modules": dict.fromkeys(map(str, range(60)), wide)})
        same = torch_file.tensor([1.0])
        nested = torch_file.Record("X", {"_modules": {"a": torch_file.Record(
            "X", {"_parameters": {"b": same}})}, "_parameters": {"a.b": same}})
        cases = [(record, "deeper than 16"), (wide, "more than 8192 modules"),
                 (nested, 'duplicate tensor name "a.b"'),
                 (torch_file.Record("X", {"_modules": {"a": 5}}), '"a" is no module'),
                 (torch_file.Record("X", {"_modules": 5}), "is no dict"),
                 (torch_file.Record("X", {"_modules": {3: None}}), "no plain name"),
                 (torch_file.Record("X", {"_modules": {"a\0b": None}}), "no plain name"),
                 (torch_file.Record("X", {"_parameters": {"a": 5}}), '"a" in _parameters is no'),
                 (torch_file.Record("X", {"_modules": {"x" * 300: None}}), "too long"),
                 (torch_file.Record("X", {"_buffers": dict.fromkeys(range(5000))}), "than 4096")]
        for module, word in cases:
            begun = processor_seconds()
            path = self.written(torch_file.encode_plain({"ema": module}))
            self.refused(self.import_(path), word)
            self.assertLess(processor_seconds() - begun, 5)
        path = self.written(torch_file.encode_plain({"ema": 5, "net": self.module()}))
        self.refused(self.import_(path), '"ema" is no module')

    def test_who_says_what_the_network_is(self):
        for source in (golden(D128 + ".pkl"), golden(D128 + ".golden.safetensors")):
            self.refused(self.import_(source, "--preset", "cifar10-ncsnpp"), "says itself")
        self.refused(self.import_(golden("pfgm_digits8.pth")), "or --preset, or --config")

    def test_plain_tensors(self):
        config = self.config[COND]
        tensors = {"weights." + k: v for k, v in self.tensors[COND].items()}

        def refused(changed, words, left=tensors):
            metadata = {"config": json.dumps(changed)} if changed is not None else {}
            path = self.written(safetensors_file.encode(left, metadata))
            self.refused(self.import_(path), *words)

        for change, word in (({"arch": "adm"}, '"arch"'), ({"family": "pfgm"}, "pfgm"),
                             ({"D": 0.5}, '"D"'), ({"more": 1}, "more"),
                             ({"image_size": 12.5}, "image_size"),
                             ({"channel_mult": 2}, "channel_mult"), ({"num_steps": 1}, "num_steps"),
                             ({"label_dim": 4}, "map_label.weight"), ({"rho": 0}, "rho")):
            refused({**config, **change}, ["made", word])
        for key in config:
            refused({k: v for k, v in config.items() if k != key}, ['"%s"' % key])
        refused(None, ["a safetensors file", "weights.*"])
        refused(config, ["a safetensors file"], {"w": tensors["weights.model.map_label.bias"]})
        refused(config, ["map_layer1.bias", "missing", '"weights"'],
                {k: v for k, v in tensors.items() if "layer1.bias" not in k})


if __name__ == "__main__":
    unittest.main()
