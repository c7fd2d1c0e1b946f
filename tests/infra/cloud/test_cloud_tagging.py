"""The Resource Groups Tagging API tells of everything that carries tags, as AWS says that it does."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow

TAGS = {"shop": "tagged", "part": "x"}
PAIRS = [{"Key": key, "Value": value} for key, value in TAGS.items()]
MINE = [{"Key": "shop", "Values": ["other", "tagged"]}]


@pytest.fixture(scope="module")
def tagged(aws: Any) -> dict[str, str]:
    """ARNs of one of each, by the type that a filter calls it."""
    ec2, kms = aws("ec2"), aws("kms")

    def spec(kind: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": PAIRS}]

    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=spec("vpc"))["Vpc"]["VpcId"]
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=spec("elastic-ip"))["AllocationId"]
    data = {"InstanceType": "t3.micro"}
    template = ec2.create_launch_template(
        LaunchTemplateName="tagged", LaunchTemplateData=data, TagSpecifications=spec("launch-template")
    )["LaunchTemplate"]["LaunchTemplateId"]
    service = "com.amazonaws.us-east-1.s3"
    endpoint = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=service, TagSpecifications=spec("vpc-endpoint"))
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a")
    other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.2.0/24", AvailabilityZone="us-east-1b")
    trust = '{"Version": "2012-10-17", "Statement": []}'
    role = aws("iam").create_role(RoleName="tagged", AssumeRolePolicyDocument=trust, Tags=PAIRS)["Role"][
        "Arn"
    ]
    cluster = aws("eks").create_cluster(
        name="tagged",
        roleArn=role,
        resourcesVpcConfig={"subnetIds": [each["Subnet"]["SubnetId"] for each in (subnet, other)]},
        tags=TAGS,
    )["cluster"]["arn"]
    repository = aws("ecr").create_repository(repositoryName="tagged", tags=PAIRS)["repository"]
    image = aws.push("tagged")
    sagemaker = aws("sagemaker")
    model = sagemaker.create_model(
        ModelName="tagged", ExecutionRoleArn=role, PrimaryContainer={"Image": image}, Tags=PAIRS
    )["ModelArn"]
    key = kms.create_key(Tags=[{"TagKey": key, "TagValue": value} for key, value in TAGS.items()])
    aws("s3").create_bucket(Bucket="tagged")
    aws("s3").put_bucket_tagging(Bucket="tagged", Tagging={"TagSet": PAIRS})
    topic = aws("sns").create_topic(Name="tagged", Tags=PAIRS)["TopicArn"]
    queue = aws("sqs").create_queue(QueueName="tagged", tags=TAGS)["QueueUrl"]
    assert queue.endswith("/tagged")
    rule = aws("events").put_rule(Name="tagged", EventPattern='{"source": ["aws.ec2"]}', Tags=PAIRS)
    pods = {"namespace": "kube-system", "serviceAccount": "tagged", "roleArn": role}
    association = aws("eks").create_pod_identity_association(clusterName="tagged", **pods, tags=TAGS)
    issuer = aws("iam").create_open_id_connect_provider(
        Url="https://tagged.example", ClientIDList=["x"], Tags=PAIRS
    )["OpenIDConnectProviderArn"]
    limit = {"Amount": "5", "Unit": "USD"}
    budget = {"BudgetName": "tagged", "BudgetLimit": limit, "TimeUnit": "MONTHLY", "BudgetType": "COST"}
    aws("budgets").create_budget(AccountId="123456789012", Budget=budget, ResourceTags=PAIRS)
    of_ec2 = "arn:aws:ec2:us-east-1:123456789012:"
    return {
        "ec2:vpc": f"{of_ec2}vpc/{vpc}",
        "ec2:elastic-ip": f"{of_ec2}elastic-ip/{address}",
        "ec2:launch-template": f"{of_ec2}launch-template/{template}",
        "ec2:vpc-endpoint": f"{of_ec2}vpc-endpoint/{endpoint['VpcEndpoint']['VpcEndpointId']}",
        "eks:cluster": cluster,
        "ecr:repository": repository["repositoryArn"],
        "sagemaker:model": model,
        "kms:key": key["KeyMetadata"]["Arn"],
        "s3": "arn:aws:s3:::tagged",
        "sns": topic,
        "sqs": "arn:aws:sqs:us-east-1:123456789012:tagged",
        "events:rule": rule["RuleArn"],
        "eks:podidentityassociation": association["association"]["associationArn"],
        "iam:oidc-provider": issuer,
        "budgets:budget": "arn:aws:budgets::123456789012:budget/tagged",
    }


def told(aws: Any, **asked: Any) -> list[str]:
    """ARNs, page by page."""
    pages = aws("resourcegroupstaggingapi").get_paginator("get_resources").paginate(**asked)
    return [each["ResourceARN"] for page in pages for each in page["ResourceTagMappingList"]]


def test_everything_with_the_tag_is_told_once_but_roles(aws: Any, tagged: dict[str, str]) -> None:
    assert sorted(told(aws, TagFilters=MINE)) == sorted(tagged.values())
    assert sorted(told(aws, TagFilters=MINE, ResourcesPerPage=2)) == sorted(tagged.values())
    assert told(aws, TagFilters=[{"Key": "shop", "Values": ["other"]}]) == []
    both = [*MINE, {"Key": "part", "Values": ["y"]}]
    assert told(aws, TagFilters=both) == []


def test_types_and_arns_are_chosen(aws: Any, tagged: dict[str, str]) -> None:
    for kind, name in tagged.items():
        assert told(aws, TagFilters=MINE, ResourceTypeFilters=[kind]) == [name]
    four = [name for kind, name in tagged.items() if kind.startswith("ec2:")]
    assert sorted(told(aws, TagFilters=MINE, ResourceTypeFilters=["ec2"])) == sorted(four)
    assert told(aws, ResourceARNList=[tagged["eks:cluster"]]) == [tagged["eks:cluster"]]


def test_tags_are_told_with_it_and_by_themselves(aws: Any, tagged: dict[str, str]) -> None:
    tagging = aws("resourcegroupstaggingapi")
    (one,) = tagging.get_resources(ResourceARNList=[tagged["eks:cluster"]])["ResourceTagMappingList"]
    assert {pair["Key"]: pair["Value"] for pair in one["Tags"]} == TAGS
    assert set(TAGS) <= set(tagging.get_tag_keys()["TagKeys"])
    assert tagging.get_tag_values(Key="shop")["TagValues"] == ["tagged"]


def test_what_has_gone_or_lost_its_tags_is_told_no_more(aws: Any, tagged: dict[str, str]) -> None:
    """Last in this file."""
    aws("sagemaker").delete_model(ModelName="tagged")
    aws("eks").untag_resource(resourceArn=tagged["eks:cluster"], tagKeys=["shop"])
    aws("ec2").delete_launch_template(LaunchTemplateName="tagged")
    gone = {tagged[kind] for kind in ("sagemaker:model", "eks:cluster", "ec2:launch-template")}
    assert sorted(told(aws, TagFilters=MINE)) == sorted({*tagged.values()} - gone)


@pytest.mark.parametrize("asked", [{"ResourcesPerPage": 101}, {"PaginationToken": "not one"}])
def test_what_is_out_of_bounds_is_refused(aws: Any, asked: dict[str, Any]) -> None:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match=r"InvalidParameter|PaginationTokenExpired"):
        aws("resourcegroupstaggingapi").get_resources(**asked)


def test_asking_for_tags_makes_no_network() -> None:
    """Of moto's EC2 a region takes half a second and a megabyte of every snapshot."""
    from moto.ec2.models import ec2_backends

    from infra.rehearsal.cloud.addresses import ACCOUNT
    from infra.rehearsal.cloud.aws.overlay.tagging import ec2, ecr, events, sns

    found = [*ec2("af-south-1"), *ecr("af-south-1"), *sns("af-south-1"), *events("af-south-1")]
    assert found == []
    assert not dict.__contains__(ec2_backends[ACCOUNT], "af-south-1")
