"""The base bucket: release records go there, and it is emptied before its stack is destroyed."""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from infra.aws_session import error_code, meaning
from infra.bucket_contents import empty_bucket
from modelpack.errors import CloudRefused

ABSENT = frozenset({"404", "NoSuchBucket", "NoSuchKey", "RepositoryNotFoundException"})
"""Being refused a look (403) is none of these: what is there is not known then."""


class S3Publisher:
    """Copies records into the bucket. What S3 says it has decides, so a lost object comes back by itself."""

    def __init__(self, client: Callable[[], Any]) -> None:
        self.client = client

    def is_reachable(self, bucket: str) -> bool:
        return answer(self.client(), "head_bucket", Bucket=bucket) is not None

    def publish(self, bucket: str, records: Mapping[str, bytes]) -> int:
        """Compares by ETag where the object's checksum is its MD5 (SSE-S3), else by content."""
        if not records:
            return 0
        client, written = self.client(), 0
        there = dict(list_objects(client, bucket, os.path.commonpath(list(records))))
        for key, data in records.items():
            if is_same(client, bucket, key, there.get(key), data):
                continue
            answer(client, "put_object", Bucket=bucket, Key=key, Body=data, ContentType="application/json")
            written += 1
        return written

    def names(self, bucket: str, folder: str) -> tuple[str, ...]:
        client = self.client()
        if answer(client, "head_bucket", Bucket=bucket) is None:
            return ()
        below = (key.removeprefix(folder) for key, _ in list_objects(client, bucket, folder))
        return tuple(name for name in below if "/" not in name)

    def read(self, bucket: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        client = self.client()
        found = {key: answer(client, "get_object", Bucket=bucket, Key=key) for key in keys}
        return {key: each["Body"].read() for key, each in found.items() if each is not None}


class CloudSweeper:
    """Empties a bucket (all versions) and a repository. `client(service)` makes boto3 clients."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.client = client

    def empty(self, bucket: str, repository: str) -> None:
        s3 = self.client("s3")
        if answer(s3, "head_bucket", Bucket=bucket) is not None:
            with tell_refusals():
                empty_bucket(s3, bucket)
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
            if not done:
                return
            if not done.get("imageIds"):
                raise CloudRefused(
                    f"repository {name} keeps its images: {tell_failures(done)}", hint="ecomdeploy doctor"
                )


def tell_failures(answer: Mapping[str, Any]) -> str:
    """Why ECR deletes none of them, in its words."""
    reasons = (
        each.get("failureReason") or each.get("failureCode", "") for each in answer.get("failures", ())
    )
    return "; ".join(dict.fromkeys(reasons)) or "it does not say why"


def list_objects(client: Any, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
    for page in turn_pages(client, "list_objects_v2", Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", ()):
            yield each["Key"], each["ETag"].strip('"')


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
    from botocore.exceptions import ClientError

    with tell_refusals():
        try:
            return getattr(client, operation)(**arguments)
        except ClientError as error:
            if str(error.response["Error"].get("Code", "")) in ABSENT:
                return None
            raise


def turn_pages(client: Any, operation: str, **arguments: Any) -> Iterator[Any]:
    """The pages of a listing.

    Raises:
        CloudRefused: in the cloud's words.
    """
    with tell_refusals():
        pages = iter(client.get_paginator(operation).paginate(**arguments))
    while True:
        with tell_refusals():
            page = next(pages, None)
        if page is None:
            return
        yield page


@contextmanager
def tell_refusals() -> Iterator[None]:
    """Raises:
    CloudRefused: for what boto3 raises.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        hint = meaning(error_code(error), str(error)).hint or "ecomdeploy doctor"
        raise CloudRefused(str(error), hint=hint) from None
    except (BotoCoreError, ResponseParserError) as error:
        raise CloudRefused(str(error).splitlines()[0], hint="ecomdeploy doctor") from None
