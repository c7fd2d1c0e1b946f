"""`python -m benchmarks [name ...]`: run benchmarks and write benchmarks/results/<name>.json.

Each is a module of this folder with `measure() -> dict`. Figures are medians; comparisons are paired and interleaved.
One that may have `lacks() -> str` says there why it cannot be measured on this machine, and is then passed over; one
with `write_page(figures)` writes a page of docs/ from them.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import benchmarks

SLICED = ("optimize", "usecases")
"""Taken a use case at a time: what follows their name are use cases, and each has a result of its own in the file."""
RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "pulumi",
    "pulumi-aws",
    "boto3",
    "moto",
    "torch",
    "onnx",
    "onnxruntime",
    "numpy",
    "zstandard",
    "uvicorn",
)


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "loop_s": round(statistics.median(spend_loop() for _ in range(5)), 3),
    }


def spend_loop() -> float:
    """CPU seconds of a loop of Python: how fast this machine is just now, for a shared one is not always as fast."""
    began = time.process_time()
    sum(number * number for number in range(1_000_000))
    return time.process_time() - began


def main(names: list[str]) -> int:
    # as the Makefile does: an installed program has its bytecode, and most benchmarks start many
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    every = (found.name for found in pkgutil.iter_modules(benchmarks.__path__))
    known = [name for name in every if not name.startswith("_") and not name.endswith("_program")]
    passed_over = 0
    if names and names[0] in SLICED:
        return int(importlib.import_module(f"benchmarks.{names[0]}").main(names[1:]))
    for name in names or [one for one in known if one not in SLICED]:
        if name not in known:
            print(f"no benchmark {name!r}; known: {', '.join(known)}", file=sys.stderr)
            return 2
        print(f"--- {name}", file=sys.stderr)
        module, here = importlib.import_module(f"benchmarks.{name}"), machine()
        if why := getattr(module, "lacks", str)():
            print(f"{name}: {why}", file=sys.stderr)
            passed_over += 1
            continue
        figures = module.measure()
        document = {
            "benchmark": name,
            "taken": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": here,
            "versions": {package: version(package) for package in PACKAGES},
            "figures": figures,
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
        if write_page := getattr(module, "write_page", None):
            write_page(figures)
        print(json.dumps(figures, indent=1))
    return 1 if names and passed_over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
