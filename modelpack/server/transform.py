"""The user's own code between callers and a model: features before it, thresholds after it.

A Python file beside the model with `prepare(inputs)`, `finish(answers)`, or both: each takes and gives a dict of arrays
by name, rows first (KServe calls such code a transformer). Both see the rows of several callers at once and must treat
each by itself; the server asks rows alone and in company before it serves. `ValueError` refuses a request, in its
words. Fields of an instance that are no input reach both where the signature names them (`http/extra_fields.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays, Engine, InvalidInput
from modelpack.server.from_source import load_source
from modelpack.server.signature import ModelSignature, Tensor, Unfit

Run = Callable[[Arrays], Mapping[str, NDArray[Any]]]
Step = Callable[[Arrays], Any]
MODULE = "ecomdeploy_transform"


class Slip(Exception):
    """What a step gave is not what it must give; the text says what."""


@dataclass(frozen=True)
class Steps:
    """What stands around a model: `inputs` are what it takes, `outputs` what callers get. `extra_fields`: the array of
    what callers sent beside the inputs; empty: none."""

    prepare: Step
    finish: Step
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    extra_fields: str = ""

    def run(self, model: Run, feeds: Arrays) -> Arrays:
        """The model's answer as callers see it. Raises InvalidInput for what the user's code refuses, Slip for what it
        gives wrong, and what it raises."""
        answers = dict(model(self.make_inputs(feeds)))
        if self.extra_fields:
            answers[self.extra_fields] = feeds[self.extra_fields]
        return check("finish", refusing(self.finish, answers), self.outputs, rows_of(feeds))

    def make_inputs(self, feeds: Arrays) -> Arrays:
        """What the model is given for what callers send. Raises as `run`."""
        return check("prepare", refusing(self.prepare, dict(feeds)), self.inputs, rows_of(feeds))


@dataclass(frozen=True)
class TransformedModel:
    """An engine as callers see it."""

    engine: Engine
    steps: Steps

    def run(self, feeds: Arrays) -> Arrays:
        """Raises as `Steps.run`."""
        return self.steps.run(self.engine.run, feeds)


def refusing(step: Step, arrays: Arrays) -> Any:
    """What a step gives. Raises InvalidInput for its ValueError."""
    try:
        return step(arrays)
    except ValueError as refused:
        raise InvalidInput(str(refused)) from refused


def check(name: str, given: Any, wanted: Sequence[Tensor], rows: int) -> Arrays:
    """The wanted arrays in their types. Raises Slip."""
    if not isinstance(given, Mapping):
        raise Slip(f"{name}() gave a {type(given).__name__}; a dict of arrays by name is wanted")
    if absent := [one.name for one in wanted if one.name not in given]:
        raise Slip(f"{name}() does not give {', '.join(absent)}; it gives: {', '.join(map(str, given))}")
    return {one.name: conform(name, np.asarray(given[one.name]), one, rows) for one in wanted}


def conform(name: str, array: NDArray[Any], wanted: Tensor, rows: int) -> NDArray[Any]:
    """The array in the wanted type. Raises Slip for another number of rows, another shape, or numbers that do not
    go."""
    shape = (rows, *wanted.shape[1:])
    fits = array.ndim == len(shape) and all(
        size in (-1, own) for own, size in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise Slip(f"{name}() gives {wanted.name} as {list(array.shape)}; wanted: {list(shape)}")
    kind = wanted.dtype
    if kind is np.object_:
        return array.astype(np.object_)
    if array.dtype.kind not in "fiub" or not np.can_cast(array.dtype, kind, "same_kind"):
        raise Slip(f"{name}() gives {wanted.name} as {array.dtype}; wanted: {wanted.datatype}")
    return np.ascontiguousarray(array, kind)


def rows_of(feeds: Arrays) -> int:
    return len(next(iter(feeds.values())))


def steps_in(
    file: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor], extra_fields: str = ""
) -> Steps:
    """`prepare` and `finish` of a file; one that it lacks changes nothing. Raises Slip where it has neither, and
    whatever its code raises."""
    module = load_source(file, MODULE)
    if not hasattr(module, "prepare") and not hasattr(module, "finish"):
        raise Slip("it has neither prepare(inputs) nor finish(answers)")
    prepare, finish = getattr(module, "prepare", keep), getattr(module, "finish", keep)
    return Steps(prepare, finish, inputs, outputs, extra_fields)


def keep(arrays: Arrays) -> Arrays:
    return arrays


def wrap(signature: ModelSignature, folder: Path, engine: Engine) -> Engine:
    """The engine with the user's code around it; itself where there is none. Raises `Unfit` for code that does not
    load."""
    around = signature.transform
    if around is None:
        return engine
    try:
        file, extra = folder / around.file, around.extra_fields
        return TransformedModel(engine, steps_in(file, around.inputs, signature.outputs, extra))
    except Exception as problem:
        raise Unfit(f"{around.file}: {type(problem).__name__}: {problem}") from None
