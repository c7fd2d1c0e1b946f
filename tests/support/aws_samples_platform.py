"""Samples of network and cluster."""

from __future__ import annotations

import json

from aws_world import Sample

NETWORK = {
    "vpc": Sample(
        "aws:ec2/vpc:Vpc",
        lambda world: {"cidrBlock": "10.42.0.0/16", "enableDnsHostnames": True},
        update=lambda world: {"enableDnsHostnames": False},
        replace={"cidrBlock": "10.43.0.0/16"},
        edit=lambda world, client, it: client("ec2").modify_vpc_attribute(
            VpcId=it, EnableDnsSupport={"Value": False}
        ),
        seen="enableDnsSupport",
    ),
    "subnet": Sample(
        "aws:ec2/subnet:Subnet",
        lambda world: {
            "vpcId": world.id("vpc"),
            "cidrBlock": "10.42.0.0/20",
            "availabilityZone": "us-east-1a",
            "mapPublicIpOnLaunch": True,
        },
        update=lambda world: {"mapPublicIpOnLaunch": False},
        replace={"availabilityZone": "us-east-1c"},
        edit=lambda world, client, it: client("ec2").modify_subnet_attribute(
            SubnetId=it, MapPublicIpOnLaunch={"Value": False}
        ),
        seen="mapPublicIpOnLaunch",
    ),
    "subnet-2": Sample(
        "aws:ec2/subnet:Subnet",
        lambda world: {
            "vpcId": world.id("vpc"),
            "cidrBlock": "10.42.16.0/20",
            "availabilityZone": "us-east-1b",
        },
    ),
    "gateway": Sample(
        "aws:ec2/internetGateway:InternetGateway",
        lambda world: {"vpcId": world.id("vpc")},
        edit=lambda world, client, it: client("ec2").detach_internet_gateway(
            InternetGatewayId=it, VpcId=world.id("vpc")
        ),
        seen="vpcId",
    ),
    "address": Sample("aws:ec2/eip:Eip", lambda world: {"domain": "vpc"}),
    "nat": Sample(
        "aws:ec2/natGateway:NatGateway",
        lambda world: {"allocationId": world.id("address"), "subnetId": world.id("subnet")},
        replace={"subnetId": "subnet-00000000000000000"},
    ),
    "routes": Sample(
        "aws:ec2/routeTable:RouteTable",
        lambda world: {"vpcId": world.id("vpc")},
        replace={"vpcId": "vpc-00000000000000000"},
    ),
    "route": Sample(
        "aws:ec2/route:Route",
        lambda world: {
            "routeTableId": world.id("routes"),
            "destinationCidrBlock": "0.0.0.0/0",
            "natGatewayId": world.id("nat"),
        },
        replace={"destinationCidrBlock": "10.0.0.0/8"},
        edit=lambda world, client, it: client("ec2").replace_route(
            RouteTableId=world.id("routes"), DestinationCidrBlock="0.0.0.0/0", GatewayId=world.id("gateway")
        ),
        seen="natGatewayId",
    ),
    "association": Sample(
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        lambda world: {"routeTableId": world.id("routes"), "subnetId": world.id("subnet")},
        replace={"routeTableId": "rtb-00000000000000000"},
    ),
    "group": Sample(
        "aws:ec2/securityGroup:SecurityGroup",
        lambda world: {
            "name": "control-plane",
            "description": "HTTPS",
            "vpcId": world.id("vpc"),
            "ingress": [{"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": ["10.42.0.0/16"]}],
            "egress": [{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}],
        },
        update=lambda world: {
            "ingress": [
                {"protocol": "tcp", "fromPort": 80, "toPort": 81, "cidrBlocks": ["10.0.0.0/8"], "self": True}
            ]
        },
        replace={"description": "other"},
        edit=lambda world, client, it: client("ec2").authorize_security_group_ingress(
            GroupId=it,
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
            ],
        ),
        seen="ingress",
    ),
    "egress-rule": Sample(
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        lambda world: {
            "securityGroupId": world.id("group"),
            "ipProtocol": "tcp",
            "fromPort": 443,
            "toPort": 443,
            "referencedSecurityGroupId": world.id("group"),
        },
        update=lambda world: {"toPort": 444},
        replace={"securityGroupId": "sg-00000000000000000"},
        edit=lambda world, client, it: client("ec2").modify_security_group_rules(
            GroupId=world.id("group"),
            SecurityGroupRules=[
                {
                    "SecurityGroupRuleId": it,
                    "SecurityGroupRule": {
                        "IpProtocol": "tcp",
                        "FromPort": 22,
                        "ToPort": 443,
                        "ReferencedGroupId": world.id("group"),
                    },
                }
            ],
        ),
        seen="fromPort",
    ),
    "interface-endpoint": Sample(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        lambda world: {
            "vpcId": world.id("vpc"),
            "serviceName": "com.amazonaws.us-east-1.sts",
            "vpcEndpointType": "Interface",
            "subnetIds": [world.id("subnet"), world.id("subnet-2")],
            "securityGroupIds": [world.id("group")],
            "privateDnsEnabled": True,
        },
        update=lambda world: {"subnetIds": [world.id("subnet-2")]},
        replace={"vpcEndpointType": "Gateway"},
        edit=lambda world, client, it: client("ec2").modify_vpc_endpoint(
            VpcEndpointId=it, RemoveSubnetIds=[world.id("subnet")]
        ),
        seen="subnetIds",
    ),
    "log-group": Sample(
        "aws:cloudwatch/logGroup:LogGroup",
        lambda world: {"name": "/ecomdeploy/flows", "retentionInDays": 30},
        update=lambda world: {"retentionInDays": 90},
        replace={"name": "/ecomdeploy/other"},
        edit=lambda world, client, it: client("logs").put_retention_policy(
            logGroupName=it, retentionInDays=7
        ),
        seen="retentionInDays",
    ),
    "flow-log": Sample(
        "aws:ec2/flowLog:FlowLog",
        lambda world: {
            "vpcId": world.id("vpc"),
            "trafficType": "REJECT",
            "iamRoleArn": world.output("role", "arn"),
            "logDestination": world.output("log-group", "arn"),
        },
        replace={"trafficType": "ALL"},
    ),
    "gateway-endpoint": Sample(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        lambda world: {
            "vpcId": world.id("vpc"),
            "serviceName": "com.amazonaws.us-east-1.s3",
            "routeTableIds": [world.id("routes")],
        },
        replace={"serviceName": "com.amazonaws.us-east-1.dynamodb"},
        edit=lambda world, client, it: client("ec2").modify_vpc_endpoint(
            VpcEndpointId=it, RemoveRouteTableIds=[world.id("routes")]
        ),
        seen="routeTableIds",
    ),
}

