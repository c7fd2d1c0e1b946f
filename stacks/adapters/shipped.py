"""Packs that were shipped before, by the ledger, with their images in the registry: what a machine with an empty home
needs not build again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelpack.errors import EcomdeployError
from modelpack.progress import Progress
from stacks.adapters.images import RegistryImages
from stacks.records.ledger import RETAINED, Ledger
from stacks.records.release import Packed, Release

if TYPE_CHECKING:
    from modelpack.image.oci.descriptor import Descriptor
    from modelpack.image.oci.layout import Layout


def is_among(digests: Collection[str]) -> Callable[[Descriptor], bool]:
    """Whether a layer is one of these."""
    return lambda layer: layer.digest in digests


@dataclass(frozen=True)
class ShippedPacks:
    """Of the service's releases the live one and those that stay provisioned beside it."""

    ledger: Ledger
    images: RegistryImages

    def find(self, input_digest: str) -> Packed | None:
        """The pack made of exactly these inputs whose image the registry has, which is not asked where the ledger knows
        none, and whose refusal leaves the pack unknown."""
        for each in self.releases():
            if each.pack.input_digest == input_digest:
                with suppress(EcomdeployError):
                    if self.holds(each):
                        return each.pack
        return None

    def bring(self, inputs: str, layout: Layout, progress: Progress) -> str | None:
        """`modelpack.assembly.served.ShippedImages`. What the registry refuses or lacks is told, and then made anew."""
        from modelpack.image.registry.pull import pull_model

        for each in self.releases():
            repository, _, digest = each.image.partition("@")
            try:
                if self.holds(each) and self.read_inputs(repository, digest) == inputs:
                    progress.step(f"Taking the model from {repository}")
                    pull_model(self.images.registry(repository), layout, digest, progress)
                    return digest
            except EcomdeployError as problem:
                progress.note(f"{each.image} cannot be read ({problem}); the model is made anew")
                return None
        return None

    def bring_layers(self, digests: Collection[str], layout: Layout, progress: Progress) -> None:
        """`modelpack.assembly.served.ShippedImages`. What the registry refuses or lacks is told."""
        from modelpack.image.registry.pull import pull

        for each in self.releases():
            lacking = {digest for digest in digests if not layout.has(digest)}
            if not lacking:
                return
            repository, _, digest = each.image.partition("@")
            try:
                if self.holds(each):
                    progress.step(f"Taking layers of packages from {repository}")
                    registry = self.images.registry(repository)
                    pull(registry, layout, digest, progress, is_among(lacking))
            except EcomdeployError as problem:
                progress.note(f"{each.image} cannot be read ({problem})")

    def releases(self) -> Iterator[Release]:
        """Newest first, each image once."""
        live, seen = self.ledger.live(), set[str]()
        for each in (*([live] if live else []), *self.ledger.list_retained(RETAINED)):
            if each.image not in seen:
                seen.add(each.image)
                yield each

    def holds(self, release: Release) -> bool:
        repository, _, digest = release.image.partition("@")
        return self.images.is_reachable(repository) and self.images.holds(repository, digest)

    def read_inputs(self, repository: str, digest: str) -> str:
        """What the model of an image was made of, by the record attached to it; "" where that does not say."""
        from modelpack.image.oci.descriptor import decode, layers_of
        from modelpack.pack import RECORD

        registry = self.images.registry(repository)
        for one in registry.referrers(digest, RECORD):
            for content in layers_of(registry.manifest(one.digest)):
                provenance = decode(registry.blob(content.digest)).get("provenance")
                if isinstance(provenance, dict):
                    return str(provenance.get("inputs", ""))
        return ""
