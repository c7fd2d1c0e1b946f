"""Our stand-in on a real control plane, step by step beside what KServe did there: children and conditions after each
step, the order of stored statuses, the 102 refusals, field managers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from waiting import wait_for

from infra.kubernetes.client import MERGE, KubernetesClient, KubernetesRefused
from infra.rehearsal.cloud.kubernetes.kserve.words import API_VERSION, KIND
from tests.kubernetes_cluster import Cluster
from tests.reality.kserve.beside import StandIn, stand_in
from tests.reality.kserve.pods import PretendedNodes
from tests.reality.kserve.recordings import Object, recording, refusal_rows, settings_of
from tests.reality.kserve.replay import Act, Replay, create

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


WITH_INGRESS = ["a1", "a2", "a3", "a4", "a5", "b1", "b2", "b3", "b6", "b7", "b8", "b9"]
WITH_INGRESS += ["d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d12", "e1", "e2", "i4"]


def _deployment(client: KubernetesClient, namespace: str) -> Object:
    found = client.get("apps/v1", "Deployment", "churn-predictor", namespace)
    assert found is not None
    return found


def scale_by_hand(client: KubernetesClient, namespace: str) -> None:
    client.patch(_deployment(client, namespace), {"spec": {"replicas": 3}}, manager="kubectl")


def shorten_deadline(client: KubernetesClient, namespace: str) -> None:
    client.patch(_deployment(client, namespace), {"spec": {"progressDeadlineSeconds": 4}}, manager="kubectl")
    wait_for(lambda: _deployment(client, namespace)["spec"]["progressDeadlineSeconds"] == 600)


def change_image(client: KubernetesClient, namespace: str) -> None:
    found = _deployment(client, namespace)
    [container] = found["spec"]["template"]["spec"]["containers"]
    other = container | {"image": "registry.example/other@sha256:" + "c" * 64}
    client.patch(found, {"spec": {"template": {"spec": {"containers": [other]}}}}, manager="kubectl")


def deletes(version: str, kind: str, name: str) -> Act:
    def act(client: KubernetesClient, namespace: str) -> None:
        found = client.get(version, kind, name, namespace)
        assert found is not None
        client.delete(found)

    return act


BY_HAND: dict[str, Act] = {
    "deployment scaled by hand to 3": scale_by_hand,
    "deployment progressDeadlineSeconds 4, then a never-ready update": shorten_deadline,
    "deployment image changed by hand": change_image,
    "service deleted by hand": deletes("v1", "Service", "churn-predictor"),
    "hpa deleted by hand": deletes("autoscaling/v2", "HorizontalPodAutoscaler", "churn-predictor"),
    "ingress deleted by hand": deletes("networking.k8s.io/v1", "Ingress", "churn"),
}


@pytest.fixture(scope="module")
def with_ingress(cluster: Cluster, nodes: PretendedNodes) -> Iterator[StandIn]:
    with stand_in(cluster, settings_of("a1"), nodes) as at_work:
        yield at_work


@pytest.mark.parametrize("name", WITH_INGRESS)
def test_every_step_ends_as_recorded(
    cluster: Cluster, namespace: str, with_ingress: StandIn, name: str
) -> None:
    Replay(cluster.client, namespace, BY_HAND, with_ingress.is_at_rest).play(name)


def test_the_api_server_and_the_webhooks_refuse_row_by_row(
    cluster: Cluster, namespace: str, with_ingress: StandIn
) -> None:
    live = recording("f1")["bases"][1]
    live["spec"].pop("canary")
    create(cluster.client, live, namespace)
    wait_for(lambda: _mode(cluster.client, namespace))
    wrong = [
        (row["case"], row["verb"], *told)
        for row in refusal_rows()
        if (told := _answer(cluster.client, namespace, row)) != _recorded_answer(row)
    ]
    assert not wrong


def _mode(client: KubernetesClient, namespace: str) -> object:
    isvc = client.get(API_VERSION, KIND, "churn", namespace)
    return isvc is not None and (isvc.get("status") or {}).get("deploymentMode")


def _recorded_answer(row: Object) -> tuple[int, str, str]:
    return row["code"], row.get("reason") or "", row.get("message") or ""


def _answer(client: KubernetesClient, namespace: str, row: Object) -> tuple[int, str, str]:
    obj = row["input"]
    query = {"dryRun": "All"} | ({"fieldValidation": "Strict"} if "Strict" in row["case"] else {})
    try:
        if row["verb"] == "update":
            path = client.kind(API_VERSION, KIND).path(namespace, "churn")
            client.request("PATCH", path, body=obj, content_type=MERGE, **query)
            return 200, "", ""
        missing = obj["metadata"]["namespace"] == "no-such"
        where = "no-such" if missing else namespace
        # a name of its own where the name is not the point: the live one is called churn
        name = "churned" if obj["metadata"]["name"] == "churn" else obj["metadata"]["name"]
        sent = obj | {"metadata": obj["metadata"] | {"name": name, "namespace": where}}
        client.request("POST", client.kind(API_VERSION, KIND).path(where), body=sent, **query)
        return 201, "", ""
    except KubernetesRefused as refused:
        return refused.status, refused.reason, str(refused).replace('"churned"', '"churn"')


def test_fields_are_owned_and_conflict_as_recorded(
    cluster: Cluster, namespace: str, with_ingress: StandIn
) -> None:
    found = recording("d14")
    client = cluster.client
    obj = recording("a1")["input"]
    sent = obj | {"metadata": obj["metadata"] | {"namespace": namespace}}
    client.apply(sent, "ecomdeploy")
    path = client.path_of(sent)
    wait_for(
        lambda: (
            client.request("GET", path).get("status", {}).get("modelStatus", {}).get("transitionStatus")
            == "UpToDate"
        )
    )
    managers = [
        {key: one for key, one in manager.items() if key != "time"}
        for manager in client.request("GET", path)["metadata"]["managedFields"]
    ]
    assert managers == found["managers"]
    other = sent["spec"]["predictor"]["containers"][0] | {
        "image": "registry.example/other@sha256:" + "d" * 64
    }
    theirs = sent | {"spec": {"predictor": {"containers": [other]}}}
    with pytest.raises(KubernetesRefused) as refused:
        client.apply(theirs, "somebody")
    assert (refused.value.status, str(refused.value)) == (409, found["other_manager"]["message"])
    assert [field for field, _ in refused.value.causes] == [found["other_manager"]["causes"][0]["field"]]
