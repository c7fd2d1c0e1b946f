"""Is what is served the user's own model? Its answers against those of the library that wrote the file.

The gate's reference is a model file as it was read here, so it cannot see what reading lost. The library that wrote the
file can be asked, where it is installed: in a limited process, for it opens a stranger's file. Where it is not, answers
that the user kept beside the requests (`expected`) are compared. What was the reference stands in the record.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.errors import BadInput
from modelpack.formats.onnx_files import nodes
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.formats.variant import ONNX, Variant
from modelpack.language.task import decoding_of
from modelpack.server.rows import in_cuts
from modelpack.sources.base import Converted, LibraryFormat, Source
from modelpack.sources.base import check as source_of
from modelpack.sources.sandbox import process
from modelpack.usecases.base import UseCase
from modelpack.usecases.own_model.given import GivenModel
from modelpack.usecases.own_model.requests import instance

COMPARED, OF_LARGE, LARGE = 512, 64, 50_000_000
"""Requests that the library is asked, evenly from those that were held out; of a model above so many bytes fewer."""
BY_LIBRARY, BY_USER, IN_HALF = 1e-4, 1e-3, 1e-2
"""A number may differ by so much of itself and of how far the model's answers reach: float32 summed in another order on
this machine, or on the user's (a GPU, perhaps); float16. What a reader got wrong differs by more in some request."""
SMALLEST = 1e-6
DRAWING = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
        "Dropout",
    }
)
"""Operators of ONNX that draw random numbers (Dropout: in training mode)."""
EXPECTED = "answers that it gave can be kept: def expected(self)"
TEXTS = "BYTES"


@dataclass(frozen=True)
class Fidelity:
    """Against whose answers the model was held. `by`: a library with its version, or the user's file; empty: nobody's,
    `because` of what. `largest`: by output, the largest difference that was found, 0 to 1 for whole numbers."""

    by: str
    requests: int = 0
    largest: Mapping[str, float] = field(default_factory=dict)
    because: str = ""

    @property
    def words(self) -> str:
        """For people."""
        if not self.by:
            return f"its answers are held against nobody's: {self.because}"
        if not self.requests:
            return f"reference: {self.by}"
        far = ", ".join(f"{name} {value:g}" for name, value in self.largest.items())
        return f"{self.requests:,} requests answered as by {self.by} (largest difference: {far})"

    def as_data(self) -> dict[str, Any]:
        """For the record."""
        if not self.by:
            return {"by": None, "because": self.because}
        return {"by": self.by, "requests": self.requests, "largest_difference": dict(self.largest)}


TRAINED_HERE = Fidelity("the model as it was trained here")


@dataclass(frozen=True)
class Asked:
    """Held-out requests in the model's own types: `numbers` are their places among all (from 1), `answers` are ours."""

    inputs: Arrays
    numbers: tuple[int, ...]
    answers: Arrays


def check_fidelity(
    usecase: UseCase[Any], run: Run, data: Any, path: Path, folder: Path
) -> tuple[Fidelity, ...]:
    """Against whom the model at `path` was held. Raises BadInput with the first request that is answered otherwise."""
    source = source_of(path)
    why = not_a_graph(source, usecase)
    if why or not isinstance(source, Converted):
        return (Fidelity("", because=why),)
    asked = ask_ours(usecase, run, data, most_asked(source, path))
    found = [ask_library(source, usecase, asked, path, folder)]
    expected = usecase.expected_answers(data, asked.numbers) if isinstance(usecase, GivenModel) else None
    if expected:
        words = "the answers that expected() gives"
        largest = compare(words, expected, asked, usecase.signature(), str(path), BY_USER)
        found = [*(one for one in found if one.by), Fidelity(words, len(asked.numbers), largest)]
    return tuple(found)


def most_asked(source: Source, path: Path) -> int:
    """How many requests are asked of a model of this size."""
    return COMPARED if sum(part.stat().st_size for part in source.parts(path)) <= LARGE else OF_LARGE


def ask_ours(usecase: UseCase[Any], run: Run, data: Any, most: int = COMPARED) -> Asked:
    """Held-out requests, and what the model as it was read answers."""
    inputs, numbers = examples(usecase, data, most)
    return Asked(inputs, numbers, in_cuts(run, dict(inputs), usecase.max_batch))


def check_repeats(usecase: UseCase[Any], run: Run, data: Any, variant: Variant, path: Path) -> None:
    """Raises BadInput, with the first request, for a model that answers the same otherwise when asked again."""
    source = source_of(path)
    if not_a_graph(source, usecase):
        return
    asked = ask_ours(usecase, run, data, most_asked(source, path))
    again = in_cuts(run, dict(asked.inputs), usecase.max_batch)
    for tensor in usecase.signature().outputs:
        first, second = (np.asarray(one[tensor.name]) for one in (asked.answers, again))
        _, wrong = differences(first, second, BY_LIBRARY)
        if not wrong.any():
            continue
        row = int(wrong.argmax())
        drawn = drawing(variant)
        why = f"; it draws random numbers in {', '.join(drawn)}" if drawn else ""
        raise BadInput(
            f"the model answers the same request otherwise each time: request {asked.numbers[row]:,}: {tensor.name} is "
            f"{short(first[row])}, and asked again {short(second[row])}{why}",
            where=str(path),
            hint="export it for serving (torch: model.eval() before the export), without operators that draw",
        )


