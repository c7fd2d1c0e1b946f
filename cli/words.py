"""Outcomes as sentences: plain words, the same everywhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from modelpack.progress import tell_size

if TYPE_CHECKING:
    from stacks.pulumi_driver.driver import Change
    from stacks.run import Outcome
    from stacks.spec import Spec

PAST = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted", "read": "read"}


def verdict(done: Outcome) -> str:
    """One line that says what is now."""
    release = done.release
    if release is None:
        return f"{done.spec.name}: {'; '.join(done.problems) or 'nothing is deployed'}."
    proof = "verified through the route" if done.verified else "not verified"
    restored = f" (the bytes of release {release.restores})" if release.restores else ""
    name, number = done.spec.name, release.number
    sentences = {
        "live": f"{name}: release {number} is live, {proof}.",
        "updated": f"{name}: release {number} stays live, {proof}; {describe_update(done)}.",
        "nothing to do": f"{name}: nothing to do. Release {number} is live, {proof}.",
        "rolled back": f"{name}: release {number}{restored} is live, {proof}.",
        "removed": f"{name}: the endpoint and all its releases are gone; the history stays.",
    }
    return sentences.get(done.done, f"{name}: release {number}{restored} is {release.state}, {proof}.")


def describe_update(done: Outcome) -> str:
    """What became of a release that was live already and still is."""
    if done.changes or not done.pushed_bytes:
        return "what stands around it was updated"
    return f"{tell_size(done.pushed_bytes)} that the registry lacked of its image or record were pushed"


def changes_in_words(changes: Iterable[Change]) -> str:
    """'3 created, 1 updated'."""
    counts = Counter("taken over" if change.found else PAST.get(change.op, change.op) for change in changes)
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "nothing"


def list_changes(changes: Iterable[Change]) -> list[list[str]]:
    """A row per change: operation, kind, name, and what differs."""
    return [
        [
            "take over" if change.found else change.op,
            change.type,
            change.name,
            ", ".join(change.replaces or change.keys),
        ]
        for change in changes
    ]


def align(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of plain aligned columns: they read the same on a terminal and in a pipe."""
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    for row in [columns, *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


COMMAND = re.compile(
    r"\becomdeploy (?:(?P<option>approve|releases show|rollback)"
    r"|platform (?:down|plan|up)|down|logs|pack|plan|predict|recover|releases|status|up)"
    r"(?=$|[`\n,;:.)]| -| \(|  | \[?[\dN])(?! [\dN]+ -e )"
)
"""A command on one environment, which it does not name yet. Some have an option for it."""


def in_environment(text: str, name: str) -> str:
    """The text with its commands as they are typed for that environment; `local` is the one that needs no name."""
    if name == "local":
        return text
    return COMMAND.sub(lambda found: f"{found[0]} {'-e ' if found['option'] else ''}{name}", text)


def describe_place(spec: Spec) -> str:
    """Where it is shipped to, for whoever has to say yes to it."""
    place = spec.environment
    if place.cluster:
        return f"the cluster of context {place.context}, namespace {place.namespace}"
    return f"AWS account {place.account}"
