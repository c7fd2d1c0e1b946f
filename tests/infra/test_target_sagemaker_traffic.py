"""The acting side of SageMaker against botocore's own stubs, which check requests by the API's model."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from infra.aws_session import AwsSession
from infra.targets.base import Clock, Phase, ShiftPolicy
from infra.targets.sagemaker.observe import PHASES
from infra.targets.sagemaker.shift import request
from infra.targets.sagemaker.traffic import SageMakerTraffic
from modelpack.errors import BadInput, CloudRefused, EcomdeployError, Unhealthy
from modelpack.progress import Silent

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/shop@sha256:" + "a" * 64


class Waiting:
    """A clock that only moves when it is slept on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(self.now, self.sleep)


class Place:
    """A traffic object and the stubs of the four APIs that it speaks to."""

    def __init__(self) -> None:
        session = AwsSession(ENVIRONMENT)
        self.waiting = Waiting()
        self.traffic = SageMakerTraffic(session, self.waiting.clock)
        self.control = Stubber(session.client("sagemaker"))
        self.registry = Stubber(session.client("ecr"))
        self.runtime = Stubber(session.client("sagemaker-runtime", attempts=1))
        self.logs = Stubber(session.client("logs"))

    def describes(self, status: str, configuration: str = "old", **more: Any) -> None:
        variant = {
            "VariantName": "AllTraffic",
            "CurrentInstanceCount": 2,
            "DeployedImages": [{"SpecifiedImage": IMAGE, "ResolvedImage": IMAGE}],
        }
        answer = {
            "EndpointName": "shop",
            "EndpointArn": ARN,
            "EndpointConfigName": configuration,
            "EndpointStatus": status,
            "ProductionVariants": [variant],
            "CreationTime": 0,
            "LastModifiedTime": 0,
            **more,
        }
        self.control.add_response("describe_endpoint", answer, {"EndpointName": "shop"})

    def wait(self, deadline: float = 60.0) -> Any:
        return self.traffic.wait("shop", "new", Silent(), deadline)


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    with made.control, made.registry, made.runtime, made.logs:
        yield made
        made.control.assert_no_pending_responses()
        made.registry.assert_no_pending_responses()
        made.runtime.assert_no_pending_responses()
        made.logs.assert_no_pending_responses()


def test_observe_tells_where_traffic_is_and_what_runs(place: Place) -> None:
    place.describes("InService", "old")
    seen = place.traffic.observe("shop")
    assert (seen.phase, seen.status) == (Phase.SERVING, "InService")
    assert (seen.revision, seen.images, seen.replicas) == ("old", (IMAGE,), 2)


@pytest.mark.parametrize(
    ("status", "phase", "answers", "moving", "gone"),
    [
        ("Creating", Phase.CREATING, False, True, False),
        ("InService", Phase.SERVING, True, False, False),
        ("Updating", Phase.CHANGING, True, True, False),
        ("SystemUpdating", Phase.CHANGING, True, True, False),
        ("RollingBack", Phase.CHANGING, True, True, False),
        ("OutOfService", Phase.DEGRADED, False, False, False),
        ("UpdateRollbackFailed", Phase.DEGRADED, False, False, False),
        ("Failed", Phase.FAILED, False, False, True),
        ("Deleting", Phase.REMOVING, False, True, False),
        ("SomethingNew", Phase.DEGRADED, False, False, False),
    ],
)
def test_every_status_is_a_phase_of_ours(
    place: Place, status: str, phase: Phase, answers: bool, moving: bool, gone: bool
) -> None:
    place.describes(status)
    seen = place.traffic.observe("shop")
    assert (seen.phase, seen.answers, seen.moving, seen.gone) == (phase, answers, moving, gone)


def test_the_statuses_are_those_that_the_api_has() -> None:
    import botocore.loaders

    model = botocore.loaders.Loader().load_service_model("sagemaker", "service-2")
    assert set(PHASES) == set(model["shapes"]["EndpointStatus"]["enum"])


def test_no_endpoint_is_a_phase_and_other_refusals_are_errors(place: Place) -> None:
    place.control.add_client_error(
        "describe_endpoint", "ValidationException", 'Could not find endpoint "arn:aws:sagemaker:...".'
    )
    assert place.traffic.observe("shop").phase is Phase.ABSENT
    place.control.add_client_error("describe_endpoint", "AccessDeniedException", "not you", 400)
    with pytest.raises(CloudRefused, match="not you"):
        place.traffic.observe("shop")


def test_a_shift_updates_the_endpoint_with_its_guardrails(place: Place) -> None:
    place.describes("InService", "old")
    policy = ShiftPolicy(alarms=("shop-error-rate",), bake=120, timeout=900)
    place.control.add_response(
        "update_endpoint",
        {"EndpointArn": ARN},
        {
            "EndpointName": "shop",
            "EndpointConfigName": "new",
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredInstanceCount"}],
            "DeploymentConfig": {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 120},
                    "TerminationWaitInSeconds": 0,
                    "MaximumExecutionTimeoutInSeconds": 900,
                },
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "shop-error-rate"}]},
            },
        },
    )
    assert place.traffic.shift("shop", "new", policy) is True


