"""Contract of the emulated EKS, EC2 and IAM: what a cluster with GPU nodes needs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from waiting import wait_for

pytestmark = pytest.mark.usefixtures("empty")


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def until(state: str, look: Any, **arguments: Any) -> dict[str, Any]:
    def found() -> dict[str, Any]:
        (one,) = [part for name, part in look(**arguments).items() if name != "ResponseMetadata"]
        return dict(one)

    wait_for(lambda: found()["status"] == state)
    return found()


class Network:
    def __init__(self, aws: Any) -> None:
        ec2, iam = aws("ec2"), aws("iam")
        self.vpc = ec2.create_vpc(CidrBlock="10.42.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(
                VpcId=self.vpc, CidrBlock=f"10.42.{n}.0/24", AvailabilityZone=f"us-east-1{zone}"
            )["Subnet"]["SubnetId"]
            for n, zone in enumerate("ab")
        ]
        trust = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "eks.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            }
        )
        self.role = iam.create_role(RoleName="nodes", AssumeRolePolicyDocument=trust)["Role"]["Arn"]

    def cluster(self, aws: Any, name: str = "shop", **more: Any) -> dict[str, Any]:
        return dict(
            aws("eks").create_cluster(
                name=name,
                roleArn=self.role,
                version="1.33",
                resourcesVpcConfig={"subnetIds": self.subnets},
                **more,
            )["cluster"]
        )

    def pool(self, aws: Any, **more: Any) -> dict[str, Any]:
        asked = {
            "clusterName": "shop",
            "nodegroupName": "gpu",
            "subnets": self.subnets,
            "nodeRole": self.role,
            "instanceTypes": ["g6.xlarge"],
            "amiType": "AL2023_x86_64_NVIDIA",
            "scalingConfig": {"minSize": 0, "maxSize": 4, "desiredSize": 1},
            "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
            "labels": {"pool": "g6"},
            "tags": {"owner": "shop"},
        }
        return dict(aws("eks").create_nodegroup(**{**asked, **more})["nodegroup"])


def test_a_cluster_comes_up_and_goes(aws: Any) -> None:
    network, eks = Network(aws), aws("eks")
    made = network.cluster(aws)
    assert (made["status"], "endpoint" in made) == ("CREATING", False)
    assert "ResourceInUseException: Cluster already exists" in refused(network.cluster, aws=aws)
    found = until("ACTIVE", eks.describe_cluster, name="shop")
    network_of = found["resourcesVpcConfig"]
    assert network_of["vpcId"] == network.vpc
    group = aws("ec2").describe_security_groups(GroupIds=[network_of["clusterSecurityGroupId"]])
    assert group["SecurityGroups"][0]["VpcId"] == network.vpc
    assert found["endpoint"].startswith("https://")
    assert found["accessConfig"]["authenticationMode"] == "CONFIG_MAP"
    assert "DependencyViolation" in refused(aws("ec2").delete_subnet, SubnetId=network.subnets[0])
    assert eks.delete_cluster(name="shop")["cluster"]["status"] == "DELETING"
    eks.get_waiter("cluster_deleted").wait(name="shop", WaiterConfig={"Delay": 1})
    assert "No cluster found for name: shop." in refused(eks.describe_cluster, name="shop")
    for subnet in network.subnets:
        aws("ec2").delete_subnet(SubnetId=subnet)
    aws("ec2").delete_vpc(VpcId=network.vpc)


def test_a_cluster_is_updated_with_updates_to_follow(aws: Any) -> None:
    network, eks = Network(aws), aws("eks")
    network.cluster(aws)
    assert "not in Active State" in refused(eks.update_cluster_version, name="shop", version="1.34")
    until("ACTIVE", eks.describe_cluster, name="shop")
    assert "Unsupported Kubernetes minor version update from 1.33 to 1.35" in refused(
        eks.update_cluster_version, name="shop", version="1.35"
    )
    update = eks.update_cluster_version(name="shop", version="1.34")["update"]
    assert (update["status"], update["type"]) == ("InProgress", "VersionUpdate")
    until("Successful", eks.describe_update, name="shop", updateId=update["id"])
    logging = {"clusterLogging": [{"types": ["api", "audit"], "enabled": True}]}
    eks.update_cluster_config(name="shop", logging=logging)
    found = until("ACTIVE", eks.describe_cluster, name="shop")
    assert found["version"] == "1.34"
    assert found["logging"]["clusterLogging"][0] == {"types": ["api", "audit"], "enabled": True}


def test_a_node_group_scales_and_keeps_what_it_was_told(aws: Any) -> None:
    network, eks = Network(aws), aws("eks")
    network.cluster(aws)
    until("ACTIVE", eks.describe_cluster, name="shop")
    template = aws("ec2").create_launch_template(
        LaunchTemplateName="gpu", LaunchTemplateData={"MetadataOptions": {"HttpTokens": "required"}}
    )["LaunchTemplate"]["LaunchTemplateId"]
    network.pool(aws, launchTemplate={"id": template, "version": "1"}, capacityType="SPOT")
    names = {"clusterName": "shop", "nodegroupName": "gpu"}
    found = until("ACTIVE", eks.describe_nodegroup, **names)
    assert (found["instanceTypes"], found["capacityType"]) == (["g6.xlarge"], "SPOT")
    assert found["launchTemplate"] == {"id": template, "name": "gpu", "version": "1"}
    assert found["tags"] == {"owner": "shop"}
    assert "Cluster has nodegroups attached" in refused(eks.delete_cluster, name="shop")
    update = eks.update_nodegroup_config(
        **names,
        scalingConfig={"minSize": 1, "maxSize": 6, "desiredSize": 2},
        labels={"addOrUpdateLabels": {"pool": "new"}},
        taints={"removeTaints": found["taints"]},
    )["update"]
    until("Successful", eks.describe_update, name="shop", nodegroupName="gpu", updateId=update["id"])
    found = until("ACTIVE", eks.describe_nodegroup, **names)
    assert found["scalingConfig"] == {"minSize": 1, "maxSize": 6, "desiredSize": 2}
    assert (found["labels"], found["taints"]) == ({"pool": "new"}, [])
    aws("ec2").create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData={})
    eks.update_nodegroup_version(**names, launchTemplate={"id": template, "version": "2"})
    assert until("ACTIVE", eks.describe_nodegroup, **names)["launchTemplate"]["version"] == "2"
    eks.tag_resource(resourceArn=found["nodegroupArn"], tags={"a": "b"})
    eks.untag_resource(resourceArn=found["nodegroupArn"], tagKeys=["owner"])
    assert eks.list_tags_for_resource(resourceArn=found["nodegroupArn"])["tags"] == {"a": "b"}
    eks.delete_nodegroup(**names)
    eks.get_waiter("nodegroup_deleted").wait(**names, WaiterConfig={"Delay": 1})
    assert eks.list_nodegroups(clusterName="shop")["nodegroups"] == []


def test_what_does_not_exist_is_refused(aws: Any) -> None:
    network, eks = Network(aws), aws("eks")
    assert "does not exist" in refused(
        eks.create_cluster, name="x", roleArn=network.role, resourcesVpcConfig={"subnetIds": ["subnet-0"]}
    )
    assert "two different AZs" in refused(
        eks.create_cluster,
        name="x",
        roleArn=network.role,
        resourcesVpcConfig={"subnetIds": network.subnets[:1]},
    )
    network.cluster(aws)
    until("ACTIVE", eks.describe_cluster, name="shop")
    for more, words in (
        ({"instanceTypes": ["g99.xlarge"]}, "do not exist: [g99.xlarge]"),
        ({"subnets": ["subnet-0"]}, "The subnet ID 'subnet-0' does not exist"),
        ({"nodeRole": "arn:aws:iam::123456789012:role/none"}, "The role with name none cannot be found."),
        ({"launchTemplate": {"name": "none"}}, "does not exist"),
        ({"scalingConfig": {"minSize": 3, "desiredSize": 2}}, "Minimum capacity 3 can't be greater"),
        ({"clusterName": "none"}, "No cluster found for name: none."),
    ):
        assert words in refused(network.pool, aws=aws, **more)
    assert "NotImplemented: the local cloud does not have eks ListInsights" in refused(
        eks.list_insights, clusterName="shop"
    )


def test_gpu_instance_types_are_known(aws: Any) -> None:
    found = aws("ec2").describe_instance_types(
        InstanceTypes=["g5.xlarge", "g6.xlarge", "g6e.xlarge", "p5.48xlarge"]
    )
    gpus = {item["InstanceType"]: item["GpuInfo"]["Gpus"][0]["Name"] for item in found["InstanceTypes"]}
    assert gpus == {"g5.xlarge": "A10G", "g6.xlarge": "L4", "g6e.xlarge": "L40S", "p5.48xlarge": "H100"}


def test_managed_policies_of_aws_can_be_attached(aws: Any) -> None:
    Network(aws)
    iam = aws("iam")
    names = (
        "AmazonEKSClusterPolicy",
        "AmazonEKSWorkerNodePolicy",
        "AmazonEKS_CNI_Policy",
        "service-role/AmazonEBSCSIDriverPolicy",
    )
    for name in names:
        iam.attach_role_policy(RoleName="nodes", PolicyArn=f"arn:aws:iam::aws:policy/{name}")
    attached = iam.list_attached_role_policies(RoleName="nodes")["AttachedPolicies"]
    assert len(attached) == len(names)
    assert iam.get_policy(PolicyArn=attached[0]["PolicyArn"])["Policy"]["IsAttachable"]
    assert "NoSuchEntity" in refused(
        iam.attach_role_policy, RoleName="nodes", PolicyArn="arn:aws:iam::aws:policy/NoSuchPolicy"
    )


def test_the_pods_of_a_service_account_take_one_role(aws: Any) -> None:
    network, eks = Network(aws), aws("eks")
    network.cluster(aws)
    asked = {"clusterName": "shop", "namespace": "kube-system", "serviceAccount": "karpenter"}
    roleless = {"roleArn": "arn:aws:iam::123456789012:role/none"}
    assert "cannot be found" in refused(eks.create_pod_identity_association, **asked, **roleless)
    made = eks.create_pod_identity_association(**asked, roleArn=network.role, tags={"owner": "shop"})
    one = made["association"]
    assert one["associationArn"].endswith(f":podidentityassociation/shop/{one['associationId']}")
    assert f"ResourceInUseException: Association already exists: {one['associationId']}" in refused(
        eks.create_pod_identity_association, **asked, roleArn=network.role
    )
    where = {"clusterName": "shop", "associationId": one["associationId"]}
    assert eks.describe_pod_identity_association(**where)["association"] == one
    told = eks.list_pod_identity_associations(clusterName="shop")["associations"]
    assert told == [{**asked, "associationArn": one["associationArn"], "associationId": one["associationId"]}]
    others = eks.list_pod_identity_associations(clusterName="shop", namespace="default")["associations"]
    assert others == []
    eks.untag_resource(resourceArn=one["associationArn"], tagKeys=["owner"])
    changed = eks.update_pod_identity_association(**where, disableSessionTags=True)["association"]
    assert (changed["disableSessionTags"], changed["roleArn"], changed["tags"]) == (True, network.role, {})
    eks.delete_pod_identity_association(**where)
    assert "was not found" in refused(eks.describe_pod_identity_association, **where)
    assert "No cluster found" in refused(eks.list_pod_identity_associations, clusterName="other")


def test_a_queue_keeps_its_policy_when_another_setting_changes(aws: Any) -> None:
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName="shop")["QueueUrl"]
    said = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [said]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (told["Policy"], told["VisibilityTimeout"]) == (policy, "60")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert not sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes")
