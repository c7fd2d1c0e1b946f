"""A resource that takes its time: it has a state now, and another once a moment has passed. No thread waits for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

GONE = "(gone)"


@dataclass(kw_only=True)
class Record:
    """`fields` in the API's own words, without the status. `until` is in seconds since the epoch, for it outlives the
    daemon; `takes` so many in all."""

    fields: dict[str, Any]
    state: str = "ACTIVE"
    until: float = 0.0
    takes: float = 0.0
    then: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The state it is in now."""
        return self.status_at(time.time())

    def status_at(self, now: float) -> str:
        """The state it is in, if it is looked at then. A clock that was put back makes nothing take longer."""
        if self.then and not self.until - self.takes <= now < self.until:
            self.state, self.then = self.then, ""
        return self.state

    @property
    def gone(self) -> bool:
        return self.status == GONE

    def become(self, state: str, then: str, seconds: float) -> None:
        """Be in a state for a while, then in another."""
        self.state, self.then, self.takes, self.until = state, then, seconds, time.time() + seconds
