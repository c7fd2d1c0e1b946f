"""The Kubernetes provider's rules, without a cluster: kinds, names, differences, fields of others, readiness."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable, Object
from infra.rehearsal.engine.paths import Path
from infra.rehearsal.engine.provider import UNKNOWN, ProviderError
from infra.rehearsal.engine.values import Secret
from infra.rehearsal.providers.kubernetes import fields, objects
from infra.rehearsal.providers.kubernetes.causes import find_causes
from infra.rehearsal.providers.kubernetes.completion import complete, find_failures
from infra.rehearsal.providers.kubernetes.connection import connect
from infra.rehearsal.providers.kubernetes.drift import differences, read_inputs
from infra.rehearsal.providers.kubernetes.patience import NotReady, Patience
from infra.rehearsal.providers.kubernetes.readiness import Sighting, judge, parse_wait_for
from infra.rehearsal.providers.kubernetes.replacements import find_replacing, immutable_fields
from infra.rehearsal.providers.packages import PackageProviders
from modelpack.errors import EcomdeployError
from tests.infra.kubernetes_provider.conftest import Hours


@dataclass
class FewObjects:
    """A `ClusterReads` of what it is given: objects by kind, told apart by name."""

    objects: list[Object] = field(default_factory=list)
    served: set[str] = field(default_factory=set)

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        found = (one for one in self.list(api_version, kind) if one["metadata"]["name"] == name)
        return next(found, None)

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Object]:
        wanted = dict(part.split("=") for part in fields.split(",") if part)
        return [
            one
            for one in self.objects
            if (one["apiVersion"], one["kind"]) == (api_version, kind)
            and one.get("involvedObject", {}).get("name") == wanted.get("involvedObject.name")
        ]

    def knows(self, api_version: str, kind: str) -> bool:
        return api_version in self.served


def thing(kind: str, api_version: str = "v1", **fields: Any) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "shop", "generation": 2},
        **fields,
    }


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("kubernetes:core/v1:ConfigMap", ("v1", "ConfigMap")),
        ("kubernetes:apps/v1:Deployment", ("apps/v1", "Deployment")),
        ("kubernetes:networking.k8s.io/v1:Ingress", ("networking.k8s.io/v1", "Ingress")),
        (
            "kubernetes:serving.kserve.io/v1beta1:InferenceService",
            ("serving.kserve.io/v1beta1", "InferenceService"),
        ),
        ("kubernetes:shop.example/v1:AllowList", ("shop.example/v1", "AllowList")),
        ("kubernetes:core/v1:ConfigMapList", None),
        ("kubernetes:apps/v1:DeploymentPatch", None),
        ("kubernetes:helm.sh/v3:Release", None),
        ("kubernetes:helm.sh/v4:Chart", None),
        ("kubernetes:yaml/v2:ConfigGroup", None),
        ("kubernetes:kustomize/v2:Directory", None),
        ("kubernetes:yaml:ConfigFile", None),
        ("aws:s3/bucket:Bucket", None),
    ],
)
def test_what_is_a_kind(token: str, kind: tuple[str, str] | None) -> None:
    assert objects.kind_of(token) == kind


CONFIG_MAP = ("v1", "ConfigMap")


def test_a_name_is_pulumis_own_and_kept() -> None:
    first = complete(CONFIG_MAP, "settings", {}, {"data": {"a": None, "b": "1"}})
    assert first["data"] == {"b": "1"}
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    name = first["metadata"]["name"]
    assert len(name) == len("settings-12345678")
    assert complete(CONFIG_MAP, "settings", first, {})["metadata"]["name"] == name
    assert complete(CONFIG_MAP, "settings", {}, {})["metadata"]["name"] != name
    named = complete(CONFIG_MAP, "settings", first, {"metadata": {"name": "mine"}})
    assert named["metadata"] == {"name": "mine"}
    assert complete(CONFIG_MAP, "settings", named, {})["metadata"]["name"] != "mine"


def test_a_label_of_pulumis_is_kept_and_never_added() -> None:
    label = {"app.kubernetes.io/managed-by": "pulumi"}
    old = complete(CONFIG_MAP, "s", {}, {"metadata": {"name": "s", "labels": label}})
    assert complete(CONFIG_MAP, "s", old, {"metadata": {"name": "s"}})["metadata"]["labels"] == label
    assert "labels" not in complete(CONFIG_MAP, "s", {}, {})["metadata"]


@pytest.mark.parametrize(
    ("metadata", "property_"),
    [
        ({"generateName": "s-"}, "metadata.generateName"),
        ({"annotations": {"pulumi.com/patchForce": "true"}}, "metadata.annotations.pulumi.com/patchForce"),
        ({"annotations": {"pulumi.com/waitFor": "Ready"}}, "metadata.annotations.pulumi.com/waitFor"),
        (
            {"annotations": {"pulumi.com/waitFor": "jsonpath={.items[?(@.a)]}"}},
            "metadata.annotations.pulumi.com/waitFor",
        ),
        ({"annotations": {"pulumi.com/waitFor": "condition=Ready"}}, ""),
        ({}, ""),
    ],
)
def test_what_is_not_to_be_had_is_named(metadata: dict[str, Any], property_: str) -> None:
    inputs = complete(CONFIG_MAP, "s", {}, {"metadata": metadata})
    assert [one.property for one in find_failures(inputs)] == ([property_] if property_ else [])


def test_a_previews_unknown_metadata_stays_unknown() -> None:
    assert complete(CONFIG_MAP, "s", {}, {"metadata": UNKNOWN})["metadata"] is UNKNOWN
    labels = complete(CONFIG_MAP, "s", {}, {"metadata": {"annotations": UNKNOWN}})
    assert labels["metadata"]["annotations"] is UNKNOWN


def test_a_secrets_contents_are_secret_in_inputs_and_outputs() -> None:
    inputs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "stringData": {"p": "x"}}
    live = {"apiVersion": "v1", "kind": "Secret", "metadata": {"managedFields": []}, "data": {"p": "eA=="}}
    state = objects.to_state(inputs, live, "m", "v1")
    assert state["data"] == Secret({"p": "eA=="})
    assert state["__inputs"]["stringData"] == Secret({"p": "x"})
    assert state["metadata"] == {}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"p": "x"}}
    assert objects.mark_secrets(other) == other


def test_the_sdks_spelling_of_a_schema_is_the_servers_on_the_wire_and_back() -> None:
    inputs = {
        "kind": "X",
        "schema": [{"x_kubernetes_preserve_unknown_fields": True, "none": None}],
        "__inputs": {},
    }
    sent = objects.to_object(inputs)
    assert sent == {"kind": "X", "schema": [{"x-kubernetes-preserve-unknown-fields": True}]}
    assert objects.to_values(sent)["schema"] == [{"x_kubernetes_preserve_unknown_fields": True}]


def test_the_field_manager_is_the_annotations_then_the_states_then_the_urns() -> None:
    urn = "urn:pulumi:dev::shop::kubernetes:core/v1:ConfigMap::settings"
    mine = objects.manager_of(urn, {}, {})
    assert mine == objects.manager_of(urn, {}, {}) != objects.manager_of(f"{urn}2", {}, {})
    assert len(mine) == len("pulumi-kubernetes-12345678")
    assert (
        objects.manager_of(urn, {}, {"__fieldManager": "pulumi-kubernetes-real"}) == "pulumi-kubernetes-real"
    )
    annotated = {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "us"}}}
    assert objects.manager_of(urn, annotated, {"__fieldManager": "x"}) == "us"


# ---- differences and replacements ----


def changed(inputs: Object, change: Callable[[Any], None]) -> tuple[Path, ...]:
    import copy

    other = copy.deepcopy(inputs)
    change(other)
    return tuple(differences(inputs, other))


POD = {"containers": [{"name": "c", "image": "a", "env": [{"name": "A", "value": "1"}]}], "volumes": []}
REPLACED: list[tuple[Object, Callable[[Any], None], bool]] = [
    (thing("ConfigMap", data={"a": "1"}), lambda new: new["data"].update(a="2"), True),
    (thing("ConfigMap", data={"a": "1"}), lambda new: new["metadata"].update(labels={"a": "b"}), False),
    (thing("Secret", stringData={"a": "1"}), lambda new: new.pop("stringData"), True),
    (thing("Secret", type="Opaque"), lambda new: new.update(type="tls"), True),
    (thing("ConfigMap"), lambda new: new["metadata"].update(name="other"), True),
    (thing("ConfigMap"), lambda new: new["metadata"].update(namespace="other"), True),
    (thing("ConfigMap"), lambda new: new["metadata"].update(namespace=UNKNOWN), True),
    (
        thing("Deployment", "apps/v1", spec={"selector": {"matchLabels": {"a": "b"}}}),
        lambda new: new["spec"]["selector"]["matchLabels"].update(a="c"),
        True,
    ),
    (
        thing("Deployment", "apps/v1", spec={"selector": {}, "template": {"spec": POD}}),
        lambda new: new["spec"]["template"]["spec"]["containers"][0].update(image="b"),
        False,
    ),
    (thing("Deployment", "apps/v1", spec={"selector": {}}), lambda new: new.update(spec=UNKNOWN), False),
    (
        thing("Job", "batch/v1", spec={"template": {"spec": POD}}),
        lambda new: new["spec"]["template"]["spec"]["containers"][0].update(image="b"),
        True,
    ),
    (
        thing("Job", "batch/v1", spec={"backoffLimit": 1}),
        lambda new: new["spec"].update(backoffLimit=2),
        False,
    ),
    (thing("Pod", spec=POD), lambda new: new["spec"]["containers"][0].update(image="b"), True),
    (thing("Pod", spec=POD), lambda new: new["spec"].update(activeDeadlineSeconds=5), False),
    (
        thing("Service", spec={"clusterIP": "10.0.0.1"}),
        lambda new: new["spec"].update(clusterIP="10.0.0.2"),
        True,
    ),
    (
        thing("Service", spec={"selector": {"a": "b"}}),
        lambda new: new["spec"]["selector"].update(a="c"),
        False,
    ),
    (
        thing("StatefulSet", "apps/v1", spec={"serviceName": "a"}),
        lambda new: new["spec"].update(serviceName="b"),
        True,
    ),
    (
        thing("PersistentVolumeClaim", spec={"storageClassName": "a", "resources": {}}),
        lambda new: new["spec"].update(storageClassName="b"),
        True,
    ),
    (
        thing("PersistentVolumeClaim", spec={"resources": {"requests": {"storage": "1Gi"}}}),
        lambda new: new["spec"]["resources"]["requests"].update(storage="2Gi"),
        False,
    ),
    (
        thing("RoleBinding", "rbac.authorization.k8s.io/v1", roleRef={"name": "a"}),
        lambda new: new["roleRef"].update(name="b"),
        True,
    ),
    (
        thing("InferenceService", "serving.kserve.io/v1beta1", spec={"predictor": {"minReplicas": 1}}),
        lambda new: new["spec"]["predictor"].update(minReplicas=2),
        False,
    ),
]


@pytest.mark.parametrize(("inputs", "change", "replaces"), REPLACED)
def test_what_is_replaced(inputs: Object, change: Callable[[Any], None], replaces: bool) -> None:
    paths = changed(inputs, change)
    assert paths
    fixed = immutable_fields(inputs, config_maps_change=False, secrets_change=False)
    assert bool(find_replacing(paths, fixed)) is replaces


def test_contents_change_in_place_where_the_provider_says_so() -> None:
    def fixed(inputs: Object) -> bool:
        found = immutable_fields(inputs, config_maps_change=True, secrets_change=True)
        return "data" in found

    assert not fixed(thing("ConfigMap"))
    assert not fixed(thing("Secret"))
    assert fixed(thing("ConfigMap", immutable=True))
    assert fixed(thing("Secret", immutable=True))


def test_true_and_one_differ_and_a_removed_tree_is_told_by_its_leaves() -> None:
    assert list(differences({"a": True}, {"a": 1})) == [("a",)]
    assert list(differences({"a": {"b": {"c": 1}, "d": []}}, {})) == [("a", "b", "c"), ("a", "d")]
    assert list(differences({"a": [1, {"b": 2}]}, {"a": [1]})) == [("a", 1, "b")]


# ---- what is read back ----

MANAGED = {
    "f:spec": {
        "f:containers": {
            'k:{"name":"web"}': {
                "f:image": {},
                "f:ports": {'k:{"containerPort":8080,"protocol":"TCP"}': {"f:name": {}}},
            }
        },
        "f:args": {},
    },
    "f:metadata": {"f:finalizers": {'v:"a"': {}}},
}


def test_what_another_adds_or_the_server_spells_otherwise_is_no_drift() -> None:
    inputs = {
        "spec": {
            "cpu": "1000m",
            "containers": [{"name": "web", "image": "a", "ports": [{"containerPort": 8080}]}],
        }
    }
    port = {"containerPort": 8080, "protocol": "TCP"}
    then = {"spec": {"cpu": "1", "containers": [{"name": "web", "image": "a", "ports": [port]}]}}
    now = {
        "spec": {
            "cpu": "1",
            "containers": [{"name": "sidecar"}, {"name": "web", "image": "a", "ports": [port]}],
        }
    }
    assert read_inputs(inputs, then, now, MANAGED) == inputs


@pytest.mark.parametrize(
    ("now", "seen"),
    [
        (
            {"spec": {"containers": [{"name": "web", "image": "b"}]}},
            {"containers": [{"name": "web", "image": "b"}]},
        ),
        ({"spec": {"containers": [{"name": "sidecar", "image": "b"}]}}, {"containers": []}),
        ({"spec": {}}, {}),
    ],
)
def test_what_has_changed_since_is_drift(now: Object, seen: Object) -> None:
    inputs = {"spec": {"containers": [{"name": "web", "image": "a"}]}}
    assert read_inputs(inputs, inputs, now, MANAGED) == {"spec": seen}


def test_lists_without_keys_and_sets() -> None:
    sent = {"spec": {"args": ["a", "b"]}, "metadata": {"finalizers": ["a"]}}
    longer = {"spec": {"args": ["a", "b", "c"]}, "metadata": {"finalizers": ["x", "a"]}}
    assert read_inputs(sent, sent, longer, MANAGED) == {
        "spec": {"args": ["a", "b", "c"]},
        "metadata": {"finalizers": ["a"]},
    }
    gone = {"spec": {"args": ["a", "x"]}, "metadata": {"finalizers": ["x"]}}
    assert read_inputs(sent, sent, gone, MANAGED) == {
        "spec": {"args": ["a", "x"]},
        "metadata": {"finalizers": []},
    }


def test_what_was_never_seen_is_compared_with_what_was_sent() -> None:
    """So it is after a kill, when the state knows no outputs."""
    sent = {"data": {"a": "1", "b": "2"}}
    assert read_inputs(sent, {}, {"data": {"a": "1", "b": "3"}}, {}) == {"data": {"a": "1", "b": "3"}}


def code(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("now", "seen"),
    [
        ({"p": code("x"), "q": code("y")}, {"stringData": {"p": "x"}, "data": {"q": code("y")}}),
        ({"p": code("z"), "q": code("y")}, {"stringData": {"p": "z"}, "data": {"q": code("y")}}),
        ({"q": code("z")}, {"stringData": {}, "data": {"q": code("z")}}),
        ({"p": "/w==", "q": code("y")}, {"stringData": {}, "data": {"p": "/w==", "q": code("y")}}),
    ],
)
def test_a_secrets_written_text_is_looked_for_in_what_can_be_read(now: Object, seen: Object) -> None:
    kind = {"apiVersion": "v1", "kind": "Secret"}
    inputs = kind | {"stringData": {"p": "x"}, "data": {"q": code("y")}}
    then = kind | {"data": {"p": code("x"), "q": code("y")}}
    assert read_inputs(inputs, then, kind | {"data": now}, {}) == kind | seen


# ---- other managers' fields ----


def managed(*entries: tuple[str, Object], **content: Any) -> Object:
    """A live object whose managers have these fields."""
    listed = [
        {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": tree}
        for manager, tree in entries
    ]
    return {"metadata": {"name": "web", "managedFields": listed}, **content}


RULE = [{"backendRefs": [{"name": "r1", "weight": 100}], "path": "/"}]
MOVED = [{"backendRefs": [{"name": "r1", "weight": 0, "kind": "Service"}], "path": "/", "matches": []}]


def test_an_ignored_field_of_anothers_is_left_out() -> None:
    live = managed(
        ("us", {"f:spec": {"f:a": {}}}), ("them", {"f:spec": {"f:replicas": {}}}), spec={"replicas": 5}
    )
    assert fields.leave_ignored({"spec": {"replicas": 2, "a": 1}}, live, ["spec.replicas"], "us") == {
        "spec": {"a": 1}
    }


def test_an_ignored_field_of_ours_keeps_its_live_value() -> None:
    live = managed(
        ("us", {"f:spec": {"f:replicas": {}}}), ("them", {"f:spec": {"f:replicas": {}}}), spec={"replicas": 5}
    )
    assert fields.leave_ignored({"spec": {"replicas": 2}}, live, ["spec.replicas"], "us") == {
        "spec": {"replicas": 5}
    }


@pytest.mark.parametrize(
    "path", ["spec.rules[0].backendRefs[0].weight", "spec.rules[*].backendRefs[*].weight"]
)
def test_a_list_with_one_manager_goes_as_one(path: str) -> None:
    live = managed(
        ("us", {"f:spec": {"f:host": {}}}), ("them", {"f:spec": {"f:rules": {}}}), spec={"rules": MOVED}
    )
    obj = {"spec": {"host": "a", "rules": RULE}}
    assert fields.leave_ignored(obj, live, [path], "us") == {"spec": {"host": "a"}}
    assert obj["spec"]["rules"] == RULE


def test_a_list_that_the_program_changes_elsewhere_stays_in() -> None:
    live = managed(("them", {"f:spec": {"f:rules": {}}}), spec={"rules": MOVED})
    sent = [{"backendRefs": [{"name": "r1", "weight": 100}], "path": "/new"}]
    body = fields.leave_ignored(
        {"spec": {"rules": sent}}, live, ["spec.rules[0].backendRefs[0].weight"], "us"
    )
    assert body["spec"]["rules"] == [{"backendRefs": [{"name": "r1", "weight": 0}], "path": "/new"}]


def test_items_are_found_by_their_keys() -> None:
    tree: Object = {"f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}}}}
    live = managed(("them", tree), containers=[{"name": "web", "image": "b"}])
    obj = {"containers": [{"name": "web", "image": "a"}]}
    assert fields.leave_ignored(obj, live, ["containers[0].image"], "us") == {"containers": [{"name": "web"}]}


def test_who_has_a_field_is_read_from_the_refusal() -> None:
    causes = (
        (".spec.replicas", 'conflict with "argo" using apps/v1'),
        (".spec.template", 'conflict with "kubectl-edit" with subresource "scale" using apps/v1'),
    )
    refused = KubernetesRefused(409, "Conflict", "Apply failed with 2 conflicts", causes)
    assert fields.conflicts(refused) == {"argo": (".spec.replicas",), "kubectl-edit": (".spec.template",)}
    assert fields.conflicts(KubernetesRefused(409, "AlreadyExists", "no")) == {}
    assert [
        fields.may_take_from(name)
        for name in ("kubectl-edit", "pulumi-kubernetes", "argo", "ecomdeploy-rollout")
    ] == [
        True,
        True,
        False,
        False,
    ]


# ---- readiness ----


def deployment(replicas: int, updated: int, available: int, **more: Any) -> Object:
    status = {
        "observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available
    }  # fmt: skip
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}}
    return thing("Deployment", "apps/v1", spec=spec, status=status | more)


LATE = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}
CLAIM = {"storageClassName": "local"}
DEFINITION = {"group": "g", "names": {"kind": "K"}, "versions": [{"name": "v1", "served": True}]}
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}
SELECTING = {"selector": {"app": "web"}}

READINESS: list[tuple[Object, str]] = [
    (deployment(2, 2, 2), "ready"),
    (deployment(3, 2, 2), "waits"),
    (deployment(2, 1, 2), "waits"),
    (deployment(2, 2, 1), "waits"),
    (deployment(2, 2, 2, observedGeneration=1), "waits"),
    (deployment(2, 1, 1, **LATE), "failed"),
    (
        thing(
            "StatefulSet",
            "apps/v1",
            spec={"replicas": 1},
            status={"observedGeneration": 2, "readyReplicas": 1},
        ),
        "ready",
    ),
    (
        thing(
            "StatefulSet",
            "apps/v1",
            spec={"replicas": 1},
            status={
                "observedGeneration": 2,
                "readyReplicas": 1,
                "currentRevision": "a",
                "updateRevision": "b",
            },
        ),
        "waits",
    ),
    (
        thing(
            "DaemonSet",
            "apps/v1",
            status={
                "observedGeneration": 2,
                "desiredNumberScheduled": 2,
                "updatedNumberScheduled": 2,
                "numberAvailable": 1,
            },
        ),
        "waits",
    ),
    (thing("Job", "batch/v1", status={"conditions": [{"type": "Complete", "status": "True"}]}), "ready"),
    (
        thing(
            "Job", "batch/v1", status={"conditions": [{"type": "Failed", "status": "True", "reason": "B"}]}
        ),
        "failed",
    ),
    (thing("Job", "batch/v1", spec={"suspend": True}), "ready"),
    (thing("Job", "batch/v1"), "waits"),
    (thing("Pod", status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), "ready"),
    (thing("Pod", status={"phase": "Running"}), "waits"),
    (thing("Pod", status={"phase": "Succeeded"}), "ready"),
    (thing("Pod", status={"phase": "Failed"}), "failed"),
    (thing("PersistentVolumeClaim", status={"phase": "Bound"}), "ready"),
    (thing("PersistentVolumeClaim", spec=CLAIM, status={"phase": "Pending"}), "ready"),
    (
        thing("PersistentVolumeClaim", spec={"storageClassName": "other"}, status={"phase": "Pending"}),
        "waits",
    ),
    (thing("Service", spec={"type": "ExternalName"}), "ready"),
    (thing("Service", spec={"clusterIP": "None", **SELECTING}), "ready"),
    (thing("Service", spec={}), "ready"),
    (thing("Service", spec={"type": "LoadBalancer", **SELECTING}), "waits"),
    (thing("Service", spec=SELECTING), "waits"),
    (thing("Ingress", "networking.k8s.io/v1"), "waits"),
    (thing("Ingress", "networking.k8s.io/v1", status={"loadBalancer": {"ingress": [{"ip": "1"}]}}), "ready"),
    (thing("ResourceQuota", spec={"hard": {"a": "1"}}, status={"hard": {"a": "1"}}), "ready"),
    (thing("Secret", type="kubernetes.io/service-account-token"), "waits"),
    (thing("Secret", type="Opaque"), "ready"),
    (thing("CustomResourceDefinition", "apiextensions.k8s.io/v1", spec=DEFINITION), "waits"),
    (
        thing("CustomResourceDefinition", "apiextensions.k8s.io/v1", spec=DEFINITION, status=ESTABLISHED),
        "waits",
    ),
    (
        thing(
            "CustomResourceDefinition",
            "apiextensions.k8s.io/v1",
            spec=DEFINITION | {"group": "served"},
            status=ESTABLISHED,
        ),
        "ready",
    ),
    (thing("InferenceService", "serving.kserve.io/v1beta1"), "ready"),
    (thing("ConfigMap"), "ready"),
]


@pytest.mark.parametrize(("live", "wanted"), READINESS)
def test_when_a_kind_is_ready(live: Object, wanted: str) -> None:
    storage = thing("StorageClass", "storage.k8s.io/v1", volumeBindingMode="WaitForFirstConsumer")
    storage["metadata"] = {"name": "local"}
    cluster = FewObjects([storage], {"served/v1"})
    found = judge(live, Sighting(cluster, 0))
    assert ("ready" if found.ready else "failed" if found.failed else "waits") == wanted
    assert found.ready or found.reason


@pytest.mark.parametrize(
    ("ready", "elapsed", "wanted"),
    [([True], 0, True), ([True, False], 0, False), ([], 0, False), ([], 11, True), ([False], 11, False)],
)
def test_a_service_is_ready_with_the_pods_behind_it(ready: list[bool], elapsed: float, wanted: bool) -> None:
    endpoints = [{"conditions": {"ready": one}} for one in ready]
    behind = thing("EndpointSlice", "discovery.k8s.io/v1", endpoints=endpoints)
    found = judge(thing("Service", spec=SELECTING), Sighting(FewObjects([behind]), elapsed))
    assert found.ready is wanted


def test_a_deadline_that_was_over_before_the_change_is_no_failure_of_it() -> None:
    late = deployment(2, 1, 1, **LATE)
    assert judge(late, Sighting(FewObjects(), 0)).failed
    assert not judge(late, Sighting(FewObjects(), 0, before=late)).failed


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("condition=Ready", True),
        ("condition=ready=true", True),
        ("condition=Loaded", False),
        ("condition=Loaded=Unknown", False),
        ("jsonpath={.status.phase}=Up", True),
        ("jsonpath={.status.phase}=Down", False),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.none}", False),
        ("jsonpath={.status.urls[1]}=b", True),
        ("jsonpath={.status.count}=3", True),
        ('["condition=Ready", "jsonpath={.status.phase}=Down"]', False),
        ('["condition=Ready", "jsonpath={.status.phase}=Up"]', True),
    ],
)
def test_what_an_annotation_waits_for(text: str, holds: bool) -> None:
    status = {
        "phase": "Up",
        "urls": ["a", "b"],
        "count": 3,
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    live = thing("Basket", "g/v1", status=status)
    live["metadata"]["annotations"] = {"pulumi.com/waitFor": text}
    assert all(wish.holds(live) for wish in parse_wait_for(text)) is holds
    assert judge(live, Sighting(FewObjects(), 0)).ready is holds


def test_an_api_server_that_is_being_started_again_ends_no_wait() -> None:
    busy, gone = (
        KubernetesRefused(503, "ServiceUnavailable", "etcd is away"),
        KubernetesUnreachable("refused"),
    )

    @dataclass
    class Restarting(FewObjects):
        failures: list[EcomdeployError] = field(default_factory=list)

        def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
            if self.failures:
                raise self.failures.pop(0)
            return super().get(api_version, kind, name, namespace)

    hours, ready = Hours(), deployment(2, 2, 2)
    cluster = Restarting([ready], failures=[busy, gone, gone])
    assert Patience(cluster, hours.clock).await_ready({}, deployment(2, 1, 1)) == ready
    cluster = Restarting(failures=[gone, busy])
    Patience(cluster, hours.clock).await_gone({}, ready)
    assert cluster.failures == []
    inputs = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "7"}}}
    with pytest.raises(KubernetesUnreachable, match="refused"):
        Patience(Restarting(failures=[gone] * 100), hours.clock).await_gone(inputs, ready)
    with pytest.raises(KubernetesRefused, match="not yours"):
        Patience(
            Restarting(failures=[KubernetesRefused(403, "Forbidden", "not yours")]), hours.clock
        ).await_gone({}, ready)


def test_waiting_ends_at_the_deadline_with_the_causes() -> None:
    live, hours = deployment(2, 1, 1), Hours()
    pod = thing("Pod", status={"containerStatuses": [
        {"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    ]})  # fmt: skip
    event = thing("Event", involvedObject={"name": "web"}, reason="FailedMount", message="no such volume")
    pod["metadata"] = pod["metadata"] | {"name": "web-1"}
    cluster = FewObjects([live, pod, event])
    inputs = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "7"}}}
    with pytest.raises(NotReady) as told:
        Patience(cluster, hours.clock).await_ready(inputs, live)
    assert hours.time == pytest.approx(7)
    for words in (
        "Deployment shop/web is there and not ready after 7 s",
        "1 of 2 replicas are available",
        "pod web-1, container c waits, ErrImagePull: not found",
        "FailedMount: no such volume",
    ):
        assert words in told.value.message


def test_what_may_be_skipped_is_not_waited_for() -> None:
    live, hours = deployment(2, 1, 1), Hours()
    skip = {"metadata": {"annotations": {"pulumi.com/skipAwait": "true"}}}
    patience = Patience(FewObjects([live]), hours.clock)
    assert patience.await_ready(skip, live) is live
    assert patience.trouble(skip, live) == ""
    assert "1 of 2 replicas" in patience.trouble({}, live)
    patience.await_gone(skip, live)
    with pytest.raises(ProviderError, match="nothing says what holds it"):
        patience.await_gone(skip, thing_that_stays(patience.cluster))


def thing_that_stays(cluster: Any) -> Object:
    claim = thing("ConfigMap")
    cluster.objects.append(claim)
    return claim


def test_a_pod_without_a_node_is_told() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes: no GPU",
    }
    pod = thing("Pod", status={"conditions": [condition]})
    told = find_causes(deployment(1, 1, 0), FewObjects([pod]))
    assert "pod web has no node, Unschedulable: 0/3 nodes: no GPU" in told


# ---- configuration ----


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"kubeconfig": "/no/such/file"}, "not found"),
        ({"kubeconfig": "{}"}, "it lacks 'clusters'"),
        ({"kubeconfig": "clusters: 1\ncontexts: x"}, "kubeconfig"),
        ({"kubeconfig": "a: [\nb"}, "kubeconfig"),
        ({"kubeconfig": "just\ntext"}, "kubeconfig"),
        ({"renderYamlToDirectory": "out"}, "renderYamlToDirectory"),
        ({"enableServerSideApply": False}, "server-side apply only"),
        ({}, "set KUBECONFIG"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(ProviderError, match=words):
        connect(inputs, {"KUBECONFIG": "/no/such/config"})


CONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: a, context: {cluster: c, user: u, namespace: shop}}, {name: b, context: {cluster: c, user: u}}]
current-context: a
"""


def test_a_kubeconfig_may_be_text_and_names_a_namespace() -> None:
    assert connect({"kubeconfig": CONFIG}, {}).namespace == "shop"
    assert connect({"kubeconfig": CONFIG, "context": "b"}, {}).namespace == "default"
    assert connect({"kubeconfig": CONFIG, "namespace": "own"}, {}).namespace == "own"


def test_a_run_without_kubernetes_imports_none_of_it() -> None:
    words = (
        "import sys\n"
        "from infra.rehearsal.providers.packages import PackageProviders\n"
        "providers = PackageProviders()\n"
        "providers('aws', {}, {})\n"
        "there = lambda: {'lightkube', 'infra.rehearsal.providers.kubernetes.provider'} & set(sys.modules)\n"
        "assert not there(), there()\n"
        "providers('kubernetes', {}, {})\n"
        "assert there()\n"
    )
    subprocess.run([sys.executable, "-c", words], check=True)
    with pytest.raises(ProviderError, match='no provider "gcp"'):
        PackageProviders()("gcp", {}, {})
