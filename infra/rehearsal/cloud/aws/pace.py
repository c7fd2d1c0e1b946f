"""The local cloud's time: what AWS waits for in minutes, a rehearsal waits for in seconds.

One number for everything that waits or counts in periods: bakes and termination waits of an endpoint, periods of alarms
and of metrics. It never shortens what really takes time here, a model server's start above all, and there is nothing
of it on AWS.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from modelpack.errors import BadInput

PACE = 60.0
"""Seconds of AWS's that pass in one of ours: a minute's period is a second, a bake of five minutes five seconds."""
VARIABLE = "ECOMDEPLOY_CLOUD_PACE"
SLOWEST, FASTEST = 1e-6, 3600.0
"""The slowest nearly stands still, which is for tests."""
MINUTE = 60_000


def read_pace(asked: object) -> float:
    """The number in a variable or a request. Raises BadInput."""
    try:
        pace = float(asked)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pace = 0.0
    if not SLOWEST <= pace <= FASTEST:
        what = f"the pace is {asked!r}, expected a number from {SLOWEST:g} to {FASTEST:g}"
        raise BadInput(what, hint="1 is AWS's own pace, 60 makes a second of a minute")
    return pace


def describe_pace(pace: float) -> str:
    """The pace in words for a terminal."""
    if pace == 1:
        return "bakes and alarm periods last as long as on AWS"
    return f"bakes and alarm periods are shortened: a minute of AWS's passes in {60 / pace:.3g} s"


@dataclass
class CloudClock:
    """Thread-safe. `usual` is the pace after a start and after a reset."""

    usual: float = PACE
    _pace: float = field(init=False)
    _passed: float = 0.0
    _since: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._pace = self.usual

    @property
    def pace(self) -> float:
        return self._pace

    def set(self, pace: float) -> None:
        """From now on; what has passed stays passed."""
        with self._lock:
            self._passed, self._since = self._read(), time.monotonic()
            self._pace = pace

    def now(self) -> float:
        """Seconds of AWS's that have passed since this clock was made."""
        with self._lock:
            return self._read()

    def wall(self) -> int:
        """Milliseconds since the epoch, by this machine's clock: what metrics are stamped with."""
        return int(time.time() * 1000)

    def shorten(self, seconds: float) -> float:
        """How long so many seconds of AWS's last here."""
        return seconds / self._pace

    @property
    def minute(self) -> int:
        """Milliseconds that a minute of AWS's lasts here."""
        return max(1, round(MINUTE / self._pace))

    def period(self, seconds: float) -> int:
        """Milliseconds that a period of so many seconds of AWS's lasts here: whole minutes are exactly that."""
        return max(1, int(self.minute * seconds) // 60)

    def _read(self) -> float:
        return self._passed + (time.monotonic() - self._since) * self._pace


def keep_pace(clock: CloudClock, state: dict[str, Any], pace: float) -> None:
    """Set the pace, so that a restart finds it again."""
    clock.set(pace)
    state["pace"] = pace
