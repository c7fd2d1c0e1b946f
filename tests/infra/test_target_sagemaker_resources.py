"""What the service program declares at SageMaker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import declared
import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.components.alarms import alarm_names, list_watched
from infra.spec import AlarmSpec
from infra.targets.base import Declared
from infra.targets.catalog import targets
from infra.targets.initial import initial_release
from infra.targets.sagemaker.names import LENGTH, RULE, check, configuration_name, model_name, read_shadow
from modelpack.errors import BadInput

ROLE = "arn:aws:iam::123456789012:role/shop-local-serving"


def release(letter: str, **more: Any) -> dict[str, Any]:
    return {
        "key": letter * 12,
        "image": f"registry.test/shop-local@sha256:{letter * 64}",
        "instance": "ml.c7i.xlarge",
        "count": 1,
        "environment": {"THREADS": "2"},
        **more,
    }


def service(*releases: dict[str, Any], **more: Any) -> declared.Declaration:
    settings = {
        "service": "shop",
        "target": "sagemaker",
        "base": {"role_arn": ROLE},
        "releases": list(releases),
    }
    return declared.program("service", {**settings, **more})


def test_every_release_has_a_model_and_a_configuration_and_one_endpoint_serves() -> None:
    made = service(release("a"), release("b", initial=True))
    assert len(made.of("Model")) == len(made.of("EndpointConfiguration")) == 2
    assert set(made.outputs["revisions"]) == {"a" * 12, "b" * 12}
    assert made.outputs["endpoint"] == "shop-local"
    endpoint = made.one("Endpoint")
    assert endpoint.inputs["endpointConfigName"] == made.outputs["revisions"]["b" * 12]
    assert set(endpoint.ignored) == {"endpointConfigName", "deploymentConfig"}


def test_the_types_in_a_urn_are_those_that_are_deployed() -> None:
    """Another word here would be another URN: Pulumi would replace the endpoint that serves."""
    made = service(release("a", initial=True))
    above = {one.type for one in made.resources if one.type.startswith("ecomdeploy:")}
    assert above == {
        "ecomdeploy:infra:Release",
        "ecomdeploy:infra:Route",
        "ecomdeploy:infra:Alarms",
        "ecomdeploy:infra:ReleaseAlarms",
    }


def test_a_model_runs_the_image_by_digest_with_the_releases_variables() -> None:
    made = service(release("a", initial=True))
    container = made.one("Model").inputs["primaryContainer"]
    assert container == {"image": release("a")["image"], "environment": {"THREADS": "2"}}
    (variant,) = made.one("EndpointConfiguration").inputs["productionVariants"]
    assert variant["instanceType"] == "ml.c7i.xlarge"
    assert variant["initialInstanceCount"] == 1
    assert variant["modelName"] == made.one("Model").inputs["name"]


def test_a_release_keeps_its_names_whatever_happens_around_it() -> None:
    """Scale, alarms, other releases and who serves must never touch what an endpoint may be on."""
    alone = service(release("a", initial=True)).outputs
    later = service(
        release("a"), release("b", initial=True), scale={"min": 3, "max": 9, "target_rps": 10.0},
        alarms={"error_rate": None, "p99_ms": 20.0},
    ).outputs  # fmt: skip
    assert later["revisions"]["a" * 12] == alone["revisions"]["a" * 12]


def test_without_releases_nothing_is_declared() -> None:
    made = service()
    assert made.custom() == []
    assert made.outputs["endpoint"] == ""


def test_alarms_have_the_names_that_a_deployment_guards_itself_with() -> None:
    """What is a share of few requests is no share: each is of a minute with enough of them."""
    limits: dict[str, Any] = {
        "error_rate": 0.02,
        "p99_ms": 50.0,
        "model_error_rate": 0.5,
        "min_requests": 7,
        "periods": 3,
    }
    made = service(release("a", initial=True), alarms=limits)
    alarms = {one.inputs["name"].removeprefix("shop-local-"): one.inputs for one in endpoint_alarms(made)}
    names = [f"shop-local-{name}" for name in ("error-rate", "p99", "model-errors")]
    assert made.outputs["alarms"] == names
    assert list(alarm_names("shop-local", list_watched("shop-local", AlarmSpec(**limits)))) == names
    told = {name: (read_math(one), one["threshold"]) for name, one in alarms.items()}
    requests = ("Invocations", "Sum")
    assert told == {
        "error-rate": (
            ("IF(requests >= 7, errors / requests, 0)", requests, ("Invocation5XXErrors", "Sum")),
            0.02,
        ),
        "p99": (("IF(requests >= 7, latency, 0)", requests, ("ModelLatency", "p99")), 50_000),
        "model-errors": (
            ("IF(requests >= 7, errors / requests, 0)", requests, ("InvocationModelErrors", "Sum")),
            0.5,
        ),
    }
    for one in alarms.values():
        assert (one["evaluationPeriods"], one["treatMissingData"]) == (3, "notBreaching")
        assert "alarmActions" not in one


def endpoint_alarms(made: declared.Declaration) -> list[Any]:
    """Those on all that the endpoint answers."""
    return [one for one in made.of("MetricAlarm") if one.inputs["name"] in made.outputs["alarms"]]


def test_what_a_release_answers_alone_has_alarms_of_its_own_and_those_of_its_guardrails() -> None:
    """By the dimension that tells the fleets of an update apart; one without servers has none."""
    packed = {"price_out_of_bounds": 0.05, "declined": 0.1, "refused": 1.0}
    old, new = release("a", initial=True), release("b", guardrails=packed)
    alarms = {"error_rate": 0.02, "min_requests": 7, "guardrails": {"declined": None}}
    made = service(old, new, release("c", stopped=True), alarms=alarms)
    key = "b" * 12
    names = [f"shop-local-{key}-error-rate", f"shop-local-{key}-price-out-of-bounds"]
    told = {"a" * 12: [f"shop-local-{'a' * 12}-error-rate"], key: names}
    assert made.outputs["release_alarms"] == told
    configuration = made.outputs["revisions"][key]
    rate, price = (one.inputs for one in made.of("MetricAlarm") if one.inputs["name"] in names)
    where = {"EndpointName": "shop-local", "VariantName": "AllTraffic", "EndpointConfigName": configuration}
    assert [part["metric"]["dimensions"] for part in rate["metricQueries"][1:]] == [where, where]
    assert (price["threshold"], price["metricQueries"][0]["expression"]) == (
        0.05,
        "IF(requests >= 7, errors / requests, 0)",
    )
    asked = [part["metric"] for part in price["metricQueries"][1:]]
    assert [(one["namespace"], one["metricName"], one["stat"]) for one in asked] == [
        ("ecomdeploy", "GuardedAnswers", "Sum"),
        ("ecomdeploy", "price_out_of_bounds", "Sum"),
    ]
    assert {tuple(one["dimensions"].items()) for one in asked} == {(("EndpointConfigName", configuration),)}
    variables = {
        one.inputs["name"]: one.inputs["primaryContainer"]["environment"] for one in made.of("Model")
    }
    assert [one["ECOMDEPLOY_RELEASE"] for one in variables.values() if len(one) > 1] == [configuration]


def test_guardrails_leave_the_names_of_what_is_deployed_alone() -> None:
    plain, guarded = (Declared(**release("a", **more)) for more in ({}, {"guardrails": {"declined": 0.1}}))
    assert model_name("shop-local", ROLE, plain) == model_name("shop-local", ROLE, guarded)
    assert configuration_name("shop-local", ROLE, plain) == configuration_name("shop-local", ROLE, guarded)


def read_math(alarm: Mapping[str, Any]) -> tuple[Any, ...]:
    """The line that is watched, and metric and statistic of what is in it."""
    math, *parts = alarm["metricQueries"]
    assert math["returnData"]
    for part in parts:
        assert not part["returnData"]
        assert part["metric"]["dimensions"] == {"EndpointName": "shop-local", "VariantName": "AllTraffic"}
        assert (part["metric"]["namespace"], part["metric"]["period"]) == ("AWS/SageMaker", 60)
        assert part["id"] in math["expression"]
    return math["expression"], *((part["metric"]["metricName"], part["metric"]["stat"]) for part in parts)


def test_alarms_are_told_to_a_topic_where_one_is_named() -> None:
    given = "arn:aws:sns:us-east-1:123456789012:on-call"
    for alarm in service(release("a", initial=True), alarms={"topic": given}).of("MetricAlarm"):
        assert alarm.inputs["alarmActions"] == alarm.inputs["okActions"] == [given]
    made = service(release("a", initial=True), alarms={"topic": "own"})
    assert made.one("Topic").inputs["name"] == "shop-local-alarms"
    assert [len(one.inputs["alarmActions"]) for one in made.of("MetricAlarm")] == [1, 1]


def test_scaling_only_where_it_is_asked_for() -> None:
    assert not service(release("a", initial=True), scale={"min": 1, "max": 4}).of("Target")
    made = service(release("a", initial=True), scale={"min": 2, "max": 4, "target_rps": 120.0})
    target = made.one("Target").inputs
    assert target["resourceId"] == "endpoint/shop-local/variant/AllTraffic"
    assert (target["minCapacity"], target["maxCapacity"]) == (2, 4)
    policy = made.one("Policy").inputs["targetTrackingScalingPolicyConfiguration"]
    assert policy["targetValue"] == 7200


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image": "registry.test/shop:latest"}, "digest"),
        ({"instance": "ml.c7i.xlarg"}, "ml.c7i.xlarge"),
        ({"instance": "ml.inf2.xlarge"}, "Neuron"),
        ({"count": 0}, "at least 1"),
    ],
)
def test_a_wrong_release_is_refused_with_its_reason(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(pulumi.RunError, match=word):
        service(release("a", initial=True, **wrong))


def test_a_release_without_its_count_is_refused() -> None:
    incomplete = release("a", initial=True)
    del incomplete["count"]
    with pytest.raises(pulumi.RunError, match="missing required field `count`"):
        service(incomplete)


def test_a_service_without_its_base_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match=r"role_arn is missing.*ecomdeploy up"):
        service(release("a", initial=True), base={})


def test_an_unknown_target_is_answered_with_the_nearest() -> None:
    with pytest.raises(pulumi.RunError, match="did you mean 'sagemaker'"):
        service(release("a", initial=True), target="sagemakr")


def test_targets_are_found_by_scanning_and_the_fake_is_none() -> None:
    assert targets().names() == ("kserve", "sagemaker")


def test_only_one_release_serves_first() -> None:
    one, two = (Declared(key=key, image="i@sha256:1", instance="m", count=1, initial=True) for key in "ab")
    with pytest.raises(BadInput, match="only one"):
        initial_release([one, two])
    with pytest.raises(BadInput, match="different keys"):
        initial_release([one, one])
    assert initial_release([]) is None


RELEASES = st.builds(
    Declared,
    key=st.just("k"),
    image=st.from_regex(r"[a-z]{1,5}@sha256:[0-9a-f]{4}", fullmatch=True),
    instance=st.sampled_from(["ml.m5.large", "ml.g5.xlarge"]),
    count=st.integers(1, 3),
    environment=st.dictionaries(st.sampled_from("ABC"), st.sampled_from("xyz")),
)
ENDPOINTS = st.from_regex(r"[a-z][a-z0-9]{0,20}(-[a-z0-9]{1,20}){0,2}", fullmatch=True)


@given(ENDPOINTS, RELEASES, RELEASES)
def test_names_say_the_same_exactly_when_the_content_is_the_same(
    endpoint: str, one: Declared, other: Declared
) -> None:
    for name in (model_name(endpoint, ROLE, one), configuration_name(endpoint, ROLE, one)):
        assert len(name) <= LENGTH
        assert RULE.fullmatch(name)
        check(name)
    served = [(each.image, dict(each.environment), each.instance) for each in (one, other)]
    same_model = served[0] == served[1]
    same = same_model and one.count == other.count
    assert (model_name(endpoint, ROLE, one) == model_name(endpoint, ROLE, other)) == same_model
    assert (configuration_name(endpoint, ROLE, one) == configuration_name(endpoint, ROLE, other)) == same


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "a" * 64, "ä"])
def test_a_name_that_sagemaker_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        check(name)


def test_a_gpu_release_names_its_host_image_and_no_other_release_does() -> None:
    ami = "al2023-ami-sagemaker-inference-gpu-4-1"
    made = service(release("a", initial=True), release("b", instance="ml.g6.xlarge", host_image=ami))
    variants = [one.inputs["productionVariants"][0] for one in made.of("EndpointConfiguration")]
    assert {one.get("instanceType"): one.get("inferenceAmiVersion") for one in variants} == {
        "ml.c7i.xlarge": None,
        "ml.g6.xlarge": ami,
    }


def test_a_host_image_names_another_configuration_and_none_changes_no_name() -> None:
    plain = Declared(**{**release("a"), "environment": {}})
    with_ami = Declared(**{**release("a"), "environment": {}, "host_image": "x"})
    assert configuration_name("shop", ROLE, plain) != configuration_name("shop", ROLE, with_ami)
    assert model_name("shop", ROLE, plain) == model_name("shop", ROLE, with_ami)


def test_a_release_that_is_to_get_copies_stands_beside_what_serves_in_a_configuration_of_its_own() -> None:
    """One production variant, as it serves, and one shadow variant; no endpoint is made on it."""
    packed = {"price_out_of_bounds": 0.05}
    old = release("a", initial=True, hosting={"startup_timeout": 90})
    new = release("b", instance="ml.c7i.2xlarge", count=2, guardrails=packed, shadow_of="a" * 12, copied=20)
    made = service(old, new)
    name, key = made.outputs["shadows"]["b" * 12], "b" * 12
    (both,) = [one.inputs for one in made.of("EndpointConfiguration") if one.inputs["name"] == name]
    (serving,), (beside,) = both["productionVariants"], both["shadowProductionVariants"]
    models = {one.inputs["primaryContainer"]["image"][-1]: one.inputs["name"] for one in made.of("Model")}
    assert (serving["variantName"], serving["modelName"]) == ("AllTraffic", models["a"])
    assert (serving["initialVariantWeight"], beside["initialVariantWeight"]) == (1.0, 0.2)
    assert serving["containerStartupHealthCheckTimeoutInSeconds"] == 90
    assert (beside["modelName"], beside["instanceType"], beside["initialInstanceCount"]) == (
        models["b"],
        "ml.c7i.2xlarge",
        2,
    )
    assert read_shadow("shop-local", beside["variantName"]) == tuple(
        made.outputs["revisions"][letter * 12] for letter in "ab"
    )
    assert made.one("Endpoint").inputs["endpointConfigName"] == made.outputs["revisions"]["a" * 12]
    names = [f"shop-local-{key}-shadow-error-rate", f"shop-local-{key}-shadow-price-out-of-bounds"]
    assert made.outputs["shadow_alarms"] == {key: names}
    rate, price = (one.inputs for one in made.of("MetricAlarm") if one.inputs["name"] in names)
    where = {"EndpointName": "shop-local", "VariantName": beside["variantName"]}
    assert [part["metric"]["dimensions"] for part in rate["metricQueries"][1:]] == [where, where]
    counted = {"EndpointConfigName": made.outputs["revisions"][key]}
    assert [part["metric"]["dimensions"] for part in price["metricQueries"][1:]] == [counted, counted]


def test_another_share_of_copies_is_another_configuration() -> None:
    """One that an endpoint may be on is never changed under it."""
    names = set()
    for copied in (20, 100):
        made = service(release("a", initial=True), release("b", shadow_of="a" * 12, copied=copied))
        names |= set(made.outputs["shadows"].values())
    assert len(names) == 2
    assert all(len(name) <= LENGTH and RULE.fullmatch(name) for name in names)
    with pytest.raises(pulumi.RunError, match="copied: 1 to 100 percent, got 0"):
        service(release("a", initial=True), release("b", shadow_of="a" * 12, copied=0))
