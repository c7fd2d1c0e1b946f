"""SageMaker hosting as its API tells it: ARNs, tags, images, summaries of variants and endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError
from infra.rehearsal.cloud.aws.hosting import Endpoint, PendingDeployment, ProductionVariant
from infra.rehearsal.cloud.aws.overlay.base import Surroundings, arn
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Servers

IMAGE = re.compile(
    rf"(?:{re.escape(LOOPBACK)}|localhost):\d+/(?P<name>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:\w+))?"
)
KINDS = {"model": "model", "endpoint configuration": "endpoint-config", "endpoint": "endpoint"}


def summary(variant: ProductionVariant, share: float = 1.0) -> dict[str, Any]:
    """A variant with `share` of the requests that it is to have in the end: that its current weight is so much less
    while two fleets serve is our reading of the API's page.
    """
    resolved = (
        f"{variant.specified.partition('@')[0].partition('/')[0]}/{variant.repository}@{variant.digest}"
    )
    image = {
        "SpecifiedImage": variant.specified,
        "ResolvedImage": resolved,
        "ResolutionTime": variant.resolved_at,
    }
    return {
        "VariantName": variant.name,
        "DeployedImages": [image],
        "CurrentWeight": variant.weight if variant.shadow else variant.weight * share,
        "DesiredWeight": variant.weight,
        "CurrentInstanceCount": variant.count,
        "DesiredInstanceCount": variant.count,
    }


def list_configured(configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All variants of an endpoint configuration, its shadow last."""
    return [*configuration["ProductionVariants"], *configuration.get("ShadowProductionVariants", ())]


def arn_of(region: str, kind: str, name: str) -> str:
    return arn("sagemaker", region, f"{KINDS[kind]}/{name.lower()}")


def invalid(message: str) -> ApiError:
    return ApiError("ValidationException", message)


def pairs(tags: Any) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def row(endpoint: Endpoint) -> dict[str, Any]:
    """What ListEndpoints tells of an endpoint."""
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": arn_of(endpoint.region, "endpoint", endpoint.name),
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created,
        "LastModifiedTime": endpoint.modified,
    }


def list_rows(
    call: ApiCall, store: Mapping[Any, dict[str, Any]], names: tuple[str, str]
) -> list[dict[str, Any]]:
    """What a list of models or configurations tells of each in the call's region."""
    fields = (*names, "CreationTime")
    return [
        {name: record[name] for name in fields}
        for (region, _), record in store.items()
        if region == call.region
    ]


def describe(endpoint: Endpoint) -> dict[str, Any]:
    """What DescribeEndpoint tells."""
    found: dict[str, Any] = row(endpoint) | {"EndpointConfigName": endpoint.configuration}
    if endpoint.variants:
        left = 1 - endpoint.pending.share if endpoint.pending else 1.0
        found |= by_kind(endpoint.variants, lambda variant: summary(variant, left))
    if endpoint.failure:
        found["FailureReason"] = endpoint.failure
    if endpoint.deployment:
        found["LastDeploymentConfig"] = endpoint.deployment
    if endpoint.pending and endpoint.variants:
        found["PendingDeploymentSummary"] = show_pending(endpoint.pending)
    return found


def show_pending(pending: PendingDeployment) -> dict[str, Any]:
    """How far an update is, by API_PendingDeploymentSummary."""
    status = {"Status": pending.stage, "StartTime": pending.since or pending.started}
    return {
        "EndpointConfigName": pending.configuration,
        **by_kind(pending.variants, lambda one: {**summary(one, pending.share), "VariantStatus": [status]}),
        "StartTime": pending.started,
    }


def by_kind(
    variants: tuple[ProductionVariant, ...], tell: Callable[[ProductionVariant], dict[str, Any]]
) -> dict[str, Any]:
    """Production variants, and shadow variants where there are any."""
    shadows = [tell(variant) for variant in variants if variant.shadow]
    told: dict[str, Any] = {
        "ProductionVariants": [tell(variant) for variant in variants if not variant.shadow]
    }
    return {**told, "ShadowProductionVariants": shadows} if shadows else told


def show(endpoint: Endpoint, route: Servers) -> dict[str, Any]:
    """What `cloud status` shows."""
    whole = sum(way.weight for way in route if not way.shadow) or 1.0
    servers = [
        {
            "id": way.server.id,
            "variant": way.variant,
            "pid": way.server.pid,
            "image": way.server.image,
            "share": 0.0 if way.shadow else round(way.weight / whole, 4),
            **({"copied": way.full} if way.shadow else {}),
        }
        for way in route
    ]
    return {
        "name": endpoint.name,
        "region": endpoint.region,
        "status": endpoint.status,
        "configuration": endpoint.configuration,
        "failure": endpoint.failure,
        "isolation": ", ".join(sorted({way.server.isolation for way in route})),
        "servers": servers,
    }


def resolve_image(account: Surroundings, image: str) -> tuple[str, str]:
    """Repository and digest of an image in the local registry. Raises ApiError where there is none."""
    match = IMAGE.fullmatch(image)
    name, reference = ("", "")
    if match:
        name, reference = match["name"], match["digest"] or match["tag"] or "latest"
    found = account.registry.holdings.resolve(name, reference) if match else None
    if found is None or not account.registry.repositories.exists(name):
        raise invalid(f"Requested image {image} not found.")
    return name, found.digest
