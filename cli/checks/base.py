"""What a doctor check is: one file in this folder with a `check` function. A new check needs no edit elsewhere."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelpack.home import Home

Severity = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """What a check saw. `remedy` is what to type; needed unless all is well."""

    name: str
    severity: Severity
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class CheckContext:
    """What is examined: the project's folder and the user's folders; `local_cloud` says where the local cloud answers,
    in words, empty when it does not run."""

    folder: Path
    home: Home
    local_cloud: Callable[[], str]


def examine(context: CheckContext) -> Iterator[Finding]:
    """Run every check of this package, by file name, each fenced off: a check that crashes is a finding too."""
    import cli.checks as package

    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        if module.name == "base":
            continue
        try:
            yield importlib.import_module(f"cli.checks.{module.name}").check(context)
        except Exception as error:
            yield Finding(module.name, "warning", f"the check itself failed: {type(error).__name__}: {error}")
