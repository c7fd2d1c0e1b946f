"""`.safetensors` files: tensors and text only, so that reading one never runs code.

Format: huggingface.co/docs/safetensors (8 bytes header length, JSON header, raw tensors). The library checks that
header, offsets and file length agree.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

from modelpack.draft import TORCH, Draft
from modelpack.errors import BadInput
from modelpack.sources.base import Source
from modelpack.usecases.base import UseCase

METADATA_KEY = "ecomdeploy"


class Safetensors(Source):
    """Weights of the use case's own architecture."""

    name: ClassVar[str] = "safetensors"

    def open(self, path: Path, usecase: UseCase[Any], folder: Path) -> Draft:
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / "model.safetensors"
        shutil.copyfile(path, copy)
        try:
            usecase.load(copy)
        except BadInput as error:
            raise BadInput(error.problems[0].what, where=str(path), hint=error.hint) from error
        return Draft(TORCH, copy)


def read_metadata(path: Path) -> dict[str, Any]:
    """What the file says about itself under our key. Raises BadInput when it is damaged or says nothing."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BadInput(f"damaged or not a safetensors file: {error}", where=str(path)) from error
    try:
        config = json.loads(metadata.get(METADATA_KEY, "{}"))
    except json.JSONDecodeError as error:
        raise BadInput(f"its metadata is not JSON: {error}", where=str(path)) from error
    return config if isinstance(config, dict) else {}
