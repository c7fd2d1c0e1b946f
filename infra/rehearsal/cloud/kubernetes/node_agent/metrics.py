"""metrics.k8s.io/v1beta1: what pods and nodes use now, for `kubectl top` and the horizontal autoscaler.

github.com/kubernetes/metrics (pkg/apis/metrics/v1beta1)
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from infra.kubernetes.client import Object
from infra.kubernetes.objects import now
from infra.rehearsal.cloud.kubernetes.node_agent.agent import NodeAgent
from infra.rehearsal.cloud.kubernetes.node_agent.https import HttpsAnswer
from infra.rehearsal.cloud.kubernetes.node_agent.pod import PodRunner
from infra.rehearsal.cloud.kubernetes.node_agent.selectors import matches
from infra.rehearsal.cloud.kubernetes.node_agent.usage import UsageMeter, UsageRate
from modelpack.errors import BadInput

GROUP = "metrics.k8s.io"
VERSION = f"{GROUP}/v1beta1"
ROOT = f"/apis/{VERSION}"
SERVICE, NAMESPACE = "ecomdeploy-metrics", "kube-system"
RESOURCES = {"pods": ("PodMetrics", True), "nodes": ("NodeMetrics", False)}


def registration(port: int, authority: Path) -> tuple[Object, Object]:
    """What makes the API server ask 127.0.0.1:`port` for this group. `authority`: of its certificate."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"v1beta1.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": "v1beta1",
            "service": {"name": SERVICE, "namespace": NAMESPACE, "port": port},
            "caBundle": base64.b64encode(authority.read_bytes()).decode(),
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    return service, api


class MetricsApi:
    """Answers the API server's aggregator."""

    def __init__(self, agent: NodeAgent, meter: UsageMeter) -> None:
        self._agent = agent
        self._meter = meter

    def answer(self, path: str, query: Mapping[str, str], answer: HttpsAnswer) -> None:
        """One request."""
        parts = path.removeprefix(ROOT).strip("/").split("/")
        if path in ("/healthz", "/livez", "/readyz"):
            answer.text(200, "ok")
        elif path.rstrip("/") == ROOT:
            answer.json(200, _resources())
        elif not path.startswith(f"{ROOT}/"):
            answer.json(404, _status(404, "NotFound", f"{path} is not served here"))
        else:
            self._answer_usage(parts, query.get("labelSelector", ""), answer)

    def _answer_usage(self, parts: list[str], selector: str, answer: HttpsAnswer) -> None:
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        resource, name = parts[0], "/".join(parts[1:])
        if resource not in RESOURCES:
            answer.json(404, _status(404, "NotFound", f"no resource {resource}"))
            return
        found = self._pods(namespace) if resource == "pods" else self._nodes()
        if name:
            named = [one for one in found if one["metadata"]["name"] == name]
            words = f'{resource}.{GROUP} "{name}" not found'
            answer.json(*((200, named[0]) if named else (404, _status(404, "NotFound", words))))
            return
        try:
            items = [one for one in found if matches(selector, one["metadata"].get("labels", {}))]
        except BadInput as problem:
            answer.json(400, _status(400, "BadRequest", str(problem)))
            return
        kind = f"{RESOURCES[resource][0]}List"
        answer.json(200, {"kind": kind, "apiVersion": VERSION, "metadata": {}, "items": items})

    def _pods(self, namespace: str) -> list[Object]:
        found = []
        for runner, rate in self._rates():
            metadata = runner.pod["metadata"]
            if namespace in ("", metadata["namespace"]):
                kept = {name: metadata[name] for name in ("name", "namespace", "labels") if name in metadata}
                one = {"name": runner.container["name"], "usage": _usage(rate.cores, rate.memory)}
                found.append(_item("PodMetrics", kept, rate.seconds) | {"containers": [one]})
        return found

    def _nodes(self) -> list[Object]:
        sums: dict[str, tuple[float, int, float]] = dict.fromkeys(self._agent.nodes(), (0.0, 0, 0.0))
        for runner, rate in self._rates():
            cores, memory, seconds = sums.get(runner.pod["spec"]["nodeName"], (0.0, 0, 0.0))
            summed = cores + rate.cores, memory + rate.memory, max(seconds, rate.seconds)
            sums[runner.pod["spec"]["nodeName"]] = summed
        return [
            _item("NodeMetrics", {"name": name}, seconds) | {"usage": _usage(cores, memory)}
            for name, (cores, memory, seconds) in sorted(sums.items())
        ]

    def _rates(self) -> list[tuple[PodRunner, UsageRate]]:
        """Of what runs and was measured twice; what has just started is left out, as a metrics server does."""
        found = []
        for runner in self._agent.runners():
            server = runner.server
            rate = self._meter.rate(server.id) if server else None
            if rate:
                found.append((runner, rate))
        return found


def _usage(cores: float, memory: int) -> dict[str, str]:
    return {"cpu": f"{round(cores * 1e9)}n", "memory": f"{memory // 1024}Ki"}


def _item(kind: str, metadata: Object, seconds: float) -> Object:
    moment = now()
    return {
        "kind": kind,
        "apiVersion": VERSION,
        "metadata": {**metadata, "creationTimestamp": moment},
        "timestamp": moment,
        "window": f"{seconds:.3f}s",
    }


def _resources() -> Object:
    listed = [
        {"name": name, "singularName": "", "namespaced": inside, "kind": kind, "verbs": ["get", "list"]}
        for name, (kind, inside) in RESOURCES.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION, "resources": listed}


def _status(code: int, reason: str, words: str) -> Object:
    told = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return told | {"message": words, "reason": reason, "code": code}
