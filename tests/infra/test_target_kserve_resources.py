"""What the service program declares on a cluster."""

from __future__ import annotations

import base64
import json
from typing import Any

import declared
import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.instances import nodes, table
from infra.targets.catalog import targets
from infra.targets.kserve.hosts import room_on
from infra.targets.kserve.names import LABEL, PREDICTOR, RULE, longest_endpoint, revision_name
from infra.targets.sagemaker.hosts import hosts as sagemaker_hosts
from modelpack.errors import BadInput
from stacks.spec import NAME_PATTERN

PARAMETER = "/ecomdeploy/shop-local/DB_PASSWORD/0123456789abcdef"


def release(letter: str, **more: Any) -> dict[str, Any]:
    return {
        "key": letter * 12,
        "image": f"127.0.0.1:5000/shop-local@sha256:{letter * 64}",
        "instance": "c7i.xlarge",
        "count": 1,
        "environment": {"THREADS": "2"},
        **more,
    }


def service(*releases: dict[str, Any], **more: Any) -> declared.Declaration:
    settings = {"service": "shop", "target": "kserve", "namespace": "default", "releases": list(releases)}
    return declared.program("service", {**settings, **more})


def isvc(made: declared.Declaration, letter: str = "a") -> dict[str, Any]:
    """The InferenceService of a release."""
    name = f"shop-local-{letter * 8}"
    (found,) = [
        one.inputs
        for one in made.of("InferenceService")
        if one.inputs["metadata"]["name"] == name
    ]  # fmt: skip
    return dict(found)


def pod(made: declared.Declaration, letter: str = "a") -> dict[str, Any]:
    found: dict[str, Any] = isvc(made, letter)["spec"]["predictor"]
    return found


def test_every_release_has_an_inferenceservice_and_one_route_leads_to_the_first() -> None:
    made = service(release("a"), release("b", initial=True))
    assert made.outputs == {
        "endpoint": "shop-local",
        "revisions": {"a" * 12: "shop-local-aaaaaaaa", "b" * 12: "shop-local-bbbbbbbb"},
        "alarms": [],
        "release_alarms": {},
        "shadows": {},
        "shadow_alarms": {},
    }
    assert len(made.of("InferenceService")) == 2
    route = made.one("HTTPRoute")
    (rule,) = route.inputs["spec"]["rules"]
    assert [one["name"] for one in rule["backendRefs"]] == ["shop-local-bbbbbbbb-predictor"]
    assert route.ignored == ("spec.rules",)
    (above,) = [one for one in made.resources if one.type == "ecomdeploy:infra:TrafficRoute"]
    assert route.parent.endswith("::endpoint")
    assert {one.rpartition("::")[2] for one in above.depends_on} >= {
        f"release-{letter * 12}-service" for letter in "ab"
    }


def test_nothing_of_aws_is_asked_for() -> None:
    made = service(release("a", initial=True))
    assert not [one.type for one in made.resources if "aws" in one.type]


def test_an_inferenceservice_is_dark_and_has_its_mode_and_its_autoscaler_written_out() -> None:
    metadata = isvc(service(release("a", initial=True)))["metadata"]
    assert metadata["annotations"] == {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "hpa",
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics",
    }
    assert metadata["labels"]["networking.kserve.io/visibility"] == "cluster-local"


def test_what_is_copied_into_pods_stays_whatever_happens_around_a_release() -> None:
    """Another label or annotation, container or affinity would start every pod anew."""
    alone = isvc(service(release("a", initial=True)))
    later = isvc(
        service(
            release("a"), release("b", initial=True), scale={"min": 3, "max": 9}, alarms={"error_rate": None}
        )
    )
    assert alone["metadata"] == later["metadata"]
    scaled = {**alone["spec"]["predictor"], "minReplicas": 3, "maxReplicas": 9}
    assert later["spec"]["predictor"] == scaled


def test_what_a_rollback_does_not_go_to_is_stopped() -> None:
    made = service(release("a", stopped=True), release("b", initial=True), scale={"min": 2, "max": 2})
    assert isvc(made, "a")["metadata"]["annotations"]["serving.kserve.io/stop"] == "true"
    assert "serving.kserve.io/stop" not in isvc(made, "b")["metadata"]["annotations"]
    (budget,) = made.of("PodDisruptionBudget")
    assert budget.inputs["metadata"]["name"] == "shop-local-bbbbbbbb"


