"""S3 over moto, which forgets a bucket's versions as soon as its versioning is suspended."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, HttpResponse, Overlay, emulates

SUSPENDED, ENABLED = "Suspended", "Enabled"


class S3(Overlay):
    """Where versioning is suspended, what has versions keeps them until each is deleted."""

    @emulates("DeleteObject DeleteObjects", "documented", "API_DeleteObjects")
    def delete(self, call: ApiCall) -> HttpResponse:
        """With its version's id a version or delete marker goes, also of a bucket whose versioning is suspended."""
        bucket = find_bucket(call.parameters["Bucket"])
        if bucket is None or bucket.versioning_status != SUSPENDED:
            return self.moto(call)
        bucket.versioning_status = ENABLED
        try:
            return self.moto(call)
        finally:
            bucket.versioning_status = SUSPENDED


def find_bucket(name: str) -> Any:
    """moto's, or None. Bucket names are one namespace for all regions."""
    from moto.s3.models import s3_backends

    if ACCOUNT not in s3_backends:
        return None
    return next((each.buckets[name] for each in s3_backends[ACCOUNT].values() if name in each.buckets), None)
