"""Each shipped detector on its own examples (examples.yaml): all of the values, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.detectors import SHIPPED
from gateway.masking.detectors import DETECTORS, SEPARATOR, finder

EXAMPLES: dict[str, list[dict[str, Any]]] = yaml.safe_load((Path(__file__).parent / "examples.yaml").read_text("utf-8"))
CASES = [(name, case) for name, cases in EXAMPLES.items() for case in cases]
ALL = finder(DETECTORS)


def marked(text: str) -> tuple[bytes, list[tuple[int, int]]]:
    """The text without its guillemets, and the spans that were in them."""
    plain = b""
    spans = []
    for piece in text.split("«"):
        value, mark, rest = piece.partition("»")
        if mark:
            spans.append((len(plain), len(plain) + len(value.encode())))
        plain += (value + rest).encode()
    return plain, spans


def test_names_are_those_that_policy_knows() -> None:
    assert list(DETECTORS) == list(SHIPPED)
    assert set(EXAMPLES) == set(SHIPPED)


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case['why']}" for name, case in CASES])
def test_example(name: str, case: dict[str, Any]) -> None:
    text, spans = marked(case["text"])
    if case.get("cut"):
        spans = [(spans[0][0], len(text))]
    found = finder([name]).find(text, hint=case.get("hint", ""))
    assert [text[match.start : match.end] for match in found] == [text[start:end] for start, end in spans]
    assert [(match.start, match.end) for match in found] == spans
    assert {match.detector for match in found} <= {name}


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case['why']}" for name, case in CASES])
def test_all_together_find_the_same(name: str, case: dict[str, Any]) -> None:
    text, _ = marked(case["text"])
    hint = case.get("hint", "")
    alone = finder([name]).find(text, hint=hint)
    assert [match for match in ALL.find(text, hint=hint) if match.detector == name] == alone
    assert ALL.may_match(text) or not alone


@given(
    st.lists(st.sampled_from([marked(case["text"])[0] for _, case in CASES if not case.get("cut")]), max_size=12),
    st.sampled_from([b" ", b"\n", b"\0", b" lorem ipsum dolor " * 70]),
)
def test_values_are_found_wherever_they_stand(texts: list[bytes], between: bytes) -> None:
    """Blocks begin and end anywhere: whatever stands around by hundreds of bytes changes nothing."""
    gap = SEPARATOR + between + SEPARATOR
    joined = gap.join(texts)
    expected = set()
    offset = 0
    for text in texts:
        expected |= {(offset + match.start, offset + match.end, match.detector) for match in ALL.find(text)}
        offset += len(text) + len(gap)
    assert set(ALL.find(joined)) == expected


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from([case for _, case in CASES]))
def test_bytes_that_are_no_text_neither_hide_nor_break(before: bytes, after: bytes, case: dict[str, Any]) -> None:
    if case.get("cut"):
        return
    text, _ = marked(case["text"])
    offset = len(before) + 1
    own = {(match.start + offset, match.end + offset, match.detector) for match in ALL.find(text)}
    data = before + SEPARATOR + text + SEPARATOR + after
    found = ALL.find(data)
    assert own <= set(found) or b"-BEGIN" in before
    assert all(0 <= match.start < match.end <= len(data) for match in found)
    assert found == sorted(found)


def test_nothing_goes_across_a_separator() -> None:
    assert not ALL.find(b"4111 1111\x001111 1111")
    assert not ALL.find(b"ssn\x00123456789")
    assert not ALL.find(b"alice@\x00example.com")
    block = b"-----BEGIN PRIVATE KEY-----\nabc"
    assert [match.end for match in ALL.find(block + SEPARATOR + b"-----END PRIVATE KEY-----")] == [len(block)]
