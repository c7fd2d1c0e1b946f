"""The hardware that images are for, and what this machine is."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPU, CUDA = "cpu", "cuda"


def hardware() -> str:
    """What the figures were taken on: "1 thread of AMD EPYC (2 cores, x86_64)"."""
    model = platform.processor() or "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = named[0] if named else model
    return f"1 thread of {model} ({os.cpu_count()} cores, {platform.machine()})"
