"""Move an endpoint onto another configuration: UpdateEndpoint, with SageMaker's own guardrails.

Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpoint.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green-all-at-once.html
"""

from __future__ import annotations

from typing import Any

from infra.aws_session import refusals
from infra.targets.base import Phase, ShiftPolicy
from infra.targets.sagemaker.observe import observe
from modelpack.errors import BadInput, EcomdeployError

ALARMS_AT_MOST = 10
BAKE_AT_MOST = 3600
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
    if seen.phase is Phase.SERVING and seen.revision == configuration:
        return False
    with refusals(f"moving endpoint {endpoint} to {configuration}"):
        api.update_endpoint(**request(endpoint, configuration, policy))
    return True


def request(endpoint: str, configuration: str, policy: ShiftPolicy) -> dict[str, Any]:
    """The arguments of UpdateEndpoint: all at once onto a fleet that is ready, back when an alarm rings."""
    if len(policy.alarms) > ALARMS_AT_MOST:
        raise BadInput(f"at most {ALARMS_AT_MOST} alarms can guard a deployment, got {len(policy.alarms)}")
    low, high = TIMEOUT_RANGE
    deployment: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "ALL_AT_ONCE",
                "WaitIntervalInSeconds": min(max(policy.bake, 0), BAKE_AT_MOST),
            },
            "TerminationWaitInSeconds": 0,
            "MaximumExecutionTimeoutInSeconds": min(max(policy.timeout, low, policy.bake + low), high),
        }
    }
    if policy.alarms:
        alarms = [{"AlarmName": name} for name in policy.alarms]
        deployment["AutoRollbackConfiguration"] = {"Alarms": alarms}
    asked: dict[str, Any] = {
        "EndpointName": endpoint,
        "EndpointConfigName": configuration,
        "RetainAllVariantProperties": True,
        "DeploymentConfig": deployment,
    }
    if not policy.keep_capacity:
        asked["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DesiredInstanceCount"}]
    return asked
