"""What SageMaker hosting refuses."""

from __future__ import annotations

from infra.rehearsal.cloud.aws.refusals.row import RefusalExample
from infra.rehearsal.cloud.aws.refusals.sagemaker_finders import (
    encrypted_local_storage,
    missing_group,
    missing_subnet,
    scaled_instance_changes,
    scaled_variant_goes,
    sized_local_storage,
)
from infra.rehearsal.cloud.aws.refusals.sagemaker_requests import (
    DOWN,
    NETWORK,
    PLACED,
    SECOND,
    SERVING,
    UNTAKEN,
    UPDATE,
    configuration,
    endpoint,
    hosting_row,
    model,
    size_volume,
    target,
)

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

ROWS = (
    hosting_row(
        "CreateModel",
        "a model of that name is there",
        ALREADY,
        SDK_101,
        "recorded",
        RefusalExample(
            before=(model("one"),), refused=model("one").parameters, passes=model("two").parameters
        ),
    ),
    hosting_row(
        "CreateModel",
        "the image is not in ECR",
        "Requested image {image} not found.",
        f"{GITHUB}aws/amazon-sagemaker-examples/issues/2491",
        "recorded",
        RefusalExample(
            refused={**model("one").parameters, "PrimaryContainer": {"Image": "${image}00"}},
            passes=model("one").parameters,
        ),
    ),
    hosting_row(
        "CreateModel",
        "a subnet of its VPC configuration is not there",
        "The subnet ID '{subnet}' does not exist",
        f"{API}VpcConfig.html",
        "documented",
        RefusalExample(
            before=NETWORK,
            refused=model("one", VpcConfig={**PLACED, "Subnets": ["subnet-0123456789abcdef0"]}).parameters,
            passes=model("one", VpcConfig=PLACED).parameters,
        ),
        missing_subnet,
    ),
    hosting_row(
        "CreateModel",
        "a security group of its VPC configuration is not there",
        "The security group '{group}' does not exist",
        f"{API}VpcConfig.html",
        "documented",
        RefusalExample(
            before=NETWORK,
            refused=model(
                "one", VpcConfig={**PLACED, "SecurityGroupIds": ["sg-0123456789abcdef0"]}
            ).parameters,
            passes=model("one", VpcConfig=PLACED).parameters,
        ),
        missing_group,
    ),
    hosting_row(
        "DeleteModel",
        "no model has that name",
        NOT_THERE,
        SDK_101,
        "recorded",
        RefusalExample(refused={"ModelName": "one"}, between=(model("one"),)),
    ),
    hosting_row(
        "CreateEndpointConfig",
        "a configuration of that name is there",
        ALREADY,
        SDK_101,
        "recorded",
        RefusalExample(
            before=(model("one"), configuration("one", "one")),
            refused=configuration("one", "one").parameters,
            passes=configuration("two", "one").parameters,
        ),
    ),
    hosting_row(
        "CreateEndpointConfig",
        "a model of it is not there",
        NOT_THERE,
        f"{API}CreateEndpointConfig.html",
        "documented",
        RefusalExample(refused=configuration("one", "one").parameters, between=(model("one"),)),
    ),
    hosting_row(
        "CreateEndpointConfig",
        "no instance type has that name",
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}",
        EXAMPLES_2236,
        "recorded",
        RefusalExample(
            before=(model("one"),),
            refused=configuration("one", "one", "ml.g99.xlarge").parameters,
            passes=configuration("one", "one", "ml.g6.xlarge").parameters,
        ),
    ),
    hosting_row(
        "CreateEndpointConfig",
        "two variants have one name",
        "Duplicate variant names are not allowed",
        f"{API}ProductionVariant.html",
        "documented",
        RefusalExample(
            before=(model("one"),),
            refused={
                "EndpointConfigName": "one",
                "ProductionVariants": configuration("one", "one").parameters["ProductionVariants"] * 2,
            },
            passes=configuration("one", "one").parameters,
        ),
    ),
    hosting_row(
        "CreateEndpointConfig",
        "a KMS key is asked for an instance with storage of its own",
        "KmsKeyId is not supported for instance type {instance}, which has local instance storage",
        f"{API}CreateEndpointConfig.html",
        "documented",
        RefusalExample(
            before=(model("one"),),
            refused=configuration("one", "one", "ml.g5.xlarge", KmsKeyId="alias/shop").parameters,
            passes=configuration("one", "one", "ml.m5.xlarge", KmsKeyId="alias/shop").parameters,
        ),
        encrypted_local_storage,
    ),
    hosting_row(
        "CreateEndpointConfig",
        "a volume's size is asked for an instance with storage of its own",
        "VolumeSizeInGB is not supported for instance type {instance}, which has local instance storage",
        f"{GUIDE}host-instance-storage.html",
        "documented",
        RefusalExample(
            before=(model("one"),),
            refused=size_volume("ml.m5d.xlarge"),
            passes=size_volume("ml.m5.xlarge"),
        ),
        sized_local_storage,
    ),
    hosting_row(
        "CreateEndpoint",
        "an endpoint of that name is there",
        ALREADY,
        SDK_101,
        "recorded",
        RefusalExample(
            before=SERVING,
            refused=endpoint("shop", "one").parameters,
            passes=endpoint("shop-2", "one").parameters,
        ),
    ),
    hosting_row(
        "CreateEndpoint",
        "its configuration is not there",
        NOT_THERE,
        f"{API}CreateEndpoint.html",
        "documented",
        RefusalExample(
            before=(model("one"),),
            refused=endpoint("shop", "one").parameters,
            between=(configuration("one", "one"),),
        ),
    ),
    hosting_row(
        "CreateEndpoint",
        "the name has an underscore",
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}",
        EXAMPLES_2236,
        "recorded",
        RefusalExample(
            before=(model("one"), configuration("one", "one")),
            refused=endpoint("a_shop", "one").parameters,
            passes=endpoint("a-shop", "one").parameters,
        ),
    ),
    hosting_row(
        "DescribeEndpoint",
        "no endpoint has that name",
        NOT_THERE,
        SDK_101,
        "recorded",
        RefusalExample(refused={"EndpointName": "shop"}, between=SERVING),
    ),
    hosting_row(
        "UpdateEndpoint",
        "the configuration asked for is not there",
        NOT_THERE,
        f"{API}UpdateEndpoint.html",
        "documented",
        RefusalExample(before=SERVING, refused=UPDATE, between=SECOND),
    ),
    hosting_row(
        "UpdateEndpoint",
        "the configuration that it is on was deleted",
        NOT_THERE,
        TF_40048,
        "recorded",
        RefusalExample(
            before=(*SERVING, *SECOND, UNTAKEN),
            refused=UPDATE,
            between=(configuration("one", "one"),),
        ),
    ),
    hosting_row(
        "UpdateEndpoint",
        "it changes the instance type of a variant that is registered with automatic scaling",
        "Cannot change the instance type of variant {variant} while it is registered with automatic scaling; "
        "deregister it first.",
        SCALED,
        "documented",
        RefusalExample(
            before=(*SERVING, target("shop"), model("two"), configuration("two", "two", "ml.c5.xlarge")),
            refused=UPDATE,
            between=(DOWN,),
        ),
        scaled_instance_changes,
    ),
    hosting_row(
        "UpdateEndpoint",
        "it takes away a variant that is registered with automatic scaling",
        "Cannot remove variant {variant} while it is registered with automatic scaling; deregister it first.",
        SCALED,
        "documented",
        RefusalExample(
            before=(*SERVING, target("shop"), model("two"), configuration("two", "two", variant="Other")),
            refused=UPDATE,
            between=(DOWN,),
        ),
        scaled_variant_goes,
    ),
    hosting_row(
        "UpdateEndpoint",
        "more than ten alarms are to turn it back",
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}",
        f"{API}AutoRollbackConfig.html",
        "documented",
        RefusalExample(
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
    hosting_row(
        "UpdateEndpoint",
        "a wait between shifts is longer than an hour",
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}",
        f"{API}TrafficRoutingConfig.html",
        "documented",
        RefusalExample(
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
    hosting_row(
        "UpdateEndpointWeightsAndCapacities",
        "the endpoint has no such variant",
        "Variant {variant} not found for endpoint {endpoint}.",
        f"{API}UpdateEndpointWeightsAndCapacities.html",
        "documented",
        RefusalExample(
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
    hosting_row(
        "DeleteEndpoint",
        "no endpoint has that name",
        NOT_THERE,
        SDK_101,
        "recorded",
        RefusalExample(refused={"EndpointName": "shop"}, between=SERVING),
    ),
    hosting_row(
        "DeleteEndpointConfig",
        "no configuration has that name",
        NOT_THERE,
        TF_40048,
        "recorded",
        RefusalExample(
            refused={"EndpointConfigName": "one"},
            between=(model("one"), configuration("one", "one")),
        ),
    ),
)
