"""A project that was packed once, shared by the stories of this folder, whichever worker they run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lent_layers import keep, lend
from packed import copy_packed, packed
from typed import Terminal

__all__ = ["packed"]

SECONDS = 3600
"""For a whole story, the wait for another worker's pack included, on a machine that is busy with other things: what
hangs ends, what is slow does not fail. A command typed within has its own bound (`typed.SECONDS`)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture
def terminal(tmp_path: Path, shared_layers: Path) -> Iterator[Terminal]:
    """An empty folder, and a home with nothing but layers of packages that another home of this run has built."""
    (tmp_path / "work").mkdir()
    place = Terminal(tmp_path / "work", tmp_path / "home")
    lend(shared_layers, place.home / "images")
    yield place
    place.end()
    keep(place.home / "images", shared_layers)


@pytest.fixture
def shop(packed: Terminal, tmp_path: Path) -> Iterator[Terminal]:
    """A fresh copy of the packed project and its home: its first `up` has only to push and provision."""
    place = copy_packed(packed, tmp_path / "shop", tmp_path / "home")
    yield place
    place.end()
