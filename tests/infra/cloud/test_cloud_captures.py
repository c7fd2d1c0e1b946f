"""Data capture on the local cloud: what is kept, where, and in which form."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from waiting import wait_for

pytestmark = pytest.mark.usefixtures("empty")
BOTH = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]


def serve(aws: Any, options: list[dict[str, str]], percent: int = 100, **more: Any) -> None:
    aws("s3").create_bucket(Bucket="shop-records")
    aws.release("one")
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "one",
        "InstanceType": "ml.m5.xlarge",
        "InitialInstanceCount": 1,
    }
    aws("sagemaker").create_endpoint_config(
        EndpointConfigName="capturing",
        ProductionVariants=[variant],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": percent,
            "DestinationS3Uri": "s3://shop-records/captured",
            "CaptureOptions": options,
            **more,
        },
    )
    aws.endpoint("shop", "capturing")


def keys(aws: Any) -> list[str]:
    return [one["Key"] for one in aws("s3").list_objects_v2(Bucket="shop-records").get("Contents", ())]


def lines(aws: Any, count: int) -> list[dict[str, Any]]:
    """All that was kept, once that many requests were."""

    def read() -> list[dict[str, Any]]:
        bodies = [aws("s3").get_object(Bucket="shop-records", Key=key)["Body"].read() for key in keys(aws)]
        return [json.loads(line) for body in bodies for line in body.decode().splitlines()]

    wait_for(lambda: len(read()) >= count)
    return read()


def test_requests_and_answers_are_kept_as_lines(aws: Any) -> None:
    serve(aws, BOTH, CaptureContentTypeHeader={"JsonContentTypes": ["application/json"]})
    answers = [aws.invoke("shop", b'{"n": %d}' % number)["json"] for number in range(3)]
    kept = lines(aws, 3)
    assert len(kept) == 3
    (first, *_) = keys(aws)
    assert first.startswith("captured/shop/AllTraffic/")
    assert first.endswith(".jsonl")
    assert first.count("/") == 7
    sides = [one["captureData"] for one in kept]
    assert [json.loads(one["endpointInput"]["data"]) for one in sides] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [json.loads(one["endpointOutput"]["data"]) for one in sides] == answers
    assert {(one["endpointInput"]["mode"], one["endpointInput"]["encoding"]) for one in sides} == {
        ("INPUT", "JSON")
    }
    assert {one["eventVersion"] for one in kept} == {"0"}
    assert len({one["eventMetadata"]["eventId"] for one in kept}) == 3


def test_one_side_alone_in_base64_where_no_type_is_text(aws: Any) -> None:
    serve(aws, [{"CaptureMode": "Input"}])
    aws.invoke("shop", b"{}")
    (only,) = lines(aws, 1)
    assert set(only["captureData"]) == {"endpointInput"}
    side = only["captureData"]["endpointInput"]
    assert (side["encoding"], base64.b64decode(side["data"])) == ("BASE64", b"{}")


def test_only_what_is_asked_for_is_kept(aws: Any) -> None:
    serve(aws, BOTH, percent=0)
    aws.endpoint("plain", "one")
    kept = aws("sagemaker").describe_endpoint_config(EndpointConfigName="capturing")
    aws("sagemaker").create_endpoint_config(
        EndpointConfigName="all",
        ProductionVariants=kept["ProductionVariants"],
        DataCaptureConfig={**kept["DataCaptureConfig"], "InitialSamplingPercentage": 100},
    )
    aws.endpoint("kept", "all")
    for name in ("shop", "plain", "kept"):
        aws.invoke(name, b"{}")
    assert len(lines(aws, 1)) == 1
    assert {key.split("/")[1] for key in keys(aws)} == {"kept"}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"InitialSamplingPercentage": 101}, "less than or equal to 100"),
        ({"DestinationS3Uri": "shop"}, "regular expression"),
    ],
)
def test_what_aws_would_not_take_is_refused(aws: Any, broken: dict[str, Any], words: str) -> None:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match=words):
        serve(aws, BOTH, **broken)