def drawing(variant: Variant) -> list[str]:
    """The operators of a graph that draw random numbers."""
    if variant.format != ONNX:
        return []
    import onnx

    graph = onnx.load_model(str(variant.path), load_external_data=False)
    return sorted({node.op_type for node in nodes(graph)} & DRAWING)


def examples(usecase: UseCase[Any], data: Any, most: int) -> tuple[Arrays, tuple[int, ...]]:
    """Held-out requests evenly from all, with their places among those that the use case gives."""
    if isinstance(usecase, GivenModel):
        return usecase.evenly(data, most)
    inputs = usecase.examples(data, most)
    return inputs, tuple(range(1, len(next(iter(inputs.values()))) + 1))


def ask_library(source: Source, usecase: UseCase[Any], asked: Asked, path: Path, folder: Path) -> Fidelity:
    """The library's answers against ours. Raises BadInput for the first that differs."""
    signature = usecase.signature()
    if not isinstance(source, LibraryFormat):
        return Fidelity(
            "", because=f"the file is run as it came, and what made it is not known here ({EXPECTED})"
        )
    if why := explain_unasked(source, signature):
        return Fidelity("", because=why)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".asking-") as work:
        try:
            answered = process.ask(
                source, path, source.parts(path), signature, asked.inputs, usecase.max_batch, Path(work)
            )
        except BadInput as error:
            return Fidelity("", because=f"{source.library} could not be asked: {error.problems[0].what}")
    largest = compare(answered.by, answered.answers, asked, signature, str(path), BY_LIBRARY)
    return Fidelity(answered.by, len(asked.numbers), largest)


def not_a_graph(source: Source, usecase: UseCase[Any]) -> str:
    """Why nothing was read into another form, in words; empty when it was."""
    if not isinstance(source, Converted):
        return "bare weights, run by torch in the use case's own architecture"
    return "one step of a language model" if decoding_of(usecase) else ""


def explain_unasked(source: LibraryFormat, signature: Signature) -> str:
    """Why the library is not asked, in words; empty when it is."""
    if importlib.util.find_spec(source.library) is None:
        return f"{source.library}, which wrote it, is not installed here ({EXPECTED})"
    if any(one.datatype == TEXTS for one in (*signature.inputs, *signature.outputs)):
        return f"{source.library} is not asked texts"
    return ""


def compare(
    whose: str, wanted: Arrays, asked: Asked, signature: Signature, where: str, near: float
) -> dict[str, float]:
    """The largest difference by output. Raises BadInput with the first request of which one is too large."""
    largest, first = {}, (len(asked.numbers), "")
    for tensor in signature.outputs:
        if tensor.name not in wanted:
            continue
        ours, theirs = np.asarray(asked.answers[tensor.name]), np.asarray(wanted[tensor.name])
        if ours.size != theirs.size:
            what = f"{whose}: {tensor.name!r} has the shape {list(theirs.shape)}; served: {list(ours.shape)}"
            raise BadInput(what, where=where)
        allowed = IN_HALF if tensor.datatype == "FP16" or theirs.dtype == np.float16 else near
        found, wrong = differences(ours, theirs.reshape(ours.shape), allowed)
        largest[tensor.name] = float(f"{found:.3g}")
        if wrong.any() and (row := int(wrong.argmax())) < first[0]:
            values = (short(theirs.reshape(ours.shape)[row]), short(ours[row]))
            first = (row, f"{tensor.name} is {values[0]} by {whose}, and {values[1]} as served")
    if first[1]:
        request = json.dumps(instance(asked.inputs, first[0]))[:200]
        raise BadInput(
            f"what would be served is not the user's model: request {asked.numbers[first[0]]:,}: {first[1]}; {request}",
            where=where,
            hint="save it anew with its library's own call, or as .onnx: docs/models.md",
        )
    return largest


def differences(ours: NDArray[Any], theirs: NDArray[Any], near: float) -> tuple[float, NDArray[np.bool_]]:
    """The largest difference, and which requests are answered otherwise: numbers beyond `near` of themselves and of how
    far they reach, what is no number anywhere but in the same place, anything else where it is not the same."""
    count = len(ours)
    if ours.dtype.kind != "f" and theirs.dtype.kind != "f":
        unequal = (ours != theirs).reshape(count, -1)
        return float(unequal.mean()), unequal.any(axis=1)
    one, other = (np.asarray(values, np.float64).reshape(count, -1) for values in (ours, theirs))
    known = np.isfinite(one) & np.isfinite(other)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        apart = np.where(known, np.abs(one - other), 0.0)
    finite = other[np.isfinite(other)]
    reach = float(np.ptp(finite)) if finite.size else 0.0
    allowed = np.where(known, near * np.abs(other), 0.0) + max(near * reach, SMALLEST)
    wrong = np.where(known, apart > allowed, ~same)
    return float(apart.max(initial=0.0)), np.asarray(wrong.any(axis=1))


def short(values: Any) -> str:
    """A few of an answer's values."""
    listed = np.asarray(values).reshape(-1)
    told = ", ".join(f"{one:.6g}" if listed.dtype.kind == "f" else str(one) for one in listed[:4])
    return told if listed.size == 1 else f"[{told}{', …' if listed.size > 4 else ''}]"
