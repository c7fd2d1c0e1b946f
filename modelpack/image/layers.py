"""Which layers an image gets, and what each depends on."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from modelpack.errors import EcomdeployError
from modelpack.image import compress, tree
from modelpack.image.debian import root as base
from modelpack.image.layer import LayerPlan, recall, recipe
from modelpack.image.oci.layout import Layout
from modelpack.image.parts import BaseImage, Deb, ImageParts, Wheel
from modelpack.image.pinned import read_interpreter
from modelpack.image.tree import Entry
from modelpack.image.wheels import files as wheel_files
from modelpack.image.wheels.bytecode import Compiler

APP = "opt/ecomdeploy/app"
MODEL = "opt/ecomdeploy/model"
OWN_LAYER_BYTES = 4_000_000
APP_LAYER_BYTES = 40_000
"""Of sources; with their bytecode and compressed half as many again."""
MOST_MODEL_LAYERS = 20
SAMPLE_BYTES = 4 << 20
COMPILES = re.compile(r"(lib)?python3(\.\d+)?-minimal|libc6|libexpat1|zlib1g")
"""The packages that Debian's interpreter needs to compile a file."""


Bytecode = Callable[[Iterable[Entry]], Iterable[Entry]]


def of(parts: ImageParts, compiler: Compiler | None) -> list[LayerPlan]:
    """All layers but a base image's and the file manifest's, lowest first. Without a compiler no bytecode is added."""
    bytecode: Bytecode = compiler.with_bytecode if compiler else tuple
    return [
        *of_packages(parts, compiler),
        *_app(parts.app, _python(parts, compiler), bytecode),
        *_model(parts),
    ]


def of_packages(parts: ImageParts, compiler: Compiler | None) -> list[LayerPlan]:
    """Those of the Debian packages and the wheels, lowest first: named without anything that has to be fetched, where
    the wheels' sizes are known."""
    bytecode: Bytecode = compiler.with_bytecode if compiler else tuple
    lowest = [] if isinstance(parts.base, BaseImage) else [_base(parts, parts.base, bytecode)]
    return [*lowest, *_wheels(parts, _python(parts, compiler), bytecode)]


def _python(parts: ImageParts, compiler: Compiler | None) -> tuple[str, ...]:
    """Bytecode is the base's Python's work, so its packages are an input of whatever holds some."""
    debs = () if isinstance(parts.base, BaseImage) else parts.base
    return tuple(sorted(f"{deb.name} {deb.version} {deb.sha256}" for deb in debs)) if compiler else ()


def compiler_of(parts: ImageParts, layout: Layout) -> Compiler | None:
    """The interpreter of a base made of packages, kept beside the downloads: out of the base's layer where that is
    there, for its packages need not be then. The one of a base image is not run here."""
    if isinstance(parts.base, BaseImage) or not parts.bytecode:
        return None
    needed = tuple(deb for deb in parts.base if COMPILES.fullmatch(deb.name))
    made_of = [recipe(), *sorted(deb.sha256 for deb in needed)]
    name = hashlib.sha256("\n".join(made_of).encode()).hexdigest()
    kept = parts.downloads.parent / "interpreters" / name
    plan = _base(parts, parts.base, tuple)

    def unpack_interpreter() -> Iterable[Entry]:
        layer = recall(plan, layout)
        return read_interpreter(layer, layout) if layer else base.entries(needed, parts.downloads)

    return Compiler(unpack_interpreter, kept)


def _base(parts: ImageParts, debs: Sequence[Deb], bytecode: Bytecode) -> LayerPlan:
    inputs = tuple(sorted(f"{deb.name} {deb.version} {deb.sha256}" for deb in debs))
    return LayerPlan(
        "base",
        f"{len(debs)} Debian packages",
        (*inputs, f"bytecode {parts.bytecode}"),
        lambda: bytecode(base.entries(debs, parts.downloads)),
        packages=tuple(debs),
    )


def _wheels(parts: ImageParts, python: Sequence[str], bytecode: Bytecode) -> Iterator[LayerPlan]:
    for group in wheel_files.group(parts.wheels, parts.downloads):
        without = tuple(f"without {pattern}" for pattern in parts.left_out)
        inputs = (*python, *without, *(f"{wheel.filename} {wheel.sha256}" for wheel in group))
        entries = partial(_wheel_entries, group, parts, bytecode)
        yield LayerPlan("wheels", _wheel_title(group), inputs, entries, packages=tuple(group))


def _wheel_entries(group: Sequence[Wheel], parts: ImageParts, bytecode: Bytecode) -> Iterable[Entry]:
    return bytecode(wheel_files.entries(group, parts.downloads, parts.left_out))


def _wheel_title(group: Sequence[Wheel]) -> str:
    return f"{group[0].name} {group[0].version}" if len(group) == 1 else f"{len(group)} Python packages"


def _app(files: Mapping[str, Path | bytes], python: Sequence[str], bytecode: Bytecode) -> Iterator[LayerPlan]:
    """A package a layer, a large one several, so that a changed file sends few others again. Which one a file is in
    follows from its name alone, as long as the package does not double."""
    packages: dict[str, dict[str, Path | bytes]] = {}
    for path, source in sorted(files.items()):
        packages.setdefault(path.partition("/")[0], {})[path] = source
    for package, own in packages.items():
        shares = -(-sum(map(_length, own.values())) // APP_LAYER_BYTES)
        count = 1 << max(0, shares - 1).bit_length()
        for number in range(count):
            share = {path: own[path] for path in own if zlib.crc32(path.encode()) % count == number}
            if share:
                title = package if count == 1 else f"{package} {number + 1} of {count}"
                yield _of_mapping("app", title, APP, share, python, bytecode)


def _model(parts: ImageParts) -> Iterator[LayerPlan]:
    """Weights a layer each, so that a changed golden request or a new head does not send them again."""
    sizes = {path: _length(source) for path, source in parts.model.items()}
    large = sorted(
        (path for path in sizes if sizes[path] >= OWN_LAYER_BYTES), key=lambda path: (-sizes[path], path)
    )
    alone = sorted(large[:MOST_MODEL_LAYERS])
    for path in alone:
        plan = _of_mapping("model", path, MODEL, {path: parts.model[path]})
        yield plan if compress.pays(_samples(parts.model[path])) else replace(plan, compressor=compress.Plain)
    rest = {path: source for path, source in parts.model.items() if path not in alone}
    if rest:
        yield _of_mapping("model", f"{len(rest)} files", MODEL, rest)


def _of_mapping(
    role: str,
    title: str,
    prefix: str,
    files: Mapping[str, Path | bytes],
    python: Sequence[str] = (),
    bytecode: Bytecode = tuple,
) -> LayerPlan:
    entries: tuple[Entry, ...] = tree.of_mapping(prefix, files)
    digests = {entry.path: _digest(entry) for entry in entries}
    inputs = (*python, *(f"{entry.path} {entry.mode:o} {digests[entry.path]}" for entry in entries))
    return LayerPlan(role, title, inputs, lambda: bytecode(entries), digests)


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
