"""The usual candidates for a table."""

from __future__ import annotations

from modelpack.progress import Progress
from modelpack.usecases.tabular import boosting, linear, training
from modelpack.usecases.tabular.boosting import Boosting
from modelpack.usecases.tabular.frame import BINARY, Category, Column, Part
from modelpack.usecases.tabular.model import Tabular
from modelpack.usecases.tabular.selection import Candidate
from modelpack.usecases.tabular.training import Dense


def usual(
    columns: tuple[Column, ...],
    task: str,
    scale: str | None,
    epochs: int,
    dense: Dense | None = None,
    trees: Boosting | None = None,
) -> tuple[Candidate, ...]:
    """Logistic regression (for a yes or no), dense layers with embeddings, LightGBM's trees."""
    layers, forest = dense or Dense(), trees or Boosting()

    def logistic(part: Part, seed: int, progress: Progress) -> Tabular:
        return linear.train(columns, part)

    def dense_layers(part: Part, seed: int, progress: Progress) -> Tabular:
        return training.train(columns, task, part, layers, epochs, seed, progress, scale)

    def boost(part: Part, seed: int, progress: Progress) -> Tabular:
        return boosting.train(columns, task, part, forest, seed, progress, scale)

    widths = "-".join(str(width) for width in layers.hidden)
    embeddings = ", embeddings for ids" if any(isinstance(one, Category) for one in columns) else ""
    both = (
        Candidate("dense layers", f"PyTorch, {widths}{embeddings}, {epochs} epochs", dense_layers),
        Candidate("boosted trees", f"LightGBM, {forest.rounds} trees of {forest.leaves} leaves", boost),
    )
    first = Candidate("logistic regression", "Newton's method on standardised numbers", logistic)
    return (first, *both) if task == BINARY else both
