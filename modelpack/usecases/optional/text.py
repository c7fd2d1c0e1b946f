"""A model that reads text.

Asked by `serving.json`, from which the server makes token ids; by the gate, which pads requests as the server does; and
by passes that treat padding or texts in their own way.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from modelpack.formats.signature import Arrays
from modelpack.server.signature import Text


@runtime_checkable
class TextInput(Protocol):
    """Callers send a text where the model file takes token ids and their mask."""

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
