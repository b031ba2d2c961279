"""PyTorch files with the standard library only: load them, and save what torch.save and a plain
pickle would, whole modules included. The writer knows every freedom of the format (strides,
offsets, shared storages, folder name, compression, byte order), so that tests can make the variants
without PyTorch.

Loading uses Python's own unpickler with stand-ins for the few globals, which makes it a second
opinion on the reader under test. Only for files of one's own: it takes a stand-in for any global."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile

MAGIC = 0x1950a86a20f9469cfc6c
# storage class: (bytes an element, struct code or None, safetensors name)
TYPES = {"FloatStorage": (4, "f", "F32"), "DoubleStorage": (8, "d", "F64"),
         "HalfStorage": (2, "e", "F16"), "BFloat16Storage": (2, None, "BF16"),
         "LongStorage": (8, "q", "I64"), "IntStorage": (4, "i", "I32"),
         "ShortStorage": (2, "h", "I16"), "CharStorage": (1, "b", "I8"),
         "ByteStorage": (1, "B", "U8"), "BoolStorage": (1, "?", "BOOL")}


def _stand_in_modules():
    """Modules torch and torch._utils whose names the pickler writes."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in TYPES:
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(storage, offset, size, stride, requires_grad=False, hooks=None):
        return Tensor(storage, offset, size, stride)

    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch._utils = utils
    modules = {"torch": torch, "torch._utils": utils}
    for name in ("torch.storage", "torch.nn", "torch.nn.modules", "torch.nn.modules.container",
                 "torch_utils", "torch_utils.persistence"):
        modules[name] = types.ModuleType(name)
    for name, function in (("torch._utils", "_rebuild_tensor_v2"),
                           ("torch._utils", "_rebuild_parameter"),
                           ("torch.storage", "_load_from_bytes"),
                           ("torch_utils.persistence", "_reconstruct_persistent_obj")):
        made = vars(modules[name]).setdefault(function, lambda *_: _Anything())
        made.__module__, made.__qualname__, made.__name__ = name, function, function
    container = "torch.nn.modules.container"
    modules[container].ModuleDict = type("ModuleDict", (), {"__module__": container})
    return modules


MODULES = _stand_in_modules()


class Storage:
    def __init__(self, kind, raw):
        self.kind, self.raw = kind, bytes(raw)

    @property
    def numel(self):
        return len(self.raw) // TYPES[self.kind][0]

    def __reduce__(self):
        """As in a plain pickle: a stream of its own inside bytes."""
        return MODULES["torch.storage"]._load_from_bytes, (encode_legacy(self),)


class Tensor:
    """A strided view of a storage; sizes in elements. `metadata`: what is yet to be done to the values."""

    metadata = None

    def __init__(self, storage, offset, size, stride):
        self.storage, self.offset = storage, offset
        self.size, self.stride = tuple(size), tuple(stride)

    def __reduce__(self):
        return (MODULES["torch._utils"]._rebuild_tensor_v2,
                (self.storage, self.offset, self.size, self.stride, False,
                 collections.OrderedDict(), *([] if self.metadata is None else [self.metadata])))

    def logical(self):
        """The elements' bytes in C order."""
        size = TYPES[self.storage.kind][0]
        places = [self.offset]
        for extent, stride in zip(self.size, self.stride):
            places = [p + i * stride for p in places for i in range(extent)]
        if self.stride == contiguous(self.size):
            begin = self.offset * size
            return self.storage.raw[begin:begin + len(places) * size]
        return b"".join(self.storage.raw[p * size:(p + 1) * size] for p in places)


class Parameter:
    """A tensor as a module's parameter."""

    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        return (MODULES["torch._utils"]._rebuild_parameter,
                (self.data, True, collections.OrderedDict()))


