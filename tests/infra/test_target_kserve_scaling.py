"""What scales a release on a cluster: KEDA's ScaledObject, and who else does where it is not asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pulumi
import pytest

from infra.kubernetes.base import FakeKubernetes
from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable
from infra.preflight.base import examine
from infra.targets.kserve.scaler import find_trouble
from infra.targets.kserve.scaling import METRICS_API
from modelpack.errors import EcomdeployError
from tests.infra.test_preflight import NEEDS, named, sole, whole
from tests.infra.test_target_kserve_resources import isvc, release, service

HERE = {"prometheus": "http://127.0.0.1:9090", "pace": 12.0}
NOW = datetime.now(UTC)
HOURS = {"name": "evenings", "days": ["fri"], "start": "18:00", "end": "02:00", "time_zone": "Europe/Berlin"}


def sale(days: float, least: int = 12) -> dict[str, Any]:
    """A sale day that begins in so many."""
    begin = NOW.replace(second=0, microsecond=0) + timedelta(days=days)
    return {
        "name": f"in {days}",
        "start": begin.isoformat(),
        "end": (begin + timedelta(days=1)).isoformat(),
        "min": least,
    }


def scaled(scale: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The spec of the ScaledObject of the one release."""
    found = service(release("a", initial=True), scale=scale, **{"metrics": HERE, **more}).one("ScaledObject")
    spec: dict[str, Any] = found.inputs["spec"]
    return spec


def test_without_a_load_or_a_schedule_kserve_scales_by_the_cpu() -> None:
    made = service(release("a", initial=True), scale={"min": 1, "max": 4})
    assert made.of("ScaledObject") == []
    assert isvc(made)["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"
    assert isvc(made)["spec"]["predictor"]["scaleMetric"] == "cpu"


def test_a_release_that_runs_has_a_scaler_of_its_own_and_kserve_keeps_out() -> None:
    made = service(
        release("a", stopped=True),
        release("b"),
        release("c", initial=True),
        scale={"min": 2, "max": 6, "target_rps": 50.0},
        metrics=HERE,
    )
    assert [one.inputs["metadata"]["name"] for one in made.of("ScaledObject")] == [
        f"shop-local-{letter * 8}" for letter in "bc"
    ]
    for letter in "abc":
        of_kserve = isvc(made, letter)
        assert of_kserve["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"
        assert not {"scaleMetric", "scaleTarget"} & set(of_kserve["spec"]["predictor"])


def test_what_saves_a_loaded_service_is_written_out() -> None:
    spec = scaled({"min": 2, "max": 6, "target_rps": 50.0})
    assert spec["scaleTargetRef"] == {"name": "shop-local-aaaaaaaa-predictor"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 6)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}
    (trigger,) = spec["triggers"]
    told = trigger["metadata"]
    assert (trigger["type"], told["threshold"], told["ignoreNullValues"]) == ("prometheus", "50", "false")
    assert told["serverAddress"] == "http://127.0.0.1:9090"
    assert told["query"] == (
        'clamp_max(sum(rate(ecomdeploy_requests_total{namespace="default",'
        'pod=~"shop-local-aaaaaaaa-predictor-.+",route=~"/invocations|/v2/models/.+/infer"}[5s]))'
        ' or 0 * sum(rate(ecomdeploy_ready{namespace="default",pod=~"shop-local-aaaaaaaa-predictor-.+"}[5s])), 300)'
    )
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert (down["stabilizationWindowSeconds"], down["policies"][0]["periodSeconds"]) == (25, 5)


def test_periods_are_their_own_where_time_passes_as_it_does() -> None:
    spec = scaled({"max": 6, "target_rps": 50.0}, metrics={"prometheus": "monitoring/prometheus-server:80"})
    told = spec["triggers"][0]["metadata"]
    assert told["serverAddress"] == "http://prometheus-server.monitoring.svc:80"
    assert told["query"].count("[60s]") == 2
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert (spec["pollingInterval"], down["stabilizationWindowSeconds"]) == (30, 300)


def test_without_a_prometheus_requests_are_no_load() -> None:
    with pytest.raises(pulumi.RunError, match=r"scale.target_rps: no Prometheus is known"):
        scaled({"max": 6, "target_rps": 50.0}, metrics={"prometheus": ""})


def test_a_sale_day_is_a_cron_in_utc_and_may_have_more_than_max() -> None:
    spec = scaled({"max": 4, "target_rps": 50.0, "schedule": [sale(-2), sale(-0.5), sale(30)]})
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 12)
    load, runs, comes = spec["triggers"]
    assert load["metadata"]["query"].endswith(", 200)"), "requests alone ask for no more than max"
    for trigger, days in ((runs, -0.5), (comes, 30)):
        begin = NOW + timedelta(days=days)
        end = begin + timedelta(days=1)
        assert trigger == {
            "type": "cron",
            "metadata": {
                "timezone": "UTC",
                "start": f"{begin.minute} {begin.hour} {begin.day} {begin.month} *",
                "end": f"{end.minute} {end.hour} {end.day} {end.month} *",
                "desiredReplicas": "12",
            },
        }


