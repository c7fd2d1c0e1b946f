"""Counts what a process does that outlasts it, and ends it, or tears its wire, at the n-th.

What outlasts a process is what it sends to a cloud and what it changes on disk. Python tells of both (`sys.audit`: a
rename, a removal, a request of http.client; httpcore's log: a request of httpx), so nothing of ours is replaced and
no list of points is kept. A process that is killed before its n-th effect leaves what one leaves that was killed
after its (n-1)-th, with the answer on its way: nothing but effects is left of a killed process.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.aws.calls import READING
from modelpack.home import DURABLE

REQUEST = re.compile(rb"(POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n")
TARGET = re.compile(rb"\r\nx-amz-target: [\w.]*?(\w+)\r\n", re.I)
FORM = re.compile(rb"\r\ncontent-type: application/x-www-form-urlencoded", re.I)
ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
OPERATION = re.compile(r"/operation/(\w+)$")
LOGGED = re.compile(r"(send_request_headers\.started|receive_response_headers\.complete)(?:.*b'(\w+)')?")
KILL, CUT, STOP, BEFORE, AFTER = "kill", "power cut", "stop", "before", "after"


@dataclass
class Fuse:
    """`at`: the n-th effect (0: none), or for a torn wire the n-th mutating call; `when`: instead, the
    `at`-th effect after one by name.

    `how`: KILL; CUT: what was not synced to disk is lost too; STOP: until SIGCONT; BEFORE, AFTER: the wire tears before
    the call was sent, or when the cloud has carried it out, `lasts` times in a row. `tell` hears of every effect;
    `within`: folders that belong to the project.
    """

    at: int
    how: str
    within: tuple[Path, ...]
    tell: Callable[[str], None]
    lasts: int = 1
    when: str = ""
    count: int = 0
    over: bool = False
    unsynced: dict[str, bytes | None] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    awaited: set[int] = field(default_factory=set)
    """Connections whose request's body is still to come."""
    torn: threading.local = field(default_factory=threading.local)

    def arm(self) -> None:
        """From now on, for good: what listens to audits cannot be taken away again."""
        sys.addaudithook(self.hear)
        logs = _Wire(self)
        for name in ("httpcore.http11", "httpcore2.http11", "urllib3.connectionpool"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.DEBUG)
            logger.propagate = False
            logger.addHandler(logs)

    # ---- what is heard ----

    def hear(self, event: str, given: tuple[Any, ...]) -> None:
        if self.over:
            return
        if event == "os.rename":
            self.change(str(given[1]))
        elif event == "os.remove":
            self.change(str(given[0]))
        elif event == DURABLE:
            self.sync(str(given[0]))
        elif event == "http.client.send":
            self.send(id(given[0]), bytes(given[1]) if isinstance(given[1], bytes | bytearray) else b"")

    def send(self, connection: int, data: bytes) -> None:
        """Some bytes of a request of http.client."""
        if connection in self.awaited:
            self.awaited.discard(connection)
            if action := ACTION.search(data):
                self.call(action[1].decode())
            return
        if not (request := REQUEST.match(data)):
            return
        if target := TARGET.search(data):
            self.call(target[1].decode())
        elif FORM.search(data):
            if action := ACTION.search(data.partition(b"\r\n\r\n")[2]):
                self.call(action[1].decode())
            else:
                self.awaited.add(connection)
        else:
            path = request[2].decode()
            operation = OPERATION.search(path)
            self.call(operation[1] if operation else f"{request[1].decode()} {path}")

    def log(self, package: str, words: str) -> None:
        """A line of httpcore's (the package is of that name, or httpcore2) or urllib3's log. What tears the wire is
        raised in the words of who writes it, who turns the system's into these further down."""
        try:
            if not (logged := LOGGED.match(words)):
                if self.how == AFTER and '" ' in words:
                    self.answer()
            elif logged[1].startswith("receive"):
                self.answer()
            elif logged[2] in ("POST", "PUT", "PATCH", "DELETE"):
                self.call(f"{logged[2]} by httpx")
        except ConnectionResetError as error:
            if package == "urllib3":
                raise
            raise sys.modules[package].ReadError(str(error)) from error

    # ---- effects ----

    def call(self, what: str) -> None:
        """A request that is about to be sent."""
        self.torn.after = False
        if READING.match(what) or what.endswith("/invocations"):
            return
        with self.lock:
            self.count += 1
            number = self.count
        self.tell(f"call {what}")
        if self.when == f"call {what}":
            self.at, self.when = self.count + self.at, ""
        self.blow(number)
        if self.strikes(number) and self.how == BEFORE:
            raise ConnectionResetError("the wire is torn")
        self.torn.after = self.strikes(number) and self.how == AFTER

    def answer(self) -> None:
        """The cloud has carried out what this thread asked for."""
        if getattr(self.torn, "after", False):
            self.torn.after = False
            raise ConnectionResetError("the wire is torn")

    def strikes(self, number: int) -> bool:
        return 0 < self.at <= number < self.at + self.lasts

    def change(self, path: str) -> None:
        """A file of the project that is about to be another, or gone."""
        if not any(Path(path).is_relative_to(one) for one in self.within):
            return
        with self.lock:
            if self.how in (KILL, CUT, STOP):
                self.count += 1
                self.tell(f"file {Path(path).name}")
            number = self.count
        self.blow(number)
        self.unsynced.setdefault(path, read(path))

    def sync(self, path: str) -> None:
        """A file, or all that was changed in a folder, is on disk for good."""
        for one in [one for one in self.unsynced if one == path or os.path.dirname(one) == path]:
            del self.unsynced[one]

    def blow(self, number: int) -> None:
        if self.when:
            return
        if self.how == STOP and number == self.at:
            self.tell("stopped")
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.how not in (KILL, CUT) or not 0 < self.at <= number:
            return
        with self.lock:  # one thread does it, and nobody goes on
            if self.how == CUT:
                self.lose()
            os.kill(os.getpid(), signal.SIGKILL)

    def lose(self) -> None:
        """What was not synced is what it was before."""
        self.over = True  # what follows is no effect of the command's
        for path, was in self.unsynced.items():
            if was is None:
                Path(path).unlink(missing_ok=True)
            else:
                Path(path).write_bytes(was)


class _Wire(logging.Handler):
    """Hands lines on; what the fuse raises goes to who wrote them."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__(logging.DEBUG)
        self.fuse = fuse

    def emit(self, record: logging.LogRecord) -> None:
        self.fuse.log(record.name.partition(".")[0], record.getMessage())


def read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
