"""S3's versions, where moto is not as AWS is."""

from __future__ import annotations

from typing import Any

from infra.bucket_contents import empty_bucket


def test_a_bucket_with_suspended_versioning_is_emptied_version_by_version(aws: Any) -> None:
    """As when the stack's own setting was deleted first, which suspends it."""
    s3 = aws("s3")
    s3.create_bucket(Bucket="records")
    versioning = {"Bucket": "records", "VersioningConfiguration": {"Status": "Enabled"}}
    s3.put_bucket_versioning(**versioning)
    for key in ("a", "b"):
        for body in (b"1", b"2"):
            s3.put_object(Bucket="records", Key=key, Body=body)
    s3.delete_object(Bucket="records", Key="a")
    s3.put_bucket_versioning(**{**versioning, "VersioningConfiguration": {"Status": "Suspended"}})
    s3.delete_object(Bucket="records", Key="b")
    page = s3.list_object_versions(Bucket="records")
    assert (len(page["Versions"]), len(page["DeleteMarkers"])) == (4, 2), "what has versions keeps them"
    (one, *_) = page["Versions"]
    s3.delete_object(Bucket="records", Key=one["Key"], VersionId=one["VersionId"])
    assert len(s3.list_object_versions(Bucket="records")["Versions"]) == 3
    empty_bucket(s3, "records")
    assert s3.get_bucket_versioning(Bucket="records")["Status"] == "Suspended"
    s3.delete_bucket(Bucket="records")
