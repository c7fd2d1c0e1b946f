"""What is read off an object of any kind, and how the API writes times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra.kubernetes.client import Object


def condition(obj: Object, kind: str) -> Mapping[str, Any]:
    """One condition of an object's status, its type in any case; empty where it has none of that kind."""
    listed = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in listed if str(one.get("type", "")).lower() == kind.lower()), {})


def now() -> str:
    """This moment, by the second: metav1.Time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_now() -> str:
    """This moment, by the microsecond: metav1.MicroTime, as leases have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
