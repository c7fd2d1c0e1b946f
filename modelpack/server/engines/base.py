"""What executes a model in the server: the protocols of an engine.

A runtime (`modelpack/runtimes`) is what an image needs for one; an engine is one with its model loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


class InvalidInput(Exception):
    """The model refused the values it was given (an index out of range, for instance)."""


class Engine(Protocol):
    """Called from one thread at a time."""

    def run(self, feeds: Arrays) -> Arrays:
        """Outputs by name, for inputs by name; the first axis is rows in both. Raises `InvalidInput`."""
        ...


@runtime_checkable
class TokenGenerator(Protocol):
    """A language model behind its loop. `room`: the most tokens of a prompt; `at_once`: from how many threads `tokens`
    may be asked."""

    @property
    def room(self) -> int: ...

    @property
    def at_once(self) -> int: ...

    def tokens(self, prompt: Sequence[int], most: int | None = None) -> Iterator[int]:
        """The answer's tokens as they come, at most `most`. Raises `InvalidInput`."""
        ...


@runtime_checkable
class TokenScorer(Protocol):
    """A language model that also tells how likely it finds a text."""

    def likelihood(self, ids: Sequence[int], count: int) -> float:
        """The sum of the logarithms for the last `count` of `ids`. Raises `InvalidInput`."""
        ...
