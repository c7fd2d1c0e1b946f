"""The class that a user's own use case builds on: requests with their truths and a metric; all else is given."""

from __future__ import annotations

import abc
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from modelpack.errors import BadInput, Problem
from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.server.rows import in_cuts
from modelpack.server.signature import Guardrail, Tensor, TransformFile
from modelpack.usecases.base import Baseline, Evaluation, Samples, UseCase
from modelpack.usecases.own_model import requests
from modelpack.usecases.own_model.asking import ask, complain, place, takes
from modelpack.usecases.own_model.requests import Answers, Held, conform, hold_requests, instance
from modelpack.usecases.own_model.signature import with_missing
from modelpack.usecases.own_model.transform import SERVED_AS, Transform, UserCode, check_transform
from modelpack.usecases.own_model.verdicts import (
    first_not_finite,
    hold_answers,
    not_finite,
    per_request,
    tolerances,
)
from modelpack.usecases.packages import DataPackage
from modelpack.usecases.sampling import pick_evenly

ROWS_AT_ONCE = 256
GOLDEN, SAMPLES = 8, 12
MOST_GOLDEN_VALUES = 50_000
"""Numbers in all golden requests together: they stand in the image as JSON."""
METRIC_HINT = "def metric(self, answers, truths): return one number per request, as many as there are truths"


