"""Makes the wheel and the source archive (PEP 517) with the standard library alone, so that neither needs a network,
and with the same bytes from the same files: members in the order of their names, all of one date."""
import base64
import gzip
import hashlib
import io
import os
import re
import tarfile
import zipfile

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SOURCES = "pyproject.toml", "README.md", "backend/pfgmd_build.py"
_DATE = (1980, 1, 1, 0, 0, 0)


def _read(name):
    with open(os.path.join(_ROOT, name), "rb") as f:
        return f.read()


def _setting(key):
    """A text of [project]; that Python's reader of TOML came with 3.11 only is why it is found so."""
    return re.search(r'^%s = "(.*)"$' % key, _read("pyproject.toml").decode(), re.M).group(1)


def _package():
    return sorted("pfgmd/" + n for n in os.listdir(os.path.join(_ROOT, "pfgmd")) if n.endswith((".py", ".typed")))


def _metadata():
    return ("Metadata-Version: 2.1\nName: %s\nVersion: %s\nSummary: %s\nLicense: Apache-2.0\nRequires-Python: %s\n"
            "Provides-Extra: arrays\nRequires-Dist: numpy; extra == 'arrays'\n"
            "Provides-Extra: pictures\nRequires-Dist: Pillow; extra == 'pictures'\n"
            "Description-Content-Type: text/markdown\n\n%s"
            % (_setting("name"), _setting("version"), _setting("description"), _setting("requires-python"),
               _read("README.md").decode())).encode()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "pfgmd-" + _setting("version")
    info = name + ".dist-info/"
    files = {path: _read(path) for path in _package()}
    files[info + "METADATA"] = _metadata()
    files[info + "WHEEL"] = b"Wheel-Version: 1.0\nGenerator: pfgmd_build\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = ["%s,sha256=%s,%d" % (path, base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(),
                                 len(data)) for path, data in sorted(files.items())]
    files[info + "RECORD"] = ("\n".join(rows + [info + "RECORD,,"]) + "\n").encode()
    wheel = name + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w", zipfile.ZIP_DEFLATED) as z:
        for path, data in sorted(files.items()):
            member = zipfile.ZipInfo(path, _DATE)
            member.compress_type, member.external_attr, member.create_system = zipfile.ZIP_DEFLATED, 0o100644 << 16, 3
            z.writestr(member, data)
    return wheel


def build_sdist(sdist_directory, config_settings=None):
    name = "pfgmd-" + _setting("version")
    plain = io.BytesIO()
    files = {path: _read(path) for path in (*_package(), *_SOURCES)}
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as t:
        for path, data in sorted(dict(files, **{"PKG-INFO": _metadata()}).items()):
            member = tarfile.TarInfo(name + "/" + path)
            member.size, member.mode = len(data), 0o644
            t.addfile(member, io.BytesIO(data))
    with open(os.path.join(sdist_directory, name + ".tar.gz"), "wb") as f, \
            gzip.GzipFile(filename="", mode="wb", fileobj=f, mtime=0) as z:
        z.write(plain.getvalue())
    return name + ".tar.gz"
