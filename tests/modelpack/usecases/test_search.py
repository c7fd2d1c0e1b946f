"""Search: cleaning, the encoder against BERT written out, word baselines, passes on a small model; the real thing."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny_text
import torch

from modelpack.digests import sha256_of
from modelpack.errors import BadInput
from modelpack.formats.signature import Run
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.gate.answers import agreement, answers, depend_on_others
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.passes.base import PassContext, passes
from modelpack.progress import Silent
from modelpack.runtimes.base import runtime_for
from modelpack.server.text import Tokenizer
from modelpack.usecases.base import Evaluation, beats
from modelpack.usecases.metrics import bootstrap
from modelpack.usecases.optional.serving import pad_as_served
from modelpack.usecases.search import data as catalogues
from modelpack.usecases.search import lexical, vectors
from modelpack.usecases.search import model as searcher
from modelpack.usecases.search.data import ProductCatalogue
from modelpack.usecases.search.model import EncoderShape, SearchModel
from modelpack.usecases.search.usecase import Search, score

SHAPE = EncoderShape(products=20, vocabulary=300, longest=64, width=64, heads=4, inner=256, layers=2)


def lines(*rows: tuple[str, str, int]) -> object:
    """Order lines: (code, text, how many lines)."""
    import pandas as pd

    listed = [(code, text) for code, text, count in rows for _ in range(count)]
    return pd.DataFrame(
        {
            "Invoice": "500000",
            "StockCode": [code for code, _ in listed],
            "Description": [text for _, text in listed],
            "Quantity": 1,
            "Price": 1.0,
        }
    )


def test_catalogue_and_queries() -> None:
    found = catalogues.catalogue(
        lines(
            ("10001a", "RED  RETROSPOT BAG", 5),
            ("10001A", "RED SPOTTY BAG", 2),
            ("10001A", "RED RETROSPOT BAG.", 2),
            ("10001A", "seen once", 1),
            ("10002", "BLUE MUG", 4),
            ("10002", "RED RETROSPOT BAG", 3),
            ("10002", "BLUE CUP", 2),
            ("10003", "GREEN MUG", 4),
            ("10003", "MUG", 2),
            ("10004", "PINK MUG", 4),
            ("10004", "MUG", 2),
            ("10005", "BLUE MUG", 1),
            ("POST", "POSTAGE", 9),
        )
    )
    codes, names, queries, wanted = found
    assert codes == ("10001A", "10002", "10003", "10004"), (
        "10005 is sold under 10002's name; POST is no product"
    )
    assert names == ("RED RETROSPOT BAG", "BLUE MUG", "GREEN MUG", "PINK MUG")
    assert queries == ("RED SPOTTY BAG", "BLUE CUP")
    assert wanted.tolist() == [0, 1]


def test_returns_and_gifts_do_not_count() -> None:
    table = lines(("10001", "BAG", 3), ("10001", "SACK", 2))
    table.loc[3:, "Quantity"] = -1  # type: ignore[attr-defined]
    assert catalogues.catalogue(table)[2] == ()


def test_bm25_as_written_in_its_formula() -> None:
    texts = ["red bag", "red red mug", "blue mug for tea"]
    got = lexical.bm25(texts).scores("red mug")
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    norm = [1.2 * (0.25 + 0.75 * length / 3) for length in (2, 3, 4)]
    want = [
        idf * 2.2 / (1 + norm[0]),
        idf * (2 * 2.2 / (2 + norm[1]) + 2.2 / (1 + norm[1])),
        idf * 2.2 / (1 + norm[2]),
    ]
    assert got == pytest.approx(want)


def test_ngrams_find_what_words_do_not() -> None:
    texts = ["red spots", "candle holder", "doormat"]
    assert lexical.bm25(texts).scores("candles").tolist() == [0, 0, 0]
    assert lexical.ngrams(texts).rank(["candles", "door mat"], 1).tolist() == [[1], [2]]


def test_fusion_prefers_what_both_rank() -> None:
    first, second = np.array([[1, 2, 3]]), np.array([[4, 2, 5]])
    assert lexical.fuse_rankings(first, second, 2).tolist() == [[2, 1]]


def published(shape: EncoderShape) -> dict[str, torch.Tensor]:
    """Random parameters under the names of Hugging Face's BertModel."""
    generator = torch.Generator().manual_seed(3)

    def dense(outputs: int, inputs: int) -> dict[str, torch.Tensor]:
        return {
            "weight": torch.randn(outputs, inputs, generator=generator) / math.sqrt(inputs),
            "bias": torch.randn(outputs, generator=generator) / 10,
        }

    def norm() -> dict[str, torch.Tensor]:
        return {
            "weight": 1 + torch.randn(shape.width, generator=generator) / 10,
            "bias": torch.randn(shape.width, generator=generator) / 10,
        }

    parts: dict[str, dict[str, torch.Tensor]] = {"embeddings.LayerNorm": norm()}
    for name, rows in (("word", shape.vocabulary), ("position", 2 * shape.longest), ("token_type", 2)):
        parts[f"embeddings.{name}_embeddings"] = {
            "weight": torch.randn(rows, shape.width, generator=generator)
        }
    for number in range(shape.layers):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            parts[f"{layer}.attention.self.{part}"] = dense(shape.width, shape.width)
        parts[f"{layer}.attention.output.dense"] = dense(shape.width, shape.width)
        parts[f"{layer}.attention.output.LayerNorm"] = norm()
        parts[f"{layer}.intermediate.dense"] = dense(shape.inner, shape.width)
        parts[f"{layer}.output.dense"] = dense(shape.width, shape.inner)
        parts[f"{layer}.output.LayerNorm"] = norm()
    return {f"{name}.{kind}": tensor for name, part in parts.items() for kind, tensor in part.items()}


