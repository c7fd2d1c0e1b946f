"""One layer: a pure function from named inputs to a blob, done once per key and remembered in the layout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from modelpack.errors import EcomdeployError
from modelpack.image import compress, tar
from modelpack.image.binaries import elf
from modelpack.image.binaries.elf import LayerFacts, LoaderNeeds
from modelpack.image.oci.descriptor import LAYER, Descriptor, digest_of, encode, parse
from modelpack.image.oci.layout import Layout
from modelpack.image.parts import Deb, Wheel
from modelpack.image.tree import Entry


@dataclass(frozen=True)
class LayerPlan:
    """What a layer will hold. `inputs` are all that `entries()` depends on; equal inputs, equal bytes.

    `expected`: sha256 hex of files that were hashed for `inputs`, which must be the same when they are packed.
    `packages`: what must have been fetched before `entries()`.
    """

    role: str
    title: str
    inputs: tuple[str, ...]
    entries: Callable[[], Iterable[Entry]]
    expected: Mapping[str, str] = field(default_factory=dict)
    compressor: type[compress.Compressor] = compress.Gzip
    packages: tuple[Deb | Wheel, ...] = ()

    def key(self) -> str:
        """The layer's name before it exists: inputs, compressor with its version, and the code that makes it."""
        named = [recipe(), self.role, compress.identity(self.compressor), *self.inputs]
        return digest_of(json.dumps(named).encode()).removeprefix("sha256:")


@dataclass(frozen=True)
class Layer:
    """A layer that lies in the layout."""

    role: str
    title: str
    descriptor: Descriptor
    diff_id: str
    facts: LayerFacts
    reused: bool
    key: str = ""


@cache
def recipe() -> str:
    """sha256 over this room's own code: a changed recipe never finds layers of the old one."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def make(plan: LayerPlan, layout: Layout) -> Layer:
    """The layer of that key from the layout, or built now."""
    known = recall(plan, layout)
    if known is not None:
        return known
    layer = _build(plan, layout)
    remember(layer, layout)
    return layer


def remember(layer: Layer, layout: Layout) -> None:
    """Note in the layout what its key is the key of."""
    layout.replace(f"layers/{layer.key}.json", encode(_record(layer)))


def _build(plan: LayerPlan, layout: Layout) -> Layer:
    files: dict[str, Any] = {}
    binaries: list[Entry] = []
    links: dict[str, str] = {}
    whole, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    compressor = plan.compressor()
    with layout.writer() as pending:

        def out(data: bytes) -> None:
            nonlocal size
            packed.update(data)
            size += len(data)
            pending.write(data)

        def sink(data: bytes) -> None:
            whole.update(data)
            out(compressor.feed(data))

        def note(entry: Entry, piece: bytes) -> None:
            if entry.path not in files:
                files[entry.path] = hashlib.sha256()
                if piece.startswith(elf.MAGIC):
                    binaries.append(entry)
            files[entry.path].update(piece)

        entries = tuple(plan.entries())
        tar.write(entries, sink, note)
        out(compressor.end())
        for path, wanted in plan.expected.items():
            if path in files and files[path].hexdigest() != wanted:
                raise EcomdeployError(
                    f"{path} changed while it was packed", hint="run the same command again"
                )
        digest = f"sha256:{packed.hexdigest()}"
        pending.commit(digest)
    links = {entry.path: entry.target for entry in entries if entry.kind == "link"}
    empty = {entry.path: hashlib.sha256().hexdigest() for entry in entries if entry.kind == "file"}
    facts = LayerFacts(
        files=empty | {path: total.hexdigest() for path, total in files.items()},
        links=links,
        needs=_needs(binaries),
    )
    media_type = LAYER + plan.compressor.suffix
    return Layer(
        plan.role,
        plan.title,
        Descriptor(media_type, digest, size),
        f"sha256:{whole.hexdigest()}",
        facts,
        False,
        plan.key(),
    )


def _needs(binaries: Iterable[Entry]) -> dict[str, LoaderNeeds]:
    found: dict[str, LoaderNeeds] = {}
    for entry in binaries:
        with entry.open() as file:
            asked = elf.needs(file)
        if asked is not None:
            found[entry.path] = asked
    return found


def _record(layer: Layer) -> dict[str, Any]:
    return {
        "descriptor": layer.descriptor.data(),
        "diff_id": layer.diff_id,
        "files": dict(layer.facts.files),
        "links": dict(layer.facts.links),
        "needs": {path: asdict(need) for path, need in layer.facts.needs.items()},
    }


def recall(plan: LayerPlan, layout: Layout) -> Layer | None:
    """The layer of that key; None where it was never made here. A record whose blob is gone or cut short, or that
    cannot be read, is no record."""
    key = plan.key()
    try:
        data = json.loads((layout.root / "layers" / f"{key}.json").read_bytes())
        descriptor = parse(data["descriptor"])
        needs = {
            path: LoaderNeeds(tuple(need["libraries"]), tuple(need["search"]))
            for path, need in data["needs"].items()
        }
        facts = LayerFacts(data["files"], data["links"], needs)
        diff_id = str(data["diff_id"])
    except (OSError, ValueError, KeyError, TypeError, EcomdeployError):
        return None
    if not layout.has(descriptor.digest, descriptor.size):
        return None
    return Layer(plan.role, plan.title, descriptor, diff_id, facts, True, key)
