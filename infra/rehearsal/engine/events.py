"""The engine's events: streamed by gRPC as `--event-log` asks, said in lines of text, counted.

Source of the form: pulumi/pulumi, sdk/go/common/apitype/events.go. Secrets are "[secret]" in every event.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import grpc
from pulumi.runtime.proto import events_pb2, events_pb2_grpc

from infra.rehearsal.engine.errors import Unsupported
from infra.rehearsal.engine.redaction import Redactor
from infra.rehearsal.engine.resource import Resource
from infra.rehearsal.engine.steps import COUNTED, Op, Step
from infra.rehearsal.engine.values import blind

Event = dict[str, Any]
Send = Callable[[Event], None]
CHANNEL: Final = [("grpc.enable_http_proxy", 0)]
LAST_EVENT_SECONDS: Final = 30


@contextlib.contextmanager
def stream(target: str | None) -> Iterator[Send]:
    """Sends events to the `pulumirpc.Events/StreamEvents` of "tcp://HOST:PORT"; ends when it has them all."""
    if target is None:
        yield lambda event: None
        return
    if not target.startswith("tcp://"):
        raise Unsupported(f"--event-log {target}: an event log in a file")
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def requests() -> Iterator[events_pb2.EventRequest]:
        while (event := events.get()) is not None:
            yield events_pb2.EventRequest(event=json.dumps(event))

    with grpc.insecure_channel(target.removeprefix("tcp://"), options=CHANNEL) as channel:
        call = events_pb2_grpc.EventsStub(channel).StreamEvents.future(requests())
        try:
            yield events.put
        finally:
            events.put(None)
            call.result(timeout=LAST_EVENT_SECONDS)


class Events:
    """Numbers, cleans, sends and prints events; counts logical steps. Safe from any thread."""

    def __init__(self, send: Send, print_line: Callable[[str], None], *, planning: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.redactor = Redactor()
        self._transmit = send
        self._print = print_line
        self.planning = planning
        self._sequence = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def _send(self, kind: str, body: Mapping[str, Any], line: str = "") -> None:
        with self._lock:
            event: Event = {"sequence": self._sequence, "timestamp": int(time.time()), kind: body}
            self._sequence += 1
            self._transmit(event)
            if line:
                self._print(line)

    def diagnostic(self, severity: str, message: str, urn: str = "") -> None:
        """A message for people: "info", "warning" or "error"."""
        prefix = f"{severity}: " if severity in ("error", "warning") else ""
        text = self.redactor.clean(message)
        body = {"urn": urn, "prefix": prefix, "message": text, "color": "never", "severity": severity}
        where = ""
        if urn:
            _, _, types, name = urn.split("::", 3)
            where = f"{types.rpartition('$')[2]} ({name}): "
        self._send("diagnosticEvent", body, f"  {where}{prefix}" + text.rstrip().replace("\n", "\n    "))

    def before(self, step: Step) -> None:
        """A step starts."""
        self._send("resourcePreEvent", self._describe(step))

    def count(self, step: Step) -> None:
        """A step is done. Default providers are the engine's own (pkg/engine/deployment.go isDefaultProviderStep)."""
        if step.op in COUNTED and not step.resource.is_default_provider:
            with self._lock:
                self.counts[step.op] += 1

    def tell(self, step: Step) -> None:
        """Its outputs are there: of a component when it has declared them (deploy/deployment_executor.go)."""
        quiet = step.op in (Op.SAME, Op.REFRESH) or step.resource.is_default_provider
        line = "" if quiet else f"  {step.op} {step.resource.type} {step.resource.name}"
        self._send("resOutputsEvent", self._describe(step), line)

    def after(self, step: Step) -> None:
        """A step is done, outputs and all."""
        self.count(step)
        self.tell(step)

    def tell_failure(self, step: Step) -> None:
        """A call was refused or broke off."""
        self._send("resOpFailedEvent", {**self._describe(step), "status": 0, "steps": 0})

    def _describe(self, step: Step) -> dict[str, Any]:
        subject = step.resource
        metadata = {
            "op": step.op.value,
            "urn": subject.urn,
            "type": subject.type,
            "provider": subject.provider,
            "old": _state(step.old),
            "new": _state(step.new),
            "logical": step.op in COUNTED,
            "diffs": list(step.plan.changed),
            "keys": list(step.plan.replaces),
        }
        return {"metadata": metadata, "planning": self.planning}

    def summary(self) -> None:
        """The counts, at the end; and the last event."""
        body = {
            "maybeCorrupt": False,
            "durationSeconds": int(time.monotonic() - self._started),
            "resourceChanges": dict(self.counts),
            "PolicyPacks": {},
        }
        told = ", ".join(f"{count} {op}" for op, count in self.counts.items())
        self._send("summaryEvent", body, f"Resources: {told or 'none'}")
        self._send("cancelEvent", {})


def _state(resource: Resource | None) -> dict[str, Any] | None:
    if resource is None:
        return None
    return {
        "type": resource.type,
        "urn": resource.urn,
        "custom": resource.custom,
        "id": resource.id,
        "parent": resource.parent,
        "provider": resource.provider,
        "inputs": blind(resource.inputs),
        "outputs": blind(resource.outputs),
    }
