"""A user's own use case: what he need not write, and every slip told with his file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_shop import SHOP, write_model, write_scaled_model, write_shop

from modelpack.errors import BadInput, EcomdeployError
from modelpack.formats.signature import Run, Signature
from modelpack.formats.variant import Variant
from modelpack.gate.answers import answers
from modelpack.gate.memory import peak_mb
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import DataSpec, ModelSpec, PackSpec
from modelpack.progress import Silent
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server.golden import compare
from modelpack.server.signature import Tensor
from modelpack.sources.base import open_model
from modelpack.usecases.base import Evaluation, usecases
from modelpack.usecases.own_model.model import OwnModel

NAME = "./shop.py:ShopRecs"


def measured(folder: Path, data: Path | None = None) -> tuple[OwnModel, Any, Run, Evaluation]:
    """The way of `prepared` and of the gate's first figure."""
    usecase = usecases().get(NAME, folder)
    assert isinstance(usecase, OwnModel)
    home = Home(folder / "home", folder / "cache")
    held = usecase.prepare_own(data, home, Silent())[0] if data else usecase.prepare(home, Silent())
    variant = open_model(folder / "model.onnx", usecase, folder / "variant")
    run = OnnxRuntime().open(variant, usecase)
    usecase.learn_tolerance(run, held)
    return usecase, held, run, usecase.evaluate(run, held)


def refused(folder: Path, data: Path | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        measured(folder, data)
    return f"{caught.value} | {caught.value.hint}"


def test_what_the_user_need_not_write(tmp_path: Path) -> None:
    write_shop(tmp_path)
    write_model(tmp_path / "model.onnx")
    usecase, held, _, evaluation = measured(tmp_path)
    assert (usecase.name, usecase.title) == ("shop-recs", "Which of three shelves a customer goes to")
    assert usecase.signature() == Signature(
        (Tensor("features", "FP32", (-1, 12)),), (Tensor("scores", "FP32", (-1, 3)),)
    )
    assert evaluation.values.tolist() == [1.0] * 60
    (baseline,) = usecase.baselines(held)
    assert (baseline.about, baseline.must_beat) == ("always the first shelf", True)
    assert 0 < baseline.evaluation.values.mean() < 1
    assert len(usecase.golden(held)) == 9
    assert len(usecase.samples(held).requests) == 12
    assert usecase.examples(held, 256)["features"].shape == (256, 12)


def test_another_model_does_not_pass_for_this_one(tmp_path: Path) -> None:
    """The tolerance comes from how the model's own answers spread: close copies pass, others do not."""
    write_shop(tmp_path)
    write_model(tmp_path / "model.onnx")
    usecase, held, run, _ = measured(tmp_path)

    def told(other: Run) -> int:
        pairs = zip(answers(usecase, run, held), answers(usecase, other, held), strict=True)
        return sum(bool(compare(want, got, usecase.tolerance)) for (_, want), (_, got) in pairs)

    assert told(lambda inputs: {"scores": run(inputs)["scores"] * 1.01 + 0.01}) == 0
    assert told(lambda inputs: {"scores": run(inputs)["scores"][:, ::-1]}) >= 8


def test_a_model_that_takes_one_row_at_a_time_is_served_so(tmp_path: Path) -> None:
    write_shop(tmp_path)
    write_model(tmp_path / "model.onnx", batch=1)
    usecase, _, _, evaluation = measured(tmp_path)
    assert usecase.max_batch == 1
    assert usecase.signature().inputs[0].shape == (-1, 12)
    assert evaluation.values.mean() == 1


def test_one_number_of_a_batch_of_one_is_one_a_row(tmp_path: Path) -> None:
    """torch.onnx.export of a model that also takes a category, with its sample of one: shapes [1, 12] and [1]."""
    import onnx

    write_shop(
        tmp_path, ('{"features": rows}', '{"features": rows, "scale": np.arange(1, 61, dtype="float32")}')
    )
    path = write_scaled_model(tmp_path / "model.onnx")
    graph = onnx.load(str(path))
    for value in (*graph.graph.input, *graph.graph.output):
        sizes = value.type.tensor_type.shape.dim
        (sizes[0] if sizes else sizes.add()).dim_value = 1
    onnx.save(graph, str(path))
    usecase, held, run, evaluation = measured(tmp_path)
    assert [one.shape for one in usecase.signature().inputs] == [(-1, 12), (-1,)]
    assert usecase.max_batch == 1
    assert evaluation.values.mean() == 1
    third = {name: values[2:3] for name, values in held.ready(usecase.signature()).items()}
    assert run(third)["scores"].tolist() == pytest.approx(third["features"][:, :3] * 3)


NAMED = 'metric_name = "accuracy"'


def test_outputs_are_chosen_by_name_and_one_number_a_call_has_a_default(tmp_path: Path) -> None:
    chosen = 'outputs = ("scores",)\n    parameters = {"scale": 2.0}'
    write_shop(tmp_path, (NAMED, f"{NAMED}\n    {chosen}"))
    write_scaled_model(tmp_path / "model.onnx")
    usecase, held, run, evaluation = measured(tmp_path)
    assert usecase.signature() == Signature(
        (Tensor("features", "FP32", (-1, 12)), Tensor("scale", "FP32", (-1,), default=2.0)),
        (Tensor("scores", "FP32", (-1, 3)),),
    )
    assert usecase.max_batch == 1
    assert evaluation.values.mean() == 1
    asked = held.inputs["features"][:1]
    one = {"features": asked, "scale": np.array([3], np.float32)}
    assert run(one)["scores"].tolist() == pytest.approx(np.asarray(asked)[:, :3] * 3)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ('outputs = ("score",)', "it gives no output 'score'"),
        ('parameters = {"scales": 1}', "parameters: the model has no input 'scales'"),
        ("inputs = (Tensor('features', 'FP32', (-1, 12)),)", "names inputs and no outputs"),
        ("outputs = (Tensor('scores', 'FP32', (-1, 3)),)", "names outputs as tensors and no inputs"),
    ],
)
def test_names_that_the_model_does_not_have_are_refused(tmp_path: Path, named: str, words: str) -> None:
    imported = ("import OwnModel", "import OwnModel, Tensor")
    write_shop(tmp_path, imported, (NAMED, f"{NAMED}\n    {named}"))
    write_scaled_model(tmp_path / "model.onnx")
    assert words in refused(tmp_path)


