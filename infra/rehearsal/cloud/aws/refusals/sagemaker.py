"""What SageMaker hosting refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.hosting import Hosting
from infra.rehearsal.cloud.aws.refusals.row import Example, Found, Refusal, Request

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

API = "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_"
GUIDE = "https://docs.aws.amazon.com/sagemaker/latest/dg/"
GITHUB = "https://github.com/"
ROLE = "arn:aws:iam::123456789012:role/serving"
LOCAL_STORAGE = (
    "g4dn",
    "g5",
    "g6",
    "g6e",
    "p3dn",
    "p4d",
    "p4de",
    "p5",
    "p5e",
    "p5en",
    "trn1",
    "trn1n",
    "trn2",
)
"""Families with instance storage whose names do not end in d, n after the digit aside."""


def model(name: str, **more: Any) -> Request:
    """A Model of that name, of the image that the example was given."""
    container = {"Image": "$image"}
    body = {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container, **more}
    return Request("sagemaker", "CreateModel", body)


def configuration(
    name: str, of: str, instance: str = "ml.m5.xlarge", variant: str = "AllTraffic", **more: Any
) -> Request:
    """A configuration with one variant of that model."""
    one = {"VariantName": variant, "ModelName": of, "InstanceType": instance, "InitialInstanceCount": 1}
    body = {"EndpointConfigName": name, "ProductionVariants": [one], **more}
    return Request("sagemaker", "CreateEndpointConfig", body)


def sized(instance: str) -> dict[str, Any]:
    """A configuration `one` of the model `one` that asks for a volume's size."""
    (one,) = configuration("one", "one", instance).parameters["ProductionVariants"]
    return {"EndpointConfigName": "one", "ProductionVariants": [{**one, "VolumeSizeInGB": 50}]}


def endpoint(name: str, of: str) -> Request:
    return Request("sagemaker", "CreateEndpoint", {"EndpointName": name, "EndpointConfigName": of})


def target(name: str, variant: str = "AllTraffic") -> Request:
    """The variant registered with automatic scaling."""
    body = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{variant}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1,
        "MaxCapacity": 2,
    }
    return Request("application-autoscaling", "RegisterScalableTarget", body)


SERVING = (model("one"), configuration("one", "one"), endpoint("shop", "one"))
"""An endpoint `shop` on a configuration `one`."""


def hosting(account: Surroundings) -> Hosting:
    """What the emulated hosting keeps."""
    found: Hosting = account.state.get("sagemaker") or Hosting()
    return found


def scaled_variants(region: str, name: str) -> Iterator[str]:
    """The variants of the endpoint that are registered with automatic scaling."""
    from moto.applicationautoscaling.models import applicationautoscaling_backends

    targets = applicationautoscaling_backends[ACCOUNT][region].targets
    for resource in targets.get("sagemaker:variant:DesiredInstanceCount", ()):
        kind, of, _, variant = resource.split("/")
        if (kind, of) == ("endpoint", name):
            yield variant


def instance_types(account: Surroundings, region: str, name: str) -> Mapping[str, str]:
    """Instance type by variant, of a configuration; empty where there is none."""
    found = hosting(account).configurations.get((region, name), {})
    return {one["VariantName"]: one["InstanceType"] for one in found.get("ProductionVariants", ())}


def _scaled_instance_changes(account: Surroundings, call: ApiCall) -> Found:
    name, wanted = call.parameters["EndpointName"], call.parameters["EndpointConfigName"]
    there = hosting(account).endpoints.get((call.region, name))
    old = instance_types(account, call.region, there.configuration) if there else {}
    new = instance_types(account, call.region, wanted)
    for variant in scaled_variants(call.region, name):
        if old.get(variant) and new.get(variant, old[variant]) != old[variant]:
            return {"variant": variant}
    return None


def _scaled_variant_goes(account: Surroundings, call: ApiCall) -> Found:
    name, wanted = call.parameters["EndpointName"], call.parameters["EndpointConfigName"]
    new = instance_types(account, call.region, wanted)
    gone = [variant for variant in scaled_variants(call.region, name) if new and variant not in new]
    return {"variant": gone[0]} if gone else None


