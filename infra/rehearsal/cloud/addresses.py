"""Where the local cloud answers, and whom it is: what client and daemon agree on."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
ACCOUNT = "123456789012"
REGION = "us-east-1"
LOWEST_PORT, PORTS = 15000, 16000
ACCESS_KEY = "local"
"""The access key id of the account's owner; the secret key is the home's own."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """TCP ports on 127.0.0.1."""

    aws: int
    registry: int

    @property
    def aws_url(self) -> str:
        return f"http://{LOOPBACK}:{self.aws}"

    @property
    def registry_url(self) -> str:
        return f"http://{LOOPBACK}:{self.registry}"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A process that cannot be confused with a later one of the same number: `started` is in ticks since boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process as it is now, or None when there is none (a zombie is none)."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else cls(pid=pid, started=int(fields[19]))

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self


def free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def list_free_ports(folder: Path) -> Iterator[int]:
    """Below the ephemeral range; for the same folder the same each time, as long as they are free."""
    seed = int.from_bytes(hashlib.sha256(os.fsencode(folder)).digest()[:4], "big")
    candidates = (LOWEST_PORT + (seed + step) % PORTS for step in range(PORTS))
    return (port for port in candidates if free(port))


def is_released(port: int, seconds: float = 2) -> bool:
    """Whether a port can be listened on; a daemon that just ended may hold it for another moment."""
    deadline = time.monotonic() + seconds
    while not free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
