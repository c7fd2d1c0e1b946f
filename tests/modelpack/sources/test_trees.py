"""Trees answer as the library that trained them: asked of it, over random small forests and every kind they know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxruntime
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modelpack.errors import BadInput
from modelpack.formats.signature import Signature
from modelpack.server.signature import Tensor
from modelpack.sources.base import Converted
from modelpack.sources.lightgbm import LightGBM
from modelpack.sources.xgboost import XGBoost

Floats = NDArray[Any]
NUMBERS, CATEGORY = 4, 4
SETTINGS = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def table(seed: int, rows: int = 300) -> Floats:
    """Four numbers, of which some are missing, zero or huge, and a category of 40, or one never seen."""
    generator = np.random.default_rng(seed)
    found = generator.normal(size=(rows, NUMBERS + 1))
    found[generator.random(found.shape) < 0.1] = 0
    found[generator.random(found.shape) < 0.02] = 1e30
    found[:, CATEGORY] = generator.integers(0, 40 if seed % 2 else 60, rows)
    found[generator.random(found.shape) < 0.1] = np.nan
    return found.astype(np.float32)


def truths(rows: Floats) -> dict[str, Floats]:
    """A yes or no, one of three, an amount: all depend on what is missing and on the category."""
    known = np.nan_to_num(np.clip(rows, -9, 60))
    amount = known[:, 0] * 3 + known[:, CATEGORY] % 7 + np.isnan(rows[:, 1])
    return {"yes": (amount > 3) * 1.0, "class": known[:, CATEGORY] % 3 // 1, "amount": np.abs(amount) + 0.1}


def ask(
    source: Converted, path: Path, rows: Floats, wanted: Signature | None = None
) -> tuple[Floats, list[str]]:
    """What the served graph answers, its scores, and what the user is told."""
    notes: list[str] = []
    graph = source.convert(path, wanted, notes)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (one,) = session.get_inputs()
    kind = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}[one.type]
    return session.run(None, {one.name: rows.astype(kind)})[-1], notes


def agree(answered: Floats, wanted: Floats) -> None:
    np.testing.assert_allclose(answered, wanted.reshape(answered.shape), rtol=2e-5, atol=2e-5)


BOOSTED: dict[str, tuple[str, dict[str, Any]]] = {
    "binary": ("yes", {"objective": "binary"}),
    "binary with a steeper sigmoid": ("yes", {"objective": "binary", "sigmoid": 2.5}),
    "cross entropy": ("yes", {"objective": "cross_entropy"}),
    "cross entropy lambda": ("yes", {"objective": "cross_entropy_lambda"}),
    "multiclass": ("class", {"objective": "multiclass", "num_class": 3}),
    "one against all": ("class", {"objective": "multiclassova", "num_class": 3, "sigmoid": 0.7}),
    "regression": ("amount", {"objective": "regression"}),
    "regression of roots": ("amount", {"objective": "regression", "reg_sqrt": True}),
    "poisson": ("amount", {"objective": "poisson"}),
    "dart": ("amount", {"objective": "regression", "boosting": "dart", "drop_rate": 0.5}),
    "random forest": (
        "amount",
        {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    ),
    "random forest of yes and no": (
        "yes",
        {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    ),
    "random forest of three classes": (
        "class",
        {
            "objective": "multiclass",
            "num_class": 3,
            "boosting": "rf",
            "bagging_freq": 1,
            "bagging_fraction": 0.5,
        },
    ),
    "nothing counts as missing": ("amount", {"objective": "regression", "use_missing": False}),
    "zero counts as missing": ("amount", {"objective": "regression", "zero_as_missing": True}),
    "categories in sets": (
        "amount",
        {"objective": "regression", "categorical": True, "max_cat_to_onehot": 1, "cat_smooth": 1},
    ),
    "categories one by one": (
        "class",
        {"objective": "multiclass", "num_class": 3, "categorical": True, "max_cat_to_onehot": 99},
    ),
    "categories and zero missing": (
        "yes",
        {"objective": "binary", "categorical": True, "zero_as_missing": True, "max_cat_to_onehot": 1},
    ),
}


def boost(path: Path, rows: Floats, truth: Floats, **options: Any) -> Any:
    categorical = [CATEGORY] if options.pop("categorical", False) else "auto"
    told = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 2, "min_data_per_group": 2, **options}
    data = lightgbm.Dataset(rows, truth, categorical_feature=categorical)
    booster = lightgbm.train(told, data, options.pop("turns", 8))
    booster.save_model(path)
    return booster


@pytest.mark.parametrize("kind", BOOSTED)
@SETTINGS
@given(seed=st.integers(0, 10_000), leaves=st.integers(2, 31))
def test_lightgbm(tmp_path: Path, kind: str, seed: int, leaves: int) -> None:
    truth, options = BOOSTED[kind]
    rows, path = table(2 * seed + 1), tmp_path / "model.txt"
    booster = boost(path, rows, truths(rows)[truth], num_leaves=leaves, seed=seed, **options)
    asked = table(2 * seed + 2)
    agree(ask(LightGBM(), path, asked)[0], booster.predict(asked))


GROWN: dict[str, tuple[str, dict[str, Any]]] = {
    "logistic": ("yes", {"objective": "binary:logistic"}),
    "raw": ("yes", {"objective": "binary:logitraw"}),
    "three classes": ("class", {"objective": "multi:softprob", "num_class": 3}),
    "squared error": ("amount", {"objective": "reg:squarederror"}),
    "absolute error": ("amount", {"objective": "reg:absoluteerror"}),
    "poisson": ("amount", {"objective": "count:poisson"}),
    "gamma": ("amount", {"objective": "reg:gamma"}),
    "tweedie": ("amount", {"objective": "reg:tweedie"}),
    "ranks": ("yes", {"objective": "rank:pairwise"}),
    "dart": ("amount", {"booster": "dart", "rate_drop": 0.5, "one_drop": 1}),
    "dart of three classes": (
        "class",
        {"objective": "multi:softprob", "num_class": 3, "booster": "dart", "rate_drop": 0.5},
    ),
    "pruned": ("amount", {"gamma": 60.0, "tree_method": "exact"}),
    "forests": (
        "class",
        {"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 3, "subsample": 0.5},
    ),
    "categories in sets": ("amount", {"categorical": True, "max_cat_to_onehot": 1}),
    "categories one by one": (
        "class",
        {"objective": "multi:softprob", "num_class": 3, "categorical": True, "max_cat_to_onehot": 99},
    ),
}


def matrix(rows: Floats, truth: Floats | None = None, categorical: bool = False) -> Any:
    kinds = ["q"] * NUMBERS + ["c"] if categorical else None
    return xgboost.DMatrix(rows, truth, feature_types=kinds, enable_categorical=categorical)


@pytest.mark.parametrize("kind", GROWN)
@SETTINGS
@given(seed=st.integers(0, 10_000), depth=st.integers(1, 6))
def test_xgboost(tmp_path: Path, kind: str, seed: int, depth: int) -> None:
    truth, options = GROWN[kind]
    options = dict(options)
    categorical = options.pop("categorical", False)
    rows, path = table(2 * seed + 1), tmp_path / "model.json"
    if categorical:
        rows[:, CATEGORY] = np.clip(rows[:, CATEGORY], 0, 60)
    told = {"nthread": 1, "verbosity": 0, "max_depth": depth, "seed": seed, **options}
    booster = xgboost.train(told, matrix(rows, truths(rows)[truth], categorical), 6)
    booster.save_model(path)
    asked = table(2 * seed + 2)
    if categorical:
        asked[:, CATEGORY] = np.clip(asked[:, CATEGORY], 0, 60)
    agree(ask(XGBoost(), path, asked)[0], booster.predict(matrix(asked, None, categorical)))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("parallel", [1, 2])
def test_a_model_that_stopped_early_answers_by_its_best_trees(
    tmp_path: Path, classes: int, parallel: int
) -> None:
    """Not by all of them, as XGBClassifier.predict_proba; and the user is told."""
    rows, asked = table(1), table(2)
    told = truths(rows)["yes" if classes == 2 else "class"]
    noise = np.random.default_rng(0).integers(0, classes, len(asked))
    noise[: len(asked) // 2] = truths(asked)["yes" if classes == 2 else "class"][: len(asked) // 2]
    objective = (
        {"objective": "binary:logistic"} if classes == 2 else {"objective": "multi:softprob", "num_class": 3}
    )
    options = {"nthread": 1, "verbosity": 0, "eta": 0.7, "num_parallel_tree": parallel, **objective}
    watched = [(matrix(asked, noise), "held")]
    booster = xgboost.train(
        options, matrix(rows, told), 60, evals=watched, early_stopping_rounds=4, verbose_eval=False
    )
    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    booster.save_model(tmp_path / "model.json")
    answered, notes = ask(XGBoost(), tmp_path / "model.json", asked)
    agree(answered, booster.predict(matrix(asked), iteration_range=(0, booster.best_iteration + 1)))
    assert f"best_iteration {booster.best_iteration} " in " ".join(notes)
    every = booster.predict(matrix(asked))
    assert np.abs(every.reshape(answered.shape) - answered).max() > 0.01, "all trees answer otherwise"


@pytest.mark.parametrize("limit", ["inf", "-inf", "1e300", "-1e300"])
def test_a_limit_without_end_asks_whether_a_value_is_missing(tmp_path: Path, limit: str) -> None:
    """LightGBM writes `threshold=inf` where all that tells rows apart is that a value is missing."""
    rows = np.where(np.random.default_rng(0).random((300, 2)) < 0.5, np.nan, 1.0)
    boost(tmp_path / "first.txt", rows, np.isnan(rows[:, 0]) * 1.0, objective="regression")
    words = (tmp_path / "first.txt").read_text()
    assert "threshold=1.0000000180025095e-35" in words
    path = tmp_path / "model.txt"
    path.write_text(words.replace("threshold=1.0000000180025095e-35", f"threshold={limit:<22}"))
    booster = lightgbm.Booster(model_str=path.read_text())
    asked = np.concatenate([rows, [[np.inf, 1], [-np.inf, 1], [0, 0], [1e300, -1e300]]])
    agree(ask(LightGBM(), path, asked)[0], booster.predict(asked))


def named(kind: str, *names: str) -> Signature:
    return Signature(tuple(Tensor(one, kind, (-1,)) for one in names), (Tensor("p", "FP32", (-1,)),))


def one_table(kind: str, count: int) -> Signature:
    return Signature((Tensor("rows", kind, (-1, count)),), (Tensor("p", "FP32", (-1,)),))


@pytest.mark.parametrize("base", [2**24, 2**31, 1_700_000_000])
def test_what_float32_cannot_tell_apart_is_exact_or_refused(tmp_path: Path, base: int) -> None:
    """Ids and times in seconds: neighbours are one number in float32."""
    rows = np.column_stack([base + np.arange(400), np.arange(400) % 7]).astype(np.float64)
    booster = boost(tmp_path / "model.txt", rows, rows[:, 0] % 40, objective="regression", num_leaves=31)
    wanted = booster.predict(rows)
    source, path = LightGBM(), tmp_path / "model.txt"
    for signature in (None, one_table("FP64", 2), one_table("INT64", 2)):
        agree(ask(source, path, rows, signature)[0], wanted)
    for signature in (one_table("FP32", 2), named("FP32", "Column_0", "Column_1")):
        with pytest.raises(BadInput, match="cannot tell apart what its splits on Column_0") as caught:
            source.convert(path, signature, [])
        assert "FP64" in caught.value.hint
    graph = source.convert(path, named("INT64", "Column_0", "Column_1"), [])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    columns = {f"Column_{at}": rows[:, at].astype(np.int64) for at in range(2)}
    agree(session.run(None, columns)[0], wanted)


INNER = (
    "sum",
    "rows",
    "shape",
    "half",
    "concat",
    "cast",
    "reshape",
    "treeensembleregressor",
    "column",
    "over",
)


@pytest.mark.parametrize("output", ["p", "sum", "reshape", "through"])
def test_features_may_have_any_name(tmp_path: Path, output: str) -> None:
    """No feature's name meets one that the graph makes up."""
    names = [name for name in INNER if name != output]
    rows = np.random.default_rng(0).normal(size=(200, len(names)))
    data = lightgbm.Dataset(rows, rows[:, 0] > 0, feature_name=names)
    booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 4)
    booster.save_model(tmp_path / "model.txt")
    inputs = tuple(Tensor(one, "FP32", (-1,)) for one in names)
    outputs = (Tensor(output, "FP32", (-1,)), Tensor("label", "INT64", (-1,)))
    graph = LightGBM().convert(tmp_path / "model.txt", Signature(inputs, outputs), [])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    given_rows = rows.astype(np.float32)
    answers = session.run([output, "label"], {name: given_rows[:, at] for at, name in enumerate(names)})
    wanted = booster.predict(given_rows)
    agree(answers[0], wanted)
    assert (answers[1] == (wanted > 0.5)).all()


