"""Named columns as the model takes them, and the three parts of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.signature import Tensor
from modelpack.usecases.own_data.reading import enough
from modelpack.usecases.sampling import pick_evenly

Floats = NDArray[np.float64]
BINARY, AMOUNT = "binary", "amount"


@dataclass(frozen=True)
class Number:
    """A float32 input of `width` values; `log`: the dense and linear bodies see sign(x) * log(1 + |x|)."""

    name: str
    width: int = 1
    log: bool = False
    default: float | None = None

    @property
    def tensor(self) -> Tensor:
        """As the signature names it."""
        return Tensor(self.name, "FP32", (-1,) if self.width == 1 else (-1, self.width), self.default)


@dataclass(frozen=True)
class Category:
    """An int64 input of real ids. Ids that training rows lack are one stranger; `width` is the embedding's."""

    name: str
    width: int = 8

    @property
    def tensor(self) -> Tensor:
        """As the signature names it."""
        return Tensor(self.name, "INT64", (-1,), 0)


Column = Number | Category


@dataclass(frozen=True)
class Part:
    """Rows of a data set.

    `inputs` by column name, first axis rows; `target` 0/1 or an amount; `groups` says which rows belong together
    when resampling (the natural unit: a week, a household); `more` is what a measure or a baseline needs beside.
    """

    inputs: Mapping[str, NDArray[Any]]
    target: NDArray[np.float32]
    groups: NDArray[Any]
    more: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[Any]) -> Part:
        """Some of the rows, by number or mask."""
        return Part(
            {name: array[rows] for name, array in self.inputs.items()},
            self.target[rows],
            self.groups[rows],
            {name: array[rows] for name, array in self.more.items()},
        )


@dataclass(frozen=True)
class Split:
    """Training rows fit the candidates, validation rows choose among them, test rows only measure.

    `names` are words for ids, for people; `facts` is what else the use case knows of the whole data.
    """

    training: Part
    validation: Part
    test: Part
    names: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[str, Part]:
        """The three parts by what they are for, in words."""
        return {"to train on": self.training, "to choose by": self.validation, "held out": self.test}

    def count_rows(self, yes: str = "") -> str:
        """The rows of each part, with how many of them are `yes` where there is such a word."""
        return ", ".join(
            f"{len(part):,} {f'({int((part.target > 0).sum()):,} {yes}) ' if yes else ''}{words}"
            for words, part in self.parts.items()
        )


OWN = "own"
"""In a split's facts: its rows are the user's own, and none of them may be shown."""


def keep_here(split: Split) -> Split:
    """The split of a user's own data."""
    return replace(split, facts={**split.facts, OWN: True})


def enough_of_both(answers: NDArray[Any], least: int, yes: str, no: str) -> None:
    """Raises TooLittle when fewer than `least` of the answers are above 0, or are not; in these words."""
    found = int((answers > 0).sum())
    enough(found, least, yes)
    enough(len(answers) - found, least, no)


def mix_rows(part: Part, count: int) -> Part:
    """`count` rows that are nobody's: every column drawn by itself from other rows, wide ones number by number."""
    generator = np.random.default_rng(0)

    def draw(array: NDArray[Any]) -> NDArray[Any]:
        if array.ndim == 1:
            return array[generator.integers(0, len(array), count)]
        return np.stack([draw(array[:, place]) for place in range(array.shape[1])], axis=1)

    inputs = {name: draw(part.inputs[name]) for name in sorted(part.inputs)}
    return Part(inputs, np.zeros(count, np.float32), np.arange(count))


def stack(parts: Sequence[Part]) -> Part:
    """All parts' rows, one part after the other."""
    first = parts[0]
    return Part(
        {name: np.concatenate([part.inputs[name] for part in parts]) for name in first.inputs},
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.groups for part in parts]),
        {name: np.concatenate([part.more[name] for part in parts]) for name in first.more},
    )


def join(first: Part, second: Part) -> Part:
    """Both parts' rows, one after the other."""
    return stack((first, second))


def by_time(
    rows: Part,
    time: NDArray[Any],
    validation_from: float,
    test_from: float,
    names: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Split:
    """Earlier rows to train on, later ones to choose and to measure by: validation_from <= time < test_from."""
    return Split(
        training=rows.take(time < validation_from),
        validation=rows.take((time >= validation_from) & (time < test_from)),
        test=rows.take(time >= test_from),
        names=names or {},
        facts=facts or {},
    )


def in_turn(yes: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """`count` row numbers, of rows that are and of rows that are not in turn, each evenly from all."""
    both = [np.flatnonzero(one)[pick_evenly(int(one.sum()), count // 2)] for one in (yes, ~yes)]
    return np.stack(both, axis=1).ravel()
