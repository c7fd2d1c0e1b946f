"""Text in, labels out: what stands between callers and a model of token ids and places.

A Hugging Face `tokenizer.json` (huggingface.co/docs/tokenizers) makes ids and a mask of a BYTES input; a list of
labels (JSON) makes text of the places that an output names. Both lie beside the model. Texts become ids when the
model takes them, so that requests of any length share one call, padded to the longest of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelpack.server.engines.base import Arrays, Engine, InvalidInput
from modelpack.server.signature import ModelSignature, Text, Unfit

LETTERS_PER_TOKEN = 16
"""Letters beyond this many per token are cut off unread: a hostile text must not keep the tokenizer busy."""


class Runs(Protocol):
    """A model as a function."""

    def __call__(self, feeds: dict[str, NDArray[Any]], /) -> Mapping[str, NDArray[Any]]: ...


class Tokenizer:
    """Texts -> ids and mask, (texts, longest of these texts) INT64, cut to `longest` tokens."""

    def __init__(self, definition: bytes, longest: int) -> None:
        """Raises ValueError when `definition` is not a tokenizer."""
        import tokenizers

        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(definition)
        except Exception as problem:
            raise ValueError(f"not a tokenizer: {problem}") from None
        self._tokenizer.enable_truncation(longest)
        padding = self._tokenizer.padding or {}
        self._tokenizer.enable_padding(
            pad_id=padding.get("pad_id", 0), pad_token=padding.get("pad_token", "[PAD]"), length=None
        )
        self._most_letters = longest * LETTERS_PER_TOKEN

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        encoded = self._tokenizer.encode_batch([text[: self._most_letters] for text in texts])
        ids = np.array([one.ids for one in encoded], dtype=np.int64)
        return ids, np.array([one.attention_mask for one in encoded], dtype=np.int64)


class TextModel:
    """A model of ids and places, as callers see it. `labels`: output -> the text of each place."""

    def __init__(
        self, run: Runs, text: Text | None, tokenizer: Tokenizer | None, labels: Mapping[str, NDArray[Any]]
    ) -> None:
        self._run = run
        self._text = text
        self._tokenizer = tokenizer
        self._labels = labels

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Raises InvalidInput for a text without a letter in it, or what the model raises."""
        outputs = dict(self._run(self._with_ids(feeds)))
        for name, texts in self._labels.items():
            outputs[name] = texts[outputs[name]]
        return outputs

    def _with_ids(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        if self._text is None or self._tokenizer is None:
            return dict(feeds)
        texts: list[str] = feeds[self._text.input].tolist()
        if any(not text.strip() for text in texts):
            raise InvalidInput(f"{self._text.input!r} is empty")
        ids, mask = self._tokenizer(texts)
        others = {name: array for name, array in feeds.items() if name != self._text.input}
        return {**others, self._text.ids: ids, self._text.mask: mask}


def wrap(signature: ModelSignature, folder: Path, engine: Engine) -> Engine:
    """The engine with the signature's tokenizer before it and its labels behind it; itself when it has neither.

    Raises `Unfit` for a file that is missing or damaged.
    """
    if signature.text is None and not signature.labels:
        return engine
    tokenizer = _tokenizer(folder, signature.text) if signature.text else None
    labels = {name: _labels(folder / file) for name, file in signature.labels.items()}
    return TextModel(engine.run, signature.text, tokenizer, labels)


def _tokenizer(folder: Path, text: Text) -> Tokenizer:
    try:
        return Tokenizer((folder / text.tokenizer).read_bytes(), text.longest)
    except (OSError, ValueError, ImportError) as problem:
        raise Unfit(f"{text.tokenizer}: {problem}") from None


def _labels(path: Path) -> NDArray[Any]:
    try:
        return np.array(msgspec.json.decode(path.read_bytes(), type=list[str]), dtype=np.object_)
    except (OSError, msgspec.MsgspecError) as problem:
        raise Unfit(f"{path.name}: {problem}") from None
