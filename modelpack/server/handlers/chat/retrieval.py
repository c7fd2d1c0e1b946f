"""Which of the shop's sentences a question is about: BM25 (Robertson & Zaragoza, 2009) over words.

Few words are enough to tell what is no question for a shop: those that neither the shop's sentences nor its customers'
earlier questions have.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

SATURATION, LENGTH_SHARE = 1.2, 0.75
WORD = re.compile(r"[a-z]+|\d+")
COMMON = """
a an and are as at be been but by can could did do does for from had has have how i if in is it its me my of on or our
please should so tell than that the their them there these they this to want was we were what when where which who will
with would you your
"""
"""Words that say nothing about what is asked."""
_COMMON = frozenset(COMMON.split())


def words(text: str) -> list[str]:
    """Words and numbers in lower case without common ones, plurals brought to the singular."""
    return [
        stem(word) for word in WORD.findall(text.lower().replace("t-shirt", "tshirt")) if word not in _COMMON
    ]


def stem(word: str) -> str:
    """The word without a plural's end or a verb's: the smallest part of Porter's stemmer (1980, step 1)."""
    for end, instead in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("s", "")):
        if word.endswith(end) and len(word) - len(end) >= 3 and not word.endswith("ss"):
            word = word[: len(word) - len(end)] + instead
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


class SentenceIndex:
    """Sentences by their words."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = tuple(sentences)
        counts = [Counter(words(sentence)) for sentence in sentences]
        mean = sum(count.total() for count in counts) / max(len(counts), 1)
        places: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for place, count in enumerate(counts):
            length = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * count.total() / mean)
            for word, times in count.items():
                places[word].append((place, times * (SATURATION + 1) / (times + length)))
        self._places = dict(places)

    def weight(self, word: str) -> float:
        """How much a word tells: its inverse document frequency; most when no sentence has it."""
        having = len(self._places.get(word, ()))
        return math.log(1 + (len(self.sentences) - having + 0.5) / (having + 0.5))

    def best(self, question: str, count: int) -> list[str]:
        """The `count` sentences that fit best, best first; ties in their order. Fewer where fewer share a word."""
        scores: defaultdict[int, float] = defaultdict(float)
        for word in set(words(question)):
            weight = self.weight(word)
            for place, times in self._places.get(word, ()):
                scores[place] += weight * times
        ranked = sorted(scores, key=lambda place: (-scores[place], place))
        return [self.sentences[place] for place in ranked[:count]]


class Scope:
    """Whether a question is about the shop: enough of its words are words of the shop or of its customers."""

    def __init__(self, vocabulary: Iterable[str], least: float) -> None:
        """`vocabulary` as `words` gives them; `least` is the share that must be known, 0 to 1."""
        self._vocabulary = frozenset(vocabulary)
        self._least = least

    def share_known(self, question: str) -> float:
        """The share of the question's different words that are known; 0 when it has none."""
        asked = set(words(question))
        return len(asked & self._vocabulary) / len(asked) if asked else 0.0

    def holds(self, question: str) -> bool:
        """Whether to answer."""
        return self.share_known(question) >= self._least
