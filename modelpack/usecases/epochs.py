"""A loop over epochs in torch that can be gone on with."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelpack.usecases.checkpoints import Checkpoints, NoCheckpoints

if TYPE_CHECKING:
    import numpy as np
    import torch

EPOCHS = "epochs"


@dataclass(frozen=True)
class TorchTraining:
    """All that a loop over epochs changes: from it the next epoch gives the same weights, whoever goes on."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: np.random.Generator

    def go_on(self, kept: Checkpoints) -> int:
        """Take up where the last kept epoch ended; how many epochs that were. 0: from the start."""
        import torch

        content = kept.load(EPOCHS)
        if content is None:
            return 0
        state = torch.load(io.BytesIO(content), weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.bit_generator.state = json.loads(state["generator"])
        torch.set_rng_state(state["torch"])
        return int(state["done"])

    def keep(self, kept: Checkpoints, done: int) -> None:
        """After so many epochs. Costs nothing where nothing is kept."""
        import torch

        if isinstance(kept, NoCheckpoints):
            return
        stream = io.BytesIO()
        torch.save(
            {
                "done": done,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "generator": json.dumps(self.generator.bit_generator.state),
                "torch": torch.get_rng_state(),
            },
            stream,
        )
        kept.keep(EPOCHS, stream.getvalue())
