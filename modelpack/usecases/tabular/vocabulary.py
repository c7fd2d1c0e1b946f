"""Real ids to places, inside the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Vocabulary(nn.Module):
    """Real ids -> 1..n, anything else -> 0. In ONNX a hash table (LabelEncoder), in torch a binary search."""

    ids: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("ids", torch.zeros(size, dtype=torch.int64))
        self.keys: tuple[int, ...] = ()

    def know(self, ids: Tensor) -> None:
        """Take these ids, sorted. `keys` holds them as numbers, for the exporter sees only symbolic tensors."""
        self.ids.copy_(ids)
        self.keys = tuple(ids.tolist())

    def forward(self, values: Tensor) -> Tensor:
        """(any shape) int64 -> the same shape."""
        if torch.onnx.is_in_onnx_export():
            places = list(range(1, len(self.keys) + 1))
            return torch.onnx.ops.symbolic(
                "ai.onnx.ml::LabelEncoder",
                (values,),
                {"keys_int64s": list(self.keys), "values_int64s": places, "default_int64": 0},
                dtype=torch.int64,
                shape=values.shape,
                version=4,
            )
        place = torch.searchsorted(self.ids, values).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[place] == values, place + 1, 0)
