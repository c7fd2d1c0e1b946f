"""Contract of updates in steps: two fleets share the requests, alarms are watched, and the endpoint may go back.

No test waits for a length of time: the cloud's pace is set so slow that a bake lasts until the test has seen enough,
and then so fast that it ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from waiting import wait_for

from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home

pytestmark = pytest.mark.usefixtures("empty")
SPEAKING = f"{Path(__file__).resolve().parents[2] / 'support' / 'speaking.py'}:SpeakingHost"
STILL, FAST, USUAL = 1e-6, 3600, 60


def deployment(
    routing: dict[str, Any], *, wait: int = 600, termination: int = 0, alarms: tuple[str, ...] = ()
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {**routing, "WaitIntervalInSeconds": wait},
            "TerminationWaitInSeconds": termination,
            "MaximumExecutionTimeoutInSeconds": 28800,
        }
    }
    if alarms:
        found["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return found


def canary(percent: int) -> dict[str, Any]:
    return {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent}}


ALL_AT_ONCE = {"Type": "ALL_AT_ONCE"}


def describe(aws: Any, name: str = "shop") -> dict[str, Any]:
    return dict(aws("sagemaker").describe_endpoint(EndpointName=name))


def stage(aws: Any) -> str:
    pending = describe(aws).get("PendingDeploymentSummary")
    return pending["ProductionVariants"][0]["VariantStatus"][0]["Status"] if pending else ""


def begin(aws: Any, how: dict[str, Any], pace: float = STILL, **environment: str) -> tuple[str, str]:
    """An endpoint on `one`, on its way to `two`, baking; the images of both."""
    images = aws.release("one"), aws.release("two", environment)
    aws.endpoint("shop", "one")
    aws.cloud.set_pace(pace)
    aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName="two", DeploymentConfig=how)
    return images


def count(aws: Any, requests: int) -> Counter[str]:
    """How often each image's server answered."""
    return Counter(aws.invoke("shop")["json"]["digest"] for _ in range(requests))


def of(image: str, counted: Counter[str]) -> int:
    return counted[image.partition("@")[2]]


@contextmanager
def traffic(aws: Any) -> Iterator[list[str]]:
    """A client that goes on asking; what it was answered, a digest or an error's code."""
    seen: list[str] = []
    ended = threading.Event()
    aws("sagemaker-runtime")

    def ask() -> None:
        while not ended.is_set():
            try:
                seen.append(aws.invoke("shop")["json"]["digest"])
            except ClientError as error:
                seen.append(error.response["Error"]["Code"])

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield seen
    finally:
        ended.set()
        client.join()


def alarm(aws: Any, name: str = "errors", **more: Any) -> None:
    """On the share of failures of the fleet that is on `two`, two minutes of two."""
    settings: dict[str, Any] = {
        "AlarmName": name,
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Dimensions": [
            {"Name": "EndpointName", "Value": "shop"},
            {"Name": "VariantName", "Value": "AllTraffic"},
            {"Name": "EndpointConfigName", "Value": "two"},
        ],
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "Threshold": 0.1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    aws("cloudwatch").put_metric_alarm(**settings | more)


def test_a_canary_gets_its_share_of_the_requests_then_all(aws: Any) -> None:
    first, second = begin(aws, deployment(canary(25)))
    wait_for(lambda: stage(aws) == "Baking")
    counted = count(aws, 400)
    assert 55 < of(second, counted) < 145, "a quarter of 400, five standard deviations around"
    assert of(first, counted) + of(second, counted) == 400
    found = describe(aws)
    pending = found["PendingDeploymentSummary"]
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Updating", "one")
    assert pending["EndpointConfigName"] == "two"
    assert pending["StartTime"] <= pending["ProductionVariants"][0]["VariantStatus"][0]["StartTime"]
    (old,), (new,) = found["ProductionVariants"], pending["ProductionVariants"]
    assert (old["CurrentWeight"], old["DesiredWeight"]) == (0.75, 1.0)
    assert (new["CurrentWeight"], new["DesiredWeight"]) == (0.25, 1.0)
    assert second == new["DeployedImages"][0]["ResolvedImage"]
    shown = {one["image"]: one["share"] for one in aws.cloud.status()["endpoints"][0]["servers"]}
    assert shown == {first: 0.75, second: 0.25}
    aws.cloud.set_pace(FAST)
    found = aws.settled("shop")
    assert (found["EndpointConfigName"], "PendingDeploymentSummary" in found) == ("two", False)
    assert found["ProductionVariants"][0]["CurrentWeight"] == 1.0
    assert of(second, count(aws, 20)) == 20


