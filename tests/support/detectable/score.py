"""Recall and precision of what somebody found in the corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from support.detectable.documents import Document


@dataclass(frozen=True, slots=True)
class Score:
    """Of one kind.

    values  how many there are in the corpus
    whole   of these, covered to the last byte by a match of their kind: a value of which a part is left has leaked
    found   matches of the kind
    right   of these, on a value of their kind
    """

    values: int
    whole: int
    found: int
    right: int

    @property
    def recall(self) -> float:
        return self.whole / self.values

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0


def score(documents: Iterable[Document], found: Iterable[Sequence[tuple[int, int, str]]]) -> dict[str, Score]:
    """By kind. ``found``: for each document the matches in it, ``(start, end, kind)`` in bytes."""
    values, whole, matches, right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for document, spans in zip(documents, found, strict=True):
        for start, end, kind in document.values:
            values[kind] += 1
            whole[kind] += any(low <= start and end <= high for low, high, name in spans if name == kind)
        for low, high, name in spans:
            matches[name] += 1
            right[name] += any(low < end and start < high for start, end, kind in document.values if kind == name)
    return {kind: Score(values[kind], whole[kind], matches[kind], right[kind]) for kind in values}
