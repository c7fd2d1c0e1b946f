"""Amazon SageMaker hosting: model, endpoint configuration, endpoint."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.engine.provider import ProviderError
from infra.rehearsal.providers.aws.property_types import (
    Properties,
    flag,
    integer,
    items,
    mapping,
    number,
    text,
    thing,
    unordered_list,
)
from infra.rehearsal.providers.aws.resource import (
    Reading,
    ResourceCall,
    ResourceType,
    Update,
    tagger,
)
from infra.tags import tag_map

TAG = tagger("add_tags", "delete_tags", "ResourceArn")
GONE = ("ValidationException:could not find", "ResourceNotFound")


def _tags(call: ResourceCall, arn: str) -> dict[str, str]:
    pages = call.api.get_paginator("list_tags").paginate(ResourceArn=arn)
    return tag_map(pair for page in pages for pair in page["Tags"])


CONTAINER: Properties = {
    "image": text(),
    "mode": text(computed=True),
    "modelDataUrl": text(),
    "modelPackageName": text(),
    "containerHostname": text(),
    "environment": mapping(),
    "inferenceSpecificationName": text(),
    "imageConfig": thing({"repositoryAccessMode": text(required=True)}),
}


def _hosting(noun: str, type: str, properties: Properties, **more: Any) -> ResourceType:  # noqa: A002
    """A row whose calls, members and ARN are named after the API's `noun`; `more` is what it has otherwise."""
    calls = {"Model": "model", "EndpointConfig": "endpoint_config", "Endpoint": "endpoint"}[noun]

    def create(call: ResourceCall) -> str:
        body = call.body()
        for place, variant in enumerate(body.get("ProductionVariants", ())):
            # terraform names what the program does not: internal/service/sagemaker/endpoint_configuration.go
            variant.setdefault("VariantName", f"variant-{place + 1}")
        getattr(call.api, f"create_{calls}")(**body, Tags=call.pairs())
        return str(call.inputs["name"])

    def read(call: ResourceCall) -> Reading:
        answer = getattr(call.api, f"describe_{calls}")(**{f"{noun}Name": call.id})
        arn = answer[f"{noun}Arn"]
        if answer.get("EndpointStatus") == "Deleting":
            # It is there until it is gone: the wait after a delete goes on, a refresh does not miss it.
            return Reading({f"{noun}Name": call.id}, {"arn": arn}, {})
        return Reading(answer, {"arn": arn}, _tags(call, arn))

    return ResourceType(
        type=type,
        service="sagemaker",
        cloudformation=f"AWS::SageMaker::{noun}",
        properties={"name": text(api=f"{noun}Name", cfn=f"{noun}Name"), **properties},
        outputs=("arn",),
        identity=("name",),
        name="name",
        name_form=("", 63),
        create=create,
        read=read,
        delete=lambda call: getattr(call.api, f"delete_{calls}")(**{f"{noun}Name": call.id}),
        tag=TAG,
        gone=GONE,
        **more,
    )


MODEL = _hosting(
    "Model",
    "aws:sagemaker/model:Model",
    {
        "executionRoleArn": text(required=True),
        "primaryContainer": thing(CONTAINER),
        "containers": items(CONTAINER),
        "enableNetworkIsolation": flag(),
        "vpcConfig": thing(
            {"subnets": unordered_list(required=True), "securityGroupIds": unordered_list(required=True)}
        ),
    },
)

VARIANT: Properties = {
    "variantName": text(computed=True),
    "modelName": text(),
    "instanceType": text(),
    "initialInstanceCount": integer(),
    "initialVariantWeight": number(default=1),
    "containerStartupHealthCheckTimeoutInSeconds": integer(),
    "modelDataDownloadTimeoutInSeconds": integer(),
    "volumeSizeInGb": integer(api="VolumeSizeInGB"),
    "inferenceAmiVersion": text(),
}


CAPTURE: Properties = {
    "enableCapture": flag(),
    "initialSamplingPercentage": integer(required=True),
    "destinationS3Uri": text(required=True),
    "kmsKeyId": text(),
    "captureOptions": items({"captureMode": text(required=True)}, required=True),
    "captureContentTypeHeader": thing(
        {"jsonContentTypes": unordered_list(), "csvContentTypes": unordered_list()}
    ),
}


CONFIGURATION = _hosting(
    "EndpointConfig",
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
    {
        "productionVariants": items(VARIANT, required=True),
        "shadowProductionVariants": items(VARIANT),
        "kmsKeyArn": text(api="KmsKeyId", cfn="KmsKeyId"),
        "dataCaptureConfig": thing(CAPTURE),
        "executionRoleArn": text(computed=True),
    },
)


def _update_endpoint(call: ResourceCall) -> None:
    """AWS keeps the capacity that automatic scaling gave only when told to."""
    body = call.body("endpointConfigName")
    call.api.update_endpoint(EndpointName=call.id, **body, RetainAllVariantProperties=True)


def _describe(call: ResourceCall) -> dict[str, Any]:
    return dict(call.api.describe_endpoint(EndpointName=call.id))


def _in_service(call: ResourceCall) -> bool:
    endpoint = _describe(call)
    status, wanted = endpoint["EndpointStatus"], call.inputs["endpointConfigName"]
    if status == "Failed":
        raise ProviderError("EndpointFailed", endpoint.get("FailureReason") or f"endpoint {call.id} failed")
    if status != "InService":
        return False
    moved = call.olds.get("endpointConfigName", wanted) != wanted
    if moved and endpoint["EndpointConfigName"] != wanted:
        # SageMaker rolls an update back and calls the endpoint InService again.
        reason = endpoint.get("FailureReason") or "rolled back"
        raise ProviderError(
            "EndpointUpdateFailed", f"{call.id} is still on {endpoint['EndpointConfigName']}: {reason}"
        )
    return True


def _explain_failure(call: ResourceCall) -> str:
    endpoint = _describe(call)
    return str(endpoint.get("FailureReason") or "Failed") if endpoint["EndpointStatus"] == "Failed" else ""


ENDPOINT = _hosting(
    "Endpoint",
    "aws:sagemaker/endpoint:Endpoint",
    {"endpointConfigName": text(required=True)},
    ready=_in_service,
    broken=_explain_failure,
    changes=(Update(("endpointConfigName",), _update_endpoint),),
    patience=3600.0,
)

RESOURCES = (MODEL, CONFIGURATION, ENDPOINT)