def test_a_pod_runs_the_image_by_digest_on_a_whole_instance() -> None:
    (container,) = pod(service(release("a", initial=True)))["containers"]
    assert container["name"] == "kserve-container"
    assert container["image"] == release("a")["image"]
    assert container["env"] == [{"name": "THREADS", "value": "2"}]
    asked, sold = container["resources"], nodes()["c7i.xlarge"]
    assert asked["requests"] == asked["limits"]
    assert 0.75 * 1000 * sold.vcpus < int(asked["requests"]["cpu"].removesuffix("m")) < 1000 * sold.vcpus
    assert 0.5 * sold.memory_mib < int(asked["requests"]["memory"].removesuffix("Mi")) < sold.memory_mib


def test_every_instance_has_room_for_one_pod_and_not_for_two() -> None:
    for instance in nodes().values():
        room = room_on(instance)
        assert room.memory_mib > 512, instance.name
        assert room.cpu > 1000, instance.name
        assert 2 * room.cpu > 1000 * instance.vcpus, instance.name


def test_nodes_are_what_the_hosting_types_are() -> None:
    """The endpoint types without a GPU, under EC2's names and below SageMaker's price, and all of the pools'."""
    for name, hosted in sagemaker_hosts().instances.items():
        node = nodes().get(name.removeprefix("ml."))
        if hosted.gpu is None:
            assert node is not None
            assert (node.vcpus, node.memory_mib) == (hosted.vcpus, hosted.memory_mib)
            assert (node.usd_hour is None) == (hosted.usd_hour is None)
            assert node.usd_hour is None or hosted.usd_hour is None or node.usd_hour < hosted.usd_hour
    assert nodes().items() >= table("pool").items()


def test_a_gpu_release_goes_to_nodes_of_its_type_past_their_taint() -> None:
    there = pod(service(release("a", initial=True, instance="g6.xlarge")))
    (container,) = there["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert there["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert '"values": ["g6.xlarge"]' in json.dumps(there["affinity"])
    assert "affinity" not in pod(service(release("a", initial=True)))


def test_secrets_are_in_secrets_and_nowhere_else() -> None:
    one = release(
        "a", initial=True, environment={"ECOMDEPLOY_SECRET_DB_PASSWORD": f"ssm:{PARAMETER}", "A": "1"}
    )
    made = service(one)
    secret = made.one("Secret").inputs
    (container,) = pod(made)["containers"]
    place = {"name": secret["metadata"]["name"], "key": "DB_PASSWORD"}
    assert container["env"] == [
        {"name": "A", "value": "1"},
        {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": place}},
    ]
    hidden = secret["data"]  # as Pulumi marks what its state encrypts
    assert "4dabf18193072939515e22adb298388d" in hidden
    assert list(hidden["value"]) == ["DB_PASSWORD"]
    assert secret["immutable"] is True
    assert made.one("Secret").ignored == ("data",)
    assert base64.b64decode(hidden["value"]["DB_PASSWORD"]) == b""  # this program was handed no values


def test_without_releases_nothing_is_declared() -> None:
    made = service()
    assert made.custom() == []
    assert made.outputs["endpoint"] == ""


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image": "registry.test/shop:latest"}, "digest"),
        ({"instance": "c7i.xlarg"}, "c7i.xlarge"),
        ({"count": 0}, "at least 1"),
    ],
)
def test_a_wrong_release_is_refused_with_its_reason(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(pulumi.RunError, match=word):
        service(release("a", initial=True, **wrong))


@given(st.from_regex(NAME_PATTERN, fullmatch=True), st.integers(1, 63))
def test_names_fit_what_kserve_makes_of_them_or_are_refused(endpoint: str, letters: int) -> None:
    """The host name `<name>-predictor-<namespace>` is one DNS label."""
    namespace = "n" * letters
    if len(endpoint) > longest_endpoint(namespace):
        with pytest.raises(BadInput, match="no name for an endpoint"):
            revision_name(endpoint, "0123456789ab", namespace)
        return
    name = revision_name(endpoint, "0123456789ab", namespace)
    assert RULE.fullmatch(name)
    assert len(f"{name}{PREDICTOR}-{namespace}") <= LABEL


def test_the_target_says_how_long_a_name_may_be() -> None:
    kserve = targets().get("kserve")
    assert kserve.longest_endpoint("default") == longest_endpoint("default") == 36


THERE = {"cloud": "cluster", "context": "shop-eu", "namespace": "ml"}


def on_cluster(
    *releases: dict[str, Any], alarms: Any = None, rules: bool = False, **told: str
) -> declared.Declaration:
    more = {"alarms": alarms} if alarms else {}
    return service(*releases, **THERE, cluster=told, rules=rules, **more)


def test_on_a_cluster_that_is_there_the_route_has_its_domain_and_its_gateway() -> None:
    made = on_cluster(release("a", initial=True), domain="ml.shop.example", gateway="edge/public")
    spec = made.one("HTTPRoute").inputs["spec"]
    assert spec["hostnames"] == ["shop-local.ml.ml.shop.example"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "edge"}]
    (provider,) = [one for one in made.resources if one.type == "pulumi:providers:kubernetes"]
    assert provider.inputs["context"] == "shop-eu"


