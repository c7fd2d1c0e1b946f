"""Retrieve, then rank, in one graph: two towers find `CANDIDATES` products, a second network orders them.

* *Retrieval*: the user tower (history and household through dense layers) and the item tower (a layer over the very
  embeddings that the history is read with) meet in a dot product, mixed with "buy again" as in the one-stage model.
  The item tower's columns depend on no request, so the exported graph holds them folded.
* *Ranking*: for each candidate its retrieval score, how often and how lately the household bought it (counts that
  fade at four learned rates), how popular it is, and its embedding against the user's, through dense layers.

After Covington et al., "Deep Neural Networks for YouTube Recommendations" (RecSys 2016), sections 3 and 4.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from modelpack.usecases.recommendation.model import TOP, Recommender, RecommenderShape

CANDIDATES = 64
FADING = (5.0, 15.0, 50.0, 150.0)
"""After how many later purchases an earlier one counts a third (1/e), at the start of training."""
FACTS = len(FADING) + 5
NEVER = 200.0
SMALLEST = 1e-9


class TwoStage(Recommender):
    """Two-tower retrieval and a ranking network. `ranking` is the retrieval's order of the whole catalogue."""

    kind: ClassVar[str] = "recommendation.two-stage/1"

    def add_scoring(self, shape: RecommenderShape) -> None:
        width = shape.product_width
        self.found = min(CANDIDATES, shape.products)
        self.user = nn.Linear(shape.hidden, width)
        self.item = nn.Linear(width, width)
        self.popularity = nn.Parameter(torch.zeros(shape.products))
        self.fading = nn.Parameter(torch.tensor(FADING).log())
        self.taste = nn.Linear(shape.hidden, width)
        last = nn.Linear(32, 1)
        self.rank = nn.Sequential(nn.Linear(width + FACTS, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), last)
        # The ranking begins as the retrieval's own order.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def begin_at(self, logarithms: Tensor) -> None:
        with torch.no_grad():
            self.popularity.copy_(logarithms)

    def query_vectors(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.user(hidden)
        return found

    def columns(self, places: Tensor) -> tuple[Tensor, Tensor]:
        return self.item(self.product(places + 1)), self.popularity[places]

    def logits(self, hidden: Tensor) -> Tensor:
        items = self.item(self.product.weight[1:])
        found: Tensor = self.query_vectors(hidden) @ items.T + self.popularity
        return found

    def forward(self, household: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """The `TOP` best ranked of the candidates (ids) with the share of their probability that ranking gives each,
        best first."""
        place = self.catalogue(history)
        hidden, attention, share = self.parts(self.households(household), place, history > 0)
        ranking, rest = self.catalogue_scores(hidden, attention, share, place)
        found = torch.topk(ranking, self.found, dim=1)
        scores = found.values * rest
        ranks = self.ranks(hidden, place, scores, found.indices)
        best = torch.topk(torch.softmax(ranks, dim=1) * scores.sum(1, keepdim=True), TOP, dim=1)
        return self.catalogue.ids[found.indices.gather(1, best.indices)], best.values

    def ranks(self, hidden: Tensor, place: Tensor, scores: Tensor, candidates: Tensor) -> Tensor:
        """Of each candidate (batch, candidates), by its place from 0 and its probability: a logit."""
        given = place > 0
        age = self.ages(given).float()
        same = ((candidates + 1).unsqueeze(2) == place.unsqueeze(1)).float()
        counts = torch.log1p(same @ torch.exp(-age.unsqueeze(2) / self.fading.exp()))
        total = torch.log1p(same.sum(2, keepdim=True))
        latest = torch.log1p(torch.where(same > 0, age.unsqueeze(1), NEVER).amin(2, keepdim=True))
        length = torch.log1p(given.sum(1).float())[:, None, None].expand_as(total)
        retrieved = torch.log(scores + SMALLEST).unsqueeze(2)
        popular = self.popularity[candidates].unsqueeze(2)
        fits = self.product(candidates + 1) * self.taste(hidden).unsqueeze(1)
        facts = [fits, counts, total, latest / 5, length / 5, retrieved / 5, popular / 5]
        ranks: Tensor = retrieved.squeeze(2) + self.rank(torch.cat(facts, dim=2)).squeeze(2)
        return ranks

    def rank_loss(
        self, hidden: Tensor, attention: Tensor, share: Tensor, place: Tensor, rows: Tensor, wanted: Tensor
    ) -> Tensor:
        """Cross-entropy of the ranking over what retrieval finds, against the bought products among it. `rows` and
        `wanted` are pairs of basket and bought place; baskets of which nothing is found teach nothing."""
        with torch.no_grad():
            ranking, rest = self.catalogue_scores(hidden, attention, share, place)
            found = torch.topk(ranking, self.found, dim=1)
            truth = torch.zeros_like(ranking)
            truth[rows, wanted] = 1.0
            bought = truth.gather(1, found.indices)
        ranks = self.ranks(hidden.detach(), place, found.values * rest, found.indices)
        likelihood = torch.log_softmax(ranks, dim=1) * bought
        return -(likelihood.sum(1) / bought.sum(1).clamp(min=1)).mean()
