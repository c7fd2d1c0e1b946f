"""Search's index: the exact product inside the graph, as it is served, against usearch's HNSW, by catalogue size.

At its own size the vectors are the catalogue's and the queries the held-out ones. Larger catalogues are made: `mixed`,
two products' vectors and a little noise, of which the queries are noisy copies; `random`, unit vectors without any
structure, the worst case for a graph of neighbours. One thread, one query at a time, as a request is served.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Silent
from modelpack.server.text import Tokenizer
from modelpack.usecases.search import Search
from modelpack.usecases.search.encoding import LONGEST

TOP, QUERIES, WIDTH = 10, 200, 384
SIZES = (20_000, 100_000)
EXACT_ALONE = 1_000_000
SEARCHED = (64, 256)
"""usearch's `expansion_search`: its default, and four times it."""
NOISE = 0.3


def measure() -> dict[str, Any]:
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or platformdirs.user_cache_path("ecomdeploy"))
    usecase = Search()
    data = usecase.prepare(Home(cache, cache), Silent())
    model = usecase.train(data, TrainSpec(), Silent())
    catalogue = np.ascontiguousarray(model.vectors.numpy().T)
    texts = list(data.queries[:QUERIES])
    asked, encoder = encoded(model, Tokenizer(data.tokenizer, LONGEST), texts)
    generator = np.random.default_rng(7)
    found = [compared("catalogue", catalogue, asked)]
    for size in SIZES:
        items = mixed(catalogue, size, generator)
        found.append(compared("mixed", items, noisy(items, generator)))
    items = unit(generator.standard_normal((SIZES[0], WIDTH), dtype=np.float32))
    found.append(compared("random", items, noisy(items, generator)))
    items = unit(generator.standard_normal((EXACT_ALONE, WIDTH), dtype=np.float32))
    found.append({"vectors": "random", "items": EXACT_ALONE, "exact": exact(items, asked[:40])[1]})
    return {"encoder_ms_median": encoder, "top": TOP, "catalogues": found}


def encoded(model: Any, tokenizer: Tokenizer, texts: list[str]) -> tuple[np.ndarray, float]:
    """Each query's vector, and the milliseconds of encoding one (torch, one thread, not optimized)."""
    import torch

    torch.set_num_threads(1)
    vectors, spent = [], []
    for text in texts:
        ids, mask = tokenizer([text])
        began = time.perf_counter()
        with torch.inference_mode():
            vectors.append(model.encoder(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()[0])
        spent.append(time.perf_counter() - began)
    return np.stack(vectors), round(float(np.median(spent)) * 1e3, 3)


def unit(rows: np.ndarray) -> np.ndarray:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def mixed(catalogue: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Unit vectors between two products each, with noise."""
    first, second = (catalogue[generator.integers(0, len(catalogue), size)] for _ in range(2))
    noise = unit(generator.standard_normal((size, WIDTH), dtype=np.float32))
    share = generator.uniform(0.5, 1, (size, 1)).astype(np.float32)
    return unit(share * first + (1 - share) * second + NOISE * noise)


def noisy(items: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Queries: some of the items, with noise."""
    chosen = items[generator.choice(len(items), QUERIES, replace=False)]
    return unit(chosen + 2 * NOISE * unit(generator.standard_normal(chosen.shape, dtype=np.float32)))


def compared(kind: str, items: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    """Exact and approximate search of the same queries."""
    wanted, alone = exact(items, asked)
    return {"vectors": kind, "items": len(items), "exact": alone, "hnsw": approximate(items, asked, wanted)}


def exact(items: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """MatMul and TopK in ONNX Runtime on one thread, as in the served graph."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    vectors = numpy_helper.from_array(np.ascontiguousarray(items.T), "vectors")
    nodes = [
        helper.make_node("MatMul", ["query", "vectors"], ["similar"]),
        helper.make_node("TopK", ["similar", "k"], ["scores", "places"]),
    ]
    graph = helper.make_graph(
        nodes,
        "exact",
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("places", TensorProto.INT64, ["batch", TOP])],
        [vectors, numpy_helper.from_array(np.array([TOP], np.int64), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exact.onnx"
        onnx.save_model(model, str(path), save_as_external_data=True, location="vectors.bin")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    places, milliseconds = timed(
        lambda query: session.run(["places"], {"query": query[None, :]})[0][0], asked
    )
    return places, {"ms_median": milliseconds, "mb": round(items.nbytes / 1e6, 1)}


def approximate(items: np.ndarray, asked: np.ndarray, wanted: np.ndarray) -> dict[str, Any]:
    """usearch's HNSW (Malkov & Yashunin, arXiv:1603.09320) at its default connectivity."""
    from usearch.index import Index

    index = Index(ndim=WIDTH, metric="ip", dtype="f32")
    began = time.perf_counter()
    index.add(np.arange(len(items)), items)
    built = time.perf_counter() - began
    found: dict[str, Any] = {"build_seconds": round(built, 1), "mb": round(index.serialized_length / 1e6, 1)}
    for width in SEARCHED:
        index.expansion_search = width  # type: ignore[misc]  # its setter is not told to type checkers
        places, milliseconds = timed(lambda query: index.search(query, TOP, threads=1).keys, asked)
        recall = np.mean([np.isin(want, have).mean() for want, have in zip(wanted, places, strict=True)])
        found[f"searching_{width}"] = {"ms_median": milliseconds, "recall@10": round(float(recall), 4)}
    return found


def timed(ask: Callable[[np.ndarray], Any], asked: np.ndarray) -> tuple[np.ndarray, float]:
    """The places found for each query, and the median milliseconds."""
    for query in asked[:5]:
        ask(query)
    answers, spent = [], []
    for query in asked:
        began = time.perf_counter()
        answers.append(np.asarray(ask(query)))
        spent.append(time.perf_counter() - began)
    return np.stack(answers).astype(np.int64), round(float(np.median(spent)) * 1e3, 3)
