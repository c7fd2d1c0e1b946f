"""Ctrl-C while the Pulumi CLI works: it has had the signal too and ends in order, so it is waited for.

`pulumi.automation` would leave at once and take the pipes away that the CLI writes to. That breaks it off, and what
was under way is left as a pending operation, with the lock.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from modelpack.progress import Progress

T = TypeVar("T")
POLL_S = 0.05


@dataclass
class AwaitedCall(Generic[T]):
    """A call in a thread of its own.

    The main thread takes no lock that is written in Python (`threading.Event`, `Thread.join`): a Ctrl-C inside one
    can leave it held for ever.
    """

    call: Callable[[], T]
    thread: int = 0
    """The kernel's id of the thread."""
    results: list[T] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def run(self) -> None:
        self.thread = threading.get_native_id()
        try:
            self.results.append(self.call())
        except BaseException as error:
            self.failures.append(error)

    def wait(self) -> None:
        while not (self.results or self.failures):
            time.sleep(POLL_S)

    def pass_on(self, interruption: KeyboardInterrupt) -> None:
        """A signal that only this process was sent (SIGTERM) goes on to the commands of the thread, as Ctrl-C.

        A terminal's Ctrl-C reached them already, and a second one would break them off.
        """
        if signal.SIGTERM not in interruption.args:
            return
        with suppress(OSError):
            for child in Path(f"/proc/self/task/{self.thread}/children").read_text().split():
                os.kill(int(child), signal.SIGINT)


def in_order(call: Callable[[], T], progress: Progress) -> T:
    """Do the call. The first interruption is told, and passed on when the call is done; the second at once.

    Raises:
        KeyboardInterrupt, and whatever `call` raises.
    """
    work = AwaitedCall(call)
    try:
        _thread.start_new_thread(work.run, ())
        work.wait()
    except KeyboardInterrupt as interruption:
        work.pass_on(interruption)
        progress.note("interrupted: what is under way ends first; Ctrl-C again breaks it off")
        try:
            work.wait()
        except KeyboardInterrupt as again:
            work.pass_on(again)
            raise
        raise
    if work.failures:
        raise work.failures[0]
    return work.results[0]
