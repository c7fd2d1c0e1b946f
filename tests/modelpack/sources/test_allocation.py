"""Sizes in a stranger's metadata are refused before memory is taken for them."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from modelpack.errors import BadInput
from modelpack.formats.allocation import LEAST, bound_allocation
from modelpack.formats.safetensors import METADATA_KEY
from modelpack.sources.base import open_model
from modelpack.usecases.base import usecases

TABLE: dict[str, Any] = {
    "task": "binary",
    "body": "dense",
    "columns": [{"kind": "Number", "name": "amount", "width": 1, "log": False, "default": None}],
    "vocabularies": [],
    "hidden": [8],
}
SHOP = {"products": 4, "vocabulary": 300, "longest": 64, "width": 64, "heads": 4, "inner": 256, "layers": 2}
BOMBS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "wide layers": ("fraud", "tabular/1", {**TABLE, "hidden": [44_000, 44_000]}),
    "a wide column": (
        "fraud",
        "tabular/1",
        {
            **TABLE,
            "columns": [{"kind": "Number", "name": "a", "width": 10**10, "log": False, "default": None}],
        },
    ),
    "a large vocabulary": (
        "fraud",
        "tabular/1",
        {
            **TABLE,
            "columns": [
                *TABLE["columns"],
                {"kind": "Category", "name": "c", "width": 64, "missing": None, "default": None},
            ],
            "vocabularies": [10**9],
        },
    ),
    "large trees": ("fraud", "tabular/1", {**TABLE, "body": "trees", "forest": [10**6, 10**6, 40]}),
    "many layers": ("fraud", "tabular/1", {**TABLE, "hidden": [8] * 30_000}),
    "a number beyond any": ("fraud", "tabular/1", {**TABLE, "hidden": [10**30]}),
    "many products": ("search", "search.minilm/1", {**SHOP, "products": 10**11}),
}


def bomb(folder: Path, usecase: str, kind: str, shape: dict[str, Any]) -> Path:
    told = {"kind": kind, "usecase": usecase, "shape": shape}
    path = folder / "model.safetensors"
    save_file({"mean": np.zeros(1, np.float32)}, path, metadata={METADATA_KEY: json.dumps(told)})
    return path


@pytest.mark.parametrize("name", BOMBS)
def test_a_shape_bomb_is_refused_and_takes_no_memory(tmp_path: Path, name: str) -> None:
    usecase, kind, shape = BOMBS[name]
    path = bomb(tmp_path, usecase, kind, shape)
    usecases().get(usecase)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput) as caught:
        open_model(path, usecases().get(usecase), tmp_path / "taken")
    assert path.name in str(caught.value)
    assert len(str(caught.value)) < 700
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 4 * LEAST


MAKERS: dict[str, Callable[[], Any]] = {
    "empty": lambda: torch.empty(10**6, 10**6),
    "full": lambda: torch.full((10**11,), 1.0),
    "arange": lambda: torch.arange(10**12),
    "eye": lambda: torch.eye(10**6),
    "linspace": lambda: torch.linspace(0, 1, 10**11),
    "random": lambda: torch.randn(10**11),
    "another's": lambda: torch.zeros(1).new_zeros(10**11),
    "like another": lambda: torch.zeros_like(torch.zeros(1).expand(10**11)),
    "another type": lambda: torch.zeros(1).expand(10**11).to(torch.float64),
    "a layer": lambda: torch.nn.Linear(10**6, 10**6),
    "a table": lambda: torch.nn.Embedding(10**9, 64),
    "many small ones": lambda: [torch.zeros(1, device="meta") for _ in range(40_000)],
}


@pytest.mark.parametrize("name", MAKERS)
def test_whatever_makes_a_tensor_is_counted(name: str) -> None:
    with bound_allocation(1000), pytest.raises(BadInput, match="its metadata asks for"):
        MAKERS[name]()


def test_what_fits_is_made() -> None:
    with bound_allocation(1000):
        layer = torch.nn.Linear(4, 2)
        with torch.device("meta"):
            planned = torch.nn.Linear(10**6, 10**6)
    assert layer(torch.ones(1, 4)).shape == (1, 2)
    assert planned.weight.is_meta
