"""What long work tells while it runs. The terminal (cli/progress.py) draws it; `Silent` is the fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Told in plain words, in order. Implementations write to stderr only."""

    def step(self, title: str) -> None:
        """A new stage begins ("Training", "Pushing shop-recs")."""

    def note(self, line: str) -> None:
        """A fact worth a line ("kept int8: 3.1x rows per CPU-second, recall@10 unchanged")."""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A small table, e.g. the gate's verdicts."""

    def track(self, title: str, total: float, unit: str) -> AbstractContextManager[Callable[[float], None]]:
        """A bar from 0 to `total` `unit`s; the callable advances it by an amount."""
        ...


@dataclass
class Silent:
    """The fake: keeps what it was told in `lines`."""

    lines: list[str] = field(default_factory=list)

    def step(self, title: str) -> None:
        self.lines.append(title)

    def note(self, line: str) -> None:
        self.lines.append(line)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.lines.append(title)

    @contextmanager
    def track(self, title: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
        self.lines.append(title)
        yield lambda amount: None


def tell_size(size: float) -> str:
    """Bytes in words, in decimal units: "76.7 MB"; below one of them "77 kB", since a push is to be small."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
