"""docs/own-models.md as it stands: five models from their own save call to an endpoint that has proved itself."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typed import Terminal

LIBRARIES = ("xgboost", "catboost", "sklearn", "skl2onnx", "torch", "transformers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in LIBRARIES),
        reason="needs the extra `originals`: make test-keras runs it",
    ),
]
PAGE = Path(__file__).parents[2] / "docs" / "own-models.md"
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^`\./(train|shop)\.py`:\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
MODELS: dict[str, tuple[str, str, str]] = {
    "XGBoost": ("model.json", "xgboost 3", "score"),
    "CatBoost": ("model.onnx", "the answers that expected() gives", "probabilities"),
    "scikit-learn": ("model.onnx", "the answers that expected() gives", "output_probability"),
    "torch": ("model.onnx", "the answers that expected() gives", "scores"),
    "Hugging Face": ("model", "transformers 5", "logits"),
}
"""By the first words of a section: its model file, whose answers are the reference, and an output."""


def section(begin: str) -> dict[str, str]:
    """The section's blocks by file name."""
    found = dict(SECTION.findall(PAGE.read_text()))
    (body,) = (body for title, body in found.items() if title.startswith(begin))
    blocks = {f"{name}.py": text for name, text in BLOCK.findall(body)}
    assert set(blocks) == {"train.py", "shop.py"}
    return blocks


@pytest.mark.parametrize("kind", MODELS)
def test_from_the_save_call_to_an_endpoint(terminal: Terminal, kind: str) -> None:
    model, by, output = MODELS[kind]
    for name, text in section(kind).items():
        (terminal.folder / name).write_text(text)
    made = subprocess.run(
        [sys.executable, "train.py"], cwd=terminal.folder, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr[-3000:]
    assert (terminal.folder / model).exists()
    terminal.type("init", "./shop.py:Returns")
    assert f"path: {model} " in (terminal.folder / "ecomdeploy.yaml").read_text()
    done = terminal.type("up", "--yes", "--json").json
    assert (done["state"], done["verified"]) == ("live", True)
    record = done["record"]
    assert record["metric"]["value"] > 0.7, "it learned something, and that is served"
    (held,) = record["fidelity"]
    assert held["by"].startswith(by)
    assert held["requests"] >= 200
    assert held["largest_difference"][output] < 1e-3
    assert record["rows"]["max_batch"] == (1 if kind == "torch" else 64)
    answers_in_numbers(terminal, record)


def answers_in_numbers(terminal: Terminal, record: dict[str, Any]) -> None:
    """A held-out request, asked of the endpoint. That the numbers are right is said by `verified` (served as
    converted) and by `fidelity` (converted as the library answers)."""
    asked = terminal.type("predict", "--json").json
    (prediction,) = asked["predictions"]
    for values in prediction.values():
        assert np.isfinite(np.asarray(values, dtype=np.float64)).all()
    assert record["provenance"]["model_from"].startswith("model")
