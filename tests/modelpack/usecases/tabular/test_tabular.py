"""The tabular package on made rows: every body trains, saves, loads and answers alike in torch and in ONNX."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pytest
import torch
from tables import COLUMNS, MadeAmount, MadeBinary, split, table

from modelpack.errors import BadInput
from modelpack.formats.variant import TORCH, Variant
from modelpack.home import Home
from modelpack.inputs.rests_on import rests_on
from modelpack.inputs.spec import TrainSpec
from modelpack.passes.base import PassContext
from modelpack.passes.onnx import OnnxExport
from modelpack.progress import Silent
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.http.instances import Instances
from modelpack.usecases.base import beats
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints, KeptCheckpoints
from modelpack.usecases.tabular import boosting, candidates
from modelpack.usecases.tabular.frame import AMOUNT, BINARY, join
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.model import Tabular, predict
from modelpack.usecases.tabular.selection import Candidate, select
from modelpack.usecases.tabular.trees import Trees
from modelpack.usecases.tabular.usecase import TabularUseCase, instance

USECASES = {BINARY: MadeBinary(), AMOUNT: MadeAmount()}
NAMES = [column.name for column in COLUMNS]
CASES = [(task, number) for task, count in ((BINARY, 3), (AMOUNT, 2)) for number in range(count)]


def made(task: str, number: int) -> Tabular:
    usecase = USECASES[task]
    fit = candidates.usual(COLUMNS, task, usecase.scale, 2, Dense(), Boosting())[number].fit
    return fit(split(task).training, 7, Silent())


@pytest.mark.parametrize(("task", "number"), CASES)
def test_a_body_answers_alike_after_loading_and_in_onnx(task: str, number: int, tmp_path: Path) -> None:
    usecase, model, test = USECASES[task], made(task, number), split(task).test
    wanted = predict(model, test, NAMES)
    path = tmp_path / "model.safetensors"
    usecase.save(model, path)
    for one, other in zip(wanted, predict(usecase.load(path), test, NAMES), strict=True):
        np.testing.assert_array_equal(one, other)
    context = PassContext(usecase, test.inputs, tmp_path / "onnx")
    exported = OnnxExport().apply(Variant(TORCH, path), context)
    answers = OnnxRuntime().open(exported, usecase)(test.inputs)
    first = next(iter(answers))
    np.testing.assert_allclose(answers[first], wanted[0], rtol=1e-4, atol=1e-5)


def test_strange_ids_and_far_out_numbers_get_a_finite_answer() -> None:
    for task, number in CASES:
        rows = table(task, 4)
        rows.inputs["shop"][:] = 999_999
        rows.inputs["amount"][:] = 1e30
        assert np.isfinite(predict(made(task, number), rows, NAMES)[0]).all()


def test_trees_decide_as_lightgbm_does() -> None:
    rows = table(BINARY, 3000)
    wide = np.concatenate([rows.inputs["amount"][:, None], rows.inputs["vector"]], axis=1)
    options = {
        "objective": "binary",
        "num_leaves": 15,
        "verbosity": -1,
        "use_missing": False,
        "num_threads": 1,
    }
    booster = lightgbm.train(options, lightgbm.Dataset(wide, rows.target), num_boost_round=20)
    forest = boosting.forest_of(booster.dump_model())
    count, nodes = forest.feature.shape
    trees = Trees(count, nodes, forest.depth)
    trees.know(forest)
    on_the_edge = np.repeat(
        forest.threshold[forest.left != np.arange(forest.left.shape[1])][:50, None], 6, axis=1
    )
    for given in (wide, on_the_edge.astype(np.float32)):
        wanted = booster.predict(given.astype(np.float64), raw_score=True)
        got = trees(torch.from_numpy(np.ascontiguousarray(given))).numpy()[:, 0]
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_threshold_is_rounded_down_so_that_no_float32_changes_sides() -> None:
    for threshold in (0.1, 1 / 3, -0.7, 1e-30, 12345.678):
        near = boosting.round_down(threshold)
        above = float(np.nextafter(np.float32(near), np.float32(np.inf)))
        assert near == float(np.float32(near)) <= threshold < above


def test_splits_by_category_are_refused() -> None:
    node = {
        "decision_type": "==",
        "split_feature": 0,
        "threshold": "1||2",
        "left_child": {},
        "right_child": {},
    }
    with pytest.raises(ValueError, match="=="):
        boosting.forest_of({"tree_info": [{"tree_structure": node}]})


@pytest.mark.parametrize("task", [BINARY, AMOUNT])
def test_training_gives_the_same_bytes_and_keeps_the_candidates(task: str, tmp_path: Path) -> None:
    usecase, data = USECASES[task], split(task)
    digests = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.safetensors"
        usecase.save(usecase.train(data, TrainSpec(seed=7), Silent()), path)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    kept = usecase.candidate_table(usecase.load(path))
    assert len(kept) == (3 if task == BINARY else 2)
    assert sum(one["chosen"] for one in kept) == 1
    assert all(one["low"] <= one["value"] <= one["high"] for one in kept)


def test_test_rows_play_no_part_in_training_and_choosing(tmp_path: Path) -> None:
    usecase, data = USECASES[BINARY], split(BINARY)
    spoiled = split(BINARY)
    spoiled.test.target[:] = 1 - spoiled.test.target
    spoiled.test.inputs["vector"][:] = 99
    files = []
    for name, given in (("own", data), ("spoiled", spoiled)):
        files.append(tmp_path / name)
        usecase.save(usecase.train(given, TrainSpec(seed=7), Silent()), files[-1])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_best_on_validation_rows_is_chosen_and_a_clear_loser_is_called_so() -> None:
    usecase, data = USECASES[BINARY], split(BINARY)
    usual = candidates.usual(COLUMNS, BINARY, None, 2, Dense(), Boosting())
    outputs = [tensor.name for tensor in usecase.tabular_outputs()]

    def constant(part: Any, seed: int, progress: Any, kept: Any = None) -> Tabular:
        model = usual[0].fit(part, seed, progress)
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()
        return model

    useless = Candidate("constant", "one answer for all", constant)
    selected = select([useless, usual[0]], data, usecase.measure, outputs, 7, Silent())
    assert [one["chosen"] for one in selected.table] == [False, True]
    assert selected.table[0]["verdict"] == "behind logistic regression, outside the interval"


@pytest.mark.parametrize("moment", [1, 2, 3, 5, 6])
def test_interrupted_at_any_moment_it_goes_on_to_the_same_bytes(moment: int, tmp_path: Path) -> None:
    """Dense layers are chosen, so that the last training has epochs as well."""
    usecase, data = USECASES[BINARY], split(BINARY)
    usual = candidates.usual(COLUMNS, BINARY, None, 3, Dense(), Boosting())

    def selected(kept: Checkpoints) -> bytes:
        outputs = [tensor.name for tensor in usecase.tabular_outputs()]
        found = select([usual[1]], data, usecase.measure, outputs, 7, Silent(), kept=kept)
        usecase.save(found.model, tmp_path / "model")
        return (tmp_path / "model").read_bytes()

    count = itertools.count(1)

    def interrupt(name: str) -> None:
        if next(count) == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        selected(KeptCheckpoints(tmp_path / "kept", on_kept=interrupt))
    assert selected(KeptCheckpoints(tmp_path / "kept")) == selected(NOTHING_KEPT)


@pytest.mark.parametrize("task", [BINARY, AMOUNT])
def test_the_chosen_model_beats_the_rule(task: str) -> None:
    usecase, data = USECASES[task], split(task)
    model = usecase.train(data, TrainSpec(seed=7), Silent())
    names = [tensor.name for tensor in usecase.signature().outputs]
    evaluation = usecase.measure(dict(zip(names, predict(model, data.test, NAMES), strict=True)), data.test)
    assert beats(evaluation, usecase.baselines(data)[0].evaluation).low > 0


def test_requests_say_what_the_arrays_say() -> None:
    usecase, data = USECASES[BINARY], split(BINARY)
    given = [instance(data.test, row) for row in range(3)]
    body = msgspec.json.encode({"instances": given})
    arrays, _ = Instances(usecase.signature().inputs).decode(body)
    for name, array in data.test.inputs.items():
        np.testing.assert_array_equal(arrays[name], array[:3])


def test_joined_parts_keep_their_order() -> None:
    data = split(BINARY)
    both = join(data.training, data.validation)
    assert len(both) == len(data.training) + len(data.validation)
    np.testing.assert_array_equal(both.groups, np.arange(len(both)))


def test_another_use_cases_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    USECASES[BINARY].save(made(BINARY, 0), path)
    with pytest.raises(BadInput, match="made-binary"):
        USECASES[AMOUNT].load(path)


def test_a_trained_model_depends_on_the_shared_package_too() -> None:
    files = {path.name for path in rests_on(plug_ins=[USECASES[BINARY]]).files}
    assert {"tables.py", "selection.py", "boosting.py"} <= files


def test_prepare_is_what_the_home_is_for() -> None:
    home = Home(Path("/nowhere"), Path("/nowhere"))
    assert isinstance(USECASES[BINARY], TabularUseCase)
    assert len(USECASES[BINARY].prepare(home, Silent()).test) == 300
