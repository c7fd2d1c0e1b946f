"""Contract of shadow variants: they get copies of what callers ask, and whatever they do, callers do not see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError
from waiting import wait_for

from infra.rehearsal.cloud.servers.copies import AT_ONCE, RequestCopies

pytestmark = pytest.mark.usefixtures("empty")


def shadowed(aws: Any, name: str, of: str, shadow: str, weight: float = 1.0) -> None:
    """A configuration of the model `of`, with the model `shadow` beside it."""
    both = [
        {
            "VariantName": variant,
            "ModelName": model,
            "InstanceType": "ml.g5.xlarge",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": share,
        }
        for variant, model, share in (("AllTraffic", of, 1.0), ("beside", shadow, weight))
    ]
    aws("sagemaker").create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=both[:1], ShadowProductionVariants=both[1:]
    )


def begin(aws: Any, **environment: str) -> None:
    """An endpoint on `one`, with `two` in its shadow."""
    aws.release("one")
    aws.release("two", environment)
    shadowed(aws, "both", "one", "two")
    aws.endpoint("shop", "both")


def count(aws: Any, variant: str, metric: str = "Invocations") -> int:
    now = datetime.now(UTC)
    told = aws("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": "shop"},
            {"Name": "VariantName", "Value": variant},
            {"Name": "EndpointConfigName", "Value": "both"},
        ],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=2),
        Period=3600,
        Statistics=["Sum"],
    )
    return round(sum(point["Sum"] for point in told["Datapoints"]))


def test_a_shadow_gets_copies_and_nobody_its_answers(aws: Any) -> None:
    begin(aws, DIGEST="others")
    answers = [aws.invoke("shop", b'{"n": 1}') for _ in range(20)]
    assert {one["InvokedProductionVariant"] for one in answers} == {"AllTraffic"}
    assert (
        len(
            {
                one["ResponseMetadata"]["HTTPHeaders"].get("x-amzn-sagemaker-custom-attributes")
                for one in answers
            }
        )
        == 1
    )
    wait_for(lambda: count(aws, "beside") == 20)
    assert count(aws, "AllTraffic") == 20
    told = aws.settled("shop")
    (serving,), (beside,) = told["ProductionVariants"], told["ShadowProductionVariants"]
    assert (serving["VariantName"], beside["VariantName"], beside["CurrentWeight"]) == (
        "AllTraffic",
        "beside",
        1.0,
    )


def test_a_shadow_cannot_be_asked(aws: Any) -> None:
    begin(aws)
    with pytest.raises(ClientError, match="Variant beside not found"):
        aws.invoke("shop", TargetVariant="beside")


def test_what_a_shadow_answers_slowly_or_wrong_no_caller_waits_for(aws: Any) -> None:
    """All callers have their answers before one copy is answered."""
    begin(aws, ANSWER_SECONDS="3600")
    for _ in range(20):
        aws.invoke("shop")
    assert (count(aws, "AllTraffic"), count(aws, "beside")) == (20, 0)


def test_a_failing_shadow_is_counted_by_itself(aws: Any) -> None:
    begin(aws, ANSWER_STATUS="500")
    for _ in range(10):
        aws.invoke("shop")
    wait_for(lambda: count(aws, "beside", "Invocation5XXErrors") == 10)
    assert count(aws, "AllTraffic", "Invocation5XXErrors") == 0


def test_a_shadow_that_crashes_is_replaced_and_callers_do_not_see_it(aws: Any) -> None:
    begin(aws, LIVES="1")
    for _ in range(30):
        aws.invoke("shop")
    wait_for(lambda: count(aws, "beside", "Invocation5XXErrors") > 0)
    assert count(aws, "AllTraffic") == 30
    assert count(aws, "AllTraffic", "Invocation5XXErrors") == 0
    assert aws.settled("shop")["EndpointStatus"] == "InService"


def serves(aws: Any, configuration: str) -> bool:
    return bool(aws.settled("shop")["EndpointConfigName"] == configuration)


def test_an_update_puts_a_shadow_beside_what_serves_and_takes_it_away(aws: Any) -> None:
    aws.release("one")
    aws.release("two")
    aws.endpoint("shop", "one")
    shadowed(aws, "both", "one", "two")
    for wanted, variants in (("both", {"AllTraffic", "beside"}), ("two", {"AllTraffic"})):
        aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName=wanted)
        wait_for(partial(serves, aws, wanted))
        (here,) = [one for one in aws.cloud.status()["endpoints"] if one["name"] == "shop"]
        assert {one["variant"] for one in here["servers"]} == variants
        assert sum(one["share"] for one in here["servers"]) == 1.0


def test_a_shadow_that_never_gets_healthy_leaves_what_serves(aws: Any) -> None:
    aws.release("one")
    aws.release("two", {"READY": "no"})
    aws.endpoint("shop", "one")
    shadowed(aws, "both", "one", "two")
    aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName="both")
    wait_for(lambda: aws.settled("shop").get("FailureReason"))
    told = aws.settled("shop")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "one")
    assert "variant beside did not pass the ping health check" in told["FailureReason"]


def test_copies_are_of_the_share_that_is_asked_for_and_never_too_many_at_once() -> None:
    copies, let_go, sent = RequestCopies(), Event(), []
    assert not any(copies.send(0.0, lambda: sent.append(1)) for _ in range(50))
    assert all(copies.send(1.0, let_go.wait) for _ in range(AT_ONCE))
    assert not copies.send(1.0, let_go.wait)
    let_go.set()
    wait_for(lambda: copies.send(1.0, lambda: sent.append(1)))
    wait_for(lambda: sent == [1])
