"""Everything that our three stacks make is found again, by what the state has of it before it has an id.

Each resource of the states that the embedded engine leaves is looked up as if its create had been cut off; the id must
be the one that the provider gave. So a type without a row cannot come into a program unseen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import programs
import pytest

from infra.aws_session import AwsSession
from infra.lookup.arns import read_arn
from infra.lookup.aws import AwsLookup
from infra.lookup.base import RESOURCE, STACK, PendingCreate
from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home
from tests.infra.test_programs_local_cloud import BASE, NAME, platform, release, service

pytestmark = pytest.mark.slow
GOES_WITH_ANOTHER = (
    "aws:appautoscaling/target:Target",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[programs.Place]:
    folder = tmp_path_factory.mktemp("lookup")
    cloud = LocalCloud(Home(folder / "home", folder / "cache"), host=programs.SPEAKING)
    cloud.ensure()
    yield programs.Place(cloud, folder)
    cloud.stop()


@pytest.fixture(scope="module")
def lookup(place: programs.Place) -> AwsLookup:
    return AwsLookup(AwsSession(place.variables))


@pytest.fixture(scope="module")
def made(place: programs.Place) -> dict[str, list[dict[str, Any]]]:
    """The AWS resources of each stack's state: what is made only where it is asked for is asked for."""
    governed = BASE | {
        "pipeline": {"issuer": "github", "repository": "shop/models"},
        "monthly_budget": {"usd": 500.0, "emails": ["ops@shop.example"]},
    }
    role = place.stack("base", NAME, governed).up().outputs["role_arn"].value
    scheduled = service(role, release("a", place.push(NAME, "a"), initial=True))
    scheduled["alarms"]["topic"] = "own"
    scheduled["scale"]["schedule"] = [
        {"name": "sale", "start": "2096-11-10T20:00:00+08:00", "end": "2096-11-12T02:00:00+08:00", "min": 2}
    ]
    place.stack("service", NAME, scheduled).up()
    place.stack("platform", "local", serving_platform()).up()
    states = (place.folder / "state" / ".pulumi" / "stacks").rglob("*.json")
    return {
        f"{state.parent.name}/{state.stem}": [
            one
            for one in json.loads(state.read_text())["checkpoint"]["latest"]["resources"]
            if one["type"].startswith("aws:")
        ]
        for state in states
    }


def serving_platform() -> dict[str, Any]:
    """With what model servers need in its network."""
    asked = platform()
    return {**asked, "platform": {**asked["platform"], "serving": True}}


def as_pending(resource: dict[str, Any]) -> PendingCreate:
    return PendingCreate(resource["type"], resource["urn"].rpartition("::")[2], resource["inputs"])


def test_everything_is_found_by_the_id_that_the_provider_gave(
    made: dict[str, list[dict[str, Any]]], lookup: AwsLookup
) -> None:
    everything = [one for resources in made.values() for one in resources]
    assert len(everything) > 40
    found = {}
    for one in everything:
        assert lookup.knows(one["type"]), f"{one['type']} has no row and no reason"
        if lookup.by_type[one["type"]].find is not None:
            found[one["urn"]] = lookup.find(as_pending(one))
    assert found == {one["urn"]: one["id"] for one in everything if one["urn"] in found}
    seen = {one["type"] for one in everything}
    # A bucket's policy is for AWS alone; parameters are below; nobody else is let into this cluster.
    assert {row.type for row in lookup.rows} - seen == {
        "aws:ssm/parameter:Parameter",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:eks/accessEntry:AccessEntry",
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        # What Karpenter's pools need: below as well.
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "aws:sqs/queue:Queue",
        "aws:sqs/queuePolicy:QueuePolicy",
        "aws:cloudwatch/eventRule:EventRule",
        "aws:cloudwatch/eventTarget:EventTarget",
    }


def test_a_parameter_is_found_by_its_name_and_its_tags(place: programs.Place, lookup: AwsLookup) -> None:
    mine = {STACK: "ecomdeploy-service/shop-local", RESOURCE: "secret"}
    pairs = [{"Key": key, "Value": value} for key, value in mine.items()]
    place.client("ssm").put_parameter(Name="/shop/key", Value="x", Type="SecureString", Tags=pairs)
    wanted = PendingCreate("aws:ssm/parameter:Parameter", "secret", {"name": "/shop/key", "tags": mine})
    assert lookup.find(wanted) == "/shop/key"
    assert lookup.find(replace(wanted, inputs={**wanted.inputs, "name": "/shop/other"})) is None
    assert lookup.find(replace(wanted, inputs={**wanted.inputs, "tags": {**mine, STACK: "x"}})) is None
    place.client("ssm").delete_parameter(Name="/shop/key")


def test_what_karpenter_needs_is_found_by_its_names_and_its_tags(
    made: dict[str, list[dict[str, Any]]], place: programs.Place, lookup: AwsLookup
) -> None:
    """One of each, made as a run that was then killed."""
    tags = {STACK: "ecomdeploy-platform/local", RESOURCE: "one"}
    sqs, events, eks = (place.client(name) for name in ("sqs", "events", "eks"))
    url = sqs.create_queue(QueueName="shop", tags=tags)["QueueUrl"]
    sqs.create_queue(QueueName="shop-2", tags=tags)
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    events.put_rule(Name="shop-spot", EventPattern='{"source": ["aws.ec2"]}', Tags=pairs)
    (cluster,) = eks.list_clusters()["clusters"]
    role = place.client("iam").list_roles()["Roles"][0]["Arn"]
    account = {"clusterName": cluster, "namespace": "kube-system", "serviceAccount": "karpenter"}
    pods = eks.create_pod_identity_association(**account, roleArn=role, tags=tags)["association"]
    wanted = {
        url: PendingCreate("aws:sqs/queue:Queue", "one", {"name": "shop", "tags": tags}),
        "shop-spot": PendingCreate(
            "aws:cloudwatch/eventRule:EventRule", "one", {"name": "shop-spot", "tags": tags}
        ),
        pods["associationId"]: PendingCreate(
            "aws:eks/podIdentityAssociation:PodIdentityAssociation", "one", {**account, "tags": tags}
        ),
    }
    for id, one in wanted.items():  # noqa: A001
        assert lookup.find(one) == id
        foreign = {**one.inputs, "tags": {**tags, RESOURCE: "another"}}
        assert lookup.find(replace(one, inputs=foreign)) is None
    eks.delete_pod_identity_association(clusterName=cluster, associationId=pods["associationId"])
    events.delete_rule(Name="shop-spot")
    for name in ("shop", "shop-2"):
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])
    assert [lookup.find(one) for one in wanted.values()] == [None, None, None]