def test_busy_hours_are_a_cron_in_their_time_zone_beside_the_cpu() -> None:
    spec = scaled({"max": 4, "recurring": [{**HOURS, "min": 3}]})
    hours, cpu = spec["triggers"]
    assert hours["metadata"] == {
        "timezone": "Europe/Berlin",
        "start": "0 18 * * 5",
        "end": "0 2 * * 6",
        "desiredReplicas": "3",
    }
    assert cpu == {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}
    assert "fallback" not in spec, "KEDA has none for the CPU"
    (alone,) = scaled({"recurring": [{**HOURS, "min": 3}]})["triggers"]
    assert alone["type"] == "cron", "with max 1 there is nothing for the CPU to do"
    (left,) = scaled({"schedule": [sale(-2)]})["triggers"]
    assert left["type"] == "cpu", "KEDA takes none without a trigger"


def test_a_sale_day_that_would_come_a_year_too_early_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match=r"scale.schedule: in 370 ends in more than a year"):
        scaled({"schedule": [sale(370)]})


def test_a_cluster_without_keda_or_whose_adapter_is_away() -> None:
    needs, api = replace(NEEDS, scaled=True), whole()
    api.unserved = {"ScaledObject"}
    told = sole(api, "keda", needs)
    assert told.stops
    assert "the cluster has no ScaledObject of keda.sh/v1alpha1" in told.what
    assert not [one for one in examine(api, NEEDS) if one.lacks], "nobody asked for it"
    api.unserved = set()
    assert sole(api, "keda", needs).what.endswith(f"there is no APIService {METRICS_API[2]}")
    away = {"type": "Available", "status": "False", "message": "no response"}
    api.put(named("APIService", METRICS_API[2], status={"conditions": [away]}))
    assert sole(api, "keda", needs).what.endswith("nothing scales: no response")
    api.put(named("APIService", METRICS_API[2], status={"conditions": [{**away, "status": "True"}]}))
    assert not [one for one in examine(api, needs) if one.lacks]
    api.denied = {"create scaledobjects", "list horizontalpodautoscalers"}
    told = sole(api, "rights", needs)
    assert "scaledobjects.keda.sh (create)" in told.what
    assert "horizontalpodautoscalers.autoscaling (list)" in told.what


REVISION, METRIC = "shop-gke-aaaaaaaa", "s0-prometheus"
ASKED = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/ml/{METRIC}"
TARGET = {"scaleTargetRef": {"name": f"{REVISION}-predictor"}}


