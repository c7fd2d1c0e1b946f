"""Planted faults: what goes wrong next, on purpose. In memory only: they do not outlive the daemon.

wrong-answers  what the servers of the next configuration (of `endpoint`, or any) answer is spoilt; `/ping` stays green
never-ready    the servers of the next configuration never pass their health check (given up after `seconds`, default 3)
crash          the servers of the next configuration end before they are ready
capacity       the next configuration finds no instances
no-way-back    the next rollback of `endpoint` (or any) fails: UpdateRollbackFailed, both configurations serve
spot           the next managed spot training (`endpoint`: the job's name, or any) loses its instance after `seconds`
api-error      the next calls of `operation` fail with `code`
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from modelpack.errors import BadInput

KINDS = ("wrong-answers", "never-ready", "crash", "capacity", "no-way-back", "spot", "api-error")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Strikes `count` more times. `endpoint` "" is any endpoint."""

    kind: str
    endpoint: str = ""
    operation: str = ""
    code: str = "ThrottlingException"
    message: str = "Rate exceeded"
    count: int = 1
    seconds: float = 3.0

    @classmethod
    def read(cls, planted: Mapping[str, Any]) -> Fault:
        """Check what came over the wire; `times` is another word for `count`. Raises BadInput."""
        known = {name: planted[name] for name in cls.__dataclass_fields__ if planted.get(name) is not None}
        if "times" in planted:
            known["count"] = planted["times"]
        if unknown := set(planted) - set(cls.__dataclass_fields__) - {"times"}:
            raise BadInput(f"a fault has no {', '.join(sorted(unknown))}")
        if known.get("kind") not in KINDS:
            raise BadInput(f"no fault is called {known.get('kind')!r}", hint=f"one of {', '.join(KINDS)}")
        fault = cls(**known)
        if not isinstance(fault.count, int) or fault.count < 1:
            raise BadInput(f"count is {fault.count!r}, expected a number from 1")
        if fault.kind == "api-error" and not fault.operation:
            raise BadInput("an api-error needs the operation it strikes", hint="for instance CreateModel")
        return fault


@dataclass
class Faults:
    """What is planted now. Thread-safe."""

    _planted: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plant(self, fault: Fault) -> None:
        with self._lock:
            self._planted.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._planted.clear()

    def as_data(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._planted]

    def strike(self, *kinds: str, endpoint: str = "", operation: str = "") -> Fault | None:
        """The first planted fault of these kinds that fits, used up once."""
        with self._lock:
            for place, fault in enumerate(self._planted):
                fits = fault.endpoint in ("", endpoint) and fault.operation in ("", operation)
                if fault.kind in kinds and fits:
                    left = [replace(fault, count=fault.count - 1)] if fault.count > 1 else []
                    self._planted[place : place + 1] = left
                    return fault
        return None


def spoil(data: bytes) -> bytes:
    """The planted fault `wrong-answers`: every number of a JSON answer is another one; anything else is cut in half."""
    try:
        return json.dumps(_spoil(json.loads(data))).encode()
    except ValueError:
        return data[: len(data) // 2]


def _spoil(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _spoil(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_spoil(member) for member in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return value + 1 if isinstance(value, int) else value * 1.5 + 1.0
