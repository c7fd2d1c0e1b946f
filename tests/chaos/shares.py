"""Rows shared out to processes: each takes the next that no other has, on a local cloud of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock

from tests import kubernetes_cluster
from tests.chaos import cluster, kills, others, shadows
from tests.chaos.cluster import ClusterShop
from tests.chaos.rows import Row
from tests.chaos.shadows import ShadowShop
from tests.chaos.shop import Shop
from tests.chaos.tally import Tally


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


def try_rows(orders: Connection, passed: Mapping[str, frozenset[int]]) -> None:
    """In a process of its own: each row that is ordered by its name, but for the points that have passed; what came
    of a point is told as (points of the row, point, failure), and None once the row is over."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        known = {row.name: row for row in list_rows(stack, folder)}
        while name := orders.recv():
            count = known[name].count()
            for at in range(1, count + 1):
                if at not in passed[name]:
                    orders.send((count, at, known[name].try_at(at)))
            orders.send(None)


def share_out(rows: Iterator[str], tally: Tally, lock: Lock) -> None:
    """One process at work on the rows that no other has taken, until there is none left.

    Raises:
        EOFError: the process has ended; its own words stand before that on the terminal.
    """
    ours, theirs = get_context("spawn").Pipe()
    passed = {name: tally.which_passed(name) for name in tally.counts}
    process = get_context("spawn").Process(target=try_rows, args=(theirs, defaultdict(frozenset, passed)))
    process.start()
    theirs.close()
    try:
        while name := take(rows, lock):
            ours.send(name)
            while told := ours.recv():
                count, at, failure = told
                with lock:
                    tally.keep(name, count, at, failure)
                if failure:
                    print(f"{name}, point {at} of {count}: {failure}", flush=True)
            print(f"{tally.passed(name):4} of {tally.counts.get(name, 0):4}  {name}", flush=True)
        ours.send("")
    finally:
        ours.close()
        process.join()


def take(rows: Iterator[str], lock: Lock) -> str:
    with lock:
        return next(rows, "")
