"""Random small models: what is served is what their own library answers, and a row alone is a row in any company.

Asked of the graph itself, and of the model server in both protocols, as JSON (null for what is missing) and as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from served_models import Served, by_server

from modelpack.formats.signature import Signature
from modelpack.gate.fidelity import BY_LIBRARY, differences
from modelpack.runtimes.single_thread import session
from modelpack.server.rows import dependence
from modelpack.server.signature import Tensor
from modelpack.sources.base import Converted
from modelpack.sources.lightgbm import THROUGH as lightgbm_objectives
from modelpack.sources.lightgbm import LightGBM
from modelpack.sources.onnx import Onnx
from modelpack.sources.outputs import cut_maps
from modelpack.sources.torch_export import TorchExport
from modelpack.sources.xgboost import THROUGH as xgboost_objectives
from modelpack.sources.xgboost import XGBoost
from modelpack.usecases.own_model.signature import own_signature

Floats = NDArray[Any]
WIDTH = 5
ELEMENTWISE = ("Relu", "Sigmoid", "Tanh", "Softplus", "Erf", "Neg", "Abs", "LeakyRelu", "Elu")
REDUCING = ("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2")


@dataclass(frozen=True)
class Step:
    """One step of a random graph: what is done, with a seed for its constants and a place to go back to."""

    kind: str
    seed: int
    back: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([*ELEMENTWISE, *REDUCING, "MatMul", "Add", "Mul", "Softmax", "Concat", "Where"]),
        st.integers(0, 1000),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=7,
)


def grown(steps: list[Step], path: Path) -> Path:
    """The steps as an ONNX graph of x (rows, 5) -> y (rows, n); each looks at its own row alone."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []
    made = [("x", WIDTH)]

    def constant(array: Floats) -> str:
        constants.append(numpy_helper.from_array(array.astype(np.float32), f"c{len(constants)}"))
        return f"c{len(constants) - 1}"

    for number, step in enumerate(steps):
        (last, width), draw = made[-1], np.random.default_rng(step.seed)
        other, other_width = made[max(0, len(made) - 1 - step.back)]
        out, given, more, new = f"h{number}", [last], {}, width
        if step.kind == "MatMul":
            new = 1 + step.seed % 6
            given.append(constant(draw.normal(size=(width, new)) / np.sqrt(width)))
        elif step.kind in ("Add", "Mul"):
            given.append(other if other_width == width else constant(draw.normal(size=width)))
        elif step.kind == "Concat":
            given, more, new = [last, other], {"axis": 1}, width + other_width
        elif step.kind == "Softmax":
            more = {"axis": 1}
        elif step.kind == "Where":
            above = constant(draw.normal(size=width))
            nodes.append(helper.make_node("Greater", [last, above], [f"{out}.above"]))
            given = [f"{out}.above", last, constant(draw.normal(size=width))]
        elif step.kind in REDUCING:
            new, more = 1, {"keepdims": 1}
            axes = helper.make_tensor(f"a{number}", TensorProto.INT64, [1], [1])
            constants.append(axes)
            given.append(axes.name)
        nodes.append(helper.make_node(step.kind, given, [out], **more))
        made.append((out, new))
    nodes.append(helper.make_node("Identity", [made[-1][0]], ["y"]))
    graph = helper.make_graph(
        nodes,
        "grown",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", made[-1][1]])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def rows_of(seed: int, count: int = 40) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


def served(source: Converted, path: Path, wanted: Signature | None = None) -> Served:
    return served_graph(source.convert(path, wanted, []), path)


def served_graph(graph: Any, path: Path) -> Served:
    opened = session(graph.SerializeToString())
    names = [one.name for one in opened.get_outputs()]

    def run(inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        return dict(zip(names, opened.run(names, dict(inputs)), strict=True))

    return Served(run, own_signature(graph, path))


def check(model: Served, inputs: dict[str, Floats], wanted: Mapping[str, Floats]) -> None:
    """As the library says, for every row and by every way; and alone as in any company."""
    answers = model.run(inputs)
    reach = 1.0
    for name, values in wanted.items():
        ours = np.asarray(answers[name])
        far, wrong = differences(ours, np.asarray(values).reshape(ours.shape), BY_LIBRARY)
        assert not wrong.any(), (name, far)
        reach = max(reach, float(np.ptp(ours)) if ours.dtype.kind == "f" else 1.0)
    close = {name: {"kind": "close", "rtol": 1e-4, "atol": 1e-4 * reach} for name in answers}
    assert dependence(model.run, inputs, 16, close) == ""
    for way, found in by_server(model, inputs):
        for name, values in wanted.items():
            _, wrong = differences(found[name], np.asarray(values).reshape(found[name].shape), BY_LIBRARY)
            assert not wrong.any(), (way, name)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.integers(0, 1000))
def test_graphs_answer_as_the_reference_of_onnx(steps: list[Step], seed: int) -> None:
    """Judge: onnx.reference, which computes each operator by its definition in numpy."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    with TemporaryDirectory() as folder:
        path = grown(steps, Path(folder) / "model.onnx")
        rows = rows_of(seed)
        (wanted,) = ReferenceEvaluator(onnx.load(str(path))).run(None, {"x": rows})
        check(served(Onnx(), path), {"x": rows}, {"y": wanted})


def module_of(steps: list[Step]) -> Any:
    """The steps as a torch module."""
    import torch
    from torch import nn

    layers: list[Any] = []
    width = WIDTH
    plain = {"Relu": nn.ReLU, "Sigmoid": nn.Sigmoid, "Tanh": nn.Tanh, "Softplus": nn.Softplus, "Elu": nn.ELU}
    torch.manual_seed(steps[0].seed)
    for step in steps:
        if step.kind == "Softmax":
            layers.append(nn.Softmax(dim=1))
        elif step.kind in ("Add", "Mul"):
            layers.append(nn.LayerNorm(width))
        elif step.kind in plain:
            layers.append(plain[step.kind]())
        else:
            new = 1 + step.seed % 6
            layers += [nn.Linear(width, new), nn.GELU()]
            width = new
    return nn.Sequential(*layers, nn.Linear(width, 2)).eval()


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(STEPS, st.integers(0, 1000))
def test_programs_answer_as_torch(steps: list[Step], seed: int) -> None:
    import torch

    module, rows = module_of(steps), rows_of(seed)
    signature = Signature((Tensor("x", "FP32", (-1, WIDTH)),), (Tensor("y", "FP32", (-1, 2)),))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        shapes = ({0: torch.export.Dim("rows")},)
        exported = torch.export.export(module, (torch.zeros(3, WIDTH),), dynamic_shapes=shapes)
        torch.export.save(exported, path)
        with torch.inference_mode():
            wanted = module(torch.from_numpy(rows)).numpy()
        with chdir(folder):
            check(served(TorchExport(), path, signature), {"x": rows}, {"y": wanted})


def trained_on(seed: int) -> tuple[Floats, Floats]:
    rows = rows_of(seed, 200)
    rows[np.random.default_rng(seed).random(rows.shape) < 0.15] = np.nan
    return rows, (np.nan_to_num(rows[:, 0]) + np.isnan(rows[:, 1]) > 0.3) * 1.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5000), st.integers(1, 6), st.integers(1, 30), st.sampled_from([1, 3]))
def test_trees_answer_as_xgboost(seed: int, depth: int, turns: int, parallel: int) -> None:
    import xgboost

    rows, truth = trained_on(seed)
    told = {"objective": "binary:logistic", "nthread": 1, "max_depth": depth, "num_parallel_tree": parallel}
    booster = xgboost.train(told, xgboost.DMatrix(rows, truth), turns)
    asked, _ = trained_on(seed + 1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        booster.save_model(path)
        original = XGBoost().original(path, Signature((Tensor("features", "FP32", (-1, WIDTH)),), (SCORE,)))
        theirs = original({"features": asked})
        assert np.allclose(theirs["score"], booster.predict(xgboost.DMatrix(asked)))
        check(served(XGBoost(), path), {"features": asked}, theirs)


SCORE = Tensor("score", "FP32", (-1,))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5000), st.integers(2, 31), st.integers(1, 30), st.sampled_from(["gbdt", "dart"]))
def test_trees_answer_as_lightgbm(seed: int, leaves: int, turns: int, boosting: str) -> None:
    import lightgbm

    rows, truth = trained_on(seed)
    told = {
        "objective": "binary",
        "verbosity": -1,
        "num_threads": 1,
        "num_leaves": leaves,
        "boosting": boosting,
    }
    booster = lightgbm.train(told, lightgbm.Dataset(rows, truth), turns)
    asked, _ = trained_on(seed + 1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.txt"
        booster.save_model(path)
        original = LightGBM().original(path, Signature((Tensor("features", "FP32", (-1, WIDTH)),), (SCORE,)))
        theirs = original({"features": asked})
        assert np.allclose(theirs["score"], booster.predict(asked))
        check(served(LightGBM(), path), {"features": asked}, theirs)


def needs(library: str) -> pytest.MarkDecorator:
    absent = find_spec(library) is None
    return pytest.mark.skipif(absent, reason="needs the extra `originals`: make test-keras runs it")


def exported(graph: Any, path: Path) -> Served:
    """Another library's own ONNX as it is taken: a last ZipMap cut."""
    path.write_bytes(graph.SerializeToString())
    taken = Onnx().convert(path, None, [])
    cut_maps(taken)
    return served_graph(taken, path)


@needs("catboost")
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 5000), st.integers(1, 6), st.integers(1, 20), st.sampled_from([2, 3]))
def test_trees_answer_as_catboost(seed: int, depth: int, turns: int, classes: int) -> None:
    import onnx

    rows, truth = trained_on(seed)
    truth = (truth if classes == 2 else truth + (np.nan_to_num(rows[:, 2]) > 0)).astype(int)
    asked, _ = trained_on(seed + 1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model = import_module("catboost").CatBoostClassifier(
            iterations=turns, depth=depth, thread_count=1, verbose=0, random_seed=seed, train_dir=folder
        )
        model.fit(rows, truth)
        model.save_model(str(path), format="onnx")
        wanted = {"probabilities": model.predict_proba(asked), "label": model.predict(asked).astype(np.int64)}
        check(exported(onnx.load(str(path)), path), {"features": asked}, wanted)


FORESTS = (
    "HistGradientBoostingClassifier",
    "RandomForestClassifier",
    "GradientBoostingClassifier",
    "DecisionTreeClassifier",
)


@needs("skl2onnx")
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 5000), st.integers(1, 6), st.sampled_from(FORESTS), st.booleans())
def test_trees_answer_as_scikit_learn(seed: int, depth: int, kind: str, imputed: bool) -> None:
    """Where a kind takes no missing values, behind an imputer."""
    ensemble, tree, impute, pipeline = (
        import_module(f"sklearn.{name}") for name in ("ensemble", "tree", "impute", "pipeline")
    )

    rows, truth = trained_on(seed)
    asked, _ = trained_on(seed + 1)
    model = getattr(ensemble, kind, None) or getattr(tree, kind)
    model = model(max_depth=depth, random_state=seed, **{"n_estimators": 8} if kind[0] in "RG" else {})
    if imputed or not kind.startswith("Hist"):
        model = pipeline.make_pipeline(impute.SimpleImputer(), model)
    model.fit(rows, truth.astype(int))
    with TemporaryDirectory() as folder:
        made = exported(import_module("skl2onnx").to_onnx(model, rows[:1]), Path(folder) / "model.onnx")
        names = [one.name for one in made.signature.outputs]
        answers = {names[0]: model.predict(asked), names[1]: model.predict_proba(asked)}
        check(made, {"X": asked}, answers)


