"""Which of the distributions that pip resolved are reached when some are left out.

A library may declare a client for a download service that serving never opens; with it goes what only it needs.
Requirements and markers: packaging.python.org/en/latest/specifications/dependency-specifiers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Reached = tuple[str, frozenset[str]]
"""A distribution's name and the extras asked of it."""


def find_needed(
    installed: Iterable[Mapping[str, Any]], requirements: Iterable[str], without: Collection[str], python: str
) -> frozenset[str]:
    """Names reached from the `requirements` over pip's report of what it would install."""
    declared = {
        str(canonicalize_name(item["metadata"]["name"])): item["metadata"].get("requires_dist") or ()
        for item in installed
    }
    dropped = {str(canonicalize_name(name)) for name in without}
    waiting = [reach(Requirement(line)) for line in requirements]
    seen: set[Reached] = set()
    while waiting:
        one = waiting.pop()
        name, extras = one
        if one in seen or name in dropped or name not in declared:
            continue
        seen.add(one)
        wanted = (Requirement(line) for line in declared[name])
        waiting += [reach(each) for each in wanted if holds(each, extras, python)]
    return frozenset(name for name, _ in seen)


def reach(requirement: Requirement) -> Reached:
    """Whom a requirement asks for."""
    return str(canonicalize_name(requirement.name)), frozenset(requirement.extras)


def holds(requirement: Requirement, extras: Collection[str], python: str) -> bool:
    """Whether a requirement counts in the image: Linux, x86-64, its Python, and these extras."""
    if requirement.marker is None:
        return True
    image: dict[str, str] = {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return any(requirement.marker.evaluate({**image, "extra": extra}) for extra in ("", *extras))
