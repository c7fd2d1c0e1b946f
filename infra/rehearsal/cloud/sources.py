"""Which code a daemon runs. After an upgrade under one that runs, what it says of itself is not what lies here."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

SOURCES = Path(__file__).parent
"""The local cloud's own code: the daemon's, and that of the programs which it starts."""


def name_sources(folder: Path = SOURCES) -> str:
    """16 hex digits of the Python files below `folder`, by name and content."""
    total = hashlib.sha256()
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(name for name in files if name.endswith(".py")):
            path = Path(root, file)
            content = path.read_bytes()
            total.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:16]
