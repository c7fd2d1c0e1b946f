"""A model that answers places in a list, which callers get as the list's texts.

Asked by `serving.json`, from which the server puts the texts in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class Labelled(Protocol):
    """Some outputs are places."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Output -> the JSON list of texts among the use case's `Companions`."""


def labels_of(usecase: object) -> Mapping[str, str]:
    """Output -> the list of its texts; empty where answers are what they are."""
    return usecase.labels if isinstance(usecase, Labelled) else {}
