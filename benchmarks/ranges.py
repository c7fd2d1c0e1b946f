"""What it costs that rows share no range of activations: one int8 layer by itself, with ranges found in three ways.

`shared`: one for all rows of a call (DynamicQuantizeMatMul), which is used no more; `calibrated`: found beforehand;
`by_row`: each row's own. Ratios are against the same layer in float32, by CPU time, in turns; one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.passes.int8 import STEPS
from modelpack.passes.shared.ranges import DOMAIN, Product, between, with_domain
from modelpack.runtimes import single_thread

LAYERS = ((500, 384, 384), (500, 384, 1536), (500, 1536, 384), (64, 128, 5000), (128, 96, 128), (1, 384, 384))
"""(rows, inputs, outputs): a batch of search's tokens, the recommender's last layer, a tabular model's, one request."""
TURNS = 15
REACH = 4.5
"""Of normally distributed inputs, the part that a range covers."""
WORK = 40_000_000
OPSET = 18


def measure() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {"layers": [layer(*sizes, generator) for sizes in LAYERS]}


def layer(rows: int, inputs: int, outputs: int, generator: np.random.Generator) -> dict[str, Any]:
    """One layer's figures: speed against float32, and the mean error against the mean answer."""
    weights = (generator.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
    bias = generator.normal(size=outputs).astype(np.float32)
    runs = {name: session(name, weights, bias) for name in ("float32", "shared", "calibrated", "by_row")}
    given = generator.normal(size=(rows, inputs)).astype(np.float32)
    exact = runs["float32"](given)
    spent = in_turns(runs, given, max(3, WORK // (rows * inputs * outputs)))
    base = spent["float32"]
    return {
        "rows": rows,
        "inputs": inputs,
        "outputs": outputs,
        "float32_us": round(float(np.median(base)) * 1e6, 1),
        **{
            name: {
                "speed": round(float(np.median(base / spent[name])), 2),
                "error": round(float(np.abs(run(given) - exact).mean() / np.abs(exact).mean()), 4),
            }
            for name, run in runs.items()
            if name != "float32"
        },
    }


def in_turns(
    runs: dict[str, Callable[[NDArray[Any]], NDArray[Any]]], given: NDArray[Any], calls: int
) -> dict[str, NDArray[np.float64]]:
    """Seconds of CPU a call, one value a turn."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(TURNS):
        for name, run in runs.items():
            began = time.process_time_ns()
            for _ in range(calls):
                run(given)
            spent[name].append((time.process_time_ns() - began) / calls / 1e9)
    return {name: np.array(values) for name, values in spent.items()}


def session(kind: str, weights: NDArray[Any], bias: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The layer, ready to run."""
    from onnx import TensorProto, helper, numpy_helper

    scale = np.abs(weights).max(axis=0) / np.float32(STEPS)
    constants: dict[str, Any] = {"b": bias, "s": scale, "q": np.rint(weights / scale).astype(np.int8)}
    if kind == "float32":
        constants = {"b": bias, "w": weights}
        nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])]
    elif kind == "shared":
        nodes = [helper.make_node("DynamicQuantizeMatMul", ["x", "q", "s", "", "b"], ["y"], domain=DOMAIN)]
    else:
        covered = between(-REACH, REACH) if kind == "calibrated" else None
        nodes, further = Product("x", "q", "s", "b", "y", OPSET).nodes(covered)
        constants |= further
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", len(weights)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", len(bias)])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    with_domain(model)
    made = single_thread.session(model.SerializeToString())
    return lambda given: np.asarray(made.run(None, {"x": given})[0])
