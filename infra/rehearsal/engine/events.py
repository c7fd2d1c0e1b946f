"""The engine's event stream, as `--event-log` carries it (to a file or by gRPC), and a summary's counts.

Source: pulumi/pulumi, sdk/go/common/apitype/events.go. Secrets are "[secret]" in every event.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from infra.rehearsal.engine.marks import Redactor
from infra.rehearsal.engine.resource import Resource
from infra.rehearsal.engine.steps import COUNTED, Op, Verdict
from infra.rehearsal.engine.values import blind

Event = dict[str, Any]


class Sink(Protocol):
    """Takes events in order."""

    def send(self, event: Event) -> None: ...

    def close(self) -> None: ...


class FileSink:
    """One JSON document a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def send(self, event: Event) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class GrpcSink:
    """Streams to `pulumirpc.Events/StreamEvents`; `close` waits until the receiver has it all."""

    def __init__(self, address: str) -> None:
        import grpc
        from pulumi.runtime.proto import events_pb2, events_pb2_grpc

        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        stub = events_pb2_grpc.EventsStub(self._channel)

        def requests() -> Iterator[Any]:
            while (event := self._queue.get()) is not None:
                yield events_pb2.EventRequest(event=json.dumps(event))

        self._call = stub.StreamEvents.future(requests())

    def send(self, event: Event) -> None:
        self._queue.put(event)

    def close(self) -> None:
        self._queue.put(None)
        try:
            self._call.result(timeout=30)
        finally:
            self._channel.close()


def open_sink(target: str) -> Sink:
    """The sink that `--event-log` names."""
    return GrpcSink(target.removeprefix("tcp://")) if target.startswith("tcp://") else FileSink(Path(target))


class Events:
    """Numbers, cleans and sends events to every listener; counts logical steps. Safe from any thread."""

    def __init__(
        self, sinks: Sequence[Sink], listener: Callable[[Event], None], redactor: Redactor, planning: bool
    ):
        self.counts: Counter[str] = Counter()
        self.redactor = redactor
        self._sinks = sinks
        self._listener = listener
        self._planning = planning
        self._sequence = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def _send(self, kind: str, body: Mapping[str, Any]) -> None:
        with self._lock:
            event: Event = {"sequence": self._sequence, "timestamp": int(time.time()), kind: dict(body)}
            self._sequence += 1
            for sink in self._sinks:
                sink.send(event)
            self._listener(event)

    def prelude(self, config: Mapping[str, str]) -> None:
        """The configuration, secrets blinded."""
        self._send("preludeEvent", {"config": dict(config)})

    def diagnostic(self, severity: str, message: str, urn: str = "") -> None:
        """A message for people: "debug", "info", "warning" or "error"."""
        prefix = f"{severity}: " if severity in ("error", "warning") else ""
        text = self.redactor.clean(message)
        self._send(
            "diagnosticEvent",
            {"urn": urn, "prefix": prefix, "message": text, "color": "never", "severity": severity},
        )

    def before(
        self, op: Op, old: Resource | None, new: Resource | None, verdict: Verdict | None = None
    ) -> None:
        """A step starts."""
        if not hidden(old, new):
            self._send(
                "resourcePreEvent",
                {"metadata": self._metadata(op, old, new, verdict), "planning": self._planning},
            )

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
        with self._lock:
            if (counted or op) in COUNTED:
                self.counts[counted or op] += 1
        self._send(
            "resOutputsEvent", {"metadata": self._metadata(op, old, new, verdict), "planning": self._planning}
        )

    def failed(self, op: Op, old: Resource | None, new: Resource | None) -> None:
        """A step failed; the diagnostic before it says why."""
        self._send(
            "resOpFailedEvent", {"metadata": self._metadata(op, old, new, None), "status": 0, "steps": 0}
        )

    def summary(self, *, corrupt: bool) -> None:
        """The counts, at the end."""
        seconds = int(time.monotonic() - self._started)
        self._send(
            "summaryEvent",
            {
                "maybeCorrupt": corrupt,
                "durationSeconds": seconds,
                "resourceChanges": dict(self.counts),
                "PolicyPacks": {},
            },
        )

    def end(self) -> None:
        """The last event; listeners stop here."""
        self._send("cancelEvent", {})

    @property
    def changes(self) -> int:
        """Counted steps other than "same"."""
        return sum(count for op, count in self.counts.items() if op != Op.SAME)

    def _metadata(
        self, op: Op, old: Resource | None, new: Resource | None, verdict: Verdict | None
    ) -> dict[str, Any]:
        either = new or old
        assert either is not None
        body: dict[str, Any] = {
            "op": op.value,
            "urn": either.urn,
            "type": either.type,
            "provider": either.provider,
        }
        body["old"] = self._state(old)
        body["new"] = self._state(new)
        body["logical"] = op in COUNTED
        if verdict is not None and verdict.changed:
            body["diffs"] = list(verdict.changed)
            body["keys"] = list(verdict.replaces)
            body["detailedDiff"] = {key: _difference(key, old, new, verdict) for key in verdict.changed}
        return body

    def _state(self, resource: Resource | None) -> dict[str, Any] | None:
        if resource is None:
            return None
        return {
            "type": resource.type,
            "urn": resource.urn,
            "custom": resource.custom,
            "delete": resource.delete,
            "id": resource.id,
            "parent": resource.parent,
            "protect": resource.protect,
            "retainOnDelete": resource.retain_on_delete,
            "inputs": blind(resource.inputs),
            "outputs": blind(resource.outputs),
            "provider": resource.provider,
            "initErrors": [self.redactor.clean(text) for text in resource.init_errors],
        }


def hidden(old: Resource | None, new: Resource | None) -> bool:
    """Default providers are the engine's own business (pkg/engine/deployment.go isDefaultProviderStep)."""
    either = new or old
    return either is not None and either.is_default_provider


def _difference(key: str, old: Resource | None, new: Resource | None, verdict: Verdict) -> dict[str, Any]:
    had = old is not None and key in old.inputs
    has = new is not None and key in new.inputs
    kind = "update" if had == has else ("add" if has else "delete")
    return {"diffKind": f"{kind}-replace" if key in verdict.replaces else kind, "inputDiff": True}
