"""The provider's verbs beyond one row's life: guards, names, failures, what a kill leaves behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aws_samples_platform import PLATFORM
from aws_samples_serving import SERVICE
from aws_world import PROJECT, World, who

from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.engine.provider import UNKNOWN, KnownResource, PartialFailure, ProviderError, Values
from infra.rehearsal.providers.aws.clients import loopback
from infra.rehearsal.providers.aws.provider import AwsProvider, AwsProviders
from infra.rehearsal.providers.aws.table import TypeTable
from infra.tags import OWNER

ROLE = "aws:iam/role:Role"
VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
NODES = "aws:eks/nodeGroup:NodeGroup"
HERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


@pytest.fixture
def world(provider: AwsProvider) -> World:
    return World(provider, {**SERVICE, **PLATFORM})


@pytest.fixture
def unconnected(table: TypeTable) -> AwsProvider:
    """Enough for checks and diffs: they call nothing."""
    provider = AwsProvider(HERE, table=table)
    provider.configure({"region": "us-east-1"})
    return provider


# ---- the account guard ----


@pytest.mark.parametrize(
    ("environment", "configuration"),
    [
        ({}, {"region": "us-east-1"}),
        ({"AWS_ENDPOINT_URL": "https://sts.amazonaws.com"}, {}),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1.example.org:5000"}, {}),
        ({**HERE, "AWS_ENDPOINT_URL_S3": "https://s3.amazonaws.com"}, {}),
        (HERE, {"endpoints": [{"ec2": "https://ec2.us-east-1.amazonaws.com"}]}),
    ],
)
def test_a_real_account_is_refused(
    environment: dict[str, str], configuration: Values, table: TypeTable
) -> None:
    with pytest.raises(ProviderError, match="use the Pulumi CLI"):
        AwsProvider(environment, table=table).configure(configuration)


@pytest.mark.parametrize(
    ("url", "yes"),
    [("http://localhost:1", True), ("http://[::1]:1", True), ("http://10.0.0.1", False), ("", False)],
)
def test_what_this_machine_is(url: str, yes: bool) -> None:
    assert loopback(url) is yes


def test_another_account_is_refused(cloud: LocalCloud, table: TypeTable) -> None:
    provider = AwsProvider(cloud.environment(), table=table)
    with pytest.raises(ProviderError, match="123456789012 is not in allowedAccountIds"):
        provider.configure({"allowedAccountIds": ["999999999999"]})


def test_configuration_it_does_not_know_is_refused(table: TypeTable) -> None:
    with pytest.raises(ProviderError, match="assumeRoles"):
        AwsProvider(HERE, table=table).configure({"assumeRoles": [{"roleArn": "x"}]})


def test_only_aws_is_made_and_the_session_is_shared() -> None:
    providers = AwsProviders()
    first, second = (providers("aws", {}, HERE) for _ in range(2))
    assert first.sessions is second.sessions
    with pytest.raises(ProviderError, match="kubernetes"):
        providers("kubernetes", {}, HERE)


# ---- check ----


def test_a_type_it_does_not_know_is_named(unconnected: AwsProvider) -> None:
    checked = unconnected.check("aws:rds/instance:Instance", who("db"), None, {}, fresh_name=False)
    assert "aws:rds/instance:Instance" in checked.failures[0].reason
    assert not unconnected.supports("aws:rds/instance:Instance")


@pytest.mark.parametrize(
    ("token", "inputs", "where"),
    [
        (VPC, {"cidrBlock": "10.0.0.0/16", "flavour": 1}, "flavour"),
        (SUBNET, {}, "vpcId"),
        (SUBNET, {"vpcId": "vpc-1", "mapPublicIpOnLaunch": "yes"}, "mapPublicIpOnLaunch"),
        (SUBNET, {"vpcId": ["vpc-1"]}, "vpcId"),
        (VPC, {"region": "eu-west-1"}, "region"),
        (NODES, {"scalingConfig": {"minSize": 1.5}}, "scalingConfig.minSize"),
        (NODES, {"taints": [{"key": "a", "effect": "b", "colour": "c"}]}, "taints[0].colour"),
        ("aws:eks/cluster:Cluster", {"vpcConfig": {"subnetIds": [], "vpcId": "vpc-1"}}, "vpcConfig.vpcId"),
    ],
)
def test_inputs_that_cannot_be(unconnected: AwsProvider, token: str, inputs: Values, where: str) -> None:
    checked = unconnected.check(token, who("x"), None, inputs, fresh_name=False)
    assert where in [failure.property for failure in checked.failures]


def test_unknown_inputs_pass_a_check(unconnected: AwsProvider) -> None:
    checked = unconnected.check(SUBNET, who("x"), None, {"vpcId": UNKNOWN, "tags": UNKNOWN}, fresh_name=False)
    assert checked.failures == ()
    assert checked.inputs["vpcId"] is UNKNOWN
    foreseen = unconnected.create(SUBNET, who("x"), checked.inputs, preview=True).outputs
    assert foreseen["tagsAll"] is UNKNOWN
    assert foreseen["arn"] is UNKNOWN


def test_automatic_names_are_kept_renewed_and_found_again(unconnected: AwsProvider) -> None:
    def name(olds: Values | None, *, fresh: bool = False) -> Values:
        given = {"assumeRolePolicy": "{}"}
        return unconnected.check(ROLE, who("serving"), olds, given, fresh_name=fresh).inputs

    first = name(None)
    assert first["name"].startswith("serving-")
    assert len(first["name"]) == len("serving-") + 7
    assert name(None) == first, "a killed first run comes to the same name"
    assert name(first) == first
    successor = name(first, fresh=True)
    assert successor["name"] != first["name"]
    assert name(first, fresh=True) == successor, "a killed replacement comes to the same name"


# ---- diff ----


def test_an_unknown_in_a_fixed_property_foretells_a_replacement(unconnected: AwsProvider) -> None:
    olds = {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/24", "mapPublicIpOnLaunch": False}
    diff = unconnected.diff(KnownResource(SUBNET, "subnet-1", olds, {}), {**olds, "vpcId": UNKNOWN})
    assert (diff.changed, diff.replaces) == (("vpcId",), ("vpcId",))


@pytest.mark.parametrize(
    ("token", "old", "new"),
    [
        (NODES, {"subnetIds": ["a", "b"]}, {"subnetIds": ["b", "a"]}),
        (NODES, {"amiType": "AL2023"}, {}),
        (NODES, {"labels": {}}, {}),
        (
            ROLE,
            {"assumeRolePolicy": '{"Action": "a", "B": [1]}'},
            {"assumeRolePolicy": '{"B":1,"Action":["a"]}'},
        ),
    ],
)
def test_what_is_no_difference(unconnected: AwsProvider, token: str, old: Values, new: Values) -> None:
    assert unconnected.diff(KnownResource(token, "x", old, {}), new).changed == ()


def test_a_fixed_name_is_deleted_before_its_replacement(unconnected: AwsProvider) -> None:
    def diff(**more: Any) -> bool:
        olds = {"name": "shop", "path": "/", **more}
        known = KnownResource(ROLE, "shop", olds, {})
        return unconnected.diff(known, {**olds, "path": "/x/"}).delete_before_replace

    assert diff()
    assert not diff(__defaults=["name"])


def test_a_template_version_updates_and_another_template_replaces(unconnected: AwsProvider) -> None:
    known = KnownResource(NODES, "c:n", {"launchTemplate": {"id": "lt-1", "version": "1"}}, {})
    version = unconnected.diff(known, {"launchTemplate": {"id": "lt-1", "version": UNKNOWN}})
    assert (version.changed, version.replaces) == (("launchTemplate",), ())
    other = unconnected.diff(known, {"launchTemplate": {"id": "lt-2", "version": "1"}})
    assert other.replaces == ("launchTemplate",)


def test_default_tags_are_under_the_resources_own(cloud: LocalCloud, table: TypeTable) -> None:
    provider = AwsProvider(cloud.environment(), table=table)
    provider.configure({"defaultTags": {"tags": {"team": "shop", "a": "b"}}})
    inputs = {
        "cidrBlock": "10.0.0.0/16",
        "instanceTenancy": "default",
        "enableDnsSupport": True,
        "tags": {"a": "c"},
    }
    made = provider.create(VPC, who("vpc"), inputs, preview=False)
    assert made.outputs["tagsAll"] == {"team": "shop", "a": "c"}
    found = provider.read(KnownResource(VPC, made.id, inputs, made.outputs))
    assert found is not None
    assert found.inputs["tags"] == {"a": "c"}
    provider.configure({"defaultTags": {"tags": {"team": "other"}}})
    old = KnownResource(VPC, made.id, inputs, made.outputs)
    assert provider.diff(old, inputs).changed == ("tagsAll",)
    outputs = provider.update(old, inputs, preview=False)
    assert outputs["tagsAll"] == {"team": "other", "a": "c"}


# ---- failures, and what a kill leaves ----


def test_the_apis_no_is_told_in_its_words(provider: AwsProvider) -> None:
    inputs = {"vpcId": "vpc-00000000000000000", "cidrBlock": "10.0.0.0/24", "mapPublicIpOnLaunch": False}
    with pytest.raises(ProviderError) as refused:
        provider.create(SUBNET, who("x"), inputs, preview=False)
    assert refused.value.code == "InvalidVpcID.NotFound"


def test_a_cloud_that_is_not_there_is_said_to_be(table: TypeTable) -> None:
    provider = AwsProvider(HERE, table=table)
    with pytest.raises(ProviderError, match="does not answer"):
        provider.configure({"allowedAccountIds": ["123456789012"]})


def test_a_half_made_vpc_is_adopted_and_finished(world: World, provider: AwsProvider) -> None:
    """Killed after CreateVpc, before the attributes were set."""
    inputs = world.checked("vpc")
    tags = [{"Key": key, "Value": value} for key, value in inputs["tags"].items()]
    client = provider.account.client("ec2")
    left = client.create_vpc(
        CidrBlock="10.42.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )["Vpc"]["VpcId"]
    made = provider.create(VPC, who("vpc"), inputs, preview=False)
    assert made.id == left
    assert made.outputs["enableDnsHostnames"] is True


def test_a_replacement_does_not_adopt_its_predecessor(world: World, provider: AwsProvider) -> None:
    first = world["vpc"]
    second = provider.create(VPC, who("vpc"), world.checked("vpc", cidrBlock="10.99.0.0/16"), preview=False)
    assert second.id != first.id


def test_what_belongs_to_another_stack_is_not_adopted(world: World, provider: AwsProvider) -> None:
    world["repository"]
    inputs = {**world.inputs["repository"], "tags": {**PROJECT, "ecomdeploy:project": "other"}}
    with pytest.raises(ProviderError, match="does not carry this stack's tags"):
        provider.create("aws:ecr/repository:Repository", who("r"), inputs, preview=False)


REPOSITORY = "aws:ecr/repository:Repository"
MINE, THEIRS = "0123456789ab", "ba9876543210"


def owned(inputs: Values, owner: str) -> Values:
    return {**inputs, "tags": {**inputs["tags"], OWNER: owner}}


@pytest.mark.parametrize("name", ["repository", "vpc", "key"])
def test_another_owners_things_are_told_in_a_preview_and_refused(
    name: str, world: World, provider: AwsProvider
) -> None:
    """By name (a repository) and by tags alone (a VPC, a key)."""
    inputs, kind = world.checked(name), world.samples[name].type
    provider.create(kind, who(name), owned(inputs, THEIRS), preview=False)
    mine = owned(inputs, MINE)
    seen = provider.create(kind, who(name), mine, preview=True)
    assert seen.found.endswith(f"made by owner {THEIRS}: that is refused")
    with pytest.raises(ProviderError, match=f"exists already and belongs to owner {THEIRS}"):
        provider.create(kind, who(name), mine, preview=False)


@pytest.mark.parametrize(("owner", "accepted"), [(THEIRS, THEIRS), (THEIRS, "*"), (MINE, ""), ("", "")])
def test_what_may_be_taken_over_is_told_and_gets_its_owner(
    owner: str, accepted: str, world: World, provider: AwsProvider
) -> None:
    """From whom one took over, from anybody with --adopt, one's own, and what was made before things had an owner."""
    inputs = world.checked("repository")
    there = owned(inputs, owner) if owner else inputs
    provider.create(REPOSITORY, who("repository"), there, preview=False)
    provider.accepted = frozenset(accepted.split())
    told = {
        THEIRS: f"made by owner {THEIRS}",
        MINE: "made by this project",
        "": "made before things had an owner",
    }
    for preview in (True, False):
        made = provider.create(REPOSITORY, who("repository"), owned(inputs, MINE), preview=preview)
        assert made.found == f"{inputs['name']}, {told[owner]}"
    assert made.outputs["tagsAll"][OWNER] == MINE
    assert provider.create(REPOSITORY, who("repository"), owned(inputs, MINE), preview=False).found


