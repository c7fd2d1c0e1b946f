"""What a running variant answers: in the words of callers, against the signature, and against the trained model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from modelpack.errors import EcomdeployError
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.formats.variant import ONNX, Variant
from modelpack.server import rows
from modelpack.server.http.instances import Instances
from modelpack.usecases.base import Evaluation, UseCase
from modelpack.usecases.optional.serving import as_called, interface_of
from modelpack.usecases.optional.transform import extra_fields_of

SIGNIFICANT = 7
KINDS = {"INT64": "int64", "INT32": "int32", "FP32": "float32", "FP64": "float64"}


def answers(
    usecase: UseCase[Any], run: Run, data: Any, requests: Sequence[Mapping[str, Any]] | None = None
) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    """The golden requests, or those given, with the answers of a running model, as `/invocations` bodies."""
    interface, outer = interface_of(usecase), as_called(usecase, run, data)
    instances, pairs = Instances(interface.inputs, extra=extra_fields_of(usecase)), []
    for request in usecase.golden(data) if requests is None else requests:
        feeds, count = instances.decode(msgspec.json.encode(request))
        outputs = rows.in_cuts(outer, feeds, usecase.max_batch)
        predictions = [
            {tensor.name: plain(outputs[tensor.name][row]) for tensor in interface.outputs}
            for row in range(count)
        ]
        if not all(finite(value) for one in predictions for value in one.values()):
            asked = msgspec.json.encode(request)[:120].decode("utf-8", "replace")
            raise EcomdeployError(f"it answers a golden request with something that is no number: {asked}")
        pairs.append((request, {"predictions": predictions}))
    return pairs


def depend_on_others(usecase: UseCase[Any], run: Run, data: Any) -> str:
    """In what company a golden request's row is answered otherwise than alone, in words; empty: in none.

    Asked as callers ask, texts and all; `modelpack.server.rows` says how.
    """
    if usecase.max_batch < 2:
        return ""
    probes = [one for request in usecase.golden(data) for one in request["instances"]][: rows.PROBES]
    instances = Instances(interface_of(usecase).inputs, extra=extra_fields_of(usecase))
    feeds, _ = instances.decode(msgspec.json.encode({"instances": probes}))
    outer = as_called(usecase, run, data)
    return rows.dependence(outer, feeds, usecase.max_batch, usecase.tolerance)


def plain(value: Any) -> Any:
    """An array as JSON values, floats to seven significant digits (all that float32 has)."""
    listed = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(listed, list):
        return [plain(one) for one in listed]
    return float(f"{listed:.{SIGNIFICANT}g}") if isinstance(listed, float) else listed


def finite(value: Any) -> bool:
    """Whether JSON can carry it: no number in it is NaN or infinite."""
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def check_shapes(run: Run, signature: Signature, examples: Arrays, batch: int) -> None:
    """Run one row, and a full batch. Raises EcomdeployError when an output has another type or shape than the
    use case's signature says."""
    for size in (1, batch):
        given = {name: np.ascontiguousarray(array[:size]) for name, array in examples.items()}
        rows = min(len(array) for array in given.values())
        answered = run(given)
        for tensor in signature.outputs:
            if tensor.name not in answered:
                raise EcomdeployError(f"it does not answer {tensor.name!r}")
            found = np.asarray(answered[tensor.name])
            wanted = (rows, *tensor.shape[1:])
            fits = len(found.shape) == len(wanted) and all(
                want in (-1, have) for want, have in zip(wanted, found.shape, strict=True)
            )
            if not fits or found.dtype.name != KINDS.get(tensor.datatype, found.dtype.name):
                raise EcomdeployError(
                    f"for {rows} rows it answers {tensor.name!r} as {found.dtype}{list(found.shape)}; "
                    f"wanted: {tensor.datatype}{list(wanted)}"
                )


def check_declared(variant: Variant, signature: Signature) -> None:
    """Raises EcomdeployError when a graph itself declares an output of another size than the signature says."""
    if variant.format != ONNX:
        return
    import onnx

    graph = onnx.load_model(str(variant.path), load_external_data=False).graph
    declared = {
        value.name: [size.dim_value or -1 for size in value.type.tensor_type.shape.dim]
        for value in graph.output
    }
    for tensor in signature.outputs:
        sizes = declared.get(tensor.name)
        if sizes is None:
            raise EcomdeployError(f"its graph has no output {tensor.name!r}")
        clash = [
            (have, want) for have, want in zip(sizes, tensor.shape, strict=False) if -1 not in (have, want)
        ]
        if sizes and (len(sizes) != len(tensor.shape) or any(have != want for have, want in clash)):
            raise EcomdeployError(
                f"its graph declares {tensor.name!r} as {sizes}; wanted: {list(tensor.shape)}"
            )


def agreement(trained: Evaluation, other: Evaluation) -> float | None:
    """The mean share of the trained model's ranked items that the other ranks too; None where nothing is ranked."""
    if trained.ranked is None or other.ranked is None:
        return None
    pairs = zip(trained.ranked, other.ranked, strict=True)
    return float(np.mean([np.isin(want, have).mean() for want, have in pairs]))
