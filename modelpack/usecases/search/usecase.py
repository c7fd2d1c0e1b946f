"""Search: what a shopper types -> the ten products that mean it, whatever the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpack.formats.safetensors import load_own
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.server.signature import Guardrail, Tensor, Text
from modelpack.server.text import TextModel, Tokenizer
from modelpack.usecases.base import Baseline, Evaluation, Samples, UseCase
from modelpack.usecases.metrics import ndcg_at_k
from modelpack.usecases.online_retail import SHOP
from modelpack.usecases.own_data.schema import OwnData
from modelpack.usecases.packages import fetch
from modelpack.usecases.sampling import pick_evenly
from modelpack.usecases.search import data as catalogues
from modelpack.usecases.search import encoding, lexical, own, vectors
from modelpack.usecases.search.data import ENCODER, ProductCatalogue
from modelpack.usecases.search.encoding import LONGEST, TOP

if TYPE_CHECKING:
    from modelpack.usecases.search.model import SearchModel

CANDIDATES = 50
CALIBRATION = 384
GOLDEN_QUERIES = 8
SAMPLE_QUERIES = 12
TYPED = "red spotty bag for lunch"
"""A query in a shopper's words, beside the merchant's, among the golden requests."""


class Search(UseCase[ProductCatalogue]):
    """Semantic product search: MiniLM over the catalogue of Online Retail II."""

    name: ClassVar[str] = "search"
    title: ClassVar[str] = "which products a text means"
    epochs: ClassVar[int] = 1
    metric_drop: ClassVar[float] = 0.01
    passes: ClassVar[tuple[str, ...]] = (
        "onnx",
        "int8",
        "smooth-int8",
        "drop-padding",
        "embedding-rows-int8",
    )
    packages = (SHOP, ENCODER)
    own_data: ClassVar[OwnData] = own.OWN
    max_batch: ClassVar[int] = 16
    text = Text("query", "tokenizer.json", "input_ids", "attention_mask", LONGEST)
    labels: ClassVar[Mapping[str, str]] = {"products": "products.json"}
    requirements: ClassVar[tuple[str, ...]] = ("tokenizers>=0.21,<1",)
    unneeded = frozenset({"huggingface-hub"})
    agreement: ClassVar[float] = 0.97
    split = (
        "no training: the encoder is taken as published, so epochs change nothing. Items go by their most used name; "
        "measured on every other wording that the merchant used for the same stock code at least twice (the "
        "merchant's words, not shoppers'). Intervals resample items."
    )
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "products": {"kind": "ranking", "overlap": 0.8},
        "scores": {"kind": "close", "rtol": 0.05, "atol": 0.01},
    }
    guardrails: ClassVar[tuple[Guardrail, ...]] = (
        Guardrail("empty_lists", "products", "empty"),
        Guardrail("identical_lists", "products", "repeated"),
    )

    def prepare(self, home: Home, progress: Progress) -> ProductCatalogue:
        data = catalogues.load(fetch(SHOP, home, progress), fetch(ENCODER, home, progress))
        progress.note(self.summary(data))
        return data

    def summary(self, data: ProductCatalogue) -> str:
        return f"{len(data.codes):,} products; {len(data.queries):,} queries held out"

    def from_tables(self, tables: Mapping[str, Any], home: Home, progress: Progress) -> ProductCatalogue:
        encoder = fetch(ENCODER, home, progress)
        data = own.load(tables, catalogues.tokenizer(encoder), encoder)
        progress.note(self.summary(data))
        return data

    def train(self, data: ProductCatalogue, spec: TrainSpec, progress: Progress) -> SearchModel:
        """The published encoder with this catalogue's vectors; `spec` changes nothing."""
        from modelpack.usecases.search.model import load_pretrained

        progress.note("the encoder is taken as published; the catalogue is encoded with it")
        model = load_pretrained(data.weights, catalogues.MODEL, len(data.names))
        vectors.index(model, Tokenizer(data.tokenizer, LONGEST), data.names, progress)
        return model

    def save(self, model: SearchModel, path: Path) -> None:
        from modelpack.usecases.search.model import save

        save(model, path)

    def load(self, path: Path) -> SearchModel:
        from modelpack.usecases.search import model as searcher

        return load_own(path, self.name, {searcher.KIND}, lambda config: searcher.load(path, config))

    def evaluate(self, run: Run, data: ProductCatalogue) -> Evaluation:
        return score(data, encoding.rank(run, Tokenizer(data.tokenizer, LONGEST), data.queries, TOP))

    def baselines(self, data: ProductCatalogue) -> tuple[Baseline, ...]:
        words = lexical.bm25(data.names).rank(data.queries, TOP)
        grams = lexical.ngrams(data.names).rank(data.queries, TOP)
        return (
            Baseline(
                "character n-grams",
                "TF-IDF cosine over 2- to 4-letter pieces of words",
                score(data, grams),
                True,
            ),
            Baseline("BM25", "Okapi BM25 over words", score(data, words), True),
        )

    def signature(self) -> Signature:
        return Signature(
            inputs=(
                Tensor(self.text.ids, "INT64", (-1, -1)),
                Tensor(self.text.mask, "INT64", (-1, -1)),
            ),
            outputs=(Tensor("products", "INT64", (-1, TOP)), Tensor("scores", "FP32", (-1, TOP))),
        )

    def interface(self) -> Signature:
        return Signature(
            inputs=(Tensor(self.text.input, "BYTES", (-1,)),),
            outputs=(Tensor("products", "BYTES", (-1, TOP)), Tensor("scores", "FP32", (-1, TOP))),
        )

    def outer(self, run: Run, data: ProductCatalogue) -> Run:
        codes = {"products": np.array(data.codes, dtype=np.object_)}
        return TextModel(run, self.text, Tokenizer(data.tokenizer, LONGEST), codes).run

    def companions(self, data: ProductCatalogue) -> Mapping[str, bytes]:
        return {self.text.tokenizer: data.tokenizer, self.labels["products"]: catalogues.labels(data)}

    def examples(self, data: ProductCatalogue, count: int) -> Arrays:
        """Held-out queries, all padded to the longest of them."""
        texts = [data.queries[place] for place in pick_evenly(len(data.queries), count)]
        return self.arrays(data, texts)

    def calibration(self, data: ProductCatalogue) -> Arrays:
        """Names of the catalogue, which is what the encoder is indexed with; no query."""
        texts = [data.names[place] for place in pick_evenly(len(data.names), CALIBRATION)]
        return self.arrays(data, texts)

    def arrays(self, data: ProductCatalogue, texts: Sequence[str]) -> Arrays:
        """Texts as the model takes them, padded to the longest."""
        ids, mask = Tokenizer(data.tokenizer, LONGEST)(texts)
        return {self.text.ids: ids, self.text.mask: mask}

    def golden(self, data: ProductCatalogue) -> Sequence[Mapping[str, Any]]:
        texts = data.names if isinstance(data, own.OwnCatalogue) else data.queries
        queries = [texts[place] for place in pick_evenly(len(texts), GOLDEN_QUERIES)]
        bodies = [{"instances": [{"query": query}]} for query in [*queries, TYPED]]
        return [*bodies, {"instances": [{"query": query} for query in queries[:3]]}]

    def samples(self, data: ProductCatalogue) -> Samples:
        if isinstance(data, own.OwnCatalogue):
            chosen = tuple(
                request_by_name(data, place) for place in pick_evenly(len(data.names), SAMPLE_QUERIES)
            )
        else:
            chosen = tuple(sample(data, place) for place in pick_evenly(len(data.queries), SAMPLE_QUERIES))
        return Samples(
            requests=chosen,
            names=dict(zip(data.codes, data.names, strict=True)),
        )

    def further_figures(self, model: SearchModel, data: ProductCatalogue) -> Mapping[str, float]:
        """What fusing with character n-grams by reciprocal rank would give; it is served only where it helps."""
        import torch

        candidates = min(CANDIDATES, len(data.names))

        def run(arrays: Arrays) -> Arrays:
            with torch.inference_mode():
                vectors = model.encoder(
                    *(torch.from_numpy(arrays[name]) for name in (self.text.ids, self.text.mask))
                )
                return {"products": torch.topk(vectors @ model.vectors, candidates, dim=1).indices.numpy()}

        own = encoding.rank(run, Tokenizer(data.tokenizer, LONGEST), data.queries, candidates)
        grams = lexical.ngrams(data.names).rank(data.queries, candidates)
        return {
            "ndcg_fused_with_ngrams": float(score(data, lexical.fuse_rankings(own, grams, TOP)).values.mean())
        }


def score(data: ProductCatalogue, ranked: encoding.Ids) -> Evaluation:
    """NDCG@10 per query; each has one right item."""
    hit = ranked == data.wanted[:, None]
    return Evaluation(
        metric=f"ndcg@{TOP}",
        values=ndcg_at_k(hit, np.ones(len(hit), dtype=np.int64)),
        groups=data.wanted,
        ranked=ranked,
        more={f"recall@{TOP}": float(hit.any(axis=1).mean())},
    )


def request_by_name(data: ProductCatalogue, place: int) -> dict[str, Any]:
    """A request to show that no shopper typed: a product by its own name."""
    text = data.names[place]
    return {"request": {"instances": [{"query": text}]}, "about": f'search for "{text}"', "before": []}


def sample(data: ProductCatalogue, place: int) -> dict[str, Any]:
    """A request to show: the query, and which product the merchant meant by it."""
    query, item = data.queries[place], int(data.wanted[place])
    return {
        "request": {"instances": [{"query": query}]},
        "about": f'search for "{query}" (the merchant meant {data.names[item]}, {data.codes[item]})',
        "before": [],
    }
