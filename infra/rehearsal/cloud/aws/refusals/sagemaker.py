"""What SageMaker hosting refuses of Models and endpoint configurations."""

from __future__ import annotations

from infra.rehearsal.cloud.aws.refusals.row import RefusalExample
from infra.rehearsal.cloud.aws.refusals.sagemaker_finders import (
    encrypted_local_storage,
    missing_group,
    missing_subnet,
    other_networks_group,
    other_networks_subnet,
    sized_local_storage,
    variants_beside_a_shadow,
)
from infra.rehearsal.cloud.aws.refusals.sagemaker_requests import (
    ALREADY,
    API,
    EXAMPLES_2236,
    GITHUB,
    GUIDE,
    NETWORK,
    NOT_THERE,
    OTHER_NETWORK,
    PLACED,
    SDK_101,
    configuration,
    hosting_row,
    model,
    shadow_variants,
    size_volume,
)

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
        "CreateModel",
        "the subnets of its VPC configuration are in different VPCs",
        "The subnets {subnets} are not in the same VPC",
        f"{API}VpcConfig.html",
        "documented",
        RefusalExample(
            before=(*NETWORK, *OTHER_NETWORK),
            refused=model("one", VpcConfig={**PLACED, "Subnets": ["$subnet", "$other_subnet"]}).parameters,
            passes=model("one", VpcConfig=PLACED).parameters,
        ),
        other_networks_subnet,
    ),
    hosting_row(
        "CreateModel",
        "a security group of its VPC configuration is in another VPC than the subnets",
        "The security group '{group}' is not in the VPC '{vpc}' of the subnets",
        f"{API}VpcConfig.html",
        "documented",
        RefusalExample(
            before=(*NETWORK, *OTHER_NETWORK),
            refused=model(
                "one", VpcConfig={**PLACED, "SecurityGroupIds": ["$group", "$other_group"]}
            ).parameters,
            passes=model("one", VpcConfig=PLACED).parameters,
        ),
        other_networks_group,
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
        "there is a shadow variant beside more than one variant of either kind",
        "You can only specify one variant for ProductionVariants and one variant for ShadowProductionVariants.",
        f"{API}CreateEndpointConfig.html",
        "documented",
        RefusalExample(
            before=(model("one"),),
            refused=shadow_variants("one", "two"),
            passes=shadow_variants("one"),
        ),
        variants_beside_a_shadow,
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
)