def test_capacity_is_kept_where_something_scales_it() -> None:
    assert "ExcludeRetainedVariantProperties" not in request("shop", "new", ShiftPolicy(keep_capacity=True))
    assert "AutoRollbackConfiguration" not in request("shop", "new", ShiftPolicy())["DeploymentConfig"]


def test_a_deployment_takes_ten_alarms_at_most() -> None:
    with pytest.raises(BadInput, match="10 alarms"):
        request("shop", "new", ShiftPolicy(alarms=tuple(str(number) for number in range(11))))


def test_a_shift_to_where_the_endpoint_is_does_nothing(place: Place) -> None:
    place.describes("InService", "new")
    assert place.traffic.shift("shop", "new", ShiftPolicy()) is False
    place.describes("Updating", "old", PendingDeploymentSummary={"EndpointConfigName": "new"})
    assert place.traffic.shift("shop", "new", ShiftPolicy()) is False


def test_a_shift_while_the_endpoint_goes_elsewhere_is_refused(place: Place) -> None:
    place.describes("Updating", "old", PendingDeploymentSummary={"EndpointConfigName": "third"})
    with pytest.raises(EcomdeployError, match="Updating to third"):
        place.traffic.shift("shop", "new", ShiftPolicy())


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ResourceLimitExceeded", CloudRefused),
        ("ExpiredTokenException", CloudRefused),
        ("ValidationException", EcomdeployError),
    ],
)
def test_refusals_of_a_shift_are_told_apart(place: Place, code: str, error: type[EcomdeployError]) -> None:
    place.describes("InService", "old")
    place.control.add_client_error("update_endpoint", code, "the account-level service limit")
    with pytest.raises(error) as caught:
        place.traffic.shift("shop", "new", ShiftPolicy())
    assert type(caught.value) is error
    assert "service limit" in str(caught.value)


def test_waiting_ends_when_traffic_is_where_it_was_asked_to_be(place: Place) -> None:
    for status, configuration in (("Updating", "old"), ("Updating", "old"), ("InService", "new")):
        place.describes(status, configuration)
    assert place.wait().revision == "new"
    assert place.waiting.seconds > 0


def test_a_silent_roll_back_is_a_failure(place: Place) -> None:
    """SageMaker ends InService, as after a success, but on the old configuration."""
    place.describes("Updating", "old")
    place.describes("RollingBack", "old")
    place.describes("InService", "old", FailureReason="alarm shop-error-rate")
    with pytest.raises(Unhealthy, match=r"ended on old, not on new: alarm shop-error-rate"):
        place.wait()


def test_an_answer_that_lags_behind_is_not_yet_a_failure(place: Place) -> None:
    place.describes("InService", "old")
    place.describes("InService", "old")
    place.describes("Updating", "old")
    place.describes("InService", "new")
    assert place.wait().revision == "new"


def test_an_endpoint_that_never_moves_is_believed_after_some_looks(place: Place) -> None:
    for _ in range(3):
        place.describes("InService", "old")
    with pytest.raises(Unhealthy, match="ended on old"):
        place.wait()


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_that_does_not_serve_is_a_failure(place: Place, status: str) -> None:
    place.describes("Creating", "new")
    place.describes(status, "new", FailureReason="no capacity")
    with pytest.raises(Unhealthy, match=f"{status}: no capacity"):
        place.wait()


@pytest.mark.parametrize("status", ["InService", "Failed", "UpdateRollbackFailed"])
@pytest.mark.parametrize(
    "reason",
    [
        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.",
        "ResourceLimitExceeded: the account-level service limit is 0 Instances",
    ],
)
def test_no_servers_to_be_had_is_the_clouds_refusal(place: Place, status: str, reason: str) -> None:
    place.describes("Updating", "old")
    place.describes(status, "old", FailureReason=reason)
    with pytest.raises(CloudRefused, match=reason):
        place.wait()


def test_waiting_has_an_end(place: Place) -> None:
    for _ in range(5):
        place.describes("Updating", "old")
    with pytest.raises(Unhealthy, match="still Updating after 1 s"):
        place.wait(deadline=1.0)
    assert place.waiting.seconds <= 1.0


def test_an_endpoint_that_goes_away_is_a_failure(place: Place) -> None:
    place.describes("Updating", "old")
    place.control.add_client_error("describe_endpoint", "ValidationException", "Could not find endpoint")
    with pytest.raises(Unhealthy, match="gone"):
        place.wait()


def configured(place: Place) -> None:
    place.control.add_response(
        "describe_endpoint_config",
        {
            "EndpointConfigName": "new",
            "EndpointConfigArn": ARN,
            "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "m"}],
            "CreationTime": 0,
        },
    )


def test_what_stands_in_the_way_of_a_roll_back_is_named(place: Place) -> None:
    place.control.add_client_error(
        "describe_endpoint_config", "ValidationException", "Could not find endpoint configuration"
    )
    assert place.traffic.obstacles("new") == ("there is no endpoint configuration new",)
    configured(place)
    place.control.add_client_error("describe_model", "ValidationException", "Could not find model")
    assert place.traffic.obstacles("new") == ("there is no model m",)


