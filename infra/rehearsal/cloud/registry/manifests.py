"""Reading a manifest far enough to store it: what it lists and refers to.

Sources: OCI image spec 1.1, Docker image manifest version 2 schema 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modelpack.image.oci.descriptor import DIGEST, LARGEST

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
KNOWN = frozenset({INDEX, IMAGE, DOCKER_IMAGE, DOCKER_INDEX})
LIMIT = 4 * 1024 * 1024


class Unreadable(Exception):
    """Not a manifest; the text says why."""


@dataclass(frozen=True)
class Listed:
    """What a manifest says. `blobs` and `manifests` must be in the repository before it (digests)."""

    blobs: tuple[str, ...]
    manifests: tuple[str, ...]
    listed_size: int
    subject: str
    artifact_type: str
    annotations: dict[str, str]


def read(data: bytes, media_type: str) -> Listed:
    """Raises `Unreadable`."""
    if len(data) > LIMIT:
        raise Unreadable(f"a manifest may have at most {LIMIT} bytes")
    if media_type not in KNOWN:
        raise Unreadable(f"unsupported Content-Type {media_type!r}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise Unreadable(f"not JSON: {problem}") from None
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        raise Unreadable("schemaVersion must be 2")
    if document.get("mediaType", media_type) != media_type:
        raise Unreadable(f"mediaType {document['mediaType']!r} differs from Content-Type {media_type!r}")
    try:
        return _list(document, media_type)
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise Unreadable(f"a descriptor is incomplete: {problem!r}") from None


def _list(document: dict[str, Any], media_type: str) -> Listed:
    if media_type in (INDEX, DOCKER_INDEX):
        descriptors, blobs = document["manifests"], []
        manifests = [_digest(item) for item in descriptors]
        config_type = ""
    else:
        descriptors = [document["config"], *document["layers"]]
        # layers with urls may be fetched elsewhere and need not be here (image spec, "non-distributable")
        blobs = [_digest(item) for item in descriptors if not item.get("urls")]
        manifests = []
        config_type = document["config"]["mediaType"]
    subject = document.get("subject")
    return Listed(
        blobs=tuple(blobs),
        manifests=tuple(manifests),
        listed_size=sum(_size(item) for item in descriptors),
        subject=_digest(subject) if subject else "",
        # distribution spec 1.1, "listing referrers": artifactType, else the configuration's media type
        artifact_type=str(document.get("artifactType") or config_type),
        annotations={str(name): str(value) for name, value in (document.get("annotations") or {}).items()},
    )


def _size(descriptor: dict[str, Any]) -> int:
    size = descriptor["size"]
    if type(size) is not int or not 0 <= size < LARGEST:
        raise ValueError("size is no number of bytes")
    return size


def _digest(descriptor: dict[str, Any]) -> str:
    digest = str(descriptor["digest"])
    if not DIGEST.fullmatch(digest):
        raise KeyError(f"digest {digest!r}")
    return digest
