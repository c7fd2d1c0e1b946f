"""Layers of packages by the digests that a lock pins: one that a registry has is not built again.

A pin is believed for the key of today's plan only, which covers all that the layer is made of and the code that makes
it (`LayerPlan.key`); its bytes are compared with it as they are read. What a layer holds is read from the layer itself.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from modelpack.image import tree
from modelpack.image.base_image import list_facts
from modelpack.image.layer import Layer, LayerPlan, remember
from modelpack.image.oci.blob import tar_stream
from modelpack.image.oci.descriptor import LAYER, Descriptor, check_digest, parse
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.tar_entry import TarEntry
from modelpack.image.parts import BuiltLayer
from modelpack.image.tree import Entry

INTERPRETER = re.compile(r"bin|lib|lib64|usr/bin/python3[^/]*|usr/lib(64)?/.*")
"""What Debian's interpreter needs to compile a file, and the links that lead there."""


@dataclass(frozen=True)
class LayerPin:
    """A layer as a lock names it; `size` in bytes."""

    digest: str
    diff_id: str
    size: int

    def as_data(self) -> dict[str, Any]:
        """As the lock writes it."""
        return {"digest": self.digest, "diff_id": self.diff_id, "size": self.size}


def read_pin(data: Any) -> LayerPin:
    """The inverse of `LayerPin.as_data`. Raises EcomdeployError for anything else."""
    described = parse({**data, "mediaType": LAYER} if isinstance(data, dict) else {})
    return LayerPin(described.digest, check_digest(str(data.get("diff_id"))), described.size)


def pin_layers(layers: Iterable[BuiltLayer], role: str) -> dict[str, dict[str, Any]]:
    """By key, those of a built image that its packages were made into."""
    return {
        one.key: LayerPin(one.digest, one.diff_id, one.size).as_data()
        for one in layers
        if one.role == role and one.key
    }


def take_layer(plan: LayerPlan, pin: LayerPin, layout: Layout) -> None:
    """Know the layer of that plan by its blob, which lies in the layout. Raises EcomdeployError for other bytes than
    those pinned."""
    pointer = Descriptor(LAYER + plan.compressor.suffix, pin.digest, pin.size)
    facts = list_facts(layout, pointer, pin.diff_id, set(), {})
    remember(Layer(plan.role, plan.title, pointer, pin.diff_id, facts, True, plan.key()), layout)


def read_interpreter(layer: Layer, layout: Layout) -> Iterator[Entry]:
    """The interpreter out of a base's layer. Raises EcomdeployError where its bytes are others."""
    with (
        tar_stream(layout, layer.descriptor, layer.diff_id) as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=TarEntry) as tar,
    ):
        for member in tar:
            if not INTERPRETER.fullmatch(member.name):
                continue
            if member.issym():
                yield tree.link(member.name, member.linkname)
            elif member.isreg() and (content := tar.extractfile(member)) is not None:
                yield tree.of_bytes(member.name, content.read(), bool(member.mode & 0o111))
