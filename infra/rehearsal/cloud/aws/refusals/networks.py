"""What EC2 refuses to delete while model servers have network interfaces in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.refusals.row import Found, RefusalExample, refusal_row
from infra.rehearsal.cloud.aws.refusals.sagemaker_finders import hosting
from infra.rehearsal.cloud.aws.refusals.sagemaker_requests import (
    GITHUB,
    NETWORK,
    OTHER_NETWORK,
    PLACED,
    configuration,
    endpoint,
    model,
)

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

SERVED = (
    *NETWORK,
    *OTHER_NETWORK,
    model("one", VpcConfig=PLACED),
    configuration("one", "one"),
    endpoint("shop", "one"),
)


def subnet_in_use(account: Surroundings, call: ApiCall) -> Found:
    name = call.parameters["SubnetId"]
    return {"subnet": name} if name in hosting(account).places_in_use(call.region) else None


def group_in_use(account: Surroundings, call: ApiCall) -> Found:
    name = call.parameters.get("GroupId", "")
    return {"group": name} if name in hosting(account).places_in_use(call.region) else None


ROWS = (
    refusal_row(
        "ec2",
        "DeleteSubnet",
        "model servers have network interfaces in it",
        "DependencyViolation",
        "The subnet '{subnet}' has dependencies and cannot be deleted.",
        f"{GITHUB}chef-boneyard/chef-provisioning-aws/issues/498",
        "recorded",
        RefusalExample(before=SERVED, refused={"SubnetId": "$subnet"}, passes={"SubnetId": "$other_subnet"}),
        subnet_in_use,
    ),
    refusal_row(
        "ec2",
        "DeleteSecurityGroup",
        "network interfaces of model servers have it",
        "DependencyViolation",
        "resource {group} has a dependent object",
        f"{GITHUB}hashicorp/terraform-provider-aws/issues/32745",
        "recorded",
        RefusalExample(before=SERVED, refused={"GroupId": "$group"}, passes={"GroupId": "$other_group"}),
        group_in_use,
    ),
)
