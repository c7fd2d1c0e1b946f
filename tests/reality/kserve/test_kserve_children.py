"""The objects that our stand-in makes of an InferenceService are those that KServe made, step by step, without a
cluster: what the API server fills in by itself is taken off the recorded ones first, by its own rules."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from infra.rehearsal.cloud.kubernetes.kserve.children import CannotReconcile, workload
from infra.rehearsal.cloud.kubernetes.kserve.reconcile import stand_in_lacks
from infra.rehearsal.cloud.kubernetes.kserve.routes import wanted_routes
from infra.rehearsal.cloud.kubernetes.kserve.words import STOP, annotation, present_components
from tests.reality.kserve.accepted_differences import accepted
from tests.reality.kserve.recordings import (
    Object,
    differences,
    names,
    plain,
    recording,
    settings_of,
)

NOT_CARRIED_OVER = {
    # labels and annotations reach a Service, an Ingress or a route only with a change of its spec (recorded)
    "Service": ("labels", "annotations"),
    "Ingress": ("labels", "annotations"),
    "HTTPRoute": ("labels", "annotations"),
}
PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
SERVICE = {
    "clusterIP": "<clusterIP>",
    "clusterIPs": ["<clusterIP>"],
    "type": "ClusterIP",
    "sessionAffinity": "None",
    "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack",
    "internalTrafficPolicy": "Cluster",
}


def completed(obj: Object) -> Object:
    """What the API server makes of an object: defaults of core/v1, apps/v1 and autoscaling/v2."""
    told = deepcopy(obj)
    if told["kind"] == "Service":
        told["spec"] = SERVICE | told["spec"]
    if told["kind"] == "Deployment":
        for container in told["spec"]["template"]["spec"]["containers"]:
            for probe in (container[one] for one in PROBES if one in container):
                probe |= PROBE | probe
                if "httpGet" in probe:
                    probe["httpGet"].setdefault("scheme", "HTTP")
    told.pop("kind")
    told.pop("apiVersion")
    return told


def wanted(isvc: Object, name: str) -> dict[str, list[Object]]:
    """Our children by kind, as the API server would store them."""
    if annotation(isvc, STOP) == "true":
        return {}
    made: list[Object] = []
    for component in present_components(isvc):
        work = workload(isvc, component, settings_of(name))
        made += [work.deployment, work.service] + ([work.autoscaler] if work.autoscaler else [])
    made += wanted_routes(isvc, settings_of(name)) if is_ready(isvc) or name.startswith("g") else []
    found: dict[str, list[Object]] = {}
    for one in made:
        found.setdefault(one["kind"], []).append(plain(completed(one)))
    return {kind: sorted(some, key=lambda one: one["metadata"]["name"]) for kind, some in found.items()}


def is_ready(isvc: Object) -> bool:
    conditions = isvc["status"]["conditions"]
    return all(one["status"] == "True" for one in conditions if one["type"] in ("PredictorReady", "Ready"))


def stripped(kind: str, obj: Object, made: Object) -> Object:
    """A recorded child without what other controllers wrote, and what nobody asked for."""
    told = deepcopy(obj)
    told.pop("status", None)
    told["metadata"].pop("generation", None)
    if kind == "Deployment":
        told["metadata"]["annotations"].pop("deployment.kubernetes.io/revision")
        if "replicas" not in made["spec"]:
            told["spec"].pop("replicas")
    if kind == "HorizontalPodAutoscaler":
        told["spec"]["behavior"] = {}
    return told


def pairs(kind: str, recorded: list[Object], mine: list[Object]) -> list[tuple[Any, Any]]:
    assert [one["metadata"]["name"] for one in recorded] == [one["metadata"]["name"] for one in mine], kind
    return [(one, stripped(kind, other, one)) for one, other in zip(mine, recorded, strict=True)]


@pytest.mark.parametrize("name", names())
def test_the_children_are_the_recorded_ones(name: str) -> None:
    found = recording(name)
    for step in found["steps"]:
        isvc = step["stored"]
        assert stand_in_lacks(isvc) == ("", "")
        mine, theirs = wanted(isvc, name), step["children"]
        drifted = accepted("children", name, step["step"])
        told = []
        for kind in (mine.keys() | theirs.keys()) - drifted:
            for one, other in pairs(kind, theirs.get(kind, []), mine.get(kind, [])):
                for part in NOT_CARRIED_OVER.get(kind, ()):
                    one["metadata"].pop(part, None)
                    other["metadata"].pop(part, None)
                told += [f"{step['step']}: {kind}{line}" for line in differences(one, other)]
        assert not told
        assert all(mine.get(kind) != plain(theirs.get(kind)) for kind in drifted)


@pytest.mark.parametrize("name", [one for one in names() if one[0] in "abeg"])
def test_at_birth_a_child_has_the_labels_and_annotations_recorded(name: str) -> None:
    step = recording(name)["steps"][0]
    mine = wanted(step["stored"], name)
    for kind in NOT_CARRIED_OVER:
        for one, other in pairs(kind, step["children"].get(kind, []), mine.get(kind, [])):
            assert one["metadata"] == other["metadata"]


def test_what_cannot_be_made_is_told_in_kserves_words() -> None:
    found = recording("f2")
    told = 0
    for row in found["rows"]:
        failing = [one for one in row["events"] if "fails to create NewRawKubeReconciler" in one["message"]]
        if failing:
            with pytest.raises(CannotReconcile) as raised:
                workload(row["input"], "predictor", settings_of("f2"))
            assert str(raised.value) == failing[0]["message"]
            told += 1
    assert told == 3


def test_two_containers_of_other_names_are_a_panic_as_recorded() -> None:
    [row] = [one for one in recording("f2")["rows"] if one["case"].startswith("two containers")]
    assert not row["status"]
    with pytest.raises(IndexError, match="kserve-container"):
        workload(row["input"], "predictor", settings_of("f2"))
