"""Which code a daemon runs. After an upgrade under one that runs, what it says of itself is not what lies here."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

SOURCES = Path(__file__).parent
"""The local cloud's own code: the daemon's, and that of the programs which it starts."""


def name_sources(folder: Path = SOURCES) -> str:
    """16 hex digits of the Python files below `folder`, by name and content. Each command asks once: names are text
    here, for Paths took half of the time."""
    total, top = hashlib.sha256(), os.fspath(folder)
    for root, folders, files in os.walk(top):
        folders.sort()
        for path in sorted(f"{root}/{name}" for name in files if name.endswith(".py")):
            with open(path, "rb") as source:
                content = source.read()
            total.update(f"{path[len(top) + 1 :]}\0{len(content)}\0".encode())
            total.update(content)
    return total.hexdigest()[:16]
