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
from infra.rehearsal.engine.marks import Redactor
from infra.rehearsal.engine.resource import Resource
from infra.rehearsal.engine.steps import COUNTED, Op, Verdict
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
        self._planning = planning
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

    def before(
        self, op: Op, old: Resource | None, new: Resource | None, verdict: Verdict | None = None
    ) -> None:
        """A step starts."""
        if not hidden(old, new):
            metadata = _metadata(op, old, new, verdict)
            self._send("resourcePreEvent", {"metadata": metadata, "planning": self._planning})

    def after(
        self,
        op: Op,
        old: Resource | None,
        new: Resource | None,
        verdict: Verdict | None = None,
        counted: Op | None = None,
    ) -> None:
        """A step is done. `counted` is what a refresh turned out to be."""
        if hidden(old, new):
            return
        metadata, counted = _metadata(op, old, new, verdict), counted or op
        if counted in COUNTED:
            with self._lock:
                self.counts[counted] += 1
        line = "" if counted in (Op.SAME, Op.REFRESH) else f"  {counted} {_name(metadata)}"
        self._send("resOutputsEvent", {"metadata": metadata, "planning": self._planning}, line)

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


def hidden(old: Resource | None, new: Resource | None) -> bool:
    """Default providers are the engine's own business (pkg/engine/deployment.go isDefaultProviderStep)."""
    either = new or old
    return either is not None and either.is_default_provider


def _name(metadata: Mapping[str, Any]) -> str:
    return f"{metadata['type']} {metadata['urn'].rpartition('::')[2]}"


def _metadata(op: Op, old: Resource | None, new: Resource | None, verdict: Verdict | None) -> dict[str, Any]:
    either = new or old
    assert either is not None
    body: dict[str, Any] = {
        "op": op.value,
        "urn": either.urn,
        "type": either.type,
        "provider": either.provider,
    }
    body |= {"old": _state(old), "new": _state(new), "logical": op in COUNTED}
    if verdict is not None and verdict.changed:
        body |= {"diffs": list(verdict.changed), "keys": list(verdict.replaces)}
    return body


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
