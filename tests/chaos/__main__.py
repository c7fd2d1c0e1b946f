"""`python -m tests.chaos [WORDS...]`: every point of the rows whose names have all of these words; `make chaos`.

It takes an hour or more, and goes on where an earlier run of the same sources was ended.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from tests import kubernetes_cluster
from tests.chaos import cluster, kills, others, shadows
from tests.chaos.cluster import ClusterShop
from tests.chaos.rows import Row
from tests.chaos.shadows import ShadowShop
from tests.chaos.shop import Shop
from tests.chaos.tally import Tally

MUST_PASS = ("kill", "power cut", "two at once", "lease", "damage", "servers of other files")
"""Rows by their first words; of the others each miss is listed in docs/reliability.md."""


def list_rows(stack: ExitStack, folder: Path) -> Iterator[Row]:
    """All of them. What they work on is made when the first one needs it, and ends with `stack`."""

    @cache
    def shop() -> Shop:
        made = Shop(folder / "sagemaker", stages=2)
        stack.callback(made.close)
        return made

    @cache
    def on_cluster() -> ClusterShop:
        made = ClusterShop(folder / "kserve", kubernetes_cluster.cache())
        stack.callback(made.close)
        return made

    @cache
    def shadowing() -> Shop:
        made = ShadowShop(folder / "shadow")
        stack.callback(made.close)
        return made

    yield from kills.rows(shop)
    yield from shadows.rows(shadowing)
    yield from others.rows(shop)
    yield from cluster.rows(on_cluster)


def try_row(row: Row, tally: Tally) -> None:
    """Its points that have not passed yet."""
    count = row.count()
    for at in range(1, count + 1):
        if not tally.has_passed(row.name, at):
            failure = row.try_at(at)
            tally.keep(row.name, count, at, failure)
            if failure:
                print(f"{row.name}, point {at} of {count}: {failure}", flush=True)
    print(f"{tally.passed(row.name):4} of {count:4}  {row.name}", flush=True)


def main(words: Sequence[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    tally = Tally.read()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for row in list_rows(stack, folder):
            if all(word in row.name for word in words):
                try_row(row, tally)
    print("\n".join(tally.lines()))
    return 1 if any(name.startswith(MUST_PASS) for name in tally.failures()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
