"""The image as a pure function of its parts.

    base            Debian packages, or the layers of a base image
    wheels          each large one a layer, the small ones together
    app             the model server, a large package in several
    model           large files a layer each, the rest together
    files           what all of the above hold: lists, and files.json, which names them and the content digest
 -> config, manifest, index

Layers that were built before from the same inputs are taken as they are. Nothing here depends on paths, clock,
user, umask, or the number of cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

from modelpack.errors import EcomdeployError
from modelpack.image import base_image, file_manifest
from modelpack.image import layers as plans
from modelpack.image.binaries.elf import LayerFacts, merge, missing_libraries, resolve
from modelpack.image.config import CONTENT_DIGEST, config_descriptor, config_of, manifest_of
from modelpack.image.layer import Layer, LayerPlan, make
from modelpack.image.oci.descriptor import digest_of, encode
from modelpack.image.oci.layout import Layout
from modelpack.image.parts import BaseImage, Built, BuiltLayer, ImageParts
from modelpack.progress import Progress
from modelpack.server.file_manifest import content_digest as content_digest_of

MOST_THREADS = 4
MOST_NAMED = 8
REF_NAME = "org.opencontainers.image.ref.name"
INTERPRETERS = ("usr/bin/python3", "usr/local/bin/python3")


def assemble(parts: ImageParts, layout: Layout, progress: Progress) -> Built:
    """Build the image into the layout, or find it there.

    Raises EcomdeployError when a part is missing or not readable, or when a program of the image needs a shared
    library that the image does not have.
    """
    layout.sweep()
    lower = _lower(parts, layout, progress)
    with plans.compiler_of(parts, layout) or nullcontext() as compiler:
        wanted = plans.of(parts, compiler)
        with progress.track("Building layers", len(wanted), "layers") as advance:
            layers = [*lower, *_make_all(wanted, layout, advance)]
    facts = [layer.facts for layer in layers]
    _check_libraries(facts, parts)
    interpreter = _interpreter(facts)
    listed = file_manifest.listed_files(facts)
    content_digest = content_digest_of(listed)
    layers += [make(plan, layout) for plan in file_manifest.plans(listed, content_digest)]
    run = (f"/{interpreter}", "-m", parts.module)
    config = encode(config_of(layers, run, parts.command, parts.labels, parts.env))
    pointer = config_descriptor(layout.put(config), len(config))
    document = manifest_of(pointer, layers, {CONTENT_DIGEST: content_digest})
    # for tools that look images up by name: skopeo inspect oci:LAYOUT:pack-...
    name = f"pack-{digest_of(encode(document)).removeprefix('sha256:')[:12]}"
    described = layout.put_manifest(document, {REF_NAME: name})
    return Built(
        described.digest, content_digest, layout.size(described.digest), tuple(map(_describe, layers))
    )


def _lower(parts: ImageParts, layout: Layout, progress: Progress) -> list[Layer]:
    """The layers of a base image; none when the base is made of packages, which is a plan like the others."""
    if isinstance(parts.base, BaseImage):
        progress.note(f"base: {parts.base.reference}")
        return base_image.layers(parts.base, layout, progress)
    suites = ", ".join(sorted({deb.suite for deb in parts.base}))
    progress.note(f"base: {len(parts.base)} Debian packages ({suites})")
    return []


def _make_all(wanted: Sequence[LayerPlan], layout: Layout, advance: Callable[[float], None]) -> list[Layer]:
    def one(plan: LayerPlan) -> Layer:
        layer = make(plan, layout)
        advance(1)
        return layer

    # hashing and compressing release the interpreter lock
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(one, wanted))


def _check_libraries(facts: Sequence[LayerFacts], parts: ImageParts) -> None:
    folders = [folder for folder in parts.env.get("LD_LIBRARY_PATH", "").split(":") if folder]
    lacking = missing_libraries(facts, parts.libraries_from_host, folders, parts.opened)
    if lacking:
        named = ", ".join(lacking[:MOST_NAMED]) + (", ..." if len(lacking) > MOST_NAMED else "")
        hint = "add the Debian package that has it to the runtime's packages"
        raise EcomdeployError(f"the image lacks {len(lacking)} shared libraries: {named}", hint=hint)


def _interpreter(facts: Sequence[LayerFacts]) -> str:
    files, links, _ = merge(facts)
    for path in INTERPRETERS:
        if resolve(path, links) in files:
            return path
    raise EcomdeployError(
        "the base has no python3", hint="name python3 among the packages, or another base image"
    )


def _describe(layer: Layer) -> BuiltLayer:
    pointer = layer.descriptor
    return BuiltLayer(layer.role, pointer.digest, layer.diff_id, pointer.size, layer.reused, layer.key)
