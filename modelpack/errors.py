"""The error tree. Every error says what happened, where, and what to type next.

    EcomdeployError            1   something failed
    ├── BadInput               2   the user's text or files; carries every problem found at once
    ├── Locked                 3   another `ecomdeploy` is at work
    ├── Unhealthy              4   a release did not verify and was rolled back
    ├── CloudRefused           5   credentials, quota, capacity
    └── NotApproved            6   a release that waited for approval was refused, or nobody answered

The number is the process's exit code (documented in docs/exit-codes.md, stable).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file: `where` is `file:line`, `path` the key's dotted path ("scale.max")."""

    what: str
    where: str = ""
    path: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        key = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{key}{self.what}{hint}"


class EcomdeployError(Exception):
    """Base of all errors a user may see. `hint` is the next command to type, or a fact that helps."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class BadInput(EcomdeployError):
    """The spec, an argument or a file is wrong. All problems of a file come together."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str, *, where: str = "", hint: str = "") -> None:
        listed = (Problem(problems, where),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in listed), hint=hint)
        self.problems = listed


class Locked(EcomdeployError):
    """Another writer holds the lease."""

    exit_code = 3


class Unhealthy(EcomdeployError):
    """A release did not become healthy; traffic is back on (or never left) the previous one."""

    exit_code = 4


class CloudRefused(EcomdeployError):
    """The cloud said no: credentials, account guard, quota or capacity."""

    exit_code = 5


class NotApproved(EcomdeployError):
    """A release that waited for approval was refused, or nobody answered in time. It has no traffic."""

    exit_code = 6


def first_line(error: BaseException) -> str:
    """An error's first line, or its absence in words."""
    return (str(error).strip() or "no reason given").splitlines()[0]
