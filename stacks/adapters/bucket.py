"""The base bucket: release records go there, and it is emptied before its stack is destroyed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modelpack.errors import CloudRefused

ABSENT = frozenset({"404", "NoSuchBucket", "NoSuchKey", "RepositoryNotFoundException", "403"})


class S3Publisher:
    """Copies records into the bucket. What S3 says it has decides, so a lost object comes back by itself."""

    def __init__(self, client: Callable[[], Any]) -> None:
        self.client = client

    def is_reachable(self, bucket: str) -> bool:
        return answer(self.client(), "head_bucket", Bucket=bucket) is not None

    def publish(self, bucket: str, records: Mapping[str, bytes]) -> int:
        """Compares by ETag where the object's checksum is its MD5 (SSE-S3), else by content."""
        client, written = self.client(), 0
        there = dict(list_objects(client, bucket, prefix_of(records)))
        for key, data in records.items():
            if is_same(client, bucket, key, there.get(key), data):
                continue
            answer(client, "put_object", Bucket=bucket, Key=key, Body=data, ContentType="application/json")
            written += 1
        return written


class CloudSweeper:
    """Empties a bucket (all versions) and a repository. `client(service)` makes boto3 clients."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def empty(self, bucket: str, repository: str) -> None:
        s3 = self.client("s3")
        if answer(s3, "head_bucket", Bucket=bucket) is not None:
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                gone = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
                if gone:
                    s3.delete_objects(Bucket=bucket, Delete={"Objects": gone, "Quiet": True})
        name = repository.partition("/")[2]
        if name:
            self.empty_repository(name)

    def empty_repository(self, name: str) -> None:
        ecr = self.client("ecr")
        while True:
            listing = answer(ecr, "list_images", repositoryName=name)
            images = listing["imageIds"] if listing else []
            if not images:
                return
            done = answer(ecr, "batch_delete_image", repositoryName=name, imageIds=images[:100])
            if not done or not done.get("imageIds"):
                return


def list_objects(client: Any, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", ()):
            yield each["Key"], each["ETag"].strip('"')


def prefix_of(records: Mapping[str, bytes]) -> str:
    """The folder that all the keys share."""
    return next(iter(records), "").rpartition("/")[0]


def is_same(client: Any, bucket: str, key: str, etag: str | None, data: bytes) -> bool:
    if etag is None:
        return False
    if etag == hashlib.md5(data, usedforsecurity=False).hexdigest():
        return True
    found = answer(client, "get_object", Bucket=bucket, Key=key)
    return found is not None and found["Body"].read() == data


def answer(client: Any, operation: str, **arguments: Any) -> Any:
    """One call; None when the thing is not there.

    Raises:
        CloudRefused: in the cloud's words.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(client, operation)(**arguments)
    except ClientError as error:
        if str(error.response["Error"].get("Code", "")) in ABSENT:
            return None
        raise CloudRefused(str(error), hint="ecomdeploy doctor") from None
    except BotoCoreError as error:
        raise CloudRefused(str(error), hint="ecomdeploy doctor") from None
