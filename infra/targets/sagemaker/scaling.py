"""Automatic scaling steps aside for a change of instance type, which SageMaker refuses of a registered variant.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.aws_session import refusals
from infra.targets.sagemaker.observe import describe

NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"
POLICY = ("PolicyType", "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration")
ACTION = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")


@dataclass(frozen=True, kw_only=True)
class TakenOff:
    """A scalable target that was deregistered, with the policies and scheduled actions that went with it."""

    target: Mapping[str, Any]
    policies: tuple[Mapping[str, Any], ...]
    actions: tuple[Mapping[str, Any], ...]


def take_off(control: Any, scaling: Any, endpoint: str, configuration: str) -> tuple[TakenOff, ...]:
    """Deregister the variants whose instance type the configuration changes; none where that is not in the way."""
    there = describe(control, "describe_endpoint", EndpointName=endpoint) or {}
    if there.get("EndpointStatus") != "InService":
        return ()
    old, new = (_instances(control, one) for one in (str(there["EndpointConfigName"]), configuration))
    changed = [name for name in old if new.get(name) not in (None, old[name])]
    taken = [_deregister(scaling, f"endpoint/{endpoint}/variant/{name}") for name in changed]
    return tuple(one for one in taken if one)


def put_back(scaling: Any, taken: tuple[TakenOff, ...]) -> None:
    """Register again what was taken off, as it was."""
    for one in taken:
        where = _where(one.target["ResourceId"])
        with refusals(f"registering {one.target['ResourceId']} with automatic scaling"):
            scaling.register_scalable_target(
                **where, **_only(one.target, ("MinCapacity", "MaxCapacity", "Tags"))
            )
            for policy in one.policies:
                scaling.put_scaling_policy(**where, PolicyName=policy["PolicyName"], **_only(policy, POLICY))
            for action in one.actions:
                name = action["ScheduledActionName"]
                scaling.put_scheduled_action(**where, ScheduledActionName=name, **_only(action, ACTION))


def _instances(control: Any, configuration: str) -> dict[str, str]:
    found = describe(control, "describe_endpoint_config", EndpointConfigName=configuration) or {}
    return {one["VariantName"]: one.get("InstanceType", "") for one in found.get("ProductionVariants", ())}


def _deregister(scaling: Any, resource: str) -> TakenOff | None:
    where = _where(resource)
    with refusals(f"taking {resource} off automatic scaling"):
        targets = scaling.describe_scalable_targets(
            ServiceNamespace=NAMESPACE, ResourceIds=[resource], ScalableDimension=DIMENSION
        )["ScalableTargets"]
        if not targets:
            return None
        taken = TakenOff(
            target={**targets[0], "Tags": _tags(scaling, targets[0])},
            policies=tuple(scaling.describe_scaling_policies(**where)["ScalingPolicies"]),
            actions=tuple(scaling.describe_scheduled_actions(**where)["ScheduledActions"]),
        )
        scaling.deregister_scalable_target(**where)
    return taken


def _tags(scaling: Any, target: Mapping[str, Any]) -> Mapping[str, str]:
    """The target's tags; none where they may not be read."""
    from botocore.exceptions import ClientError

    with contextlib.suppress(ClientError):
        tags: Mapping[str, str] = scaling.list_tags_for_resource(ResourceARN=target["ScalableTargetARN"])[
            "Tags"
        ]
        return tags
    return {}


def _where(resource: str) -> dict[str, str]:
    return {"ServiceNamespace": NAMESPACE, "ResourceId": resource, "ScalableDimension": DIMENSION}


def _only(held: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: held[name] for name in names if held.get(name) not in (None, {})}
