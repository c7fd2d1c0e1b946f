"""One training: data made ready, a model trained or gone on with, its file written, and what it was made of.

The same function on the user's machine and in a job.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.training.lineage import Lineage, describe_training
from modelpack.usecases.checkpoints import Checkpoints
from modelpack.usecases.optional.own_tables import OwnRows, prepare_tables
from modelpack.usecases.optional.training import train_resuming
from modelpack.usecases.own_model.given import GivenModel

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs


def prepare_data(inputs: Inputs, home: Home, progress: Progress) -> tuple[Any, OwnRows]:
    """The data, the use case's or the user's own; and what was read of the user's. Raises BadInput."""
    usecase, path = inputs.usecase, inputs.data_path
    if inputs.data_source is not None:
        return inputs.prepare_source(home, progress)
    if path is None:
        return usecase.prepare(home, progress), OwnRows()
    if isinstance(usecase, GivenModel):
        data, rows = usecase.prepare_own(path, home, progress)
        return data, OwnRows(rows)
    return prepare_tables(usecase, path, home, progress, inputs.unreadable)


def train(inputs: Inputs, data: Any, path: Path, progress: Progress, kept: Checkpoints) -> Lineage:
    """Train on the data, or go on from what is `kept` of the same training, and write the model to `path`.

    The same bytes for the same inputs on one type of CPU, also after a kill.
    """
    progress.step(f"Training: {inputs.usecase.title}")
    model = train_resuming(inputs.usecase, data, inputs.train, progress, kept)
    inputs.usecase.save(model, path)
    return describe_training(inputs, path)
