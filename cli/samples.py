"""A pack's real sample requests: beside its image, here or in the registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import wiring
from modelpack.progress import Silent

if TYPE_CHECKING:
    from stacks.records.release import Release
    from stacks.spec import Spec

SAMPLES = "application/vnd.ecomdeploy.samples.v1+json"


def find_samples(spec: Spec, live: Release) -> Mapping[str, Any]:
    """The pack's real sample requests: from the local store, else from the registry it was pushed to."""
    from modelpack.image.oci.attachments import attachments
    from modelpack.image.oci.layout import Layout

    layout = Layout(wiring.home().images)
    if layout.has(live.pack.digest):
        found = attachments(layout, live.pack.digest, SAMPLES)
    else:
        repository = live.image.rpartition("@")[0]
        found = from_registry(
            wiring.wire(Path(), spec, Silent()).images.registry(repository), live.pack.digest
        )
    document: dict[str, Any] = json.loads(found[-1]) if found else {}
    return document


def from_registry(registry: Any, digest: str) -> tuple[bytes, ...]:
    """The samples attached to an image in its registry."""
    referrers = registry.referrers(digest, SAMPLES)
    return tuple(registry.blob(registry.manifest(one.digest)["layers"][0]["digest"]) for one in referrers)
