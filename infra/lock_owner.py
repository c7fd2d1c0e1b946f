"""Who holds a stack's lock, as Pulumi writes it down, and whether that process can still be there.

Source: pulumi/pulumi, pkg/backend/diy/lock.go (`lockContent`, and the message of `checkForLock`).
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

TOLD = re.compile(r"created by (?P<user>\S*)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>[0-9T:.+Z-]+)")
SLACK_S = 300.0
"""So far may the wall clock have been set forward while a lock was held."""


@dataclass(frozen=True)
class LockOwner:
    """The process that made the lock. `since`: RFC 3339."""

    user: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"created by {self.user}@{self.host} (pid {self.pid}) at {self.since}"

    def is_here(self) -> bool:
        """Whether it was this machine's."""
        return self.host == socket.gethostname()

    def is_dead(self) -> bool:
        """Whether it was this machine's and is gone; a process that was started later and got its pid is another."""
        if not self.is_here():
            return False
        started = find_start(self.pid)
        return started is None or started > moment(self.since) + SLACK_S


def read_owner(text: str) -> LockOwner | None:
    """The content of a lock file; None when it says no owner (a half-written one, another tool's)."""
    try:
        said = json.loads(text)
        owner = LockOwner(
            str(said["username"]), str(said["hostname"]), int(said["pid"]), str(said["timestamp"])
        )
        moment(owner.since)
    except (ValueError, TypeError, KeyError):
        return None
    return owner


def told_owners(message: str) -> tuple[LockOwner, ...]:
    """Everyone whom the refusal of a locked stack names."""
    return tuple(
        LockOwner(each["user"], each["host"], int(each["pid"]), each["since"])
        for each in TOLD.finditer(message)
    )


def moment(since: str) -> float:
    """Seconds since the epoch. Go writes nanoseconds, of which Python takes six digits; `ValueError`."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", since)).timestamp()


def start_ticks(pid: int) -> int | None:
    """When a process was started (clock ticks since boot), or None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def find_start(pid: int) -> float | None:
    """The same in seconds since the epoch (proc(5): btime of /proc/stat)."""
    ticks = start_ticks(pid)
    if ticks is None:
        return None
    booted = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime ")
    )
    return booted + ticks / os.sysconf("SC_CLK_TCK")
