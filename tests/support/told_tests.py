"""What a process of a test run is at, written as it goes: one that dies leaves the name of its test behind, how much
memory it had, and the stack on which SIGTERM met it. At a test's end: wall seconds, processor seconds of the process
and of the children it has waited for, and the most memory that it ever had.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest


@dataclass(frozen=True)
class Spent:
    """Seconds so far."""

    wall: float
    own: float
    children: float

    @classmethod
    def now(cls) -> Spent:
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return cls(time.monotonic(), own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime)

    def since(self) -> str:
        now = Spent.now()
        return (
            f"{now.wall - self.wall:.1f} s, processor {now.own - self.own:.1f} s"
            f" and {now.children - self.children:.1f} s of children"
        )


class TestTeller:
    """A plug-in of pytest that writes into one file, a line at a time."""

    __test__ = False

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def into(cls, path: Path) -> TestTeller:
        """Begin the file anew."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", buffering=1)
        faulthandler.register(signal.SIGTERM, file, chain=True)
        return cls(file)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began = Spent.now()
        self._say(item, f"begins with {_memory('VmRSS')}")
        try:
            return (yield)
        finally:
            self._say(item, f"took {began.since()}; at most {_memory('VmHWM')}")

    def _say(self, item: pytest.Item, words: str) -> None:
        self._file.write(f"{time.strftime('%H:%M:%S')} [{os.getpid()}] {item.nodeid} {words}\n")


def _memory(kind: str) -> str:
    """As the kernel counts it (proc_pid_status(5))."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(kind))
    return f"{int(line.split()[1]) / 1e6:.2f} GB"