def test_what_is_made_was_not_found(world: World, provider: AwsProvider) -> None:
    inputs = owned(world.checked("repository"), MINE)
    for preview in (True, False):
        assert provider.create(REPOSITORY, who("repository"), inputs, preview=preview).found == ""


def test_an_untagged_bucket_of_that_name_is_what_a_kill_left(world: World, provider: AwsProvider) -> None:
    provider.account.client("s3").create_bucket(Bucket="shop-state")
    assert world["bucket"].outputs["tagsAll"] == {**PROJECT, "ecomdeploy:resource": "bucket"}


def test_an_endpoint_that_fails_is_partial_and_made_anew(
    world: World, provider: AwsProvider, cloud: LocalCloud
) -> None:
    inputs = world.checked("endpoint")
    cloud.plant({"kind": "crash", "endpoint": "shop", "count": 1})
    with pytest.raises(PartialFailure) as failed:
        provider.create(ENDPOINT, who("endpoint"), inputs, preview=False)
    assert (failed.value.id, failed.value.outputs["name"]) == ("shop", "shop")
    assert failed.value.message
    old = KnownResource(ENDPOINT, "shop", inputs, failed.value.outputs)
    found = provider.read(replace(old, outputs=provider.update(old, inputs, preview=False)))
    assert found is not None
    assert found.inputs == inputs


