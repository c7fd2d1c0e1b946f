"""The torch module of a table: it takes raw columns by name and does its own preparation.

Preparation is part of the model, fitted on training rows only, so that a request never has to be prepared by the
caller and a served model cannot be fed with another preparation than the one it was trained on.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from modelpack.formats.safetensors import METADATA_KEY
from modelpack.usecases.tabular.frame import AMOUNT, BINARY, Category, Column, Number, Part
from modelpack.usecases.tabular.trees import Trees
from modelpack.usecases.tabular.vocabulary import Vocabulary, write_ids

if TYPE_CHECKING:
    import onnx

KIND = "tabular/1"
OWN_KEYS = ("kind", "shape", "usecase")
CLIP = 20.0
"""Standard deviations: what lies further out counts as that far."""
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class TabularShape:
    """Everything but the weights. `body`: "linear", "dense" (`hidden` widths) or "trees" (`forest`: trees, nodes,
    depth); `scale`: the input whose size the prediction is a multiple of, at least `least_scale`."""

    columns: tuple[Column, ...]
    task: str
    body: str
    vocabularies: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    dropout: float = 0.1
    forest: tuple[int, int, int] = (0, 0, 0)
    scale: str | None = None
    least_scale: float = 0.5

    @property
    def numbers(self) -> tuple[Number, ...]:
        """The columns that are numbers."""
        return tuple(column for column in self.columns if isinstance(column, Number))

    @property
    def categories(self) -> tuple[Category, ...]:
        """The columns that are ids."""
        return tuple(column for column in self.columns if isinstance(column, Category))


class Tabular(nn.Module):
    """Columns in the shape's order -> (probability, decision) or (prediction,), each (rows,)."""

    mean: Tensor
    deviation: Tensor
    logarithmic: Tensor
    threshold: Tensor
    body: nn.Sequential | Trees

    def __init__(self, shape: TabularShape) -> None:
        super().__init__()
        self.shape = shape
        self.notes: dict[str, Any] = {}
        width = sum(number.width for number in shape.numbers)
        logs = [number.log for number in shape.numbers for _ in range(number.width)]
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("logarithmic", torch.tensor(logs, dtype=torch.bool))
        self.register_buffer("threshold", torch.tensor(0.5))
        self.vocabularies = nn.ModuleList(Vocabulary(size) for size in shape.vocabularies)
        self.embeddings = nn.ModuleList()
        if shape.body == "dense":
            for size, category in zip(shape.vocabularies, shape.categories, strict=True):
                table = nn.Embedding(size + 1, category.width)
                nn.init.normal_(table.weight, std=0.05)
                self.embeddings.append(table)
            width += sum(category.width for category in shape.categories)
        self.body = Trees(*shape.forest) if shape.body == "trees" else layers(width, shape)
        self.forward = name_arguments(self.answer, [column.name for column in shape.columns])

    @property
    def binary(self) -> bool:
        """Whether the answer is a yes or no."""
        return self.shape.task == BINARY

    def know(self, part: Part) -> None:
        """Fit the preparation to these rows: mean, deviation, ids."""
        wide = torch.from_numpy(
            np.concatenate([columns_of(part, number) for number in self.shape.numbers], axis=1)
        )
        values = self.reshape(wide).double()
        self.mean.copy_(values.mean(0))
        self.deviation.copy_(values.std(0).clamp(min=1e-6))
        for vocabulary, category in zip(self.category_vocabularies(), self.shape.categories, strict=True):
            vocabulary.know(torch.from_numpy(np.unique(part.inputs[category.name])))

    def category_vocabularies(self) -> list[Vocabulary]:
        """The vocabularies, in order of the categories."""
        return [one for one in self.vocabularies if isinstance(one, Vocabulary)]

    def take_over(self, before: Tabular, state: Mapping[str, Tensor]) -> Self:
        """The ids and notes of the model before, and these tensors; in evaluation mode."""
        self.load_state_dict(state)
        for own, other in zip(self.category_vocabularies(), before.category_vocabularies(), strict=True):
            own.know(other.ids)
        self.notes = dict(before.notes)
        return self.eval()

    def reshape(self, wide: Tensor) -> Tensor:
        """Logarithms where the columns ask for them."""
        return torch.where(self.logarithmic, torch.sign(wide) * torch.log1p(wide.abs()), wide)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the body sees: trees raw numbers and places; the others standardised numbers and embeddings."""
        numbers = [inputs[one.name].reshape(-1, one.width) for one in self.shape.numbers]
        wide = torch.cat(numbers, dim=1)
        ids = [
            vocabulary(inputs[one.name])
            for vocabulary, one in zip(self.vocabularies, self.shape.categories, strict=True)
        ]
        if self.shape.body == "trees":
            return torch.cat([wide, *(place.to(torch.float32).unsqueeze(1) for place in ids)], dim=1)
        standard = ((self.reshape(wide) - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        looked_up = [table(place) for table, place in zip(self.embeddings, ids, strict=False)]
        return torch.cat([standard, *looked_up], dim=1)

    def score(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(rows,) log-odds, or the predicted amount."""
        raw: Tensor = self.body(self.features(inputs)).squeeze(1)
        if self.binary:
            return raw
        positive = raw.clamp(min=0) if self.shape.body == "trees" else nn.functional.softplus(raw)
        return positive * self.size(inputs)

    def size(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(rows,) what the prediction is a multiple of."""
        if self.shape.scale is None:
            return torch.ones(())
        return inputs[self.shape.scale].clamp(min=self.shape.least_scale)

    def complete_graph(self, graph: onnx.ModelProto) -> None:
        """What the exporter does not carry (modelpack.passes.onnx)."""
        write_ids(graph, self.category_vocabularies())
        if isinstance(self.body, Trees):
            self.body.complete_graph(graph)

    def answer(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs, from the columns in order."""
        score = self.score(dict(zip([column.name for column in self.shape.columns], inputs, strict=True)))
        if self.binary:
            probability = torch.sigmoid(score)
            return probability, (probability >= self.threshold).to(torch.int64)
        return (score,)


def layers(width: int, shape: TabularShape) -> nn.Sequential:
    """Dense layers with ReLU and dropout, one number at the end."""
    parts: list[nn.Module] = []
    for hidden in shape.hidden:
        parts += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(shape.dropout)]
        width = hidden
    return nn.Sequential(*parts, nn.Linear(width, 1))


