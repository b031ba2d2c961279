"""Writes good inputs of every target, from which a campaign starts where there is no corpus yet, or a new kind of input
is to be brought in:

    python3 tests/fuzz/seeds.py FOLDER        one folder for each target

Standard library alone, and the same bytes each time."""
import base64
import gzip
import io
import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile
import zlib

FIXED = (1980, 1, 1, 0, 0, 0)
seeds = {}


def seed(target, *inputs):
    seeds.setdefault(target, []).extend(i.encode() if isinstance(i, str) else i for i in inputs)


def safetensors(tensors, metadata=None):
    head, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, content) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, color, rows, *chunks, interlace=0):
    """`rows` with their filter bytes; `chunks` before the image data."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunk(*c) for c in chunks)
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def npy(kind, shape, data, version=1):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    size = 10 if version == 1 else 12
    text += " " * (-(len(text) + size + 1) % 64) + "\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text.encode() + data


def archive(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in members.items():
            z.writestr(zipfile.ZipInfo(name, FIXED), data, method)
    return out.getvalue()


# ---- checkpoints ----

PROVENANCE = {"source_sha256": "", "source_name": "", "step": None, "weights": "raw"}
EXACT = {"version": 1, "family": "exact", "shape": [1, 1, 2], "t_max": 30, "t_min": 1e-3, "provenance": PROVENANCE}
NET = {"image_size": 8, "channels": 1, "nf": 16, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [4], "fir": False,
       "progressive_input": "none", "embedding_type": "positional"}
PFGM = {"version": 1, "family": "pfgm", "arch": NET, "t_max": 40.0, "t_min": 0.001, "sigma": 0.01, "tau": 0.03, "m": 291,
        "gamma": 5.0, "norm_min": 0.001, "norm_max": 3000.0, "t_substitution": 0.005, "divisor_offset": 1e-5,
        "labels": ["a", "b"], "provenance": PROVENANCE,
        "tuned": [{"method": "euler", "nodes": [20.0, 1.0, 0.001]}]}
PFGMPP = {"version": 1, "family": "pfgmpp", "arch": NET, "D": 128, "sigma_max": 80, "sigma_min": 0.002, "sigma_data": 0.5,
          "rho": 7, "num_steps": 18, "provenance": PROVENANCE}
MLP = {"kind": "mlp", "dimension": 2, "width": 16, "depth": 2}
REFERENCE = dict(NET, gamma=5, sigma=0.01, tau=0.03, M=291, z_max=40, z_min=0.001, upper_norm=3000, z_exp=1, num_scales=1000,
                 family="pfgm")
square = struct.pack("<8f", 1, 1, -1, 1, -1, -1, 1, -1)
seed("safetensors",
     safetensors({"a.weight": ("F32", [2, 3], bytes(24)), "b": ("F64", [2], struct.pack("<2d", 1, 1e300)),
                  "n": ("I64", [], bytes(8)), "h": ("F16", [2], b"\0\x7c\0\x3c"), "f": ("BF16", [1], b"\x80\x3f")}),
     safetensors({"sources": ("F32", [4, 2], square)}, {"pfgm": json.dumps(EXACT)}),
     safetensors({"sources": ("F32", [4, 2], square), "weights": ("F32", [4], struct.pack("<4f", 1, 2, 3, 4)),
                  "labels": ("I32", [4], struct.pack("<4i", 0, 0, 1, -1))},
                 {"pfgm": json.dumps(dict(EXACT, labels=["up", "down"]))}),
     safetensors({"sources": ("U8", [2, 4], bytes(range(8)))}, {"pfgm": json.dumps(dict(EXACT, shape=[1, 2, 2]))}),
     safetensors({"weights.a": ("F32", [1], bytes(4))}, {"config": json.dumps(REFERENCE)}))
seed("description", *(json.dumps(d) for d in (EXACT, PFGM, PFGMPP, REFERENCE, dict(PFGM, arch=MLP), dict(PFGMPP, D="inf"),
                                              dict(EXACT, labels=["up", "down"]), {**{k: v for k, v in PFGM.items() if k != "arch"}, **NET},
                                              {**{k: v for k, v in PFGMPP.items() if k != "arch"}, **NET})))

# ---- pickles ----


def module(name, **things):
    m = sys.modules[name] = types.ModuleType(name)
    for key, thing in things.items():
        if isinstance(thing, type):
            thing = type(thing.__name__, (thing,), {})
        thing.__module__, thing.__qualname__, thing.__name__ = name, key, key
        setattr(m, key, thing)
    return m


def rebuild(*arguments):
    raise NotImplementedError


class Thing:
    pass


torch = module("torch", FloatStorage=type("FloatStorage", (), {}), LongStorage=type("LongStorage", (), {}))
module("torch._utils", _rebuild_tensor_v2=rebuild)
module("training")
module("training.networks", EDMPrecond=Thing, SongUNet=Thing)


class Storage:
    def __init__(self, kind, key, numel):
        self.id = ("storage", kind, key, "cpu", numel)


class Tensor:
    def __init__(self, storage, offset, shape, stride):
        self.parts = (storage, offset, shape, stride, False, {})

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.parts


class Pickler(pickle._Pickler):
    def persistent_id(self, thing):
        return thing.id if isinstance(thing, Storage) else None


def dumps(thing, protocol=2):
    out = io.BytesIO()
    Pickler(out, protocol).dump(thing)
    return out.getvalue()


storage, steps = Storage(torch.FloatStorage, "0", 8), Storage(torch.LongStorage, "1", 1)
state = {"model": {"module.a.weight": Tensor(storage, 0, (2, 3), (3, 1)), "b": Tensor(storage, 6, (2,), (1,))}, "step": 7,
         "ema": {"shadow_params": [Tensor(storage, 0, (2, 3), (3, 1))], "decay": 0.999, "num_updates": 3}, "optimizer": {}}
network = sys.modules["training.networks"].EDMPrecond.__new__(sys.modules["training.networks"].EDMPrecond)
network.__dict__.update(img_resolution=8, img_channels=1, label_dim=0, sigma_min=0.0, sigma_max=float("inf"), sigma_data=0.5, D=128,
                        _parameters={}, _buffers={}, _modules={"model": None})
for protocol in range(6):
    seed("pickle", dumps(state, protocol), dumps({"ema": network, "net": None}, protocol),
         pickle.dumps([None, True, 1, -1, 300, 1 << 20, 1 << 70, 1.5, "é", b"bytes", (1, 2, 3, 4), {"a": {1, 2}}], protocol))
members = {"archive/data.pkl": dumps(state), "archive/byteorder": b"little", "archive/data/0": bytes(32), "archive/data/1": bytes(8),
           "archive/version": b"3\n"}
seed("torch", archive(members, zipfile.ZIP_STORED), archive(members),
     archive({"x/data.pkl": dumps(state["model"]), "x/data/0": bytes(32)}),
     pickle.dumps(0x1950a86a20f9469cfc6c, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + dumps(state)
     + pickle.dumps(["0", "1"], 2) + struct.pack("<q", 8) + bytes(32) + struct.pack("<q", 1) + bytes(8),
     dumps({"ema": network, "net": None}), dumps(state, 4))

# ---- pictures ----

rows8 = b"".join(b"\0" + bytes(range(y, y + 4)) for y in range(4))
colour = b"".join(b"\1" + bytes(range(12)) for _ in range(4))
seed("png", png(4, 4, 8, 0, rows8), png(4, 4, 8, 2, colour), png(4, 4, 8, 6, b"".join(b"\4" + bytes(16) for _ in range(4))),
     png(4, 4, 8, 4, b"".join(b"\2" + bytes(8) for _ in range(4))), png(4, 4, 16, 0, b"".join(b"\0" + bytes(8) for _ in range(4))),
     png(4, 4, 1, 0, b"\0\xa0" * 4), png(4, 4, 2, 3, b"\0\x1b" * 4, (b"PLTE", bytes(range(12))), (b"tRNS", b"\xff\0\x80")),
     png(4, 4, 4, 3, b"\0\x01\x02" * 4, (b"PLTE", bytes(range(12)))),
     png(4, 4, 8, 0, rows8, (b"tRNS", b"\0\1"), (b"gAMA", struct.pack(">I", 45455))),
     png(4, 4, 8, 0, b"\0\0" + rows8 + rows8, interlace=1),
     png(4, 4, 8, 0, rows8, (b"zTXt", b"a\0\0" + zlib.compress(b"b" * 99)), (b"tEXt", b"pfgm\0x"), (b"tIME", bytes(7))),
     png(4, 4, 8, 0, rows8, (b"iTXt", b"pfgm\0\0\0\0\0text"), (b"iCCP", b"n\0\0" + zlib.compress(bytes(132))),
         (b"sPLT", b"p\0\x08" + bytes(6)), (b"pCAL", b"p\0" + bytes(10) + b"u\0" + b"1"), (b"sCAL", b"\1" + b"1.0\0" + b"1.0")))
images = npy("|u1", "(2, 4, 4)", bytes(range(32)))
colours = npy("|u1", "(1, 4, 4, 3)", bytes(range(48)))
labels = npy("<i8", "(2,)", struct.pack("<2q", 0, 1))
points = npy("<f4", "(3, 2)", struct.pack("<6f", 0, 1, 2, 3, 4, 5))
doubles = npy("<f8", "(3,)", struct.pack("<3d", 0, 1, 2), version=2)
listed = {"labels": [["00000/a.png", 1], ["00000/b.png", 0]]}
folder = {"00000/a.png": png(4, 4, 8, 0, rows8), "00000/b.png": png(4, 4, 8, 0, rows8[::-1].replace(b"\7", b"\0"))}
seed("dataset", *(bytes([k]) + data for k, data in enumerate((
    images, colours, points, doubles, archive({"images.npy": images, "labels.npy": labels}), archive({"arr_0.npy": colours}),
    archive({"x.npy": points, "y.npy": npy("<i4", "(3,)", bytes(12))}), archive({"1/a.png": folder["00000/a.png"], "2/b.PNG": folder["00000/a.png"]}),
    archive(dict(folder, **{"dataset.json": json.dumps(listed)})), archive(dict(folder, **{"dataset.json": '{"labels": null}'}))))))
idx = struct.pack(">IIII", 0x803, 2, 4, 4) + bytes(range(32))
numbers = struct.pack(">II", 0x801, 2) + b"\1\0"
for a, b in ((idx, numbers), (gzip.compress(idx, mtime=0), gzip.compress(numbers, mtime=0)), (struct.pack(">IIIII", 0x804, 1, 3, 4, 4) + bytes(48), b""),
             (idx, b"")):
    seed("idx", struct.pack(">HB", len(a), 0) + a + b, struct.pack(">HB", len(a), 7) + a + b)

# ---- requests ----

latent = base64.b64encode(npy("<f4", "(1, 4, 4)", struct.pack("<16f", *range(16)))).decode()
picture = base64.b64encode(png(4, 4, 8, 0, rows8)).decode()
SOLVER = {"method": "euler", "steps": 2}
BODIES = [
    {"n": 2, "seed": 7, "first_index": "18446744073709551613", "solver": dict(SOLVER, schedule="exp"), "class": "ankle boot",
     "format": "png", "grid": {"columns": 2, "scale": 2}, "embed_metadata": False, "timeout_s": 5, "priority": "batch", "label": "x",
     "temperature": 0.5, "model": "m"},
    {"n": 1, "seed": "7", "solver": {"method": "rk45", "rtol": 1e-4, "atol": 1e-4}, "class": 1, "priority": "batch"},
    {"images": [picture], "class": None, "model": "m", "solver": SOLVER},
    {"latents": [latent, latent], "format": "npy", "dtype": "float32", "layout": "chw"},
    {"from": {"seed": 1, "index": 0}, "to": picture, "frames": 3, "seed": 1, "format": "apng", "solver": SOLVER},
    {"image": picture, "strength": 0.5, "mask": picture, "seed": 3, "n": 2, "solver": SOLVER},
    {"images": [picture], "seed": 3, "probes": 2, "class": 0},
    {"prompt": "three sneakers, ankle boots", "n": 1, "size": "4x4", "response_format": "b64_json", "user": "u", "quality": "hd",
     "model": "m", "output_format": "png", "background": "auto"},
    {"id": "a", "inputs": [{"name": "seed", "shape": [2], "datatype": "UINT64", "data": [1, 18446744073709551615]},
                           {"name": "index", "shape": [2], "datatype": "UINT64", "data": [0, 1]}],
     "outputs": [{"name": "images", "parameters": {"binary_data": False}}, {"name": "samples"}], "parameters": {"steps": 2, "method": "euler"}},
]
for route, body in enumerate(BODIES):
    seed("request", bytes([route]) + json.dumps(body).encode())
form = "image*={}\x1eprompt=a boot\x1en=2\x1esize=4x4\x1eresponse_format=b64_json\x1estrength=0.5\x1emask*={}\x1euser=u"
one = png(4, 4, 8, 0, rows8)
parts = [p if not p.endswith("{}") else p[:-2] for p in form.split("\x1e")]
joined = b"\x1e".join(p.encode() + (one if p.endswith("*=") else b"") for p in parts)
array = npy("|u1", "(2, 4, 4)", bytes(32))
noise = npy("<f4", "(2, 1, 4, 4)", bytes(128))
seed("request", b"\x09" + joined, b"\x0a" + joined, b"\x0bclass=1&steps=2&method=euler\n" + array, b"\x0c\n" + one,
     b"\x0dformat=npz&n=2\n" + noise, b"\x0eframes=3\n" + noise, b"\x0fseed=1&strength=0.3\n" + one, b"\x10n=2\n" + npy("|u1", "(4, 4)", bytes(16)),
     b"\x11seed=5&probes=2\n" + one, b"\x12steps=2&method=euler&class=ankle+boot&format=png&model=m\n")
for binary in (struct.pack("<2Q", 1, 2),):
    head = {"inputs": [{"name": "seed", "shape": [2], "datatype": "UINT64", "parameters": {"binary_data_size": 16}}],
            "outputs": [{"name": "images", "parameters": {"binary_data": True}}]}
    text = json.dumps(head)
    seed("kserve", f"{len(text)}\n{text}".encode() + binary, "\n" + json.dumps(BODIES[8]))
head = json.dumps({"inputs": [{"name": "latents", "shape": [1, 1, 4, 4], "datatype": "FP32", "parameters": {"binary_data_size": 64}}]})
seed("kserve", f"{len(head)}\n{head}".encode() + bytes(64),
     "\n" + json.dumps({"inputs": [{"name": "latents", "shape": [1, 1, 4, 4], "datatype": "FP32", "data": [[[[0.5] * 4] * 4]]}]}))

# ---- heads and connections ----

HEADS = [
    "GET /v1/images/7/0?steps=2&method=euler&class=ankle+boot&format=png",
    "GET https://pfgm.example/prefix/v1/models/m?x=%41",
    "POST /v1/images?format=npz",
    "GET /v1/images/7/0?steps=2&key=all&expires=1900000000&signature=" + "0" * 64,
    "OPTIONS *", "GET /metrics?name[]=a", "PUT /admin/v1/log-level",
]
FIELDS = ["Host: localhost:8080", "Accept: image/png;q=0.5, application/json, */*;q=0.1", "Authorization: Bearer k",
          "Origin: https://page.example", "Content-Length: 2", "Content-Type: multipart/form-data; boundary=\"X\"",
          "Prefer: respond-async, wait=5", "If-None-Match: W/\"a\", \"b\"", "Forwarded: for=\"[::1]:80\";proto=https;host=a.example, for=10.0.0.1",
          "X-Forwarded-For: 192.0.2.9, 10.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.example", "X-Forwarded-Prefix: /p",
          "Transfer-Encoding: chunked", "Expect: 100-continue", "Host: [::1]:8080", "Host: 127.0.0.1", "Accept: text/event-stream"]
for i, line in enumerate(HEADS):
    seed("head", "\n".join([line, *FIELDS[i:i + 9]]) + "\n", "\n".join([line, *FIELDS[9 + i:]]))


def http(line, *fields, body=b""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [line + " HTTP/1.1", "Host: localhost", *fields]
    if body:
        head += [f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


JSON = "Content-Type: application/json"
small = {"n": 2, "seed": 7, "solver": SOLVER}
wire = [http("GET /livez"), http("GET /metrics"), http("GET /v1/models"), http("GET /v1/capabilities"), http("GET /"),
        http("POST /v1/images", JSON, body=small), http("GET /v1/images/7/0?steps=2&method=euler"),
        http("HEAD /v1/images/7/0?steps=2&method=euler", 'If-None-Match: "x"'), http("OPTIONS *"),
        http("OPTIONS /v1/images", "Origin: https://page.example", "Access-Control-Request-Method: POST"),
        http("POST /v1/encode", "Content-Type: image/png", body=one),
        http("POST /v1/decode?format=npy", "Content-Type: application/x-npy", body=noise),
        http("POST /v1/images", JSON, "Expect: 100-continue", body=small),
        b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\n" + JSON.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x;x=1\r\n%s\r\n" % (len(p), p) for p in (b'{"n":1,"so', b'lver":{"steps":2,"method":"euler"}}')) + b"0\r\nX: y\r\n\r\n",
        http("GET /livez", "Connection: close"), b"GET /livez HTTP/1.0\r\n\r\n",
        http("POST /v1/likelihood", JSON, body={"images": [picture], "seed": 3}),
        http("POST /v1/edit", JSON, body=BODIES[5]), http("POST /v1/interpolate", JSON, body=BODIES[4]),
        http("POST /v1/images/generations", JSON, body={"prompt": "boot", "n": 1}),
        http("POST /v2/models/m/infer", JSON, body=BODIES[8])]
seed("connection", *(b"\0" + w for w in wire), *(b"\2" + w for w in wire[5:8]), *(b"\x12" + w for w in wire[5:8]), *(b"\x08" + w for w in wire[:6]), b"\4" + wire[5], b"\0" + wire[5] * 2 + wire[0],
     *(b"\0" + http(f"POST /v1/images?format={f}", JSON, body=small) for f in ("png", "npy", "npz", "zip", "tar", "events", "apng")),
     *(b"\2" + http(f"POST /v1/images?format={f}", JSON, body=dict(small, n=4, solver={"method": "euler", "steps": 1000}))
       for f in ("npy", "npz", "zip", "tar", "events")),
     b"\1" + http("GET /debug/slots"), b"\1" + http("PUT /admin/v1/log-level", JSON, body={"level": "error"}),
     b"\1" + http("POST /admin/v1/models/m/reload"), b"\0" + http("GET /livez", "Cookie: " + "; ".join(f"a{i}=b" for i in range(60))),
     b"\0" + http("GET /livez?" + "&".join(f"a{i}=b" for i in range(60))))
multipart = (b'--X\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + one
             + b'\r\n--X\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nboot\r\n--X\r\nContent-Disposition: form-data; name="n"\r\n\r\n2\r\n'
             b'--X\r\nContent-Disposition: form-data; name="strength"\r\n\r\n0.3\r\n--X--\r\n')
seed("multipart", b"\0" + multipart, b"\1" + multipart, b"\x08" + multipart)

# ---- settings ----

root = pathlib.Path(__file__).resolve().parents[2]
conf = (root / "conf" / "pfgmd.conf").read_text()
seed("config", conf, "[model a]\npath = a.safetensors\n", "\n".join(line[1:].strip() if line.startswith("#") and " = " in line else line for line in conf.splitlines())
     + "\n[model m]\npath = m.safetensors\nkernel = avx2\nprecision = f32\nsha256 = " + "0" * 64 + "\n",
     "listen = [::1]:8080\nworkers = 2\npublic_url = https://a.example/p\nhosts = a.example b\ntrusted_proxies = 10.0.0.0/8 ::1\nlog_level = debug\n"
     "log_format = json\nkeys = k\ncors_origins = *\n[model m]\npath = m\n")
digest = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"
seed("keys", f"# keys\nall {digest} rate=1.5 images=10\n\nreader {digest[::-1]} read-only\n", f"a {digest}\n")
seed("training", "{}", json.dumps({"objective": "pfgmpp", "D": 128, "network": NET, "steps": 100, "batch": 16, "learning_rate": 1e-3, "seed": 3}),
     json.dumps({"objective": "pfgm", "network": {"kind": "mlp", "width": 32, "depth": 2}, "sigma": 0.01, "tau": 0.03, "M": 100, "gamma": 5,
                 "labels": ["a", "b"], "conditional": True, "label_dropout": 0.1, "decay": "cosine", "decay_steps": 10, "flip": True}),
     json.dumps({"steps": 200, "learning_rate": 1e-4, "log_every": 10, "save_every": 50, "sheet_every": 0, "ema": 0.99, "warmup": 5, "clip": 1}))
for i in range(8):
    seed("written", bytes([i, 5 * i, 3 * i + 1, i]) + ("", "name", "naïve/é", "a" * 120)[i % 4].encode() + b"\0" + bytes(range(0, 250, i + 1)))

out = pathlib.Path(sys.argv[1])
for target, inputs in seeds.items():
    (out / target).mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(inputs):
        (out / target / f"seed-{i:02d}").write_bytes(data)
print(", ".join(f"{t} {len(i)}" for t, i in sorted(seeds.items())))
