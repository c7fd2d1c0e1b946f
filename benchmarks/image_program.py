"""One image, built of a folder and pushed: what a process of ours does in `benchmarks/image.py`.

`python -m benchmarks.image_program CONTEXT PLACE HOST/NAME:TAG [--shipped]`; the context is one of
`benchmarks.image.write_context`, the place what is kept between two builds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from modelpack.image import layers as plans
from modelpack.image.assemble import assemble
from modelpack.image.oci.layout import Layout
from modelpack.image.parts import Deb, ImageParts, Wheel
from modelpack.image.pinned import pin_layers, read_pin, take_layer
from modelpack.image.registry.client import RegistryClient
from modelpack.image.registry.pull import pull
from modelpack.image.registry.push import Pushed, push
from modelpack.progress import Silent

PACKAGES = "packages.json"


def files_below(folder: Path) -> dict[str, Path]:
    return {one.relative_to(folder).as_posix(): one for one in sorted(folder.rglob("*")) if one.is_file()}


def parts_of(context: Path, place: Path) -> ImageParts:
    """The image's parts, as the context's folders hold them."""
    listed = json.loads((context / PACKAGES).read_text())
    downloads = place / "downloads"
    if not downloads.exists():
        downloads.mkdir(parents=True)
        for name in ("debs", "wheels"):
            (downloads / name).symlink_to(context / name)
    return ImageParts(
        tuple(Deb(**one) for one in listed["debs"]),
        tuple(Wheel(**one) for one in listed["wheels"]),
        files_below(context / "app"),
        files_below(context / "model"),
        downloads,
        left_out=tuple(listed["left_out"]),
    )


def build(parts: ImageParts, place: Path, reference: str, pinned: Path, shipped: bool = False) -> Pushed:
    """Build and push to a registry without TLS. `pinned`: what a project's lock says of the layers of packages;
    `shipped`: the registry has an image of that lock."""
    host, _, named = reference.partition("/")
    name, _, tag = named.partition(":")
    layout = Layout(place / "images")
    with RegistryClient(f"http://{host}", name) as registry:
        if shipped:
            take_layers(parts, layout, registry, tag, json.loads(pinned.read_text()))
        built = assemble(parts, layout, Silent())
        pinned.write_text(
            json.dumps({**pin_layers(built.layers, "base"), **pin_layers(built.layers, "wheels")})
        )
        return push(registry, layout, built.digest, tag, Silent())


def take_layers(
    parts: ImageParts, layout: Layout, registry: RegistryClient, tag: str, pinned: dict[str, Any]
) -> None:
    """As `modelpack.assembly.assemble.complete_lock` does on a machine with nothing but the lock."""
    every = plans.of_packages(parts, plans.compiler_of(parts, layout))
    known = [(plan, read_pin(pinned[key])) for plan in every if (key := plan.key()) in pinned]
    digests = {pin.digest for _, pin in known}
    pull(registry, layout, tag, Silent(), lambda layer: layer.digest in digests)
    for plan, pin in known:
        take_layer(plan, pin, layout)


if __name__ == "__main__":
    context, place = map(Path, sys.argv[1:3])
    build(parts_of(context, place), place, sys.argv[3], context / "pins.json", "--shipped" in sys.argv)
