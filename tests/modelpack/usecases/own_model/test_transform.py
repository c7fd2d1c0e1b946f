"""A user's code before and after his model: measured with it, packed with it, and its slips told with his line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from own_shop import FEATURES, TRANSFORMED, write_model, write_shop

from modelpack.errors import BadInput
from modelpack.formats.signature import Run
from modelpack.formats.variant import Variant
from modelpack.gate.answers import answers, check_shapes, depend_on_others
from modelpack.home import Home
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import ModelSpec, PackSpec
from modelpack.progress import Silent
from modelpack.runtimes.onnxruntime import OnnxRuntime
from modelpack.server import ready, transform
from modelpack.server.engines.base import InvalidInput
from modelpack.server.engines.load import load
from modelpack.server.golden import Golden
from modelpack.server.http.instances import Instances
from modelpack.server.http.limits import Limits
from modelpack.server.http.metrics import Metrics
from modelpack.server.signature import ModelSignature, Tensor, Unfit
from modelpack.sources.base import open_model
from modelpack.usecases.base import usecases
from modelpack.usecases.optional.serving import companions_of, interface_of
from modelpack.usecases.optional.transform import transform_file_of
from modelpack.usecases.own_model.model import OwnModel

NAME = "./shop.py:ShopRecs"


def opened(
    folder: Path, *changes: tuple[str, str], shop: tuple[tuple[str, str], ...] = ()
) -> tuple[OwnModel, Any, Run, Variant]:
    """The use case, its requests and the running model, with parts of the user's code, and of shop.py, replaced."""
    write_shop(folder, text=changed(TRANSFORMED, shop))
    (folder / "features.py").write_text(changed(FEATURES, changes))
    write_model(folder / "model.onnx")
    usecase = usecases().get(NAME, folder)
    assert isinstance(usecase, OwnModel)
    held = usecase.prepare(Home(folder / "home", folder / "cache"), Silent())
    variant = open_model(folder / "model.onnx", usecase, folder / "variant")
    run = OnnxRuntime().open(variant, usecase)
    usecase.learn_tolerance(run, held)
    return usecase, held, run, variant


