"""Writes docs/architecture/reality.md from the scenarios, the golden files, the tables and the cut-offs.

ECOMDEPLOY_TEST_RECORD=1 .venv/bin/python -m pytest tests/reality/test_scenarios.py -k page
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.infra.engine.embedded_alone import EMBEDDED_ALONE
from tests.reality import golden_files
from tests.reality.catalog import ALL
from tests.reality.cut_offs import CutOffs, read
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


BOTH = """
## Tests of the engine that the CLI does not take

All others of `tests/infra/engine` that drive a stack through the Automation API run on both, and so do the driver's own
(`tests/stacks/test_automation_driver.py`): on the CLI a sample, with `make test-reality ALL=1` all.

| test | why not |
|---|---|
"""
CUT_OFF = """
## The driver on the CLI, cut off

`make test-reality KILLS=all` cuts `up` and `destroy` of each stack off at every mutating call, and whole commands
(`up` and `down --all`; lease, push and route included) at every line that they say, with a provider that adopts
nothing, as AWS's own. A point has converged when the next run made what an undisturbed one makes, all of it in the
state, and `destroy` left nothing in the cloud's own lists. CI takes a sample. `SIGKILL` ends the driver and the CLI,
`SIGINT` is Ctrl-C.

| of | by | points of `up`, `destroy` | converged | last on |
|---|---|---|---|---|
"""


def tell(one: CutOffs) -> str:
    whole = len(one.converged) == one.points
    which = "all" if whole else ", ".join(map(str, one.converged))
    counts = f"{len(one.converged)} of {one.points}: {which}"
    return f"| {one.program} | {one.signal} | {one.ups}, {one.downs} | {counts} | {one.on} |\n"


def page() -> str:
    """The whole page."""
    reasons = "".join(f"| {name} | {words} |\n" for name, words in REASONS.items())
    cut_offs = "".join(tell(one) for one in read().values())
    alone = "".join(f"| {name} | {why} |\n" for name, why in EMBEDDED_ALONE.items())
    return f"{HEAD}{''.join(rows())}\n## Why it differs\n| | |\n|---|---|\n{reasons}{BOTH}{alone}{CUT_OFF}{cut_offs}"