def test_an_endpoint_update_that_is_rolled_back_is_a_failure(
    world: World, provider: AwsProvider, cloud: LocalCloud
) -> None:
    made, olds = world["endpoint"], world.inputs["endpoint"]
    news = {**olds, "endpointConfigName": world.id("configuration-2")}
    cloud.plant({"kind": "crash", "endpoint": "shop", "count": 1})
    with pytest.raises(PartialFailure, match="still on shop-1"):
        provider.update(KnownResource(ENDPOINT, made.id, olds, made.outputs), news, preview=False)


def test_waiting_ends_with_patience(provider: AwsProvider, world: World) -> None:
    row = provider.table.resources[VPC]
    provider.table = replace_row(provider.table, replace(row, ready=lambda call: False, patience=2))
    provider.pause = lambda seconds: None
    with pytest.raises(PartialFailure, match="not ready after 2 s"):
        provider.create(VPC, who("vpc"), world.checked("vpc"), preview=False)


def replace_row(table: TypeTable, row: Any) -> TypeTable:
    made = TypeTable()
    made.resources[row.type] = row
    return made


def test_caller_identity(provider: AwsProvider) -> None:
    answer = provider.invoke("aws:index/getCallerIdentity:getCallerIdentity", {})
    assert answer["accountId"] == "123456789012"
    with pytest.raises(ProviderError, match="getAmi"):
        provider.invoke("aws:ec2/getAmi:getAmi", {})