class Record:
    """An object saved whole, with the source text of its class."""

    def __init__(self, class_name, state, source="", version=6):
        self.meta = {"type": "class", "version": version, "module_src": source,
                     "class_name": class_name, "state": state}

    def __reduce__(self):
        return (MODULES["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,))


def module_dict(state):
    """torch's holder of named modules, with these attributes."""
    holder = MODULES["torch.nn.modules.container"].ModuleDict()
    vars(holder).update(state)
    return holder


def contiguous(size):
    stride, step = [], 1
    for extent in reversed(size):
        stride.insert(0, step)
        step *= extent
    return tuple(stride)


def tensor(values, size=None, kind="FloatStorage"):
    """A contiguous tensor of numbers."""
    values = list(values)
    size = (len(values),) if size is None else tuple(size)
    raw = struct.pack("<%d%s" % (len(values), TYPES[kind][1]), *values)
    return Tensor(Storage(kind, raw), 0, size, contiguous(size))


def from_bytes(raw, size, kind="FloatStorage"):
    return Tensor(Storage(kind, raw), 0, size, contiguous(size))


def restrided(source, order):
    """The same values, laid out so that the dimensions of `order` run from the slowest to the
    fastest: order (0, 2, 3, 1) is channels-last."""
    size, item = source.size, TYPES[source.storage.kind][0]
    raw, stride, step = source.logical(), [0] * len(size), 1
    for d in reversed(order):
        stride[d] = step
        step *= size[d]
    out = bytearray(len(raw))
    places = [0]
    for extent, s in zip(size, stride):
        places = [p + i * s for p in places for i in range(extent)]
    for i, p in enumerate(places):
        out[p * item:(p + 1) * item] = raw[i * item:(i + 1) * item]
    return Tensor(Storage(source.storage.kind, out), 0, size, stride)


class _Pickler(pickle.Pickler):
    def __init__(self, stream, legacy, protocol=2):
        super().__init__(stream, protocol=protocol)
        self.legacy, self.keys, self.storages = legacy, {}, []

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        if id(value) not in self.keys:
            self.keys[id(value)] = str(len(self.storages))
            self.storages.append(value)
        record = ("storage", getattr(MODULES["torch"], value.kind), self.keys[id(value)], "cpu",
                  value.numel)
        return record + (None,) if self.legacy else record


class _Modules:
    """The stand-ins, while pickling."""

    def __enter__(self):
        self.saved = {name: sys.modules.get(name) for name in MODULES}
        sys.modules.update(MODULES)

    def __exit__(self, *_):
        for name, module in self.saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def dump(value, legacy=False, protocol=2):
    """(pickle, storages in the order of their keys "0", "1", …)."""
    stream = io.BytesIO()
    with _Modules():
        pickler = _Pickler(stream, legacy, protocol)
        pickler.dump(value)
    return stream.getvalue(), pickler.storages


def pack_zip(path, pickled, members, root="archive", deflate=False, byteorder=None):
    """A zip of a pickle and {key: bytes}; stored with the time of the format's epoch."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as z:
        def add(name, raw):
            info = zipfile.ZipInfo(root + "/" + name)
            info.compress_type = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
            z.writestr(info, raw)
        add("data.pkl", pickled)
        if byteorder is not None:
            add("byteorder", byteorder)
        for key, raw in members.items():
            add("data/" + key, raw)
        add("version", "3\n")


def save_zip(value, path, **options):
    pickled, storages = dump(value)
    pack_zip(path, pickled, {str(i): s.raw for i, s in enumerate(storages)}, **options)


def legacy_head(little_endian=True):
    return b"".join(pickle.dumps(x, protocol=2) for x in (
        MAGIC, 1001, {"protocol_version": 1001, "little_endian": little_endian,
                      "type_sizes": {"short": 2, "int": 4, "long": 4}}))


def encode_legacy(value, little_endian=True):
    pickled, storages = dump(value, legacy=True)
    keys = pickle.dumps([str(i) for i in range(len(storages))], protocol=2)
    return legacy_head(little_endian) + pickled + keys + b"".join(
        struct.pack("<q", s.numel) + s.raw for s in storages)


def save_legacy(value, path, little_endian=True):
    with open(path, "wb") as f:
        f.write(encode_legacy(value, little_endian))


def encode_plain(value, protocol=4):
    """A pickle without container, whose storages are embedded."""
    with _Modules():
        return pickle.dumps(value, protocol=protocol)


class _Anything:
    """Stands for an object that no test looks at (NumPy scalars in optimiser states)."""

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream, read):
        super().__init__(stream)
        self.read, self.known = read, {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        return getattr(MODULES.get(module), name, _Anything)

    def persistent_load(self, record):
        key = record[2]
        if key not in self.known:
            self.known[key] = Storage(record[1].__name__, self.read(key))
        return self.known[key]


def load_zip(path):
    """What was saved, with Tensors."""
    with zipfile.ZipFile(path) as z:
        name = next(n for n in z.namelist() if n.endswith("/data.pkl"))
        root = name[:-len("data.pkl")]
        return _Unpickler(io.BytesIO(z.read(name)), lambda k: z.read(root + "data/" + k)).load()
