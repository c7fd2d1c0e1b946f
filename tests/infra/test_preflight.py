"""What a cluster lacks, one thing at a time: each check against objects in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from infra.kubernetes.base import FakeKubernetes
from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable
from infra.kubernetes.distributions import distributions
from infra.preflight.base import ClusterNeeds, Lack, examine
from infra.preflight.rules import find_obstacle
from infra.spec import ClusterSpec
from infra.targets.kserve.hosts import hosts
from modelpack.errors import CloudRefused
from modelpack.progress import Silent
from stacks.preflight import refuse_lacking, tell_lacks, warn_of_lacks

NEEDS = ClusterNeeds(
    context="shop-eu",
    namespace="ml",
    endpoint="shop-gke",
    cluster=ClusterSpec(distribution="gke", gateway="edge/public"),
    hosts=hosts(),
    instance="c7i.xlarge",
)
GPU = replace(NEEDS, instance="g6.xlarge")


def named(kind: str, name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    metadata = {"name": name, **place, **more.pop("metadata", {})}
    return {"kind": kind, "metadata": metadata, **more}


def node(name: str = "one", **more: Any) -> dict[str, Any]:
    allocatable = more.pop("allocatable", {"cpu": "7910m", "memory": "28000Mi"})
    spec = {"providerID": f"gce://shop/{name}", **more.pop("spec", {})}
    labels = {"labels": more.pop("labels", {})}
    return named("Node", name, metadata=labels, spec=spec, status={"allocatable": allocatable})


def gateway(**more: Any) -> dict[str, Any]:
    listener = {"protocol": "HTTP", "port": 80, "allowedRoutes": {"namespaces": {"from": "All"}}}
    spec = {"gatewayClassName": "istio", "listeners": [listener]}
    return named("Gateway", "public", "edge", spec={**spec, **more})


def whole(version: str = "34") -> FakeKubernetes:
    """A cluster that lacks nothing."""
    api = FakeKubernetes(
        texts={"/version": json.dumps({"major": "1", "minor": version, "gitVersion": f"v1.{version}.1"})}
    )
    accepted = {"conditions": [{"type": "Accepted", "status": "True"}]}
    image = "kserve/kserve-controller:v0.20.0"
    pod = {"containers": [{"name": "manager", "image": image}]}
    for obj in (
        named("Namespace", "ml"),
        named("GatewayClass", "istio", status=accepted),
        gateway(),
        node(),
        named("Deployment", "kserve-controller-manager", "kserve", spec={"template": {"spec": pod}}),
    ):
        api.put(obj)
    return api


def lacks(api: FakeKubernetes, needs: ClusterNeeds = NEEDS) -> dict[str, tuple[Lack, ...]]:
    """By check, those that found something."""
    return {looked.name: looked.lacks for looked in examine(api, needs) if looked.lacks}


def sole(api: FakeKubernetes, check: str, needs: ClusterNeeds = NEEDS) -> Lack:
    """The one thing that is lacking."""
    found = lacks(api, needs)
    assert list(found) == [check]
    (lack,) = found[check]
    return lack


def test_a_cluster_that_has_all_lacks_nothing_and_nothing_is_changed_on_it() -> None:
    api = whole()
    assert lacks(api) == {}
    assert [looked.name for looked in examine(api, NEEDS)] == [
        "api_server",
        "gateway",
        "keda",
        "kserve",
        "namespace",
        "nodes",
        "prometheus",
        "pull_secret",
        "quota",
        "rights",
        "rules",
    ]
    assert api.changes == []


def test_an_api_server_that_does_not_answer_is_all_there_is_to_say() -> None:
    class Away(FakeKubernetes):
        def text(self, path: str, **query: str) -> str:
            raise KubernetesUnreachable(
                "the Kubernetes API server at https://10.0.0.1 does not answer: refused"
            )

    (looked,) = examine(Away(), NEEDS)
    assert (looked.name, looked.lacks[0].stops) == ("api_server", True)
    assert "does not answer" in looked.lacks[0].what


def test_an_api_server_that_does_not_know_us_is_all_there_is_to_say() -> None:
    class Strange(FakeKubernetes):
        def text(self, path: str, **query: str) -> str:
            raise KubernetesRefused(401, "Unauthorized", "Unauthorized")

    (looked,) = examine(Strange(), NEEDS)
    assert looked.lacks == (Lack(what="not looked at: Unauthorized", hint="log in again"),)


def test_a_login_that_fails_is_told_as_such() -> None:
    class NoLogin(FakeKubernetes):
        def text(self, path: str, **query: str) -> str:
            raise CloudRefused("kubeconfig: kubelogin gives no token: expired", hint="log in again")

    (looked,) = examine(NoLogin(), NEEDS)
    assert looked.lacks == (Lack(what="kubeconfig: kubelogin gives no token: expired", hint="log in again"),)


def test_an_old_control_plane() -> None:
    told = sole(whole("29+"), "api_server")
    assert told.what == "the cluster is Kubernetes v1.29+.1, and 1.30 is the oldest that will do"


def test_no_namespace_and_one_that_goes() -> None:
    api = whole()
    del api.objects["Namespace", "", "ml"]
    told = sole(api, "namespace")
    assert (told.what, told.hint) == (
        "there is no namespace ml",
        "kubectl --context shop-eu create namespace ml",
    )
    api.put(named("Namespace", "ml", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
    assert sole(api, "namespace").what == "namespace ml is being deleted"


def test_no_gateway_api_and_no_kserve() -> None:
    api = whole()
    api.unserved = {"HTTPRoute", "InferenceService"}
    found = lacks(api)
    assert list(found) == ["gateway", "kserve"]
    assert found["gateway"][0].what == "the cluster has no HTTPRoute of gateway.networking.k8s.io/v1"
    assert found["kserve"][0].what == "the cluster has no InferenceService of serving.kserve.io/v1beta1"
    assert "install KServe 0.16 or newer" in found["kserve"][0].hint


def test_no_gateway_of_that_name() -> None:
    api = whole()
    del api.objects["Gateway", "edge", "public"]
    assert sole(api, "gateway").what == "there is no Gateway edge/public"


def test_a_gateway_whose_class_nobody_serves() -> None:
    api = whole()
    del api.objects["GatewayClass", "", "istio"]
    assert sole(api, "gateway").what == "Gateway edge/public is of a class that is not there: istio"
    api.put(
        named("GatewayClass", "istio", status={"conditions": [{"type": "Accepted", "status": "Unknown"}]})
    )
    assert sole(api, "gateway").what == "no controller has taken the GatewayClass istio up"


def test_a_gateway_that_is_not_programmed() -> None:
    api = whole()
    told = {"type": "Programmed", "status": "False", "reason": "AddressNotAssigned", "message": "no IP"}
    api.put({**gateway(), "status": {"conditions": [told]}})
    assert sole(api, "gateway").what == "Gateway edge/public is not programmed (AddressNotAssigned: no IP)"


@pytest.mark.parametrize(
    ("allowed", "labels", "takes"),
    [
        ({"from": "All"}, {}, True),
        ({"from": "Same"}, {}, False),
        ({}, {}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"routes": "yes"}}}, {"routes": "yes"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"routes": "yes"}}}, {"routes": "no"}, False),
        (
            {
                "from": "Selector",
                "selector": {"matchExpressions": [{"key": "t", "operator": "In", "values": ["a"]}]},
            },
            {"t": "a"},
            True,
        ),
        (
            {
                "from": "Selector",
                "selector": {"matchExpressions": [{"key": "t", "operator": "DoesNotExist"}]},
            },
            {"t": "a"},
            False,
        ),
    ],
)
def test_a_gateway_that_takes_no_routes_from_here(
    allowed: dict[str, Any], labels: dict[str, str], takes: bool
) -> None:
    api = whole()
    api.put(named("Namespace", "ml", metadata={"labels": labels}))
    api.put(gateway(listeners=[{"protocol": "HTTP", "allowedRoutes": {"namespaces": allowed}}]))
    assert (lacks(api) == {}) is takes
    if not takes:
        assert sole(api, "gateway").what.startswith(
            "no listener of Gateway edge/public takes HTTPRoutes of namespace ml"
        )


@pytest.mark.parametrize(
    ("tag", "stops", "said"),
    [
        ("v0.15.2", True, "KServe is 0.15, and 0.16 is the oldest that will do"),
        ("v0.18.0", False, "KServe is 0.18; what ecomdeploy expects of it was measured on 0.20"),
    ],
)
def test_another_kserve(tag: str, stops: bool, said: str) -> None:
    api = whole()
    pod = {"containers": [{"name": "manager", "image": f"kserve/kserve-controller:{tag}"}]}
    api.put(named("Deployment", "kserve-controller-manager", "kserve", spec={"template": {"spec": pod}}))
    told = sole(api, "kserve")
    assert (told.what, told.stops) == (said, stops)


@pytest.mark.parametrize(
    ("status", "words", "said"),
    [
        (
            500,
            'failed calling webhook "inferenceservice...": connection refused',
            "KServe's webhook does not do its work",
        ),
        (422, "spec.predictor.containers: Invalid value", "KServe would refuse the release"),
        (403, 'admission webhook "isvc" denied the request: no', "KServe would refuse the release"),
    ],
)
def test_webhooks_are_tried_with_the_release_to_come(status: int, words: str, said: str) -> None:
    api = whole()
    api.refusals["InferenceService"] = KubernetesRefused(status, "", words)
    told = sole(api, "kserve")
    assert told.what.startswith(said)
    assert words in told.what


def test_rights_are_told_all_at_once_and_only_those_that_are_needed() -> None:
    api = whole()
    api.denied = {
        "create inferenceservices",
        "patch httproutes",
        "delete httproutes",
        "create services/proxy",
    }
    api.denied |= {"create secrets", "create poddisruptionbudgets"}
    told = sole(api, "rights")
    assert told.what == (
        "in namespace ml you may not: inferenceservices.serving.kserve.io (create); "
        "httproutes.gateway.networking.k8s.io (patch, delete); services/proxy (create)"
    )
    more = sole(api, "rights", replace(NEEDS, secrets=True, replicas=2, proxied=False)).what
    assert "secrets (create); poddisruptionbudgets.policy (create)" in more
    assert "services/proxy" not in more


def test_the_secret_that_images_are_pulled_with() -> None:
    needs = replace(NEEDS, cluster=replace(NEEDS.cluster, image_pull_secret="login"))
    api = whole()
    told = sole(api, "pull_secret", needs)
    assert told.what == "there is no Secret login in namespace ml (image_pull_secret)"
    assert "create secret docker-registry login" in told.hint
    api.put(named("Secret", "login", "ml", type="Opaque"))
    assert (
        sole(api, "pull_secret", needs).what == "Secret login is of type Opaque, which nodes do not pull with"
    )
    api.put(named("Secret", "login", "ml", type="kubernetes.io/dockerconfigjson"))
    assert lacks(api, needs) == {}


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    return named("ResourceQuota", "small", "ml", spec={"hard": hard, **spec}, status={"used": used})


def test_a_quota_that_a_release_does_not_fit_in() -> None:
    api = whole()
    api.put(quota({"requests.cpu": "10", "pods": "50"}, {"requests.cpu": "7", "pods": "3"}))
    told = sole(api, "quota")
    assert told.what == (
        "ResourceQuota small leaves 3 of requests.cpu (of 10), and a release of 1 x c7i.xlarge takes 3.5"
    )
    assert told.stops
    api.put(
        named("InferenceService", "old", "ml", metadata={"labels": {"ecomdeploy.dev/endpoint": "shop-gke"}})
    )
    assert not sole(api, "quota").stops  # what is asked for may be what runs
    api.put(quota({"requests.cpu": "10"}, {"requests.cpu": "7"}, scopes=["Terminating"]))
    assert lacks(api) == {}


def test_a_quota_of_gpus() -> None:
    api = whole()
    api.put(quota({"requests.nvidia.com/gpu": "1"}, {"requests.nvidia.com/gpu": "1"}))
    assert lacks(api) == {}
    found = lacks(api, GPU)["quota"]
    assert [one.what.split(" (")[0] for one in found] == [
        "ResourceQuota small leaves 0 of requests.nvidia.com/gpu"
    ]


def test_nodes_that_are_too_small_stop_nobody() -> None:
    api = whole()
    api.put(node(allocatable={"cpu": "1930m", "memory": "6000Mi"}))
    told = sole(api, "nodes")
    assert told.what == "no node is large enough for a pod of c7i.xlarge (3500m of CPU, 6348Mi)"
    assert not told.stops


def test_nodes_of_the_gpu_by_each_clouds_label() -> None:
    api = whole()
    assert sole(api, "nodes", GPU).what == (
        "no node has the label cloud.google.com/gke-accelerator: nvidia-l4 (g6.xlarge)"
    )
    room = {"cpu": "3920m", "memory": "15000Mi", "nvidia.com/gpu": "1"}
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    labels = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    api.put(node("gpu", allocatable=room, labels=labels, spec={"taints": [taint]}))
    assert lacks(api, GPU) == {}
    other = {"key": "team", "value": "search", "effect": "NoExecute"}
    api.put(node("gpu", allocatable=room, labels=labels, spec={"taints": [taint, other]}))
    assert sole(api, "nodes", GPU).what.endswith("has a taint that keeps the pods off: team")
    api.put(node("gpu", allocatable={**room, "nvidia.com/gpu": "0"}, labels=labels))
    assert "1 of nvidia.com/gpu" in sole(api, "nodes", GPU).what


def test_nodes_of_another_cloud_are_told() -> None:
    api = whole()
    api.put(node(spec={"providerID": "azure:///subscriptions/1"}))
    told = sole(api, "nodes")
    assert told.what == "the nodes are aks's, and the environment says distribution: gke"
    assert told.hint == "distribution: aks"


def test_what_may_not_be_looked_at_stops_nobody() -> None:
    class Shut(FakeKubernetes):
        def list(self, api_version: str, kind: str, *more: Any, **others: Any) -> list[Any]:
            if kind == "Node":
                raise KubernetesRefused(403, "Forbidden", "nodes is forbidden")
            return super().list(api_version, kind, *more, **others)

    api = Shut(objects=whole().objects, texts=whole().texts)
    told = sole(api, "nodes")
    assert (told.what, told.stops) == ("not looked at: nodes is forbidden", False)


def test_up_refuses_with_all_of_it_and_plan_tells_it() -> None:
    api = whole()
    del api.objects["Namespace", "", "ml"]
    api.denied = {"list pods"}
    api.put(node(allocatable={"cpu": "1", "memory": "1Gi"}))
    looked = tuple(examine(api, NEEDS))
    told: list[str] = []

    class Notes(Silent):
        def note(self, text: str) -> None:
            told.append(text)

    with pytest.raises(CloudRefused) as error:
        refuse_lacking(looked, Notes())
    lines = str(error.value).splitlines()
    assert lines[0] == "the cluster lacks what a release needs:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["namespace", "rights"]
    assert [line.split(":")[0] for line in told] == ["nodes"]
    warned = warn_of_lacks(looked)
    assert [line.startswith("`up` will refuse: ") for line in warned] == [True, True, False]
    with pytest.raises(CloudRefused, match="the cluster lacks"), tell_lacks(looked):
        raise KubernetesRefused(403, "Forbidden", "pods is forbidden")
    with pytest.raises(KubernetesRefused), tell_lacks(()):
        raise KubernetesRefused(403, "Forbidden", "pods is forbidden")
    refuse_lacking(tuple(examine(whole(), NEEDS)), Notes())


def test_the_table_of_distributions_names_gpus_that_there_are() -> None:
    known = {one.gpu.name for one in hosts().instances.values() if one.gpu}
    assert set(distributions()) == {"aks", "gke", "eks", "kind", "bare"}
    for one in distributions().values():
        assert set(one.gpus) <= known
        assert one.login


def test_alarms_that_nobody_would_tell_are_told_and_stop_nothing() -> None:
    api = whole()
    api.unserved = {"PrometheusRule"}
    lack = sole(api, "rules")
    assert not lack.stops
    assert "the cluster has no PrometheusRule of monitoring.coreos.com/v1" in lack.what
    assert "shop-gke-alarms" in lack.hint
    api.unserved, api.denied = set(), {"patch prometheusrules"}
    lack = sole(api, "rules")
    assert not lack.stops
    assert "in namespace ml you may not: prometheusrules.monitoring.coreos.com (patch)" in lack.what
    assert find_obstacle(whole(), "ml") == ""


def test_a_strategy_that_bakes_takes_a_prometheus_that_answers_and_more_rights() -> None:
    api, watched = whole(), replace(NEEDS, watched=True)
    api.denied = {"create jobs"}
    told = {
        looked.name: " ".join(f"{lack.what} {lack.hint}" for lack in looked.lacks)
        for looked in examine(api, watched)
        if looked.lacks
    }
    assert "there is none here" in told["prometheus"]
    assert "jobs.batch (create)" in told["rights"]
