"""A model behind the server's application in this process, asked the same rows in both protocols and as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from served import application_for_a_while, post

from modelpack.formats.signature import Run, Signature
from modelpack.server.app import Application
from modelpack.server.signature import ModelSignature, Tensor

Arrays = Mapping[str, NDArray[Any]]
INFER = "/v2/models/m/infer"


@dataclass(frozen=True)
class Served:
    """A model as it would be served, and what callers send and get."""

    run: Run
    signature: Signature


@dataclass(frozen=True)
class RunningModel:
    """An engine of it."""

    model: Served

    def run(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(self.model.run(feeds))


def by_server(model: Served, inputs: Arrays) -> Iterator[tuple[str, Arrays]]:
    """What the server answers, by the way it is asked."""
    made = model.signature
    told = ModelSignature(1, "m", "onnxruntime", "model.onnx", made.inputs, made.outputs, max_batch=16)
    outputs = {one.name: one for one in made.outputs}
    inputs = {one.name: np.asarray(inputs[one.name], one.dtype) for one in made.inputs}
    with application_for_a_while(RunningModel(model), told) as application:
        yield "instances", by_instances(application, outputs, inputs)
        yield "tensors", by_tensors(application, outputs, tensors_of(made, inputs), inputs)
        yield "bytes", by_bytes(application, outputs, tensors_of(made, inputs), inputs)


def by_instances(application: Application, outputs: Mapping[str, Tensor], inputs: Arrays) -> Arrays:
    count = len(next(iter(inputs.values())))
    rows = [{name: listed(values[row]) for name, values in inputs.items()} for row in range(count)]
    predictions = post(application, "/invocations", {"instances": rows}).json()["predictions"]
    return {name: np.array([one[name] for one in predictions], kind.dtype) for name, kind in outputs.items()}


def tensors_of(made: Signature, inputs: Arrays) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "datatype": one.datatype, "shape": list(inputs[one.name].shape)}
        for one in made.inputs
    ]


def by_tensors(
    application: Application, outputs: Mapping[str, Tensor], tensors: list[dict[str, Any]], inputs: Arrays
) -> Arrays:
    given = [{**one, "data": listed(inputs[one["name"]].ravel())} for one in tensors]
    answered = post(application, INFER, {"inputs": given}).json()["outputs"]
    return {
        one["name"]: np.array(one["data"], outputs[one["name"]].dtype).reshape(one["shape"])
        for one in answered
    }


def by_bytes(
    application: Application, outputs: Mapping[str, Tensor], tensors: list[dict[str, Any]], inputs: Arrays
) -> Arrays:
    raw = [inputs[one["name"]].tobytes() for one in tensors]
    given = [
        {**one, "parameters": {"binary_data_size": len(part)}} for one, part in zip(tensors, raw, strict=True)
    ]
    text = json.dumps({"inputs": given, "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference_Header_Content_Length": str(len(text)), "Content_Type": "application/octet-stream"}
    answer = post(application, INFER, b"".join([text, *raw]), **headers)
    ends = int(answer.headers["inference-header-content-length"])
    body, found = memoryview(answer.content)[ends:], {}
    for one in json.loads(answer.content[:ends])["outputs"]:
        size = one["parameters"]["binary_data_size"]
        found[one["name"]] = np.frombuffer(body[:size], outputs[one["name"]].dtype).reshape(one["shape"])
        body = body[size:]
    return found


def listed(values: NDArray[Any]) -> list[Any]:
    """As JSON has it: null for what is missing."""
    return [None if value != value else value for value in values.tolist()]