def test_the_old_fleet_waits_for_its_end_without_requests(aws: Any) -> None:
    first, second = begin(aws, deployment(ALL_AT_ONCE, wait=0, termination=3600))
    wait_for(lambda: stage(aws) == "Baking")
    assert of(second, count(aws, 20)) == 20
    assert describe(aws)["EndpointConfigName"] == "one"
    shown = {one["image"]: one["share"] for one in aws.cloud.status()["endpoints"][0]["servers"]}
    assert shown == {first: 0.0, second: 1.0}
    aws.cloud.set_pace(FAST)
    assert aws.settled("shop")["EndpointConfigName"] == "two"


def test_a_linear_shift_moves_step_by_step(aws: Any) -> None:
    linear = {"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 50}}
    first, second = begin(aws, deployment(linear))
    wait_for(lambda: stage(aws) == "Baking")
    counted = count(aws, 200)
    assert of(first, counted) > 50
    assert of(second, counted) > 50
    aws.cloud.set_pace(FAST)
    assert aws.settled("shop")["EndpointConfigName"] == "two"
    assert of(second, count(aws, 20)) == 20


def test_a_rolling_update_moves_batch_by_batch_and_back(aws: Any) -> None:
    batch = {"Type": "CAPACITY_PERCENT", "Value": 50}
    alarm(aws)
    how = {
        "RollingUpdatePolicy": {"MaximumBatchSize": batch, "WaitIntervalInSeconds": 600},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }
    first, second = begin(aws, how)
    wait_for(lambda: stage(aws) == "Baking")
    counted = count(aws, 200)
    assert of(first, counted) > 50
    assert of(second, counted) > 50
    aws("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="by hand")
    assert aws.settled("shop")["EndpointConfigName"] == "one"
    assert of(first, count(aws, 20)) == 20
    aws("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="by hand")
    aws.cloud.set_pace(FAST)
    aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName="two", DeploymentConfig=how)
    assert aws.settled("shop")["EndpointConfigName"] == "two"
    assert of(second, count(aws, 20)) == 20


def test_an_endpoint_that_changes_takes_no_other_change(aws: Any) -> None:
    begin(aws, deployment(canary(10)))
    wait_for(lambda: stage(aws) == "Baking")
    api = aws("sagemaker")
    weights = [{"VariantName": "AllTraffic", "DesiredWeight": 1}]
    for call, more in (
        (api.update_endpoint, {"EndpointConfigName": "one"}),
        (api.delete_endpoint, {}),
        (api.update_endpoint_weights_and_capacities, {"DesiredWeightsAndCapacities": weights}),
    ):
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            call(EndpointName="shop", **more)
    answered = {aws.invoke("shop", TargetVariant="AllTraffic")["json"]["digest"] for _ in range(200)}
    assert len(answered) == 2, "a variant's name is that of both fleets"


def test_an_alarm_that_rings_in_the_bake_sends_all_traffic_back(aws: Any) -> None:
    topic = aws("sns").create_topic(Name="pager")["TopicArn"]
    queue = aws("sqs").create_queue(QueueName="pager")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:123456789012:pager"
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    alarm(aws, AlarmActions=[topic])
    how = deployment(canary(50), wait=3600, alarms=("errors",))
    first, _ = begin(aws, how, pace=USUAL, ANSWER_STATUS="500")
    with traffic(aws) as seen:
        wait_for(lambda: "ModelError" in seen)
        found = aws.settled("shop")
        answered = len(seen)
        wait_for(lambda: len(seen) > answered + 20)
    assert set(seen[answered + 1 :]) == {first.partition("@")[2]}
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "one")
    assert found["FailureReason"].startswith("alarm errors went into ALARM")
    assert "PendingDeploymentSummary" not in found
    assert [one["image"] for one in aws.cloud.status()["endpoints"][0]["servers"]] == [first]
    told = aws("cloudwatch").describe_alarm_history(AlarmName="errors", ScanBy="TimestampAscending")
    summaries = [(one["HistoryItemType"], one["HistorySummary"]) for one in told["AlarmHistoryItems"]]
    assert summaries[0] == ("ConfigurationUpdate", 'Alarm "errors" created')
    rang = next(place for place, one in enumerate(summaries) if one[1].endswith("to ALARM"))
    assert summaries[rang][0] == "StateUpdate"
    assert summaries[rang + 1] == ("Action", f"Successfully executed action {topic}")
    (message,) = aws("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert '\\"NewStateValue\\": \\"ALARM\\"' in message["Body"]
    assert "were greater than the threshold (0.1)" in message["Body"]


def test_an_alarm_that_rings_in_the_last_wait_sends_all_traffic_back(aws: Any) -> None:
    alarm(aws)
    first, second = begin(aws, deployment(ALL_AT_ONCE, wait=0, termination=3600, alarms=("errors",)))
    wait_for(lambda: stage(aws) == "Baking")
    assert of(second, count(aws, 10)) == 10
    aws("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="by hand")
    found = aws.settled("shop")
    assert found["EndpointConfigName"] == "one"
    assert "alarm errors" in found["FailureReason"]
    assert of(first, count(aws, 10)) == 10


def test_an_alarm_rung_by_hand_is_heard_however_soon_it_is_quiet_again(aws: Any) -> None:
    """Its next look, a second away at the most, makes it OK: nobody asks anything."""
    alarm(aws)
    begin(aws, deployment(canary(50), wait=3600, alarms=("errors",)), pace=USUAL)
    wait_for(lambda: stage(aws) == "Baking")
    aws("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="by hand")
    wait_for(lambda: aws("cloudwatch").describe_alarms()["MetricAlarms"][0]["StateValue"] == "OK")
    assert aws.settled("shop")["EndpointConfigName"] == "one"


def test_an_alarm_of_another_fleet_does_not_ring(aws: Any) -> None:
    alarm(aws, Dimensions=[{"Name": "EndpointName", "Value": "other"}])
    begin(aws, deployment(canary(50), wait=60, alarms=("errors",)), pace=USUAL, ANSWER_STATUS="500")
    with traffic(aws):
        assert aws.settled("shop")["EndpointConfigName"] == "two"


def test_an_update_that_takes_too_long_is_rolled_back(aws: Any) -> None:
    how = deployment(canary(50), wait=3600)
    how["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 600
    begin(aws, how)
    wait_for(lambda: stage(aws) == "Baking")
    aws.cloud.set_pace(FAST)
    found = aws.settled("shop")
    assert (found["EndpointConfigName"], "longer than its 600 s" in found["FailureReason"]) == ("one", True)


def test_where_the_old_fleet_cannot_come_back_both_serve(aws: Any) -> None:
    aws.cloud.plant({"kind": "no-way-back", "endpoint": "shop"})
    alarm(aws)
    first, second = begin(aws, deployment(canary(50), alarms=("errors",)))
    wait_for(lambda: stage(aws) == "Baking")
    aws("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="by hand")
    wait_for(lambda: describe(aws)["EndpointStatus"] == "UpdateRollbackFailed")
    assert "the rollback failed" in describe(aws)["FailureReason"]
    counted = count(aws, 200)
    assert of(first, counted) > 50
    assert of(second, counted) > 50
    aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName="two")
    found = aws.settled("shop")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "two")
    assert of(second, count(aws, 20)) == 20


def test_the_last_deployment_may_be_asked_for_again(aws: Any) -> None:
    how = deployment(canary(50))
    begin(aws, how, pace=FAST)
    assert aws.settled("shop")["LastDeploymentConfig"] == how
    aws.cloud.set_pace(STILL)
    aws("sagemaker").update_endpoint(
        EndpointName="shop", EndpointConfigName="one", RetainDeploymentConfig=True
    )
    wait_for(lambda: stage(aws) == "Baking")
    assert describe(aws)["PendingDeploymentSummary"]["ProductionVariants"][0]["CurrentWeight"] == 0.5


@pytest.fixture
def killed(tmp_path: Path, client_of: Callable[[LocalCloud], Any]) -> Iterator[Any]:
    """A cloud of its own, to be killed."""
    local = LocalCloud(Home(tmp_path, tmp_path / "cache"), host=SPEAKING)
    local.ensure()
    yield client_of(local)
    local.stop()


def kill_and_start(aws: Any) -> None:
    aws.kept()
    running = aws.cloud.running()
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not aws.cloud.running())
    aws.cloud.ensure()


def test_an_update_survives_the_daemon_in_its_bake(killed: Any) -> None:
    first, second = begin(killed, deployment(canary(50)))
    wait_for(lambda: stage(killed) == "Baking")
    kill_and_start(killed)
    assert killed.cloud.pace() == STILL
    found = describe(killed)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Updating", "one")
    assert of(first, count(killed, 20)) > 0, "the old fleet serves from the first request on"
    wait_for(lambda: stage(killed) == "Baking")
    counted = count(killed, 200)
    assert of(first, counted) > 50
    assert of(second, counted) > 50
    killed.cloud.set_pace(FAST)
    assert killed.settled("shop")["EndpointConfigName"] == "two"


def test_a_mix_survives_the_daemon(killed: Any) -> None:
    killed.cloud.plant({"kind": "no-way-back"})
    alarm(killed)
    first, second = begin(killed, deployment(canary(50), alarms=("errors",)))
    wait_for(lambda: stage(killed) == "Baking")
    killed("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="by hand")
    wait_for(lambda: describe(killed)["EndpointStatus"] == "UpdateRollbackFailed")
    kill_and_start(killed)
    assert describe(killed)["EndpointStatus"] == "UpdateRollbackFailed"
    counted = count(killed, 200)
    assert of(first, counted) > 50
    assert of(second, counted) > 50
    killed("sagemaker").delete_endpoint(EndpointName="shop")
    killed("sagemaker").get_waiter("endpoint_deleted").wait(EndpointName="shop", WaiterConfig={"Delay": 0})
