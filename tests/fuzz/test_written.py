"""What our writers write, before readers that are not ours: zipfile, tarfile, zlib, and NumPy where it is installed.

    python3 test_written.py FUZZ_REPLAY CORPUS.zip

The replay of the target "written" leaves the files of some inputs in a folder, with the pixels and the name that went in.
"""
import io
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile
import zlib

try:
    import numpy
except ImportError:
    numpy = None

REPLAY, CORPUS = sys.argv[1:3]


def chunks(data):
    """(name, content) of each chunk, whose checksums hold."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8:at + 8 + length]
        assert zlib.crc32(name + content) == struct.unpack_from(">I", data, at + 8 + length)[0], name
        yield name, content
        at += 12 + length
    assert at == len(data)


def unfilter(packed, width, height, channels):
    """Pixels of 8 bits from the stream of an image."""
    raw, size, above, out = zlib.decompress(packed), width * channels, bytes(width * channels), b""
    assert len(raw) == height * (size + 1)
    for y in range(height):
        kind, row = raw[y * (size + 1)], bytearray(raw[y * (size + 1) + 1:(y + 1) * (size + 1)])
        for i in range(size):
            a, b, c = row[i - channels] if i >= channels else 0, above[i], above[i - channels] if i >= channels else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, nearest)[kind]) & 255
        out, above = out + bytes(row), row
    return out


class Written(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([REPLAY, "written", CORPUS], env=dict(os.environ, FUZZ_WRITE=cls.folder.name), check=True, stdout=subprocess.DEVNULL)
        cls.files = sorted(pathlib.Path(cls.folder.name).glob("*.raw"))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def each(self, ending):
        """The bytes of each file with that ending, the pixels that went in, and the name."""
        found = 0
        for raw in self.files:
            path = raw.with_suffix("." + ending)
            if path.exists():
                found += 1
                with self.subTest(path.name):
                    yield path.read_bytes(), raw.read_bytes(), raw.with_suffix(".name").read_bytes()
        self.assertGreaterEqual(found, 4)

    def test_png(self):
        for data, pixels, _ in self.each("png"):
            parts = list(chunks(data))
            width, height, depth, kind = struct.unpack_from(">IIBB", parts[0][1])
            channels = {0: 1, 2: 3}[kind]
            self.assertEqual((parts[0][0], parts[-1], depth), (b"IHDR", (b"IEND", b""), 8))
            stream = b"".join(content for name, content in parts if name == b"IDAT")
            self.assertEqual(unfilter(stream, width, height, channels), pixels[:width * height * channels])

    def test_moving_png(self):
        for data, pixels, _ in self.each("apng"):
            parts = list(chunks(data))
            width, height, _, kind = struct.unpack_from(">IIBB", parts[0][1])
            size = width * height * {0: 1, 2: 3}[kind]
            frames, order = [], []
            for name, content in parts:
                if name in (b"fcTL", b"fdAT"):
                    order.append(struct.unpack_from(">I", content)[0])
                if name == b"fcTL":
                    frames.append(b"")
                    self.assertEqual(struct.unpack_from(">IIII", content, 4), (width, height, 0, 0))
                elif name in (b"IDAT", b"fdAT"):
                    frames[-1] += content[4 * (name == b"fdAT"):]
            self.assertEqual(order, list(range(len(order))))
            self.assertEqual(struct.unpack(">II", dict(parts)[b"acTL"])[0], len(frames))
            self.assertEqual(b"".join(unfilter(f, width, height, size // width // height) for f in frames), pixels)

    def test_zip(self):
        for data, pixels, name in self.each("zip"):
            with zipfile.ZipFile(io.BytesIO(data)) as z:
                self.assertIsNone(z.testzip())
                self.assertEqual(b"".join(z.read(i) for i in z.infolist()), pixels)

    def test_tar(self):
        for data, pixels, name in self.each("tar"):
            with tarfile.open(fileobj=io.BytesIO(data)) as t:
                read = b"".join(t.extractfile(m).read() for m in t.getmembers())
            if len(name) <= 100:
                self.assertEqual(read, pixels)

    def test_npz(self):
        for data, pixels, _ in self.each("npz"):
            with zipfile.ZipFile(io.BytesIO(data)) as z:
                self.assertEqual([(i.filename, z.read(i)[-len(pixels):]) for i in z.infolist()], [("images.npy", pixels)])

    @unittest.skipUnless(numpy, "numpy is not installed")
    def test_numpy(self):
        for data, pixels, _ in self.each("npy"):
            array = numpy.load(io.BytesIO(data))
            self.assertEqual((array.dtype, array.ndim, array.tobytes()), (numpy.uint8, 4, pixels))
        for data, pixels, _ in self.each("npz"):
            self.assertEqual(numpy.load(io.BytesIO(data))["images"].tobytes(), pixels)


unittest.main(argv=sys.argv[:1])
