"""All scenarios: what a module of scenarios defines that takes a bench."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Final

from tests.reality.bench import Bench

GROUPS: Final = ("lifecycle", "replacing", "failures", "kills", "drift", "options", "values", "refused")
Scenario = tuple[str, str, Callable[[Bench], None]]


def scenarios() -> Iterator[Scenario]:
    """Group, name and function."""
    for group in GROUPS:
        module = importlib.import_module(f"tests.reality.scenarios.{group}")
        for name, function in vars(module).items():
            own = inspect.isfunction(function) and function.__module__ == module.__name__
            if own and list(inspect.signature(function).parameters) == ["bench"]:
                yield group, name, function


ALL: Final = {name: (group, name, function) for group, name, function in scenarios()}
