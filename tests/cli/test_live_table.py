"""The table of a rollout: whole words and figures on a narrow terminal as on a wide one."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from cli.record.live import LiveTable
from infra.targets.guard import Figures
from stacks.rollout.events import EventKind, RolloutEvent, RolloutRecord


@pytest.mark.parametrize("width", [60, 80, 160])
def test_nothing_of_it_is_cut_off(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    seen = Figures(at=datetime(2026, 11, 10, 14, tzinfo=UTC), requests=24000, errors=12, p99_ms=17.3)
    event = RolloutEvent(
        at="2026-11-10T14:00:12+00:00",
        kind=EventKind.STEP,
        words="10 %",
        share=10,
        step=1,
        old=seen,
        new=seen,
    )
    record = RolloutRecord(
        service="shop",
        environment="prod",
        release=12,
        replaced=11,
        strategy="canary",
        shares=(10, 100),
        bake=300,
    )
    table = LiveTable(console, last=(record, event))
    with console.capture() as said:
        console.print(table.draw())
    lines = said.get().splitlines()
    assert "…" not in said.get()
    assert sum("24000" in line and "17.3" in line for line in lines) == 2
    for word in ("release 11", "release 12", "requests/min", "failed", "p99 ms", "90 %", "10 %"):
        assert any(word in line for line in lines), word
