"""What a trained model was made of: written beside it where it was trained, and from there into the record."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from modelpack.digests import sha256_of
from modelpack.errors import EcomdeployError
from modelpack.home import write_atomically
from modelpack.usecases.checkpoints import THREADS

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs

FORMAT = 1
NAME = "lineage.json"
MODEL = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """`inputs` names the training (`Inputs.training_digest`), `model` the file that came of it (sha256 in hex); `of` is
    what it was made of, `place` where: both plain data for the record."""

    inputs: str
    model: str
    of: Mapping[str, Any] = field(default_factory=dict)
    place: Mapping[str, Any] = field(default_factory=dict)

    def at(self, place: Mapping[str, Any]) -> Lineage:
        """The same, trained there."""
        return replace(self, place={**self.place, **place})

    def as_data(self) -> dict[str, Any]:
        """As the file and the record hold it."""
        return {"format": FORMAT, **to_builtins(self)}

    def write(self, path: Path) -> None:
        text = json.dumps(self.as_data(), sort_keys=True, indent=1)
        write_atomically(path, f"{text}\n".encode())


def describe_training(inputs: Inputs, path: Path) -> Lineage:
    """Of the model that was just written to `path` by this process."""
    from modelpack.runtimes.hardware import hardware

    code, libraries = inputs.training_facts
    return Lineage(
        inputs=inputs.training_digest,
        model=sha256_of(path),
        of={
            "usecase": inputs.usecase.name,
            "data": {
                "own": inputs.data_digest,
                "packages": {f"{one.name}=={one.version}": one.sha256 for one in inputs.packages},
            },
            "code": code,
            "libraries": libraries,
            "hyperparameters": inputs.train.options,
            "python": platform.python_version(),
        },
        place={"on": "local", "hardware": hardware(), "threads": THREADS},
    )


def read_lineage(content: bytes, where: str) -> Lineage:
    """Raises EcomdeployError for what is no lineage of this format: a stranger may have written it."""
    try:
        data = json.loads(content)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}")
        texts = {name: data[name] for name in ("inputs", "model")}
        if not all(isinstance(one, str) for one in texts.values()):
            raise TypeError("inputs and model are texts")
        return Lineage(**texts, of=dict(data["of"]), place=dict(data["place"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EcomdeployError(f"{where} is no lineage: {error}") from None
