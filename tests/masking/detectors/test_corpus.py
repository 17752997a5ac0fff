"""How well the shipped detectors find, on a labelled corpus that they weren't made from (tests/support/detectable)."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.detectable import corpus
from support.detectable.score import Score, score

from gateway.masking.detectors import DETECTORS, finder

SEED = 2026
"""Another one than the detectors were tuned with."""

DOCUMENTS = 6_000
RECALL, PRECISION = 0.98, 0.95
PAGE = (Path(__file__).parents[3] / "docs" / "detectors.md").read_text("utf-8")


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    documents = list(corpus(SEED, DOCUMENTS))
    find = finder(DETECTORS).find
    return score(documents, (find(document.text) for document in documents))


def test_the_corpus_is_the_same_each_time() -> None:
    assert list(corpus(SEED, 50)) == list(corpus(SEED, 50))
    assert list(corpus(SEED, 50)) != list(corpus(SEED + 1, 50))


def test_every_label_is_where_it_says() -> None:
    for document in corpus(SEED, 200):
        for value in document.values:
            assert 0 <= value.start < value.end <= len(document.text)
            assert document.text[value.start : value.end].strip() == document.text[value.start : value.end]


@pytest.mark.parametrize("name", DETECTORS)
def test_the_page_has_what_is_measured(name: str, scores: dict[str, Score]) -> None:
    """docs/detectors.md is written by `.venv/bin/python -m bench.detectors --presidio --write`."""
    found = scores[name]
    assert f"| `{name}` | {found.values} | {found.recall:.3f} | {found.precision:.3f} |" in PAGE


@pytest.mark.parametrize("name", DETECTORS)
def test_recall_and_precision(name: str, scores: dict[str, Score]) -> None:
    found = scores[name]
    assert found.values >= 500
    assert found.recall >= RECALL
    assert found.precision >= PRECISION
