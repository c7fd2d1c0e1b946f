"""Model files that users bring: read safely, or refused with the reason. One file per format."""

from __future__ import annotations

import abc
import difflib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelpack.digests import sha256_of
from modelpack.errors import BadInput
from modelpack.formats.signature import Run, Signature
from modelpack.formats.variant import ONNX, Variant
from modelpack.inputs.catalog import Catalog
from modelpack.sources.limits import LARGEST, MEMORY, MOST_FILES, SECONDS
from modelpack.sources.sandbox import child
from modelpack.sources.taking import Note, take
from modelpack.usecases.base import UseCase

if TYPE_CHECKING:
    import onnx

MAGIC = {
    b"PK\x03\x04": "zip archive",
    b"\x1f\x8b": "gzip file",
    b"BZh": "bzip2 file",
    b"\xfd7zXZ": "xz file",
    b"CBM1": "CatBoost file",
    b"\x89HDF": "HDF5 file",
}
PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(1, 6))
PICKLED = (
    "a pickle runs code: save .json (XGBoost), .txt (LightGBM), .onnx (scikit-learn: skl2onnx), .pt2 (torch)"
)
SAVE_INSTEAD = {
    "ubj": "XGBoost: booster.save_model('model.json')",
    "cbm": "CatBoost: model.save_model('model.onnx', format='onnx')",
    "pkl": PICKLED,
    "pickle": PICKLED,
    "joblib": PICKLED,
    "pt": "torch: torch.export.save(torch.export.export(model, inputs), 'model.pt2')",
    "pth": "torch: torch.export.save(torch.export.export(model, inputs), 'model.pt2')",
    "bin": "transformers: model.save_pretrained(folder), which writes safetensors",
    "h5": "Keras: model.save('model.keras')",
    "hdf5": "Keras: model.save('model.keras')",
    "bst": "XGBoost: booster.save_model('model.json')",
    "xgb": "XGBoost: booster.save_model('model.json')",
    "skops": "scikit-learn: skl2onnx.to_onnx(model, rows[:1]), written as model.onnx",
    "dill": PICKLED,
    "ts": "torch: torch.export.save(torch.export.export(model, inputs), 'model.pt2')",
    "ckpt": "torch: torch.export.save(program, 'model.pt2'); Keras: model.save('model.keras')",
    "pb": "TensorFlow: tf.saved_model.save(model, 'model'), and the path of that folder",
    "tflite": "TensorFlow: tf.saved_model.save(model, 'model'), and the path of that folder",
}
"""By a suffix that is not taken: what to save in its place."""
UBJSON, PICKLE = "UBJSON file", "Python pickle"
BY_CONTENT = {
    PICKLE: PICKLED,
    UBJSON: SAVE_INSTEAD["ubj"],
    "CatBoost file": SAVE_INSTEAD["cbm"],
    "HDF5 file": SAVE_INSTEAD["h5"],
}
"""The same by what stands under another name."""
TENSORFLOW = ("tensorflow", "keras", "tf2onnx")
TORCH = ("torch", "triton")


def silent(words: str) -> None:
    """A note that nobody reads."""


class Source(abc.ABC):
    """One format: files with one of the `suffixes` (without the dot), or folders that hold the file `marker`.

    `container`: what the file looks like from its first bytes, where that is one of `MAGIC`'s words.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    marker: ClassVar[str | None] = None
    container: ClassVar[str | None] = None
    opening: ClassVar[bytes] = b""
    """What a file begins with where others have the same suffix."""
    gives: ClassVar[frozenset[str]] = frozenset({ONNX})
    """The formats of variants that it may open."""

    @abc.abstractmethod
    def open(self, path: Path, usecase: UseCase[Any], folder: Path, note: Note) -> Variant:
        """A variant in `folder` from the user's file. Raises BadInput when it is not a fit model."""

    def parts(self, path: Path) -> tuple[Path, ...]:
        """The files that make up the model at `path`, found without loading it."""
        return tuple(files_below(path)) if path.is_dir() else (path,)


class Converted(Source):
    """A format that is read in a limited process of its own, which hands back ONNX."""

    extra: ClassVar[str] = "train"
    """The extra of our package that brings what `convert` needs."""
    hidden: ClassVar[tuple[str, ...]] = TENSORFLOW
    """Packages that the process which reads it does not find: TensorFlow and triton in one process end it."""
    memory: ClassVar[int] = MEMORY
    """Bytes for reading a small model."""
    seconds: ClassVar[int] = SECONDS
    """Processor time for reading a model."""
    program: str = child.__file__
    """What runs in that process."""
    named: ClassVar[bool] = False
    """Whether names of inputs and outputs are the user's own and must be right; else they are matched."""

    @abc.abstractmethod
    def convert(self, path: Path, wanted: Signature | None, notes: list[str]) -> onnx.ModelProto:
        """The model as a graph: asked of a fresh limited process, in an empty working folder, and nowhere else.

        `wanted`: what the use case asks for, None where the model says it. `notes`: add what the user should know.
        Raises BadInput when it is not a fit model; whatever a library raises is told as its refusal.
        """

    def open(self, path: Path, usecase: UseCase[Any], folder: Path, note: Note) -> Variant:
        return take(self, path, self.parts(path), usecase, folder, note)


