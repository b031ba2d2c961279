"""The field network (DDPM++ and NCSN++) in PyTorch: the yardstick that pfgm's own kernels are timed against.

    torch_ddpmpp.py check MODEL POINTS [ANSWERS]   the distance of v_x and v_t from a file's; fails above --tolerance
    torch_ddpmpp.py time MODEL [--batch ...]       milliseconds an image and evaluation, as JSON
    torch_ddpmpp.py write PRESET MODEL             a checkpoint of a published network with random weights
    torch_ddpmpp.py points MODEL POINTS [--batch]  random points x, t to evaluate
    torch_ddpmpp.py serve                          answers one JSON object a line (the options of `time`), so that
                                                   measurements can alternate without importing PyTorch each time

MODEL is a checkpoint as `pfgm convert` writes it. Modules are registered in the checkpoint's order, so that the names
of parameters are those of its tensors. What a careful user of PyTorch would do is done: inference mode, query, key and
value in one convolution, filters as depthwise convolutions, weights kept in the memory format of the activations.
"""
import argparse
import json
import math
import resource
import statistics
import struct
import sys
import time

import numpy
import torch
import torch.nn.functional as F
from torch import nn

HALF_ROOT = math.sqrt(0.5)
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
NUMPY_TYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
CIFAR = {"image_size": 32, "channels": 3, "nf": 128, "ch_mult": [1, 2, 2, 2], "num_res_blocks": 4,
         "attn_resolutions": [16], "fir": False, "progressive_input": "none", "embedding_type": "positional"}
PRESETS = {"cifar10-ddpmpp": CIFAR,
           "cifar10-ncsnpp": {**CIFAR, "fir": True, "progressive_input": "residual", "embedding_type": "fourier"}}


# ---- files ----

def read_tensors(path):
    """A safetensors file's tensors as numpy arrays, and its metadata."""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    data = numpy.memmap(path, "u1", "r", 8 + length)
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            values = (data[begin:end].view("<u2").astype("<u4") << 16).view("<f4")
        else:
            values = data[begin:end].view(NUMPY_TYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors, metadata


def write_tensors(path, tensors, metadata):
    header, offset = {"__metadata__": metadata} if metadata else {}, 0
    for name, values in tensors.items():
        end = offset + values.size * 4
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(numpy.ascontiguousarray(values, "<f4").tobytes())


# ---- the network ----

def norm(channels):
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=1e-6)


def conv(inputs, outputs, size):
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


