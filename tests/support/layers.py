"""Images of hand-made tars: what a hostile or odd registry could send."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import tarfile
from collections.abc import Callable, Sequence
from typing import Any

import zstandard

from modelpack.image.oci.descriptor import CONFIG, LAYER, MANIFEST
from modelpack.image.oci.layout import Layout


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry; `fields` are TarInfo's (type, linkname, mode ...)."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=mode)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def tar_of(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def with_tail(tar: bytes, tail: bytes) -> bytes:
    """The tar with further blocks before the zeros that end it."""
    return (
        tar.rstrip(b"\0").ljust(-(-len(tar.rstrip(b"\0")) // 512) * 512, b"\0") + tail + bytes(1024)
        if tail
        else tar
    )


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "+gzip": lambda data: gzip.compress(data, mtime=0),
    "+zstd": lambda data: zstandard.compress(data),
}


def image_of(
    root: pathlib.Path,
    *layers: Sequence[tuple[tarfile.TarInfo, bytes]],
    packing: str = "",
    tail: bytes = b"",
) -> tuple[Layout, str]:
    """An image of these layers in a layout below `root`, and its digest. `tail` goes before each tar's end."""
    layout = Layout(root)
    tars = [with_tail(tar_of(layer), tail) for layer in layers]
    blobs = [PACKERS[packing](tar) for tar in tars]
    diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
    config = json.dumps(
        {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "config": {"Cmd": ["/serve"]}}
    ).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": layout.put(config), "size": len(config)},
        "layers": [
            {"mediaType": LAYER + packing, "digest": layout.put(blob), "size": len(blob)} for blob in blobs
        ],
    }
    return layout, layout.put_manifest(document).digest
