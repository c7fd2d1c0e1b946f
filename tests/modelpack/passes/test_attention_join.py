"""Attention found in a graph by its numbers; what only looks like it stays as it is."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

from modelpack.formats.onnx_export import quiet
from modelpack.passes.drop_padding import observe, per_token
from modelpack.passes.shared import attention
from modelpack.passes.shared.dense import Bias, biases
from modelpack.passes.smooth.around import gelus_by_tanh

HEADS, WIDTH = 4, 16
MASK = "attention_mask"


class Attending(nn.Module):
    """One attention of an encoder; `causal`, `scale` and `distance` make others of it."""

    def __init__(self, causal: bool = False, scale: float | None = None, distance: float = 0.0) -> None:
        super().__init__()
        self.words = nn.Embedding(50, WIDTH)
        self.joined = nn.Linear(WIDTH, 3 * WIDTH)
        self.after = nn.Linear(WIDTH, WIDTH)
        self.causal, self.scale, self.distance = causal, scale, distance

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        texts, tokens = input_ids.shape
        split = self.joined(self.words(input_ids)).view(texts, tokens, 3, HEADS, WIDTH // HEADS)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        place = torch.arange(input_ids.shape[1])
        seen = attention_mask.bool()[:, None, None, :]
        if self.causal:
            seen = seen & (place[:, None] >= place[None, :])
        bias = torch.where(seen, 0.0, -1e9) - self.distance * (place[:, None] - place[None, :]).abs()
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=self.scale)
        answer: Tensor = self.after(mixed.transpose(1, 2).reshape(texts, tokens, WIDTH))
        return answer


def exported(module: nn.Module) -> onnx.ModelProto:
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    mask = torch.ones(2, 6, dtype=torch.int64)
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            (mask * 3, mask),
            dynamo=True,
            opset_version=20,
            input_names=["input_ids", MASK],
            output_names=["answer"],
            dynamic_shapes=(axes, axes),
            verbose=False,
        )
    assert program is not None
    found: onnx.ModelProto = program.model_proto
    return found


def joined(model: onnx.ModelProto) -> bool:
    ids = np.random.default_rng(2).integers(1, 50, (4, 8))
    seen = observe(model, MASK, {"input_ids": ids, MASK: np.ones_like(ids)})
    return attention.join(model, MASK, per_token(seen, MASK), seen)


def answer(model: onnx.ModelProto) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    ids = np.arange(1, 19).reshape(2, 9)
    mask = np.ones_like(ids)
    mask[0, 4:] = 0
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input_ids": ids, MASK: mask})
    return np.asarray(found)[mask > 0]


def test_one_operator_with_the_same_answers() -> None:
    model = exported(Attending())
    before = answer(model)
    assert joined(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Attention") == 1
    assert "Softmax" not in kinds
    assert np.allclose(answer(model), before, atol=1e-4)


@pytest.mark.parametrize(
    "other",
    [Attending(causal=True), Attending(scale=0.4), Attending(distance=0.3)],
    ids=["causal", "scale", "distance"],
)
def test_another_attention_stays(other: Attending) -> None:
    model = exported(other)
    nodes = [node.SerializeToString() for node in model.graph.node]
    assert not joined(model)
    assert [node.SerializeToString() for node in model.graph.node] == nodes


def two_layers(read_twice: bool) -> onnx.GraphProto:
    """MatMul, bias, GELU, MatMul; the first product may be read by the answer too."""
    nodes = [
        helper.make_node("MatMul", ["given", "first"], ["product"], "one"),
        helper.make_node("Add", ["bias", "product"], ["hidden"]),
        helper.make_node("Gelu", ["hidden"], ["gelu"]),
        helper.make_node("MatMul", ["gelu", "second"], ["answer"], "two"),
    ]
    shapes = {"first": (2, 3), "second": (3, 2), "bias": (3,)}
    weights = [
        onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()
    ]
    names = ["answer", *(["product", "gelu"] if read_twice else [])]
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    return helper.make_graph(nodes, "small", [], outputs, weights)


def test_a_bias_goes_into_its_layer_and_gelu_takes_the_tanh_form() -> None:
    graph = two_layers(read_twice=False)
    layers = {node.name: node for node in graph.node if node.op_type == "MatMul"}
    assert biases(graph, layers) == {"one": Bias("bias", "hidden")}
    gelus_by_tanh(graph, layers)
    assert [attribute.s for attribute in graph.node[2].attribute] == [b"tanh"]


def test_what_others_read_too_stays() -> None:
    graph = two_layers(read_twice=True)
    layers = {node.name: node for node in graph.node if node.op_type == "MatMul"}
    assert biases(graph, layers) == {}
    gelus_by_tanh(graph, layers)
    assert not graph.node[2].attribute
