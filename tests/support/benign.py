"""Model files as libraries write them, by name: each maker trains a small model and gives its file and its answers.

Rows are (rows, 4); answers are (rows,), or (rows, 3) of the kinds that end in " of three".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile import benign_graph, saved
from numpy.typing import NDArray

Floats = NDArray[Any]
Made = tuple[Path, Floats]
"""A file, and what its library answers to `ROWS`."""
DRAW = np.random.default_rng(11)
LEARNT, ROWS = DRAW.normal(size=(200, 4)).astype(np.float32), DRAW.normal(size=(16, 4)).astype(np.float32)


def truths(three: bool, positive: bool) -> Floats:
    known = LEARNT[:, 0] + LEARNT[:, 1] / 2
    if three:
        return np.digitize(known, [-0.5, 0.5])
    return np.abs(known) + 0.1 if positive else (known > 0) * 1.0


def xgboost(options: dict[str, Any], three: bool, positive: bool, folder: Path) -> Made:
    import xgboost

    told = {"nthread": 1, "verbosity": 0, "max_depth": 3, **options, **({"num_class": 3} if three else {})}
    booster = xgboost.train(told, xgboost.DMatrix(LEARNT, truths(three, positive)), 5)
    booster.save_model(folder / "model.json")
    return folder / "model.json", booster.predict(xgboost.DMatrix(ROWS))


def lightgbm(options: dict[str, Any], three: bool, positive: bool, folder: Path) -> Made:
    import lightgbm

    told = {"num_threads": 1, "verbosity": -1, "min_data_in_leaf": 5, **options}
    told |= {"num_class": 3} if three else {}
    booster = lightgbm.train(told, lightgbm.Dataset(LEARNT, truths(three, positive)), 5)
    booster.save_model(folder / "model.txt")
    return folder / "model.txt", booster.predict(ROWS)


def catboost(kind: str, folder: Path) -> Made:
    import catboost

    options = {"iterations": 5, "depth": 3, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    model = getattr(catboost, kind)(**options)
    model.fit(LEARNT, truths(kind.endswith("Classifier"), True))
    model.save_model(folder / "model.onnx", format="onnx")
    return folder / "model.onnx", model.predict_proba(ROWS) if "Class" in kind else model.predict(ROWS)


def sklearn(module: str, kind: str, folder: Path) -> Made:
    found = importlib.import_module
    classifies = not kind.endswith("Regressor")
    scaler = found("sklearn.preprocessing").StandardScaler()
    estimator = getattr(found(f"sklearn.{module}"), kind)()
    model = found("sklearn.pipeline").make_pipeline(scaler, estimator)
    model.fit(LEARNT, truths(classifies, True))
    graph = found("skl2onnx").to_onnx(model, LEARNT[:1])
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return folder / "model.onnx", model.predict_proba(ROWS) if classifies else model.predict(ROWS)


def exported(network: Callable[[], torch.nn.Module], folder: Path) -> Made:
    torch.manual_seed(0)
    model, batch = network().eval(), torch.export.Dim("batch")
    program = torch.export.export(model, (torch.ones(2, 4),), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "model.pt2")
    return folder / "model.pt2", model(torch.from_numpy(ROWS)).detach().numpy()


def graph(folder: Path) -> Made:
    return saved(benign_graph(), folder), ROWS @ np.array([1, -1, 0.5, 0], np.float32)


def dense(*layers: torch.nn.Module) -> Callable[[], torch.nn.Module]:
    return lambda: torch.nn.Sequential(torch.nn.Linear(4, 8), *layers, torch.nn.Linear(8, 1), Flat())


class Flat(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.squeeze(1)


SIGNS: dict[str, tuple[dict[str, Any], bool]] = {
    "binary": ({"objective": "binary:logistic"}, False),
    "raw": ({"objective": "binary:logitraw"}, False),
    "squares": ({"objective": "reg:squarederror"}, False),
    "differences": ({"objective": "reg:absoluteerror"}, True),
    "counts": ({"objective": "count:poisson"}, True),
    "gamma": ({"objective": "reg:gamma"}, True),
    "tweedie": ({"objective": "reg:tweedie"}, True),
    "ranks": ({"objective": "rank:pairwise"}, False),
    "dart": ({"objective": "reg:squarederror", "booster": "dart", "rate_drop": 0.5}, True),
    "kinds of three": ({"objective": "multi:softprob"}, False),
}
LEAVES: dict[str, tuple[dict[str, Any], bool]] = {
    "binary": ({"objective": "binary"}, False),
    "entropy": ({"objective": "cross_entropy"}, False),
    "squares": ({"objective": "regression"}, True),
    "roots": ({"objective": "regression", "reg_sqrt": True}, True),
    "counts": ({"objective": "poisson"}, True),
    "gamma": ({"objective": "gamma"}, True),
    "tweedie": ({"objective": "tweedie"}, True),
    "dart": ({"objective": "regression", "boosting": "dart"}, True),
    "forest": (
        {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        True,
    ),
    "kinds of three": ({"objective": "multiclass"}, False),
}
MADE: dict[str, Callable[[Path], Made]] = {
    **{
        f"xgboost {name}": partial(xgboost, options, name.endswith("three"), positive)
        for name, (options, positive) in SIGNS.items()
    },
    **{
        f"lightgbm {name}": partial(lightgbm, options, name.endswith("three"), positive)
        for name, (options, positive) in LEAVES.items()
    },
    "catboost regression": partial(catboost, "CatBoostRegressor"),
    "catboost kinds of three": partial(catboost, "CatBoostClassifier"),
    "sklearn forest of three": partial(sklearn, "ensemble", "RandomForestClassifier"),
    "sklearn boosting of three": partial(sklearn, "ensemble", "GradientBoostingClassifier"),
    "sklearn logistic of three": partial(sklearn, "linear_model", "LogisticRegression"),
    "sklearn trees": partial(sklearn, "ensemble", "ExtraTreesRegressor"),
    "torch dense": partial(exported, dense(torch.nn.ReLU())),
    "torch normed": partial(exported, dense(torch.nn.LayerNorm(8), torch.nn.GELU())),
    "torch batch normed": partial(exported, dense(torch.nn.BatchNorm1d(8), torch.nn.SiLU())),
    "torch gated": partial(exported, dense(torch.nn.Sigmoid(), torch.nn.Dropout(), torch.nn.Softplus())),
    "onnx": graph,
}
NAMES = {
    "catboost regression": ("features", "predictions"),
    "catboost kinds of three": ("features", "probabilities"),
    "sklearn trees": ("X", "variable"),
}
"""Of input and output, where the file's own count."""
NEEDS = {"catboost": ("catboost",), "sklearn": ("sklearn", "skl2onnx")}
"""By the first word of a name: what not every environment has."""
