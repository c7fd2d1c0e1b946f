"""Our plain package names must not be shadowed by another distribution in the same environment."""

from __future__ import annotations

import importlib
import pathlib

from cli.checks.base import CheckContext, Finding

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check(context: CheckContext) -> Finding:
    shadowed = [
        name
        for name in ("cli", "stacks", "infra", "modelpack")
        if pathlib.Path(str(importlib.import_module(name).__file__)).resolve().parent != ROOT / name
    ]
    if not shadowed:
        return Finding("packages", "ok", f"cli, stacks, infra and modelpack come from {ROOT}")
    return Finding(
        "packages",
        "failure",
        f"{', '.join(shadowed)} come from another package",
        "install ecomdeploy in its own venv",
    )
