"""Pulling an image into a layout, every blob streamed to disk and checked before it gets its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from modelpack.errors import EcomdeployError
from modelpack.image.config import is_model
from modelpack.image.oci.descriptor import CONFIG, Descriptor, blobs_of, check_digest, decode, digest_of
from modelpack.image.oci.layout import Layout
from modelpack.image.registry.client import RegistryClient
from modelpack.image.registry.http import Again
from modelpack.progress import Progress

PARALLEL = 4
BLOCK = 1 << 20
PLATFORM = ("linux", "amd64")


def every_layer(layer: Descriptor) -> bool:
    """All of an image."""
    return True


def pull(
    registry: RegistryClient,
    layout: Layout,
    reference: str,
    progress: Progress,
    wanted: Callable[[Descriptor], bool] = every_layer,
) -> str:
    """Bring an image for linux/amd64 into the layout, verified; returns its manifest's digest. Of its layers only those
    `wanted`."""
    data = registry.manifest_bytes(reference)
    document = decode(data)
    if "manifests" in document:
        data = registry.manifest_bytes(_for_platform(document, reference))
        document = decode(data)
    lacking = [
        blob
        for blob in blobs_of(document)
        if not layout.has(blob.digest, blob.size) and (blob.media_type == CONFIG or wanted(blob))
    ]
    total = sum(blob.size for blob in lacking)
    with (
        progress.track(f"Pulling {registry.repository}", total, "B") as advance,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):
        list(pool.map(lambda blob: _fetch(registry, layout, blob, advance), lacking))
    # kept byte for byte: our own canonical form would have another digest
    layout.put(data)
    return digest_of(data)


def pull_with_referrers(registry: RegistryClient, layout: Layout, digest: str, progress: Progress) -> None:
    """Bring one of our own images into the layout, listed there, with all that refers to it: it can be pushed on."""
    for one in (*(each.digest for each in registry.referrers(digest)), digest):
        pull(registry, layout, one, progress)
        if layout.put_manifest(layout.manifest(one)).digest != one:
            raise EcomdeployError(f"{one} was not written by ecomdeploy", where=registry.connection.url)


def pull_model(registry: RegistryClient, layout: Layout, digest: str, progress: Progress) -> None:
    """Bring the model of one of our own images into the layout, and all that refers to the image."""
    for one in registry.referrers(digest):
        pull(registry, layout, one.digest, progress)
        layout.put_manifest(layout.manifest(one.digest))
    pull(registry, layout, digest, progress, is_model)


def _for_platform(index: Mapping[str, Any], reference: str) -> str:
    try:
        for entry in index["manifests"]:
            platform = entry.get("platform") or {}
            if (platform.get("os"), platform.get("architecture")) == PLATFORM:
                return check_digest(str(entry["digest"]))
    except (AttributeError, KeyError, TypeError) as problem:
        raise EcomdeployError(f"{reference} is no index of images: {problem!r}") from problem
    raise EcomdeployError(f"{reference} has no image for {'/'.join(PLATFORM)}")


def _fetch(
    registry: RegistryClient, layout: Layout, blob: Descriptor, advance: Callable[[float], None]
) -> None:
    told = 0.0

    def once() -> None:
        nonlocal told
        total, done = hashlib.sha256(), 0
        path = registry.path(f"blobs/{blob.digest}")
        try:
            with registry.connection.http.stream("GET", path) as answer, layout.writer() as pending:
                registry.connection.judge(answer, (200,))
                for piece in answer.iter_raw(BLOCK):
                    total.update(piece)
                    pending.write(piece)
                    done += len(piece)
                    if done > blob.size:
                        raise Again(f"{blob.digest[:19]} arrived with more than its {blob.size:,} bytes")
                    advance(max(0.0, done - told))
                    told = max(told, done)
                if f"sha256:{total.hexdigest()}" != blob.digest:
                    raise Again(f"{blob.digest[:19]} arrived with other bytes")
                pending.commit(blob.digest)
        except httpx.TransportError as problem:
            raise Again(f"{type(problem).__name__} {problem}".strip()) from problem

    registry.connection.retry(once)
