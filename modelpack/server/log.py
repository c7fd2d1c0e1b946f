"""One JSON object a line on standard output: what log collectors of clouds and clusters read."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import msgspec


def say(event: str, **facts: Any) -> None:
    """Write one line; `event` is a stable word, `facts` what a reader needs."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
