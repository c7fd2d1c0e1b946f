"""Where a model is trained when it is not here: the seam, and its fake. Each place is one file of infra/training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelpack.errors import EcomdeployError
from modelpack.home import Home
from modelpack.progress import Progress
from modelpack.training.lineage import MODEL, Lineage

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs


class TrainingPlace(Protocol):
    """A place that runs `python -m modelpack.training`."""

    def train(self, inputs: Inputs, home: Home, folder: Path, progress: Progress) -> Lineage:
        """The model that these inputs give into `folder`, as `lineage.MODEL`. A training of the same inputs that is on
        its way there already, begun by a run that was killed, is waited for and not begun again.

        Raises:
            BadInput: what the user asks for cannot be trained there.
            CloudRefused: the place refuses (credentials, quota, capacity).
            EcomdeployError: the training failed, with its reason.
        """
        ...


def check_brought(inputs: Inputs, folder: Path, lineage: Lineage) -> Lineage:
    """That what a place brought is what was asked for, whole. Raises EcomdeployError."""
    from modelpack.digests import sha256_of

    if lineage.inputs != inputs.training_digest:
        raise EcomdeployError(f"the model that came back was trained of other inputs ({lineage.inputs[:19]})")
    if sha256_of(folder / MODEL) != lineage.model:
        raise EcomdeployError("the model that came back is not the one that its lineage names: it is damaged")
    return lineage


@dataclass
class FakePlace:
    """The fake: `model` are the bytes it brings; `asked` counts."""

    model: bytes
    asked: int = 0
    job: str = "fake-1"
    told: list[str] = field(default_factory=list)

    def train(self, inputs: Inputs, home: Home, folder: Path, progress: Progress) -> Lineage:
        from modelpack.digests import sha256_of

        self.asked += 1
        (folder / MODEL).write_bytes(self.model)
        place = {"on": "fake", "job": self.job}
        return Lineage(inputs=inputs.training_digest, model=sha256_of(folder / MODEL), place=place)
