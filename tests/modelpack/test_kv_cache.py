"""Keys and values kept as int8: what the graph declares, what its answers lose, and what it is calibrated on."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
import tiny_chat

from examples.passes.kv_cache_int8 import KvCacheInt8
from modelpack.formats.onnx_files import write
from modelpack.formats.variant import Variant
from modelpack.language.step_graph import step_graph
from modelpack.passes.base import PassContext
from modelpack.server.engines.decoder import NOTHING, Decoder, load
from modelpack.server.signature import Decoding, Unfit
from modelpack.usecases.base import usecases

DECODING = Decoding(end=-5, most_new=20)
GIVEN = np.random.default_rng(0).integers(3, 250, (6, 80))
PROMPT = GIVEN[0, :50].tolist()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    return write(step_graph(tiny_chat.model()), tmp_path_factory.mktemp("whole"))


def narrowed(variant: Variant, folder: pathlib.Path, ids: np.ndarray | None = GIVEN) -> Variant:
    calibration = None if ids is None else {"ids": ids}
    return KvCacheInt8().apply(variant, PassContext(usecases().get("chat"), {}, folder, calibration))


def test_caches_are_int8_and_answers_are_near_those_of_float_caches(
    whole: Variant, tmp_path: pathlib.Path
) -> None:
    made = narrowed(whole, tmp_path)
    graph = onnx.load(str(made.path)).graph
    kinds = {one.name: one.type.tensor_type.elem_type for one in (*graph.input, *graph.output)}
    assert {kinds[name] for name in kinds if name.startswith(("keys.", "values."))} == {onnx.TensorProto.INT8}
    wide, narrow = Decoder(DECODING, whole.path, 1), Decoder(DECODING, made.path, 1)
    past = 0
    for piece in (PROMPT, [9], [10, 11, 12], [13]):
        wanted, found = wide.step(piece, past)[0], narrow.step(piece, past)[0]
        assert not np.array_equal(found, wanted)
        assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
        past += len(piece)


def test_an_answer_does_not_depend_on_what_was_asked_before(whole: Variant, tmp_path: pathlib.Path) -> None:
    decoder = Decoder(DECODING, narrowed(whole, tmp_path).path, 1)
    first = list(decoder.tokens(PROMPT))
    list(decoder.tokens(GIVEN[1].tolist()))
    assert list(decoder.tokens(PROMPT)) == first


def test_what_fills_up_a_prompt_is_not_calibrated_on_and_the_same_bytes_come_out(
    whole: Variant, tmp_path: pathlib.Path
) -> None:
    filled = np.concatenate([GIVEN, np.full((len(GIVEN), 7), NOTHING)], axis=1)
    variants = [narrowed(whole, tmp_path / "a"), narrowed(whole, tmp_path / "b", filled)]
    first, second = ([path.read_bytes() for path in one.files.values()] for one in variants)
    assert first == second


def test_nothing_to_narrow_or_to_calibrate_on(whole: Variant, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="nothing to calibrate on"):
        narrowed(whole, tmp_path / "a", None)
    made = narrowed(whole, tmp_path / "b")
    with pytest.raises(ValueError, match="no attention that keeps keys and values in float32"):
        narrowed(made, tmp_path / "c")


def test_a_cache_of_another_type_is_refused(whole: Variant, tmp_path: pathlib.Path) -> None:
    model = onnx.load(str(whole.path))
    for one in (*model.graph.input, *model.graph.output):
        if one.name.startswith(("keys.", "values.")):
            one.type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    with pytest.raises(Unfit, match="cannot be loaded"):
        load(DECODING, write(model, tmp_path).path, 1)
