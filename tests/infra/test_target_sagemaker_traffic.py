"""The acting side of SageMaker against botocore's own stubs, which check requests by the API's model."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from infra.aws_session import AwsSession
from infra.targets.base import Clock, Observation, Phase
from infra.targets.guard import Figures
from infra.targets.moves import ShiftPolicy, Strategy
from infra.targets.sagemaker.guard import period_of
from infra.targets.sagemaker.observe import PHASES
from infra.targets.sagemaker.shift import deployment, request
from infra.targets.sagemaker.traffic import SageMakerTraffic
from modelpack.errors import BadInput, CloudRefused, EcomdeployError, Unhealthy
from modelpack.progress import Silent
from stacks.spec import CanarySpec, LinearSpec, RollingSpec, RolloutSpec

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
    """A traffic object and the stubs of the five APIs that it speaks to."""

    def __init__(self) -> None:
        session = AwsSession(ENVIRONMENT)
        self.waiting = Waiting()
        self.traffic = SageMakerTraffic(session, self.waiting.clock)
        self.control = Stubber(session.client("sagemaker"))
        self.registry = Stubber(session.client("ecr"))
        self.runtime = Stubber(session.client("sagemaker-runtime", attempts=1))
        self.logs = Stubber(session.client("logs"))
        self.iam = Stubber(session.client("iam"))
        self.watch = Stubber(session.client("cloudwatch"))

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
    with made.control, made.registry, made.runtime, made.logs, made.iam, made.watch:
        yield made
        made.control.assert_no_pending_responses()
        made.registry.assert_no_pending_responses()
        made.runtime.assert_no_pending_responses()
        made.logs.assert_no_pending_responses()
        made.iam.assert_no_pending_responses()
        made.watch.assert_no_pending_responses()


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
    policy = ShiftPolicy(strategy=Strategy.BLUE_GREEN, alarms=("shop-error-rate",), bake=180, timeout=900)
    place.control.add_response(
        "update_endpoint",
        {"EndpointArn": ARN},
        {
            "EndpointName": "shop",
            "EndpointConfigName": "new",
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredInstanceCount"}],
            "DeploymentConfig": deployment(policy),
        },
    )
    assert place.traffic.shift("shop", "new", policy) is True


TEN, GUARD = {"Type": "CAPACITY_PERCENT", "Value": 10}, ("shop-error-rate",)


@pytest.mark.parametrize(
    ("spec", "shares", "kind", "how", "limit"),
    [
        (RolloutSpec(), (100,), "BlueGreenUpdatePolicy", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}, 1800),
        (
            RolloutSpec(strategy="blue-green", deadline_minutes=20),
            (100,),
            "BlueGreenUpdatePolicy",
            {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300},
            1500,
        ),
        (
            RolloutSpec(strategy="canary", canary=CanarySpec(bake=180)),
            (10, 100),
            "BlueGreenUpdatePolicy",
            {"Type": "CANARY", "CanarySize": TEN, "WaitIntervalInSeconds": 180},
            2160,
        ),
        (
            RolloutSpec(strategy="linear", linear=LinearSpec(step=10, bake=3600)),
            (10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
            "BlueGreenUpdatePolicy",
            {"Type": "LINEAR", "LinearStepSize": TEN, "WaitIntervalInSeconds": 3600},
            28800,
        ),
        (
            RolloutSpec(strategy="rolling", rolling=RollingSpec(batch=10, bake=240)),
            (10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
            "RollingUpdatePolicy",
            {"MaximumBatchSize": TEN, "WaitIntervalInSeconds": 240},
            4200,
        ),
    ],
    ids=lambda value: getattr(value, "strategy", None),
)  # fmt: skip
def test_a_strategy_is_a_deployment_that_the_api_takes(
    spec: RolloutSpec, shares: tuple[int, ...], kind: str, how: dict[str, Any], limit: int
) -> None:
    """As a value, which botocore's own model finds nothing wrong with."""
    policy = spec.policy(GUARD, keep_capacity=True)
    assert policy.shares == shares
    made = deployment(policy)
    blue = kind == "BlueGreenUpdatePolicy"
    told = {"TrafficRoutingConfiguration": how, "TerminationWaitInSeconds": 0} if blue else how
    guard = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": GUARD[0]}]}} if policy.bake else {}
    assert made == {kind: {**told, "MaximumExecutionTimeoutInSeconds": limit}, **guard}
    assert complaints(made) == ""
    assert deployment(policy.at_once()) == deployment(RolloutSpec(
        deadline_minutes=spec.deadline_minutes).policy(GUARD, keep_capacity=True))  # fmt: skip


