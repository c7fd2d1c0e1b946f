"""The tokenizer of a GGUF file as a Hugging Face `tokenizer.json`, which the server reads.

GGUF keeps byte-pair tokens and merges; how texts are cut before ("smollm": digits one by one, then as GPT-2 does) is
the file's `tokenizer.ggml.pre`. Source: https://huggingface.co/docs/tokenizers/api/pre-tokenizers
"""

from __future__ import annotations

from typing import Any

from modelpack.errors import BadInput

CONTROL = 3
"""The token type of marks that are no text."""


def definition(metadata: dict[str, Any]) -> bytes:
    """`tokenizer.json`. Raises BadInput for another family of tokenizers."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    family = (metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre"))
    if family != ("gpt2", "smollm"):
        raise BadInput(f"a tokenizer of the family {family} is not known here")
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ", 1)) for pair in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: place for place, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds: list[int] = metadata["tokenizer.ggml.token_type"]
    marks = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in marks])
    text: str = tokenizer.to_str()
    return text.encode()
