"""What SageMaker says of an endpoint, and waiting until it says what was asked for.

SageMaker rolls a failed update back by itself and ends InService, as after a success: only the configuration an
endpoint *ends* on tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.aws_session import CAPACITY, QUOTA, error_code, error_message, meaning, refusals
from infra.targets.base import Clock, Observation, Phase
from modelpack.errors import CloudRefused, EcomdeployError, Unhealthy
from modelpack.progress import Progress

PHASES = {
    "Creating": Phase.CREATING,
    "InService": Phase.SERVING,
    "Updating": Phase.CHANGING,
    "SystemUpdating": Phase.CHANGING,
    "RollingBack": Phase.CHANGING,
    "OutOfService": Phase.DEGRADED,
    "UpdateRollbackFailed": Phase.DEGRADED,
    "Failed": Phase.FAILED,
    "Deleting": Phase.REMOVING,
}
"""https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html, EndpointStatus"""
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.1, 10.0, 1.4
LOOKS_ELSEWHERE = 3
"""How often an endpoint may look settled on another configuration, without having been seen changing, before
that is believed: the answer to DescribeEndpoint may lag behind UpdateEndpoint."""


def observation(answer: Mapping[str, Any]) -> Observation:
    """From the answer of DescribeEndpoint."""
    variants = answer.get("ProductionVariants") or ()
    images = [image for variant in variants for image in variant.get("DeployedImages") or ()]
    status = str(answer["EndpointStatus"])
    failure = str(answer.get("FailureReason") or "")
    return Observation(
        phase=PHASES.get(status, Phase.DEGRADED),
        status=status,
        revision=str(answer.get("EndpointConfigName", "")),
        images=tuple(
            dict.fromkeys(str(image["ResolvedImage"]) for image in images if image.get("ResolvedImage"))
        ),
        failure=failure,
        shortage=any(code in failure for code in CAPACITY | QUOTA),
        replicas=sum(int(variant.get("CurrentInstanceCount") or 0) for variant in variants),
        destination=str((answer.get("PendingDeploymentSummary") or {}).get("EndpointConfigName") or ""),
    )


def observe(api: Any, endpoint: str) -> Observation:
    """What is there now."""
    answer = describe(api, "describe_endpoint", EndpointName=endpoint)
    return Observation(phase=Phase.ABSENT) if answer is None else observation(answer)


def variant_of(api: Any, endpoint: str, configuration: str) -> str:
    """The production variant that serves what this configuration was made for: the one with its Model.

    Raises:
        EcomdeployError: the endpoint is on its way (SageMaker demands one variant name of both sides of a blue/green
            update, so that a request cannot be kept to one of them:
            https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-exclusions.html), or has none.
    """
    seen = observe(api, endpoint)
    if seen.moving:
        what = (
            f"{endpoint} is {seen.status}: until that has ended no request can be kept to one of its releases"
        )
        raise EcomdeployError(what, hint="the content digest of an answer tells which one gave it")
    wanted = {model for _, model in variants(api, configuration)}
    for variant, model in variants(api, seen.revision) if seen.answers else ():
        if model in wanted:
            return variant
    raise EcomdeployError(f"{endpoint} serves nothing of {configuration}")


def variants(api: Any, configuration: str) -> list[tuple[str, str]]:
    """Name and Model of each production variant; none of a configuration that is not there."""
    found = describe(api, "describe_endpoint_config", EndpointConfigName=configuration) or {}
    return [(one["VariantName"], one["ModelName"]) for one in found.get("ProductionVariants", ())]


def describe(api: Any, operation: str, **arguments: str) -> Mapping[str, Any] | None:
    """The answer of a Describe call; None when there is no such thing, which SageMaker tells in words."""
    from botocore.exceptions import ClientError

    with refusals(f"asking SageMaker about {', '.join(arguments.values())}"):
        try:
            answer: Mapping[str, Any] = getattr(api, operation)(**arguments)
            return answer
        except ClientError as error:
            gone = error_code(error) in (
                "ValidationException",
                "ResourceNotFound",
                "ResourceNotFoundException",
            )
            if gone and "could not find" in error_message(error).lower():
                return None
            raise


def obstacles(api: Any, registry: Any, configuration: str) -> tuple[str, ...]:
    """Why an endpoint cannot go to that configuration: it, its model or the model's image is gone."""
    found = variants(api, configuration)
    if not found:
        return (f"there is no endpoint configuration {configuration}",)
    wrong = []
    for _, name in found:
        model = describe(api, "describe_model", ModelName=name)
        if model is None:
            wrong.append(f"there is no model {name}")
            continue
        image = str((model.get("PrimaryContainer") or {}).get("Image", ""))
        if not has_image(registry, image):
            wrong.append(f"the registry has no {image}")
    return tuple(wrong)


def has_image(registry: Any, image: str) -> bool:
    """Whether ECR has the image (`host/repository@sha256:...`)."""
    from botocore.exceptions import ClientError

    repository, _, digest = image.partition("/")[2].partition("@")
    try:
        registry.describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    except ClientError as error:
        if error_code(error) in ("ImageNotFoundException", "RepositoryNotFoundException"):
            return False
        raise meaning(error_code(error), f"asking ECR about {image}: {error_message(error)}") from error
    return True


def wait(
    api: Any, endpoint: str, configuration: str, progress: Progress, deadline: float, clock: Clock
) -> Observation:
    """Until the endpoint serves from that configuration.

    Raises:
        Unhealthy: it failed, is gone, ended on another configuration, or `deadline` seconds have passed.
        CloudRefused: it failed or ended elsewhere because there was no capacity, or no quota.
    """
    end = clock.now() + deadline
    changed, elsewhere, told = False, 0, Phase.ABSENT
    for pause in pauses():
        seen = observe(api, endpoint)
        if seen.phase is Phase.ABSENT:
            raise Unhealthy(f"endpoint {endpoint} is gone")
        if seen.phase is not told:
            told = seen.phase
            progress.note(f"{endpoint}: {seen.phase}")
        if seen.moving:
            changed = True
        elif seen.phase is not Phase.SERVING:
            raise failure_of(seen, f"endpoint {endpoint} is {seen.status}{because(seen)}")
        elif seen.revision == configuration:
            return seen
        else:
            elsewhere += 1
            if changed or seen.failure or elsewhere >= LOOKS_ELSEWHERE:
                what = f"{endpoint} ended on {seen.revision}, not on {configuration}{because(seen)}"
                raise failure_of(
                    seen, what, "SageMaker rolled the update back: what served before still serves"
                )
        if clock.now() + pause > end:
            raise Unhealthy(
                f"endpoint {endpoint} is still {seen.status} after {deadline:g} s{because(seen)}",
                hint="give it longer with rollout.deadline_minutes; `ecomdeploy up` goes on from here",
            )
        clock.sleep(pause)
    raise AssertionError("pauses never end")


def failure_of(seen: Observation, what: str, hint: str = "") -> EcomdeployError:
    """An endpoint's failure: the release's, or the cloud's own."""
    if seen.shortage:
        return CloudRefused(what, hint="another instance type, or later: ecomdeploy up")
    return Unhealthy(what, hint=hint)


def because(seen: Observation) -> str:
    return f": {seen.failure}" if seen.failure else ""


def pauses() -> Iterator[float]:
    """Short at first (an emulator is quick), then what is polite to a real API."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * GROWTH, LONGEST_PAUSE)
