"""A release that gets copies on SageMaker: what is asked of the API, against botocore's own model of it, and what is
read from its answers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.targets.base import Observation, Phase
from infra.targets.moves import ShadowPhase, ShiftPolicy
from infra.targets.sagemaker.names import shadow_configuration, shadow_variant
from modelpack.errors import EcomdeployError, Unhealthy
from modelpack.progress import Silent
from tests.infra.test_target_sagemaker_traffic import Place, place

__all__ = ["place"]

OLD, NEW = "shop-aaaaaaaaaaaa", "shop-bbbbbbbbbbbb"
BESIDE, VARIANT = shadow_configuration("shop", OLD, NEW, 50), shadow_variant(OLD, NEW)
BEGAN = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
ALARMS = ("shop-error-rate", "shop-b-shadow-error-rate")
POLICY = ShiftPolicy(shadow=ShadowPhase(share=50, bake=1800, alarms=ALARMS, place=BESIDE), keep_capacity=True)


def variant(name: str, weight: float, stage: str = "") -> dict[str, Any]:
    told: dict[str, Any] = {"VariantName": name, "DesiredWeight": weight, "CurrentWeight": weight}
    return {**told, "VariantStatus": [{"Status": stage, "StartTime": BEGAN}]} if stage else told


def beside(stage: str = "") -> dict[str, Any]:
    """Both variants, as DescribeEndpoint tells them."""
    return {
        "ProductionVariants": [variant("AllTraffic", 1.0, stage)],
        "ShadowProductionVariants": [variant(VARIANT, 0.5, stage)],
    }


def pending(configuration: str, **variants: Any) -> dict[str, Any]:
    return {"EndpointConfigName": configuration, "StartTime": BEGAN, **variants}


def see(place: Place, status: str, configuration: str, **more: Any) -> Observation:
    place.describes(status, configuration, **more)
    return place.traffic.observe("shop")


def test_while_requests_are_copied_the_endpoint_is_on_what_serves(place: Place) -> None:
    creating = see(place, "Updating", OLD, PendingDeploymentSummary=pending(BESIDE, **beside("Creating")))
    assert (creating.revision, creating.destination, creating.share, creating.copied) == (OLD, NEW, 0, 0)
    baking = see(place, "Updating", OLD, PendingDeploymentSummary=pending(BESIDE, **beside("Baking")))
    assert (baking.revision, baking.destination, baking.share, baking.copied) == (OLD, NEW, 0, 50)
    assert (baking.phase, baking.baking) == (Phase.CHANGING, BEGAN)
    there = see(place, "InService", BESIDE, **beside())
    assert (there.phase, there.revision, there.destination, there.copied) == (Phase.SERVING, OLD, NEW, 50)
    coming = [variant("AllTraffic", 0.1, "Baking")]
    summary = pending(NEW, ProductionVariants=coming)
    moving = see(
        place,
        "Updating",
        BESIDE,
        ProductionVariants=[variant("AllTraffic", 0.9)],
        ShadowProductionVariants=[variant(VARIANT, 0.5)],
        PendingDeploymentSummary=summary,
    )
    assert (moving.revision, moving.destination, moving.share, moving.copied) == (OLD, NEW, 10, 0)


def test_another_s_shadow_variant_is_not_taken_for_ours(place: Place) -> None:
    seen = see(place, "InService", "theirs", ShadowProductionVariants=[variant("candidate", 1.0)])
    assert (seen.revision, seen.destination, seen.copied) == ("theirs", "", 0)


def test_copies_are_a_move_that_sagemaker_watches_and_what_serves_keeps_its_size(place: Place) -> None:
    seen: list[Observation] = []
    asked = {
        "EndpointName": "shop",
        "EndpointConfigName": BESIDE,
        "RetainAllVariantProperties": True,
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 1800},
                "TerminationWaitInSeconds": 0,
                "MaximumExecutionTimeoutInSeconds": 3600,
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": one} for one in ALARMS]},
        },
    }
    place.describes("InService", OLD)
    place.control.add_response("update_endpoint", {"EndpointArn": "arn:aws:sagemaker:us-east-1:1:e"}, asked)
    place.describes("Updating", OLD, PendingDeploymentSummary=pending(BESIDE, **beside("Baking")))
    place.describes("InService", BESIDE, **beside())
    place.traffic.mirror("shop", NEW, POLICY, Silent(), seen.append)
    assert [(one.copied, one.due) for one in seen] == [(50, None), (50, None), (50, BEGAN)]
    place.control.assert_no_pending_responses()


@pytest.mark.parametrize("statuses", [["Updating", "Updating", "InService"], ["InService", "InService"]])
def test_copies_that_another_run_began_are_gone_on_with(place: Place, statuses: list[str]) -> None:
    """Nothing is asked for anew, also where their bake is over by then."""
    told = {
        "Updating": (OLD, {"PendingDeploymentSummary": pending(BESIDE, **beside("Baking"))}),
        "InService": (BESIDE, beside()),
    }
    for status in statuses:
        place.describes(status, told[status][0], **told[status][1])
    seen: list[Observation] = []
    place.traffic.mirror("shop", NEW, POLICY, Silent(), seen.append)
    assert seen[-1].due is not None
    place.control.assert_no_pending_responses()


def test_an_alarm_that_took_them_off_is_told(place: Place) -> None:
    place.describes("Updating", OLD, PendingDeploymentSummary=pending(BESIDE, **beside("Baking")))
    place.describes("Updating", OLD, PendingDeploymentSummary=pending(BESIDE, **beside("Baking")))
    place.describes("InService", OLD, FailureReason="alarm went into ALARM; the update was rolled back")
    with pytest.raises(Unhealthy, match="gets no copies of requests any more: alarm went into ALARM"):
        place.traffic.mirror("shop", NEW, POLICY, Silent())


def test_what_was_not_made_ready_is_not_asked_for(place: Place) -> None:
    place.describes("InService", OLD)
    bare = ShiftPolicy(shadow=ShadowPhase(alarms=ALARMS))
    with pytest.raises(EcomdeployError, match="nothing is made ready for copies"):
        place.traffic.mirror("shop", NEW, bare, Silent())


def test_the_way_back_is_a_move_to_what_serves_already(place: Place) -> None:
    place.describes("InService", BESIDE, **beside())
    place.control.add_response("update_endpoint", {"EndpointArn": "arn:aws:sagemaker:us-east-1:1:e"})
    assert place.traffic.shift("shop", OLD, POLICY.at_once())
    place.describes("Updating", BESIDE, PendingDeploymentSummary=pending(OLD), **beside())
    place.describes("InService", OLD)
    assert place.traffic.wait("shop", OLD, Silent(), 60).revision == OLD
    place.control.assert_no_pending_responses()


def test_it_is_counted_by_its_own_variant_and_what_serves_by_another_configuration(place: Place) -> None:
    place.describes("InService", BESIDE, **beside())
    expected = {"EndpointName": "shop", "VariantName": VARIANT}
    asked: dict[str, Any] = {}

    def keep(params: dict[str, Any], **kwargs: Any) -> None:
        asked.update(params)

    place.watch.client.meta.events.register("provide-client-params.cloudwatch.GetMetricStatistics", keep)
    place.watch.add_response("get_metric_statistics", {"Datapoints": [{"Sum": 12.0}, {"Sum": 3.0}]})
    assert place.traffic.guard.count_requests("shop", NEW, BEGAN) == 15
    assert {one["Name"]: one["Value"] for one in asked["Dimensions"]} == expected
