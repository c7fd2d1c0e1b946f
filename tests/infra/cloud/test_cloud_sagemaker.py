"""Contract of the emulated SageMaker hosting: a boto3 client over HTTP, servers that answer."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from waiting import wait_for

pytestmark = pytest.mark.usefixtures("empty")


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_an_endpoint_comes_into_service_and_answers(aws: Any, tmp_path: Path) -> None:
    may_start = tmp_path / "may-start"
    image = aws.release("one", {"START_WHEN": str(may_start)})
    sagemaker = aws("sagemaker")
    arn = sagemaker.create_endpoint(EndpointName="Shop", EndpointConfigName="one")["EndpointArn"]
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop"
    assert sagemaker.describe_endpoint(EndpointName="Shop")["EndpointStatus"] == "Creating"
    assert "not found" in refused(aws.invoke, endpoint="Shop")
    may_start.touch()
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="Shop", WaiterConfig={"Delay": 1})
    found = aws.settled("Shop")
    (variant,) = found["ProductionVariants"]
    assert variant["DeployedImages"][0]["SpecifiedImage"] == image
    assert variant["DeployedImages"][0]["ResolvedImage"] == image
    assert (variant["CurrentWeight"], variant["CurrentInstanceCount"]) == (1.0, 1)
    answer = aws.invoke("Shop", b'{"a": 1}', CustomAttributes="mine")
    assert answer["json"]["request"] == '{"a": 1}'
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "application/json"
    assert image.endswith(answer["CustomAttributes"])


def test_names_are_taken_once_and_missing_things_are_named(aws: Any) -> None:
    image = aws.release("one")
    aws.endpoint("shop", "one")
    sagemaker = aws("sagemaker")
    assert refused(aws.release, name="one") == (
        "ValidationException: Cannot create already existing model "
        '"arn:aws:sagemaker:us-east-1:123456789012:model/one".'
    )
    assert "Cannot create already existing endpoint configuration" in refused(
        aws.configuration, name="one", models=[("one", 1.0)]
    )
    assert "Cannot create already existing endpoint " in refused(
        aws.endpoint, name="shop", configuration="one"
    )
    assert refused(sagemaker.describe_endpoint, EndpointName="none") == (
        'ValidationException: Could not find endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/none".'
    )
    for call, arguments, kind in (
        (sagemaker.delete_endpoint, {"EndpointName": "none"}, "endpoint "),
        (sagemaker.delete_model, {"ModelName": "none"}, "model "),
        (sagemaker.delete_endpoint_config, {"EndpointConfigName": "none"}, "endpoint configuration "),
        (sagemaker.create_endpoint, {"EndpointName": "x", "EndpointConfigName": "none"}, "endpoint conf"),
        (sagemaker.update_endpoint, {"EndpointName": "shop", "EndpointConfigName": "none"}, "endpoint conf"),
    ):
        assert f"ValidationException: Could not find {kind}" in refused(call, **arguments)
    assert "Could not find model" in refused(aws.configuration, name="two", models=[("two", 1.0)])
    lost = image[:-4] + "0000"
    assert f"Requested image {lost} not found." in refused(
        sagemaker.create_model,
        ModelName="two",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/serving",
        PrimaryContainer={"Image": lost},
    )


def test_requests_are_held_against_the_services_model(aws: Any) -> None:
    aws.release("one")
    said = refused(aws.configuration, name="two", models=[("one", 1.0)], instance="ml.g99.xlarge")
    assert said.startswith("ValidationException: 1 validation error detected: Value 'ml.g99.xlarge' at")
    assert "'endpointName'" in refused(aws.endpoint, name="no_underscore", configuration="one")


def test_an_update_moves_over_without_a_failed_request(aws: Any, tmp_path: Path) -> None:
    may_start = tmp_path / "may-start"
    first = aws.release("one", {"ANSWER_SECONDS": "0.05"})
    second = aws.release("two", {"START_WHEN": str(may_start), "ANSWER_SECONDS": "0.05"})
    aws.endpoint("shop", "one")
    seen: list[str] = []
    failed: list[BaseException] = []
    ended = threading.Event()

    def poll() -> None:
        while not ended.is_set():
            try:
                seen.append(aws.invoke("shop")["json"]["digest"])
            except ClientError as error:
                failed.append(error)

    aws("sagemaker-runtime")
    clients = [threading.Thread(target=poll) for _ in range(4)]
    for client in clients:
        client.start()
    wait_for(lambda: len(seen) > len(clients))
    aws("sagemaker").update_endpoint(
        EndpointName="shop", EndpointConfigName="two", RetainAllVariantProperties=True
    )
    assert aws("sagemaker").describe_endpoint(EndpointName="shop")["EndpointStatus"] == "Updating"
    assert all(first.endswith(one) for one in seen)
    may_start.touch()
    found = aws.settled("shop")
    wait_for(lambda: any(second.endswith(one) for one in seen))
    ended.set()
    for client in clients:
        client.join()
    assert not failed
    assert (found["EndpointConfigName"], "FailureReason" in found) == ("two", False)
    assert second.endswith(aws.invoke("shop")["json"]["digest"])
    assert len(set(seen)) == 2
    (servers,) = [item["servers"] for item in aws.cloud.status()["endpoints"]]
    assert [server["image"] for server in servers] == [second]


@pytest.mark.parametrize("kind", ["crash", "never-ready", "capacity"])
def test_a_failed_update_ends_in_service_on_the_old_configuration(aws: Any, kind: str) -> None:
    first = aws.release("one")
    aws.release("two")
    aws.endpoint("shop", "one")
    aws.cloud.plant({"kind": kind, "endpoint": "shop", "seconds": 0.3})
    aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName="two")
    found = aws.settled("shop")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "one")
    assert ("InsufficientInstanceCapacity" if kind == "capacity" else "ping health check") in found[
        "FailureReason"
    ]
    assert first.endswith(aws.invoke("shop")["json"]["digest"])
    aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName="two")
    assert aws.settled("shop")["EndpointConfigName"] == "two"


def test_a_failed_creation_can_only_be_deleted(aws: Any) -> None:
    aws.release("one")
    aws.cloud.plant({"kind": "crash"})
    aws.endpoint("shop", "one")
    found = aws("sagemaker").describe_endpoint(EndpointName="shop")
    assert found["EndpointStatus"] == "Failed"
    assert "ping health check" in found["FailureReason"]
    assert "only be deleted" in refused(
        aws("sagemaker").update_endpoint, EndpointName="shop", EndpointConfigName="one"
    )
    aws("sagemaker").delete_endpoint(EndpointName="shop")
    aws("sagemaker").get_waiter("endpoint_deleted").wait(EndpointName="shop", WaiterConfig={"Delay": 0})


def test_wrong_answers_come_from_the_next_configuration_only(aws: Any) -> None:
    for name in ("one", "two", "three"):
        aws.release(name)
    aws.endpoint("shop", "one")
    aws.cloud.plant({"kind": "wrong-answers", "endpoint": "shop", "count": 1})
    scores = [aws.invoke("shop")["json"]["score"]]
    for name in ("two", "three"):
        aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName=name)
        aws.settled("shop")
        scores.append(aws.invoke("shop")["json"]["score"])
    assert scores == [0.5, 1.75, 0.5]


def test_a_planted_api_error_strikes_as_often_as_told(aws: Any) -> None:
    aws.cloud.plant(
        {"kind": "api-error", "operation": "DescribeEndpoint", "code": "ThrottlingException", "times": 2}
    )
    said = [refused(aws("sagemaker").describe_endpoint, EndpointName="shop")[:10] for _ in range(3)]
    assert said == ["Throttling", "Throttling", "Validation"]


def test_errors_of_the_model_are_model_errors(aws: Any) -> None:
    for status in (400, 500):
        name = f"bad-{status}"
        aws.release(name, {"ANSWER_STATUS": str(status)})
        aws.endpoint(name, name)
        with pytest.raises(ClientError) as caught:
            aws.invoke(name)
        answer = caught.value.response
        assert answer["Error"]["Code"] == "ModelError"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert answer["OriginalStatusCode"] == status
        assert "digest" in answer["OriginalMessage"]
    assert "ValidationError: Endpoint none of account 123456789012 not found." in refused(
        aws.invoke, endpoint="none"
    )


def test_variants_share_traffic_by_weight(aws: Any) -> None:
    aws.release("one")
    aws.release("two")
    aws.configuration("both", [("one", 0.9), ("two", 0.1)])
    aws.endpoint("shop", "both")
    seen = [aws.invoke("shop")["InvokedProductionVariant"] for _ in range(100)]
    assert 60 < seen.count("variant-one") < 100
    assert aws.invoke("shop", TargetVariant="variant-two")["InvokedProductionVariant"] == "variant-two"
    assert "not found" in refused(aws.invoke, endpoint="shop", TargetVariant="none")
    aws("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="shop",
        DesiredWeightsAndCapacities=[
            {"VariantName": "variant-one", "DesiredWeight": 0.0, "DesiredInstanceCount": 3}
        ],
    )
    assert {aws.invoke("shop")["InvokedProductionVariant"] for _ in range(20)} == {"variant-two"}
    aws("sagemaker").update_endpoint(
        EndpointName="shop", EndpointConfigName="both", RetainAllVariantProperties=True
    )
    kept = {item["VariantName"]: item for item in aws.settled("shop")["ProductionVariants"]}
    assert (kept["variant-one"]["CurrentWeight"], kept["variant-one"]["CurrentInstanceCount"]) == (0.0, 3)


def test_an_alarm_that_rings_rolls_an_update_back(aws: Any) -> None:
    aws.release("one")
    aws.release("two")
    aws.endpoint("shop", "one")
    watch = aws("cloudwatch")
    watch.put_metric_alarm(
        AlarmName="errors",
        MetricName="m",
        Namespace="n",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    deployment = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }
    aws.cloud.set_pace(1e-6)  # a state that was set lasts until the next look at the alarm
    for state, ends in (("ALARM", "one"), ("OK", "two")):
        watch.set_alarm_state(AlarmName="errors", StateValue=state, StateReason="test")
        aws("sagemaker").update_endpoint(
            EndpointName="shop", EndpointConfigName="two", DeploymentConfig=deployment
        )
        found = aws.settled("shop")
        assert found["EndpointConfigName"] == ends
        assert ("alarm errors" in found.get("FailureReason", "")) == (state == "ALARM")
    assert found["LastDeploymentConfig"] == deployment


def test_lists_have_filters_order_and_pages(aws: Any) -> None:
    for number in range(3):
        aws.release(f"m-{number}")
    sagemaker = aws("sagemaker")
    names = [row["ModelName"] for row in sagemaker.list_models(NameContains="M-", SortBy="Name")["Models"]]
    assert names == ["m-2", "m-1", "m-0"]
    pages = list(sagemaker.get_paginator("list_endpoint_configs").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["EndpointConfigs"]) for page in pages] == [2, 1]
    aws.endpoint("shop", "m-0")
    assert not sagemaker.list_endpoints(StatusEquals="Failed")["Endpoints"]
    assert len(sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]) == 1


def test_tags(aws: Any) -> None:
    aws.release("one")
    sagemaker = aws("sagemaker")
    arn = sagemaker.describe_model(ModelName="one")["ModelArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]


def test_invocations_reach_cloudwatch(aws: Any) -> None:
    aws.release("one")
    aws.release("bad", {"ANSWER_STATUS": "500"})
    aws.configuration("both", [("one", 1.0), ("bad", 1.0)])
    aws.endpoint("shop", "both")
    for _ in range(3):
        aws.invoke("shop", TargetVariant="variant-one")
    refused(aws.invoke, endpoint="shop", TargetVariant="variant-bad")
    assert total(aws, "Invocations", "variant-one") == 3
    assert total(aws, "Invocation5XXErrors", "variant-bad") == 1
    assert total(aws, "Invocation5XXErrors", "variant-one") == 0
    assert 0 < total(aws, "ModelLatency", "variant-one", "Maximum") < 60e6


def test_a_reset_takes_invocations_that_nobody_asked_for_yet(aws: Any) -> None:
    aws.release("one")
    aws.release("two")
    aws.configuration("both", [("one", 1.0), ("two", 1.0)])
    aws.endpoint("shop", "both")
    aws.invoke("shop", TargetVariant="variant-one")
    aws.cloud.reset()
    assert total(aws, "Invocations", "variant-one") == 0


def total(aws: Any, metric: str, variant: str, statistic: str = "Sum") -> float:
    """What CloudWatch has of the endpoint `shop` for the last five minutes."""
    found = aws("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": "EndpointName", "Value": "shop"}, {"Name": "VariantName", "Value": variant}],
        StartTime=time.time() - 300,
        EndTime=time.time() + 60,
        Period=600,
        Statistics=[statistic],
    )
    return sum(point[statistic] for point in found["Datapoints"])
