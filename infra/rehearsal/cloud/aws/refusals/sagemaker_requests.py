"""What the rows of SageMaker hosting are made of, and the calls that their examples begin with."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.cloud.aws.refusals.row import ExampleCall, RefusalExample, RefusalRow, refusal_row

API = "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_"
GUIDE = "https://docs.aws.amazon.com/sagemaker/latest/dg/"
GITHUB = "https://github.com/"
ALREADY = 'Cannot create already existing {kind} "{arn}".'
NOT_THERE = 'Could not find {kind} "{arn}".'
BUSY = 'Cannot update in-progress endpoint "{arn}".'
SDK_101 = f"{GITHUB}aws/sagemaker-python-sdk/issues/101"
TF_40048 = f"{GITHUB}hashicorp/terraform-provider-aws/issues/40048"
EXAMPLES_2236 = f"{GITHUB}aws/amazon-sagemaker-examples/issues/2236"
SCALED = f"{GUIDE}endpoint-scaling-update.html"
ROLE = "arn:aws:iam::123456789012:role/serving"


def model(name: str, **more: Any) -> ExampleCall:
    """A Model of that name, of the image that the example was given."""
    container = {"Image": "$image"}
    body = {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container, **more}
    return ExampleCall("sagemaker", "CreateModel", body)


def configuration(
    name: str, of: str, instance: str = "ml.m5.xlarge", variant: str = "AllTraffic", **more: Any
) -> ExampleCall:
    """A configuration with one variant of that model."""
    one = {"VariantName": variant, "ModelName": of, "InstanceType": instance, "InitialInstanceCount": 1}
    body = {"EndpointConfigName": name, "ProductionVariants": [one], **more}
    return ExampleCall("sagemaker", "CreateEndpointConfig", body)


def shadow_variants(*shadows: str) -> dict[str, Any]:
    """A configuration `one` of the model `one`, with shadow variants of the same model by those names."""
    asked = configuration("one", "one").parameters
    (one,) = asked["ProductionVariants"]
    return {**asked, "ShadowProductionVariants": [{**one, "VariantName": name} for name in shadows]}


def size_volume(instance: str) -> dict[str, Any]:
    """A configuration `one` of the model `one` that asks for a volume's size."""
    (one,) = configuration("one", "one", instance).parameters["ProductionVariants"]
    return {"EndpointConfigName": "one", "ProductionVariants": [{**one, "VolumeSizeInGB": 50}]}


def endpoint(name: str, of: str) -> ExampleCall:
    return ExampleCall("sagemaker", "CreateEndpoint", {"EndpointName": name, "EndpointConfigName": of})


def target(name: str, variant: str = "AllTraffic") -> ExampleCall:
    """The variant registered with automatic scaling."""
    body = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{variant}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1,
        "MaxCapacity": 2,
    }
    return ExampleCall("application-autoscaling", "RegisterScalableTarget", body)


SERVING = (model("one"), configuration("one", "one"), endpoint("shop", "one"))
"""An endpoint `shop` on a configuration `one`."""
NETWORK = (
    ExampleCall("ec2", "CreateVpc", {"CidrBlock": "10.9.0.0/16"}, {"vpc": "Vpc.VpcId"}),
    ExampleCall(
        "ec2", "CreateSubnet", {"VpcId": "$vpc", "CidrBlock": "10.9.0.0/24"}, {"subnet": "Subnet.SubnetId"}
    ),
    ExampleCall(
        "ec2",
        "CreateSecurityGroup",
        {"VpcId": "$vpc", "GroupName": "models", "Description": "models"},
        {"group": "GroupId"},
    ),
)
OTHERS = {"10.9.0.0/16": "10.8.0.0/16", "10.9.0.0/24": "10.8.0.0/24", "$vpc": "$other_vpc"}
OTHER_NETWORK = tuple(
    ExampleCall(
        one.service,
        one.operation,
        {key: OTHERS.get(value, value) for key, value in one.parameters.items()},
        {f"other_{name}": path for name, path in one.keep.items()},
    )
    for one in NETWORK
)
"""The same in another VPC."""
PLACED = {"Subnets": ["$subnet"], "SecurityGroupIds": ["$group"]}
UPDATE = {"EndpointName": "shop", "EndpointConfigName": "two"}
UNTAKEN = ExampleCall("sagemaker", "DeleteEndpointConfig", {"EndpointConfigName": "one"})
SECOND = (model("two"), configuration("two", "two"))
DOWN = ExampleCall(
    "application-autoscaling",
    "DeregisterScalableTarget",
    {key: value for key, value in target("shop").parameters.items() if not key.endswith("Capacity")},
)


def hosting_row(
    operation: str, when: str, words: str, source: str, label: Any, example: RefusalExample, find: Any = None
) -> RefusalRow:
    """A row of SageMaker, whose code is always ValidationException."""
    return refusal_row(
        "sagemaker", operation, when, "ValidationException", words, source, label, example, find
    )
