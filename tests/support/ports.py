"""A port for a server that must be told one."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 8000, 14999
"""Below those that the system gives to connections, which would take it before the server does, and below the local
cloud's own."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, another one each time."""
    generator = random.SystemRandom()
    while True:
        port = generator.randint(LOWEST, HIGHEST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
