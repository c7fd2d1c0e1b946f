"""Readers of strangers' files under damaged and hostile ones: read or refused in words, soon, in flat memory.

In this process, without the limited child that stands around most of them: what is refused here never gets that far.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hostile
import hostile_others
import pytest
import zstandard
from fuzzing import ENOUGH, LONGEST, VALUES, fuzz, mutated, own_memory, seconds_each
from hostile_archives import TWISTS, plain
from hypothesis import strategies as st

from modelpack.errors import EcomdeployError
from modelpack.formats.safetensors import read_header
from modelpack.image.debian import deb
from modelpack.image.oci import members
from modelpack.image.oci.descriptor import Descriptor
from modelpack.server.http.refusal import Refusal
from modelpack.server.http.tables import read_npy
from modelpack.sources import archive, keras, lightgbm, pickles, strict_json, torch_export, xgboost
from modelpack.sources.graphs import read as read_graph

PATH = Path("stranger")
Read = Callable[[bytes, Path], Any]


@dataclass(frozen=True)
class Format:
    """How a format is read, and files of it: benign ones, and those that were hostile once."""

    read: Read
    seeds: Callable[[Path], list[bytes]]
    more: st.SearchStrategy[bytes] | None = None


def from_file(read: Callable[[Path], Any]) -> Read:
    """A reader of files as one of bytes."""

    def made(data: bytes, folder: Path) -> Any:
        (folder / "model").write_bytes(data)
        return read(folder / "model")

    return made


def read_zip(data: bytes, folder: Path) -> None:
    with archive.open_archive(io.BytesIO(data), PATH) as opened:
        names = opened.namelist()
        for name in names:
            archive.member(opened, name, PATH, 1_000_000)
        archive.rewrite(opened, {name: name for name in names}, folder / "fresh.zip")
    with zipfile.ZipFile(folder / "fresh.zip") as fresh:
        assert fresh.namelist() == names


def checked(check: Callable[[zipfile.ZipFile, Path], Any]) -> Read:
    def made(data: bytes, folder: Path) -> None:
        with archive.open_archive(io.BytesIO(data), PATH) as opened:
            check(opened, PATH)

    return made


@dataclass(frozen=True)
class OneBlob:
    data: bytes

    def open(self, digest: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def read_layer(data: bytes, folder: Path) -> None:
    """As every media type; its digest is right, its diff id is not known."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    seen, refused = 0, EcomdeployError("")
    for kind in ("", "+gzip", "+zstd"):
        layer = Descriptor(f"application/vnd.oci.image.layer.v1.tar{kind}", digest, len(data))
        try:
            seen += sum(1 for _ in members.stream(OneBlob(data), layer, "sha256:00"))
        except EcomdeployError as error:
            refused = error
            # all was read, and then its diff id was another
            seen += "is not the one the image's config names" in str(error)
    if not seen:
        raise refused