def changed(text: str, changes: Iterable[tuple[str, str]]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def test_requests_answers_and_the_metric_are_callers(tmp_path: Path) -> None:
    usecase, held, run, _ = opened(tmp_path)
    assert usecase.evaluate(run, held).values.tolist() == [1.0] * 60
    (request, answer), *_ = answers(usecase, run, held)
    assert sorted(request["instances"][0]) == ["cents", "least"]
    assert sorted(answer["predictions"][0]) == ["shelf", "sure"]
    examples = usecase.examples(held, 8)
    assert list(examples) == ["features"]
    assert examples["features"].dtype == np.float32
    check_shapes(run, usecase.signature(), examples, 8)
    assert depend_on_others(usecase, run, held) == ""


def serving(usecase: OwnModel, variant: Variant, golden: tuple[Golden, ...] = ()) -> ModelSignature:
    interface = interface_of(usecase)
    return ModelSignature(
        1,
        "shop",
        "onnxruntime",
        variant.path.name,
        interface.inputs,
        interface.outputs,
        golden=golden,
        tolerance={name: dict(rule) for name, rule in usecase.tolerance.items()},
        transform=transform_file_of(usecase),
    )


def test_the_server_answers_as_was_measured(tmp_path: Path) -> None:
    usecase, held, run, variant = opened(tmp_path)
    golden = tuple(Golden(dict(asked), answer) for asked, answer in answers(usecase, run, held))
    written = msgspec.json.encode(serving(usecase, variant, golden))
    signature = msgspec.json.decode(written, type=ModelSignature)
    for name, content in companions_of(usecase, held).items():
        (variant.path.parent / name).write_bytes(content)
    engine = ready.wrap(signature, variant.path.parent, load(signature, variant.path.parent))
    ready.check_golden(signature, Instances(signature.inputs), engine)
    ready.check_rows(signature, Instances(signature.inputs), engine)
    feeds, _ = Instances(signature.inputs).decode(json.dumps({"instances": [{"cents": [-1, 2, 3]}]}).encode())
    with pytest.raises(InvalidInput, match="cents are never below zero"):
        engine.run(feeds)


def test_code_that_mixes_callers_is_found(tmp_path: Path) -> None:
    usecase, held, run, _ = opened(tmp_path, ("> 9", ">= scores.max()"))
    assert depend_on_others(usecase, run, held)


SLIPS: dict[str, tuple[tuple[str, str], str]] = {
    "it raises": (("/ 100", "/ undefined"), "features.py:9: NameError: name 'undefined' is not defined"),
    "it refuses what is asked": (("< 0", "< 1e9"), "features.py:7: ValueError: cents are never below zero"),
    "it gives nothing": (('return {"features": features}', "return None"), "prepare() gave a NoneType"),
    "it gives another name": (('{"features": features}', '{"feature": features}'), "does not give features"),
    "it gives other rows": (
        ('{"features": features}', '{"features": features[:1]}'),
        "gives features as [1, 12]",
    ),
    "it gives text for numbers": (
        ('{"features": features}', '{"features": features.astype(str)}'),
        "gives features as <U32; wanted: FP32",
    ),
    "it lacks an answer": ((', "sure": scores.max(axis=1) > 9', ""), "finish() does not give sure"),
    "it has neither": (("def prepare", "def before"), "it has neither prepare(inputs) nor finish(answers)"),
    "it does not load": (("import numpy as np", "import nump"), "features.py:2: ModuleNotFoundError"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_are_told_with_the_line(tmp_path: Path, slip: str) -> None:
    (old, new), words = SLIPS[slip]
    changes = [(old, new), *([("def finish", "def after")] if slip == "it has neither" else [])]

    def go() -> None:
        usecase, held, run, _ = opened(tmp_path, *changes)
        usecase.evaluate(run, held)

    with pytest.raises(BadInput) as caught:
        go()
    assert words in str(caught.value)


def test_the_file_must_be_there(tmp_path: Path) -> None:
    write_shop(tmp_path, text=TRANSFORMED)
    with pytest.raises(BadInput, match="transform: there is no such file"):
        usecases().get(NAME, tmp_path)


def test_the_server_does_not_serve_code_that_does_not_load(tmp_path: Path) -> None:
    usecase, _, _, variant = opened(tmp_path)
    (variant.path.parent / "transform.py").write_text("import nothing_of_that_name")
    with pytest.raises(Unfit, match=r"transform.py: ModuleNotFoundError"):
        transform.wrap(serving(usecase, variant), variant.path.parent, usecase)  # type: ignore[arg-type]


TAKES_MORE = (
    (
        "outputs=(",
        'extra_fields="more",\n        outputs=(Tensor("coupon", "BYTES", (-1,)), ',
    ),
    ('return {"cents": cents}', 'return {"cents": cents, "coupon": [f"c{row}" for row in range(60)]}'),
)
SEES_MORE = (
    (
        "def prepare(inputs):",
        'def prepare(inputs):\n    assert all("coupon" in one for one in inputs["more"])',
    ),
    ('return {"shelf"', 'return {"coupon": [one["coupon"] for one in answers["more"]], "shelf"'),
)


def takes_more(folder: Path, *changes: tuple[str, str]) -> tuple[OwnModel, Any, Run, Variant]:
    return opened(folder, *SEES_MORE, *changes, shop=TAKES_MORE)


def test_fields_that_are_no_input_reach_the_users_code_alone(tmp_path: Path) -> None:
    usecase, held, run, variant = takes_more(tmp_path)
    assert usecase.evaluate(run, held).values.tolist() == [1.0] * 60
    asked = answers(usecase, run, held)
    for request, answer in asked:
        wanted = [one["coupon"] for one in request["instances"]]
        assert [one["coupon"] for one in answer["predictions"]] == wanted
        assert sorted(answer["predictions"][0]) == ["coupon", "shelf", "sure"]
    assert list(usecase.examples(held, 8)) == ["features"]
    assert depend_on_others(usecase, run, held) == ""
    golden = tuple(Golden(dict(request), answer) for request, answer in asked)
    signature = msgspec.json.decode(
        msgspec.json.encode(serving(usecase, variant, golden)), type=ModelSignature
    )
    for name, content in companions_of(usecase, held).items():
        (variant.path.parent / name).write_bytes(content)
    engine = ready.wrap(signature, variant.path.parent, load(signature, variant.path.parent))
    served = ready.serve_engine(engine, signature, "sha256:00", Metrics(), Limits())
    ready.check_golden(signature, served.instances, engine)
    ready.check_rows(signature, served.instances, engine)
    served.batcher.close()


def test_the_page_on_such_fields_holds(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "own-models.md").read_text()
    section = page.partition("## Fields that the model does not know")[2]
    (tmp_path / "features.py").write_text(section.partition("```python\n")[2].partition("```")[0])
    outputs = [Tensor("y", "INT64", (-1,)), Tensor("coupon", "BYTES", (-1,))]
    steps = transform.steps_in(tmp_path / "features.py", [Tensor("x", "INT64", (-1,))], outputs, "more")
    more = np.array([{"coupon": "A"}, {}], dtype=object)
    answer = steps.run(lambda feeds: {"y": feeds["x"]}, {"x": np.array([1, 2]), "more": more})
    assert {name: values.tolist() for name, values in answer.items()} == {"y": [1, 2], "coupon": ["A", ""]}


def test_code_that_gives_one_callers_field_to_another_is_found(tmp_path: Path) -> None:
    usecase, held, run, _ = takes_more(tmp_path, ('[one["coupon"] for', '[answers["more"][0]["coupon"] for'))
    assert "instead of" in depend_on_others(usecase, run, held)


MORE_SLIPS: dict[str, tuple[tuple[str, str], str]] = {
    "the name of an input": (
        ('extra_fields="more"', 'extra_fields="features"'),
        "name of an input or output",
    ),
    "the name of an answer": (('extra_fields="more"', 'extra_fields="sure"'), "name of an input or output"),
    "what JSON cannot carry": (('f"c{row}"', "1j"), "requests(): coupon: "),
    "more than a request may have": (('f"c{row}"', '"c" * 2000000'), "at most 1048576 in one request"),
    "undeclared": (('extra_fields="more",', ""), "the model has no input 'coupon'"),
}


@pytest.mark.parametrize("slip", MORE_SLIPS)
def test_slips_with_such_fields_are_told(tmp_path: Path, slip: str) -> None:
    change, words = MORE_SLIPS[slip]

    def go() -> None:
        usecase, held, run, _ = opened(tmp_path, *SEES_MORE, shop=(*TAKES_MORE, change))
        usecase.evaluate(run, held)

    with pytest.raises(BadInput) as caught:
        go()
    assert words in str(caught.value)


def test_a_verdict_rests_on_the_code(tmp_path: Path) -> None:
    opened(tmp_path)

    def digest() -> str:
        request = PackRequest(NAME, ModelSpec(path="model.onnx"), PackSpec(), "ml.c7i.xlarge", tmp_path)
        return resolve(request).verdict_digest

    before = digest()
    (tmp_path / "features.py").write_text(FEATURES.replace("> 9", "> 8"))
    assert digest() != before
