"""What SageMaker hosting refuses of the options of Models and configurations: network, time-outs, data capture."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.cloud.aws.refusals.row import RefusalExample, RefusalRow
from infra.rehearsal.cloud.aws.refusals.sagemaker_requests import (
    API,
    NETWORK,
    PLACED,
    configuration,
    hosting_row,
    model,
)

CONSTRAINT = "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {must}"
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://shop/captured",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


def time_out(key: str, seconds: int) -> dict[str, Any]:
    """A configuration `one` of the model `one` with that time-out."""
    (variant,) = configuration("one", "one").parameters["ProductionVariants"]
    return {"EndpointConfigName": "one", "ProductionVariants": [{**variant, key: seconds}]}


def capturing(**more: Any) -> dict[str, Any]:
    """A configuration `one` of the model `one` that captures."""
    return dict(configuration("one", "one", DataCaptureConfig={**CAPTURE, **more}).parameters)


def of_model(when: str, source: str, refused: dict[str, Any]) -> RefusalRow:
    placed = model("one", VpcConfig={**PLACED, **refused}).parameters
    example = RefusalExample(before=NETWORK, refused=placed, passes=model("one", VpcConfig=PLACED).parameters)
    return hosting_row("CreateModel", when, CONSTRAINT, f"{API}{source}.html", "documented", example)


def of_configuration(when: str, source: str, refused: dict[str, Any], passes: dict[str, Any]) -> RefusalRow:
    example = RefusalExample(before=(model("one"),), refused=refused, passes=passes)
    return hosting_row("CreateEndpointConfig", when, CONSTRAINT, f"{API}{source}.html", "documented", example)


HEALTH, DOWNLOAD = "ContainerStartupHealthCheckTimeoutInSeconds", "ModelDataDownloadTimeoutInSeconds"

ROWS = (
    of_model(
        "its VPC configuration has more than five security groups",
        "VpcConfig",
        {"SecurityGroupIds": ["$group"] * 6},
    ),
    of_model("its VPC configuration has more than 16 subnets", "VpcConfig", {"Subnets": ["$subnet"] * 17}),
    of_configuration(
        "a server is given more than an hour to become healthy",
        "ProductionVariant",
        time_out(HEALTH, 3601),
        time_out(HEALTH, 3600),
    ),
    of_configuration(
        "a model's files are given more than an hour to come",
        "ProductionVariant",
        time_out(DOWNLOAD, 3601),
        time_out(DOWNLOAD, 3600),
    ),
    of_configuration(
        "more than all requests are to be captured",
        "DataCaptureConfig",
        capturing(InitialSamplingPercentage=101),
        capturing(),
    ),
    of_configuration(
        "what is captured is to go elsewhere than to S3",
        "DataCaptureConfig",
        capturing(DestinationS3Uri="shop/captured"),
        capturing(),
    ),
    of_configuration(
        "what is to be captured is neither requests nor answers",
        "CaptureOption",
        capturing(CaptureOptions=[{"CaptureMode": "Both"}]),
        capturing(CaptureOptions=[{"CaptureMode": "InputAndOutput"}]),
    ),
)
