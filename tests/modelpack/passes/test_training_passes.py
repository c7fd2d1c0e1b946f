"""Passes that train: pruned and distilled models on made rows with known answers, and what they may learn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tables import COLUMNS, MadeAmount, MadeBinary, split
from tiny_usecase import Tiny
from torch import nn

from modelpack.digests import sha256_of
from modelpack.formats.signature import Arrays
from modelpack.formats.variant import TORCH, Variant
from modelpack.gate.trial import Trials, through_the_gate
from modelpack.inputs.spec import GateSpec
from modelpack.passes.base import TRAINED, Inapplicable, Pass, PassContext, in_order
from modelpack.passes.distil import Distil
from modelpack.passes.onnx import OnnxExport
from modelpack.passes.prune_channels import PruneChannels, importance, most_important
from modelpack.passes.shared.learning import SEED, learner, save_variant
from modelpack.passes.static_int8 import StaticInt8
from modelpack.progress import Silent
from modelpack.usecases.optional.training import Tunable
from modelpack.usecases.tabular import boosting, linear, training, tuning
from modelpack.usecases.tabular.frame import AMOUNT, BINARY, Part, Split
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.model import Tabular, predict

NAMES = [column.name for column in COLUMNS]
USECASES: dict[str, Any] = {BINARY: MadeBinary(), AMOUNT: MadeAmount()}
WIDE = Dense(hidden=(48, 32), dropout=0.0, batch=64)


def trained(task: str, epochs: int = 6) -> Tabular:
    usecase = USECASES[task]
    known = usecase.training_rows(split(task))
    return training.train(COLUMNS, task, known, WIDE, epochs, 7, Silent(), usecase.scale)


def draft_of(model: Tabular, usecase: Any, folder: Path) -> Variant:
    folder.mkdir(parents=True, exist_ok=True)
    usecase.save(model, folder / "model.safetensors")
    return Variant(TORCH, folder / "model.safetensors")


def context(usecase: Any, data: Split, folder: Path) -> PassContext:
    return PassContext(
        usecase,
        usecase.examples(data, 64),
        folder,
        usecase.calibration(data),
        lambda: usecase.training_rows(data),
    )


def digests(variant: Variant) -> dict[str, str]:
    return {name: sha256_of(path) for name, path in variant.files.items()}


def no_process(variant: Variant, usecase: Any, batch: Arrays) -> float:
    return 100 + variant.size_mb


def hidden_layers(model: Tabular) -> list[nn.Linear]:
    return [part for part in tuning.dense_layers(model) if isinstance(part, nn.Linear)][:-1]


@pytest.mark.parametrize("task", [BINARY, AMOUNT])
def test_taking_out_dead_units_keeps_the_answers(task: str) -> None:
    usecase, model, test = USECASES[task], trained(task, 1), split(task).test
    with torch.no_grad():
        for layer in hidden_layers(model):
            layer.weight[::2] = 0
            layer.bias[::2] = -1
    training_rows = usecase.training_rows(split(task))
    found = importance(usecase.hidden_layers(model), lambda: usecase.loss(model, training_rows, 256))
    assert [len(one) for one in found] == [48, 32]
    kept = [most_important(one) for one in found]
    for one, units in zip(found, kept, strict=True):
        assert not one[::2].any()
        assert all(unit % 2 for unit in units.tolist())
    small = usecase.narrow(model, kept)
    assert small.shape.hidden == (24, 16)
    for before, after in zip(predict(model, test, NAMES), predict(small, test, NAMES), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("one", [PruneChannels(), Distil()])
def test_a_smaller_model_loads_again_and_comes_out_the_same_each_time(one: Pass, tmp_path: Path) -> None:
    usecase, data = USECASES[BINARY], split(BINARY)
    variant = draft_of(trained(BINARY), usecase, tmp_path / "trained")
    first, second = (one.apply(variant, context(usecase, data, tmp_path / name)) for name in ("a", "b"))
    assert digests(first) == digests(second)
    small = usecase.load(first.path)
    assert small.shape.hidden == (24, 16)
    assert small.threshold == usecase.load(variant.path).threshold
    assert first.size_mb < 0.8 * variant.size_mb


@pytest.mark.parametrize("task", [BINARY, AMOUNT])
def test_a_student_comes_closer_to_its_teacher(task: str) -> None:
    usecase, data = USECASES[task], split(task)
    teacher, training_rows = trained(task), usecase.training_rows(data)
    student = usecase.student(teacher, 0.5, training_rows)

    def distance() -> float:
        own, other = (tuning.teach(model, data.test) for model in (student.eval(), teacher))
        return float((own - other).abs().mean())

    before = distance()
    tuning.tune(student, training_rows, 20, SEED, Silent(), teacher)
    assert distance() < 0.7 * before
    assert [one.width for one in student.shape.categories] == [2]


def test_dense_layers_learn_from_trees_and_nothing_is_smaller_than_a_line() -> None:
    usecase, known = USECASES[BINARY], split(BINARY).training
    trees = boosting.train(COLUMNS, BINARY, known, Boosting(rounds=10, rows_per_leaf=20), 7, Silent())
    student = usecase.student(trees, 0.5, known)
    assert (student.shape.body, student.shape.hidden) == ("dense", tuning.FROM_TREES)
    with pytest.raises(ValueError, match="no hidden units to take out: the model is boosted trees"):
        usecase.hidden_layers(trees)
    with pytest.raises(ValueError, match="no smaller student: the model is a logistic regression"):
        usecase.student(linear.train(COLUMNS, known), 0.5, known)


@pytest.mark.parametrize("one", [PruneChannels(), Distil()])
def test_a_model_with_nothing_to_take_out_is_no_failure(one: Pass, tmp_path: Path) -> None:
    usecase, data = USECASES[BINARY], split(BINARY)
    line = draft_of(linear.train(COLUMNS, data.training), usecase, tmp_path / "trained")
    with pytest.raises(Inapplicable, match="the model is a logistic regression"):
        one.apply(line, context(usecase, data, tmp_path / "made"))


@pytest.mark.parametrize("one", [PruneChannels(), Distil()])
def test_a_use_case_that_cannot_train_on_is_told_so(one: Pass, tmp_path: Path) -> None:
    assert not isinstance(Tiny(), Tunable)
    assert isinstance(USECASES[BINARY], Tunable)
    with pytest.raises(ValueError, match="'tiny' cannot train its model on"):
        one.apply(Variant(TORCH, tmp_path / "model.safetensors"), PassContext(Tiny(), {}, tmp_path))


@pytest.mark.parametrize("one", [PruneChannels(), Distil(), StaticInt8()])
def test_nothing_learned_or_calibrated_rests_on_held_out_rows(one: Pass, tmp_path: Path) -> None:
    usecase, data, spoiled = USECASES[BINARY], split(BINARY), split(BINARY)
    spoiled.test.target[:] = 1 - spoiled.test.target
    spoiled.test.inputs["vector"][:] = 99
    variant = draft_of(trained(BINARY, 1), usecase, tmp_path / "trained")
    if one.takes != TORCH:
        variant = OnnxExport().apply(variant, context(usecase, data, tmp_path / "onnx"))
    own = one.apply(variant, context(usecase, data, tmp_path / "own"))
    assert digests(own) == digests(one.apply(variant, context(usecase, spoiled, tmp_path / "spoiled")))


class Cramming(Pass):
    """Learns its training_rows by heart."""

    name: ClassVar[str] = "cramming"
    title: ClassVar[str] = "by heart"
    stage: ClassVar[int] = TRAINED
    takes: ClassVar[str] = TORCH
    gives: ClassVar[str] = TORCH
    trains: ClassVar[bool] = True
    about: ClassVar[str] = ""

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        _, training_rows = learner(context)
        rates = Dense(hidden=(8,), dropout=0.0, batch=32, learning_rate=1e-2, weight_decay=0.0)
        return save_variant(
            training.train(COLUMNS, BINARY, training_rows, rates, 60, SEED, Silent()), context
        )


class Leaking(MadeBinary):
    """Hands out its held-out rows as training_rows."""

    def training_rows(self, data: Split) -> Part:
        return data.test


def test_a_pass_that_learns_from_leaked_held_out_rows_is_refused(tmp_path: Path) -> None:
    usecase, data = Leaking(), split(BINARY)
    model = training.train(COLUMNS, BINARY, data.training, replace(WIDE, hidden=(64,)), 8, 7, Silent())
    variant = draft_of(model, usecase, tmp_path / "trained")
    trials = Trials(usecase, data, variant, tmp_path, Silent(), no_process)
    judged = through_the_gate(trials, [Cramming(), OnnxExport()], GateSpec())
    cramming, export = judged.verdicts
    assert not cramming.kept
    assert cramming.reason.startswith("too good to be true")
    assert export.kept
    assert judged.variant.passes == ("onnx",)


def test_a_pass_on_the_torch_module_is_measured_as_it_would_be_served(tmp_path: Path) -> None:
    usecase, data = USECASES[BINARY], split(BINARY)
    variant = draft_of(trained(BINARY), usecase, tmp_path / "trained")
    trials = Trials(usecase, data, variant, tmp_path / "gate", Silent(), no_process)
    limits = GateSpec(metric_drop=1)
    judged = through_the_gate(trials, [Distil(), OnnxExport()], limits)
    distil, export = judged.verdicts
    assert distil.measured is not None
    assert export.measured is not None
    # Whether it is kept hangs on how steady the machine is while it is timed; what was measured does not.
    both = [Distil(), OnnxExport()]
    elsewhere = Trials(usecase, data, variant, tmp_path / "elsewhere", Silent(), no_process)
    exported = judged.variant if distil.kept else elsewhere.again(both)
    assert distil.measured.size_mb == pytest.approx(exported.size_mb, abs=1e-4)
    assert judged.reference.size_mb == pytest.approx(variant.size_mb, abs=1e-4)
    for figures in (judged.reference, judged.chosen, distil.measured, export.measured):
        assert {"accuracy", "precision", "recall", "f1"} <= set(figures.as_data())
    afresh = Trials(usecase, data, variant, tmp_path / "afresh", Silent(), no_process)
    kept = [one for one, verdict in zip(both, judged.verdicts, strict=True) if verdict.kept]
    again = afresh.again(kept)
    assert digests(again) == digests(judged.variant)
    afresh.agree(again)


def test_passes_stand_in_order_of_their_stages(tmp_path: Path) -> None:
    names = ("int8", "half-weights", "fuse", "prune-channels", "distil")
    wanted = ["prune-channels", "distil", "onnx", "fuse", "int8", "half-weights"]
    assert [one.name for one in in_order(names, tmp_path)] == wanted