Change = Callable[[dict[str, Any]], object]
NOT_SERVED: dict[str, tuple[Change, str]] = {
    "a linear booster": (lambda learner: learner["gradient_booster"].update(name="gblinear"), "gblinear"),
    "a hinge": (lambda learner: learner["objective"].update(name="binary:hinge"), "binary:hinge"),
    "a best turn beyond the last": (
        lambda learner: learner["attributes"].update(best_iteration="99"),
        "best_iteration is 99",
    ),
    "a base that is no number": (
        lambda learner: learner["learner_model_param"].update(base_score="NaN"),
        "base_score",
    ),
}


@pytest.mark.parametrize("kind", NOT_SERVED)
def test_what_is_not_served_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    rows, path = table(1), tmp_path / "model.json"
    xgboost.train({"nthread": 1, "verbosity": 0}, matrix(rows, truths(rows)["amount"]), 2).save_model(path)
    data = json.loads(path.read_text())
    change, words = NOT_SERVED[kind]
    change(data["learner"])
    path.write_text(json.dumps(data))
    with pytest.raises(BadInput, match=words):
        XGBoost().convert(path, None, [])


def lightgbm_dump(path: Path, rows: Floats) -> None:
    booster = boost(path, rows, truths(rows)["amount"], objective="regression", turns=2)
    path.write_text(json.dumps(booster.dump_model()))


