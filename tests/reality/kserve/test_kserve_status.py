"""The statuses that our stand-in writes are those that KServe wrote, without a cluster: after each recorded step from
the Deployments and pods found there, and along the recorded order of statuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.rehearsal.cloud.kubernetes.kserve.status import Seen, model_status, next_status, unknown_status
from infra.rehearsal.cloud.kubernetes.kserve.words import STOP, Component, annotation
from tests.reality.kserve.accepted_differences import accepted
from tests.reality.kserve.recordings import Object, differences, names, plain, recording, settings_of

RUNNING = {"name": "kserve-container", "state": {"running": {}}}


def pods_of(step: Object, deployment: str) -> list[Object]:
    """As the kubelet would tell them, newest last in the recording's order."""
    return [
        {
            "status": {
                "conditions": [{"type": "Ready", "status": pod["ready"] or "False"}],
                "containerStatuses": [RUNNING] if pod["phase"] == "Running" else [],
            }
        }
        for pod in step["pods"]
        if pod["name"].startswith(deployment)
    ]


def seen_after(step: Object) -> Seen:
    deployments: dict[Component, Object] = {}
    pods: dict[Component, list[Object]] = {}
    for one in step["children"].get("Deployment", []):
        component = one["metadata"]["labels"]["component"]
        deployments[component] = one
        pods[component] = pods_of(step, one["metadata"]["name"])
    stopped = annotation(step["stored"], STOP) == "true"
    return Seen(
        deployments=deployments,
        pods=pods,
        routes=step["children"].get("HTTPRoute", []),
        stopped=stopped,
    )


@pytest.mark.parametrize("name", names())
def test_a_status_that_was_reached_stays_as_recorded(name: str) -> None:
    """One reconcile more, with everything as it was found after the step, changes nothing."""
    for step in recording(name)["steps"]:
        isvc = step["stored"]
        told = plain(next_status(isvc, seen_after(step), settings_of(name), "now"))
        told_apart = {line.split(": ")[0] for line in differences(told, isvc["status"])}
        assert told_apart == accepted("status", name, step["step"]), step["step"]


@pytest.mark.parametrize("name", names())
def test_from_nothing_the_same_status_is_reached(name: str) -> None:
    """A reconcile that sees no pod yet, one that makes it Ready, and one that finds the model loaded."""
    step = recording(name)["steps"][0]
    isvc = step["stored"] | {"status": {}}
    seen = seen_after(step)
    for found in (replace(seen, pods={}), seen, seen):
        told = next_status(isvc, found, settings_of(name), "now")
        isvc = isvc | {"status": told}
    assert list(differences(plain(told), step["stored"]["status"])) == []


def deployment(*conditions: tuple[str, str, str, str], observed: int = 1) -> Object:
    named = [
        {"type": kind, "status": status, "reason": reason, "message": message}
        for kind, status, reason, message in conditions
    ]
    told: Object = {"conditions": named, "observedGeneration": observed} if named else {}
    return {"metadata": {"name": "churn-predictor"}, "status": told}


LOW = (
    "Available",
    "False",
    "MinimumReplicasUnavailable",
    "Deployment does not have minimum availability.",
)
HIGH = ("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
GOING = ("Progressing", "True", "ReplicaSetUpdated", "")
DONE = (
    "Progressing",
    "True",
    "NewReplicaSetAvailable",
    'ReplicaSet "churn-predictor-<hash>" has successfully progressed.',
)


def pod(*, ready: bool, container: Object | None = RUNNING) -> Object:
    return {
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [container] if container else [],
        }
    }


def order_of(name: str, *seen: tuple[Object, list[Object]]) -> list[Any]:
    """The statuses stored when reconciles see these one after another, equal neighbours once."""
    isvc = recording(name)["input"]
    told: list[Any] = []
    for found, pods in seen:
        status = next_status(
            isvc, Seen(deployments={"predictor": found}, pods={"predictor": pods}), settings_of(name), "now"
        )
        isvc = isvc | {"status": status}
        told += [plain(status)] if not told or told[-1] != plain(status) else []
    return told


def recorded_order(name: str) -> list[Any]:
    return [row["status"] for row in recording(name)["timeline"] if row["status"]]


