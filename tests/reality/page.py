"""Writes docs/architecture/reality.md from the scenarios, the golden files and the table of differences.

python -m tests.reality.page
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.reality import golden_files
from tests.reality.catalog import ALL
from tests.reality.differences import DIFFERENCES, REASONS, REFUSALS

PAGE = Path(__file__).parents[2] / "docs" / "architecture" / "reality.md"
HEAD = """# The embedded engine beside the real Pulumi CLI

Written by `tests/reality/page.py` from what `tests/reality/test_scenarios.py` checks; the CLI is the one that
`tests/reality/pulumi/go.mod` pins. Compared are operations, counts, outputs, calls that change something, what is in
the cloud, pending operations and the whole checkpoint but for times and random parts. Order among independent
resources is no promise of either engine.

| scenario | what happens | ours |
|---|---|---|
"""


def rows() -> Iterator[str]:
    for name, (group, _, run) in ALL.items():
        words = " ".join((run.__doc__ or "").split())
        yield f"| {group}: {name} | {words} | {verdict(group, name)} |\n"


def verdict(group: str, name: str) -> str:
    if name in REFUSALS:
        return f"refused by name: {REFUSALS[name].words}"
    if not golden_files.place(group, name).exists():
        return "not recorded on the CLI yet"
    reasons = [difference.reason for difference in DIFFERENCES.get(name, ())]
    return f"differs: {', '.join(dict.fromkeys(reasons))}" if reasons else "same"


def page() -> str:
    """The whole page."""
    reasons = "".join(f"| {name} | {words} |\n" for name, words in REASONS.items())
    return f"{HEAD}{''.join(rows())}\n## Why it differs\n| | |\n|---|---|\n{reasons}"


if __name__ == "__main__":
    PAGE.write_text(page())
