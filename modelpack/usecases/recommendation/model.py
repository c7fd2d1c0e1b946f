"""The recommender: embeddings of household and products, dense layers, and a memory of what was bought before.

A score is a probability, mixed from two parts by a learned gate:

* *discover*: the mean of the history's product embeddings (weighted by a learned recency) and the household's
  embedding go through dense layers to a softmax over the catalogue;
* *buy again*: an attention over the history itself, so that its weight falls on the very products bought.

The mixture is the pointer idea of See, Liu, Manning, "Get To The Point" (ACL 2017) and of RepeatNet (Ren et al.,
AAAI 2019); the first part is the candidate network of Covington et al., "Deep Neural Networks for YouTube
Recommendations" (RecSys 2016). Real ids go in and come out: the vocabularies are part of the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from modelpack.usecases.tabular.vocabulary import Vocabulary, write_ids

if TYPE_CHECKING:
    import onnx

TOP = 10
NOT_GIVEN = -1e9
SMALLEST_SHARE = 1e-6
RANKING = "ranking"
METADATA_KEY = "ecomdeploy"


@dataclass(frozen=True)
class RecommenderShape:
    """Sizes of a recommender. `history` is the most products a request may hold."""

    households: int
    products: int
    history: int = 200
    product_width: int = 64
    household_width: int = 32
    hidden: int = 128
    dropout: float = 0.2


class Recommender(nn.Module):
    """`household` (batch,) and `history` (batch, shape.history) of real ids -> the best `TOP` products and scores.

    `candidates` is the table of the architectures it was chosen from, empty where none were compared.
    """

    kind: ClassVar[str] = "recommendation.basket/1"
    recency: Tensor
    last_bought: Tensor

    def __init__(self, shape: RecommenderShape) -> None:
        super().__init__()
        self.shape = shape
        self.candidates: tuple[Mapping[str, Any], ...] = ()
        self.households = Vocabulary(shape.households)
        self.catalogue = Vocabulary(shape.products)
        self.household = nn.Embedding(shape.households + 1, shape.household_width)
        self.product = nn.Embedding(shape.products + 1, shape.product_width)
        self.again = nn.Embedding(shape.products + 1, 1)
        self.recency = nn.Parameter(torch.linspace(0.0, -2.0, shape.history))
        self.last_bought = nn.Parameter(torch.linspace(0.0, -1.0, shape.history))
        self.dense = nn.Sequential(
            nn.Linear(shape.product_width + shape.household_width, shape.hidden),
            nn.ReLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.hidden, shape.hidden),
            nn.ReLU(),
        )
        self.query = nn.Linear(shape.hidden, shape.product_width)
        self.gate = nn.Linear(shape.hidden, 1)
        self.add_scoring(shape)
        for table in (self.household, self.product):
            nn.init.normal_(table.weight, std=0.1)
        nn.init.zeros_(self.again.weight)

    def add_scoring(self, shape: RecommenderShape) -> None:
        """What scores the catalogue: a layer with a column of its own for every product."""
        self.discover = nn.Linear(shape.hidden, shape.products)
        nn.init.normal_(self.discover.weight, std=0.05)

    def begin_at(self, logarithms: Tensor) -> None:
        """Start from these logarithms of popularity, (products,)."""
        with torch.no_grad():
            self.discover.bias.copy_(logarithms)

    def query_vectors(self, hidden: Tensor) -> Tensor:
        """What products' columns are multiplied with, (batch, width)."""
        return hidden

    def columns(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Columns (count, width) and biases (count,) of products by their places in the catalogue, from 0."""
        return nn.functional.embedding(places, self.discover.weight), self.discover.bias[places]

    def logits(self, hidden: Tensor) -> Tensor:
        """Of the whole catalogue, (batch, products)."""
        found: Tensor = self.discover(hidden)
        return found

    def ages(self, given: Tensor) -> Tensor:
        """How many products were bought after each one of the history, (batch, history)."""
        latest = given.sum(1, keepdim=True) - 1
        return (latest - torch.arange(self.shape.history)).clamp(min=0)

    def parts(self, household: Tensor, history: Tensor, given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From indices: hidden state (batch, hidden), attention over the history, share of "buy again" (batch, 1)."""
        age = self.ages(given)
        products = self.product(history)
        weight = torch.softmax(torch.where(given, look_up_age(self.recency, age), NOT_GIVEN), dim=1)
        taste = torch.bmm(weight.unsqueeze(1), products).squeeze(1)
        hidden = self.dense(torch.cat([taste, self.household(household)], dim=1))
        fits = torch.bmm(products, self.query(hidden).unsqueeze(2)).squeeze(2)
        match = look_up_age(self.last_bought, age) + self.again(history).squeeze(2) + fits
        attention = torch.softmax(torch.where(given, match, NOT_GIVEN), dim=1) * given
        return hidden, attention, torch.sigmoid(self.gate(hidden))

    def mix(self, household: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """Real ids -> every product's probability over the share of "discover", (batch, products), and that share,
        (batch, 1). Dividing by it leaves the order as it is, and saves a multiplication of the whole catalogue."""
        place = self.catalogue(history)
        hidden, attention, share = self.parts(self.households(household), place, history > 0)
        return self.catalogue_scores(hidden, attention, share, place)

    def catalogue_scores(
        self, hidden: Tensor, attention: Tensor, share: Tensor, place: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same from the parts; `place` are the history's places in the catalogue from 1, 0 for strangers."""
        rest = (1 - share).clamp(min=SMALLEST_SHARE)
        again = attention * (share / rest) * (place > 0)
        new = torch.softmax(self.logits(hidden), dim=1)
        return new.scatter_add(1, (place - 1).clamp(min=0), again), rest

    def ranking(self, household: Tensor, history: Tensor) -> Tensor:
        """What the best are chosen by, (batch, products)."""
        return self.mix(household, history)[0]

    def scores(self, household: Tensor, history: Tensor) -> Tensor:
        """Real ids -> the probability of every product of the catalogue, (batch, products)."""
        ranking, rest = self.mix(household, history)
        return ranking * rest

    def forward(self, household: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """The `TOP` most likely products (ids) and their probabilities, best first."""
        ranking, rest = self.mix(household, history)
        best = torch.topk(ranking, TOP, dim=1)
        return self.catalogue.ids[best.indices], best.values * rest

    def complete_graph(self, model: onnx.ModelProto) -> None:
        """Ids, and a name for the value that products of the whole catalogue are chosen by, so that it can be
        measured."""
        write_ids(model, (self.households, self.catalogue))
        name_ranking(model)


def look_up_age(table: Tensor, age: Tensor) -> Tensor:
    """What a table says of each age; as an embedding, which ONNX Runtime reads faster than an index."""
    return nn.functional.embedding(age, table.unsqueeze(1)).squeeze(2)


def name_ranking(model: onnx.ModelProto) -> None:
    """In an exported graph: the scores that its first TopK reads are called `RANKING`."""
    nodes = list(model.graph.node)
    old = next(node for node in nodes if node.op_type == "TopK").input[0]
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [RANKING if name == old else name for name in names]


def save(model: Recommender, path: Path) -> None:
    """One `.safetensors` file: tensors; kind, shape and candidates in its metadata. The same model, the same bytes."""
    from safetensors.torch import save_file

    config = {"kind": model.kind, "shape": asdict(model.shape), "candidates": list(model.candidates)}
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, str(path), metadata={METADATA_KEY: json.dumps(config, sort_keys=True)})


def load(path: Path, config: Mapping[str, Any], kind: type[Recommender]) -> Recommender:
    """The model that `save` wrote; `config` is its metadata, already checked. In evaluation mode."""
    from safetensors.torch import load_file

    shape = config["shape"]
    if not isinstance(shape, dict):
        raise ValueError("the metadata has no shape")
    with torch.device("meta"):
        model = kind(RecommenderShape(**shape))
    model.load_state_dict(load_file(str(path)), assign=True)
    for vocabulary in (model.households, model.catalogue):
        vocabulary.know(vocabulary.ids)
    model.candidates = tuple(config.get("candidates", ()))
    return model.eval()
