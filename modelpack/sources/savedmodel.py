"""TensorFlow's SavedModel folders (tensorflow.org/guide/saved_model), brought in by ONNX.

A SavedModel is a program: its operators can read and write files. Those are refused by name here, without
TensorFlow; in the converter's process every operator must be one that tf2onnx can express.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from modelpack.errors import BadInput
from modelpack.formats.variant import Variant
from modelpack.sources.base import Source, files_below
from modelpack.sources.tensorflow import convert
from modelpack.usecases.base import UseCase

GRAPH = "saved_model.pb"
LARGEST_GRAPH = 2**31 - 1
FILES = re.compile(
    r"saved_model\.pb|fingerprint\.pb|keras_metadata\.pb|variables/variables\.(index|data-\d{5}-of-\d{5})"
)
EFFECTS = re.compile(
    rb"[\x01-\x40](ReadFile|WriteFile|MatchingFiles|PyFunc|PyFuncStateless|EagerPyFunc|WholeFileReader(?:V2)?|SaveSlices"
    rb"|InitializeTableFromTextFile(?:V2)?|TextLineDataset|TFRecordDataset|FixedLengthRecordDataset(?:V2)?|LoadDataset"
    rb"|CustomAggregator|DebugIdentity(?:V\d)?|PrintV2|Print|RemoteCall|LoadLibrary|GcsConfigure\w*)[\x12\x1a\x22*]"
)


class SavedModel(Source):
    """A SavedModel with the signature `serving_default`; needs the extra `tensorflow`."""

    name: ClassVar[str] = "savedmodel"
    marker: ClassVar[str | None] = GRAPH

    def open(self, path: Path, usecase: UseCase[Any], folder: Path) -> Variant:
        check(path)
        return convert("savedmodel", path, usecase, folder)


def check(path: Path) -> None:
    """Raises BadInput for files that no SavedModel needs here, and for operators with effects."""
    for file in files_below(path):
        if not FILES.fullmatch(name := file.relative_to(path).as_posix()):
            raise BadInput(f"a part that no SavedModel needs here is refused: {name!r}", where=str(path))
    if (path / GRAPH).stat().st_size > LARGEST_GRAPH:
        raise BadInput("a graph above 2 GB is refused", where=str(path))
    found = {one.decode() for one in EFFECTS.findall((path / GRAPH).read_bytes())}
    if found:
        raise BadInput(f"operators with effects are refused: {', '.join(sorted(found))}", where=str(path))
