"""Search by words, as baselines: BM25 over words, and TF-IDF cosine over character n-grams.

BM25: Robertson & Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009), k1 and b at their usual
values. Character n-grams within words, sublinear TF and smoothed IDF: Manning, Raghavan, Schütze, *Introduction to
Information Retrieval*, ch. 6. Reciprocal rank fusion: Cormack, Clarke, Büttcher (SIGIR 2009).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

SATURATION, LENGTH_SHARE = 1.2, 0.75
SHORTEST_GRAM, LONGEST_GRAM = 2, 4
FUSION = 60


@dataclass(frozen=True)
class Postings:
    """term -> (documents, weights); `terms` cuts a query the way the documents were cut."""

    documents: int
    terms: Callable[[str], list[str]]
    entries: dict[str, tuple[Ranks, Floats]]
    query_weight: Callable[[str, int], float]

    def scores(self, query: str) -> Floats:
        """The query's score with every document."""
        total = np.zeros(self.documents)
        for term, count in Counter(self.terms(query)).items():
            if term in self.entries:
                places, weights = self.entries[term]
                total[places] += self.query_weight(term, count) * weights
        return total

    def rank(self, queries: Iterable[str], top: int) -> Ranks:
        """The `top` documents per query, best first; ties by their order in the catalogue."""
        return np.array([np.argsort(-self.scores(query), kind="stable")[:top] for query in queries])


def words(text: str) -> list[str]:
    """Words and numbers in lower case."""
    return re.findall(r"[a-z0-9]+", text.lower())


def grams(text: str) -> list[str]:
    """Character n-grams of each word with its edges marked."""
    padded = [f" {word} " for word in words(text)]
    sizes = range(SHORTEST_GRAM, LONGEST_GRAM + 1)
    return [word[at : at + size] for word in padded for size in sizes for at in range(len(word) - size + 1)]


def bm25(texts: Sequence[str]) -> Postings:
    """An index of the texts by their words."""
    counts = [Counter(words(text)) for text in texts]
    lengths = np.array([sum(count.values()) for count in counts], dtype=np.float64)
    norm = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * lengths / lengths.mean())
    entries = {}
    for term, (places, times) in invert(counts).items():
        rarity = math.log(1 + (len(texts) - len(places) + 0.5) / (len(places) + 0.5))
        entries[term] = (places, rarity * times * (SATURATION + 1) / (times + norm[places]))
    return Postings(len(texts), words, entries, lambda _, count: float(count))


def ngrams(texts: Sequence[str]) -> Postings:
    """An index of the texts by character n-grams; scores are the cosine up to the query's own length."""
    counts = [Counter(grams(text)) for text in texts]
    raw = invert(counts)
    rarity = {term: math.log((1 + len(texts)) / (1 + len(places))) + 1 for term, (places, _) in raw.items()}
    weighted = {term: (places, (1 + np.log(times)) * rarity[term]) for term, (places, times) in raw.items()}
    squares = np.zeros(len(texts))
    for places, weights in weighted.values():
        squares[places] += weights**2
    length = np.sqrt(np.maximum(squares, 1e-12))
    entries = {term: (places, weights / length[places]) for term, (places, weights) in weighted.items()}
    return Postings(len(texts), grams, entries, lambda term, count: (1 + math.log(count)) * rarity[term])


def invert(counts: Sequence[Counter[str]]) -> dict[str, tuple[Ranks, Floats]]:
    """term -> (documents that hold it, how often)."""
    found: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, count in enumerate(counts):
        for term, times in count.items():
            found[term].append((place, times))
    return {
        term: (np.array([place for place, _ in pairs]), np.array([float(times) for _, times in pairs]))
        for term, pairs in found.items()
    }


def fuse_rankings(first: Ranks, second: Ranks, top: int) -> Ranks:
    """Two rankings (queries, k) joined by reciprocal rank: the `top` documents of both, best first."""
    rows = []
    for pair in zip(first, second, strict=True):
        score: defaultdict[int, float] = defaultdict(float)
        for ranking in pair:
            for rank, document in enumerate(ranking.tolist(), start=1):
                score[document] += 1 / (FUSION + rank)
        rows.append(sorted(score, key=lambda document: (-score[document], document))[:top])
    return np.array(rows)
