"""Image parts of a few kilobytes: one made-up Debian package, one made-up wheel, no network, nothing that runs."""

from __future__ import annotations

import hashlib
import io
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

from debian_mirror import deb_of

from modelpack.image.parts import Deb, ImageParts, Wheel

FILES: dict[str, bytes | str] = {
    "usr/bin/python3.11": b"#!/bin/sh\n",
    "usr/bin/python3": "python3.11",
    "lib/x86_64-linux-gnu/libtiny.so.1": b"not a library",
    "usr/lib/python3.11/tiny.py": b"tiny = 1\n",
    "usr/share/doc/tiny/copyright": b"free\n",
    "usr/share/doc/tiny/changelog.gz": b"dropped",
    "usr/share/man/man1/tiny.1.gz": b"dropped",
    "usr/share/ca-certificates/mozilla/b.crt": b"B\n",
    "usr/share/ca-certificates/mozilla/a.crt": b"A\n",
}


def deb(downloads: pathlib.Path, files: Mapping[str, bytes | str] = FILES, name: str = "tiny") -> Deb:
    """A package in the downloads folder."""
    data = deb_of(f"Package: {name}\nVersion: 1\nArchitecture: amd64\n", files)
    sha256 = hashlib.sha256(data).hexdigest()
    target = downloads / "debs" / f"{sha256}.deb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return Deb(name, "1", sha256, len(data), f"pool/{name}.deb", "bookworm")


def wheel(downloads: pathlib.Path, files: Mapping[str, bytes], name: str = "shoplib") -> Wheel:
    """A wheel in the downloads folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in files.items():
            # ZipInfo by itself has a fixed date: the same wheel whenever a test asks for it
            archive.writestr(zipfile.ZipInfo(path), data)
    filename = f"{name}-1.0-py3-none-any.whl"
    target = downloads / "wheels" / filename
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(out.getvalue())
    data = out.getvalue()
    return Wheel(name, "1.0", filename, hashlib.sha256(data).hexdigest(), len(data))


def parts(folder: pathlib.Path, **changed: Any) -> ImageParts:
    """All parts; keyword arguments replace fields."""
    downloads = folder / "downloads"
    model = folder / "model.onnx"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(b"weights" * 100)
    fields: dict[str, Any] = {
        "base": (deb(downloads),),
        "wheels": (
            wheel(downloads, {"shoplib/__init__.py": b"x = 1\n", "shoplib-1.0.dist-info/RECORD": b""}),
        ),
        "app": {"modelpack/__init__.py": b"", "modelpack/server/__main__.py": b"print('hello')\n"},
        "model": {"model.onnx": model, "serving.json": b"{}"},
        "downloads": downloads,
        "bytecode": False,
    }
    return ImageParts(**(fields | changed))
