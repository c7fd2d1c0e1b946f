"""A stranger's model as a variant: read in a limited process, fitted to the use case, kept in a folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpack.errors import BadInput
from modelpack.formats.onnx_files import GRAPH_FILE, WEIGHTS_FILE, strip_notes
from modelpack.formats.variant import ONNX, Variant
from modelpack.sources.fitting import fit_names, give_rows
from modelpack.sources.graphs import differences, read
from modelpack.sources.outputs import choose_outputs, keep_outputs
from modelpack.sources.sandbox import process
from modelpack.sources.sandbox.process import Reader
from modelpack.usecases.base import UseCase
from modelpack.usecases.own_model.given import GivenModel

if TYPE_CHECKING:
    import onnx

Note = Callable[[str], None]


def take(
    reader: Reader, path: Path, parts: Sequence[Path], usecase: UseCase[Any], folder: Path, note: Note
) -> Variant:
    """The variant of `path` in `folder`. Raises BadInput."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".reading-") as work:
        wanted = usecase.open_signature() if isinstance(usecase, GivenModel) else usecase.signature()
        made = process.read(reader, path, parts, wanted, Path(work))
        try:
            graph = read(made.folder / GRAPH_FILE)
        except (BadInput, OSError) as error:
            raise BadInput(f"what was read of it is damaged: {error}", where=str(path)) from error
        fit(graph, usecase, path, reader.named)
        strip_notes(graph)
        (folder / GRAPH_FILE).write_bytes(graph.SerializeToString(deterministic=True))
        weights = made.folder / WEIGHTS_FILE
        if weights.is_file() and not weights.is_symlink():
            shutil.move(weights, folder / WEIGHTS_FILE)
    for one in made.notes:
        note(one)
    return Variant(ONNX, folder / GRAPH_FILE)


def fit(graph: onnx.ModelProto, usecase: UseCase[Any], path: Path, named: bool) -> None:
    """Give the graph the use case's names, unless its own must be the right ones (`named`).

    Raises BadInput for other inputs or outputs than the use case's.
    """
    wanted = usecase.open_signature() if isinstance(usecase, GivenModel) else usecase.signature()
    if wanted:
        keep_outputs(graph, [one.name for one in wanted.outputs])
    if isinstance(usecase, GivenModel):
        choose_outputs(graph, usecase.chosen_outputs(), path)
        if give_rows(graph):
            usecase.take_one_at_a_time()
    adopt_signature(graph, usecase, path)
    if not named:
        fit_names(graph, usecase.signature())
    for problem in differences(graph, usecase.signature(), usecase.max_batch == 1):
        raise BadInput(
            problem, where=str(path), hint=f"the use case {usecase.name!r} fixes inputs and outputs"
        )


def adopt_signature(graph: onnx.ModelProto, usecase: UseCase[Any], path: Path) -> None:
    """Tell a use case that takes any model what this one takes and gives. Raises BadInput when no request fits it."""
    if not isinstance(usecase, GivenModel):
        return
    from modelpack.usecases.own_model.signature import own_signature, takes_one_row

    usecase.adopt(own_signature(graph, path))
    if takes_one_row(graph):
        usecase.take_one_at_a_time()