@pytest.mark.parametrize("name", ["a1", "a2", "a4", "a5", "b8", "i1", "i4"])
def test_conditions_come_in_the_recorded_order(name: str) -> None:
    """Ready before UpToDate, and both at once where there is no way in to wait for."""
    assert order_of(
        name,
        (deployment(), []),
        (deployment(LOW, GOING), []),
        (deployment(LOW, GOING), [pod(ready=False)]),
        (deployment(HIGH, DONE), [pod(ready=True)]),
        (deployment(HIGH, DONE), [pod(ready=True)]),
    ) == recorded_order(name)


@pytest.mark.parametrize("name", ["a3", "d4", "d5"])
def test_a_broken_first_start_shows_nothing_but_its_lack(name: str) -> None:
    assert order_of(name, (deployment(), []), (deployment(LOW, GOING), [])) == recorded_order(name)


def test_after_scaling_by_hand_ready_goes_and_comes_back_in_the_recorded_order() -> None:
    fresh = pod(ready=False, container=None)
    assert order_of(
        "b7",
        (deployment(), []),
        (deployment(LOW, GOING), []),
        (deployment(HIGH, DONE), [pod(ready=True)]),
        (deployment(HIGH, DONE), [pod(ready=True)]),
        (deployment(LOW, DONE, observed=2), [fresh, fresh, pod(ready=True)]),
        (deployment(LOW, DONE, observed=2), [pod(ready=False), fresh, pod(ready=True)]),
        (deployment(LOW, DONE, observed=2), [pod(ready=True)] * 3),
        (deployment(DONE, HIGH, observed=2), [pod(ready=True)] * 3),
        (deployment(DONE, HIGH, observed=2), [pod(ready=True)] * 3),
    ) == recorded_order("b7")


def test_a_broken_update_shows_after_the_progress_deadline_alone() -> None:
    found = recording("d11")
    step = {"children": {"Deployment": found["deployments"]}, "pods": [], "stored": found["churn"]["stored"]}
    churn, fresh = found["deployments"]
    before = found["churn"]["timeline"][-3]["status"]
    isvc = found["churn"]["stored"] | {"status": before}
    pods = [pod(ready=False), pod(ready=True)]
    seen = Seen(deployments={"predictor": churn}, pods={"predictor": pods})
    told = plain(next_status(isvc, seen, settings_of("d11"), "now"))
    assert list(differences(told, step["stored"]["status"])) == []
    crashed = {
        "name": "kserve-container",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "model.onnx: bad magic"}},
    }
    seen = Seen(deployments={"predictor": fresh}, pods={"predictor": [pod(ready=False, container=crashed)]})
    isvc = found["fresh"]["stored"]
    assert plain(next_status(isvc, seen, settings_of("d11"), "now")) == isvc["status"]


def test_a_new_replica_set_alone_is_unknown_as_recorded() -> None:
    created = (
        "Progressing",
        "True",
        "NewReplicaSetCreated",
        'Created new replica set "churn-predictor-<hash>"',
    )
    told = order_of("d2", (deployment(), []), (deployment(created, observed=0), []))
    assert told == recorded_order("d2")[:2]


def test_what_failed_is_told_in_the_conditions_as_recorded() -> None:
    checked = 0
    for row in recording("f2")["rows"]:
        ready = {one["type"]: one for one in (row["status"] or {}).get("conditions", [])}.get(
            "PredictorReady", {}
        )
        isvc = row["input"]
        if ready.get("reason") == "ReconcileFailed":
            told = next_status(isvc, Seen(failure=ready["message"]), settings_of("f2"), "now")
            assert plain(told) == row["status"], row["case"]
            checked += 1
        elif ready.get("status") == "Unknown" and "model" not in isvc["spec"]["predictor"]:
            assert plain(unknown_status(isvc, "now")) == row["status"], row["case"]
            checked += 1
    assert checked == 10


def test_a_model_that_failed_and_came_up_is_no_failure_any_more() -> None:
    crashed = {"name": "kserve-container", "state": {"terminated": {"reason": "Error", "exitCode": 3}}}
    told = model_status(None, [pod(ready=False, container=crashed)], ready=False)
    assert told["lastFailureInfo"] == {"reason": "ModelLoadFailed", "exitCode": 3}
    assert "lastFailureInfo" not in model_status(told, [pod(ready=True)], ready=True)