class LibraryFormat(Converted):
    """A format whose models the library that wrote them can be asked, too."""

    library: ClassVar[str]
    """The name it is imported by."""

    @abc.abstractmethod
    def original(self, path: Path, signature: Signature) -> Run:
        """The model in its library: asked of a fresh limited process, as `convert` is.

        What it answers is by the names of the `signature`'s outputs; one that the library does not give is left out.
        """


def open_model(path: Path, usecase: UseCase[Any], folder: Path, note: Note = silent) -> Variant:
    """The variant of the user's file or folder; `note` is told what the user should know of how it was read.

    Raises BadInput when it is missing, unknown, broken or hostile.
    """
    return check(path).open(path, usecase, folder, note)


def check(path: Path) -> Source:
    """Light checks, without reading the model: there, a known format, not empty, not too large; its source."""
    source = folder_source(path) if path.is_dir() else file_source(path)
    size = sum(part.stat().st_size for part in source.parts(path))
    if size == 0:
        raise BadInput("the model file is empty", where=str(path))
    if size > LARGEST:
        raise BadInput(f"the model is larger than {LARGEST / 1e9:.0f} GB", where=str(path))
    return source


def content_digest(path: Path) -> str:
    """Names the model at `path` by the content of all its files. Raises what `check` raises."""
    parts = check(path).parts(path)
    if parts == (path,):
        return sha256_of(path)
    lines = [f"{os.path.relpath(part, path.parent)}\0{sha256_of(part)}\n" for part in parts if part != path]
    own = sha256_of(path) if path.is_file() else ""
    return hashlib.sha256("".join([own, "\n", *sorted(lines)]).encode()).hexdigest()


def models_in(folder: Path) -> list[Path]:
    """What looks like a model in a folder: files and folders of the formats known here."""
    every = all_sources()
    return [
        path
        for path in sorted(folder.glob("*"))
        if any(looks_right(path, source) for source in every) and not path.name.startswith(".")
    ]


def looks_right(path: Path, source: Source) -> bool:
    """Whether a path is what the source reads, by its name and first bytes."""
    if path.is_dir():
        return source.marker is not None and (path / source.marker).is_file()
    if path.suffix.removeprefix(".") not in source.suffixes or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(source.opening)


def file_source(path: Path) -> Source:
    """The source for a file, by its suffix and first bytes."""
    known = {suffix: source for source in all_sources() for suffix in source.suffixes}
    suffix = path.suffix.removeprefix(".")
    if suffix not in known:
        near = difflib.get_close_matches(suffix, known, n=1)
        names = ", ".join("." + name for name in sorted(known))
        hint = f"did you mean .{near[0]}?" if near else f"known: {names}, or a folder"
        hint = SAVE_INSTEAD.get(suffix.lower(), hint)
        raise BadInput(f"unknown model format {path.suffix or path.name!r}", where=str(path), hint=hint)
    if not path.is_file():
        raise BadInput(
            "no such model file", where=str(path), hint="model.path is relative to the project's folder"
        )
    looks, wanted = looks_like(path), known[suffix].container
    if looks != wanted and (looks or (wanted and path.stat().st_size)):
        what = f"a {looks}" if looks else f"not a {wanted}"
        hint = BY_CONTENT.get(looks or "", "")
        raise BadInput(
            f"damaged or not what its name says: {path.suffix} but {what}", where=str(path), hint=hint
        )
    return known[suffix]


def folder_source(path: Path) -> Source:
    """The source for a folder, by the file that marks it."""
    known = {source.marker: source for source in all_sources() if source.marker}
    found = [source for marker, source in known.items() if (path / marker).is_file()]
    if len(found) != 1:
        listed = " or ".join(sorted(known))
        raise BadInput(
            f"not a model folder: it holds no {listed}", where=str(path), hint="see docs/models.md"
        )
    return found[0]


def files_below(folder: Path) -> list[Path]:
    """Every file, sorted. Raises BadInput for links, special files and too many of them."""
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            if path.is_symlink():
                raise BadInput("links in a model folder are refused", where=str(path))
            if not path.is_dir() and not path.is_file():
                raise BadInput("special files in a model folder are refused", where=str(path))
        found += [Path(root, name) for name in names]
        if len(found) > MOST_FILES:
            raise BadInput(f"more than {MOST_FILES:,} files in a model folder", where=str(folder))
    return sorted(found)


def looks_like(path: Path) -> str | None:
    """What the first bytes say: one of `MAGIC`'s words, a pickle, a tar archive, or nothing known."""
    with path.open("rb") as file:
        head = file.read(264)
    # A safetensors file begins with its header's length, perhaps of these very bytes: zeros and a brace follow.
    if head.startswith(PICKLES) and head[4:8] != bytes(4):
        return PICKLE
    if head.startswith(b"{L") and head[8:9] != b"{":
        return UBJSON
    if head[257:262] == b"ustar":
        return "tar archive"
    return next((word for magic, word in MAGIC.items() if head.startswith(magic)), None)


def all_sources() -> list[Source]:
    """Every source known here, newly made."""
    catalog = sources()
    return [catalog.get(name) for name in catalog.names()]


def sources() -> Catalog[Source]:
    """The formats known here."""
    return Catalog[Source]("model format", "modelpack.sources", Source)
