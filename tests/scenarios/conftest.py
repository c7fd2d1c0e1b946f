"""A project that was shipped once, shared by the stories of this folder (they run on one worker, in order)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typed import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """An empty folder and an empty home."""
    (tmp_path / "work").mkdir()
    place = Terminal(tmp_path / "work", tmp_path / "home")
    yield place
    place.end()


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A project packed once for the whole session: training and gate are paid for here, and nowhere else.

    `train: {epochs: 1}` keeps it short; the stories that need another pack change the seed.
    """
    root = tmp_path_factory.mktemp("packed")
    (root / "work").mkdir()
    terminal = Terminal(root / "work", root / "home")
    terminal.type("init", "recommendation", "shop")
    shop = terminal.into("shop")
    shop.edit(r"epochs: \d+", "epochs: 1")
    shop.type("pack", "--json")
    return shop


@pytest.fixture
def shop(packed: Terminal, tmp_path: Path) -> Iterator[Terminal]:
    """A fresh copy of the packed project and its home: its first `up` has only to push and provision."""
    shutil.copytree(packed.folder, tmp_path / "shop")
    shutil.copytree(packed.home, tmp_path / "home", ignore=shutil.ignore_patterns("cloud"))
    place = Terminal(tmp_path / "shop", tmp_path / "home")
    yield place
    place.end()