RETURN = 'return {"features": rows}, rows[:, :3].argmax(axis=1)'
METRIC = 'return answers["scores"].argmax(axis=1) == truths'
SLIPS: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "a metric of one parameter": (
        [("def metric(self, answers, truths)", "def metric(self, answers)")],
        ["shop.py:16: metric() must take answers and truths", "def metric(self, answers, truths)"],
    ),
    "a metric of the mean": (
        [(METRIC, f"{METRIC[:7]}({METRIC[7:]}).mean()")],
        ["shop.py:16: metric() answered one number (1)", "60 are wanted", "not its mean()"],
    ),
    "a metric of NaN": (
        [(METRIC, f"return np.where({METRIC[7:]}, np.nan, 1)")],
        ["metric() answered nan for request 1 (60 of 60 are no numbers)"],
    ),
    "a metric of words": ([(METRIC, "return ['good'] * len(truths)")], ["metric() answered a list, not numbers"]),
    "a metric of another length": (
        [(METRIC, "return [1, 0]")],
        ["metric() answered the shape [2] for 60 requests"],
    ),
    "a metric that asks for another output": (
        [('answers["scores"]', 'answers["score"]')],
        ["shop.py:17: metric() raised NoOutput: the model does not answer 'score'; it answers: scores"],
    ),
    "requests that raise": (
        [("        rows =", "        open('held-out.npz')\n        rows =")],
        ["shop.py:13: requests() raised FileNotFoundError", "held-out.npz"],
    ),
    "requests that leave": (
        [("        rows =", "        raise SystemExit('enough')\n        rows =")],
        ["shop.py:13: requests() raised SystemExit: enough"],
    ),
    "requests without truths": (
        [(RETURN, 'return {"features": rows}')],
        ["shop.py:12: requests() answered a dict", "return inputs, truths"],
    ),
    "unequal lengths": (
        [(RETURN, 'return {"features": rows}, [0, 1]')],
        ["requests() answered unequal lengths: input 'features' 60, truths 2"],
    ),
    "too few": ([("(60, 12)", "(5, 12)")], ["requests() answered 5 requests; at least 20"]),
    "another name": (
        [('{"features": rows}', '{"feature": rows}')],
        [
            "the model has no input 'feature' (did you mean 'features'?)",
            "lacks the model's input features FP32[-1, 12]",
        ],
    ),
    "another shape": (
        [('{"features": rows}', '{"features": rows[:, :5]}')],
        ["input 'features': each request has the shape [5]; the model takes features FP32[-1, 12]"],
    ),
    "another kind": (
        [('{"features": rows}', '{"features": rows.astype(str)}')],
        ["input 'features': its values are <U32; the model takes features FP32[-1, 12]"],
    ),
    "not a number": (
        [("        return {", "        rows[3, 2] = np.nan\n        return {")],
        ["input 'features': request 3 holds nan; if the model takes missing values, say so: Tensor('features'"],
    ),
    "ragged requests": (
        [('{"features": rows}', '{"features": [[1, 2], [3]] * 30}')],
        ["input 'features' has requests of unequal shapes"],
    ),
    "a baseline that is no dict": (
        [('return {"scores": np.tile', 'return (np.tile'), ("(len(inputs[\"features\"]), 1))}", "(60, 1)))")],
        [],
    ),
    "a class that is none": ([("(OwnModel)", "")], ["is not a use case", "subclass OwnModel"]),
    "another class": (
        [("class ShopRecs", "class ShopRec")],
        ["./shop.py has no 'ShopRecs'", "did you mean 'ShopRec'?"],
    ),
    "an import that fails": (
        [("import numpy as np\n", "import numpy as np\nimport catboost_of_mine\n")],
        ["shop.py:3: use case", "ModuleNotFoundError: No module named 'catboost_of_mine'"],
    ),
    "a slip of the pen": (
        [("def metric(self, answers, truths):", "def metric(self, answers, truths)")],
        ["shop.py:16", "SyntaxError"],
    ),
    "no metric at all": ([("def metric(", "def metrics(")], ["./shop.py:ShopRecs lacks metric()"]),
    "requests of two": (
        [("def requests(self)", "def requests(self, data, more)")],
        ["shop.py:12: requests() must take nothing, or the data's path"],
    ),
    "data that is not given": (
        [("def requests(self)", "def requests(self, data)")],
        ["shop.py:12: requests() takes data, and none is given", "add data: {path: ...}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_every_slip_is_told_with_file_and_line(tmp_path: Path, slip: str) -> None:
    changes, words = SLIPS[slip]
    write_shop(tmp_path, *changes)
    write_model(tmp_path / "model.onnx")
    if slip == "a baseline that is no dict":
        usecase, held, _, _ = measured(tmp_path)
        with pytest.raises(BadInput, match=r"shop.py:19: baseline\(\) answered a ndarray"):
            usecase.baselines(held)
        return
    told = refused(tmp_path)
    for word in words:
        assert word in told, told


def test_data_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    write_shop(tmp_path)
    write_model(tmp_path / "model.onnx")
    assert "data is given, and requests() does not take it" in refused(tmp_path, tmp_path)


def test_models_that_no_request_fits(tmp_path: Path) -> None:
    write_shop(tmp_path)
    write_model(tmp_path / "model.onnx", batch=16)
    assert "its input 'features' is fixed to 16 rows" in refused(tmp_path)


def test_declared_inputs_and_outputs_are_held_to(tmp_path: Path) -> None:
    declared = (
        '    inputs = (Tensor("features", "FP32", (-1, 7)),)\n'
        '    outputs = (Tensor("scores", "FP32", (-1, 3)),)\n'
    )
    write_shop(
        tmp_path,
        ("import OwnModel", "import OwnModel, Tensor"),
        ("    metric_name", declared + "    metric_name"),
    )
    write_model(tmp_path / "model.onnx")
    assert "its inputs are features FP32[-1, 12]; wanted: features FP32[-1, 7]" in refused(tmp_path)


def test_ranges_are_never_found_on_held_out_requests(tmp_path: Path) -> None:
    method = (
        "    def training_inputs(self):\n"
        "        rows = np.random.default_rng(0).normal(size=(60, 12)).astype('float32')\n"
        "        return {'features': rows}\n"
    )
    write_shop(tmp_path, text=SHOP + method)
    write_model(tmp_path / "model.onnx")
    usecase, held, _, _ = measured(tmp_path)
    with pytest.raises(BadInput, match="nothing but held-out requests"):
        usecase.calibration(held)
    write_shop(tmp_path, ("(60, 12)).astype('float32')", "(90, 12)).astype('float32')"), text=SHOP + method)
    usecase, held, _, _ = measured(tmp_path)
    found = usecase.calibration(held)
    assert found is not None
    assert len(found["features"]) == 30


def request(folder: Path, **more: Any) -> PackRequest:
    return PackRequest(
        NAME, more.pop("model", ModelSpec(path="model.onnx")), PackSpec(), "ml.c7i.xlarge", folder, **more
    )


def test_file_model_and_data_name_the_pack(tmp_path: Path) -> None:
    write_shop(tmp_path)
    write_model(tmp_path / "model.onnx")
    (tmp_path / "held-out.csv").write_text("1\n")
    first = resolve(request(tmp_path)).verdict_digest
    assert resolve(request(tmp_path)).verdict_digest == first
    write_shop(tmp_path, ('"accuracy"', '"share right"'))
    second = resolve(request(tmp_path)).verdict_digest
    assert second != first
    with_data = request(tmp_path, data=DataSpec(path="held-out.csv"))
    third = resolve(with_data).verdict_digest
    assert third != second
    (tmp_path / "held-out.csv").write_text("2\n")
    assert resolve(with_data).verdict_digest != third


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"model": ModelSpec()}, "trains nothing: it needs a model file"),
        ({"model": ModelSpec(path="gone.onnx")}, "no such model file"),
        ({"data": DataSpec(path="gone.csv")}, "there is no such file or folder"),
    ],
)
def test_what_is_not_there_is_told_before_anything_runs(tmp_path: Path, more: Any, words: str) -> None:
    write_shop(tmp_path, ("        rows =", "        raise AssertionError\n        rows ="))
    write_model(tmp_path / "model.onnx")
    with pytest.raises(BadInput, match=words):
        resolve(request(tmp_path, **more))


