"""A graph becomes files only after it was checked, prepared by ONNX Runtime, and asked one row.

What an operator makes of a few bytes (`Range`, `Pad`, `OneHot`, `RandomNormal`, `Loop`, shapes that are computed) shows
when it runs, and is stopped by the limits on memory and processor time, whichever operator it is. Rows of zeros, then
of large numbers: a model whose memory follows a number in the request can be taken down by one request.
"""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpack.errors import BadInput, first_line
from modelpack.formats.onnx_files import write
from modelpack.sources.graphs import foreign_operators
from modelpack.sources.limits import PROOF_SECONDS
from modelpack.sources.onnx_bombs import check_bombs

if TYPE_CHECKING:
    import onnx

LARGE = {"f": 1e9, "i": 2**30, "u": 100, "b": True, "O": "9" * 64}
"""By the kind of an array: what stands in every place of the second row."""
NUMPY: dict[str, Any] = {"float": np.float32, "double": np.float64, "string": np.object_, "bool": np.bool_}
OUT_OF_MEMORY = re.compile(r"bad_alloc|[aA]llocat|require more than \d+ bytes")
KIBIBYTE = 1024


def keep(graph: onnx.ModelProto, path: Path, folder: Path, memory: int) -> None:
    """The graph as files in `folder`. Raises BadInput, MemoryError, or lets the process end by its limits."""
    import onnx

    for problem in foreign_operators(graph):
        raise BadInput(problem, where=str(path))
    check_bombs(graph, path)
    written = write(graph, folder).path
    try:
        onnx.checker.check_model(str(written))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        raise BadInput(f"not a valid ONNX model: {first_line(error)}", where=str(path)) from error
    prove(written, path, memory)


def prove(graph: Path, path: Path, memory: int) -> None:
    """Prepare the model and ask it rows. Raises BadInput when ONNX Runtime does not take it, MemoryError."""
    limit(resource.RLIMIT_DATA, used_memory() + memory)
    limit(resource.RLIMIT_CPU, used_seconds() + PROOF_SECONDS)
    from modelpack.runtimes.single_thread import session

    try:
        opened = session(str(graph))
    except Exception as error:
        if out_of_memory(error):
            raise MemoryError from error
        raise BadInput(f"ONNX Runtime does not take it: {first_line(error)}", where=str(path)) from error
    for large in (False, True):
        try:
            opened.run(None, {one.name: row(one, large) for one in opened.get_inputs()})
        except Exception as error:
            # Zeros may be no proper request of this model (an index, a length): only what they cost is looked at.
            if out_of_memory(error):
                raise refusal(large, path, memory) from error


def refusal(large: bool, path: Path, memory: int) -> Exception:
    """What running out of memory on one row says of the model."""
    if not large:
        return MemoryError()
    what = f"one request with large numbers makes it take more than {memory / 1e9:.1f} GB of memory"
    return BadInput(what, where=str(path), hint="bound that number in the model by Clip or Min")


def row(value: Any, large: bool) -> np.ndarray[Any, Any]:
    """One row for an input of a session; an open axis has one place."""
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in value.shape]
    array = np.zeros(shape, numpy_type(value.type))
    if array.dtype.kind == "O":
        array.fill("")
    if large:
        array.fill(LARGE[array.dtype.kind])
    return array


def numpy_type(words: str) -> Any:
    """`tensor(float)` -> numpy's type."""
    inner = words.removeprefix("tensor(").removesuffix(")")
    return NUMPY.get(inner) or np.dtype(inner)


def out_of_memory(error: Exception) -> bool:
    """Whether an error of ONNX Runtime says that memory ran out."""
    return isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)) is not None


def limit(kind: int, most: int) -> None:
    """Lower a limit; one that is lower stays."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (min(int(most), soft), hard))


def used_memory() -> int:
    """Bytes that count against the limit on memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmData:")).split()[1]) * KIBIBYTE


def used_seconds() -> int:
    """Processor time so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1
