"""What an endpoint's servers wrote: the pods' logs, through the API server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from infra.kubernetes.base import KubernetesApi, Object
from infra.kubernetes.client import KubernetesRefused
from infra.targets.kserve.names import CONTAINER, ENDPOINT_LABEL, app_label


def tail(api: KubernetesApi, namespace: str, endpoint: str, lines: int) -> list[str]:
    """The last lines of all pods of all its releases, by time; of a pod that has none yet, none."""
    pods = api.list("v1", "Pod", namespace, labels=f"{ENDPOINT_LABEL}={endpoint}")
    return last_lines(pods, lines, lambda pod: read(api, pod, lines))


def tail_revision(api: KubernetesApi, namespace: str, revision: str, lines: int) -> list[str]:
    """Of the pods of one revision; of a server that was started again what it wrote before that, too."""
    pods = api.list("v1", "Pod", namespace, labels=f"app={app_label(revision)}")

    def both(pod: Object) -> str:
        again = any(one.get("restartCount") for one in pod.get("status", {}).get("containerStatuses") or ())
        return (read(api, pod, lines, previous="true") if again else "") + read(api, pod, lines)

    return last_lines(pods, lines, both)


def last_lines(pods: Sequence[Object], lines: int, written: Callable[[Object], str]) -> list[str]:
    found = [line for pod in pods for line in with_moments(written(pod))]
    found.sort(key=lambda one: one[0])
    return [words for _, words in found[-lines:]] if lines else []


def read(api: KubernetesApi, pod: Object, lines: int, **more: str) -> str:
    """What a pod's server wrote."""
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
    try:
        return api.text(path, container=CONTAINER, tailLines=str(lines), **more)
    except KubernetesRefused as refused:
        if refused.status in (400, 404):  # its container has not started, or it is gone by now
            return ""
        raise


def with_moments(text: str) -> Iterator[tuple[str, str]]:
    """Each line with the time that it tells, as our server's do; else that of the line before."""
    moment = ""
    for line in text.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        if isinstance(told, dict) and isinstance(told.get("time"), str):
            moment = told["time"]
        yield moment, line.rstrip()