def test_a_fresh_process_knows_what_the_model_takes(tmp_path: Path) -> None:
    write_shop(tmp_path)
    write_model(tmp_path / "model.onnx")
    usecase, held, _, _ = measured(tmp_path)
    variant = Variant("onnx", tmp_path / "variant" / "model.onnx")
    assert 10 < peak_mb(variant, usecase, usecase.examples(held, 8)) < 1000


def test_texts_go_in_and_labels_come_out(tmp_path: Path) -> None:
    """String tensors, as scikit-learn's converter writes them for columns of text."""
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node(
        "LabelEncoder", ["kind"], ["shelf"], domain="ai.onnx.ml",
        keys_strings=["shoe", "hat"], values_strings=["left", "right"], default_string="nowhere",
    )  # fmt: skip
    sides = [
        helper.make_tensor_value_info(name, TensorProto.STRING, ["rows", 1]) for name in ("kind", "shelf")
    ]
    graph = helper.make_graph([node], "shelves", sides[:1], sides[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(tmp_path / "model.onnx"))
    write_shop(
        tmp_path,
        ("np.random.default_rng(0).normal(size=(60, 12))", 'np.array([["shoe"], ["hat"]] * 30)'),
        ('.astype("float32")', ""),
        (RETURN, 'return {"kind": rows}, ["left", "right"] * 30'),
        (METRIC, 'return answers["shelf"][:, 0] == np.array(truths)'),
    )  # fmt: skip
    usecase, held, run, evaluation = measured(tmp_path)
    assert evaluation.values.mean() == 1
    request, answer = answers(usecase, run, held)[0]
    assert request == {"instances": [{"kind": ["shoe"]}]}
    assert answer == {"predictions": [{"shelf": ["left"]}]}
    examples = usecase.examples(held, 3)
    assert np.asarray(examples["kind"]).shape == (3, 1)
    assert peak_mb(Variant("onnx", tmp_path / "variant" / "model.onnx"), usecase, examples) > 10


def test_a_request_that_the_model_fails_on_is_told_as_the_model_s(tmp_path: Path) -> None:
    """One that lies beyond the first batch: an index outside of a table of three."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = numpy_helper.from_array(np.eye(3, dtype=np.float32), "table")
    node = helper.make_node("Gather", ["table", "features"], ["scores"])
    given = helper.make_tensor_value_info("features", TensorProto.INT64, ["rows"])
    answer = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 3])
    graph = helper.make_graph([node], "shelves", [given], [answer], [table])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "model.onnx"))
    rows = "rows = np.append(np.zeros(599, np.int64), 7)"
    write_shop(
        tmp_path,
        ('rows = np.random.default_rng(0).normal(size=(60, 12)).astype("float32")', rows),
        (RETURN, 'return {"features": rows}, rows'),
    )
    usecase = usecases().get(NAME, tmp_path)
    assert isinstance(usecase, OwnModel)
    held = usecase.prepare(Home(tmp_path / "home", tmp_path / "cache"), Silent())
    variant = open_model(tmp_path / "model.onnx", usecase, tmp_path / "variant")
    run = OnnxRuntime().open(variant, usecase)
    with pytest.raises(EcomdeployError, match=r"ONNX Runtime cannot run the model: .*indices"):
        usecase.evaluate(run, held)