def has_local_storage(instance: str) -> bool:
    """Whether an instance type has NVMe storage of its own (ml.g5.xlarge, ml.m5d.large)."""
    family = instance.split(".")[1]
    return family in LOCAL_STORAGE or family.rstrip("n").endswith("d")


def _encrypted_local_storage(account: Surroundings, call: ApiCall) -> Found:
    variants = call.parameters["ProductionVariants"] if call.parameters.get("KmsKeyId") else ()
    local = [
        one["InstanceType"] for one in variants if has_local_storage(one.get("InstanceType", "ml.none."))
    ]
    return {"instance": local[0]} if local else None


def _sized_local_storage(account: Surroundings, call: ApiCall) -> Found:
    local = [
        one["InstanceType"]
        for one in call.parameters["ProductionVariants"]
        if one.get("VolumeSizeInGB") and has_local_storage(one.get("InstanceType", "ml.none."))
    ]
    return {"instance": local[0]} if local else None


def _missing_subnet(account: Surroundings, call: ApiCall) -> Found:
    from moto.ec2.models import ec2_backends

    asked = (call.parameters.get("VpcConfig") or {}).get("Subnets", ())
    zones = ec2_backends[ACCOUNT][call.region].subnets.values() if asked else ()
    known = {name for zone in zones for name in zone}
    missing = [name for name in asked if name not in known]
    return {"subnet": missing[0]} if missing else None


def _missing_group(account: Surroundings, call: ApiCall) -> Found:
    from moto.ec2.models import ec2_backends

    asked = (call.parameters.get("VpcConfig") or {}).get("SecurityGroupIds", ())
    networks = ec2_backends[ACCOUNT][call.region].groups.values() if asked else ()
    known = {name for groups in networks for name in groups}
    missing = [name for name in asked if name not in known]
    return {"group": missing[0]} if missing else None


def _row(
    operation: str, when: str, words: str, source: str, label: Any, example: Example, find: Any = None
) -> Refusal:
    return Refusal(
        service="sagemaker",
        operation=operation,
        when=when,
        code="ValidationException",
        words=words,
        source=source,
        label=label,
        example=example,
        find=find,
    )


NETWORK = (
    Request("ec2", "CreateVpc", {"CidrBlock": "10.9.0.0/16"}, {"vpc": "Vpc.VpcId"}),
    Request(
        "ec2", "CreateSubnet", {"VpcId": "$vpc", "CidrBlock": "10.9.0.0/24"}, {"subnet": "Subnet.SubnetId"}
    ),
    Request(
        "ec2",
        "CreateSecurityGroup",
        {"VpcId": "$vpc", "GroupName": "models", "Description": "models"},
        {"group": "GroupId"},
    ),
)
PLACED = {"Subnets": ["$subnet"], "SecurityGroupIds": ["$group"]}
ALREADY = 'Cannot create already existing {kind} "{arn}".'
NOT_THERE = 'Could not find {kind} "{arn}".'
BUSY = 'Cannot update in-progress endpoint "{arn}".'
UPDATE = {"EndpointName": "shop", "EndpointConfigName": "two"}
SDK_101 = f"{GITHUB}aws/sagemaker-python-sdk/issues/101"
TF_40048 = f"{GITHUB}hashicorp/terraform-provider-aws/issues/40048"
EXAMPLES_2236 = f"{GITHUB}aws/amazon-sagemaker-examples/issues/2236"
SCALED = f"{GUIDE}endpoint-scaling-update.html"
UNTAKEN = Request("sagemaker", "DeleteEndpointConfig", {"EndpointConfigName": "one"})
SECOND = (model("two"), configuration("two", "two"))
DOWN = Request(
    "application-autoscaling",
    "DeregisterScalableTarget",
    {key: value for key, value in target("shop").parameters.items() if not key.endswith("Capacity")},
)

