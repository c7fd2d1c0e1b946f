"""Folders of a training container, filled as SageMaker fills them, for card payments that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from modelpack.inputs.resolve import Inputs, PackRequest, resolve
from modelpack.inputs.spec import DataSpec, ModelSpec, PackSpec, TrainSpec
from modelpack.training.asked import AskedTraining

CHECKPOINTS = 6
"""Of the whole training below: three candidates' answers, and three epochs of one."""


def write_payments(path: Path, count: int = 2000) -> None:
    """Where amount and hour tell, not linearly, which are frauds."""
    generator = np.random.default_rng(5)
    amount, hour = generator.gamma(2.0, 30.0, count), generator.uniform(0, 24, count)
    fraud = ((amount > 60) ^ (hour > 12)) & (generator.random(count) < 0.5)
    lines = ["time,amount,fraud"]
    for place in range(count):
        day = 1 + place // 100
        stamp = f"2024-01-{day:02d}T{int(hour[place]):02d}:{place % 60:02d}:{place // 60 % 60:02d}"
        lines.append(f"{stamp},{amount[place]:.2f},{int(fraud[place])}")
    path.write_text("\n".join(lines) + "\n")


def resolve_payments(project: Path, seed: int = 7) -> Inputs:
    """What a project with `payments.csv` asks for."""
    return resolve(
        PackRequest(
            usecase="fraud",
            model=ModelSpec(train=TrainSpec(epochs=3, seed=seed)),
            pack=PackSpec(passes=()),
            instance="",
            project=project,
            data=DataSpec(path="payments.csv"),
        )
    )


def fill(root: Path, asked: Inputs, **changed: str) -> Path:
    """The folders below `root`, as they are when a container starts; `changed` hyperparameters."""
    given = {**AskedTraining.of(asked).write(), **changed}
    config, data = root / "input" / "config", root / "input" / "data" / "project" / "data"
    config.mkdir(parents=True)
    data.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(given))
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
    assert asked.data_path is not None
    (data / asked.data_path.name).write_bytes(asked.data_path.read_bytes())
    return root


def with_other_code(inputs: Inputs) -> Inputs:
    """The same, as a machine with another version of our code would ask for it."""
    other = resolve(inputs.request)
    _, libraries = inputs.training_facts
    other.__dict__["training_facts"] = ("sha256:other", libraries)
    return other


def resolve_outside(folder: Path) -> Inputs:
    """A use case whose file is beside the project and not in it."""
    project = folder / "project"
    project.mkdir()
    source = Path(__file__).with_name("tiny_usecase.py").read_text()
    (folder / "outside.py").write_text(source)
    return resolve(
        PackRequest(
            usecase="../outside.py:Tiny",
            model=ModelSpec(train=TrainSpec(epochs=1)),
            pack=PackSpec(passes=()),
            instance="",
            project=project,
        )
    )
