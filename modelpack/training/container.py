"""The folders of a training container, by SageMaker's contract.

    input/config/hyperparameters.json      texts by name
    input/config/resourceconfig.json       {"current_host": ..., "hosts": [...]}
    input/config/inputdataconfig.json      channels by name
    input/data/<channel>/                  their files
    checkpoints/                           copied to S3 as they change, and brought back before a job goes on
    model/                                 what comes back
    output/failure                         why it failed, in words

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html, and
model-checkpoints.html beside it. `ECOMDEPLOY_TRAINING_ROOT` puts all of it elsewhere than /opt/ml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelpack.errors import BadInput

ROOT = "/opt/ml"
VARIABLE = "ECOMDEPLOY_TRAINING_ROOT"
PROJECT, PACKAGES = "project", "packages"
"""The channels: what lies in the user's project, and the packages that carry a use case's own data."""
MOST_FAILURE = 1024
"""Characters of the reason that DescribeTrainingJob gives back."""


@dataclass(frozen=True)
class TrainingFolders:
    """Pure paths and what is read from them."""

    root: Path

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def failure(self) -> Path:
        return self.root / "output" / "failure"

    def channel(self, name: str) -> Path:
        """Where a channel's files are, whether it was given or not."""
        return self.root / "input" / "data" / name

    def hyperparameters(self) -> dict[str, str]:
        """Raises BadInput where there are none, or not only texts."""
        found = self._config("hyperparameters.json")
        wrong = [name for name, value in found.items() if not isinstance(value, str)]
        if wrong:
            raise BadInput(
                f"hyperparameters are texts, and {wrong[0]} is none", where=str(self._of(wrong[0]))
            )
        return dict(found)

    def hosts(self) -> tuple[str, ...]:
        """The names of all hosts of the job; one where nothing is said."""
        if not self._path("resourceconfig.json").is_file():
            return ("algo-1",)
        return tuple(map(str, self._config("resourceconfig.json").get("hosts", ("algo-1",))))

    def fail(self, why: str) -> None:
        """Leave the reason where SageMaker looks for it."""
        self.failure.parent.mkdir(parents=True, exist_ok=True)
        self.failure.write_text(why[:MOST_FAILURE], encoding="utf-8")

    def _path(self, name: str) -> Path:
        return self.root / "input" / "config" / name

    def _of(self, parameter: str) -> str:
        return f"{self._path('hyperparameters.json')}: {parameter}"

    def _config(self, name: str) -> Mapping[str, Any]:
        path = self._path(name)
        try:
            data = json.loads(path.read_bytes())
        except OSError as error:
            hint = f"a training container has it at {ROOT}; {VARIABLE} names another root"
            raise BadInput(f"it cannot be read: {error.strerror}", where=str(path), hint=hint) from None
        except (ValueError, RecursionError):
            raise BadInput("it is no JSON", where=str(path)) from None
        if not isinstance(data, dict):
            raise BadInput("it is no JSON object", where=str(path))
        return data
