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
    tag_map,
    tagger,
)

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


def _read_model(call: ResourceCall) -> Reading:
    model = call.api.describe_model(ModelName=call.id)
    return Reading(model, {"arn": model["ModelArn"]}, _tags(call, model["ModelArn"]))


def _create_model(call: ResourceCall) -> str:
    call.api.create_model(**call.body(), Tags=call.pairs())
    return str(call.inputs["name"])


MODEL = ResourceType(
    type="aws:sagemaker/model:Model",
    service="sagemaker",
    cloudformation="AWS::SageMaker::Model",
    properties={
        "name": text(api="ModelName", cfn="ModelName"),
        "executionRoleArn": text(required=True),
        "primaryContainer": thing(CONTAINER),
        "containers": items(CONTAINER),
        "enableNetworkIsolation": flag(),
        "vpcConfig": thing(
            {"subnets": unordered_list(required=True), "securityGroupIds": unordered_list(required=True)}
        ),
    },
    outputs=("arn",),
    identity=("name",),
    name="name",
    name_form=("", 63),
    find=lambda call: [call.inputs["name"]],
    create=_create_model,
    read=_read_model,
    delete=lambda call: call.api.delete_model(ModelName=call.id),
    tag=TAG,
    gone=GONE,
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


def _create_configuration(call: ResourceCall) -> str:
    body = call.body()
    for place, variant in enumerate(body["ProductionVariants"]):
        # terraform names what the program does not: internal/service/sagemaker/endpoint_configuration.go
        variant.setdefault("VariantName", f"variant-{place + 1}")
    call.api.create_endpoint_config(**body, Tags=call.pairs())
    return str(call.inputs["name"])


def _read_configuration(call: ResourceCall) -> Reading:
    answer = call.api.describe_endpoint_config(EndpointConfigName=call.id)
    arn = answer["EndpointConfigArn"]
    return Reading(answer, {"arn": arn}, _tags(call, arn))


CONFIGURATION = ResourceType(
    type="aws:sagemaker/endpointConfiguration:EndpointConfiguration",
    service="sagemaker",
    cloudformation="AWS::SageMaker::EndpointConfig",
    properties={
        "name": text(api="EndpointConfigName", cfn="EndpointConfigName"),
        "productionVariants": items(VARIANT, required=True),
        "kmsKeyArn": text(api="KmsKeyId", cfn="KmsKeyId"),
        "executionRoleArn": text(computed=True),
    },
    outputs=("arn",),
    identity=("name",),
    name="name",
    name_form=("", 63),
    find=lambda call: [call.inputs["name"]],
    create=_create_configuration,
    read=_read_configuration,
    delete=lambda call: call.api.delete_endpoint_config(EndpointConfigName=call.id),
    tag=TAG,
    gone=GONE,
)


def _create_endpoint(call: ResourceCall) -> str:
    call.api.create_endpoint(**call.body(), Tags=call.pairs())
    return str(call.inputs["name"])


def _update_endpoint(call: ResourceCall) -> None:
    """AWS keeps the capacity that automatic scaling gave only when told to."""
    body = call.body("endpointConfigName")
    call.api.update_endpoint(EndpointName=call.id, **body, RetainAllVariantProperties=True)


def _read_endpoint(call: ResourceCall) -> Reading | None:
    endpoint = _describe(call)
    if endpoint["EndpointStatus"] == "Deleting":
        # It is there until it is gone: the wait after a delete goes on, a refresh does not miss it.
        return Reading({"EndpointName": call.id}, {"arn": endpoint["EndpointArn"]}, {})
    return Reading(endpoint, {"arn": endpoint["EndpointArn"]}, _tags(call, endpoint["EndpointArn"]))


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


ENDPOINT = ResourceType(
    type="aws:sagemaker/endpoint:Endpoint",
    service="sagemaker",
    cloudformation="AWS::SageMaker::Endpoint",
    properties={
        "name": text(api="EndpointName", cfn="EndpointName"),
        "endpointConfigName": text(required=True),
    },
    outputs=("arn",),
    identity=("name",),
    name="name",
    name_form=("", 63),
    find=lambda call: [call.inputs["name"]],
    create=_create_endpoint,
    read=_read_endpoint,
    ready=_in_service,
    broken=_explain_failure,
    changes=(Update(("endpointConfigName",), _update_endpoint),),
    delete=lambda call: call.api.delete_endpoint(EndpointName=call.id),
    tag=TAG,
    gone=GONE,
    patience=3600.0,
)

RESOURCES = (MODEL, CONFIGURATION, ENDPOINT)
