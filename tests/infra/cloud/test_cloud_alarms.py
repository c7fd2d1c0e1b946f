"""Contract of CloudWatch's alarms and metrics on the local cloud: a boto3 client over HTTP, real requests."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from waiting import wait_for

from modelpack.errors import BadInput

pytestmark = pytest.mark.usefixtures("empty")
STILL, USUAL = 1e-6, 60
SHOP = {"Namespace": "Shop", "MetricName": "Price"}
ALARM = {
    **SHOP,
    "AlarmName": "prices",
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 10.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def state(aws: Any, name: str = "prices") -> str:
    (found,) = aws("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(found["StateValue"])


def told(aws: Any, kind: str) -> list[str]:
    found = aws("cloudwatch").describe_alarm_history(
        AlarmName="prices", HistoryItemType=kind, ScanBy="TimestampAscending"
    )
    return [one["HistorySummary"] for one in found["AlarmHistoryItems"]]


def changes(aws: Any) -> list[dict[str, Any]]:
    """The states that the alarm came into, oldest first."""
    found = aws("cloudwatch").describe_alarm_history(
        AlarmName="prices", HistoryItemType="StateUpdate", ScanBy="TimestampAscending"
    )
    return [json.loads(one["HistoryData"])["newState"] for one in found["AlarmHistoryItems"]]


def send_until(aws: Any, value: float, expected: str) -> None:
    """Send values until the alarm is in a state, however slow the machine."""

    def seen() -> bool:
        aws("cloudwatch").put_metric_data(
            Namespace="Shop", MetricData=[{"MetricName": "Price", "Value": value}]
        )
        return state(aws) == expected

    wait_for(seen)


def test_an_alarm_rings_and_calms_down_as_its_metric_goes(aws: Any) -> None:
    watch = aws("cloudwatch")
    aws.cloud.set_pace(STILL)
    watch.put_metric_alarm(**ALARM)
    (new,) = watch.describe_alarms(StateValue="INSUFFICIENT_DATA")["MetricAlarms"]
    assert new["StateTransitionedTimestamp"] == new["StateUpdatedTimestamp"]
    assert (new["StateValue"], new["StateReason"]) == (
        "INSUFFICIENT_DATA",
        "Unchecked: Initial alarm creation",
    )
    aws.cloud.set_pace(USUAL)
    send_until(aws, 12.0, "ALARM")
    rang = next(one for one in changes(aws) if one["stateValue"] == "ALARM")
    assert rang["stateReason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints [12.0 (")
    assert rang["stateReason"].endswith("(minimum 1 datapoint for OK -> ALARM transition).")
    data = rang["stateReasonData"]
    assert (data["statistic"], data["period"], data["recentDatapoints"]) == ("Average", 60, [12.0])
    send_until(aws, 1.0, "OK")
    wait_for(lambda: state(aws) == "INSUFFICIENT_DATA")
    updates = told(aws, "StateUpdate")
    assert updates[0].startswith("Alarm updated from INSUFFICIENT_DATA to ")
    assert updates[-1] == "Alarm updated from OK to INSUFFICIENT_DATA"
    assert "Alarm updated from ALARM to OK" in updates
    assert told(aws, "ConfigurationUpdate") == ['Alarm "prices" created']


def test_a_change_of_an_alarm_leaves_its_state(aws: Any) -> None:
    aws.cloud.set_pace(STILL)
    watch = aws("cloudwatch")
    watch.put_metric_alarm(**ALARM)
    watch.set_alarm_state(AlarmName="prices", StateValue="ALARM", StateReason="by hand")
    watch.put_metric_alarm(**{**ALARM, "Threshold": 11.0})
    (found,) = watch.describe_alarms()["MetricAlarms"]
    assert (found["Threshold"], found["StateValue"], found["StateReason"]) == (11.0, "ALARM", "by hand")
    assert told(aws, "ConfigurationUpdate") == ['Alarm "prices" created', 'Alarm "prices" updated']
    assert told(aws, "StateUpdate") == ["Alarm updated from INSUFFICIENT_DATA to ALARM"]


def test_a_state_set_by_hand_lasts_until_the_next_look(aws: Any) -> None:
    aws("cloudwatch").put_metric_alarm(**ALARM)
    aws("cloudwatch").set_alarm_state(AlarmName="prices", StateValue="ALARM", StateReason="by hand")
    wait_for(lambda: state(aws) == "INSUFFICIENT_DATA")


@pytest.mark.parametrize(
    ("missing", "ends"),
    [("breaching", "ALARM"), ("notBreaching", "OK"), ("missing", "INSUFFICIENT_DATA"), ("ignore", "ALARM")],
)
def test_no_data_is_what_the_alarm_says_it_is(aws: Any, missing: str, ends: str) -> None:
    watch = aws("cloudwatch")
    watch.put_metric_alarm(**ALARM, TreatMissingData=missing)
    if missing == "ignore":
        aws.cloud.set_pace(STILL)
        watch.set_alarm_state(AlarmName="prices", StateValue="ALARM", StateReason="by hand")
        aws.cloud.set_pace(USUAL)
        watch.put_metric_alarm(**{**ALARM, "AlarmName": "beside"}, TreatMissingData="notBreaching")
        wait_for(lambda: state(aws, "beside") == "OK")
    wait_for(lambda: state(aws) == ends)


def test_an_action_that_fails_is_told(aws: Any) -> None:
    aws.cloud.set_pace(STILL)
    gone = "arn:aws:sns:us-east-1:123456789012:gone"
    other = "arn:aws:automate:us-east-1:ec2:stop"
    aws("cloudwatch").put_metric_alarm(**ALARM, AlarmActions=[gone, other])
    aws("cloudwatch").set_alarm_state(AlarmName="prices", StateValue="ALARM", StateReason="by hand")
    assert told(aws, "Action") == [f"Failed to execute action {one}" for one in (gone, other)]
    aws("cloudwatch").set_alarm_state(AlarmName="prices", StateValue="OK", StateReason="by hand")
    aws("cloudwatch").disable_alarm_actions(AlarmNames=["prices"])
    aws("cloudwatch").set_alarm_state(AlarmName="prices", StateValue="ALARM", StateReason="by hand")
    assert len(told(aws, "Action")) == 2


def test_history_has_pages(aws: Any) -> None:
    aws.cloud.set_pace(STILL)
    aws("cloudwatch").put_metric_alarm(**ALARM)
    for value in ("OK", "ALARM", "OK"):
        aws("cloudwatch").set_alarm_state(AlarmName="prices", StateValue=value, StateReason="by hand")
    pages = list(
        aws("cloudwatch").get_paginator("describe_alarm_history").paginate(PaginationConfig={"PageSize": 3})
    )
    assert [len(page["AlarmHistoryItems"]) for page in pages] == [3, 1]
    assert pages[0]["AlarmHistoryItems"][0]["HistorySummary"] == "Alarm updated from ALARM to OK"


def test_history_of_a_time(aws: Any) -> None:
    """From and to, as the SDK sends them."""
    aws.cloud.set_pace(STILL)
    aws("cloudwatch").put_metric_alarm(**ALARM)
    aws("cloudwatch").set_alarm_state(AlarmName="prices", StateValue="ALARM", StateReason="by hand")
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    for since, until, there in (
        (now - hour, now + hour, 2),
        (now + hour, now + 2 * hour, 0),
        (now - 2 * hour, now - hour, 0),
    ):
        found = aws("cloudwatch").describe_alarm_history(AlarmName="prices", StartDate=since, EndDate=until)
        assert len(found["AlarmHistoryItems"]) == there


def test_an_alarm_on_math_rings(aws: Any) -> None:
    def query(name: str, metric: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": "Shop", "MetricName": metric}, "Period": 60, "Stat": "Sum"}
        return {"Id": name, "MetricStat": stat, "ReturnData": False}

    aws("cloudwatch").put_metric_alarm(
        AlarmName="prices",
        EvaluationPeriods=1,
        Threshold=0.2,
        ComparisonOperator="GreaterThanThreshold",
        Metrics=[
            {"Id": "share", "Expression": "IF(requests >= 4, errors / requests, 0)", "ReturnData": True},
            query("requests", "Requests"),
            query("errors", "Errors"),
        ],
    )

    def send(requests: int, errors: int) -> None:
        data = [{"MetricName": "Requests", "Value": requests}, {"MetricName": "Errors", "Value": errors}]
        aws("cloudwatch").put_metric_data(Namespace="Shop", MetricData=data)

    def seen(requests: int, errors: int, expected: str) -> bool:
        send(requests, errors)
        return state(aws) == expected

    wait_for(lambda: seen(1000, 10, "OK"))
    wait_for(lambda: seen(1000, 500, "ALARM"))


def test_statistics_and_percentiles_of_what_was_sent(aws: Any) -> None:
    aws.cloud.set_pace(STILL)
    data = [{"MetricName": "Price", "Values": [float(value)], "Counts": [1.0]} for value in range(1, 101)]
    aws("cloudwatch").put_metric_data(Namespace="Shop", MetricData=data)
    when = time.time()
    window = {"StartTime": when - 3600, "EndTime": when + 3600}
    (point,) = aws("cloudwatch").get_metric_statistics(
        **SHOP, **window, Period=60, Statistics=["Average", "Maximum"], ExtendedStatistics=["p50", "p99"]
    )["Datapoints"]
    assert (point["Average"], point["Maximum"]) == (50.5, 100)
    assert point["ExtendedStatistics"] == {"p50": 50, "p99": 99}
    found = aws("cloudwatch").get_metric_data(
        **window,
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {"Metric": SHOP, "Period": 60, "Stat": "p90"},
                "ReturnData": False,
            },
            {"Id": "doubled", "Expression": "m * 2"},
        ],
    )["MetricDataResults"]
    assert [(one["Id"], one["Values"]) for one in found] == [("doubled", [180.0])]
    with pytest.raises(ClientError, match="metric math has no RATE"):
        aws("cloudwatch").get_metric_data(**window, MetricDataQueries=[{"Id": "m", "Expression": "RATE(5)"}])
    with pytest.raises(ClientError, match="tm99"):
        aws("cloudwatch").get_metric_statistics(**SHOP, **window, Period=60, ExtendedStatistics=["tm99"])


def test_metrics_of_traffic_by_variant_and_by_configuration(aws: Any) -> None:
    aws.release("one")
    aws.release("two", {"ANSWER_STATUS": "400"})
    aws.endpoint("shop", "one")
    for _ in range(4):
        aws.invoke("shop")
    aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName="two")
    aws.settled("shop")
    for _ in range(2):
        with pytest.raises(ClientError, match="ModelError"):
            aws.invoke("shop")
    variant = {"EndpointName": "shop", "VariantName": "AllTraffic"}
    by = {
        "both": variant,
        "one": {**variant, "EndpointConfigName": "one"},
        "two": {**variant, "EndpointConfigName": "two"},
        "none": {"EndpointName": "shop"},
    }
    expected = {
        "Invocations": {"both": 6, "one": 4, "two": 2, "none": 0},
        "InvocationsPerInstance": {"both": 6, "one": 4, "two": 2, "none": 0},
        "Invocation4XXErrors": {"both": 2, "one": 0, "two": 2, "none": 0},
        "Invocation5XXErrors": {"both": 0, "one": 0, "two": 0, "none": 0},
        "InvocationModelErrors": {"both": 2, "one": 0, "two": 2, "none": 0},
    }
    for metric, sums in expected.items():
        assert {name: read(aws, metric, given, "Sum") for name, given in by.items()} == sums
    for metric in ("ModelLatency", "OverheadLatency"):
        assert 0 < read(aws, metric, by["one"], "Maximum") < 60e6
    listed = aws("cloudwatch").list_metrics(Namespace="AWS/SageMaker", MetricName="ModelLatency")["Metrics"]
    assert len(listed) == 3
    filters = [{"Name": "EndpointConfigName", "Value": "two"}]
    assert len(aws("cloudwatch").list_metrics(Dimensions=filters)["Metrics"]) == 7


def test_metrics_outlive_the_daemon(aws: Any) -> None:
    aws.release("one")
    aws.endpoint("shop", "one")
    for _ in range(3):
        aws.invoke("shop")
    aws("cloudwatch").put_metric_alarm(**ALARM)
    aws("cloudwatch").set_alarm_state(AlarmName="prices", StateValue="OK", StateReason="by hand")
    aws.cloud.set_pace(30)
    aws.cloud.stop()
    aws.cloud.ensure()
    assert aws.cloud.pace() == 30
    assert "a minute of AWS's passes in 2 s" in aws.cloud.status()["waits"]
    shop = {"EndpointName": "shop", "VariantName": "AllTraffic", "EndpointConfigName": "one"}
    assert read(aws, "Invocations", shop, "Sum") == 3
    assert told(aws, "StateUpdate")[0] == "Alarm updated from INSUFFICIENT_DATA to OK"


def test_a_pace_is_a_number_that_can_be(aws: Any) -> None:
    for wrong in (0, -1, 1e9, "soon"):
        with pytest.raises(BadInput, match="expected a number from"):
            aws.cloud.set_pace(wrong)
    aws.cloud.set_pace(1)
    assert "as long as on AWS" in aws.cloud.status()["waits"]
    aws.cloud.reset()
    assert aws.cloud.pace() == USUAL


def read(aws: Any, metric: str, dimensions: dict[str, str], statistic: str) -> float:
    """The statistic's sum over all periods of the last hour."""
    found = aws("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=60,
        Statistics=[statistic],
    )
    return sum(point[statistic] for point in found["Datapoints"])
