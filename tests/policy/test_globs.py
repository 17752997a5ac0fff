from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.globs import Globs, is_glob, names_nobody

alphabet = st.text("ab.*?[", max_size=8)


def naive(pattern: str, name: str) -> bool:
    """What a glob means, without a thought for speed."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(naive(pattern[1:], name[cut:]) for cut in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and naive(pattern[1:], name[1:])


@given(alphabet, st.text("ab.[\n", max_size=8))
def test_a_glob_means_what_the_naive_reading_says(pattern: str, name: str) -> None:
    assert Globs.of([pattern]).match(name) is naive(pattern, name)


@given(st.lists(alphabet, max_size=4), st.text("ab.[", max_size=8))
def test_several_globs_match_when_one_does_in_any_order(patterns: list[str], name: str) -> None:
    expected = any(naive(pattern, name) for pattern in patterns)
    assert Globs.of(patterns).match(name) is Globs.of(reversed(patterns)).match(name) is expected


@given(st.text(max_size=8))
def test_no_glob_matches_nothing(name: str) -> None:
    assert not Globs.of([]).match(name)
    assert not Globs.of([]).any([name])


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("alice", "alice", True),
        ("alice", "alice\n", False),
        ("a*", "a", True),
        ("a*", "ba", False),
        ("*", "", True),
        ("a[bc]", "ab", False),
        ("a[bc]", "a[bc]", True),
        ("spiffe://corp/*", "spiffe://corp/ci/x", True),
        ("a.c", "abc", False),
        ("*a*b", "xaxxb", True),
        ("*ab*ab", "ab", False),
    ],
)
def test_examples(pattern: str, name: str, matches: bool) -> None:
    assert Globs.of([pattern]).match(name) is matches


def test_a_hostile_name_does_not_take_long() -> None:
    globs = Globs.of(["*a" * 30 + "*b"])
    start = time.perf_counter()
    assert not globs.match("a" * 5000)
    assert time.perf_counter() - start < 1


def test_wildcards() -> None:
    assert [is_glob(pattern) for pattern in ("a*", "a?", "a[b]")] == [True, True, False]
    assert [names_nobody(pattern) for pattern in ("*", "?*", "*a")] == [True, True, False]
    assert str(Globs.of(["b", "a", "b"])) == "a, b"
