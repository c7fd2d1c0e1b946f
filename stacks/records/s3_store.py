"""The store in the cloud: S3 objects with conditional writes.

Source: S3 user guide, "How to prevent object overwrites with conditional writes" (If-None-Match, If-Match)
and "conditional deletes". A lost race answers 412; two writes at the same instant answer 409, which is a
lost race too.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from infra.aws_session import error_code, meaning, refusals
from modelpack.errors import CloudRefused

LOST = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
ABSENT = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchBucket"})
"""Where there is no bucket there is no record either: whoever only reads makes none."""


class S3Store:
    """`client` makes the boto3 S3 client when it is first needed; `prefix` ends in "/" or is empty."""

    def __init__(self, client: Callable[[], Any], bucket: str, prefix: str = "") -> None:
        self.make, self.bucket, self.prefix = client, bucket, prefix
        self.made: Any = None

    @property
    def client(self) -> Any:
        self.made = self.made or self.make()
        return self.made

    def read(self, name: str) -> bytes | None:
        found = self.fetch(name)
        return found[0] if found else None

    def age(self, name: str) -> float | None:
        """By S3's clock on both sides, so that ours need not be right."""
        answer = self.call(ABSENT, "head_object", Key=self.prefix + name)
        if answer is None:
            return None
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return max(0.0, float((now - answer["LastModified"]).total_seconds()))

    def write(self, name: str, data: bytes, *, was: bytes | None) -> bool:
        if was is None:
            condition = {"IfNoneMatch": "*"}
        else:
            found = self.fetch(name)
            if found is None or found[0] != was:
                return False
            condition = {"IfMatch": found[1]}
        lost = LOST | ABSENT - {"NoSuchBucket"}
        return self.call(lost, "put_object", Key=self.prefix + name, Body=data, **condition) is not None

    def remove(self, name: str, *, was: bytes) -> bool:
        found = self.fetch(name)
        if found is None or found[0] != was:
            return False
        return self.call(LOST | ABSENT, "delete_object", Key=self.prefix + name, IfMatch=found[1]) is not None

    def names(self, folder: str) -> tuple[str, ...]:
        found: list[str] = []
        where: dict[str, Any] = {"Prefix": self.prefix + folder, "Delimiter": "/"}
        while (answer := self.call(ABSENT, "list_objects_v2", **where)) is not None:
            found += [each["Key"].removeprefix(where["Prefix"]) for each in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                break
            where["ContinuationToken"] = answer["NextContinuationToken"]
        return tuple(found)

    def place(self, name: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{name}"

    def fetch(self, name: str) -> tuple[bytes, str] | None:
        answer = self.call(ABSENT, "get_object", Key=self.prefix + name)
        return (answer["Body"].read(), answer["ETag"]) if answer is not None else None

    def call(self, expected: frozenset[str], operation: str, **arguments: Any) -> Any:
        """One S3 call; None when it was refused with an expected code.

        Raises:
            CloudRefused: any other refusal, in S3's words.
            EcomdeployError: S3 cannot be reached.
        """
        from botocore.exceptions import ClientError

        with refusals(f"s3://{self.bucket}"):
            try:
                return getattr(self.client, operation)(Bucket=self.bucket, **arguments)
            except ClientError as error:
                if (code := error_code(error)) in expected:
                    return None
                hint = meaning(code, str(error)).hint or "ecomdeploy doctor"
                raise CloudRefused(f"s3://{self.bucket}: {error}", hint=hint) from None