CLUSTER = {
    "template": Sample(
        "aws:ec2/launchTemplate:LaunchTemplate",
        lambda world: {
            "name": "g6",
            "updateDefaultVersion": True,
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpTokens": "required",
                "httpPutResponseHopLimit": 1,
            },
            "blockDeviceMappings": [
                {
                    "deviceName": "/dev/xvda",
                    "ebs": {
                        "volumeType": "gp3",
                        "volumeSize": 100,
                        "encrypted": "true",
                        "deleteOnTermination": "true",
                    },
                }
            ],
            "tagSpecifications": [{"resourceType": "instance", "tags": {"Name": "node"}}],
        },
        update=lambda world: {
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpTokens": "required",
                "httpPutResponseHopLimit": 2,
            }
        },
        replace={"name": "other"},
        edit=lambda world, client, it: client("ec2").create_launch_template_version(
            LaunchTemplateId=it, LaunchTemplateData={"InstanceType": "g6.xlarge"}
        ),
        seen="instanceType",
    ),
    "cluster": Sample(
        "aws:eks/cluster:Cluster",
        lambda world: {
            "name": "shop",
            "version": "1.34",
            "roleArn": world.output("role", "arn"),
            "vpcConfig": {
                "subnetIds": [world.id("subnet-2"), world.id("subnet")],
                "securityGroupIds": [world.id("group")],
                "endpointPrivateAccess": True,
                "publicAccessCidrs": ["203.0.113.0/24"],
            },
            "encryptionConfig": {
                "provider": {"keyArn": world.output("key", "arn")},
                "resources": ["secrets"],
            },
            "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True},
            "enabledClusterLogTypes": ["audit", "api"],
        },
        update=lambda world: {
            "version": "1.35",
            "enabledClusterLogTypes": ["api"],
            "upgradePolicy": {"supportType": "STANDARD"},
        },
        replace={"roleArn": "arn:aws:iam::123456789012:role/other"},
        edit=lambda world, client, it: client("eks").update_cluster_config(
            name=it, logging={"clusterLogging": [{"types": ["audit"], "enabled": False}]}
        ),
        seen="enabledClusterLogTypes",
    ),
    "nodes": Sample(
        "aws:eks/nodeGroup:NodeGroup",
        lambda world: {
            "clusterName": world.id("cluster"),
            "nodeGroupName": "g6-1",
            "nodeRoleArn": world.output("role", "arn"),
            "subnetIds": [world.id("subnet-2"), world.id("subnet")],
            "amiType": "AL2023_x86_64_NVIDIA",
            "instanceTypes": ["g6.xlarge", "g5.xlarge"],
            "capacityType": "SPOT",
            "scalingConfig": {"minSize": 0, "maxSize": 4, "desiredSize": 0},
            "launchTemplate": {"id": world.id("template"), "version": "1"},
            "labels": {"pool": "g6", "old": "x"},
            "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
        },
        update=lambda world: {
            "scalingConfig": {"minSize": 1, "maxSize": 4, "desiredSize": 2},
            "labels": {"pool": "g6-a"},
            "taints": [],
        },
        replace={"instanceTypes": ["g6.2xlarge"]},
        edit=lambda world, client, it: client("eks").update_nodegroup_config(
            clusterName="shop",
            nodegroupName="g6-1",
            scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 3},
        ),
        seen="scalingConfig",
    ),
    "addon": Sample(
        "aws:eks/addon:Addon",
        lambda world: {
            "clusterName": world.id("cluster"),
            "addonName": "vpc-cni",
            "addonVersion": "v1.20.3-eksbuild.1",
            "resolveConflictsOnCreate": "OVERWRITE",
            "resolveConflictsOnUpdate": "OVERWRITE",
            "podIdentityAssociations": [
                {"roleArn": world.output("role", "arn"), "serviceAccount": "aws-node"}
            ],
        },
        update=lambda world: {"addonVersion": "v1.20.4-eksbuild.2"},
        replace={"addonName": "kube-proxy"},
        edit=lambda world, client, it: client("eks").update_addon(
            clusterName="shop", addonName="vpc-cni", podIdentityAssociations=[]
        ),
        seen="podIdentityAssociations",
    ),
    "entry": Sample(
        "aws:eks/accessEntry:AccessEntry",
        lambda world: {"clusterName": world.id("cluster"), "principalArn": world.output("role", "arn")},
        update=lambda world: {"kubernetesGroups": ["shop"]},
        replace={"principalArn": "arn:aws:iam::123456789012:role/other"},
    ),
    "entry-policy": Sample(
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        lambda world: {
            "clusterName": world.id("cluster"),
            "principalArn": world.output("entry", "principalArn"),
            "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
            "accessScope": {"type": "cluster"},
        },
        replace={"policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy"},
    ),
}