class OwnModel(UseCase[Held]):
    """A model file of the user's with `requests` and a `metric`, in the spec `usecase: ./shop.py:ShopRecs`.

    The model's inputs and outputs are its own, unless `inputs` and `outputs` name them (then by place where the
    names differ). `metric` gives one value per request; `metric_name` is its word in the record.
    """

    epochs: ClassVar[int] = 1
    passes: ClassVar[tuple[str, ...]] = ("onnx", "embedding-int8", "int8")
    packages: ClassVar[tuple[DataPackage, ...]] = ()
    split: ClassVar[str] = (
        "the user's own requests(); that training saw none of them is the user's word, nothing here can tell"
    )
    tolerance: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Left empty: from how the model's own answers spread."""
    metric_name: ClassVar[str] = "metric"
    higher_is_better: ClassVar[bool] = True
    inputs: ClassVar[tuple[Tensor, ...]] = ()
    outputs: ClassVar[tuple[Tensor | str, ...]] = ()
    """With `inputs`: tensors. Alone: names of the model's own outputs that callers get."""
    parameters: ClassVar[Mapping[str, float | bool]] = {}
    """What an input is where a request leaves it out: a threshold, a temperature."""
    transform: ClassVar[Transform | None] = None
    """Code of the user's before and after the model; then requests, answers and the metric are callers'."""
    guardrails: ClassVar[tuple[Guardrail, ...]] = ()
    """Which answers are on the wrong side: counted by the server, and watched while a release takes traffic."""
    names: Mapping[Any, str] = {}
    """Words for the numbers that the model answers, for people."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
        if "title" not in vars(cls):
            cls.title = (cls.__doc__ or cls.name).strip().splitlines()[0]

    _found: Signature | None = None
    _golden: Sequence[int] | None = None
    _told_of: tuple[str, ...] = ()
    _path: Path | None = None

    def __init__(self) -> None:
        if problems := self._slips():
            raise BadInput(problems)

    @abc.abstractmethod
    def requests(self, *args: Any, **kwargs: Any) -> Any:
        """`requests(self)`, or `requests(self, data)` with the path of `data: {path: ...}`: inputs by name (first
        axis: requests), one truth per request, and, where requests belong together (one customer's), their groups."""

    @abc.abstractmethod
    def metric(self, answers: Any, truths: Any) -> Any:
        """One value per request, from the model's `answers` by output name and the `truths` of `requests`."""

    def baseline(self, inputs: Any) -> Any:
        """What a rule without training answers, by output name: the model must do better. None: no rule."""
        return None

    def training_inputs(self, *args: Any, **kwargs: Any) -> Any:
        """Inputs that the model was trained on, for passes that look at ranges. None: there are none."""
        return None

    def expected(self, *args: Any, **kwargs: Any) -> Any:
        """What the model answered to `requests` where it was trained, by output name (`predict_proba`'s, say): what is
        served is held against it. None: nothing was kept."""
        return None

    def _slips(self) -> list[Problem]:
        """What is wrong with the class before anything runs."""
        found = []
        if not takes(self.metric, 2):
            found.append(complain(self.metric, "metric() must take answers and truths", METRIC_HINT))
        if not (takes(self.requests, 0) or takes(self.requests, 1)):
            hint = "def requests(self), or def requests(self, data)"
            found.append(complain(self.requests, "requests() must take nothing, or the data's path", hint))
        if not takes(self.baseline, 1):
            found.append(complain(self.baseline, "baseline() must take inputs", "def baseline(self, inputs)"))
        if self.inputs and not self._tensors():
            hint = "name outputs as tensors too, or leave inputs out"
            found.append(Problem(f"{self.name} names inputs and no outputs", hint=hint))
        if not self.inputs and len(self.chosen_outputs()) < len(self.outputs):
            hint = "outputs = ('probabilities',), or name inputs and outputs as tensors"
            found.append(Problem(f"{self.name} names outputs as tensors and no inputs", hint=hint))
        return [*found, *check_transform(self.transform, type(self))]

    def prepare(self, home: Home, progress: Progress) -> Held:
        return self._hold(progress)

    def prepare_own(self, path: Path, home: Home, progress: Progress) -> tuple[Held, Mapping[str, int]]:
        self._path = path
        data = self._hold(progress)
        return data, {"requests": len(data)}

    def _hold(self, progress: Progress) -> Held:
        data = hold_requests(self._ask(self.requests), place(self.requests))
        progress.note(f"{len(data):,} requests of your own to measure on")
        return data

    def _ask(self, method: Any) -> Any:
        """What a method of the user's answers, given the data's path where it takes one."""
        if self._path is not None and takes(method, 1):
            return ask(method, self._path)
        if not takes(method, 0):
            hint = "add data: {path: ...} to ecomdeploy.yaml"
            raise BadInput(
                f"{method.__name__}() takes data, and none is given", where=place(method), hint=hint
            )
        if self._path is not None and method == self.requests:
            hint = "def requests(self, data): data is its path"
            raise BadInput("data is given, and requests() does not take it", where=place(method), hint=hint)
        return ask(method)

    def adopt(self, found: Signature) -> None:
        inputs = {one.name: one for one in found.inputs}
        if absent := [name for name in self.parameters if name not in inputs]:
            hint = f"it takes: {', '.join(inputs)}"
            raise BadInput(f"parameters: the model has no input {absent[0]!r}", hint=hint)
        given = {
            name: structs.replace(inputs[name], default=value) for name, value in self.parameters.items()
        }
        self._found = Signature(tuple({**inputs, **given}.values()), found.outputs)

    def chosen_outputs(self) -> tuple[str, ...]:
        return tuple(one for one in self.outputs if isinstance(one, str))

    def _tensors(self) -> tuple[Tensor, ...]:
        """The outputs where they are given in full."""
        return tuple(one for one in self.outputs if isinstance(one, Tensor))

    def signature(self) -> Signature:
        found = self._found
        if self.inputs:
            takes_missing = found is not None and any(one.missing for one in found.inputs)
            inputs = with_missing(self.inputs) if takes_missing else tuple(self.inputs)
            return Signature(inputs, self._tensors())
        if self._found is None:
            hint = "name them: inputs = (Tensor('features', 'FP32', (-1, 12)),) and outputs"
            raise BadInput(f"this format does not tell inputs and outputs of {self.name}", hint=hint)
        return self._found

    def interface(self) -> Signature:
        return self.transform.interface(self.signature()) if self.transform else self.signature()

    def outer(self, run: Run, data: Any) -> Run:
        return self._code.around(run) if self._code else run

    @cached_property
    def _code(self) -> UserCode | None:
        """The user's code around the model, loaded when the model has said what it takes; None where there is none."""
        if (source := self.transform_source) is None:
            return None
        return UserCode.load(source, self.signature(), self.interface(), self._extra_fields)

    @property
    def _extra_fields(self) -> str:
        return self.transform.extra_fields if self.transform else ""

    @property
    def transform_source(self) -> Path | None:
        return self.transform.beside(type(self)) if self.transform else None

    def transform_file(self) -> TransformFile | None:
        if self.transform is None:
            return None
        model = self.signature()
        return TransformFile(SERVED_AS, model.inputs, model.outputs, self._extra_fields)

    def companions(self, data: Held) -> Mapping[str, bytes]:
        source = self.transform_source
        return {SERVED_AS: source.read_bytes()} if source else {}

    def _requests_of(self, data: Held) -> dict[str, NDArray[Any]]:
        """What callers send."""
        return data.ready(self.interface(), self._extra_fields)

    def _prepare(self, asked: Arrays) -> Arrays:
        """What the model is given for it."""
        return self._code.prepare(asked) if self._code else asked

    def open_signature(self) -> Signature | None:
        return self.signature() if self.inputs or self._found else None

    def learn_tolerance(self, run: Run, data: Held) -> None:
        some, numbers = self._some(data, ROWS_AT_ONCE)
        answers = in_cuts(self.outer(run, data), some, self._at_once)
        bad = not_finite(answers)
        known = np.flatnonzero(~bad)
        if bad.any():
            first = int(bad.argmax())
            what = f"request {numbers[first]:,} is answered with {first_not_finite(answers, first)}, which is no number"
            if not len(known):
                hint = "mend the model (a logarithm of zero, a division by it), or bound what it takes"
                raise BadInput(f"{what}, and so are all that were asked", where=data.where, hint=hint)
            told = f"{what} ({bad.sum():,} of {len(bad):,} that were asked): none of them is a golden request"
            self._told_of = (told,)
        self._golden = [numbers[place] - 1 for place in known]
        if not type(self).tolerance:
            # One run decides it: an instance's own, read like the class's.
            finite = {name: np.asarray(values)[known] for name, values in answers.items()}
            self.__dict__["tolerance"] = tolerances(self.interface(), finite)

    def slips_told(self) -> Sequence[str]:
        return self._told_of

    def evenly(self, data: Held, count: int) -> tuple[Arrays, tuple[int, ...]]:
        some, numbers = self._some(data, count)
        return self._prepare(some), numbers

    def _some(self, data: Held, count: int) -> tuple[dict[str, NDArray[Any]], tuple[int, ...]]:
        """What callers send, spread over the requests, and the numbers of those."""
        rows = pick_evenly(len(data), count)
        some = {name: array[list(rows)] for name, array in self._requests_of(data).items()}
        return some, tuple(int(row) + 1 for row in rows)

    def expected_answers(self, data: Held, numbers: Sequence[int]) -> Arrays | None:
        if (given := self._ask(self.expected)) is None:
            return None
        found = hold_answers(given, self.signature(), len(data), place(self.expected))
        return {name: values[[number - 1 for number in numbers]] for name, values in found.items()}

    def take_one_at_a_time(self) -> None:
        self.__dict__["max_batch"] = 1

    @property
    def _at_once(self) -> int:
        """Rows a call while measuring: one, for a model that takes no more."""
        return 1 if self.max_batch == 1 else ROWS_AT_ONCE

    def evaluate(self, run: Run, data: Held) -> Evaluation:
        return self._measure(in_cuts(self.outer(run, data), self._requests_of(data), self._at_once), data)

    def _measure(self, answers: Arrays, data: Held) -> Evaluation:
        values = per_request(ask(self.metric, Answers(answers), data.truths), len(data), place(self.metric))
        return Evaluation(self.metric_name, values, data.groups, self.higher_is_better)

    def baselines(self, data: Held) -> tuple[Baseline, ...]:
        answers = ask(self.baseline, self._requests_of(data))
        if answers is None:
            return ()
        if not isinstance(answers, Mapping):
            what = f"baseline() answered {requests.kind_of(answers)}"
            raise BadInput(what, where=place(self.baseline), hint="return a dict of arrays by output name")
        given = {name: np.asarray(values) for name, values in answers.items()}
        about = (self.baseline.__doc__ or "a rule of the user's own").strip().splitlines()[0]
        return (Baseline("baseline", about, self._measure(given, data), must_beat=True),)

    def take_held_out(self, data: Held, count: int) -> Arrays:
        return self._some(data, count)[0]

    def examples(self, data: Held, count: int) -> Arrays:
        rows = np.arange(count) % len(data) if count > len(data) else pick_evenly(len(data), count)
        return self._prepare({name: array[rows] for name, array in self._requests_of(data).items()})

    def golden(self, data: Held) -> Sequence[Mapping[str, Any]]:
        ready = self._requests_of(data)
        most = MOST_GOLDEN_VALUES // max(1, requests.values_per_request(ready))
        sure = self._golden or range(len(data))
        rows = [sure[at] for at in pick_evenly(len(sure), max(1, min(GOLDEN, most)))]
        return [{"instances": [instance(ready, row)]} for row in rows] + [
            {"instances": [instance(ready, row) for row in rows[:3]]}
        ]

    def samples(self, data: Held) -> Samples:
        ready = self._requests_of(data)
        most = MOST_GOLDEN_VALUES // max(1, requests.values_per_request(ready))
        shown = tuple(
            {
                "request": {"instances": [instance(ready, row)]},
                "about": f"request {row + 1} of requests()",
                "before": [f"known to be right: {self._word(data.truths[row])}"],
            }
            for row in pick_evenly(len(data), max(1, min(SAMPLES, most)))
        )
        return Samples(shown, {str(key): str(word) for key, word in self.names.items()})

    def _word(self, truth: Any) -> str:
        words = {str(key): str(word) for key, word in self.names.items()}
        return " ".join(words.get(str(truth), str(truth)).split())[:200]

    def calibration(self, data: Held) -> Arrays | None:
        if (given := self._ask(self.training_inputs)) is None:
            return None
        ready = self._requests_of(data)
        arrays = {str(name): np.asarray(values) for name, values in given.items()}
        found = conform(arrays, self.interface(), place(self.training_inputs), self._extra_fields)
        fresh = ~np.isin(rows_as_bytes(found), rows_as_bytes(ready))
        if not fresh.any():
            what = "training_inputs() answered nothing but held-out requests"
            raise BadInput(what, where=place(self.training_inputs), hint="give rows of the training data")
        return self._prepare({name: array[fresh] for name, array in found.items()})

    def train(self, data: Held, spec: TrainSpec, progress: Progress) -> Any:
        raise BadInput(f"{self.name} trains nothing", hint="model: {path: model.onnx} in ecomdeploy.yaml")

    def save(self, model: Any, path: Path) -> None:
        raise BadInput(f"{self.name} trains nothing", hint="model: {path: model.onnx} in ecomdeploy.yaml")

    def load(self, path: Path) -> Any:
        raise BadInput("bare weights have no program to run them", where=str(path), hint="save it as .onnx")


def rows_as_bytes(inputs: Arrays) -> NDArray[Any]:
    """Each row of all inputs as one text, to find equal ones."""
    texts = [[str(one) for one in inputs[name].tolist()] for name in sorted(inputs)]
    return np.array(["\n".join(parts) for parts in zip(*texts, strict=True)])