def zips(folder: Path) -> list[bytes]:
    benign = {"a/b.json": b"{}" * 50, "c.bin": bytes(300)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("x", b"0" * 5000)
    return [
        plain(benign),
        packed.getvalue(),
        *(twist(benign, "a/b.json", b"evil") for twist in TWISTS.values()),
    ]


def exported(folder: Path) -> list[bytes]:
    return [hostile.exported(folder / "pt2").read_bytes()]


def keras_files(folder: Path) -> list[bytes]:
    return [hostile_others.keras_file(folder / "keras", []).read_bytes()]


def graphs(folder: Path) -> list[bytes]:
    return [
        hostile.benign_graph().SerializeToString(),
        hostile.bomb().SerializeToString(),
        hostile.functions(True).SerializeToString(),
        hostile.functions(False).SerializeToString(),
    ]


def pickled(folder: Path) -> list[bytes]:
    return [pickle.dumps({"a": [1, "b", (2.5, None)]}, protocol) for protocol in range(6)] + list(
        hostile.pickles(folder / "canary").values()
    )


def boosted(folder: Path) -> list[bytes]:
    return [json.dumps(json.loads(hostile_others.RECORDED.read_text())["model"]).encode()]


def tars(folder: Path) -> list[bytes]:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, kind in (("a", tarfile.REGTYPE), ("l", tarfile.SYMTYPE), ("é" * 120, tarfile.REGTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, "a" if kind == tarfile.SYMTYPE else "", 0
            made.addfile(entry)
    data = content.getvalue()
    return [data, gzip.compress(data), zstandard.compress(data)]


def debs(folder: Path) -> list[bytes]:
    def tarred(name: str, text: bytes) -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as made:
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            made.addfile(entry, io.BytesIO(text))
        return content.getvalue()

    def ar(kind: str, pack: Callable[[bytes], bytes]) -> bytes:
        parts = {"debian-binary": b"2.0\n", f"control.tar{kind}": pack(tarred("./control", b"Package: a\n")),
                 f"data.tar{kind}": pack(tarred("./usr/a", b"x" * 40))}  # fmt: skip
        lines = (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
            + data
            + b"\n" * (len(data) % 2)
            for name, data in parts.items()
        )
        return b"!<arch>\n" + b"".join(lines)

    return [ar("", bytes), ar(".gz", gzip.compress), ar(".zst", zstandard.compress)]


def safetensors(folder: Path) -> list[bytes]:
    header = json.dumps(
        {"__metadata__": {"a": "b"}, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    ).encode()
    return [len(header).to_bytes(8, "little") + header + bytes(8)]


def arrays(folder: Path) -> list[bytes]:
    import numpy as np

    made = []
    for array in (
        np.ones((2, 3)),
        np.array(["a", "bc"]),
        np.asfortranarray(np.ones((3, 2), ">i4")),
        np.array(True),
    ):
        stream = io.BytesIO()
        np.save(stream, array)
        made.append(stream.getvalue())
    return made


def tree_text(folder: Path) -> list[bytes]:
    return [hostile_others.boosted().model_to_string().encode()]


JSON_TEXTS = VALUES.map(lambda value: json.dumps(value).encode())
FORMATS: dict[str, Format] = {
    "zip": Format(read_zip, zips),
    "pt2": Format(checked(torch_export.check), exported),
    "keras": Format(checked(keras.check), keras_files),
    "onnx": Format(from_file(read_graph), graphs),
    "pickle": Format(lambda data, folder: pickles.scan(data, PATH), pickled),
    "torch file": Format(
        lambda data, folder: pickles.scan_torch_file(data, PATH),
        lambda folder: [hostile.torch_file(one) for one in pickled(folder)],
    ),
    "safetensors": Format(from_file(read_header), safetensors),
    "json": Format(
        lambda data, folder: list(strict_json.pairs(strict_json.parse(data, PATH, "it"))), boosted, JSON_TEXTS
    ),
    "xgboost": Format(from_file(lambda path: xgboost.XGBoost().convert(path, None, [])), boosted),
    "lightgbm": Format(from_file(lambda path: lightgbm.LightGBM().convert(path, None, [])), tree_text),
    "layer": Format(read_layer, tars),
    "deb": Format(from_file(lambda path: [one.name for one in deb.read(path).data]), debs),
    "npy": Format(lambda data, folder: read_npy(data), arrays),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    one = FORMATS[name]
    seeds = one.seeds(tmp_path)
    files = mutated(st.sampled_from(seeds))
    refused = 0

    def read(data: bytes) -> None:
        nonlocal refused
        before = time.process_time()
        try:
            one.read(data, tmp_path)
        except (EcomdeployError, Refusal):
            refused += 1
        assert time.process_time() - before < LONGEST

    count = fuzz(
        files if one.more is None else files | one.more, read, seconds_each(len(FORMATS)), own_memory
    )
    print(f"{count:,} files, {refused:,} refused")
    assert count < ENOUGH or 0 < refused < count, "what is read is neither all bad nor all good"
    assert not (tmp_path / "canary").exists()
