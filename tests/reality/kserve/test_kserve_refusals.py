"""What is refused, row by row as KServe refused it: the webhooks' own rows without a cluster."""

from __future__ import annotations

import base64
import json

import pytest

from infra.rehearsal.cloud.kubernetes.kserve.admission import DEFAULT, MARK_PODS, VALIDATE, review
from infra.rehearsal.cloud.kubernetes.kserve.defaulter import canonical_quantity
from tests.reality.kserve.recordings import Object, merged, recording, refusal_rows

BY_THE_API_SERVER = (404, 422)
"""Answers that come from the schema and the API server's own rules, between the two webhooks."""


def asked(obj: Object, old: Object | None = None, version: str = "v1beta1") -> Object:
    request = {"uid": "1", "object": obj} | ({"oldObject": old} if old else {})
    return {"apiVersion": f"admission.k8s.io/{version}", "kind": "AdmissionReview", "request": request}


def patched(obj: Object, answer: Object) -> Object:
    told: Object = json.loads(json.dumps(obj))
    for change in json.loads(base64.b64decode(answer["response"].get("patch", "W10="))):
        _, part, name = change["path"].split("/")
        told.setdefault(part, {})[name] = change["value"]
    return told


def stored(obj: Object) -> Object:
    """What an update of it starts from: with defaults, and the status of a service that runs."""
    told = patched(obj, review(DEFAULT, asked(obj)))
    return told | {"status": {"deploymentMode": "Standard"}}


def answer_of(row: Object) -> tuple[int, str, str]:
    """Code, reason and message of the first webhook that says no."""
    obj, old = row["input"], None
    if row["verb"] == "update":
        old = stored(recording("f1")["bases"][1])
        old["spec"].pop("canary")
        obj = merged(old, obj)
    answers = [review(DEFAULT, asked(obj, old))]
    if answers[0]["response"]["allowed"]:
        answers.append(review(VALIDATE, asked(patched(obj, answers[0]), old)))
    for answer, title in zip(answers, ("defaulter", "validator"), strict=False):
        if not answer["response"]["allowed"]:
            status = answer["response"]["status"]
            words = f'admission webhook "inferenceservice.kserve-webhook-server.{title}" denied the request: '
            return status["code"], status.get("reason", ""), words + status["message"]
    return 200 if row["verb"] == "update" else 201, "", ""


def test_every_row_was_recorded() -> None:
    assert len(refusal_rows()) == 102


@pytest.mark.parametrize("row", refusal_rows(), ids=lambda row: f"{row['case']} ({row['verb']})")
def test_the_webhooks_refuse_what_kserve_refused(row: Object) -> None:
    if row["code"] in BY_THE_API_SERVER or row.get("reason") == "BadRequest":
        pytest.skip("the API server's own answer: asked of a real one in test_kserve_cluster.py")
    told = (row["code"], row.get("reason") or "", row.get("message") or "")
    assert answer_of(row) == told


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_the_answer_is_in_the_version_asked(version: str) -> None:
    answer = review(VALIDATE, asked(recording("a1")["input"], version=version))
    assert answer["apiVersion"] == f"admission.k8s.io/{version}"
    assert answer["response"] == {"uid": "1", "allowed": True}


@pytest.mark.parametrize("name", ["a1", "a2", "a4", "b1", "e1", "e2", "g8", "i4"])
def test_the_defaulter_makes_the_object_recorded(name: str) -> None:
    found = recording(name)
    made = patched(found["input"], review(DEFAULT, asked(found["input"])))
    kept = found["steps"][0]["stored"]
    assert made["metadata"]["annotations"] == kept["metadata"]["annotations"]
    not_kept = {"timeoutSeconds"}  # no such field: pruned by the API server
    for component, asks in kept["spec"].items():
        mine = {key: one for key, one in made["spec"][component].items() if key not in not_kept}
        assert mine == asks


def test_a_pod_of_a_service_is_marked_and_no_other() -> None:
    pod: Object = {"metadata": {"labels": {"serving.kserve.io/inferenceservice": "churn"}}, "spec": {}}
    marked = patched(pod, review(MARK_PODS, asked(pod)))
    assert marked["metadata"]["annotations"] == {
        "serving.kserve.io/enable-metric-aggregation": "false",
        "serving.kserve.io/enable-prometheus-scraping": "false",
    }
    other: Object = {"metadata": {}, "spec": {}}
    assert "patch" not in review(MARK_PODS, asked(other))["response"]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("0.5", "500m"),
        (1, "1"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("2Gi", "2Gi"),
        ("1G", "1G"),
        ("1000M", "1G"),
        ("128974848", "128974848"),
        ("0", "0"),
        ("0.1", "100m"),
    ],
)
def test_quantities_are_written_as_kubernetes_writes_them(given: object, written: str) -> None:
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
    assert canonical_quantity(given) == written
