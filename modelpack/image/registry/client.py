"""Our OCI distribution client (github.com/opencontainers/distribution-spec 1.1): what a push has, it does not send.

Checked against docker-registry 2.8 and the local cloud's; Amazon ECR's ways are from its documentation
(docs.aws.amazon.com/AmazonECR/latest/userguide): 201 where others say 202, no resumable chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from modelpack.errors import EcomdeployError
from modelpack.image.oci.descriptor import (
    INDEX,
    MANIFEST_TYPES,
    Descriptor,
    check_digest,
    decode,
    digest_of,
    encode,
    parse,
)
from modelpack.image.registry.http import Again, Connection

ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


class RegistryClient:
    """One repository of one registry, e.g. RegistryClient("http://127.0.0.1:5001", "shop-recs")."""

    def __init__(
        self,
        url: str,
        repository: str,
        credentials: tuple[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.connection = Connection(url, credentials, sleep)
        self.repository = repository

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def path(self, rest: str) -> str:
        """The path of something in this repository, below the registry's root."""
        return f"/v2/{self.repository}/{rest}"

    def exists(self) -> bool:
        """Whether the registry answers and has the repository. Raises CloudRefused for bad credentials."""
        try:
            answer = self.connection.once("GET", self.path("tags/list"), (200, 404))
        except Again:
            return False
        return answer.status_code == 200

    def has_manifest(self, reference: str) -> str:
        """The digest of the manifest under a tag or digest, "" when there is none."""
        answer = self.connection.send("HEAD", self.path(f"manifests/{reference}"), (200, 404), headers=ACCEPT)
        if answer.status_code == 404:
            return ""
        return str(answer.headers.get("docker-content-digest", reference))

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has the blob."""
        answer = self.connection.send("HEAD", self.path(f"blobs/{check_digest(digest)}"), (200, 404))
        return answer.status_code == 200

    def manifest(self, reference: str) -> dict[str, Any]:
        """A manifest by tag or digest; checked when by digest. Raises EcomdeployError when there is none."""
        return decode(self.manifest_bytes(reference))

    def manifest_bytes(self, reference: str) -> bytes:
        """A manifest's own bytes."""
        answer = self.connection.send("GET", self.path(f"manifests/{reference}"), (200, 404), headers=ACCEPT)
        if answer.status_code == 404:
            raise EcomdeployError(f"{self.repository} has no manifest {reference}", where=self.connection.url)
        return self._compare(answer.content, reference)

    def blob(self, digest: str) -> bytes:
        """A small blob, checked."""
        answer = self.connection.send("GET", self.path(f"blobs/{check_digest(digest)}"), (200, 404))
        if answer.status_code == 404:
            raise EcomdeployError(f"{self.repository} has no blob {digest}", where=self.connection.url)
        return self._compare(answer.content, digest)

    def referrers(self, digest: str, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """Artifacts whose subject is that manifest: by the referrers API, else by its fallback tag."""
        answer = self.connection.send("GET", self.path(f"referrers/{check_digest(digest)}"), (200, 404))
        index = answer.json() if answer.status_code == 200 else self._fallback(digest)
        listed = tuple(parse(entry) for entry in index.get("manifests", ()))
        return tuple(entry for entry in listed if artifact_type in (None, entry.artifact_type))

    def put_manifest(self, reference: str, data: bytes, media_type: str) -> bool:
        """Store a manifest; returns whether the registry took note of its subject by itself (OCI 1.1)."""
        headers = {"Content-Type": media_type}
        path = self.path(f"manifests/{reference}")
        answer = self.connection.send("PUT", path, (200, 201, 202), content=data, headers=headers)
        return "oci-subject" in answer.headers

    def note_referrer(self, subject: str, referrer: Descriptor) -> int:
        """Keep the fallback tag of a registry without the referrers API; returns the bytes sent."""
        index = self._fallback(subject)
        others = [entry for entry in index.get("manifests", ()) if entry.get("digest") != referrer.digest]
        listed = sorted([*others, referrer.data()], key=lambda entry: str(entry["digest"]))
        data = encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})
        self.put_manifest(fallback_tag(subject), data, INDEX)
        return len(data)

    def _fallback(self, digest: str) -> dict[str, Any]:
        path = self.path(f"manifests/{fallback_tag(digest)}")
        answer = self.connection.send("GET", path, (200, 404), headers=ACCEPT)
        data: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return data

    def _compare(self, data: bytes, reference: str) -> bytes:
        if reference.startswith("sha256:") and digest_of(data) != reference:
            raise EcomdeployError(
                f"the registry sent other bytes for {reference} ({digest_of(data)})",
                where=self.connection.url,
            )
        return data


def fallback_tag(digest: str) -> str:
    """The tag that lists an image's referrers (distribution-spec, "Unavailable Referrers API")."""
    return check_digest(digest).replace(":", "-")