def bert(given: dict[str, torch.Tensor], shape: EncoderShape, tokens: list[int]) -> torch.Tensor:
    """One text through BERT as its paper has it, layer by layer, head by head, then the mean, of length 1."""

    def dense(hidden: torch.Tensor, name: str) -> torch.Tensor:
        return hidden @ given[f"{name}.weight"].T + given[f"{name}.bias"]

    def norm(hidden: torch.Tensor, name: str) -> torch.Tensor:
        centred = hidden - hidden.mean(1, keepdim=True)
        scaled = centred / torch.sqrt((centred**2).mean(1, keepdim=True) + shape.epsilon)
        return scaled * given[f"{name}.weight"] + given[f"{name}.bias"]

    tables = {
        name: given[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
    }
    hidden = tables["word"][tokens] + tables["position"][: len(tokens)] + tables["token_type"][0]
    hidden = norm(hidden, "embeddings.LayerNorm")
    size = shape.width // shape.heads
    for number in range(shape.layers):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            dense(hidden, f"{layer}.attention.self.{part}") for part in ("query", "key", "value")
        )
        heads = []
        for head in range(shape.heads):
            own = slice(head * size, (head + 1) * size)
            weight = torch.softmax(query[:, own] @ key[:, own].T / math.sqrt(size), dim=1)
            heads.append(weight @ value[:, own])
        attended = dense(torch.cat(heads, dim=1), f"{layer}.attention.output.dense")
        hidden = norm(hidden + attended, f"{layer}.attention.output.LayerNorm")
        inner = dense(hidden, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        hidden = norm(hidden + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = hidden.mean(0)
    return mean / mean.norm()


def small_model() -> SearchModel:
    """Random weights and a random catalogue."""
    model = SearchModel(SHAPE)
    model.load_state_dict(searcher.convert(published(SHAPE), SHAPE) | {"vectors": model.vectors})
    return model.eval()


def test_the_encoder_is_bert() -> None:
    texts = [[2, 4, 3], [2, 7, 9, 11, 250, 3], [2, 3]]
    ids, mask = torch.zeros(3, 6, dtype=torch.int64), torch.zeros(3, 6, dtype=torch.int64)
    for row, tokens in enumerate(texts):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    with torch.inference_mode():
        got = small_model().encoder(ids, mask)
    want = torch.stack([bert(published(SHAPE), SHAPE, tokens) for tokens in texts])
    assert torch.allclose(got, want, atol=1e-5)


@dataclasses.dataclass(frozen=True)
class Small:
    """The use case with a small model over 20 made items."""

    usecase: Search
    data: ProductCatalogue
    reference: Variant

    def context(self, folder: pathlib.Path) -> PassContext:
        examples = self.usecase.examples(self.data, 16)
        return PassContext(self.usecase, examples, folder, self.usecase.calibration(self.data))

    def run(self, variant: Variant) -> Run:
        return runtime_for(variant.format).open(variant, self.usecase)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    words = tiny_text.WORDS[4:]
    names = tuple(f"{words[place % 8]} {words[place * 3 % 7]} {words[place * 5 % 8]}" for place in range(20))
    codes = tuple(f"{10000 + place}" for place in range(20))
    queries = tuple(f"{name} {words[0]}" for name in names)
    data = ProductCatalogue(codes, names, queries, np.arange(20), tiny_text.tokenizer(), pathlib.Path())
    usecase, model = Search(), small_model()
    vectors.index(model, Tokenizer(data.tokenizer, 64), data.names, Silent())
    path = tmp_path_factory.mktemp("small") / "model.safetensors"
    usecase.save(model, path)
    return Small(usecase, data, Variant(TORCH, path))


@pytest.fixture(scope="module")
def exported(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Variant:
    """What every later pass begins with."""
    return passes().get("onnx").apply(small.reference, small.context(tmp_path_factory.mktemp("exported")))


def test_saved_and_loaded(small: Small, tmp_path: pathlib.Path) -> None:
    again = tmp_path / "again.safetensors"
    small.usecase.save(small.usecase.load(small.reference.path), again)
    assert again.read_bytes() == small.reference.path.read_bytes()
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"no safetensors")
    with pytest.raises(BadInput, match="not a safetensors file"):
        small.usecase.load(other)


def test_the_answer_is_codes(small: Small) -> None:
    (request, answer), *_ = answers(small.usecase, small.run(small.reference), small.data)
    (row,) = answer["predictions"]
    assert request == {"instances": [{"query": small.data.queries[0]}]}
    assert len(row["products"]) == 10
    assert set(row["products"]) <= set(small.data.codes)
    assert row["scores"] == sorted(row["scores"], reverse=True)


def test_export_answers_as_trained_for_any_length(small: Small, exported: Variant) -> None:
    run, eager = small.run(exported), small.run(small.reference)
    for texts in (["red"], ["red bag", "a b c d e f g h i j k l m n o p"]):
        ids, mask = Tokenizer(small.data.tokenizer, 64)(texts)
        inputs = {"input_ids": ids, "attention_mask": mask}
        got, want = run(inputs), eager(inputs)
        assert np.allclose(got["scores"], want["scores"], atol=1e-5)


@pytest.mark.parametrize(("name", "share"), [("smooth-int8", 0.6), ("embedding-rows-int8", 0.95)])
def test_passes_shrink_and_stay_close(
    small: Small, exported: Variant, tmp_path: pathlib.Path, name: str, share: float
) -> None:
    made = passes().get(name).apply(exported, small.context(tmp_path / "made"))
    again = passes().get(name).apply(exported, small.context(tmp_path / "again"))
    assert made.format == ONNX
    assert made.size_mb < share * exported.size_mb
    assert [sha256_of(path) for path in made.files.values()] == [
        sha256_of(path) for path in again.files.values()
    ]
    examples = small.usecase.examples(small.data, 20)
    got, want = small.run(made)(examples), small.run(exported)(examples)
    assert np.allclose(got["scores"], want["scores"], atol=0.03)


@pytest.mark.parametrize("before", [(), ("smooth-int8",), ("static-int8",), ("embedding-rows-int8",)])
def test_without_padding_answers_are_the_same(
    small: Small, exported: Variant, tmp_path: pathlib.Path, before: tuple[str, ...]
) -> None:
    variant = exported
    for name in before:
        variant = passes().get(name).apply(variant, small.context(tmp_path / name))
    made = passes().get("drop-padding").apply(variant, small.context(tmp_path / "made"))
    again = passes().get("drop-padding").apply(variant, small.context(tmp_path / "again"))
    assert {name: sha256_of(path) for name, path in made.files.items()} == {
        name: sha256_of(path) for name, path in again.files.items()
    }
    close = 0.02 if "smooth-int8" in before else 1e-5
    for texts in (["red"], ["red", "blue bag for lunch", "mug"], ["a b", "a b c d e f g h i j k l m n", "a"]):
        ids, mask = Tokenizer(small.data.tokenizer, 64)(texts)
        inputs = {"input_ids": ids, "attention_mask": mask}
        got, want = small.run(made)(inputs), small.run(variant)(inputs)
        assert np.allclose(got["scores"], want["scores"], atol=close)


@pytest.mark.parametrize(
    "kept",
    [
        (),
        ("smooth-int8",),
        ("static-int8",),
        ("embedding-rows-int8",),
        ("smooth-int8", "drop-padding", "embedding-rows-int8"),
    ],
)
def test_a_query_is_answered_the_same_beside_any_other(
    small: Small, exported: Variant, tmp_path: pathlib.Path, kept: tuple[str, ...]
) -> None:
    variant = exported
    for name in kept:
        variant = passes().get(name).apply(variant, small.context(tmp_path / name))
    assert small.usecase.max_batch > 1
    assert depend_on_others(small.usecase, small.run(variant), small.data) == ""
    alone, beside = (["red bag"], ["red bag", "a b c d e f g h i j k l m n o p", "blue"])
    scores = []
    for texts in (alone, beside):
        ids, mask = Tokenizer(small.data.tokenizer, 64)(texts)
        scores.append(small.run(variant)({"input_ids": ids, "attention_mask": mask})["scores"][0])
    assert np.allclose(scores[0], scores[1], atol=1e-5)


def test_dense_layers_see_real_tokens_only(small: Small, exported: Variant, tmp_path: pathlib.Path) -> None:
    import onnx
    import onnxruntime

    made = passes().get("drop-padding").apply(exported, small.context(tmp_path / "made"))
    graph = onnx.load(str(made.path))
    dense = [
        node.output[0]
        for node in graph.graph.node
        if node.op_type == "MatMul" and node.output[0].endswith(".tokens")
    ]
    assert len(dense) == 4 * SHAPE.layers
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dense)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], dtype=np.int64)
    values = session.run(dense, {"input_ids": mask * 4, "attention_mask": mask})
    assert {value.shape[0] for value in values} == {5}


