"""Tars that lead the standard library's reader astray: refused, in a layer, a base image and a Debian package alike."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from layers import hard_link, link, member, tar_of
from stranger_files import ar, control_tar
from waiting import SECONDS

from modelpack.errors import EcomdeployError
from modelpack.image import base_image
from modelpack.image.debian import deb
from modelpack.image.oci import members
from modelpack.image.oci.descriptor import LAYER, Descriptor, digest_of
from modelpack.image.oci.tar_entry import MOST_EXTENDED, MOST_GLOBAL


class OneBlob:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self, digest: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def header(name: str, kind: bytes, size: int) -> bytes:
    """A member's header; a negative size as GNU writes one, in base 256."""
    info = tarfile.TarInfo(name)
    info.type = kind
    made = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    made[124:136] = b"%011o\0" % size if size >= 0 else b"\xff" + (256**11 + size).to_bytes(11, "big")
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def extended(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return header("pax", kind, len(records)) + records + bytes(-len(records) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """One attribute of an extended header: man 5 pax."""
    rest = b" %s=%s\n" % (key, value)
    size = len(rest) + 1
    while len(b"%d%s" % (size, rest)) != size:
        size += 1
    return b"%d%s" % (size, rest)


EMPTY = header("a", tarfile.REGTYPE, 0)
SPARSE = b"".join(record(b"GNU.sparse." + key, b"9") for key in (b"major", b"size", b"numblocks", b"map"))
TWISTS: dict[str, tuple[bytes, str]] = {
    "goes back to itself": (EMPTY + header("b", tarfile.REGTYPE, -512), "negative"),
    "goes back to the first": (EMPTY + header("b", tarfile.REGTYPE, -1024), "negative"),
    "an extended header goes back": (header("b", tarfile.XHDTYPE, -1024), "negative"),
    "a long name goes back": (header("b", tarfile.GNUTYPE_LONGNAME, -1024), "negative"),
    "another size goes back": (extended(record(b"size", b"-512")) + EMPTY, "negative"),
    "a pattern's square": (extended(b"1" * 900_000) + EMPTY, "100 digits"),
    "a pattern's square in a value": (extended(record(b"comment", b"1" * 900_000)) + EMPTY, "100 digits"),
    "a long header": (extended(bytes(MOST_EXTENDED + 1)) + EMPTY, "extended header of"),
    "a long name": (header("b", tarfile.GNUTYPE_LONGNAME, 1 << 30), "extended header of"),
    "attributes for all": (
        extended(b"".join(record(b"k%d" % n, b"v") for n in range(MOST_GLOBAL + 1)), tarfile.XGLTYPE) + EMPTY,
        "attributes for all",
    ),
    "headers of headers": (extended(record(b"a", b"b")) * 2000 + EMPTY, "recursion"),
    "sparse": (extended(SPARSE) + EMPTY, "sparse"),
    "sparse as of old": (header("b", tarfile.GNUTYPE_SPARSE, 0), "sparse"),
}


def read_deb(data: bytes, folder: Path) -> object:
    (folder / "x.deb").write_bytes(ar(control_tar(), data))
    return deb.read(folder / "x.deb")


def read_layer(data: bytes, folder: Path) -> object:
    layer = Descriptor(LAYER, digest_of(data), len(data))
    return list(members.stream(OneBlob(data), layer, layer.digest))


def read_base(data: bytes, folder: Path) -> object:
    layer = Descriptor(LAYER, digest_of(data), len(data))
    return base_image.list_facts(OneBlob(data), layer, layer.digest, set(), {})


READERS: tuple[Callable[[bytes, Path], object], ...] = (read_deb, read_layer, read_base)


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("twist", TWISTS)
def test_a_twisted_tar_is_refused(tmp_path: Path, twist: str, read: Callable[[bytes, Path], object]) -> None:
    data, why = TWISTS[twist]
    with pytest.raises(EcomdeployError, match=why):
        read(data + bytes(10_240), tmp_path)


@pytest.mark.parametrize("read", READERS)
def test_what_tar_writes_is_read(tmp_path: Path, read: Callable[[bytes, Path], object]) -> None:
    """Long names, attributes, sizes beyond eight digits, a comment for all: each way that GNU and POSIX have."""
    out = io.BytesIO()
    more = {"SCHILY.xattr.security.capability": "x" * 20, "mtime": "1700000000.123456789"}
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "c" * 40}
    ) as tar:
        for name in ("é" * 150, "a"):
            info = tarfile.TarInfo(name)
            info.pax_headers = more
            tar.addfile(info)
    read(out.getvalue(), tmp_path)
    read(tar_of([member("n" * 300, b"1"), hard_link("h", "n" * 300), link("l", "m" * 200)]), tmp_path)
