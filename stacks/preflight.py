"""What the place lacks for a service, told by `plan` and refused by `up` before anything is sent (infra/preflight)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from infra.preflight.base import Lack, Looked
from modelpack.errors import CloudRefused, EcomdeployError
from modelpack.progress import Progress


def describe_lacks(looked: Sequence[Looked], *, stops: bool) -> list[str]:
    """Those that stop everything, or those that do not, each with what to type."""
    return [
        f"{one.name.replace('_', ' ')}: {lack.what} ({lack.hint})"
        for one in looked
        for lack in one.lacks
        if lack.stops is stops
    ]


def find_lack(looked: Sequence[Looked]) -> Lack | None:
    """The first that stops everything."""
    return next((lack for one in looked for lack in one.lacks if lack.stops), None)


def refuse_lacking(looked: Sequence[Looked], progress: Progress, whose: str = "a release") -> None:
    """Raises CloudRefused with all that is lacking; what is only worth knowing is told."""
    for note in describe_lacks(looked, stops=False):
        progress.note(note)
    if lacking := describe_lacks(looked, stops=True):
        raise refusal(lacking, whose)


def refusal(lacking: Sequence[str], whose: str = "a release") -> CloudRefused:
    what = "\n".join((f"the cluster lacks what {whose} needs:", *(f"  {one}" for one in lacking)))
    return CloudRefused(what, hint="nothing was changed; `ecomdeploy doctor ENV` looks again")


@contextmanager
def tell_lacks(looked: Sequence[Looked]) -> Iterator[None]:
    """Where a look fails and something is lacking, that is why: all of it is told instead."""
    try:
        yield
    except EcomdeployError as error:
        if lacking := describe_lacks(looked, stops=True):
            raise refusal(lacking) from error
        raise


def warn_of_lacks(looked: Sequence[Looked]) -> list[str]:
    """The same in a plan's notes."""
    refused = [f"`up` will refuse: {one}" for one in describe_lacks(looked, stops=True)]
    return [*refused, *describe_lacks(looked, stops=False)]
