"""Real ids to places, inside the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import onnx

OPERATOR = "LabelEncoder"


class Vocabulary(nn.Module):
    """Real ids -> 1..n, anything else -> 0. In ONNX a hash table (LabelEncoder), in torch a binary search."""

    ids: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("ids", torch.zeros(size, dtype=torch.int64))
        self.mark = 0

    def know(self, ids: Tensor) -> None:
        """Take these ids, sorted. `mark` stands for them in the exporter, which sees only symbolic tensors."""
        self.ids.copy_(ids)
        self.mark = int.from_bytes(hashlib.sha256(ids.numpy().tobytes()).digest()[:7], "big")

    def forward(self, values: Tensor) -> Tensor:
        """(any shape) int64 -> the same shape."""
        if torch.onnx.is_in_onnx_export():
            return torch.onnx.ops.symbolic(
                f"ai.onnx.ml::{OPERATOR}",
                (values,),
                {"keys_int64s": [self.mark], "values_int64s": [1], "default_int64": 0},
                dtype=torch.int64,
                shape=values.shape,
                version=4,
            )
        place = torch.searchsorted(self.ids, values).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[place] == values, place + 1, 0)


def write_ids(graph: onnx.ModelProto, vocabularies: Iterable[Vocabulary]) -> None:
    """Write the ids into the exported tables: as arguments of the exporter they cost it more than all the rest."""
    ids_of = {one.mark: one.ids.tolist() for one in vocabularies}
    for node in graph.graph.node:
        if node.op_type == OPERATOR:
            held = {attribute.name: attribute.ints for attribute in node.attribute}
            ids = ids_of[held["keys_int64s"][0]]
            held["keys_int64s"][:] = ids
            held["values_int64s"][:] = range(1, len(ids) + 1)