def test_texts_are_measured_padded_as_they_are_served(small: Small) -> None:
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], dtype=np.int64)
    cut = pad_as_served(small.usecase, {"input_ids": mask * 4, "attention_mask": mask})
    assert {name: array.shape for name, array in cut.items()} == {
        "input_ids": (2, 3),
        "attention_mask": (2, 3),
    }


def test_smoothing_beats_plain_rounding() -> None:
    from modelpack.passes.shared.ranges import covering
    from modelpack.passes.smooth import smoothing

    generator = torch.Generator().manual_seed(1)
    given = torch.randn(64, 6, 96, generator=generator)
    given[..., :2] *= 40
    weights = torch.randn(96, 48, generator=generator)
    exact = given @ weights

    def wrong(answer: torch.Tensor) -> float:
        return float((answer - exact).square().mean())

    scale = smoothing.scales(weights)
    plain = smoothing.rounded_activations(given, covering(given.numpy())) @ (
        smoothing.round_to_steps(weights, scale) * scale
    )
    layer = smoothing.quantize(given, weights, 2)
    smoothed = given * layer.before
    activations = smoothing.rounded_activations(smoothed, covering(smoothed.numpy()))
    smooth = activations @ (layer.weights * layer.scale) + given[..., layer.outliers] @ layer.float_rows
    assert layer.outliers.tolist() == [0, 1]
    assert wrong(smooth) < wrong(plain) / 20


