"""What a use case may offer to those who serve its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.server.signature import Guardrail, HandlerModule, Text
from modelpack.usecases.base import UseCase

TARGET_RPS = 120.0


@runtime_checkable
class TextInput(Protocol):
    """Callers send a text where the model file takes token ids and their mask. Asked by `serving.json`, from which the
    server makes token ids; by the gate, which pads requests as the server does; and by passes that treat padding or
    texts in their own way."""

    @property
    def text(self) -> Text:
        """The inputs' names, and the tokenizer among the use case's `Companions`."""


def text_of(usecase: object) -> Text | None:
    """How texts become the model's inputs; None where callers send none."""
    return usecase.text if isinstance(usecase, TextInput) else None


def pad_as_served(usecase: object, cut: Arrays) -> Arrays:
    """A cut of `UseCase.examples` as the server gives it to the model: texts padded no further than to its longest."""
    text = text_of(usecase)
    if text is None:
        return cut
    longest = max(1, int(cut[text.mask].sum(axis=1).max()))
    padded = (text.ids, text.mask)
    return {
        name: np.ascontiguousarray(array[:, :longest]) if name in padded else array
        for name, array in cut.items()
    }


@runtime_checkable
class Labelled(Protocol):
    """Some outputs are places in a list, which callers get as the list's texts. Asked by `serving.json`, from which the
    server puts the texts in."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Output -> the JSON list of texts among the use case's `Companions`."""


def labels_of(usecase: object) -> Mapping[str, str]:
    """Output -> the list of its texts; empty where answers are what they are."""
    return usecase.labels if isinstance(usecase, Labelled) else {}


@runtime_checkable
class Guardrailed(Protocol):
    """Some answers are wrong though fast and from a healthy server: a price outside its bounds, an empty list.
    Asked by `serving.json`, from which the server counts them; by `gate/normal_shares.py`, which measures how many of
    them are normal; and by alarms, which ring where more come."""

    @property
    def guardrails(self) -> tuple[Guardrail, ...]:
        """In callers' words."""


def guardrails_of(usecase: object) -> tuple[Guardrail, ...]:
    """The use case's own guardrails; none by itself."""
    return tuple(usecase.guardrails) if isinstance(usecase, Guardrailed) else ()


@runtime_checkable
class HeldOutRequests(Protocol):
    """What callers send is known row by row, also where a text or code stands around the model. Asked by
    `gate/normal_shares.py`."""

    def take_held_out(self, data: Any, count: int) -> Arrays:
        """At most so many rows, in callers' words."""


@runtime_checkable
class WithHandler(Protocol):
    """Requests are answered in another way than row by row, by a part of the model server of the use case's own. Asked
    by `inputs/server_files.py`, which puts its folder into the image, and by `serving.json`, which names it to the
    server."""

    @property
    def handler(self) -> HandlerModule:
        """An importable module with `load` (`modelpack.server.handler`), in a folder of such files."""


def handler_of(usecase: object) -> HandlerModule | None:
    """The use case's own handler; None: the server answers by itself."""
    return usecase.handler if isinstance(usecase, WithHandler) else None


@runtime_checkable
class OwnInterface(Protocol):
    """Callers send or get something else than the model file takes and gives, for the server stands something around
    it: a tokenizer, labels, a handler. Asked by the gate, which asks golden requests in callers' words, and by
    `serving.json`."""

    def interface(self) -> Signature:
        """What callers send and get."""

    def outer(self, run: Run, data: Any) -> Run:
        """A running model as callers see it: `interface` in, `interface` out."""


def interface_of(usecase: UseCase[Any]) -> Signature:
    """What callers send and get: by itself, what the model takes and gives."""
    return usecase.interface() if isinstance(usecase, OwnInterface) else usecase.signature()


def as_called(usecase: UseCase[Any], run: Run, data: Any) -> Run:
    """A running model as callers see it."""
    return usecase.outer(run, data) if isinstance(usecase, OwnInterface) else run


@runtime_checkable
class Companions(Protocol):
    """The server reads more than the model file: a tokenizer, labels, what a handler reads. Asked by `modelpack.build`,
    which puts the files into the image."""

    def companions(self, data: Any) -> Mapping[str, bytes]:
        """The files by name."""


def companions_of(usecase: object, data: Any) -> Mapping[str, bytes]:
    """The files by name; none by itself."""
    return usecase.companions(data) if isinstance(usecase, Companions) else {}


@runtime_checkable
class Requirements(Protocol):
    """The server's part for this use case imports packages of others, beside the runtime's. Asked by
    `inputs/environment.py`, which names and locks what goes into the image."""

    @property
    def requirements(self) -> tuple[str, ...]:
        """Requirement lines; what they need in turn is resolved."""


def requirements_of(usecase: object) -> tuple[str, ...]:
    """Requirement lines; none by itself."""
    return usecase.requirements if isinstance(usecase, Requirements) else ()


@runtime_checkable
class Unneeded(Protocol):
    """Some of what those packages declare is never imported. Asked by `inputs/environment.py`."""

    @property
    def unneeded(self) -> frozenset[str]:
        """Distributions that stay out of the image."""


def unneeded_of(usecase: object) -> frozenset[str]:
    """Distributions that stay out; none by itself."""
    return usecase.unneeded if isinstance(usecase, Unneeded) else frozenset()


@runtime_checkable
class LastingGolden(Protocol):
    """Answers turn where rounding tips a choice, on a machine that calculates more roughly than this one. Asked by
    `gate/trial.py` for packs of such runtimes. Answers with a tolerance last anyway; exact texts must be chosen."""

    def lasting_golden(
        self, model: Callable[[], Any], data: Any, arithmetic: str
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
        """Golden requests whose answers hold in that `arithmetic` ("float16"), chosen with the trained `model`; and how
        far they are from turning, for the record. Raises EcomdeployError when no answer lasts."""


def lasting_golden_of(
    usecase: UseCase[Any], model: Callable[[], Any], data: Any, arithmetic: str
) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
    """The golden requests for that arithmetic; the usual ones where answers have a tolerance."""
    if isinstance(usecase, LastingGolden):
        return usecase.lasting_golden(model, data, arithmetic)
    return usecase.golden(data), {}


@runtime_checkable
class ScaledBy(Protocol):
    """Models so slow that a replica answers fewer requests. Asked by `ecomdeploy init`."""

    @property
    def target_rps(self) -> float:
        """Requests per second and replica that a new project scales by."""


def target_rps_of(usecase: object) -> float:
    """Requests per second and replica that a new project scales by."""
    return usecase.target_rps if isinstance(usecase, ScaledBy) else TARGET_RPS
