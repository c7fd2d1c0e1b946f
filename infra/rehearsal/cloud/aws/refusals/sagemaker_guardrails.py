"""What SageMaker refuses of how an update is to move traffic: by the conditions of the API's pages, in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.aws.calls import ApiCall
from infra.rehearsal.cloud.aws.refusals.row import Found, RefusalExample
from infra.rehearsal.cloud.aws.refusals.sagemaker_finders import hosting
from infra.rehearsal.cloud.aws.refusals.sagemaker_requests import API, SECOND, SERVING, UPDATE, hosting_row

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

SIZES = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
BEFORE = (*SERVING, *SECOND)


def _policy(call: ApiCall, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (call.parameters.get("DeploymentConfig") or {}).get(name) or {}
    return found


def _routing(call: ApiCall) -> dict[str, Any]:
    found: dict[str, Any] = _policy(call, "BlueGreenUpdatePolicy").get("TrafficRoutingConfiguration") or {}
    return found


def _share(account: Surroundings, call: ApiCall, size: dict[str, Any]) -> float:
    """Percent of the smallest variant's instances."""
    if size["Type"] == "CAPACITY_PERCENT":
        return float(size["Value"])
    wanted = (call.region, call.parameters["EndpointConfigName"])
    variants = hosting(account).configurations.get(wanted, {}).get("ProductionVariants", ())
    instances = min((int(one.get("InitialInstanceCount", 1)) for one in variants), default=1)
    return 100 * float(size["Value"]) / instances


def _no_size(account: Surroundings, call: ApiCall) -> Found:
    routing = _routing(call)
    size = SIZES.get(routing.get("Type", ""))
    return {"size": size, "type": routing["Type"]} if size and not routing.get(size) else None


def _large_canary(account: Surroundings, call: ApiCall) -> Found:
    size = _routing(call).get("CanarySize")
    return {} if size and _share(account, call, size) > 50 else None


def _odd_step(account: Surroundings, call: ApiCall) -> Found:
    size = _routing(call).get("LinearStepSize")
    return {} if size and not 10 <= _share(account, call, size) <= 50 else None


def _odd_batch(account: Surroundings, call: ApiCall) -> Found:
    size = _policy(call, "RollingUpdatePolicy").get("MaximumBatchSize")
    return {} if size and not 5 <= _share(account, call, size) <= 50 else None


def _two_policies(account: Surroundings, call: ApiCall) -> Found:
    both = _policy(call, "BlueGreenUpdatePolicy") and _policy(call, "RollingUpdatePolicy")
    return {} if both else None


def _blue_green(kind: str, **size: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": 0, **size}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}


def _percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def _rolling(value: int) -> dict[str, Any]:
    return {"RollingUpdatePolicy": {"MaximumBatchSize": _percent(value), "WaitIntervalInSeconds": 0}}


def _row(when: str, words: str, page: str, find: Any, refused: dict[str, Any], passes: dict[str, Any]) -> Any:
    example = RefusalExample(
        before=BEFORE,
        refused={**UPDATE, "DeploymentConfig": refused},
        passes={**UPDATE, "DeploymentConfig": passes},
    )
    return hosting_row("UpdateEndpoint", when, words, f"{API}{page}.html", "documented", example, find)


ROWS = (
    _row(
        "a canary or a linear shift has no size",
        "{size} is required when the traffic routing type is {type}.",
        "TrafficRoutingConfig",
        _no_size,
        _blue_green("CANARY"),
        _blue_green("CANARY", CanarySize=_percent(10)),
    ),
    _row(
        "the canary is more than half of the instances",
        "CanarySize must be less than or equal to 50% of the variant's total instance count.",
        "TrafficRoutingConfig",
        _large_canary,
        _blue_green("CANARY", CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}),
        _blue_green("CANARY", CanarySize=_percent(50)),
    ),
    _row(
        "the step of a linear shift is less than a tenth or more than half of the instances",
        "LinearStepSize must be 10-50% of the variant's total instance count.",
        "TrafficRoutingConfig",
        _odd_step,
        _blue_green("LINEAR", LinearStepSize=_percent(9)),
        _blue_green("LINEAR", LinearStepSize=_percent(10)),
    ),
    _row(
        "the batch of a rolling update is less than a twentieth or more than half of the instances",
        "MaximumBatchSize must be between 5% to 50% of the variant's total instance count.",
        "RollingUpdatePolicy",
        _odd_batch,
        _rolling(51),
        _rolling(50),
    ),
    _row(
        "it is to be blue/green and rolling at once",
        "Only one update policy can be used in the deployment configuration.",
        "DeploymentConfig",
        _two_policies,
        {**_blue_green("ALL_AT_ONCE"), **_rolling(50)},
        _blue_green("ALL_AT_ONCE"),
    ),
)
