"""A resource that takes its time: it has a state now, and another once a moment has passed. No thread waits for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

GONE = "(gone)"


@dataclass(kw_only=True)
class Record:
    """`fields` in the API's own words, without the status. `until` is in seconds since the epoch."""

    fields: dict[str, Any]
    state: str = "ACTIVE"
    until: float = 0.0
    then: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The state it is in now."""
        if self.then and time.time() >= self.until:
            self.state, self.then = self.then, ""
        return self.state

    @property
    def gone(self) -> bool:
        return self.status == GONE

    def become(self, state: str, then: str, seconds: float) -> None:
        """Be in a state for a while, then in another."""
        self.state, self.then, self.until = state, then, time.time() + seconds
