"""What SageMaker says of an endpoint, and waiting until it says what was asked for.

SageMaker rolls a failed update back by itself and ends InService, as after a success: only the configuration an
endpoint *ends* on tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from infra.aws_session import CAPACITY, QUOTA, error_code, error_message, meaning, refusals
from infra.targets.base import Clock, Look, Observation, Phase, look_away
from infra.targets.sagemaker.shadow import find_shadow
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
WAYS_OUT = {
    "Failed": "it can only be removed: ecomdeploy up makes it anew",
    "OutOfService": "ecomdeploy up moves it on, or ecomdeploy rollback",
    "UpdateRollbackFailed": "both releases' servers answer in a mixture: ecomdeploy rollback moves it all at once",
}
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.05, 10.0, 1.25
"""In seconds: what has happened is seen at most a quarter later than it took, and AWS is asked 26 times in the first
minute."""
LOOKS_ELSEWHERE = 3
"""How often an endpoint may look settled on another configuration, without having been seen changing, before
that is believed: the answer to DescribeEndpoint may lag behind UpdateEndpoint."""


LOOKS_UNANSWERED = 5
"""How many looks in a row may fail: traffic moves for minutes or hours, and goes on without us."""


def observation(answer: Mapping[str, Any]) -> Observation:
    """From the answer of DescribeEndpoint. Where a release gets copies, the endpoint is on the one that serves."""
    seen = read_endpoint(answer)
    endpoint, summary = str(answer.get("EndpointName", "")), answer.get("PendingDeploymentSummary") or {}
    here, coming = find_shadow(endpoint, answer), find_shadow(endpoint, summary)
    if here:
        seen = replace(seen, revision=here.old)
    if coming:
        copied = coming.copied if seen.baking else 0
        return replace(seen, destination=coming.new, share=0, copied=copied)
    if here and not summary:
        return replace(seen, destination=here.new, copied=here.copied)
    return seen


def read_endpoint(answer: Mapping[str, Any]) -> Observation:
    """The same, as the answer tells it."""
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
        **pending(answer),
    )


def pending(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Where an update is going and how far it is. The share is that of the weights of both fleets: what CurrentWeight
    is while two fleets serve, the API's page leaves open.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_PendingDeploymentSummary.html
    """
    summary = answer.get("PendingDeploymentSummary") or {}
    fresh, old = weigh(summary), weigh(answer)
    stages = [
        stage
        for variant in summary.get("ProductionVariants") or ()
        for stage in variant.get("VariantStatus") or ()
        if stage["Status"] == "Baking"
    ]
    return {
        "destination": str(summary.get("EndpointConfigName") or ""),
        "share": round(100 * fresh / (fresh + old)) if fresh + old else 0,
        "baking": stages[0].get("StartTime") if stages else None,
    }


def weigh(told: Mapping[str, Any]) -> float:
    """The weights of a fleet's variants together."""
    return sum(float(one.get("CurrentWeight") or 0) for one in told.get("ProductionVariants") or ())


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
        raise EcomdeployError(what, hint="`ecomdeploy status` tells when it has")
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


def obstacles(api: Any, registry: Any, iam: Any, configuration: str) -> tuple[str, ...]:
    """Why an endpoint cannot go to that configuration, or could not start another instance on it: it, its model, or
    the model's image or role is gone.
    """
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
        if not has_role(iam, str(model.get("ExecutionRoleArn", ""))):
            wrong.append(f"there is no role {model['ExecutionRoleArn']}")
    return tuple(wrong)


def has_role(iam: Any, arn: str) -> bool:
    """Whether the execution role is there."""
    from botocore.exceptions import ClientError

    with refusals(f"asking IAM about {arn}"):
        try:
            iam.get_role(RoleName=arn.rpartition("/")[2])
        except ClientError as error:
            if error_code(error) == "NoSuchEntity":
                return False
            raise
    return True


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
    api: Any,
    endpoint: str,
    configuration: str,
    progress: Progress,
    deadline: float,
    clock: Clock,
    look: Look = look_away,
    copied: bool = False,
) -> Observation:
    """Until the endpoint serves from that configuration; with `copied` until that gets copies of what is asked, watched
    for as long as they were to be.

    Raises:
        Unhealthy: it failed, is gone, ended on another configuration, or `deadline` seconds have passed.
        CloudRefused: it failed or ended elsewhere because there was no capacity, or no quota.
    """
    end = clock.now() + deadline
    changed, elsewhere, told, unanswered = False, 0, Phase.ABSENT, 0
    for pause in pauses():
        try:
            seen, unanswered = observe(api, endpoint), 0
        except EcomdeployError as error:
            unanswered += 1
            if unanswered > LOOKS_UNANSWERED or isinstance(error, CloudRefused):
                raise
            progress.note(f"{endpoint}: not seen this time: {error}")
            clock.sleep(pause)
            continue
        if seen.phase is Phase.ABSENT:
            raise Unhealthy(f"endpoint {endpoint} is gone")
        if seen.phase is not told:
            told = seen.phase
            progress.note(f"{endpoint}: {seen.phase}")
        look(seen)
        if seen.moving:
            changed = True
        elif seen.phase is not Phase.SERVING:
            way_out = WAYS_OUT.get(seen.status, "ecomdeploy status")
            raise failure_of(seen, f"endpoint {endpoint} is {seen.status}{because(seen)}; {way_out}", way_out)
        elif (seen.destination if copied else seen.revision) == configuration and copied == (seen.copied > 0):
            return seen
        else:
            elsewhere += 1
            if changed or seen.failure or elsewhere >= LOOKS_ELSEWHERE:
                what = f"{endpoint} ended on {seen.revision}, not on {configuration}{because(seen)}"
                if copied:
                    what = f"{configuration} gets no copies of requests any more{because(seen)}"
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


def await_size(
    api: Any, endpoint: str, replicas: int, progress: Progress, deadline: float, clock: Clock
) -> Observation:
    """Until that many instances serve. Where there was no room for them, SageMaker ends on the number from before.

    Raises:
        Unhealthy: it is gone, ended with another number, or `deadline` seconds have passed.
        CloudRefused: for want of capacity or quota.
    """
    end, changed, elsewhere = clock.now() + deadline, False, 0
    for pause in pauses():
        seen = observe(api, endpoint)
        if seen.phase is Phase.SERVING and seen.replicas == replicas:
            return seen
        progress.note(f"{endpoint}: {seen.phase}, {seen.replicas} replicas")
        what = f"endpoint {endpoint} has {seen.replicas} replicas, not {replicas}{because(seen)}"
        if seen.moving:
            changed = True
        else:
            elsewhere += 1
            if changed or seen.failure or seen.gone or elsewhere >= LOOKS_ELSEWHERE:
                raise failure_of(seen, what, "what it has still serves; ecomdeploy up tries again")
        if clock.now() + pause > end:
            raise Unhealthy(f"{what} after {deadline:g} s", hint="ecomdeploy up goes on from here")
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
