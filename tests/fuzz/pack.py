"""The corpus of a target as one file: corpus/TARGET.zip, named by content, so that equal inputs give equal bytes.

    python3 tests/fuzz/pack.py pack FOLDER FILE.zip
    python3 tests/fuzz/pack.py unpack FILE.zip FOLDER
"""
import hashlib
import pathlib
import sys
import zipfile


def pack(folder, file):
    inputs = {hashlib.sha256(data).hexdigest()[:16]: data
              for data in (p.read_bytes() for p in pathlib.Path(folder).iterdir() if p.is_file())}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for name, data in sorted(inputs.items()):
            z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    print(f"{file}: {len(inputs)} inputs, {sum(map(len, inputs.values()))} bytes, packed {pathlib.Path(file).stat().st_size}")


def unpack(file, folder):
    with zipfile.ZipFile(file) as z:
        for name in z.namelist():
            (pathlib.Path(folder) / pathlib.PurePath(name).name).write_bytes(z.read(name))


if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
    sys.exit(__doc__)
{"pack": pack, "unpack": unpack}[sys.argv[1]](*sys.argv[2:])
