"""A pipeline's machine has the checkout, with its `pack.lock`, and an empty home: what was shipped is not made anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import pytest
from lent_layers import keep
from typed import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.network]


def test_what_was_shipped_is_known_and_its_model_taken_from_the_registry(shop: Terminal) -> None:
    first = shop.type("up", "--yes", "--json").json
    assert_known_by_the_ledger(shop, first)
    assert_taken_from_the_image(shop, first)


def assert_known_by_the_ledger(shop: Terminal, first: Mapping[str, Any]) -> None:
    """The same inputs: nothing is built, fetched or changed."""
    forget(shop)
    before = shop.counts()["mutating"]
    planned = shop.type("plan", "--json").json
    assert (planned["image"], planned["push_bytes"], planned["changes"]) == (first["image"], 0, [])
    done = shop.type("up", "--yes", "--json").json
    assert (done["outcome"], done["image"]) == ("nothing to do", first["image"])
    assert shop.counts()["mutating"] == before
    assert not (shop.home / "packs").exists()


def assert_taken_from_the_image(shop: Terminal, first: Mapping[str, Any]) -> None:
    """Other inputs of the same verdict: packages are locked again, and the model is that of the image."""
    forget(shop)
    lock = shop.folder / "pack.lock"
    held = json.loads(lock.read_text())
    del held["wheels"]
    lock.write_text(json.dumps(held))
    done = shop.type("up", "--yes", "--json")
    assert "Taking the model from" in done.err
    assert "Preparing data" not in done.err
    assert done.json["image"] == first["image"], "the same packages, and the very same model"
    assert json.loads(lock.read_text())["verdict"] == held["verdict"]


def forget(shop: Terminal) -> None:
    """What was made here; layers of packages stay, as a pipeline's cache of packages does."""
    for name in ("packs", "locked"):
        shutil.rmtree(shop.home / name, ignore_errors=True)
    images = shop.home / "images"
    keep(images, shop.home / "kept")
    shutil.rmtree(images)
    keep(shop.home / "kept", images)
