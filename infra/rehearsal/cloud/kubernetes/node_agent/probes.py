"""Startup, readiness and liveness: when a container is asked, and what its answers come to.

kubernetes.io/docs/concepts/workloads/pods/probes/
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from infra.kubernetes.client import Object

ProbeKind = Literal["startup", "readiness", "liveness"]
KINDS: tuple[ProbeKind, ...] = ("startup", "readiness", "liveness")
Connect = Callable[[], socket.socket]
"""A new connection to the container's own port. Raises OSError."""


@dataclass(frozen=True, kw_only=True)
class ContainerProbe:
    """One probe. Times in seconds; `port` is the one asked, `http` its path, "" for a mere connection; `grace`: of
    the container that it ends, None for the pod's."""

    kind: ProbeKind
    http: str
    headers: Mapping[str, str]
    port: int
    delay: float
    period: float
    timeout: float
    successes: int
    failures: int
    grace: int | None = None


def probes_of(container: Object) -> dict[ProbeKind, ContainerProbe]:
    """The probes a container declares; the API server has filled in what was left out."""
    ports = {one.get("name", ""): one["containerPort"] for one in container.get("ports", ())}
    found: dict[ProbeKind, ContainerProbe] = {}
    for kind in KINDS:
        if not (asked := container.get(f"{kind}Probe")):
            continue
        get = asked.get("httpGet") or asked["tcpSocket"]
        found[kind] = ContainerProbe(
            kind=kind,
            http=get.get("path", "/") if "httpGet" in asked else "",
            headers={one["name"]: one["value"] for one in get.get("httpHeaders", ())},
            port=int(ports.get(get["port"], 0) if isinstance(get["port"], str) else get["port"]),
            delay=asked.get("initialDelaySeconds", 0),
            period=asked.get("periodSeconds", 10),
            timeout=asked.get("timeoutSeconds", 1),
            successes=asked.get("successThreshold", 1),
            failures=asked.get("failureThreshold", 3),
            grace=asked.get("terminationGracePeriodSeconds"),
        )
    return found


@dataclass(frozen=True)
class Verdicts:
    """What a probe's answers come to: `passing` once enough of them were alike, `failing` once enough were not."""

    passing: bool = False
    failing: bool = False
    alike: int = 0
    last: bool | None = None

    def after(self, ok: bool, probe: ContainerProbe) -> Verdicts:
        """With one more answer."""
        alike = self.alike + 1 if ok == self.last else 1
        counted = replace(self, alike=alike, last=ok)
        if ok and alike >= probe.successes:
            return replace(counted, passing=True, failing=False)
        if not ok and alike >= probe.failures:
            return replace(counted, passing=False, failing=True)
        return counted


def ask(probe: ContainerProbe, connect: Connect, address: str, served: int) -> str:
    """Ask once; "" for yes, else why not, in a kubelet's words. `served`: the port the container listens on."""
    where = f"{address}:{probe.port}"
    get = f'Get "http://{where}{probe.http}": ' if probe.http else ""
    try:
        if probe.port != served:
            raise ConnectionRefusedError
        with connect() as made:
            if not probe.http:
                return ""
            made.settimeout(probe.timeout)
            return _get(probe, made, where)
    except TimeoutError:
        return f"{get}context deadline exceeded"
    except ConnectionRefusedError:
        return f"{get}dial tcp {where}: connect: connection refused"
    except (OSError, http.client.HTTPException) as problem:
        return f"{get}{str(problem) or type(problem).__name__}"


def _get(probe: ContainerProbe, made: socket.socket, where: str) -> str:
    connection = http.client.HTTPConnection(where)
    connection.sock = made
    headers = {"User-Agent": "kube-probe/1.37", "Accept": "*/*", "Connection": "close", **probe.headers}
    connection.request("GET", probe.http, headers=headers)
    status = connection.getresponse().status
    return "" if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"


class Prober:
    """Asks one container by one probe, in a thread of its own, until it is stopped."""

    def __init__(
        self, probe: ContainerProbe, ask_once: Callable[[], str], told: Callable[[ContainerProbe, str], None]
    ) -> None:
        """`told` hears of each answer that changes something, and of each failure ("" for none)."""
        self.probe = probe
        self.verdicts = Verdicts()
        self._ask = ask_once
        self._told = told
        self._stopped = threading.Event()

    def start(self, running_since: float) -> Prober:
        """`running_since`: `time.monotonic` of the container's start, which the delay counts from."""
        threading.Thread(target=self._run, args=(running_since,), name=self.probe.kind, daemon=True).start()
        return self

    def stop(self) -> None:
        """No further answer counts."""
        self._stopped.set()

    def _run(self, since: float) -> None:
        wait = since + self.probe.delay - time.monotonic()
        while not self._stopped.wait(max(0.0, wait)):
            begun = time.monotonic()
            why = self._ask()
            if self._stopped.is_set():
                return
            before, self.verdicts = self.verdicts, self.verdicts.after(not why, self.probe)
            if why or before.passing != self.verdicts.passing:
                self._told(self.probe, why)
            if self.probe.kind == "startup" and self.verdicts.passing:
                return
            wait = begun + self.probe.period - time.monotonic()
