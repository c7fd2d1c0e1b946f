"""What endpoint configurations are made of, from what a release asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from infra.components.hosting_rights import CAPTURED
from infra.hosting import CaptureSpec, HostingOptions
from infra.targets.base import Declared, Service

if TYPE_CHECKING:
    from pulumi_aws import sagemaker

MODES = {"requests": "Input", "answers": "Output"}
AS_TEXT = ("application/json", "application/jsonlines")
"""Kept as they are, where others are kept in base64."""
UNKNOWN_BUCKET = "not-there-yet"


def variant_settings(release: Declared, model: pulumi.Input[str], weight: float = 1.0) -> dict[str, Any]:
    """A variant of a release's Model, of either kind."""
    return {
        "model_name": model,
        "instance_type": release.instance,
        "initial_instance_count": release.count,
        "initial_variant_weight": weight,
        "inference_ami_version": release.host_image or None,
        "container_startup_health_check_timeout_in_seconds": release.hosting.startup_timeout,
        "model_data_download_timeout_in_seconds": release.hosting.download_timeout,
    }


def bucket_of(service: Service) -> str:
    """The service's own, where requests are kept if they are."""
    return str(service.base.get("bucket") or UNKNOWN_BUCKET)


def vpc_config(hosting: HostingOptions) -> sagemaker.ModelVpcConfigArgs | None:
    from pulumi_aws import sagemaker

    network = hosting.placed
    if network is None:
        return None
    return sagemaker.ModelVpcConfigArgs(
        subnets=list(network.subnets), security_group_ids=list(network.security_groups)
    )


def capture_config(
    capture: CaptureSpec | None, endpoint: str, bucket: str
) -> sagemaker.EndpointConfigurationDataCaptureConfigArgs | None:
    """SageMaker adds the endpoint, the variant and the hour to the place."""
    from pulumi_aws import sagemaker

    if capture is None:
        return None
    return sagemaker.EndpointConfigurationDataCaptureConfigArgs(
        enable_capture=True,
        initial_sampling_percentage=capture.percent,
        destination_s3_uri=f"s3://{bucket}/{CAPTURED}",
        kms_key_id=capture.key,
        capture_options=[
            sagemaker.EndpointConfigurationDataCaptureConfigCaptureOptionArgs(capture_mode=MODES[one])
            for one in capture.of
        ],
        capture_content_type_header=sagemaker.EndpointConfigurationDataCaptureConfigCaptureContentTypeHeaderArgs(
            json_content_types=list(AS_TEXT), csv_content_types=["text/csv"]
        ),
    )
