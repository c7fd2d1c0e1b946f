"""Golden requests for a machine that calculates more roughly than this one.

Asked by `gate/trial.py` for packs of such runtimes. Answers with a tolerance last anyway; exact texts must be chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from modelpack.usecases.base import UseCase


@runtime_checkable
class LastingGolden(Protocol):
    """Answers turn where rounding tips a choice."""

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
