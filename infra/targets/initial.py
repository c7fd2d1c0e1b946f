"""Which release an endpoint is created on."""

from __future__ import annotations

from collections.abc import Sequence

from infra.targets.base import Declared
from modelpack.errors import BadInput, Problem


def initial_release(releases: Sequence[Declared]) -> Declared | None:
    """The release that the endpoint is created on: the marked one, else the last; None without any."""
    marked = [release for release in releases if release.initial]
    keys = [release.key for release in releases]
    problems = []
    if len(marked) > 1:
        problems.append(
            Problem(f"only one release may be the initial one, got {', '.join(one.key for one in marked)}")
        )
    if len(set(keys)) != len(keys):
        problems.append(Problem(f"releases must have different keys, got {', '.join(keys)}"))
    if problems:
        raise BadInput(problems)
    return next(iter(marked or releases[-1:]), None)