def whole_scaler(**status: Any) -> FakeKubernetes:
    """A release with its ScaledObject and what KEDA makes of that, all of it well."""
    api = whole()
    marks = {"annotations": {"serving.kserve.io/autoscalerClass": "external"}}
    api.put(named("InferenceService", REVISION, "ml", metadata=marks))
    conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "Active", "HPAActive")]
    told = {"conditions": conditions, "externalMetricNames": [METRIC], **status}
    mine = {"labels": {"ecomdeploy.dev/endpoint": "shop-gke"}}
    api.put(named("ScaledObject", REVISION, "ml", metadata=mine, spec=TARGET, status=told))
    api.put(named("HorizontalPodAutoscaler", f"keda-hpa-{REVISION}", "ml", spec=TARGET))
    api.put(named("HorizontalPodAutoscaler", "another-service", "ml", spec={"scaleTargetRef": {"name": "b"}}))
    api.texts[ASKED] = "{}"
    return api


def test_a_scaler_that_works_has_nothing_to_tell() -> None:
    assert find_trouble(whole_scaler(), "ml", REVISION) == ()
    by_cpu = whole()
    by_cpu.put(named("InferenceService", REVISION, "ml"))
    assert find_trouble(by_cpu, "ml", REVISION) == ()
    assert find_trouble(whole(), "ml", REVISION) == ()


def test_what_keda_says_of_a_scaler_is_told() -> None:
    failed = {"type": "HPAActive", "status": "False", "reason": "FailedGetExternalMetric", "message": "no"}
    health = {METRIC: {"status": "Failing", "numberOfFailures": 7}, "s1-cron": {"status": "Happy"}}
    assert find_trouble(whole_scaler(conditions=[failed], health=health), "ml", REVISION) == (
        "FailedGetExternalMetric: no",
        "s0-prometheus has failed 7 times in a row: its pods stay as many",
    )


def test_a_second_autoscaler_is_told_and_one_that_is_gone() -> None:
    api = whole_scaler()
    api.put(named("HorizontalPodAutoscaler", "by-hand", "ml", spec=TARGET))
    api.put(named("ScaledObject", "elses", "ml", spec=TARGET))
    assert [one.partition(" scales")[0] for one in find_trouble(api, "ml", REVISION)] == [
        "HorizontalPodAutoscaler by-hand",
        "ScaledObject elses",
    ]
    del api.objects["ScaledObject", "ml", REVISION]
    assert find_trouble(api, "ml", REVISION) == (f"nothing scales it: there is no ScaledObject {REVISION}",)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (KubernetesRefused(504, "Timeout", "request did not complete"), "KEDA does not answer for s0-prometheus"),
        (KubernetesUnreachable("no answer"), "KEDA does not answer for s0-prometheus: no answer"),
        (KubernetesRefused(403, "Forbidden", "you may not"), ""),
    ],
)  # fmt: skip
def test_an_operator_that_is_away_shows_by_one_question(answer: EcomdeployError, told: str) -> None:
    class Away(FakeKubernetes):
        def text(self, path: str, **query: str) -> str:
            assert path == ASKED
            assert query == {"labelSelector": f"scaledobject.keda.sh/name={REVISION}", "timeout": "5s"}
            raise answer

    found = find_trouble(Away(objects=whole_scaler().objects), "ml", REVISION)
    assert [one[: len(told)] for one in found] == ([told] if told else [])


def test_the_preflight_tells_of_scalers_that_stand() -> None:
    api = whole_scaler(health={METRIC: {"status": "Failing", "numberOfFailures": 4}})
    api.put(
        named("APIService", METRICS_API[2], status={"conditions": [{"type": "Available", "status": "True"}]})
    )
    told = sole(api, "keda", replace(NEEDS, scaled=True))
    assert not told.stops
    assert told.what.endswith(
        "pods do not follow the load: s0-prometheus has failed 4 times in a row: its pods stay as many"
    )
    assert told.hint == f"kubectl --context shop-eu -n ml describe scaledobject {REVISION}"
