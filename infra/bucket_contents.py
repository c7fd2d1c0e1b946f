"""What lies in a bucket taken out of it, by its sweeper and by our provider's `forceDestroy` alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

MOST = 1000
"""Objects that one DeleteObjects takes (docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html)."""
PASSING = frozenset({"InternalError", "ServiceUnavailable", "SlowDown"})
"""What S3 says of single objects in an answer that is no error itself, and that passes."""
PAUSES = (1.0, 4.0, 0.0)
"""Seconds before such are asked for again; after the last nobody asks."""


def empty_bucket(s3: Any, bucket: str, pause: Callable[[float], None] = time.sleep) -> None:
    """Delete every version of every object, and every delete marker. `s3`: botocore's client.

    Raises:
        ClientError: a call was refused, or some objects of it, as those that a lock holds.
        BotoCoreError: the cloud cannot be reached.
    """
    kept: dict[tuple[str, str], dict[str, str]] = {}
    while True:
        # the first page each time: an emulator forgets where a page ended that is gone
        page = s3.list_object_versions(Bucket=bucket)
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        listed = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        objects = [each for each in listed if (each["Key"], each["VersionId"]) not in kept]
        if not objects:
            break
        for first in range(0, len(objects), MOST):
            for each in delete_batch(s3, bucket, objects[first : first + MOST], pause):
                kept[each["Key"], each["VersionId"]] = each
    if kept:
        raise tell_kept(bucket, list(kept.values()))


def delete_batch(
    s3: Any, bucket: str, objects: Sequence[dict[str, str]], pause: Callable[[float], None]
) -> list[dict[str, str]]:
    """What S3 does not delete, each with its code and message."""
    kept: list[dict[str, str]] = []
    for seconds in PAUSES:
        said = s3.delete_objects(Bucket=bucket, Delete={"Objects": list(objects), "Quiet": True})
        errors = said.get("Errors", ())
        kept += [each for each in errors if each["Code"] not in PASSING]
        passing = [each for each in errors if each["Code"] in PASSING]
        if not passing:
            return kept
        objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in passing]
        pause(seconds)
    return [*kept, *passing]


def tell_kept(bucket: str, kept: Sequence[dict[str, str]]) -> Exception:
    """As the call's own refusal: its answer hides it among what was deleted."""
    from botocore.exceptions import ClientError

    first, more = kept[0], f", and {len(kept) - 1:,} more" if len(kept) > 1 else ""
    words = f"{first.get('Message', 'it is not deleted')} ({first['Key']} of bucket {bucket}{more})"
    said: Exception = ClientError({"Error": {"Code": first["Code"], "Message": words}}, "DeleteObjects")
    return said