def test_pods_pull_with_the_users_secret_where_one_is_named() -> None:
    assert pod(on_cluster(release("a", initial=True), image_pull_secret="login"))["imagePullSecrets"] == [
        {"name": "login"}
    ]
    assert "imagePullSecrets" not in pod(on_cluster(release("a", initial=True)))


@pytest.mark.parametrize(
    ("distribution", "label", "values", "taints"),
    [
        ("eks", "node.kubernetes.io/instance-type", ["g6.xlarge"], ["nvidia.com/gpu"]),
        ("gke", "cloud.google.com/gke-accelerator", ["nvidia-l4"], ["nvidia.com/gpu"]),
        ("aks", "nvidia.com/gpu.product", ["NVIDIA-L4"], ["nvidia.com/gpu", "sku"]),
        ("bare", "nvidia.com/gpu.product", ["NVIDIA-L4"], ["nvidia.com/gpu"]),
    ],
)
def test_a_gpu_release_goes_to_nodes_of_its_gpu_in_each_clouds_words(
    distribution: str, label: str, values: list[str], taints: list[str]
) -> None:
    predictor = pod(on_cluster(release("a", initial=True, instance="g6.xlarge"), distribution=distribution))
    affinity = predictor["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = affinity["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": label, "operator": "In", "values": values}]
    assert [one["key"] for one in predictor["tolerations"]] == taints


def test_a_gpu_that_a_cloud_does_not_have_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match=r"no gke node is known to have the GPU of g5.xlarge \(A10G\)"):
        on_cluster(release("a", initial=True, instance="g5.xlarge"), distribution="gke")


def test_a_strategy_that_bakes_has_its_alarms_in_a_map_and_a_guard_that_may_touch_two_objects() -> None:
    made = service(release("a", initial=True), watched=True, alarms={"error_rate": 0.02, "p99_ms": 50.0})
    assert made.outputs["alarms"] == ["shop-local-error-rate", "shop-local-p99"]
    (told,) = made.of("ConfigMap")
    assert [one["name"] for one in json.loads(told.inputs["data"]["alarms.json"])] == made.outputs["alarms"]
    (group,) = json.loads(told.inputs["data"]["rules.yaml"])["groups"]
    assert [one["alert"] for one in group["rules"]] == made.outputs["alarms"]
    (role,) = made.of("Role")
    assert {name for rule in role.inputs["rules"] for name in rule["resourceNames"]} == {
        "shop-local",
        "shop-local-rollout",
    }
    assert service(release("a", initial=True)).of("Role") == []


def test_where_a_cluster_takes_rules_they_are_an_object_whatever_the_strategy() -> None:
    alarms = {"error_rate": 0.02, "p99_ms": 50.0}
    one = release("a", initial=True, guardrails={"declined": 0.1})
    told = on_cluster(one, alarms=alarms, rules=True).one("PrometheusRule").inputs
    (group,) = told["spec"]["groups"]
    assert [each["alert"] for each in group["rules"]] == [
        "shop-local-error-rate",
        "shop-local-p99",
        "shop-local-aaaaaaaa.declined",
    ]
    assert on_cluster(one, alarms=alarms).of("PrometheusRule") == []
    assert (
        on_cluster(one, alarms={"error_rate": None, "guardrails": {"declined": None}}, rules=True).of(
            "PrometheusRule"
        )
        == []
    )


def test_guardrails_are_alarms_of_each_release_that_runs_by_the_limits_of_its_own_pack() -> None:
    limits = {"declined": 0.1, "empty_lists": 0.2, "never": 1.0}
    made = service(
        release("a", guardrails={"declined": 0.3}),
        release("b", initial=True, guardrails=limits),
        release("c", guardrails=limits, stopped=True),
        watched=True,
        alarms={"error_rate": 0.02, "min_requests": 7, "guardrails": {"empty_lists": None}},
    )
    told = made.outputs["release_alarms"]
    assert told == {"a" * 12: ["shop-local-aaaaaaaa.declined"], "b" * 12: ["shop-local-bbbbbbbb.declined"]}
    rules = json.loads(made.one("ConfigMap").inputs["data"]["alarms.json"])
    assert [one["name"] for one in rules] == ["shop-local-error-rate", *told["a" * 12], *told["b" * 12]]
    by_release = {one["pods"]: (one["threshold"], one["min_requests"]) for one in rules[1:]}
    assert by_release == {
        "(shop-local-aaaaaaaa)-predictor-.+": (0.3, 7),
        "(shop-local-bbbbbbbb)-predictor-.+": (0.1, 7),
    }
