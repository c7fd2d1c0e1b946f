"""Which process this is, so precisely that a reused process id is not mistaken for it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from infra.lock_owner import start_ticks


@dataclass(frozen=True)
class Process:
    """`started`: clock ticks since boot (proc(5), /proc/pid/stat field 22); `boot`: the kernel's boot id."""

    pid: int
    started: int
    boot: str
    host: str


def this_process() -> Process:
    """The one that asks."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Process(os.getpid(), start_ticks(os.getpid()) or 0, boot, socket.gethostname())


def is_alive(process: Process) -> bool:
    """Whether that very process still runs on this machine."""
    return start_ticks(process.pid) == process.started