def told_by(objective: str, rows: Floats) -> tuple[Floats, dict[str, Any]]:
    """Truths that an objective takes, and what else it wants to be told."""
    amount = np.abs(rows[:, 0]) + 0.1
    if "multi" in objective:
        return np.digitize(rows[:, 0], [-0.5, 0.5]) * 1.0, {"num_class": 3}
    if any(word in objective for word in ("logi", "binary", "cross", "rank")):
        return (rows[:, 0] > 0) * 1.0, {}
    return (np.floor(amount * 2) if "poisson" in objective else amount), {}


@pytest.mark.parametrize("objective", xgboost_objectives)
def test_every_objective_of_xgboost_that_is_served(tmp_path: Path, objective: str) -> None:
    import xgboost

    rows, path = rows_of(1, 300), tmp_path / "model.json"
    truth, more = told_by(objective, rows)
    data = xgboost.DMatrix(rows, truth)
    if "rank" in objective:
        data.set_group([30] * 10)
    if objective == "survival:aft":
        data.set_float_info("label_lower_bound", truth)
        data.set_float_info("label_upper_bound", truth)
    if objective == "reg:quantileerror":
        more = {"quantile_alpha": 0.5}
    xgboost.train({"objective": objective, "nthread": 1, "verbosity": 0, **more}, data, 5).save_model(path)
    model, inputs = served(XGBoost(), path), {"features": rows}
    check(model, inputs, XGBoost().original(path, model.signature)(inputs))


@pytest.mark.parametrize("objective", sorted(lightgbm_objectives.keys() - {"custom"}))
def test_every_objective_of_lightgbm_that_is_served(tmp_path: Path, objective: str) -> None:
    import lightgbm

    rows, path = rows_of(1, 300), tmp_path / "model.txt"
    truth, more = told_by(objective, rows)
    groups = [30] * 10 if "rank" in objective else None
    told = {"objective": objective, "verbosity": -1, "num_threads": 1, **more}
    lightgbm.train(told, lightgbm.Dataset(rows, truth, group=groups), 5).save_model(path)
    model, inputs = served(LightGBM(), path), {"features": rows}
    check(model, inputs, LightGBM().original(path, model.signature)(inputs))
