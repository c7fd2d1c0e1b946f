"""What is served is the user's own model: held against the library that wrote it, or against answers that he kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from own_shop import write_model, write_shop

from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.signature import Run
from modelpack.gate.answers import answers
from modelpack.gate.fidelity import (
    Fidelity,
    ask_library,
    ask_ours,
    check_fidelity,
    check_repeats,
    differences,
)
from modelpack.gate.reference import prepare
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import ModelSpec, PackSpec
from modelpack.progress import Progress, Silent
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.sources.base import open_model
from modelpack.sources.xgboost import XGBoost
from modelpack.usecases.base import usecases
from modelpack.usecases.own_model.model import OwnModel

Floats = NDArray[Any]
FEATURES, ROWS = 4, 60
OWN = '''
import numpy as np
from ecomdeploy import OwnModel, Tensor

class Own(OwnModel):
    """A model of a user's"""

    metric_name = "worth"

    def requests(self):
        rows = np.random.default_rng(5).normal(size=(60, 4)).astype("float32")
        return {"features": rows}, np.ones(60)

    def metric(self, answers, truths):
        return truths
'''


def rows_of(seed: int, count: int = ROWS) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)


def early_stopped(folder: Path) -> Path:
    """Fifty turns too many, by XGBoost."""
    import xgboost

    rows, noise = rows_of(1, 300), np.random.default_rng(2).integers(0, 2, 100)
    watched = [(xgboost.DMatrix(rows_of(3, 100), noise), "held")]
    booster = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1, "eta": 0.7},
        xgboost.DMatrix(rows, rows[:, 0] > 0),
        50,
        evals=watched,
        early_stopping_rounds=8,
        verbose_eval=False,
    )
    booster.save_model(folder / "model.json")
    return folder / "model.json"


def several_classes(folder: Path) -> Path:
    import xgboost

    rows = rows_of(1, 300)
    told = {"objective": "multi:softmax", "num_class": 3, "nthread": 1}
    booster = xgboost.train(told, xgboost.DMatrix(rows, np.digitize(rows[:, 0], [-0.5, 0.5])), 8)
    booster.save_model(folder / "model.json")
    return folder / "model.json"


def leaves(folder: Path) -> Path:
    import lightgbm

    rows = rows_of(1, 300)
    told = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    lightgbm.train(told, lightgbm.Dataset(rows, rows[:, 0] > 0), 9).save_model(folder / "model.txt")
    return folder / "model.txt"


def program(folder: Path) -> Path:
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(FEATURES, 8), torch.nn.GELU(), torch.nn.Linear(8, 3)).eval()
    shapes = ({0: torch.export.Dim("rows")},)
    exported = torch.export.export(module, (torch.zeros(2, FEATURES),), dynamic_shapes=shapes)
    torch.export.save(exported, folder / "model.pt2")
    return folder / "model.pt2"


def program_by_names(folder: Path) -> Path:
    """Called with keywords, of a dict: nothing stands at a place."""
    import torch

    torch.manual_seed(0)

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(FEATURES, 3)

        def forward(self, *, row: dict[str, Any]) -> dict[str, Any]:
            return {"scores": self.layer(row["features"]).softmax(1)}

    shapes = {"row": {"features": {0: torch.export.Dim("rows")}}}
    given = {"row": {"features": torch.zeros(2, FEATURES)}}
    torch.export.save(
        torch.export.export(Named().eval(), (), given, dynamic_shapes=shapes), folder / "model.pt2"
    )
    return folder / "model.pt2"


def decomposed_program(folder: Path) -> Path:
    """In float64 within, and in the core operators that `run_decompositions` leaves."""
    import torch

    torch.manual_seed(0)

    class Wide(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(FEATURES, 3).double()

        def forward(self, features: Any) -> Any:
            return self.layer(features.double()).softmax(1).float()

    shapes = ({0: torch.export.Dim("rows")},)
    exported = torch.export.export(Wide().eval(), (torch.zeros(2, FEATURES),), dynamic_shapes=shapes)
    torch.export.save(exported.run_decompositions(), folder / "model.pt2")
    return folder / "model.pt2"


WRITTEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "xgboost, stopped early": (early_stopped, "xgboost 3"),
    "xgboost, classes alone": (several_classes, "xgboost 3"),
    "lightgbm": (leaves, "lightgbm 4"),
    "torch": (program, "torch 2"),
    "torch, by names": (program_by_names, "torch 2"),
    "torch, decomposed": (decomposed_program, "torch 2"),
}
KINDS = [pytest.param(kind, marks=[pytest.mark.slow] if kind.startswith("torch") else []) for kind in WRITTEN]


def read(path: Path, folder: Path, *changes: tuple[str, str]) -> tuple[OwnModel, Any, Run]:
    """The model as it would be served, and the use case that it was read for."""
    write_shop(folder, *changes, text=OWN)
    usecase = usecases().get("./shop.py:Own", folder)
    assert isinstance(usecase, OwnModel)
    held = usecase.prepare(Home(folder / "home", folder / "cache"), Silent())
    variant = open_model(path, usecase, folder / "variant")
    # Which name the exporter gave it is not what is asked here.
    (given,) = usecase.signature().inputs
    if given.name != "features":
        write_shop(folder, *changes, ('"features": rows', f'"{given.name}": rows'), text=OWN)
        usecase = usecases().get("./shop.py:Own", folder)
        assert isinstance(usecase, OwnModel)
        held = usecase.prepare(Home(folder / "home", folder / "cache"), Silent())
        variant = open_model(path, usecase, folder / "again")
    return usecase, held, OnnxRuntime().open(variant, usecase)


@dataclass(frozen=True)
class Opened:
    """A model of one kind, read; `by`: who is asked about it."""

    folder: Path
    path: Path
    by: str
    usecase: OwnModel
    held: Any
    run: Run


@pytest.fixture(scope="module", params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Written by its library and read, once for all that is asked about it."""
    write, by = WRITTEN[request.param]
    folder = tmp_path_factory.mktemp("opened")
    path = write(folder)
    return Opened(folder, path, by, *read(path, folder))


def test_the_library_that_wrote_it_is_asked(opened: Opened) -> None:
    (found,) = check_fidelity(opened.usecase, opened.run, opened.held, opened.path, opened.folder)
    assert found.by.startswith(opened.by)
    assert found.requests == ROWS
    assert found.largest
    assert max(found.largest.values()) < 1e-5
    assert found.as_data()["by"] == found.by


def test_what_reading_lost_is_told_with_the_first_request(opened: Opened) -> None:
    """A reader that is wrong for some rows alone: the 18th, and the 40th."""

    def wrong(inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        found = {name: np.array(values) for name, values in opened.run(inputs).items()}
        for name, values in found.items():
            if values.dtype.kind == "f":
                found[name][[17, 39]] = values[[17, 39]] * 1.01 + 0.01
        return found

    with pytest.raises(BadInput, match=r"request 18: ") as caught:
        check_fidelity(opened.usecase, wrong, opened.held, opened.path, opened.folder)
    assert opened.by in str(caught.value)
    assert "as served" in str(caught.value)


class Elsewhere(XGBoost):
    """A library that this machine lacks."""

    library: ClassVar[str] = "nobodys_boosting"


class Failing(XGBoost):
    """A library that does not survive the file: what the child calls in its place ends it."""


Failing.__module__, Failing.__qualname__ = "faulthandler", "_sigsegv"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Elsewhere(), "nobodys_boosting, which wrote it, is not installed here"),
        (Failing(), "xgboost could not be asked: the process that reads it ended with SIGSEGV"),
    ],
    ids=["not installed", "a crash"],
)
def test_a_library_that_cannot_be_asked_is_told(tmp_path: Path, source: XGBoost, words: str) -> None:
    path = early_stopped(tmp_path)
    usecase, held, run = read(path, tmp_path)
    asked = ask_ours(usecase, run, held)
    found = ask_library(source, usecase, asked, path, tmp_path)
    assert (found.by, found.requests) == ("", 0)
    assert words in found.because
    assert found.as_data() == {"by": None, "because": found.because}


KEPT = """
    def expected(self):
        rows = self.requests()[0]["features"]
        return {"scores": GIVEN}
"""
GRAPH = [("size=(60, 4)", "size=(60, 12)")]


def graph(folder: Path, given: str) -> tuple[OwnModel, Any, Run, Path]:
    path = write_model(folder / "model.onnx")
    text = ("    def metric(", KEPT.replace("GIVEN", given) + "\n    def metric(")
    usecase, held, run = read(path, folder, *GRAPH, text)
    return usecase, held, run, path


def test_answers_that_the_user_kept_are_compared(tmp_path: Path) -> None:
    usecase, held, run, path = graph(tmp_path, "rows[:, :3]")
    (found,) = check_fidelity(usecase, run, held, path, tmp_path)
    assert found == Fidelity("the answers that expected() gives", ROWS, {"scores": 0.0})


def test_answers_kept_in_half_precision_are_as_near_as_those_can_be(tmp_path: Path) -> None:
    """What a GPU answers in float16 is another last digit of a thousand, which in float32 would be another model."""
    usecase, held, run, path = graph(tmp_path, '(rows[:, :3] * 1.005).astype("float16")')
    (found,) = check_fidelity(usecase, run, held, path, tmp_path)
    assert 0 < found.largest["scores"] < 0.05


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rows[:, :3] * np.float32(1.005)", "by the answers that expected() gives, and ["),
        ("rows[:, :3] + (np.arange(60) == 33)[:, None]", "request 34: scores is ["),
        ("rows[:, 1:4]", "request 1: scores is ["),
        ("rows[:, :2]", "'scores' has the shape [60, 2]; served: [60, 3]"),
        ("rows[:5, :3]", "shop.py:15: expected() answered 'scores' as [5, 3] for 60 requests"),
        ("1", "expected() answered 'scores' as [] for 60 requests"),
    ],
)
def test_other_answers_than_the_user_kept_are_refused(tmp_path: Path, given: str, words: str) -> None:
    usecase, held, run, path = graph(tmp_path, given)
    with pytest.raises(BadInput) as caught:
        check_fidelity(usecase, run, held, path, tmp_path)
    assert words in str(caught.value)


def test_an_answer_of_another_name_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model.onnx")
    text = ("    def metric(", KEPT.replace('"scores": GIVEN', '"score": [1] * 60') + "\n    def metric(")
    usecase, held, run = read(tmp_path / "model.onnx", tmp_path, *GRAPH, text)
    with pytest.raises(BadInput, match="does not answer 'score'"):
        check_fidelity(usecase, run, held, tmp_path / "model.onnx", tmp_path)


def test_a_graph_alone_is_nobody_s(tmp_path: Path) -> None:
    """An .onnx file is run as it came: the record says that nothing was compared, and what would be."""
    path = write_model(tmp_path / "model.onnx")
    usecase, held, run = read(path, tmp_path, *GRAPH)
    (found,) = check_fidelity(usecase, run, held, path, tmp_path)
    assert found.by == ""
    assert "def expected(self)" in found.words


@pytest.mark.parametrize(
    ("ours", "theirs", "wrong"),
    [
        ([1.0, 2.0], [1.0, 2.00001], [False, False]),
        ([1.0, 2.0], [1.0, 2.001], [False, True]),
        ([np.nan, 2.0], [np.nan, 2.0], [False, False]),
        ([np.nan, 2.0], [1.0, np.nan], [True, True]),
        ([-np.inf, np.inf], [-np.inf, -np.inf], [False, True]),
        ([1e-9, 0.0], [0.0, 0.0], [False, False]),
        ([1, 2], [1, 3], [False, True]),
        (["a", "b"], ["a", "c"], [False, True]),
    ],
)
def test_what_counts_as_another_answer(ours: list[Any], theirs: list[Any], wrong: list[bool]) -> None:
    assert differences(np.array(ours), np.array(theirs), 1e-4)[1].tolist() == wrong


Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]
DRAWN: dict[str, tuple[Nodes, str]] = {
    "noise": (
        [
            ("RandomNormalLike", ["features"], ["e"], {"scale": 0.3}),
            ("Add", ["features", "e"], ["scores"], {}),
        ],
        "RandomNormalLike",
    ),
    "dropout in training": (
        [("Dropout", ["features", "half", "yes"], ["scores"], {})],
        "Dropout",
    ),
    "a coin": (
        [("Sigmoid", ["features"], ["p"], {}), ("Bernoulli", ["p"], ["scores"], {})],
        "Bernoulli",
    ),
}


def drawn_graph(path: Path, nodes: Nodes) -> Path:
    import onnx
    from onnx import TensorProto, helper

    constants = [
        helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
    ]
    made = helper.make_graph(
        [helper.make_node(op, given, made, **more) for op, given, made, more in nodes],
        "drawn",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", FEATURES])],
        [one for one in constants if any(one.name in given for _, given, _, _ in nodes)],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def prepared(folder: Path, progress: Progress | None = None) -> Any:
    request = PackRequest("./shop.py:Own", ModelSpec(path="model.onnx"), PackSpec(), "ml.c7i.xlarge", folder)
    (folder / "work").mkdir()
    return prepare(
        resolve(request), Home(folder / "home", folder / "cache"), folder / "work", progress or Silent()
    )


@pytest.mark.parametrize("kind", DRAWN)
def test_a_graph_that_answers_otherwise_each_time_is_refused(tmp_path: Path, kind: str) -> None:
    nodes, operator = DRAWN[kind]
    drawn_graph(tmp_path / "model.onnx", nodes)
    write_shop(tmp_path, text=OWN)
    with pytest.raises(BadInput, match="answers the same request otherwise each time") as caught:
        prepared(tmp_path)
    assert f"draws random numbers in {operator}" in str(caught.value)
    assert "eval()" in caught.value.hint


def test_a_graph_that_repeats_itself_passes(tmp_path: Path) -> None:
    drawn_graph(tmp_path / "model.onnx", [("Dropout", ["features"], ["scores"], {})])
    write_shop(tmp_path, text=OWN)
    reference = prepared(tmp_path)
    assert reference.company == ""
    assert [one.by for one in reference.fidelity] == [""]


def counted(path: Path, usecase: OwnModel, held: Any) -> None:
    """A model that answers by how often it was asked."""
    asked = []

    def run(inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        asked.append(1)
        return {"scores": inputs["features"][:, :3] + len(asked)}

    variant = open_model(path, usecase, path.parent / "more")
    check_repeats(usecase, run, held, variant, path)


def test_a_model_with_a_memory_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx")
    usecase, held, _ = read(path, tmp_path, *GRAPH)
    with pytest.raises(BadInput, match="otherwise each time: request 1: scores is") as caught:
        counted(path, usecase, held)
    assert "draws" not in str(caught.value)


FIXED_INSIDE: dict[str, tuple[Nodes, str]] = {
    "a reshape to one row": (
        [
            ("Constant", [], ["shape"], {"value_ints": [1, FEATURES]}),
            ("Reshape", ["features", "shape"], ["scores"], {}),
        ],
        "with 2 it fails",
    ),
    "one answer for all": (
        [("ReduceMean", ["features"], ["scores"], {"axes": [0], "keepdims": 1})],
        "with 2 its answer 'scores' is [1, 4]",
    ),
    "a state of one row": (
        [
            ("Constant", [], ["state"], {"value_floats": [0.0] * FEATURES}),
            ("Constant", [], ["shape"], {"value_ints": [1, FEATURES]}),
            ("Reshape", ["state", "shape"], ["one"], {}),
            ("Concat", ["features", "one"], ["both"], {"axis": 0}),
            ("Constant", [], ["begin"], {"value_ints": [0]}),
            ("Constant", [], ["end"], {"value_ints": [1]}),
            ("Slice", ["both", "begin", "end", "begin"], ["scores"], {}),
        ],
        "with 2 its answer 'scores' is [1, 4]",
    ),
}


@pytest.mark.parametrize("kind", FIXED_INSIDE)
def test_a_graph_that_has_one_row_inside_is_served_one_at_a_time(tmp_path: Path, kind: str) -> None:
    """Its input's first axis is called free, and is not."""
    nodes, words = FIXED_INSIDE[kind]
    drawn_graph(tmp_path / "model.onnx", nodes)
    write_shop(tmp_path, text=OWN)
    heard = Silent()
    reference = prepared(tmp_path, heard)
    assert reference.trials.usecase.max_batch == 1
    assert any("one row at a time" in note and words in note for note in heard.lines)
    trials = reference.trials
    assert len(answers(trials.usecase, trials.run(trials.reference), trials.data)) > 1


def test_a_graph_that_fails_on_one_row_is_refused_with_the_request(tmp_path: Path) -> None:
    nodes: Nodes = [("Split", ["features"], ["scores", "rest"], {"axis": 0})]
    drawn_graph(tmp_path / "model.onnx", nodes)
    write_shop(tmp_path, text=OWN)
    with pytest.raises(BadInput, match="does not answer a request alone: with 1 it fails") as caught:
        prepared(tmp_path)
    assert '{"features": [' in str(caught.value)


NOT_FINITE: dict[str, Nodes] = {
    "a logarithm of zero": [("Relu", ["features"], ["r"], {}), ("Log", ["r"], ["scores"], {})],
    "a root below zero": [("Sqrt", ["features"], ["scores"], {})],
    "a division by zero": [("Relu", ["features"], ["r"], {}), ("Reciprocal", ["r"], ["scores"], {})],
}
PLAIN = 'return {"features": rows}'


def shifted(words: str) -> tuple[str, str]:
    """Rows moved, so that some or all of them are below zero."""
    return (PLAIN, f'return {{"features": (rows + {words}).astype("float32")}}')


@pytest.mark.parametrize("kind", NOT_FINITE)
def test_an_answer_that_is_no_number_is_no_golden_one(tmp_path: Path, kind: str) -> None:
    """Every other row is answered with numbers: golden requests are of those, and the user is told of the rest."""
    drawn_graph(tmp_path / "model.onnx", NOT_FINITE[kind])
    write_shop(tmp_path, shifted("np.arange(60)[:, None] % 2 * 9"), text=OWN)
    reference = prepared(tmp_path)
    trials = reference.trials
    pairs = answers(trials.usecase, trials.run(trials.reference), trials.data)
    assert len(pairs) > 1
    assert np.isfinite([one["scores"] for _, answer in pairs for one in answer["predictions"]]).all()
    (told,) = trials.usecase.slips_told()
    assert "request 1 is answered with scores" in told
    assert "none of them is a golden request" in told


@pytest.mark.parametrize("kind", NOT_FINITE)
def test_a_model_that_answers_no_request_with_numbers_is_refused(tmp_path: Path, kind: str) -> None:
    drawn_graph(tmp_path / "model.onnx", NOT_FINITE[kind])
    write_shop(tmp_path, shifted("-50"), text=OWN)
    with pytest.raises(BadInput, match=r"request 1 is answered with scores .* and so are all"):
        prepared(tmp_path)


def test_no_golden_answer_of_any_use_case_is_no_number(tmp_path: Path) -> None:
    """A use case of ours with a given model names the request instead of writing what no server can read."""
    from tiny_usecase import Tiny

    tiny = Tiny()
    data = tiny.prepare(Home(tmp_path, tmp_path), Silent())

    def run(inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        items = inputs["item"]
        return {"next": items, "score": np.where(items == 2, np.nan, 1).astype(np.float32)}

    with pytest.raises(EcomdeployError, match="something that is no number"):
        answers(tiny, run, data)
