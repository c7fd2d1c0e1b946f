"""An answer held against the sentence that it is made from.

What a model writes is told as long as it repeats the sentence; where it goes its own way it is held back until it ends,
and told only if it says the same words. Else the rest of the sentence is told in its place, so that no value reaches a
customer that does not stand in the shop's own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelpack.server.handlers.chat.retrieval import words

HEADING = ": "
"""What stands before it names a rule's section."""


def check_pieces(pieces: Iterable[str], sentence: str, fallback: str) -> Iterator[str]:
    """The pieces that may be told, empty ones while something is held back; `fallback` is the sentence, or as much
    of it as was asked for. Together they are what was written if it is `is_supported`, else `fallback`."""
    said, told = "", 0
    for piece in pieces:
        said += piece
        if sentence.startswith(said):
            yield said[told:]
            told = len(said)
        else:
            yield ""
    yield (said if is_supported(said, sentence) else fallback)[told:]


def is_supported(answer: str, sentence: str) -> bool:
    """Whether the answer has the sentence's words in the sentence's order, common ones aside; a heading may be left
    out. So it has no other number, name or state, and no denial more or less."""
    _, heading, rest = sentence.partition(HEADING)
    return words(answer) in ([words(sentence), words(rest)] if heading else [words(sentence)])