def xgboost_dump(path: Path, rows: Floats) -> None:
    xgboost.train({"nthread": 1}, matrix(rows, truths(rows)["amount"]), 2).dump_model(
        path, dump_format="json"
    )


def catboost_json(path: Path, rows: Floats) -> None:
    """The keys of `save_model(format="json")`: catboost.ai/docs/en/concepts/python-reference_catboost_save_model"""
    path.write_text(
        json.dumps({"features_info": {}, "model_info": {}, "oblivious_trees": [], "scale_and_bias": []})
    )


OTHER_JSON: dict[str, tuple[Callable[[Path, Floats], None], str]] = {
    "LightGBM's": (lightgbm_dump, "booster.save_model('model.txt')"),
    "a dump of XGBoost's": (xgboost_dump, "booster.save_model('model.json')"),
    "CatBoost's": (catboost_json, "format='onnx'"),
}


@pytest.mark.parametrize("kind", OTHER_JSON)
def test_another_json_is_told_with_what_to_save(tmp_path: Path, kind: str) -> None:
    write, words = OTHER_JSON[kind]
    write(tmp_path / "model.json", table(1))
    with pytest.raises(BadInput, match="JSON of another kind") as caught:
        XGBoost().convert(tmp_path / "model.json", None, [])
    assert words in caught.value.hint


def test_a_booster_without_trees_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    xgboost.train({"nthread": 1}, matrix(table(1), truths(table(1))["amount"]), 0).save_model(path)
    with pytest.raises(BadInput, match="it holds no trees"):
        XGBoost().convert(path, None, [])


@pytest.mark.parametrize(
    ("truth", "options"),
    [
        ("amount", {"objective": "regression"}),
        ("yes", {"objective": "binary"}),
        ("class", {"objective": "multiclass", "num_class": 3}),
        ("amount", {"objective": "regression", "categorical": True, "max_cat_to_onehot": 1}),
    ],
)
def test_linear_leaves_are_refused_by_name(tmp_path: Path, truth: str, options: dict[str, Any]) -> None:
    rows = np.nan_to_num(table(1))
    boost(tmp_path / "model.txt", rows, truths(rows)[truth], linear_tree=True, **options)
    with pytest.raises(BadInput, match="linear model in each leaf") as caught:
        LightGBM().convert(tmp_path / "model.txt", None, [])
    assert "linear_tree=false" in caught.value.hint
