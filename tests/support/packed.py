"""A project that was packed once, shared by all tests of a run, whichever worker they run on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from lent_layers import keep, lend
from typed import Terminal


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


def copy_packed(packed: Terminal, folder: Path, home: Path) -> Terminal:
    """A fresh copy of the packed project and its home: its first `up` has only to push and provision."""
    shutil.copytree(packed.folder, folder)
    shutil.copytree(packed.home, home, ignore=shutil.ignore_patterns("cloud"), dirs_exist_ok=True)
    return Terminal(folder, home)
