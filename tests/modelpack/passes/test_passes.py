"""The passes on a real, tiny model: same bytes each time and on any path, smaller, and the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_usecase import ITEMS, Tiny

from modelpack.digests import sha256_of
from modelpack.errors import BadInput
from modelpack.formats.variant import TORCH, Variant
from modelpack.inputs.spec import TrainSpec
from modelpack.passes.base import PassContext, applicable, in_order
from modelpack.passes.embedding.int8 import EmbeddingInt8, best_scale, in_steps
from modelpack.passes.onnx import OnnxExport
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for, served_formats


def trained(folder: Path) -> Variant:
    tiny = Tiny()
    folder.mkdir(parents=True)
    path = folder / "model.safetensors"
    tiny.save(tiny.train(data(), TrainSpec(), Silent()), path)
    return Variant(TORCH, path)


def data() -> tuple[np.ndarray, np.ndarray]:
    items = np.arange(1, ITEMS, dtype=np.int64)
    return items, (items * 7 + 3) % ITEMS


def through(folder: Path) -> dict[str, Variant]:
    """The variant after each pass."""
    tiny, variant = Tiny(), trained(folder / "trained")
    variants = {"trained": variant}
    for one in in_order(tiny.passes, folder):
        variant = one.apply(variant, PassContext(tiny, tiny.examples(data(), 64), folder / one.name))
        variants[one.name] = variant
    return variants


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Variant]:
    return through(tmp_path_factory.mktemp("one"))


def digests(variant: Variant) -> dict[str, str]:
    return {name: sha256_of(path) for name, path in variant.files.items()}


def test_the_same_model_gives_the_same_bytes_on_another_path(
    variants: dict[str, Variant], tmp_path: Path
) -> None:
    again = through(tmp_path / "quite" / "another" / "place")
    assert {name: digests(variant) for name, variant in variants.items()} == {
        name: digests(variant) for name, variant in again.items()
    }


def test_every_pass_keeps_the_answers(variants: dict[str, Variant]) -> None:
    tiny = Tiny()
    for name, variant in variants.items():
        found = tiny.evaluate(runtime_for(variant.format).open(variant, tiny), data()).values.mean()
        assert found > 0.99, name


def test_the_files_shrink(variants: dict[str, Variant]) -> None:
    weights = {
        name: variant.files.get("model.bin", variant.path).stat().st_size
        for name, variant in variants.items()
    }
    assert weights["embedding-int8"] < 0.7 * weights["onnx"]
    assert weights["int8"] < 0.35 * weights["onnx"]


def test_nothing_in_the_graph_tells_where_it_was_made(variants: dict[str, Variant]) -> None:
    for name in ("onnx", "embedding-int8", "int8"):
        graph = variants[name].path.read_bytes()
        assert b"/" + b"tmp" not in graph
        assert b".py" not in graph
        model = onnx.load_model(str(variants[name].path), load_external_data=False)
        assert not [node.name for node in model.graph.node if node.metadata_props or node.doc_string]


def test_the_batch_is_free(variants: dict[str, Variant]) -> None:
    tiny = Tiny()
    run = runtime_for("onnx").open(variants["int8"], tiny)
    assert [len(run({"item": np.arange(count, dtype=np.int64)})["next"]) for count in (1, 3, 64)] == [
        1,
        3,
        64,
    ]


def test_a_model_without_a_table_worth_it_is_said_to_have_none(
    variants: dict[str, Variant], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no embedding table"):
        EmbeddingInt8().apply(variants["embedding-int8"], PassContext(Tiny(), {}, tmp_path))


def test_exporting_prints_nothing(
    variants: dict[str, Variant], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny = Tiny()
    OnnxExport().apply(variants["trained"], PassContext(tiny, tiny.examples(data(), 4), tmp_path))
    assert capfd.readouterr() == ("", "")


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=64))
def test_quantized_values_are_close_to_a_step_or_clipped(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    scale = best_scale(array)
    plain = max(float(np.abs(array).max()) / 127, float(np.finfo(np.float32).tiny))
    chosen = np.square(in_steps(array, scale) * np.float32(scale) - array).sum()
    assert chosen <= np.square(in_steps(array, plain) * np.float32(plain) - array).sum() + 1e-6
    assert np.abs(in_steps(array, scale)).max() <= 127


MADE = """
from modelpack.passes.base import COMPILED, GRAPH, Pass

class Plain(Pass):
    stage, about, title = COMPILED, "-", "-"
    def apply(self, variant, context):
        return variant

class Further(Plain):
    name, takes, gives = "further", "onnx", "engine"

class There(Plain):
    name, takes, gives = "there", "engine", "engine"

class Stray(Plain):
    name, takes, gives = "stray", "elsewhere", "onnx"

class End(Plain):
    name, takes, gives = "end", "onnx", "nowhere"

class Needy(Plain):
    name, takes, gives, tools = "needy", "onnx", "engine", ("no-such-tool",)
"""


def test_a_search_is_offered_every_pass_on_a_way_to_a_format_that_is_served(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(MADE)
    own = [f"./made.py:{name}" for name in ("Further", "There", "Stray", "End")]
    plain = applicable(own, {"onnx"}, tmp_path)
    assert {"onnx", "int8"} <= set(plain)
    assert not set(own) & set(plain)
    more = applicable(own, {"onnx", "engine"}, tmp_path)
    assert set(own) & set(more) == {"./made.py:Further", "./made.py:There"}
    assert set(plain) < set(more)


def test_what_only_measures_serves_nothing() -> None:
    assert TORCH not in served_formats()
    assert "onnx" in served_formats()
    assert runtime_for(TORCH).name == "eager"
    with pytest.raises(BadInput, match="no runtime executes the format 'x' on 'cpu'"):
        runtime_for("x")
