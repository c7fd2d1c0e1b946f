"""What refers to an image: records and samples beside it, by OCI 1.1's `subject`."""

from __future__ import annotations

from modelpack.errors import EcomdeployError
from modelpack.image.oci.descriptor import EMPTY, EMPTY_BYTES, MANIFEST
from modelpack.image.oci.layout import Layout


def attach(layout: Layout, subject_digest: str, artifact_type: str, data: bytes) -> str:
    """Store `data` as an artifact that refers to the image (OCI 1.1 `subject`); returns its manifest's digest.

    The image's own digest does not change. Attaching the same bytes twice gives the same artifact.
    """
    blob = {"mediaType": artifact_type, "digest": layout.put(data), "size": len(data)}
    empty = {"mediaType": EMPTY, "digest": layout.put(EMPTY_BYTES), "size": len(EMPTY_BYTES)}
    size = layout.path(subject_digest).stat().st_size if layout.has(subject_digest) else None
    if size is None:
        raise EcomdeployError(f"cannot attach to {subject_digest}: it is not in {layout.root}")
    return layout.put_manifest(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": empty,
            "layers": [blob],
            "subject": {"mediaType": MANIFEST, "digest": subject_digest, "size": size},
        }
    ).digest


def attachments(layout: Layout, subject_digest: str, artifact_type: str) -> tuple[bytes, ...]:
    """The bytes of every artifact of that type that refers to the image."""
    return tuple(
        layout.read(layout.manifest(found.digest)["layers"][0]["digest"])
        for found in layout.referrers(subject_digest, artifact_type)
    )