@pytest.mark.parametrize("there", [True, False])
def test_a_roll_back_needs_the_image(place: Place, there: bool) -> None:
    configured(place)
    model = {"ModelName": "m", "ModelArn": ARN, "CreationTime": 0, "PrimaryContainer": {"Image": IMAGE}}
    place.control.add_response("describe_model", model)
    asked = {"repositoryName": "shop", "imageIds": [{"imageDigest": "sha256:" + "a" * 64}]}
    if there:
        place.registry.add_response("describe_images", {"imageDetails": []}, asked)
    else:
        place.registry.add_client_error(
            "describe_images", "ImageNotFoundException", "gone", expected_params=asked
        )
    assert place.traffic.obstacles("new") == (() if there else (f"the registry has no {IMAGE}",))


def test_an_answer_carries_the_content_that_gave_it(place: Place) -> None:
    place.runtime.add_response(
        "invoke_endpoint",
        {
            "Body": StreamingBody(io.BytesIO(b"{}"), 2),
            "CustomAttributes": "sha256:abc",
            "ResponseMetadata": {"HTTPStatusCode": 200},
        },
        {"EndpointName": "shop", "Body": b"[]", "ContentType": "application/json"},
    )
    answer = place.traffic.invoke("shop", b"[]")
    assert (answer.status, answer.body, answer.content_digest) == (200, b"{}", "sha256:abc")


def test_an_error_of_the_model_is_an_answer_and_one_of_the_route_is_not(place: Place) -> None:
    place.runtime.add_client_error(
        "invoke_endpoint",
        "ModelError",
        "Received client error (400)",
        424,
        modeled_fields={"OriginalStatusCode": 400, "OriginalMessage": "no instances"},
    )
    answer = place.traffic.invoke("shop", b"[]")
    assert (answer.status, answer.body, answer.content_digest) == (400, b"no instances", "")
    place.runtime.add_client_error("invoke_endpoint", "ValidationError", "Endpoint shop not found", 400)
    with pytest.raises(EcomdeployError, match="not found"):
        place.traffic.invoke("shop", b"[]")


def holds(place: Place, configuration: str, **models: str) -> None:
    """The configuration has these production variants, each with its model."""
    place.control.add_response(
        "describe_endpoint_config",
        {
            "EndpointConfigName": configuration,
            "EndpointConfigArn": ARN,
            "ProductionVariants": [
                {"VariantName": name, "ModelName": model} for name, model in models.items()
            ],
            "CreationTime": 0,
        },
        {"EndpointConfigName": configuration},
    )


@pytest.mark.parametrize(
    ("release", "model", "variant"), [("one", "m1", "AllTraffic"), ("two", "m2", "Canary")]
)
def test_a_request_can_be_kept_to_one_release(place: Place, release: str, model: str, variant: str) -> None:
    """An endpoint on two variants: each is found by the Model that its release's own configuration has."""
    place.describes("InService", "both")
    holds(place, release, AllTraffic=model)
    holds(place, "both", AllTraffic="m1", Canary="m2")
    place.runtime.add_response(
        "invoke_endpoint",
        {"Body": StreamingBody(io.BytesIO(b"{}"), 2), "ResponseMetadata": {"HTTPStatusCode": 200}},
        {"EndpointName": "shop", "Body": b"[]", "ContentType": "application/json", "TargetVariant": variant},
    )
    assert place.traffic.invoke("shop", b"[]", release=release).status == 200


def test_a_release_that_does_not_serve_is_not_asked(place: Place) -> None:
    place.describes("InService", "one")
    holds(place, "two", AllTraffic="m2")
    holds(place, "one", AllTraffic="m1")
    with pytest.raises(EcomdeployError, match="shop serves nothing of two"):
        place.traffic.invoke("shop", b"[]", release="two")


def test_during_an_update_no_request_can_be_kept_to_one_release(place: Place) -> None:
    """Both sides of SageMaker's blue/green have one variant's name."""
    place.describes("Updating", "one", PendingDeploymentSummary={"EndpointConfigName": "two"})
    with pytest.raises(EcomdeployError, match="shop is Updating"):
        place.traffic.invoke("shop", b"[]", release="two")


def test_logs_are_the_last_lines_of_all_instances_by_time(place: Place) -> None:
    group = "/aws/sagemaker/Endpoints/shop"
    place.logs.add_response(
        "describe_log_streams",
        {"logStreams": [{"logStreamName": "AllTraffic/i-2"}, {"logStreamName": "AllTraffic/i-1"}]},
        {"logGroupName": group, "orderBy": "LastEventTime", "descending": True, "limit": 20},
    )
    for stream, events in (("i-2", [(2, "second\n"), (5, "last")]), ("i-1", [(1, "first"), (3, "third")])):
        place.logs.add_response(
            "get_log_events",
            {"events": [{"timestamp": at, "message": line} for at, line in events]},
            {
                "logGroupName": group,
                "logStreamName": f"AllTraffic/{stream}",
                "limit": 3,
                "startFromHead": False,
            },
        )
    assert place.traffic.logs("shop", 3) == ["second", "third", "last"]
