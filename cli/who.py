"""Who is at work here, and what time it is: read where collaborators are made, and nowhere else."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def who() -> str:
    """The user and the machine that a history names."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"{os.getuid()}@{socket.gethostname()}"
