"""Optimization passes: Variant -> Variant, one file each. The gate decides which of them stay."""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelpack.digests import installed_version
from modelpack.formats.onnx_files import write
from modelpack.formats.signature import Arrays
from modelpack.formats.variant import ONNX, TORCH, Variant
from modelpack.inputs.catalog import Catalog
from modelpack.language.task import decoding_of
from modelpack.progress import Progress, Silent
from modelpack.runtimes.hardware import CPU, CUDA
from modelpack.usecases.base import UseCase

if TYPE_CHECKING:
    import onnx

TRAINED, EXPORT, FUSED, GRAPH, PACKED, STORED, COMPILED = range(7)
"""Stages in order: on the torch module, into a graph, operators joined, on the graph, padding left out, how its weights
are kept, into another runtime's own format."""


ANY_HARDWARE = frozenset({CPU, CUDA})


def nothing() -> None:
    """The training_rows of a use case that offers none."""


@dataclass(frozen=True)
class PassContext:
    """What a pass may use: the use case, real example requests (their inputs, no answers), an empty folder for its
    result; inputs to calibrate on, training rows to learn from and requests to count traffic in (where the use case
    names some), which are never held-out rows; whom to tell how far it is; and the `hardware` that will serve."""

    usecase: UseCase[Any]
    examples: Arrays
    folder: Path
    calibration: Arrays | None = None
    training_rows: Callable[[], Any] = nothing
    progress: Progress = field(default_factory=Silent)
    traffic: Callable[[], Arrays | None] = nothing
    hardware: str = CPU

    def whole_answers(self) -> Arrays:
        """Inputs to find ranges on by running the graph once. Raises Inapplicable where there are none, and for a
        graph that is one step of a loop.
        """
        if self.calibration is None:
            raise Inapplicable("the use case names nothing to calibrate on")
        if decoding_of(self.usecase) is not None:
            raise Inapplicable("the graph is one step of a loop; ranges are found on whole answers")
        return self.calibration


class Inapplicable(ValueError):
    """There is nothing in the model, or with the use case, that the pass could change or learn from."""


class Pass(abc.ABC):
    """One change to a model.

    `takes` and `gives` are variant formats. A `required` pass is needed to serve at all: the gate measures it, and
    stops the build when it harms, but does not drop it for not paying. `about` is where the method is documented.
    `tools` are the packages whose versions decide the result beside those that every pack names. One that `trains`
    gives another model: it is held to the task metric, not to the trained model's single answers, and the search tries
    it last. `hardware` is what its result can be served on: "cpu", "cuda" or both; the gate keeps
    only what it measured there. `instructions` are CPU instruction sets (the kernel's names in /proc/cpuinfo), of which
    one is needed for the gain; without them the result still answers, as slowly as before. One
    `for_language_models` can change nothing else; a search leaves it out elsewhere.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    stage: ClassVar[int]
    takes: ClassVar[str]
    gives: ClassVar[str]
    required: ClassVar[bool] = False
    tools: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar[bool] = False
    hardware: ClassVar[frozenset[str]] = frozenset({CPU})
    instructions: ClassVar[tuple[str, ...]] = ()
    for_language_models: ClassVar[bool] = False
    about: ClassVar[str]

    @abc.abstractmethod
    def apply(self, variant: Variant, context: PassContext) -> Variant:
        """The changed model in `context.folder`; `variant` stays as it is. The same input gives the same bytes."""


class GraphPass(Pass):
    """A pass from one ONNX graph to another."""

    stage: ClassVar[int] = GRAPH
    takes: ClassVar[str] = ONNX
    gives: ClassVar[str] = ONNX

    @abc.abstractmethod
    def change(self, model: onnx.ModelProto, context: PassContext) -> onnx.ModelProto:
        """The changed model, which may be `model` itself. Raises Inapplicable where there is nothing to change."""

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import onnx

        return write(self.change(onnx.load(str(variant.path)), context), context.folder)


def passes() -> Catalog[Pass]:
    """The passes known here."""
    return Catalog[Pass]("pass", "modelpack.passes", Pass)


def in_order(names: Sequence[str], project: Path) -> tuple[Pass, ...]:
    """The passes by name, in order of their stages and, within a stage, as given. One export is always there, the first
    named or else that to ONNX, after what may take its place.

    Raises BadInput for an unknown name.
    """
    catalog = passes()
    chosen = [catalog.get(name, project) for name in dict.fromkeys(names)]
    exports = [one for one in chosen if one.required and one.stage == EXPORT] or [catalog.get("onnx")]
    chosen = [*(one for one in chosen if one not in exports), exports[0]]
    return tuple(sorted(chosen, key=lambda one: (one.stage, one.required)))


def applicable(first: Sequence[str], served: Collection[str], project: Path) -> tuple[str, ...]:
    """Every known pass on a way from the trained model to one of the `served` formats: those named `first` in that
    order, then the others by name. Passes whose `tools` are not installed are left out, unless named.

    Raises BadInput for an unknown name.
    """
    catalog = passes()
    names = dict.fromkeys([*first, *sorted(catalog.names())])
    known = {name: catalog.get(name, project) for name in names}
    usable = [one for name, one in known.items() if name in first or not lacking(one)]
    steps = {(one.takes, one.gives) for one in usable}
    reached = closure(frozenset({TORCH}), steps)
    useful = closure(frozenset(served), {(gives, takes) for takes, gives in steps})
    return tuple(
        name
        for name, one in known.items()
        if one in usable and one.takes in reached & useful and one.gives in useful
    )


def unfit(one: Pass, hardware: str) -> str:
    """Why a pass is not for a pack of that hardware; empty when it is."""
    return (
        "" if hardware in one.hardware else f"it is for {', '.join(sorted(one.hardware))}, not for {hardware}"
    )


def of_use(names: Sequence[str], usecase: UseCase[Any], project: Path) -> tuple[str, ...]:
    """The names without those of passes that only a language model can go through, where it is none."""
    catalog = passes()
    return tuple(
        name
        for name in names
        if decoding_of(usecase) is not None or not catalog.get(name, project).for_language_models
    )


def closure(formats: frozenset[str], steps: Collection[tuple[str, str]]) -> frozenset[str]:
    """The formats, and all that steps lead to from them."""
    while more := {gives for takes, gives in steps if takes in formats} - formats:
        formats = formats | more
    return formats


def lacking(one: Pass) -> tuple[str, ...]:
    """Which of a pass' tools are not installed."""
    return tuple(name for name in one.tools if installed_version(name) is None)