def complaints(made: dict[str, Any]) -> str:
    """What botocore's model of SageMaker says of a DeploymentConfig, ranges included."""
    import botocore.loaders
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    model = ServiceModel(botocore.loaders.Loader().load_service_model("sagemaker", "service-2"))
    report = ParamValidator().validate(made, model.shape_for("DeploymentConfig"))
    beyond = [
        path
        for path, shape, value in walk(made, model.shape_for("DeploymentConfig"))
        if value > shape.metadata.get("max", value) or value < shape.metadata.get("min", value)
    ]
    return report.generate_report() + ", ".join(beyond)


def walk(value: Any, shape: Any, path: str = "") -> Iterator[tuple[str, Any, int]]:
    """Every whole number in it, with its shape."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from walk(one, shape.members[name], f"{path}.{name}")
    elif isinstance(value, int):
        yield path, shape, value


def test_what_the_api_would_not_take_is_seen() -> None:
    policy = {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 0}, "WaitIntervalInSeconds": 3601}
    assert complaints({"RollingUpdatePolicy": policy}).endswith(".RollingUpdatePolicy.WaitIntervalInSeconds")
    assert "Value" in complaints({"RollingUpdatePolicy": policy})
    assert "Type" in complaints({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {}}})


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
    for _ in range(9):
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


def sized(place: Place, status: str, replicas: int, **more: Any) -> None:
    variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": replicas}
    place.describes(status, ProductionVariants=[variant], **more)


SIZES = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}]
RESIZE = {"EndpointName": "shop", "DesiredWeightsAndCapacities": SIZES}


def test_a_number_of_replicas_is_asked_for_and_waited_for(place: Place) -> None:
    """The answer may lag behind the call."""
    sized(place, "InService", 1)
    place.control.add_response("update_endpoint_weights_and_capacities", {"EndpointArn": ARN}, RESIZE)
    sized(place, "InService", 1)
    sized(place, "Updating", 1)
    sized(place, "InService", 3)
    assert place.traffic.resize("shop", 3, Silent(), 60.0)
    sized(place, "InService", 3)
    assert not place.traffic.resize("shop", 3, Silent(), 60.0)


@pytest.mark.parametrize(
    ("failure", "error"), [("InsufficientInstanceCapacity: none", CloudRefused), ("who knows", Unhealthy)]
)
def test_another_number_in_the_end_is_told(place: Place, failure: str, error: type[Exception]) -> None:
    sized(place, "InService", 1)
    place.control.add_response("update_endpoint_weights_and_capacities", {"EndpointArn": ARN}, RESIZE)
    sized(place, "Updating", 1)
    sized(place, "InService", 1, FailureReason=failure)
    with pytest.raises(error, match="has 1 replicas, not 3"):
        place.traffic.resize("shop", 3, Silent(), 60.0)


def test_an_endpoint_on_its_way_is_not_resized(place: Place) -> None:
    sized(place, "Updating", 1)
    with pytest.raises(EcomdeployError, match="no other number of replicas now"):
        place.traffic.resize("shop", 3, Silent(), 60.0)


IMAGE_ASKED = {"repositoryName": "shop", "imageIds": [{"imageDigest": "sha256:" + "a" * 64}]}
ROLE = "arn:aws:iam::123456789012:role/shop-serving"


@pytest.mark.parametrize(("image", "role"), [(True, True), (False, True), (True, False)])
def test_a_roll_back_needs_the_image_and_the_role(place: Place, image: bool, role: bool) -> None:
    configured(place)
    model = {"ModelName": "m", "ModelArn": ARN, "CreationTime": 0, "PrimaryContainer": {"Image": IMAGE}}
    place.control.add_response("describe_model", {**model, "ExecutionRoleArn": ROLE})
    if image:
        place.registry.add_response("describe_images", {"imageDetails": []}, IMAGE_ASKED)
    else:
        place.registry.add_client_error(
            "describe_images", "ImageNotFoundException", "gone", expected_params=IMAGE_ASKED
        )
    asked = {"RoleName": "shop-serving"}
    if role:
        found = {"Path": "/", "RoleName": "shop-serving", "RoleId": "A" * 16, "Arn": ROLE, "CreateDate": 0}
        place.iam.add_response("get_role", {"Role": found}, asked)
    else:
        place.iam.add_client_error("get_role", "NoSuchEntity", "gone", expected_params=asked)
    wrong = [
        *([] if image else [f"the registry has no {IMAGE}"]),
        *([] if role else [f"there is no role {ROLE}"]),
    ]
    assert place.traffic.obstacles("new") == tuple(wrong)


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


def test_how_far_a_move_is(place: Place) -> None:
    """By the weights of both fleets, and by the stage of the variant that is coming."""
    began = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
    old = {"VariantName": "AllTraffic", "CurrentWeight": 0.9}
    coming = {
        "VariantName": "AllTraffic",
        "CurrentWeight": 0.1,
        "VariantStatus": [{"Status": "Baking", "StartTime": began}],
    }
    summary = {"EndpointConfigName": "new", "ProductionVariants": [coming], "StartTime": began}
    place.describes("Updating", ProductionVariants=[old], PendingDeploymentSummary=summary)
    seen = place.traffic.observe("shop")
    assert (seen.destination, seen.share, seen.baking) == ("new", 10, began)
    place.describes("InService")
    seen = place.traffic.observe("shop")
    assert (seen.destination, seen.share, seen.baking) == ("", 0, None)


def test_who_looks_on_sees_every_observation_and_may_end_the_waiting(place: Place) -> None:
    seen: list[Observation] = []
    place.describes("Updating", "old")
    place.describes("InService", "new")
    place.traffic.wait("shop", "new", Silent(), 60.0, seen.append)
    assert [one.phase for one in seen] == [Phase.CHANGING, Phase.SERVING]

    def refuse(one: Observation) -> None:
        raise Unhealthy("it answers wrong")

    place.describes("Updating", "old")
    with pytest.raises(Unhealthy, match="answers wrong"):
        place.traffic.wait("shop", "new", Silent(), 60.0, refuse)


@pytest.mark.parametrize(
    ("status", "way_out"),
    [
        ("UpdateRollbackFailed", "ecomdeploy rollback moves it all at once"),
        ("OutOfService", "ecomdeploy up moves it on"),
        ("Failed", "ecomdeploy up makes it anew"),
    ],
)
def test_a_bad_end_is_told_with_the_way_out(place: Place, status: str, way_out: str) -> None:
    place.describes("Updating", "old")
    place.describes(status, "old", FailureReason="alarm rang")
    with pytest.raises(Unhealthy, match=rf"is {status}: alarm rang; .*{way_out}"):
        place.wait()


NOON = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)


def test_alarms_as_they_are_and_as_they_rang(place: Place) -> None:
    told = {"AlarmName": "shop-p99", "StateValue": "OK", "StateReason": "fine", "StateUpdatedTimestamp": NOON}
    place.watch.add_response("describe_alarms", {"MetricAlarms": [told]}, {"AlarmNames": ["shop-p99"]})
    (seen,) = place.traffic.guard.states(("shop-p99",))
    assert (seen.name, seen.ringing, seen.reason, seen.at) == ("shop-p99", False, "fine", NOON)
    assert place.traffic.guard.states(()) == ()
    changes = [("ALARM", "too slow", 1), ("OK", "fine again", 2), ("ALARM", "slow once more", 3)]
    items = [
        {
            "AlarmName": "shop-p99",
            "Timestamp": NOON + timedelta(minutes=minute),
            "HistoryItemType": "StateUpdate",
            "HistoryData": json.dumps({"newState": {"stateValue": state, "stateReason": reason}}),
        }
        for state, reason, minute in changes
    ]
    asked = {"AlarmName": "shop-p99", "HistoryItemType": "StateUpdate", "StartDate": NOON, "EndDate": ANY}
    place.watch.add_response("describe_alarm_history", {"AlarmHistoryItems": items}, asked)
    place.watch.add_response("describe_alarm_history", {"AlarmHistoryItems": items[1:2]}, asked)
    (rung,) = place.traffic.guard.find_rung(("shop-p99",), NOON)
    assert str(rung) == "alarm shop-p99 rang: slow once more"
    assert place.traffic.guard.find_rung(("shop-p99",), NOON) == ()


def test_requests_are_counted_of_one_configuration(place: Place) -> None:
    named = {"EndpointName": "shop", "VariantName": "AllTraffic", "EndpointConfigName": "new"}
    place.watch.add_response(
        "get_metric_statistics",
        {"Datapoints": [{"Sum": 12.0}, {"Sum": 30.0}]},
        {
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocations",
            "Dimensions": [{"Name": name, "Value": value} for name, value in named.items()],
            "StartTime": NOON,
            "EndTime": ANY,
            "Period": ANY,
            "Statistics": ["Sum"],
        },
    )
    place.describes("InService", "new")
    assert place.traffic.guard.count_requests("shop", "new", NOON) == 42


def test_what_came_to_each_configuration_is_asked_at_once(place: Place) -> None:
    """Errors and latency are told of minutes in which there were requests; the latency in microseconds."""
    later = NOON + timedelta(minutes=1)

    def line(name: str, values: dict[datetime, float]) -> dict[str, Any]:
        return {"Id": name, "Timestamps": list(values), "Values": list(values.values())}

    told = [
        line("requests0", {later: 90.0, NOON: 100.0}),
        line("errors0", {NOON: 2.0}),
        line("latency0", {NOON: 12500.0, later: 9000.0}),
        line("requests1", {later: 10.0}),
        line("errors1", {}),
        line("latency1", {}),
    ]
    asked = {"MetricDataQueries": ANY, "StartTime": NOON, "EndTime": ANY}
    place.watch.add_response("get_metric_data", {"MetricDataResults": told[:4], "NextToken": "more"}, asked)
    place.watch.add_response(
        "get_metric_data", {"MetricDataResults": told[4:]}, {**asked, "NextToken": "more"}
    )
    place.describes("Updating")
    found = place.traffic.guard.measure("shop", ("old", "new"), NOON)
    assert found["old"] == (
        Figures(at=NOON, requests=100, errors=2, p99_ms=12.5),
        Figures(at=later, requests=90, p99_ms=9.0),
    )
    assert found["new"] == (Figures(at=later, requests=10),)


@pytest.mark.parametrize(
    ("span", "period"),
    [
        (timedelta(minutes=3), 60),
        (timedelta(days=1), 60),
        (timedelta(days=1, minutes=1), 120),
        (timedelta(days=14), 840),
        (timedelta(days=16), 1200),
    ],
)
def test_a_count_of_days_has_no_more_datapoints_than_an_answer(span: timedelta, period: int) -> None:
    assert period_of(span) == period
    assert span / timedelta(seconds=period) <= 1440


def test_an_alarm_is_rung_by_hand_where_there_is_one(place: Place) -> None:
    there = {"MetricAlarms": [{"AlarmName": "shop-p99", "StateValue": "OK"}]}
    place.watch.add_response("describe_alarms", there, {"AlarmNames": ["gone", "shop-p99"]})
    asked = {"AlarmName": "shop-p99", "StateValue": "ALARM", "StateReason": "rolled back"}
    place.watch.add_response("set_alarm_state", {}, asked)
    assert place.traffic.guard.ring(("gone", "shop-p99"), "rolled back")
    place.watch.add_response("describe_alarms", {"MetricAlarms": []}, {"AlarmNames": ["gone"]})
    assert not place.traffic.guard.ring(("gone",), "rolled back")
