"""Readers of strangers' files under damaged and hostile ones: read or refused in words, soon, in flat memory.

In this process, without the limited child that stands around most of them: what is refused here never gets that far.
A reader of a library that only `make test-keras` has is fuzzed there, in its share of the time.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hostile
import hostile_others
import pytest
import stranger_files as files
from fuzzing import ENOUGH, LONGEST, VALUES, fuzz, mutated, own_memory, seconds_each
from hostile_archives import plain
from hypothesis import strategies as st

from cli.catalogs import known_names
from modelpack.assembly.assemble import read_packages
from modelpack.errors import EcomdeployError
from modelpack.formats.safetensors import read_metadata
from modelpack.image import base_image
from modelpack.image.binaries import elf, fatbin
from modelpack.image.debian import root
from modelpack.image.debian.lock import path_of as deb_path
from modelpack.image.debian.signature import signed_text
from modelpack.image.oci import members
from modelpack.image.oci.descriptor import Descriptor, digest_of
from modelpack.image.oci.unpack import remove, unpack
from modelpack.image.parts import Deb, Wheel
from modelpack.image.wheels import files as wheel_files
from modelpack.image.wheels.lock import path_of
from modelpack.inputs import lock
from modelpack.server.http.refusal import Refusal
from modelpack.server.http.tables import read_npy
from modelpack.sources import (
    archive,
    base,
    huggingface,
    keras,
    lightgbm,
    pickles,
    savedmodel,
    strict_json,
    torch_export,
    xgboost,
)
from modelpack.sources.graphs import read as read_graph
from modelpack.sources.safetensors import CONFIG, read_config
from stacks.reading.load import load

PATH = Path("stranger")
Read = Callable[[bytes, Path], Any]


@dataclass(frozen=True)
class Format:
    """How a format is read, files of it, and what makes further ones: of a part that is damaged, or of nothing."""

    read: Read
    seeds: Callable[[Path], files.Files]
    more: Callable[[Path], st.SearchStrategy[bytes]] | None = None
    needs: tuple[str, ...] = ()
    """Modules without which it is not read."""


def from_file(read: Callable[[Path], Any], name: str = "model") -> Read:
    """A reader of files as one of bytes."""

    def made(data: bytes, folder: Path) -> Any:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return made


def damaged(
    parts: Callable[[Path], files.Files], whole: Callable[[bytes], bytes]
) -> Callable[[Path], st.SearchStrategy[bytes]]:
    """Whole files around a damaged part."""
    return lambda folder: mutated(st.sampled_from(parts(folder))).map(whole)


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
class Blobs:
    """Bytes by digest; `every`: what any other digest gives."""

    every: bytes = b""
    held: Mapping[str, bytes] | None = None

    def open(self, digest: str) -> io.BytesIO:
        return io.BytesIO((self.held or {}).get(digest, self.every))


def read_layer(data: bytes, folder: Path) -> None:
    """As every media type; its digest is right, its diff id is not known."""
    digest = digest_of(data)
    seen, refused = 0, EcomdeployError("")
    for kind in ("", "+gzip", "+zstd"):
        layer = Descriptor(f"application/vnd.oci.image.layer.v1.tar{kind}", digest, len(data))
        try:
            seen += sum(1 for _ in members.stream(Blobs(data), layer, "sha256:00"))
        except EcomdeployError as error:
            refused = error
            # all was read, and then its diff id was another
            seen += "is not the one the image's config names" in str(error)
    if not seen:
        raise refused


def read_base(data: bytes, folder: Path) -> None:
    """A layer of a base image: what it holds, and what its programs ask for."""
    layer = Descriptor("application/vnd.oci.image.layer.v1.tar", digest_of(data), len(data))
    base_image.list_facts(Blobs(data), layer, layer.digest, set(), {})


def read_image(data: bytes, folder: Path) -> None:
    """A manifest and its config, an empty line between them; each names the next by its right digest."""
    manifest, _, config = data.partition(b"\n\n")
    layer = files.tar(folder)[0]
    config = config.replace(files.LAYER_DIGEST, digest_of(layer).encode())
    manifest = manifest.replace(files.LAYER_DIGEST, digest_of(layer).encode())
    manifest = manifest.replace(files.CONFIG_DIGEST, digest_of(config).encode())
    held = {digest_of(part): part for part in (layer, manifest, config)}
    try:
        unpack(Blobs(held=held), digest_of(manifest), folder / "image")
    finally:
        if (folder / "image").exists():
            remove(folder / "image")


def read_wheel(data: bytes, folder: Path) -> None:
    wheel = Wheel("a", "1", "a-1-py3-none-any.whl", hashlib.sha256(data).hexdigest())
    path = path_of(wheel, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        for entry in wheel_files.entries([wheel], folder):
            with entry.open() as file:
                file.read()
    finally:
        path.unlink()


def read_deb(data: bytes, folder: Path) -> None:
    """As the base of an image takes it."""
    package = Deb("aa", "1", hashlib.sha256(data).hexdigest(), len(data), "aa.deb", "bookworm")
    path = deb_path(package, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        for entry in root.entries([package], folder):
            with entry.open() as file:
                file.read()
    finally:
        path.unlink()


def read_objects(data: bytes, folder: Path) -> None:
    elf.needs(io.BytesIO(data))
    try:
        fatbin.kernels(io.BytesIO(data))
    except ValueError as error:  # told by whoever asks, with the wheel's name
        raise EcomdeployError(str(error)) from error


def read_face(data: bytes, folder: Path) -> None:
    """A Hugging Face folder whose config, weights or list of shards are these bytes."""
    place = folder / "face"
    if not place.exists():
        hostile_others.face(folder / "made").rename(place)
    for name in (CONFIG, "model.safetensors", huggingface.INDEX):
        kept = (place / name).read_bytes() if (place / name).exists() else None
        (place / name).write_bytes(data)
        try:
            huggingface.check(place, read_config(place / CONFIG))
            break
        except EcomdeployError:
            if name == huggingface.INDEX:
                raise
        finally:
            (place / name).unlink() if kept is None else (place / name).write_bytes(kept)


def read_program(data: bytes, folder: Path) -> None:
    """A SavedModel's graph, before TensorFlow sees it."""
    place = folder / "program"
    place.mkdir(exist_ok=True)
    (place / savedmodel.GRAPH).write_bytes(data)
    savedmodel.check(place)


