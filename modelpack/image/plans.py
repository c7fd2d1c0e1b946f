"""Which layers an image gets, and what each depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from modelpack.errors import EcomdeployError
from modelpack.image import base, compress, tree, wheel_files
from modelpack.image.layer import LayerPlan
from modelpack.image.parts import BaseImage, Deb, ImageParts, Wheel
from modelpack.image.tree import Entry

APP = "opt/ecomdeploy/app"
MODEL = "opt/ecomdeploy/model"
OWN_LAYER_BYTES = 4_000_000
MOST_MODEL_LAYERS = 20
SAMPLE_BYTES = 4 << 20


def of(parts: ImageParts) -> list[LayerPlan]:
    """All layers but those of a base image and the seal, lowest first."""
    lowest = [] if isinstance(parts.base, BaseImage) else [_base(parts, parts.base)]
    return [*lowest, *_wheels(parts), _app(parts), *_model(parts)]


def _base(parts: ImageParts, debs: Sequence[Deb]) -> LayerPlan:
    inputs = tuple(sorted(f"{deb.name} {deb.version} {deb.sha256}" for deb in debs))
    entries = partial(base.entries, debs, parts.downloads)
    return LayerPlan("base", f"{len(debs)} Debian packages", inputs, parts.compression, entries)


def _wheels(parts: ImageParts) -> Iterator[LayerPlan]:
    for group in wheel_files.grouped(parts.wheels, parts.downloads):
        title = _wheel_title(group)
        inputs = tuple(f"{wheel.filename} {wheel.sha256}" for wheel in group)
        entries = partial(wheel_files.entries, group, parts.downloads)
        yield LayerPlan("wheels", title, inputs, parts.compression, entries)


def _wheel_title(group: Sequence[Wheel]) -> str:
    return f"{group[0].name} {group[0].version}" if len(group) == 1 else f"{len(group)} Python packages"


def _app(parts: ImageParts) -> LayerPlan:
    return _of_mapping("app", f"{len(parts.app)} files", APP, parts.app, parts.compression)


def _model(parts: ImageParts) -> Iterator[LayerPlan]:
    """Weights a layer each, so that a changed golden request or a new head does not send them again."""
    sizes = {path: _length(source) for path, source in parts.model.items()}
    large = sorted(
        (path for path in sizes if sizes[path] >= OWN_LAYER_BYTES), key=lambda path: (-sizes[path], path)
    )
    alone = sorted(large[:MOST_MODEL_LAYERS])
    for path in alone:
        compression = (
            parts.compression if compress.pays(_samples(parts.model[path]), parts.compression) else "none"
        )
        yield _of_mapping("model", path, MODEL, {path: parts.model[path]}, compression)
    rest = {path: source for path, source in parts.model.items() if path not in alone}
    if rest:
        yield _of_mapping("model", f"{len(rest)} files", MODEL, rest, parts.compression)


def _of_mapping(
    role: str, title: str, prefix: str, files: Mapping[str, Path | bytes], compression: str
) -> LayerPlan:
    entries: tuple[Entry, ...] = tree.of_mapping(prefix, files)
    inputs = tuple(f"{entry.path} {entry.mode:o} {_digest(entry)}" for entry in entries)
    return LayerPlan(role, title, inputs, compression, lambda: entries)


def _digest(entry: Entry) -> str:
    total = hashlib.sha256()
    with entry.open() as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def _length(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size
    except OSError as problem:
        raise EcomdeployError(f"cannot read {source}: {problem.strerror}") from None


def _samples(source: Path | bytes) -> Iterator[bytes]:
    """Begin, middle and end."""
    size = _length(source)
    for start in sorted({0, max(0, size // 2 - SAMPLE_BYTES // 2), max(0, size - SAMPLE_BYTES)}):
        if isinstance(source, bytes):
            yield source[start : start + SAMPLE_BYTES]
        else:
            with source.open("rb") as file:
                file.seek(start)
                yield file.read(SAMPLE_BYTES)
