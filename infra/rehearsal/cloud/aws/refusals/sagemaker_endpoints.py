"""What SageMaker hosting refuses of endpoints."""

from __future__ import annotations

from infra.rehearsal.cloud.aws.refusals.row import RefusalExample
from infra.rehearsal.cloud.aws.refusals.sagemaker_finders import (
    scaled_instance_changes,
    scaled_variant_goes,
)
from infra.rehearsal.cloud.aws.refusals.sagemaker_requests import (
    ALREADY,
    API,
    DOWN,
    EXAMPLES_2236,
    NOT_THERE,
    SCALED,
    SDK_101,
    SECOND,
    SERVING,
    TF_40048,
    UNTAKEN,
    UPDATE,
    configuration,
    endpoint,
    hosting_row,
    model,
    target,
)

ROWS = (
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
