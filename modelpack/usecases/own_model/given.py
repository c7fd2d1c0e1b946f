"""A use case whose model is given, in whatever inputs and outputs it has: nothing is trained.

Asked by `inputs/resolve.py` (a model file is needed), by the sources, which tell it what they found in the file, and by
`gate/reference.py`. Optional, as `modelpack.usecases.optional` is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from modelpack.formats.signature import Arrays, Run, Signature
from modelpack.home import Home
from modelpack.progress import Progress


@runtime_checkable
class GivenModel(Protocol):
    """The model is a file of the user's, and so is what measures it."""

    def open_signature(self) -> Signature | None:
        """The signature, or None while it is the model's to say."""

    def adopt(self, found: Signature) -> None:
        """Told of the model's own inputs and outputs before they are checked."""

    def chosen_outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs that callers get; none: all of them."""

    def take_one_at_a_time(self) -> None:
        """Told when the model takes one row at a time only."""

    def learn_tolerance(self, run: Run, data: Any) -> None:
        """Told when the model runs, before anything is measured. Raises BadInput where it and `data` differ."""

    def slips_told(self) -> Sequence[str]:
        """What the user should know of the answers that were learned from, in words."""

    def evenly(self, data: Any, count: int) -> tuple[Arrays, tuple[int, ...]]:
        """At most so many requests evenly from all, and their places among them, from 1."""

    def expected_answers(self, data: Any, numbers: Sequence[int]) -> Arrays | None:
        """What the user says that the model answered to these where it comes from; None: nothing. Raises BadInput."""

    def prepare_own(self, path: Path, home: Home, progress: Progress) -> tuple[Any, Mapping[str, int]]:
        """`prepare` with the user's own data, in whatever form; and how many rows it has. Raises BadInput."""
