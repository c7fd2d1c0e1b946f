"""The part of a kubelet's API that the API server asks for: logs. Its paths: pkg/kubelet/server of Kubernetes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.rehearsal.cloud.kubernetes.node_agent.agent import NodeAgent
from infra.rehearsal.cloud.kubernetes.node_agent.https import HttpsAnswer
from infra.rehearsal.cloud.kubernetes.node_agent.pod import PodRunner
from infra.rehearsal.cloud.servers.host import Host

FOLLOW_SECONDS = 0.2
CHUNK = 64 * 1024
NOT_KEPT = ("sinceSeconds", "sinceTime", "timestamps")
"""When a line was written is in the line itself, if at all."""


class KubeletApi:
    """`gateway`: what to use instead of a port forward."""

    def __init__(self, agent: NodeAgent, host: Host, gateway: str) -> None:
        self._agent = agent
        self._host = host
        self._gateway = gateway

    def answer(self, path: str, query: Mapping[str, str], answer: HttpsAnswer) -> None:
        """One request."""
        parts = path.strip("/").split("/")
        if parts == ["healthz"]:
            answer.text(200, "ok")
        elif parts[0] == "containerLogs" and len(parts) == 4:
            self._logs((parts[1], parts[2], parts[3]), query, answer)
        elif parts[0] in ("exec", "attach", "portForward", "run"):
            answer.text(501, f"not on the local cloud; model servers answer at its gateway: {self._gateway}")
        else:
            answer.text(404, f"{path} is not served here")

    def _logs(self, named: tuple[str, str, str], query: Mapping[str, str], answer: HttpsAnswer) -> None:
        namespace, name, container = named
        runner = self._agent.find(namespace, name)
        if runner is None or runner.container["name"] != container:
            answer.text(404, f'container "{container}" of pod "{name}" is not on this node')
            return
        if asked := [one for one in NOT_KEPT if query.get(one, "false") != "false"]:
            answer.text(400, f"the local cloud keeps no times of log lines: {', '.join(asked)} cannot be had")
            return
        previous = query.get("previous") == "true"
        identifiers = list(runner.logs)
        if len(identifiers) < 1 + previous:
            answer.text(400, _no_log(runner, container, previous))
            return
        identifier = identifiers[-1 - previous]
        goes_on = query.get("follow") == "true" and not previous
        limits = int(query.get("tailLines", -1)), int(query.get("limitBytes", -1))

        def running() -> bool:
            return goes_on and runner.server is not None and runner.server.id == identifier

        _send(self._host.log(identifier), limits, running, answer)


def _no_log(runner: PodRunner, container: str, previous: bool) -> str:
    name = runner.pod["metadata"]["name"]
    if previous:
        return f'previous terminated container "{container}" in pod "{name}" not found'
    told = runner.view.state.get("waiting")
    reason = told.get("reason") if isinstance(told, dict) else "ContainerCreating"
    return f'container "{container}" in pod "{name}" is waiting to start: {reason}'


def _send(path: Path, limits: tuple[int, int], running: Callable[[], bool], answer: HttpsAnswer) -> None:
    lines, most = limits
    try:
        file = path.open("rb")
    except OSError:
        answer.text(404, "its log is no longer kept")
        return
    with file:
        answer.begin()
        if lines >= 0:
            file.seek(_offset_of_last(path, lines))
        left = most if most >= 0 else None
        while left is None or left > 0:
            alive = running()
            data = file.read(CHUNK if left is None else min(left, CHUNK))
            if data:
                answer.write(data)
                left = None if left is None else left - len(data)
            elif alive:
                time.sleep(FOLLOW_SECONDS)
            else:
                break
        answer.write(b"")


def _offset_of_last(path: Path, lines: int) -> int:
    """Where the last so many lines begin."""
    if lines == 0:
        return path.stat().st_size
    starts: deque[int] = deque(maxlen=lines)
    at = 0
    with path.open("rb") as file:
        for line in file:
            starts.append(at)
            at += len(line)
    return starts[0] if starts else 0
