"""What a use case is, and what it may offer beside: small protocols that callers ask for."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
from tiny_usecase import Tiny

import modelpack.usecases.optional
from modelpack.errors import BadInput
from modelpack.inputs.resolve import PackRequest, resolve
from modelpack.inputs.spec import ModelSpec, PackSpec
from modelpack.language.task import LanguageTask, decoding_of
from modelpack.usecases.base import UseCase, usecases
from modelpack.usecases.optional.complete import check_offers
from modelpack.usecases.optional.measuring import (
    agreement_of,
    calibration_of,
    candidates_of,
    figures_of,
    traffic_of,
    turns_of,
)
from modelpack.usecases.optional.own_tables import own_data_of
from modelpack.usecases.optional.serving import (
    as_called,
    companions_of,
    guardrails_of,
    handler_of,
    interface_of,
    labels_of,
    lasting_golden_of,
    requirements_of,
    target_rps_of,
    text_of,
    unneeded_of,
)
from modelpack.usecases.optional.training import architectures_of
from modelpack.usecases.own_model.given import GivenModel

TABLE = {"Calibrated", "CandidateTable", "OwnTables", "Resumable", "Tunable"}
SERVED_TEXT = {"Agreement", "Calibrated", "Companions", "OwnInterface", "Requirements", "Unneeded"}
OFFERS = {
    "chat": {
        *SERVED_TEXT, "Guardrailed", "LanguageTask", "LastingGolden", "ScaledBy", "TimedInTurns", "WithHandler",
    },
    "fraud": {*TABLE, "Condensed", "Guardrailed"},
    "inventory": {*TABLE, "Condensed"},
    "logistics": {*TABLE, "Condensed"},
    "marketing": {*TABLE, "Condensed"},
    "marketing-uplift": TABLE,
    "pricing": {*TABLE, "Condensed", "FurtherFigures", "Guardrailed"},
    "recommendation": {
        "Architectures", "Calibrated", "CandidateTable", "Condensed", "Guarded", "Guardrailed", "OwnTables",
        "Resumable", "TrafficSample",
    },
    "search": {*SERVED_TEXT, "FurtherFigures", "Guardrailed", "Labelled", "OwnTables", "TextInput"},
}  # fmt: skip


def protocols() -> dict[str, type[Any]]:
    """Every protocol of the folder, and the two that lie with whom they are about."""
    folder = modelpack.usecases.optional
    modules = [
        importlib.import_module(f"{folder.__name__}.{one.name}")
        for one in pkgutil.iter_modules(folder.__path__)
    ]
    found = {
        name: kind
        for module in modules
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and getattr(kind, "_is_protocol", False)
    }
    return found | {"LanguageTask": LanguageTask, "GivenModel": GivenModel}


def members(kind: type[Any]) -> Iterator[str]:
    yield from (name for name in vars(kind) if not name.startswith("_"))


def test_the_base_class_is_a_task_and_a_signature() -> None:
    declared = {*members(UseCase), *(name for name in UseCase.__annotations__ if not name.startswith("_"))}
    assert len(declared) <= 20
    assert not [name for kind in protocols().values() for name in members(kind) if name in declared]


@pytest.mark.parametrize("name", usecases().names())
def test_which_use_case_offers_what(name: str) -> None:
    usecase = usecases().get(name)
    check_offers(usecase)
    assert {one for one, kind in protocols().items() if isinstance(usecase, kind)} == OFFERS[name]


def parameters(method: Any) -> list[tuple[str, Any]]:
    return [(one.name, one.kind) for one in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize("name", usecases().names())
def test_a_method_offered_is_called_as_the_protocol_says(name: str) -> None:
    usecase = usecases().get(name)
    for protocol in (protocols()[one] for one in OFFERS[name]):
        for member in members(protocol):
            wanted, offered = vars(protocol)[member], inspect.getattr_static(usecase, member)
            assert callable(wanted) == callable(offered), member
            if callable(wanted):
                assert parameters(wanted) == parameters(offered), member


def test_every_protocol_says_who_asks() -> None:
    for kind in protocols().values():
        assert "asked" in f"{inspect.getmodule(kind).__doc__} {kind.__doc__}".lower()


def test_a_simple_use_case_offers_nothing_and_needs_nothing() -> None:
    usecase, run = Tiny(), lambda feeds: feeds
    assert [name for name, kind in protocols().items() if isinstance(usecase, kind)] == []
    nothing: Mapping[str, Any] = {
        "text": text_of(usecase),
        "own data": own_data_of(usecase),
        "handler": handler_of(usecase),
        "decoding": decoding_of(usecase),
        "calibration": calibration_of(usecase, None),
        "traffic": traffic_of(usecase, None),
    }
    assert [name for name, found in nothing.items() if found is not None] == []
    empty = (
        labels_of(usecase), companions_of(usecase, None), figures_of(usecase, None, None), requirements_of(usecase),
        unneeded_of(usecase), guardrails_of(usecase), candidates_of(usecase, None), architectures_of(usecase),
    )  # fmt: skip
    assert not any(empty)
    assert (agreement_of(usecase), turns_of(usecase), target_rps_of(usecase)) == (0.0, 80, 120)
    assert interface_of(usecase) == usecase.signature()
    assert as_called(usecase, run, None) is run
    assert lasting_golden_of(usecase, lambda: None, None, "float16") == (usecase.golden(None), {})


class Half(Tiny):
    """Names a guard, and nothing that measures it."""

    guards: ClassVar[Mapping[str, float]] = {"auc": 0.1}


def test_half_an_offer_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadInput, match="tiny has guards and lacks inner_metric, evaluate_inside"):
        check_offers(Half())
    path = pathlib.Path(__file__)
    request = PackRequest(f"{path}:Half", ModelSpec(), PackSpec(), "ml.c7i.xlarge", tmp_path)
    with pytest.raises(BadInput, match="Guarded"):
        resolve(request)
