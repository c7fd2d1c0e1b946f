"""An operation in lines of text, for `on_output` and stdout; or with --json one document at the end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from infra.rehearsal.engine.events import Event
from infra.rehearsal.engine.values import BLINDED, Secret, blind

SIGNS: Final = {
    "create": "+",
    "update": "~",
    "delete": "-",
    "replace": "+-",
    "create-replacement": "++",
    "delete-replaced": "--",
}
PAST: Final = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "create-replacement": "created replacement",
    "delete-replaced": "deleted original",
}
TITLES: Final = {
    ("up", False): "Updating",
    ("up", True): "Previewing update",
    ("refresh", False): "Refreshing",
    ("refresh", True): "Previewing refresh",
    ("destroy", False): "Destroying",
    ("destroy", True): "Previewing destroy",
}


class Display:
    """Listens to events; `print` gets each line as it comes."""

    def __init__(self, title: str, print_line: Callable[[str], None], *, as_json: bool) -> None:
        self._print = print_line
        self._json = as_json
        self._steps: list[dict[str, Any]] = []
        self._diagnostics: list[dict[str, Any]] = []
        self._begun: dict[tuple[str, str], float] = {}
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._say(f"{title}:")

    def _say(self, line: str) -> None:
        if not self._json:
            self._print(line)

    def __call__(self, event: Event) -> None:
        with self._lock:
            if "resourcePreEvent" in event:
                metadata = event["resourcePreEvent"]["metadata"]
                self._begun[metadata["urn"], metadata["op"]] = time.monotonic()
            elif "resOutputsEvent" in event:
                self._done(event["resOutputsEvent"])
            elif "diagnosticEvent" in event:
                self._diagnose(event["diagnosticEvent"])
            elif "summaryEvent" in event:
                self._summarise(event["summaryEvent"])

    def _done(self, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        op, urn = metadata["op"], metadata["urn"]
        taken = time.monotonic() - self._begun.pop((urn, op), time.monotonic())
        step = {"op": op, "urn": urn, "provider": metadata["provider"]}
        step |= {"oldState": metadata["old"], "newState": metadata["new"]}
        step |= {"diffReasons": metadata.get("diffs"), "replaceReasons": metadata.get("keys")}
        self._steps.append({key: value for key, value in step.items() if value})
        if op in SIGNS:
            what = op if body["planning"] else f"{PAST[op]} ({taken:.1f}s)"
            changed = f" [diff: {', '.join(metadata['diffs'])}]" if metadata.get("diffs") else ""
            self._say(f" {SIGNS[op]:<2} {metadata['type']} {urn.rpartition('::')[2]} {what}{changed}")

    def _diagnose(self, body: Mapping[str, Any]) -> None:
        self._diagnostics.append({key: value for key, value in body.items() if value and key != "color"})
        where = ""
        if body["urn"]:
            _, _, types, name = body["urn"].split("::", 3)
            where = f"{types.rpartition('$')[2]} ({name}): "
        for number, line in enumerate(body["message"].rstrip().split("\n")):
            self._say(f"  {where}{body['prefix']}{line}" if number == 0 else f"    {line}")

    def _summarise(self, body: Mapping[str, Any]) -> None:
        counts = body["resourceChanges"]
        if self._json:
            return
        self._say("Resources:")
        for op, past in PAST.items():
            if counts.get(op):
                self._say(f"    {SIGNS[op]} {counts[op]} {past}")
        if counts.get("same"):
            self._say(f"    {counts['same']} unchanged")
        self._say(f"Duration: {body['durationSeconds']}s")

    def outputs(self, outputs: Mapping[str, Any]) -> None:
        """The stack's outputs."""
        if outputs:
            self._say("Outputs:")
            for name, value in outputs.items():
                shown = BLINDED if isinstance(value, Secret) else json.dumps(blind(value))
                self._say(f"    {name}: {shown}")

    def close(self, counts: Mapping[str, int]) -> None:
        """With --json, the document."""
        if self._json:
            document = {
                "steps": self._steps,
                "diagnostics": self._diagnostics,
                "duration": int((time.monotonic() - self._started) * 1e9),
                "changeSummary": dict(counts),
            }
            self._print(json.dumps(document))
