"""Progress on stderr: rich bars and tables on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

from cli.terminal import visible
from cli.words import align
from modelpack.progress import Progress, Silent, tell_size

QUIET_S = 60.0
"""How long a bar may say nothing in a pipe: pipelines end what is silent for long."""
LEAST_WORDS = 28
"""Characters that a table's last column needs to be read."""


class PlainLines:
    """For pipes and CI: one line per step, and one of a bar when it is full; where that takes long also its state, once
    in QUIET_S seconds. Threads may tell at once: each line is written whole."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.began = clock()
        self.writing = Lock()

    def step(self, title: str) -> None:
        self._line(f"[{self.clock() - self.began:6.1f}s] {title}")

    def note(self, line: str) -> None:
        self._line(f"          {line}")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        for line in (title, *align(columns, rows)):
            self.note(line)

    @contextmanager
    def track(self, title: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
        done, told, full = 0.0, self.clock(), False
        one_at_a_time = Lock()  # layers are pushed side by side

        def advance(amount: float) -> None:
            nonlocal done, told, full
            with one_at_a_time:
                done += amount
                now, is_full = self.clock(), done >= total
                if (is_full and not full) or (not is_full and now - told >= QUIET_S):
                    told, full = now, is_full
                    self.note(f"{title}: {amount_of(done, unit)} of {amount_of(total, unit)}")

        yield advance

    def _line(self, text: str) -> None:
        with self.writing:
            self.stream.write(f"{visible(text)}\n")
            self.stream.flush()


class Rich:
    """For terminals. Rich is imported when the first line is drawn: a quick command never pays for it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self.console = Console(file=stream, highlight=False)

    def step(self, title: str) -> None:
        self.console.print(f"[bold cyan]›[/] {escape(title)}")

    def note(self, line: str) -> None:
        self.console.print(f"  [dim]{escape(line)}[/]")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Where the last column, which is words, has no room beside the others, it stands below, a line a row."""
        from rich.table import Table

        fits = self.console.width - framed_width(columns[:-1], rows) >= LEAST_WORDS
        shown = len(columns) if fits else len(columns) - 1
        table = Table(title=escape(title), title_justify="left", header_style="bold")
        for column in columns[:shown]:
            table.add_column(escape(column))
        for row in rows:
            table.add_row(*(escape(cell) for cell in row[:shown]))
        self.console.print(table)
        for row in rows if not fits else ():
            self.note(f"{row[0]}: {row[-1]}")

    @contextmanager
    def track(self, title: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        bars = Bars(
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        with bars:
            task = bars.add_task(escape(title), total=total, amount="")

            def advance(amount: float) -> None:
                bars.advance(task, amount)
                done = bars.tasks[0].completed
                bars.update(task, amount=f"{amount_of(done, unit)} of {amount_of(total, unit)}")

            yield advance


def framed_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Of these columns in a table, its frame with them."""
    cells = zip(*(row[: len(columns)] for row in [columns, *rows]), strict=True)
    return 1 + sum(max(map(len, column)) + 3 for column in cells)


def choose(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Bars where a person looks, lines where a machine reads."""
    stream = stream or sys.stderr
    if quiet:
        return Silent()
    return Rich(stream) if stream.isatty() else PlainLines(stream)


def amount_of(value: float, unit: str) -> str:
    """'12.5 MB' for bytes, '3 epochs' for whole things."""
    if unit in ("B", "bytes"):
        return tell_size(value)
    return f"{value:.0f} {unit}" if float(value).is_integer() else f"{value:.1f} {unit}"


def escape(text: str) -> str:
    """Text in which rich must see no markup, and a terminal nothing but text."""
    from rich.markup import escape as no_markup

    return no_markup(visible(text))
