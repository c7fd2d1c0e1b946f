"""What is set on the calibration half: the words a question may have, and how many of them must be known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelpack.server.handlers.chat.retrieval import Scope, words

FOLDS = 8


def vocabulary(texts: Sequence[str]) -> tuple[str, ...]:
    """The words of the texts, sorted."""
    return tuple(sorted({word for text in texts for word in words(text)}))


def shares(known: Sequence[str], inside: Sequence[str]) -> NDArray[np.float64]:
    """The known share of every text `inside` when the vocabulary has the `known` texts and those of the other folds.

    Folds are neighbours, because neighbouring texts are alike.
    """
    folds = np.array_split(np.arange(len(inside)), FOLDS)
    found = np.zeros(len(inside))
    for fold in folds:
        others = [text for place, text in enumerate(inside) if place not in set(fold.tolist())]
        scope = Scope(vocabulary([*known, *others]), 0.0)
        found[fold] = [scope.share_known(inside[place]) for place in fold]
    return found


def least(known: Sequence[str], inside: Sequence[str], outside: Sequence[str]) -> float:
    """The share that tells `inside` from `outside` best: the middle of the range with the highest balanced accuracy."""
    within = shares(known, inside)
    scope = Scope(vocabulary([*known, *inside]), 0.0)
    without = np.array([scope.share_known(text) for text in outside])
    places = np.linspace(0, 1, 101)
    accuracy = np.array([(within >= place).mean() + (without < place).mean() for place in places])
    best = places[accuracy == accuracy.max()]
    return round(float((best[0] + best[-1]) / 2), 3)
