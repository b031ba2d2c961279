"""Safetensors files with the standard library only: read, write, and craft broken ones.

A tensor is (dtype, shape, bytes). Shared by the tests."""

import json
import struct

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
         "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}


def build(header, data, padding=b""):
    """The file's bytes from a header (dict, str or bytes) and data; nothing is checked."""
    if isinstance(header, dict):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    header += padding
    return struct.pack("<Q", len(header)) + header + data


def encode(tensors, metadata=None, padding=b""):
    """The bytes of a good file: tensors is {name: (dtype, shape, bytes)}."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return build(header, data, padding)


def write(path, tensors, metadata=None, padding=b""):
    with open(path, "wb") as f:
        f.write(encode(tensors, metadata, padding))


def split(content):
    """(header as dict, data) of a file's bytes."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:8 + length]), content[8 + length:]


def read(path):
    """(metadata, {name: (dtype, shape, bytes)}) in the order of the header."""
    with open(path, "rb") as f:
        header, data = split(f.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        count = SIZES[entry["dtype"]]
        for extent in entry["shape"]:
            count *= extent
        if count != end - begin:
            raise ValueError("%s: %d bytes expected, %d declared" % (name, count, end - begin))
        tensors[name] = (entry["dtype"], entry["shape"], data[begin:end])
    return metadata, tensors


def floats(tensor):
    """The values of an F32 or F64 tensor as a list."""
    dtype, _, raw = tensor
    code = {"F32": "f", "F64": "d"}[dtype]
    return list(struct.unpack("<%d%s" % (len(raw) // SIZES[dtype], code), raw))
