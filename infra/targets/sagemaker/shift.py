"""Move an endpoint onto another configuration: UpdateEndpoint, with SageMaker's own guardrails.

Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpoint.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

from __future__ import annotations

from typing import Any

from infra.aws_session import refusals
from infra.targets.base import Phase
from infra.targets.moves import ShiftPolicy, Strategy
from infra.targets.sagemaker.names import VARIANT
from infra.targets.sagemaker.observe import observe
from modelpack.errors import BadInput, EcomdeployError

ALARMS_AT_MOST = 10
TIMEOUT_RANGE = (600, 28800)


def shift(api: Any, endpoint: str, configuration: str, policy: ShiftPolicy) -> bool:
    """Begin the update; False when the endpoint is on that configuration already, or on its way there.

    Raises:
        CloudRefused: credentials, quota, capacity.
        EcomdeployError: no such endpoint, or it is on its way to another configuration.
    """
    seen = observe(api, endpoint)
    if seen.phase is Phase.ABSENT:
        raise EcomdeployError(f"there is no endpoint {endpoint}", hint="ecomdeploy up makes it")
    if seen.moving and seen.destination == configuration:
        return False
    if seen.moving:
        where = f" to {seen.destination}" if seen.destination else ""
        raise EcomdeployError(f"endpoint {endpoint} is {seen.status}{where}; wait until that has ended")
    if seen.phase is Phase.SERVING and seen.revision == configuration and not seen.copied:
        return False
    with refusals(f"moving endpoint {endpoint} to {configuration}"):
        api.update_endpoint(**request(endpoint, configuration, policy))
    return True


def mirror(api: Any, endpoint: str, configuration: str, policy: ShiftPolicy) -> None:
    """Begin to put the endpoint on what serves now, with a shadow variant beside it; nothing where it is, or is on its
    way there. SageMaker watches the alarms for as long as the copies bake, and takes them off when one rings.

    Raises: as `shift`.
    """
    seen = observe(api, endpoint)
    if seen.destination == configuration and (seen.copied or seen.moving):
        return
    if policy.shadow is None or not policy.shadow.place:
        raise EcomdeployError(
            f"nothing is made ready for copies to {configuration}", hint="ecomdeploy up makes it"
        )
    if seen.phase is not Phase.SERVING:
        raise EcomdeployError(
            f"endpoint {endpoint} is {seen.status or seen.phase}: it copies no requests now"
        )
    with refusals(f"putting {configuration} beside what {endpoint} serves"):
        api.update_endpoint(**request(endpoint, policy.shadow.place, policy.keep_copies()))


def resize(api: Any, endpoint: str, replicas: int) -> bool:
    """Begin to run that many instances; False when that many run. An endpoint that scales by itself is not for this.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpointWeightsAndCapacities.html

    Raises:
        CloudRefused: credentials, quota, capacity.
        EcomdeployError: no such endpoint, or it does not serve just now.
    """
    seen = observe(api, endpoint)
    if seen.phase is not Phase.SERVING:
        raise EcomdeployError(
            f"endpoint {endpoint} is {seen.status or seen.phase}: it takes no other number of replicas now"
        )
    if seen.replicas == replicas:
        return False
    wanted = [{"VariantName": VARIANT, "DesiredInstanceCount": replicas}]
    with refusals(f"taking endpoint {endpoint} to {replicas} replicas"):
        api.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=wanted)
    return True


def request(endpoint: str, configuration: str, policy: ShiftPolicy) -> dict[str, Any]:
    """The arguments of UpdateEndpoint."""
    asked: dict[str, Any] = {
        "EndpointName": endpoint,
        "EndpointConfigName": configuration,
        "RetainAllVariantProperties": True,
        "DeploymentConfig": deployment(policy),
    }
    if not policy.keep_capacity:
        asked["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DesiredInstanceCount"}]
    return asked


def deployment(policy: ShiftPolicy) -> dict[str, Any]:
    """The guardrails of a move, as DeploymentConfig.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeploymentConfig.html
    """
    if len(policy.alarms) > ALARMS_AT_MOST:
        raise BadInput(f"at most {ALARMS_AT_MOST} alarms can guard a deployment, got {len(policy.alarms)}")
    low, high = TIMEOUT_RANGE
    limit = int(min(max(policy.deadline, low + policy.baking), high))
    if policy.strategy is Strategy.ROLLING:
        how: dict[str, Any] = {
            "RollingUpdatePolicy": {
                "MaximumBatchSize": percent(policy.share),
                "WaitIntervalInSeconds": policy.bake,
                "MaximumExecutionTimeoutInSeconds": limit,
            }
        }
    else:
        how = {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing(policy),
                "TerminationWaitInSeconds": 0,
                "MaximumExecutionTimeoutInSeconds": limit,
            }
        }
    if policy.alarms:
        how["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in policy.alarms]}
    return how


def routing(policy: ShiftPolicy) -> dict[str, Any]:
    """How traffic moves onto a fleet that stands beside the old one; the wait after each step is its bake."""
    wait = {"WaitIntervalInSeconds": policy.bake}
    if policy.strategy is Strategy.CANARY:
        return {"Type": "CANARY", "CanarySize": percent(policy.share), **wait}
    if policy.strategy is Strategy.LINEAR:
        return {"Type": "LINEAR", "LinearStepSize": percent(policy.share), **wait}
    return {"Type": "ALL_AT_ONCE", **wait}


def percent(share: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": share}
