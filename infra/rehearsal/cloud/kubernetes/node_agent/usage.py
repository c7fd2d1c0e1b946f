"""What model servers use, from /proc: seconds of CPU and bytes of memory of each with all that it started.

man 5 proc; what a metrics server makes of it: kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

EVERY_SECONDS, WINDOW_SECONDS = 5.0, 15.0
PROC = Path("/proc")


@dataclass(frozen=True)
class UsageRate:
    """`cores` over the last `seconds`, and `memory` in bytes at their end."""

    cores: float
    memory: int
    seconds: float


def tree(keeper: int, proc: Path = PROC) -> list[int]:
    """All that a server's keeper started, without the keeper itself, which is no part of the container."""
    found, open_ = [], [keeper]
    while open_:
        pid = open_.pop()
        try:
            for task in (proc / str(pid) / "task").iterdir():
                children = [int(one) for one in (task / "children").read_text().split()]
                found += children
                open_ += children
        except (OSError, ValueError):
            continue  # it ended meanwhile
    return found


def measure(keeper: int, proc: Path = PROC) -> tuple[float, int]:
    """Seconds of CPU so far, of children that ended too, and bytes of memory now."""
    ticks = pages = 0
    for pid in tree(keeper, proc):
        try:
            fields = (proc / str(pid) / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        ticks += sum(int(one) for one in fields[11:15])
        pages += int(fields[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


@dataclass
class UsageMeter:
    """Looks at every running server now and then. `keepers`: their pids, by any name."""

    keepers: Callable[[], Mapping[str, int]]
    _seen: dict[str, deque[tuple[float, float, int]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> UsageMeter:
        """Begin; returns itself."""
        threading.Thread(target=self._run, name="usage", daemon=True).start()
        return self

    def _run(self) -> None:
        while True:
            self.look(time.monotonic())
            time.sleep(EVERY_SECONDS)

    def look(self, moment: float, proc: Path = PROC) -> None:
        """Measure once."""
        keepers = self.keepers()
        found = {name: measure(pid, proc) for name, pid in keepers.items()}
        with self._lock:
            for name in set(self._seen) - set(found):
                del self._seen[name]
            for name, (spent, memory) in found.items():
                row = self._seen.setdefault(name, deque())
                row.append((moment, spent, memory))
                while len(row) > 2 and row[1][0] <= moment - WINDOW_SECONDS:
                    row.popleft()

    def rate(self, name: str) -> UsageRate | None:
        """None before it was seen twice."""
        with self._lock:
            row = self._seen.get(name)
            if row is None or len(row) < 2:
                return None
            (began, before, _), (ended, after, memory) = row[0], row[-1]
        return UsageRate(max(0.0, after - before) / (ended - began), memory, ended - began)