def fir_filter(x, gain):
    """The outer product of (1,3,3,1), its sum `gain`, for each channel of x."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = (torch.outer(taps, taps) * (gain / 64)).to(x.dtype)
    return kernel.expand(x.shape[1], 1, 4, 4)


def resample(x, how, fir):
    if how == "up" and fir:  # zeros between pixels, padded (2,1), is this transposed convolution
        return F.conv_transpose2d(x, fir_filter(x, 4), stride=2, padding=1, groups=x.shape[1])
    if how == "up":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    if fir:
        return F.conv2d(x, fir_filter(x, 1), stride=2, padding=1, groups=x.shape[1])
    return F.avg_pool2d(x, 2)


class Fourier(nn.Module):
    def __init__(self, nf):
        super().__init__()
        self.W = nn.Parameter(torch.zeros(nf), requires_grad=False)


class Nin(nn.Module):
    """A 1×1 convolution whose weight is stored [in][out]."""
    def __init__(self, channels):
        super().__init__()
        self.W = nn.Parameter(torch.zeros(channels, channels))
        self.b = nn.Parameter(torch.zeros(channels))


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, time_width, how=None, fir=False):
        super().__init__()
        self.how, self.fir = how, fir
        self.GroupNorm_0 = norm(inputs)
        self.Conv_0 = conv(inputs, outputs, 3)
        self.Dense_0 = nn.Linear(time_width, outputs)
        self.GroupNorm_1 = norm(outputs)
        self.Conv_1 = conv(outputs, outputs, 3)
        if inputs != outputs or how:
            self.Conv_2 = conv(inputs, outputs, 1)

    def forward(self, x, temb):
        u = F.silu(self.GroupNorm_0(x))
        if self.how:
            u, x = resample(u, self.how, self.fir), resample(x, self.how, self.fir)
        u = self.Conv_0(u) + self.Dense_0(temb)[:, :, None, None]
        u = self.Conv_1(F.silu(self.GroupNorm_1(u)))
        if hasattr(self, "Conv_2"):
            x = self.Conv_2(x)
        return (x + u) * HALF_ROOT


class AttnBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.GroupNorm_0 = norm(channels)
        for i in range(4):
            setattr(self, f"NIN_{i}", Nin(channels))
        self.packed = None

    def pack(self):
        """Query, key and value as one convolution; NIN_3 as another."""
        parts = [self.NIN_0, self.NIN_1, self.NIN_2]
        self.packed = (torch.cat([p.W.t() for p in parts])[:, :, None, None].contiguous(),
                       torch.cat([p.b for p in parts]), self.NIN_3.W.t()[:, :, None, None].contiguous())

    def forward(self, x):
        batch, channels, height, width = x.shape
        weight, bias, last = self.packed
        q, k, v = F.conv2d(self.GroupNorm_0(x), weight, bias).reshape(batch, 3, channels, -1).unbind(1)
        scores = torch.bmm(q.transpose(1, 2), k) * channels ** -0.5
        a = torch.bmm(v, torch.softmax(scores, -1).transpose(1, 2)).reshape(batch, channels, height, width)
        return (x + F.conv2d(a, last, self.NIN_3.b)) * HALF_ROOT


class PyramidDown(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.Conv2d_0 = nn.Conv2d(inputs, outputs, 3, stride=2)

    def forward(self, x):
        return self.Conv2d_0(F.conv2d(x, fir_filter(x, 1), padding=2, groups=x.shape[1]))


class Net(nn.Module):
    """f(x [n,C,H,W], t [n]) = (v_x [n,C,H,W], v_t [n])."""

    def __init__(self, arch):
        super().__init__()
        self.arch = arch
        self.fourier = arch["embedding_type"] == "fourier"
        self.pyramid = arch["progressive_input"] == "residual"
        nf, size, fir = arch["nf"], arch["image_size"], arch["fir"]
        widths = [nf * m for m in arch["ch_mult"]]
        wide = 4 * nf
        modules = [Fourier(nf)] if self.fourier else []
        modules += [nn.Linear(2 * nf if self.fourier else nf, wide), nn.Linear(wide, wide),
                    conv(arch["channels"], nf, 3)]
        stack, channels, pyramid = [nf], nf, arch["channels"]
        for level, width in enumerate(widths):
            for _ in range(arch["num_res_blocks"]):
                modules.append(ResBlock(channels, width, wide))
                channels = width
                if size >> level in arch["attn_resolutions"]:
                    modules.append(AttnBlock(channels))
                stack.append(channels)
            if level < len(widths) - 1:
                modules.append(ResBlock(channels, channels, wide, "down", fir))
                if self.pyramid:
                    modules.append(PyramidDown(pyramid, channels))
                    pyramid = channels
                stack.append(channels)
        modules += [ResBlock(channels, channels, wide), AttnBlock(channels), ResBlock(channels, channels, wide)]
        for level in reversed(range(len(widths))):
            for _ in range(arch["num_res_blocks"] + 1):
                modules.append(ResBlock(channels + stack.pop(), widths[level], wide))
                channels = widths[level]
            if size >> level in arch["attn_resolutions"]:
                modules.append(AttnBlock(channels))
            if level:
                modules.append(ResBlock(channels, channels, wide, "up", fir))
        self.all_modules = nn.ModuleList(modules + [norm(channels), conv(channels, arch["channels"] + 1, 3)])

    def pack(self):
        for module in self.all_modules:
            if isinstance(module, AttnBlock):
                module.pack()

    def embed(self, modules, t):
        if self.fourier:
            angle = torch.log(t)[:, None] * next(modules).W.float()[None, :] * 2 * math.pi
        else:
            half = self.arch["nf"] // 2
            frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * (-math.log(10000) / (half - 1)))
            angle = t[:, None] * frequencies[None, :]
        e = torch.cat([torch.sin(angle), torch.cos(angle)], 1)
        first, second = next(modules), next(modules)
        # Every block begins with SiLU(temb): once is enough.
        return F.silu(second(F.silu(first(e.to(first.weight.dtype)))))

    def down(self, modules, x, temb):
        h, pyramid = next(modules)(x), x
        stack, levels = [h], len(self.arch["ch_mult"])
        for level in range(levels):
            for _ in range(self.arch["num_res_blocks"]):
                h = next(modules)(h, temb)
                if h.shape[2] in self.arch["attn_resolutions"]:
                    h = next(modules)(h)
                stack.append(h)
            if level < levels - 1:
                h = next(modules)(h, temb)
                if self.pyramid:
                    h = pyramid = (next(modules)(pyramid) + h) * HALF_ROOT
                stack.append(h)
        return h, stack

    def forward(self, x, t):
        modules = iter(self.all_modules)
        temb = self.embed(modules, t)
        h, stack = self.down(modules, x, temb)
        h = next(modules)(h, temb)
        h = next(modules)(h)
        h = next(modules)(h, temb)
        for level in reversed(range(len(self.arch["ch_mult"]))):
            for _ in range(self.arch["num_res_blocks"] + 1):
                h = next(modules)(torch.cat([h, stack.pop()], 1), temb)
            if h.shape[2] in self.arch["attn_resolutions"]:
                h = next(modules)(h)
            if level:
                h = next(modules)(h, temb)
        h = F.silu(next(modules)(h))
        y = next(modules)(h)
        assert not stack and next(modules, None) is None
        return y[:, :-1], y[:, -1].mean((1, 2))


def load(path, dtype="f32", memory="contiguous"):
    tensors, metadata = read_tensors(path)
    arch = json.loads(metadata["pfgm"])["arch"]
    net = Net(arch)
    parameters = dict(net.named_parameters())
    if parameters.keys() != tensors.keys():
        sys.exit(f"torch_ddpmpp.py: {path}: not this network's tensors: {sorted(parameters.keys() ^ tensors.keys())}")
    for name, p in parameters.items():  # one by one, so that the weights are in memory once
        if p.shape != tensors[name].shape:
            sys.exit(f"torch_ddpmpp.py: {path}: {name} has the shape {tensors[name].shape}, not {tuple(p.shape)}")
        p.data.copy_(torch.from_numpy(numpy.array(tensors[name], "f4")))
    net = net.eval().to(DTYPES[dtype])
    net.pack()
    return net.to(memory_format=FORMATS[memory])


# ---- the modes ----

def random_points(arch, batch):
    generator = numpy.random.default_rng(5)
    t = numpy.exp(numpy.linspace(math.log(0.01), math.log(40), batch))
    shape = (batch, arch["channels"], arch["image_size"], arch["image_size"])
    x = generator.uniform(-1, 1, shape) * (1 + t)[:, None, None, None]
    return x.astype("f4"), t.astype("f4")


def check(options):
    net = load(options.model)
    points, _ = read_tensors(options.points)
    answers = read_tensors(options.answers)[0] if options.answers else points
    x = torch.from_numpy(points["x" if "x" in points else "field.x"].astype("f4"))
    t = torch.from_numpy(points["t" if "t" in points else "field.z"].astype("f4"))
    prefix = "v" if "v_x" in answers else options.prefix
    last = "_t" if "v_t" in answers else "_z"
    with torch.inference_mode():
        ours = net(x, t)
    distances = {}
    for key, got in (("v_x", ours[0]), ("v_t", ours[1])):
        want = answers[prefix + (key[1:] if key == "v_x" else last)].astype("f8")
        distances[key] = float(numpy.abs(got.numpy() - want).max() / numpy.abs(want).max())
    print(json.dumps({"model": options.model, "points": options.points, **distances}))
    if not max(distances.values()) <= options.tolerance:
        sys.exit(f"torch_ddpmpp.py: {options.model}: the fields differ by more than {options.tolerance}")


def write(options):
    """Random weights of scale 1: uniform, the variance one over the mean of inputs and outputs."""
    arch, generator, tensors = PRESETS[options.preset], numpy.random.default_rng(1), {}
    for name, p in Net(arch).named_parameters():
        shape = tuple(p.shape)
        if len(shape) > 1:
            bound = math.sqrt(3 / (0.5 * (shape[0] + shape[1]) * math.prod(shape[2:])))
            tensors[name] = generator.uniform(-bound, bound, shape).astype("f4")
        elif not p.requires_grad:
            tensors[name] = (16 * generator.standard_normal(shape)).astype("f4")
        else:
            tensors[name] = numpy.full(shape, 1 if name.endswith("weight") else 0, "f4")
    description = {"version": 1, "family": "pfgm", "arch": arch, "t_max": 40.0, "t_min": 1e-3, "sigma": 0.01,
                   "tau": 0.03, "m": 291, "gamma": 5.0, "norm_min": 1.0, "norm_max": 3000.0, "t_substitution": 5.0,
                   "divisor_offset": 1e-5,
                   "provenance": {"source_sha256": "", "source_name": "", "step": None, "weights": "raw"}}
    write_tensors(options.model, tensors, {"pfgm": json.dumps(description)})


def write_points(options):
    arch = json.loads(read_tensors(options.model)[1]["pfgm"])["arch"]
    x, t = random_points(arch, options.batch)
    write_tensors(options.points, {"x": x, "t": t}, {})


NETS = {}


def measure(model, batch=8, dtype="f32", memory="contiguous", threads=1, seconds=2.0):
    """Evaluations over `seconds`, at least one, after one that does not count."""
    torch.set_num_threads(threads)
    if (model, dtype, memory) not in NETS:
        NETS[model, dtype, memory] = load(model, dtype, memory)
    net = NETS[model, dtype, memory]
    x, t = (torch.from_numpy(a) for a in random_points(net.arch, batch))
    x = x.to(DTYPES[dtype]).to(memory_format=FORMATS[memory])
    times, cpu = [], 0
    with torch.inference_mode():
        v_x, v_t = net(x, t)
        assert torch.isfinite(v_x).all() and torch.isfinite(v_t).all(), "the field is not finite"
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            begin, busy = time.perf_counter(), time.process_time()
            net(x, t)
            cpu += time.process_time() - busy
            times.append(time.perf_counter() - begin)
    scale = 1e3 / batch
    return {"torch": torch.__version__, "batch": batch, "dtype": dtype, "memory": memory, "threads": threads,
            "evaluations": len(times),
            "ms_per_image": {"median": statistics.median(times) * scale, "best": min(times) * scale,
                             "cpu": cpu / len(times) * scale},
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def serve(_):
    print(json.dumps({"torch": torch.__version__,
                      "import_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(required=True)
    p = modes.add_parser("check")
    p.add_argument("model")
    p.add_argument("points")
    p.add_argument("answers", nargs="?")
    p.add_argument("--prefix", default="field.v", help="of the answers' names, such as field.raw.v")
    p.add_argument("--tolerance", type=float, default=1e-4)
    p.set_defaults(run=check)
    p = modes.add_parser("write")
    p.add_argument("preset", choices=sorted(PRESETS))
    p.add_argument("model")
    p.set_defaults(run=write)
    p = modes.add_parser("points")
    p.add_argument("model")
    p.add_argument("points")
    p.add_argument("--batch", type=int, default=4)
    p.set_defaults(run=write_points)
    p = modes.add_parser("time")
    p.add_argument("model")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--dtype", choices=sorted(DTYPES), default="f32")
    p.add_argument("--memory", choices=sorted(FORMATS), default="channels_last")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seconds", type=float, default=2.0)
    p.set_defaults(run=lambda o: print(json.dumps(measure(o.model, o.batch, o.dtype, o.memory, o.threads, o.seconds))))
    modes.add_parser("serve").set_defaults(run=serve)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