def name_arguments(method: Any, names: Sequence[str]) -> Any:
    """`method(*inputs)` under a signature with one name per input, which the exporter reads."""

    def forward(*inputs: Tensor) -> Any:
        return method(*inputs)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    forward.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore[attr-defined]
    return forward


def columns_of(part: Part, number: Number) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A number's values as (rows, width)."""
    return part.inputs[number.name].astype(np.float32).reshape(-1, number.width)


def predict(model: nn.Module, part: Part, names: Sequence[str]) -> list[np.ndarray[Any, Any]]:
    """The model's outputs for all rows; `names` are its inputs in order."""
    answers = []
    with torch.inference_mode():
        for begin in range(0, len(part), ROWS_AT_ONCE):
            rows = slice(begin, begin + ROWS_AT_ONCE)
            given = (torch.from_numpy(np.ascontiguousarray(part.inputs[name][rows])) for name in names)
            answers.append([answer.numpy() for answer in model(*given)])
    return [np.concatenate(parts) for parts in zip(*answers, strict=True)]


def save(model: Tabular, path: Path, usecase: str) -> None:
    """One `.safetensors` file: tensors, and the shape and the model's notes in its metadata. Same model, same bytes."""
    from safetensors.torch import save_file

    shape = asdict(model.shape)
    shape["columns"] = [{"kind": type(column).__name__, **asdict(column)} for column in model.shape.columns]
    config = {**model.notes, "kind": KIND, "usecase": usecase, "shape": shape}
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, str(path), metadata={METADATA_KEY: json.dumps(config, sort_keys=True)})


def load(path: Path, config: Mapping[str, Any], kind: type[Tabular] = Tabular) -> Tabular:
    """The model that `save` wrote; `config` is its metadata. In evaluation mode. Raises ValueError for other."""
    from safetensors.torch import load_file

    kinds = {"Number": Number, "Category": Category}
    given: dict[str, Any] = dict(config["shape"])
    columns = [dict(one) for one in given.pop("columns")]
    given["columns"] = tuple(kinds[one.pop("kind")](**one) for one in columns)
    fields: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    shape = TabularShape(**fields)
    if shape.task not in (BINARY, AMOUNT):
        raise ValueError(f"unknown task {shape.task!r}")
    model = kind(shape)
    model.load_state_dict(load_file(str(path)))
    for vocabulary in model.category_vocabularies():
        vocabulary.know(vocabulary.ids.clone())
    model.notes = {name: value for name, value in config.items() if name not in OWN_KEYS}
    return model.eval()