def test_what_is_another_stacks_or_another_resources_is_never_taken(
    made: dict[str, list[dict[str, Any]]], lookup: AwsLookup
) -> None:
    for resources in made.values():
        for one in resources:
            wanted = as_pending(one)
            assert lookup.find(replace(wanted, known=frozenset({one["id"]}))) is None, "the state has it"
            if not wanted.mark or one["type"] == "aws:appautoscaling/target:Target":
                continue  # what is found in its owner, which is the stack's own
            for key in (STACK, RESOURCE):
                foreign = {**one["inputs"], "tags": {**wanted.tags, key: "another"}}
                assert lookup.find(replace(wanted, inputs=foreign)) is None, (one["urn"], key)


def test_what_is_not_there_is_not_found(made: dict[str, list[dict[str, Any]]], lookup: AwsLookup) -> None:
    """Every text that could name it is another."""
    for resources in made.values():
        for one in resources:
            other = {
                key: "none" if isinstance(value, str) else value for key, value in one["inputs"].items()
            } | {"tags": {STACK: "no/one", RESOURCE: "none"}}
            if one["type"] == "aws:appautoscaling/target:Target":
                other["serviceNamespace"] = "sagemaker"
                other["scalableDimension"] = "sagemaker:variant:DesiredInstanceCount"
            if one["type"] == "aws:s3/bucket:Bucket":
                other["bucket"] = "no-such-bucket-here"
            assert lookup.find(PendingCreate(one["type"], "x", other)) is None, one["type"]


def test_what_carries_a_stacks_tags_is_told_until_it_is_gone(
    made: dict[str, list[dict[str, Any]]], lookup: AwsLookup, place: programs.Place
) -> None:
    """Last in this file: it takes everything down."""
    for stack, resources in made.items():
        tagged = [
            as_pending(one).mark[RESOURCE]
            for one in resources
            if as_pending(one).mark and one["type"] not in GOES_WITH_ANOTHER
        ]
        told = [one.resource for one in lookup.remnants(stack)]
        assert sorted(told) == sorted(tagged), stack
    elsewhere = AwsLookup(AwsSession({**place.variables, "AWS_REGION": "eu-west-1"}))
    in_no_region = {one.resource for one in elsewhere.remnants(f"ecomdeploy-base/{NAME}")}
    assert {"budget", "pipeline-issuer"} <= in_no_region
    place.stack("platform", "local", serving_platform()).destroy()
    place.stack("service", NAME, service("")).destroy()
    place.stack("base", NAME, BASE).destroy()
    assert {stack: lookup.remnants(stack) for stack in made} == dict.fromkeys(made, ())


def test_the_page_tells_every_row() -> None:
    page = (programs.ROOT / "docs" / "architecture" / "lookup.md").read_text()
    rows = AwsLookup(AwsSession({})).rows
    assert {f"| `{row.type}` | {row.how} |" for row in rows} == {
        line for line in page.splitlines() if line.startswith("| `aws:")
    }


@pytest.mark.parametrize(
    ("arn", "wanted"),
    [
        ("arn:aws:s3:::shop", ("aws:s3/bucket:Bucket", {"bucket": "shop"})),
        ("arn:aws:ssm:r:1:parameter/shop/x", ("aws:ssm/parameter:Parameter", {"name": "/shop/x"})),
        ("arn:aws:cloudwatch:r:1:alarm:a/b", ("aws:cloudwatch/metricAlarm:MetricAlarm", {"name": "a/b"})),
        ("arn:aws:iam::1:role/path/shop", ("aws:iam/role:Role", {"name": "shop"})),
        (
            "arn:aws:iam::1:oidc-provider/gitlab.com",
            ("aws:iam/openIdConnectProvider:OpenIdConnectProvider", {"url": "gitlab.com"}),
        ),
        ("arn:aws:budgets::1:budget/shop", ("aws:budgets/budget:Budget", {"name": "shop"})),
        ("arn:aws:ecr:r:1:repository/team/shop", ("aws:ecr/repository:Repository", {"name": "team/shop"})),
        (
            "arn:aws:eks:r:1:nodegroup/eco/g6/1234",
            ("aws:eks/nodeGroup:NodeGroup", {"clusterName": "eco", "nodeGroupName": "g6"}),
        ),
        ("arn:aws:sqs:r:1:shop", ("aws:sqs/queue:Queue", {"name": "shop"})),
        ("arn:aws:events:r:1:rule/shop", ("aws:cloudwatch/eventRule:EventRule", {"name": "shop"})),
        ("arn:aws:ec2:r:1:vpc/vpc-1", ("aws:ec2/vpc:Vpc", {"id": "vpc-1"})),
        ("arn:aws:ec2:r:1:instance/i-1", None),
    ],
)
def test_arns_are_read_as_types_and_names(arn: str, wanted: Any) -> None:
    assert read_arn(arn) == wanted
