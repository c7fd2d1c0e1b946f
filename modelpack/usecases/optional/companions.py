"""Files beside the model: a tokenizer, labels, what a handler reads.

Asked by `modelpack.build`, which puts them into the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Companions(Protocol):
    """The server reads more than the model file."""

    def companions(self, data: Any) -> Mapping[str, bytes]:
        """The files by name."""


def companions_of(usecase: object, data: Any) -> Mapping[str, bytes]:
    """The files by name; none by itself."""
    return usecase.companions(data) if isinstance(usecase, Companions) else {}
