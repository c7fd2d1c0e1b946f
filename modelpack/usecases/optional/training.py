"""What a use case may offer to those who train its models, or make them smaller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.usecases.base import UseCase
from modelpack.usecases.checkpoints import Checkpoints

if TYPE_CHECKING:
    from torch import Tensor, nn


@runtime_checkable
class Architectures(Protocol):
    """Training compares several and chooses, unless one is named. Asked by `inputs/resolve.py`, which checks
    `model.train.architecture`."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """Their names."""


def architectures_of(usecase: object) -> tuple[str, ...]:
    """Names for `model.train.architecture`; empty: there is nothing to choose."""
    return usecase.architectures if isinstance(usecase, Architectures) else ()


@runtime_checkable
class Resumable(Protocol):
    """Training keeps what it has, and goes on from there after a kill. Asked by `training/train.py`."""

    def resume(self, data: Any, spec: TrainSpec, progress: Progress, kept: Checkpoints) -> Any:
        """`UseCase.train`, to the same bytes, from what is kept of the same training."""


def train_resuming(
    usecase: UseCase[Any], data: Any, spec: TrainSpec, progress: Progress, kept: Checkpoints
) -> Any:
    """A trained model. One who has written a `train` of his own below a class of ours is asked that."""
    kinds = type(usecase).__mro__
    nearest = next(kind for kind in kinds if {"train", "resume"} & vars(kind).keys())
    if isinstance(usecase, Resumable) and "resume" in vars(nearest):
        return usecase.resume(data, spec, progress, kept)
    return usecase.train(data, spec, progress)


@runtime_checkable
class Tunable(Protocol):
    """Models of this use case can be narrowed, replaced by a smaller one and trained on: pruning, distillation.

    Asked by `gate/trial.py`, which hands the rows to passes, and by passes that train (`passes/shared/learning.py`).
    `training_rows` is the use case's own type, as `data` is; held-out rows are not in it, and no pass is given anything
    else to learn from.
    """

    def training_rows(self, data: Any) -> Any:
        """Rows to learn from, of training (and choosing) only."""

    def hidden_layers(self, model: Any) -> nn.Sequential:
        """Dense layers one after the other whose hidden units may go. Raises ValueError where there are none."""

    def narrow(self, model: Any, kept: Sequence[Tensor]) -> Any:
        """The model with only these units of each hidden layer (their places, rising); other weights as they are."""

    def student(self, model: Any, share: float, training_rows: Any) -> Any:
        """An untrained model of about this share of the widths. Raises ValueError where none would be smaller."""

    def loss(self, model: Any, training_rows: Any, rows: int) -> Tensor:
        """The mean training loss over that many of the training_rows, spread evenly, for gradients to be taken of."""

    def tune(
        self,
        model: Any,
        training_rows: Any,
        seed: int,
        progress: Progress,
        *,
        share: float = 1.0,
        teacher: Any = None,
    ) -> None:
        """Train in place for this `share` of the usual epochs (at least one), towards the `teacher`'s answers too
        where there is one; then in evaluation mode. The same seed gives the same weights on one type of CPU."""
