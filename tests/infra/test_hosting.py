"""How SageMaker hosts a release: each option in its place, in the names, and in the role's rights; none by default."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import declared
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iam_policies import Request, is_allowed

from infra.components.hosting_rights import RoleAccount, rights_policy
from infra.hosting import CaptureSpec, HostingOptions, ServingNetwork
from infra.spec import ServeSpec
from infra.targets.base import Declared
from infra.targets.sagemaker.hosts import has_own_storage
from infra.targets.sagemaker.names import CONFIGURATIONS_OWN, MODELS_OWN, configuration_name, model_name
from stacks.records.release import ServingConfiguration, key_of

ROLE = "arn:aws:iam::123456789012:role/shop-local-serving"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
OWN_KEY = "arn:aws:kms:us-east-1:123456789012:key/own"
BASE = {"role_arn": ROLE, "bucket": "shop-local-123456789012", "key_arn": OWN_KEY}
NETWORK = ServingNetwork(subnets=("subnet-0a1b2c3d", "subnet-1a1b2c3d"), security_groups=("sg-0a1b2c3d",))
ALL = HostingOptions(
    network=NETWORK,
    isolated=True,
    volume_key=KEY,
    capture=CaptureSpec(percent=25, of=("answers",), key=KEY),
    startup_timeout=600,
    download_timeout=900,
)
NONE = HostingOptions()
WHERE = RoleAccount(
    region="us-east-1", account="123456789012", partition="aws", bucket=BASE["bucket"], key_arn=OWN_KEY
)


def release(hosting: HostingOptions = NONE) -> dict[str, Any]:
    given = hosting.as_data()
    return {
        "key": "a" * 12,
        "image": f"registry.test/shop-local@sha256:{'a' * 64}",
        "instance": "ml.c7i.xlarge",
        "count": 1,
        "environment": {"THREADS": "2"},
        "initial": True,
        **({"hosting": given} if given else {}),
    }


def service(hosting: HostingOptions = NONE) -> declared.Declaration:
    settings = {"service": "shop", "target": "sagemaker", "base": BASE, "releases": [release(hosting)]}
    return declared.program("service", settings)


def names(hosting: HostingOptions) -> tuple[str, str]:
    one = Declared(
        key="a" * 12,
        image=f"registry.test/shop-local@sha256:{'a' * 64}",
        instance="ml.c7i.xlarge",
        count=1,
        environment={"THREADS": "2"},
        hosting=hosting,
    )
    return model_name("shop-local", ROLE, one), configuration_name("shop-local", ROLE, one)


def key(hosting: HostingOptions) -> str:
    serving = ServingConfiguration(
        target="sagemaker", instance="ml.c7i.xlarge", environment={"THREADS": "2"}, hosting=hosting
    )
    return key_of(f"registry.test/shop-local@sha256:{'a' * 64}", serving)


def test_without_options_everything_is_what_it_was_before_there_were_any() -> None:
    """Names and key as the version before gave them: another would make everything anew that is deployed."""
    assert names(HostingOptions()) == ("shop-local-259a57af6f70", "shop-local-521d23361a01")
    assert key(HostingOptions()) == "e26956bd016d"
    made = service()
    assert set(made.one("Model").inputs) == {"name", "executionRoleArn", "primaryContainer", "tags"}
    configuration = made.one("EndpointConfiguration").inputs
    assert set(configuration) == {"name", "productionVariants", "tags"}
    assert set(configuration["productionVariants"][0]) == {
        *("variantName", "modelName", "instanceType", "initialInstanceCount", "initialVariantWeight"),
    }
    assert made.of("RolePolicy") == []
    assert HostingOptions.of(ServeSpec()) == HostingOptions()


def test_every_option_is_declared_in_its_place() -> None:
    made = service(ALL)
    model, configuration = made.one("Model").inputs, made.one("EndpointConfiguration").inputs
    assert model["enableNetworkIsolation"] is True
    assert model["vpcConfig"] == {
        "subnets": list(NETWORK.subnets),
        "securityGroupIds": list(NETWORK.security_groups),
    }
    (variant,) = configuration["productionVariants"]
    assert variant["containerStartupHealthCheckTimeoutInSeconds"] == 600
    assert variant["modelDataDownloadTimeoutInSeconds"] == 900
    assert configuration["kmsKeyArn"] == KEY
    capture = configuration["dataCaptureConfig"]
    assert capture["destinationS3Uri"] == "s3://shop-local-123456789012/captured"
    assert (capture["initialSamplingPercentage"], capture["kmsKeyId"]) == (25, KEY)
    assert capture["captureOptions"] == [{"captureMode": "Output"}]
    assert capture["enableCapture"] is True
    policy = made.one("RolePolicy").inputs
    assert policy["role"] == "shop-local-serving"
    assert json.loads(policy["policy"]) == json.loads(rights_policy([ALL], WHERE))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "network": st.sampled_from([None, NETWORK]),
    "isolated": st.booleans(),
    "volume_key": st.sampled_from([None, KEY]),
    "capture": st.sampled_from([None, CaptureSpec(percent=1), CaptureSpec(percent=2, key=KEY)]),
    "startup_timeout": st.sampled_from([None, 60, 3600]),
    "download_timeout": st.sampled_from([None, 60, 3600]),
}
OPTIONS = st.builds(HostingOptions, **VALUES)


@given(OPTIONS, OPTIONS)
def test_other_options_are_another_release_and_other_names(
    one: HostingOptions, other: HostingOptions
) -> None:
    """One name never stands for two: what cannot change in place is in it."""
    assert (one == other) == (key(one) == key(other))
    assert (one == other) == (names(one)[1] == names(other)[1])


def test_every_option_is_in_one_of_the_names() -> None:
    assert {one.name for one in fields(HostingOptions)} == MODELS_OWN | CONFIGURATIONS_OWN == set(VALUES)
    assert not MODELS_OWN & CONFIGURATIONS_OWN


EC2 = "arn:aws:ec2:us-east-1:123456789012:"
NEEDS = {
    "network": {
        Request("ec2:CreateNetworkInterface", f"{EC2}subnet/subnet-0a1b2c3d"),
        Request("ec2:CreateNetworkInterface", f"{EC2}security-group/sg-0a1b2c3d"),
        Request("ec2:CreateNetworkInterface", f"{EC2}network-interface/eni-1"),
        Request("ec2:CreateNetworkInterfacePermission", f"{EC2}network-interface/eni-1"),
        Request("ec2:DeleteNetworkInterface", f"{EC2}network-interface/eni-1"),
        Request("ec2:DescribeVpcs"),
        Request("ec2:DescribeSubnets"),
        Request("ec2:DescribeSecurityGroups"),
        Request("ec2:DescribeDhcpOptions"),
        Request("ec2:DescribeNetworkInterfaces"),
    },
    "capture": {
        Request("s3:PutObject", f"arn:aws:s3:::{BASE['bucket']}/captured/shop-local/AllTraffic/1.jsonl"),
        Request("kms:GenerateDataKey", KEY),
    },
    "volume_key": {Request("kms:CreateGrant", KEY, {"kms:GrantIsForAWSResource": "true"})},
}
NEVER = {
    Request("s3:PutObject", f"arn:aws:s3:::{BASE['bucket']}/releases/shop/1.json"),
    Request("s3:GetObject", f"arn:aws:s3:::{BASE['bucket']}/captured/shop-local/1.jsonl"),
    Request("s3:PutObject", "arn:aws:s3:::payroll/captured/1.jsonl"),
    Request("ec2:CreateNetworkInterface", f"{EC2}subnet/subnet-ffffffff"),
    Request("ec2:AuthorizeSecurityGroupIngress", f"{EC2}security-group/sg-0a1b2c3d"),
    Request("ec2:RunInstances"),
    Request("kms:CreateGrant", KEY),
    Request("kms:ScheduleKeyDeletion", KEY),
    Request("kms:GenerateDataKey", "arn:aws:kms:us-east-1:123456789012:key/other"),
}


@pytest.mark.parametrize("option", sorted(NEEDS))
def test_the_role_may_do_what_an_option_needs_and_nothing_else(option: str) -> None:
    alone = HostingOptions(**{option: getattr(ALL, option)})
    document = json.loads(rights_policy([alone], WHERE))
    mine = NEEDS[option]
    others = {one for name, requests in NEEDS.items() if name != option for one in requests}
    assert [one for one in mine if not is_allowed(one, document)] == []
    assert [one for one in NEVER | others if is_allowed(one, document)] == []


def test_captures_without_a_key_take_the_buckets() -> None:
    document = json.loads(rights_policy([HostingOptions(capture=CaptureSpec(percent=5))], WHERE))
    assert is_allowed(Request("kms:GenerateDataKey", OWN_KEY), document)


@pytest.mark.parametrize("options", [HostingOptions(), HostingOptions(isolated=True, startup_timeout=60)])
def test_what_needs_no_right_gets_none(options: HostingOptions) -> None:
    assert rights_policy([options], WHERE) == ""


@pytest.mark.parametrize(
    ("instance", "has"),
    [
        ("ml.g6.xlarge", True),
        ("ml.m5d.large", True),
        ("ml.r6gd.large", True),
        ("ml.m5.xlarge", False),
        ("ml.c7i.large", False),
    ],
)
def test_disks_of_its_own_are_told_by_the_family(instance: str, has: bool) -> None:
    assert has_own_storage(instance) is has