def test_smoothing_needs_texts_to_calibrate_on(
    small: Small, exported: Variant, tmp_path: pathlib.Path
) -> None:
    without = dataclasses.replace(small.context(tmp_path), calibration=None)
    with pytest.raises(ValueError, match="nothing to calibrate on"):
        passes().get("smooth-int8").apply(exported, without)


def test_no_query_is_calibrated_on(small: Small) -> None:
    ids = small.usecase.calibration(small.data)["input_ids"]
    wanted, _ = Tokenizer(small.data.tokenizer, 64)(list(small.data.names))
    assert ids.tolist() == wanted.tolist()


def test_agreement_is_the_share_of_kept_items(small: Small) -> None:
    ranked = np.arange(200).reshape(20, 10)
    other = ranked.copy()
    other[:, 0] = -1
    assert agreement(score(small.data, ranked), score(small.data, other)) == pytest.approx(0.9)


def test_looking_up_the_use_case_is_light() -> None:
    code = "import sys; from modelpack.usecases.base import usecases; usecases().get('search'); "
    code += "from modelpack.passes.base import passes; passes().names(); "
    code += "print([name for name in ('torch', 'onnx', 'pandas', 'tokenizers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The published encoder with its index of the real catalogue, and what it answers to the held-out requests."""

    data: ProductCatalogue
    variant: Variant
    evaluation: Evaluation


