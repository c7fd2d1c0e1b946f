"""The usual candidates for a table."""

from __future__ import annotations

from collections.abc import Callable

from modelpack.progress import Progress
from modelpack.usecases.checkpoints import NOTHING_KEPT, Checkpoints
from modelpack.usecases.tabular import boosting, linear, training
from modelpack.usecases.tabular.frame import BINARY, Category, Column, Part
from modelpack.usecases.tabular.hyperparameters import Boosting, Dense
from modelpack.usecases.tabular.model import Tabular
from modelpack.usecases.tabular.selection import Candidate


def usual(
    columns: tuple[Column, ...],
    task: str,
    scale: str | None,
    epochs: int,
    dense: Dense,
    trees: Boosting,
    ridge: float = 1.0,
    label: Callable[[Part], Part] = lambda part: part,
) -> tuple[Candidate, ...]:
    """Logistic regression (for a yes or no), dense layers with embeddings, LightGBM's trees; each is fitted to what
    `label` makes of the rows."""

    def logistic(part: Part, seed: int, progress: Progress, kept: Checkpoints = NOTHING_KEPT) -> Tabular:
        return linear.train(columns, label(part), ridge)

    def dense_layers(part: Part, seed: int, progress: Progress, kept: Checkpoints = NOTHING_KEPT) -> Tabular:
        return training.train(columns, task, label(part), dense, epochs, seed, progress, scale, kept)

    def boost(part: Part, seed: int, progress: Progress, kept: Checkpoints = NOTHING_KEPT) -> Tabular:
        return boosting.train(columns, task, label(part), trees, seed, progress, scale)

    widths = "-".join(str(width) for width in dense.hidden)
    embeddings = ", embeddings for ids" if any(isinstance(one, Category) for one in columns) else ""
    shrunk = f", ridge {ridge:g}" if ridge != 1 else ""
    both = (
        Candidate("dense layers", f"PyTorch, {widths}{embeddings}, {epochs} epochs", dense_layers),
        Candidate("boosted trees", f"LightGBM, {trees.rounds} trees of {trees.leaves} leaves", boost),
    )
    first = Candidate("logistic regression", f"Newton's method on standardised numbers{shrunk}", logistic)
    return (first, *both) if task == BINARY else both