ROWS = (
    _row(
        "CreateModel",
        "a model of that name is there",
        ALREADY,
        SDK_101,
        "recorded",
        Example(before=(model("one"),), refused=model("one").parameters, passes=model("two").parameters),
    ),
    _row(
        "CreateModel",
        "the image is not in ECR",
        "Requested image {image} not found.",
        f"{GITHUB}aws/amazon-sagemaker-examples/issues/2491",
        "recorded",
        Example(
            refused={**model("one").parameters, "PrimaryContainer": {"Image": "${image}00"}},
            passes=model("one").parameters,
        ),
    ),
    _row(
        "CreateModel",
        "a subnet of its VPC configuration is not there",
        "The subnet ID '{subnet}' does not exist",
        f"{API}VpcConfig.html",
        "documented",
        Example(
            before=NETWORK,
            refused=model("one", VpcConfig={**PLACED, "Subnets": ["subnet-0123456789abcdef0"]}).parameters,
            passes=model("one", VpcConfig=PLACED).parameters,
        ),
        _missing_subnet,
    ),
    _row(
        "CreateModel",
        "a security group of its VPC configuration is not there",
        "The security group '{group}' does not exist",
        f"{API}VpcConfig.html",
        "documented",
        Example(
            before=NETWORK,
            refused=model(
                "one", VpcConfig={**PLACED, "SecurityGroupIds": ["sg-0123456789abcdef0"]}
            ).parameters,
            passes=model("one", VpcConfig=PLACED).parameters,
        ),
        _missing_group,
    ),
    _row(
        "DeleteModel",
        "no model has that name",
        NOT_THERE,
        SDK_101,
        "recorded",
        Example(refused={"ModelName": "one"}, between=(model("one"),)),
    ),
    _row(
        "CreateEndpointConfig",
        "a configuration of that name is there",
        ALREADY,
        SDK_101,
        "recorded",
        Example(
            before=(model("one"), configuration("one", "one")),
            refused=configuration("one", "one").parameters,
            passes=configuration("two", "one").parameters,
        ),
    ),
    _row(
        "CreateEndpointConfig",
        "a model of it is not there",
        NOT_THERE,
        f"{API}CreateEndpointConfig.html",
        "documented",
        Example(refused=configuration("one", "one").parameters, between=(model("one"),)),
    ),
    _row(
        "CreateEndpointConfig",
        "no instance type has that name",
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}",
        EXAMPLES_2236,
        "recorded",
        Example(
            before=(model("one"),),
            refused=configuration("one", "one", "ml.g99.xlarge").parameters,
            passes=configuration("one", "one", "ml.g6.xlarge").parameters,
        ),
    ),
    _row(
        "CreateEndpointConfig",
        "two variants have one name",
        "Duplicate variant names are not allowed",
        f"{API}ProductionVariant.html",
        "documented",
        Example(
            before=(model("one"),),
            refused={
                "EndpointConfigName": "one",
                "ProductionVariants": configuration("one", "one").parameters["ProductionVariants"] * 2,
            },
            passes=configuration("one", "one").parameters,
        ),
    ),
    _row(
        "CreateEndpointConfig",
        "a KMS key is asked for an instance with storage of its own",
        "KmsKeyId is not supported for instance type {instance}, which has local instance storage",
        f"{API}CreateEndpointConfig.html",
        "documented",
        Example(
            before=(model("one"),),
            refused=configuration("one", "one", "ml.g5.xlarge", KmsKeyId="alias/shop").parameters,
            passes=configuration("one", "one", "ml.m5.xlarge", KmsKeyId="alias/shop").parameters,
        ),
        _encrypted_local_storage,
    ),
    _row(
        "CreateEndpointConfig",
        "a volume's size is asked for an instance with storage of its own",
        "VolumeSizeInGB is not supported for instance type {instance}, which has local instance storage",
        f"{GUIDE}host-instance-storage.html",
        "documented",
        Example(
            before=(model("one"),),
            refused=sized("ml.m5d.xlarge"),
            passes=sized("ml.m5.xlarge"),
        ),
        _sized_local_storage,
    ),
    _row(
        "CreateEndpoint",
        "an endpoint of that name is there",
        ALREADY,
        SDK_101,
        "recorded",
        Example(
            before=SERVING,
            refused=endpoint("shop", "one").parameters,
            passes=endpoint("shop-2", "one").parameters,
        ),
    ),
    _row(
        "CreateEndpoint",
        "its configuration is not there",
        NOT_THERE,
        f"{API}CreateEndpoint.html",
        "documented",
        Example(
            before=(model("one"),),
            refused=endpoint("shop", "one").parameters,
            between=(configuration("one", "one"),),
        ),
    ),
    _row(
        "CreateEndpoint",
        "the name has an underscore",
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}",
        EXAMPLES_2236,
        "recorded",
        Example(
            before=(model("one"), configuration("one", "one")),
            refused=endpoint("a_shop", "one").parameters,
            passes=endpoint("a-shop", "one").parameters,
        ),
    ),
    _row(
        "DescribeEndpoint",
        "no endpoint has that name",
        NOT_THERE,
        SDK_101,
        "recorded",
        Example(refused={"EndpointName": "shop"}, between=SERVING),
    ),
    _row(
        "UpdateEndpoint",
        "the configuration asked for is not there",
        NOT_THERE,
        f"{API}UpdateEndpoint.html",
        "documented",
        Example(before=SERVING, refused=UPDATE, between=SECOND),
    ),
    _row(
        "UpdateEndpoint",
        "the configuration that it is on was deleted",
        NOT_THERE,
        TF_40048,
        "recorded",
        Example(
            before=(*SERVING, *SECOND, UNTAKEN),
            refused=UPDATE,
            between=(configuration("one", "one"),),
        ),
    ),
    _row(
        "UpdateEndpoint",
        "it changes the instance type of a variant that is registered with automatic scaling",
        "Cannot change the instance type of variant {variant} while it is registered with automatic scaling; "
        "deregister it first.",
        SCALED,
        "documented",
        Example(
            before=(*SERVING, target("shop"), model("two"), configuration("two", "two", "ml.c5.xlarge")),
            refused=UPDATE,
            between=(DOWN,),
        ),
        _scaled_instance_changes,
    ),
    _row(
        "UpdateEndpoint",
        "it takes away a variant that is registered with automatic scaling",
        "Cannot remove variant {variant} while it is registered with automatic scaling; deregister it first.",
        SCALED,
        "documented",
        Example(
            before=(*SERVING, target("shop"), model("two"), configuration("two", "two", variant="Other")),
            refused=UPDATE,
            between=(DOWN,),
        ),
        _scaled_variant_goes,
    ),
    _row(
        "UpdateEndpoint",
        "more than ten alarms are to turn it back",
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}",
        f"{API}AutoRollbackConfig.html",
        "documented",
        Example(
            before=(*SERVING, *SECOND),
            refused={
                **UPDATE,
                "DeploymentConfig": {
                    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": f"a-{n}"} for n in range(11)]}
                },
            },
            passes={
                **UPDATE,
                "DeploymentConfig": {
                    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": f"a-{n}"} for n in range(10)]}
                },
            },
        ),
    ),
    _row(
        "UpdateEndpoint",
        "a wait between shifts is longer than an hour",
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}",
        f"{API}TrafficRoutingConfig.html",
        "documented",
        Example(
            before=(*SERVING, *SECOND),
            refused={
                **UPDATE,
                "DeploymentConfig": {
                    "BlueGreenUpdatePolicy": {
                        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 3601}
                    }
                },
            },
            passes={
                **UPDATE,
                "DeploymentConfig": {
                    "BlueGreenUpdatePolicy": {
                        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
                    }
                },
            },
        ),
    ),
    _row(
        "UpdateEndpointWeightsAndCapacities",
        "the endpoint has no such variant",
        "Variant {variant} not found for endpoint {endpoint}.",
        f"{API}UpdateEndpointWeightsAndCapacities.html",
        "documented",
        Example(
            before=SERVING,
            refused={
                "EndpointName": "shop",
                "DesiredWeightsAndCapacities": [{"VariantName": "Other", "DesiredWeight": 1}],
            },
            passes={
                "EndpointName": "shop",
                "DesiredWeightsAndCapacities": [{"VariantName": "AllTraffic", "DesiredWeight": 1}],
            },
        ),
    ),
    _row(
        "DeleteEndpoint",
        "no endpoint has that name",
        NOT_THERE,
        SDK_101,
        "recorded",
        Example(refused={"EndpointName": "shop"}, between=SERVING),
    ),
    _row(
        "DeleteEndpointConfig",
        "no configuration has that name",
        NOT_THERE,
        TF_40048,
        "recorded",
        Example(
            refused={"EndpointConfigName": "one"},
            between=(model("one"), configuration("one", "one")),
        ),
    ),
)