@pytest.fixture(scope="module")
def encoded(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    """Encoded and evaluated once for the tests that look at it from different sides."""
    usecase = Search()
    data = usecase.prepare(home, Silent())
    path = tmp_path_factory.mktemp("encoded") / "model.safetensors"
    usecase.save(usecase.train(data, TrainSpec(), Silent()), path)
    variant = Variant(TORCH, path)
    return Encoded(data, variant, usecase.evaluate(runtime_for(TORCH).open(variant, usecase), data))


@pytest.mark.nightly(
    like="tests/modelpack/usecases/test_fraud.py::test_on_the_real_payments_it_beats_logistic_regression"
)
@pytest.mark.slow
@pytest.mark.network
def test_real_search_beats_words(encoded: Encoded) -> None:
    usecase, data, evaluation = Search(), encoded.data, encoded.evaluation
    assert len(data.codes) == 4667
    assert len(data.queries) == 468
    assert not set(data.queries) & set(data.names)
    assert 0.86 < bootstrap(evaluation.values, evaluation.groups).value < 0.91
    for baseline in usecase.baselines(data):
        assert beats(evaluation, baseline.evaluation).low > 0, baseline.name
    fused = usecase.further_figures(usecase.load(encoded.variant.path), data)["ndcg_fused_with_ngrams"]
    assert fused < evaluation.values.mean(), "fusing would help: serve it"


@pytest.mark.slow
@pytest.mark.network
def test_the_real_encoder_in_int8_on_real_tokens_keeps_the_ranking(
    encoded: Encoded, tmp_path: pathlib.Path
) -> None:
    usecase, data, variant = Search(), encoded.data, encoded.variant
    for name in ("onnx", "smooth-int8", "drop-padding", "embedding-rows-int8"):
        examples, calibration = usecase.examples(data, 64), usecase.calibration(data)
        variant = (
            passes().get(name).apply(variant, PassContext(usecase, examples, tmp_path / name, calibration))
        )
    found = usecase.evaluate(runtime_for(variant.format).open(variant, usecase), data)
    shared = agreement(encoded.evaluation, found)
    assert shared is not None
    assert shared >= usecase.agreement
    assert variant.size_mb < 0.3 * encoded.variant.size_mb
    assert depend_on_others(usecase, runtime_for(variant.format).open(variant, usecase), data) == ""


@pytest.mark.slow
@pytest.mark.network
def test_the_real_encoder_gives_the_same_bytes_each_time(encoded: Encoded, tmp_path: pathlib.Path) -> None:
    usecase, whole = Search(), encoded.data
    data = dataclasses.replace(whole, codes=whole.codes[:200], names=whole.names[:200])
    paths = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for path in paths:
        usecase.save(usecase.train(data, TrainSpec(), Silent()), path)
    assert sha256_of(paths[0]) == sha256_of(paths[1])
