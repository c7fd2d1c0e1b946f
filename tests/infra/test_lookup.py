"""The lookup where AWS does not say everything. The rows themselves: test_lookup_local_cloud.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws_session import AwsSession
from infra.lookup.aws import AwsLookup
from infra.lookup.base import RESOURCE, STACK, PendingCreate
from infra.tags import OWNER
from modelpack.errors import CloudRefused

MINE = {STACK: "ecomdeploy-base/shop-prod", RESOURCE: "key"}
KEY = PendingCreate("aws:kms/key:Key", "key", {"tags": MINE})


@dataclass
class FakeKms:
    """Keys with their state and tags; None: the policy does not let us see them."""

    keys: dict[str, tuple[str, dict[str, str] | None]] = field(default_factory=dict)
    refusal: str = ""

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_keys"
        return self

    def paginate(self) -> Iterator[dict[str, Any]]:
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal, "Message": "no"}}, "ListKeys")
        for key in self.keys:  # one a page
            yield {"Keys": [{"KeyId": key}]}

    def list_resource_tags(self, KeyId: str) -> dict[str, Any]:
        tags = self.keys[KeyId][1]
        if tags is None:
            raise ClientError(
                {"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListResourceTags"
            )
        return {"Tags": [{"TagKey": name, "TagValue": value} for name, value in tags.items()]}

    def describe_key(self, KeyId: str) -> dict[str, Any]:
        return {"KeyMetadata": {"KeyState": self.keys[KeyId][0]}}


class FakeSession(AwsSession):
    def __init__(self, kms: FakeKms) -> None:
        super().__init__({"AWS_REGION": "us-east-1"})
        self.kms = kms

    def client(self, service: str, *, attempts: int = 4, region: str | None = None) -> Any:
        assert service == "kms"
        return self.kms


def test_a_key_is_found_among_those_of_others_and_those_that_are_to_be_deleted() -> None:
    kms = FakeKms(
        {
            "hidden": ("Enabled", None),
            "theirs": ("Enabled", {**MINE, STACK: "another"}),
            "dying": ("PendingDeletion", MINE),
            "mine": ("Enabled", {**MINE, "more": "x"}),
        }
    )
    lookup = AwsLookup(FakeSession(kms))
    assert lookup.find(KEY) == "mine"
    del kms.keys["mine"]
    assert lookup.find(KEY) is None
    assert lookup.find(PendingCreate(KEY.type, "key", {})) is None, "without tags nothing proves whose it is"


def test_another_owners_key_is_not_ours_whatever_its_name() -> None:
    """Nor one of before, when things had no owner: a pending create was to carry its own."""
    mine = {**MINE, OWNER: "0123456789ab"}
    kms = FakeKms({"theirs": ("Enabled", {**MINE, OWNER: "ba9876543210"}), "older": ("Enabled", MINE)})
    wanted = PendingCreate(KEY.type, "key", {"tags": mine})
    assert AwsLookup(FakeSession(kms)).find(wanted) is None
    kms.keys["mine"] = ("Enabled", mine)
    assert AwsLookup(FakeSession(kms)).find(wanted) == "mine"
    assert AwsLookup(FakeSession(kms)).find(KEY) == "theirs", "an intent of before knows of no owner"


def test_what_the_cloud_does_not_say_is_no_absence() -> None:
    with pytest.raises(CloudRefused, match="looking for aws:kms/key:Key key"):
        AwsLookup(FakeSession(FakeKms(refusal="ExpiredTokenException"))).find(KEY)


def test_objects_of_a_cluster_are_applied_once_more_and_a_chart_is_not() -> None:
    lookup = AwsLookup(AwsSession({}))
    pool = PendingCreate("kubernetes:karpenter.sh/v1:NodePool", "pool", {"metadata": {"name": "g6"}})
    assert (lookup.knows(pool.type), lookup.find(pool)) == (True, None)
    assert not lookup.knows("kubernetes:helm.sh/v3:Release")
