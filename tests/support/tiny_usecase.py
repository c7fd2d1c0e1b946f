"""A use case small enough for tests: which of 40 items follows an item. Loaded by path, as a user's own would be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from modelpack.errors import BadInput
from modelpack.formats.safetensors import METADATA_KEY, read_metadata
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.server.signature import Tensor
from modelpack.usecases.base import Baseline, Evaluation, Samples, UseCase

ITEMS = 600
WIDTH = 32


class Tiny(UseCase[Any]):
    """The next item is (item * 7 + 3) mod ITEMS; a good model knows it, the baseline does not."""

    name: ClassVar[str] = "tiny"
    title: ClassVar[str] = "the item after an item"
    epochs: ClassVar[int] = 1
    passes: ClassVar[tuple[str, ...]] = ("onnx", "embedding-int8", "int8")
    packages: ClassVar[tuple[Any, ...]] = ()
    split: ClassVar[str] = "all items"
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "score": {"kind": "close", "rtol": 0.05, "atol": 0.05}
    }

    def prepare(self, home: Home, progress: Progress) -> Any:
        items = np.arange(1, ITEMS, dtype=np.int64)
        return items, (items * 7 + 3) % ITEMS

    def train(self, data: Any, spec: TrainSpec, progress: Progress) -> Any:
        import torch

        generator = torch.Generator().manual_seed(spec.seed)
        model = network()
        table = torch.nn.functional.normalize(torch.randn(ITEMS, WIDTH, generator=generator), dim=1)
        items, following = (torch.from_numpy(part) for part in data)
        with torch.no_grad():
            model.table.weight.copy_(table)
            model.dense.weight.zero_()
            model.dense.weight[following] = table[items]
            model.dense.bias.zero_()
        with progress.track("training", 1, "epochs") as advance:
            advance(1)
        return model.eval()

    def save(self, model: Any, path: Path) -> None:
        from safetensors.torch import save_file

        save_file(model.state_dict(), str(path), metadata={METADATA_KEY: json.dumps({"kind": "tiny"})})

    def load(self, path: Path) -> Any:
        from safetensors.torch import load_file

        if read_metadata(path).get("kind") != "tiny":
            raise BadInput("not a tiny model", where=str(path))
        model = network()
        model.load_state_dict(load_file(str(path)))
        return model.eval()

    def evaluate(self, run: Run, data: Any) -> Evaluation:
        items, following = data
        found = run({"item": items})["next"]
        return Evaluation("accuracy", (found == following).astype(np.float64), items)

    def baselines(self, data: Any) -> tuple[Baseline, ...]:
        items, following = data
        same = Evaluation("accuracy", (following == 3).astype(np.float64), items)
        return (Baseline("constant", "always item 3", same, True),)

    def signature(self) -> Signature:
        return Signature(
            (Tensor("item", "INT64", (-1,)),),
            (Tensor("next", "INT64", (-1,)), Tensor("score", "FP32", (-1,))),
        )

    def examples(self, data: Any, count: int) -> Arrays:
        return {"item": data[0][:count]}

    def golden(self, data: Any) -> Sequence[Mapping[str, Any]]:
        return [{"instances": [{"item": 1}, {"item": 2}]}]

    def samples(self, data: Any) -> Samples:
        return Samples(
            ({"request": {"instances": [{"item": 1}]}, "about": "item 1", "before": []},), {"10": "ten"}
        )


def network() -> Any:
    """Embedding, dense layer, best item."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(ITEMS, WIDTH)
            self.dense = torch.nn.Linear(WIDTH, ITEMS)

        def forward(self, item: Any) -> Any:
            best = self.dense(self.table(item)).max(dim=1)
            return best.indices, best.values

    return Network()
