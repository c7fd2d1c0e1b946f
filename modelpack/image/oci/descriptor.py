"""Media types and descriptors of the OCI image specification 1.1 (github.com/opencontainers/image-spec)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelpack.errors import EcomdeployError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
EMPTY_BYTES = b"{}"

LARGEST = 2**50
"""Bytes that a descriptor may claim."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Descriptor:
    """A pointer to a blob: its digest, its size in bytes, what it is."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""

    def data(self) -> dict[str, Any]:
        """The descriptor as JSON data."""
        plain: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            plain["artifactType"] = self.artifact_type
        if self.annotations:
            plain["annotations"] = dict(sorted(self.annotations.items()))
        return plain


def decode(data: bytes) -> dict[str, Any]:
    """The JSON object of a manifest, an index or a config. Raises EcomdeployError for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise EcomdeployError(f"no document of an image: {problem}") from problem
    if not isinstance(found, dict):
        raise EcomdeployError("no document of an image: it is no JSON object")
    return found


def parse(data: Mapping[str, Any]) -> Descriptor:
    """A descriptor from JSON data. Raises EcomdeployError when it is not one."""
    try:
        size = data["size"]
        if type(size) is not int or not 0 <= size < LARGEST:
            raise ValueError("size is no number of bytes")
        return Descriptor(
            str(data["mediaType"]),
            check_digest(str(data["digest"])),
            size,
            dict(data.get("annotations") or {}),
            str(data.get("artifactType", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise EcomdeployError(f"not an OCI descriptor: {str(data)[:120]} ({problem!r})") from None


def check_digest(digest: str) -> str:
    """`digest` itself. Raises EcomdeployError unless it is `sha256:` and 64 hex digits."""
    if not DIGEST.fullmatch(digest):
        raise EcomdeployError(f"{digest[:100]!r} is not a sha256 digest")
    return digest


def digest_of(data: bytes) -> str:
    """`sha256:<hex>` of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encode(document: Mapping[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8; equal documents have equal bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def layers_of(manifest: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    """The layer descriptors of an image manifest. Raises EcomdeployError when they are none."""
    listed = manifest.get("layers", [])
    if not isinstance(listed, list):
        raise EcomdeployError("no manifest of an image: its layers are no list")
    return tuple(map(parse, listed))


def layers_and_diff_ids(
    manifest: Mapping[str, Any], read: Callable[[str], bytes]
) -> tuple[tuple[Descriptor, str], ...]:
    """Each layer with the digest of its tar, from the config that `read` gives by digest.

    Raises EcomdeployError when manifest and config are not of one image.
    """
    try:
        config = decode(read(check_digest(str(manifest["config"]["digest"]))))
        diff_ids = [str(digest) for digest in config["rootfs"]["diff_ids"]]
        return tuple(zip(layers_of(manifest), diff_ids, strict=True))
    except (KeyError, TypeError, ValueError) as problem:
        raise EcomdeployError(f"manifest and config do not make an image: {problem!r}") from None


def blobs_of(manifest: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    """Config and layers, each digest once. Raises EcomdeployError for what is no image's manifest."""
    every = (parse(manifest.get("config", {})), *layers_of(manifest))
    return tuple({blob.digest: blob for blob in every}.values())
