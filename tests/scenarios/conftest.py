"""A project that was packed once, shared by the stories of this folder, whichever worker they run on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from lent_layers import keep, lend
from typed import Terminal

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


@pytest.fixture(scope="session")
def packed(of_all_workers: Path, shared_layers: Path) -> Terminal:
    """A project packed once for the whole session, by the worker that needs it first: training is paid for
    here, and nowhere else.

    One epoch, no comparing of architectures and no passes keep it short (`make demo` and the reproducible pack go
    through the whole gate); the stories that need another pack change the seed.
    """
    root, done = of_all_workers / "packed", of_all_workers / "packed.done"
    shop = Terminal(root / "work" / "shop", root / "home")
    with FileLock(of_all_workers / "packed.lock"):
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            (root / "work").mkdir(parents=True)
            lend(shared_layers, shop.home / "images")
            Terminal(root / "work", root / "home").type("init", "recommendation", "shop")
            shop.edit(r"epochs: \d+", "epochs: 1, architecture: one-stage")
            shop.edit(r"^pack:.*$", "pack:\n  passes: []")
            shop.type("pack", "--json")
            keep(shop.home / "images", shared_layers)
            done.touch()
    return shop


@pytest.fixture
def shop(packed: Terminal, tmp_path: Path) -> Iterator[Terminal]:
    """A fresh copy of the packed project and its home: its first `up` has only to push and provision."""
    shutil.copytree(packed.folder, tmp_path / "shop")
    shutil.copytree(packed.home, tmp_path / "home", ignore=shutil.ignore_patterns("cloud"))
    place = Terminal(tmp_path / "shop", tmp_path / "home")
    yield place
    place.end()
