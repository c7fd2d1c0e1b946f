"""A bucket is emptied of all that it holds: over pages, in batches, and what S3 keeps is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.bucket_contents import MOST, empty_bucket


class Bucket:
    """S3's client of one bucket, with as many of versions and of markers on a page as it likes: AWS gives a thousand
    of both together. `held`: codes by key, one a call."""

    def __init__(
        self, versions: int, markers: int, page: int, held: Mapping[str, list[str]] | None = None
    ) -> None:
        self.there = [
            *({"Key": f"a/{number}", "VersionId": "1"} for number in range(versions)),
            *({"Key": f"b/{number}", "VersionId": "2"} for number in range(markers)),
        ]
        self.page, self.held, self.calls = page, dict(held or {}), list[int]()
        self.paused: list[float] = []

    def list_object_versions(self, Bucket: str) -> dict[str, Any]:
        versions, markers = (
            [each for each in self.there if each["VersionId"] == kind][: self.page] for kind in "12"
        )
        return {name: each for name, each in (("Versions", versions), ("DeleteMarkers", markers)) if each}

    def delete_objects(self, Bucket: str, Delete: Mapping[str, Any]) -> dict[str, Any]:
        objects = Delete["Objects"]
        assert 1 <= len(objects) <= MOST, "MalformedXML"
        self.calls.append(len(objects))
        errors = [
            {**each, "Code": self.held[each["Key"]].pop(0), "Message": "no"}
            for each in objects
            if self.held.get(each["Key"])
        ]
        kept = {each["Key"] for each in errors}
        gone = {each["Key"] for each in objects} - kept
        self.there = [each for each in self.there if each["Key"] not in gone]
        return {"Errors": errors} if errors else {}

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)


@pytest.mark.parametrize(
    ("versions", "markers", "page", "calls"),
    [
        (0, 0, 1000, []),
        (1, 0, 1000, [1]),
        (1085, 20, 1000, [1000, 20, 85]),
        (1000, 1000, 1000, [1000, 1000]),
        (1001, 0, 5000, [1000, 1]),
        (0, 1105, 500, [500, 500, 105]),
    ],
)
def test_all_pages_go_in_batches_that_s3_takes(
    versions: int, markers: int, page: int, calls: list[int]
) -> None:
    s3 = Bucket(versions, markers, page)
    empty_bucket(s3, "records", s3.pause)
    assert (s3.calls, s3.paused) == (calls, [])


def test_what_s3_keeps_is_told_and_the_rest_goes() -> None:
    s3 = Bucket(1105, 0, 1000, {"a/7": ["AccessDenied"], "a/1007": ["AccessDenied"]})
    with pytest.raises(ClientError, match=r"AccessDenied.*no \(a/7 of bucket records, and 1 more\)"):
        empty_bucket(s3, "records", s3.pause)
    assert (s3.calls, len(s3.there)) == ([1000, 105], 2)


def test_what_passes_is_asked_for_again_and_not_for_ever() -> None:
    s3 = Bucket(3, 0, 1000, {"a/1": ["SlowDown", "InternalError"]})
    empty_bucket(s3, "records", s3.pause)
    assert (s3.calls, len(s3.paused)) == ([3, 1, 1], 2)
    s3 = Bucket(3, 0, 1000, {"a/1": ["SlowDown"] * 9})
    with pytest.raises(ClientError, match="SlowDown"):
        empty_bucket(s3, "records", s3.pause)


@pytest.fixture
def emulated() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.mark.usefixtures("emulated")
def test_versions_and_markers_of_an_emulated_bucket_all_go() -> None:
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    s3.create_bucket(Bucket="records")
    s3.put_bucket_versioning(Bucket="records", VersioningConfiguration={"Status": "Enabled"})
    for number in range(1105):
        s3.put_object(Bucket="records", Key=f"other/{number}", Body=b"x")
    for number in range(20):
        s3.put_object(Bucket="records", Key="other/1", Body=b"y")
        s3.delete_object(Bucket="records", Key=f"other/{number}")
    empty_bucket(s3, "records")
    s3.delete_bucket(Bucket="records")
