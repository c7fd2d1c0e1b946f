"""One JSON object a line on standard output: what log collectors of clouds and clusters read."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

MOST_A_SECOND = 100


def say(event: str, **facts: Any) -> None:
    """Write one line; `event` is a stable word, `facts` what a reader needs. What is not plain ASCII is escaped: a line
    may hold what a stranger sent, and a terminal obeys control characters."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
    sys.stdout.write(json.dumps(line, separators=(",", ":")).replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()


class RefusalLog:
    """Refused requests, each with its reason, at most so many lines a second: nobody fills a disk by being refused."""

    def __init__(self, most: int = MOST_A_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._second, self._told, self._silent = 0.0, 0, 0

    def say(self, status: int, route: str, reason: str) -> None:
        """One refused request."""
        now = self._clock()
        if now - self._second >= 1:
            if self._silent:
                say("more requests refused", count=self._silent)
            self._second, self._told, self._silent = now, 0, 0
        if self._told >= self._most:
            self._silent += 1
            return
        self._told += 1
        say("request refused", status=status, route=route, reason=reason)