def read_messages(data: bytes, folder: Path) -> None:
    """The same by TensorFlow's own messages."""
    read_program(data, folder)
    savedmodel.read_checked(folder / "program")


def read_tensors(path: Path) -> None:
    """By our own checks, then by the library."""
    huggingface.check_offsets(path)
    read_metadata(path)


def read_name(data: bytes, folder: Path) -> None:
    """Under every name that a model's file may have: what it looks like decides whether its reader sees it."""
    taken = 0
    for suffix in sorted(
        {suffix for source in base.all_sources() for suffix in source.suffixes} | {"npz", "h5"}
    ):
        try:
            from_file(base.check, f"model.{suffix}")(data, folder)
            taken += 1
        except EcomdeployError as error:
            refused = error
    if not taken:
        raise refused


def read_lock(data: bytes, folder: Path) -> None:
    (folder / lock.NAME).write_bytes(data)
    found = lock.read(folder)
    if found.debs:
        read_packages(Deb, found.debs.content)
    if found.wheels:
        read_packages(Wheel, found.wheels.content)


def read_signed(data: bytes, folder: Path) -> None:
    signed_text(data, folder / "archive.asc", "the mirror")


JSON_TEXTS = VALUES.map(lambda value: json.dumps(value).encode())
FORMATS: dict[str, Format] = {
    "zip": Format(read_zip, files.zips, damaged(files.json_texts, lambda one: plain({"a/b.json": one}))),
    "pt2": Format(checked(torch_export.check), files.exported, files.damaged_graphs),
    "keras": Format(checked(keras.check), files.keras_files, damaged(files.keras_configs, files.keras_with)),
    "hdf5": Format(
        from_file(lambda path: keras.check_weights(path, path)),
        files.weights,
        damaged(files.weights, files.whole_hdf5),
        ("h5py",),
    ),
    "savedmodel": Format(read_program, files.programs),
    "savedmodel by tensorflow": Format(
        read_messages, files.programs_by_tensorflow, None, ("tensorflow", "tf2onnx")
    ),
    "huggingface": Format(read_face, files.configs),
    "onnx": Format(from_file(read_graph), files.graphs),
    "pickle": Format(lambda data, folder: pickles.scan(data, PATH), files.pickled),
    "torch file": Format(
        lambda data, folder: pickles.scan_torch_file(data, PATH),
        files.torch_files,
        damaged(files.pickled, hostile.torch_file),
    ),
    "safetensors": Format(from_file(read_tensors, "model.safetensors"), files.safetensors),
    "json": Format(
        lambda data, folder: list(strict_json.pairs(strict_json.parse(data, PATH, "it"))),
        files.boosted,
        lambda folder: JSON_TEXTS,
    ),
    "xgboost": Format(from_file(lambda path: xgboost.XGBoost().convert(path, None, [])), files.boosted),
    "lightgbm": Format(from_file(lambda path: lightgbm.LightGBM().convert(path, None, [])), files.tree_text),
    "npy": Format(lambda data, folder: read_npy(data), files.arrays),
    "any name": Format(read_name, files.of_every_kind),
    "layer": Format(read_layer, files.tars, damaged(files.tar, files.summed)),
    "base image": Format(read_base, files.tar, damaged(files.tar, files.summed)),
    "image": Format(read_image, files.images),
    "deb": Format(read_deb, files.debs, damaged(files.tar, files.deb_with)),
    "signed index": Format(read_signed, files.signed_indexes),
    "wheel": Format(read_wheel, files.wheels),
    "shared object": Format(read_objects, files.objects),
    "pack.lock": Format(read_lock, files.locks),
    "ecomdeploy.yaml": Format(
        from_file(lambda path: load(path, "local", known_names()), "ecomdeploy.yaml"), files.specs
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    one = FORMATS[name]
    for module in one.needs:
        # before the first file, whose time would count it
        pytest.importorskip(module, reason=f"needs {module}: make test-keras runs it")
    given = mutated(st.sampled_from(one.seeds(tmp_path) * 10 + files.foreign(tmp_path)))
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
        given if one.more is None else given | one.more(tmp_path),
        read,
        seconds_each(len(FORMATS)),
        own_memory,
    )
    print(f"{count:,} files, {refused:,} refused")
    assert count < ENOUGH or 0 < refused < count, "what is read is neither all bad nor all good"
    assert not (tmp_path / "canary").exists()


def test_every_reader_of_strangers_files_is_among_them() -> None:
    """A new format is fuzzed, or this fails."""
    assert {source.name for source in base.all_sources()} - set(FORMATS) == {"torch-export"}
