"""Addresses of pods: 10.77.b.c for the API, which refuses loopback; 127.77.b.c is where it is really served."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from infra.rehearsal.cloud.kubernetes.node_agent.relay import Entrance, Relay
from modelpack.errors import EcomdeployError

API, HERE = "10.77.", "127.77."
HOSTS = range(1, 255)
SPAN = 256 * len(HOSTS)


@dataclass(frozen=True)
class PodAddress:
    """`ip` as the API tells it, and what listens for it."""

    ip: str
    entrance: Entrance


class PodAddresses:
    """Given out in turn, so that one just freed is not soon another's: a caller may not know yet that its pod is gone.

    Each cluster of this machine begins elsewhere, by its folder; a port that another listens on is passed over.
    Thread-safe.
    """

    def __init__(self, relay: Relay, folder: Path) -> None:
        self._relay = relay
        self._next = crc32(str(folder).encode()) % SPAN
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def keep(self, known: Iterable[str]) -> None:
        """These are pods' already, which this agent has not started again yet."""
        with self._lock:
            self._known.update(known)

    def take(self, port: int, before: str = "") -> PodAddress:
        """Listen on `port` of an address: that which the pod had `before`, when nobody took it since.

        Raises EcomdeployError when all are taken."""
        if before.startswith(API):
            try:
                return PodAddress(before, self._open(before, port))
            except OSError:
                pass  # another cluster of this machine has it now
        for _ in range(SPAN):
            with self._lock:
                number = self._next
                self._next = (number + 1) % SPAN
                ip = f"{API}{number // len(HOSTS)}.{HOSTS[number % len(HOSTS)]}"
                if ip in self._known:
                    continue
            try:
                found = PodAddress(ip, self._open(ip, port))
            except OSError:
                continue
            with self._lock:
                self._known.add(ip)
            return found
        raise EcomdeployError(f"all pod addresses {API}0.0/16 are taken")

    def close(self, address: PodAddress) -> None:
        """Refuse new callers, as a machine does whose server has ended; the address stays the pod's."""
        self._relay.close(address.entrance)

    def give_back(self, address: PodAddress) -> None:
        self._relay.close(address.entrance)
        with self._lock:
            self._known.discard(address.ip)

    def _open(self, ip: str, port: int) -> Entrance:
        return self._relay.open(HERE + ip.removeprefix(API), port)