CLUSTER |= {
    "pod-role": Sample(
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        lambda world: {
            "clusterName": world.id("cluster"),
            "namespace": "kube-system",
            "serviceAccount": "karpenter",
            "roleArn": world.output("role", "arn"),
        },
        update=lambda world: {"disableSessionTags": True},
        replace={"serviceAccount": "other"},
        edit=lambda world, client, it: client("eks").update_pod_identity_association(
            clusterName="shop", associationId=it, disableSessionTags=True
        ),
        seen="disableSessionTags",
    ),
    "queue": Sample(
        "aws:sqs/queue:Queue",
        lambda world: {"name": "shop-nodes", "messageRetentionSeconds": 300, "sqsManagedSseEnabled": True},
        update=lambda world: {"messageRetentionSeconds": 600, "visibilityTimeoutSeconds": 60},
        replace={"name": "other"},
        edit=lambda world, client, it: client("sqs").set_queue_attributes(
            QueueUrl=it, Attributes={"MessageRetentionPeriod": "60"}
        ),
        seen="messageRetentionSeconds",
    ),
    "queue-policy": Sample(
        "aws:sqs/queuePolicy:QueuePolicy",
        lambda world: {
            "queueUrl": world.id("queue"),
            "policy": may_send(world.output("queue", "arn"), "events.amazonaws.com"),
        },
        update=lambda world: {"policy": may_send(world.output("queue", "arn"), "sqs.amazonaws.com")},
        replace={"queueUrl": "http://127.0.0.1/other"},
        edit=lambda world, client, it: client("sqs").set_queue_attributes(
            QueueUrl=it, Attributes={"Policy": may_send("*", "events.amazonaws.com")}
        ),
        seen="policy",
    ),
    "rule": Sample(
        "aws:cloudwatch/eventRule:EventRule",
        lambda world: {
            "name": "shop-spot",
            "description": "What EC2 takes back",
            "eventPattern": json.dumps(
                {"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]}
            ),
        },
        update=lambda world: {"description": "Spot", "state": "DISABLED"},
        replace={"name": "other"},
        edit=lambda world, client, it: client("events").disable_rule(Name=it),
        seen="state",
    ),
    "rule-target": Sample(
        "aws:cloudwatch/eventTarget:EventTarget",
        lambda world: {
            "rule": world.id("rule"),
            "targetId": "karpenter",
            "arn": world.output("queue", "arn"),
        },
        update=lambda world: {"arn": "arn:aws:sqs:us-east-1:123456789012:other"},
        replace={"rule": "other"},
        edit=lambda world, client, it: client("events").put_targets(
            Rule=world.id("rule"), Targets=[{"Id": "karpenter", "Arn": world.output("topic", "arn")}]
        ),
        seen="arn",
    ),
}


def may_send(queue: str, service: str) -> str:
    """A queue's policy."""
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": queue,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


PLATFORM = {**NETWORK, **CLUSTER}
