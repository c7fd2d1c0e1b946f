"""Texts through the encoder, many at once: how the catalogue gets its vectors, and how queries become arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpack.server.text import Tokenizer

BATCH = 64
TOP = 10
"""Products that are answered."""
LONGEST = 64
"""Tokens that are read of a text."""

Ids = NDArray[np.int64]


def rank(run: Callable[[dict[str, Ids]], Any], tokenizer: Tokenizer, texts: Sequence[str], top: int) -> Ids:
    """The places of the `top` items per text, (texts, top)."""
    answers = np.zeros((len(texts), top), dtype=np.int64)
    for places, ids, mask in batches(tokenizer, texts):
        answers[places] = run({"input_ids": ids, "attention_mask": mask})["products"]
    return answers


def batches(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[tuple[Ids, Ids, Ids]]:
    """Which texts, their ids and mask: texts of like length together, so that little is padded."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    for begin in range(0, len(order), BATCH):
        places = order[begin : begin + BATCH]
        yield places, *tokenizer([texts[place] for place in places])
