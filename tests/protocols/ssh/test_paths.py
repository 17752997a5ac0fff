from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.ssh import paths
from gateway.protocols.ssh.paths import PathRefused, Place

HOME = b"/home/u"
pieces = st.lists(st.sampled_from([b"a", b"b", b"..", b".", b"", b"...", b"a.", b".b", b" "]), max_size=8)


@pytest.mark.parametrize(
    ("raw", "walk", "asked"),
    [
        (b"a", b"/home/u/a", b"/home/u/a"),
        (b".", b"/home/u", b"/home/u"),
        (b"/", b"/", b"/"),
        (b"//", b"/", b"/"),
        (b"//a//b/", b"/a/b", b"/a/b"),
        (b"/a/./b/.", b"/a/b", b"/a/b"),
        (b"/a/../b", b"/a/../b", b"/b"),
        (b"../x", b"/home/u/../x", b"/home/x"),
        (b"../../../../x", b"/home/u/../../../../x", b"/x"),
        (b"/..", b"/..", b"/"),
        (b"/a/...", b"/a/...", b"/a/..."),
        (b"~/a", b"/home/u/~/a", b"/home/u/~/a"),
        (b"/a\\..\\b", b"/a\\..\\b", b"/a\\..\\b"),
        (b"/%2e%2e/a", b"/%2e%2e/a", b"/%2e%2e/a"),
    ],
)
def test_a_path_and_what_it_says(raw: bytes, walk: bytes, asked: bytes) -> None:
    place = Place(raw, HOME)
    assert (place.walk, place.asked) == (walk, asked)


@pytest.mark.parametrize(
    ("raw", "status"), [(b"", 2), (b"a\0b", 5), (b"/\0", 5), (b"/" + b"a" * 4096, 5), (b"a" * 4090, 5)]
)
def test_paths_that_are_refused(raw: bytes, status: int) -> None:
    with pytest.raises(PathRefused) as refused:
        Place(raw, HOME)
    assert refused.value.status == status


def test_a_relative_path_without_a_home() -> None:
    with pytest.raises(PathRefused):
        Place(b"a", None)
    assert Place(b"/a", None).asked == b"/a"


@pytest.mark.parametrize(
    ("raw", "named", "slash"),
    [
        (b"a", True, False),
        (b"a/", True, True),
        (b"a/.", False, True),
        (b"a/./", False, True),
        (b"a/..", False, True),
        (b"a/../", False, True),
        (b".", False, True),
        (b"/", False, True),
        (b"a/...", True, False),
    ],
)
def test_what_a_path_ends_in(raw: bytes, named: bool, slash: bool) -> None:
    place = Place(raw, HOME)
    assert (place.named, place.slash) == (named, slash)


def test_splitting() -> None:
    assert Place(b"/a/../b/c", None).split() == (b"/a/../b", b"c")
    assert Place(b"/a", None).split() == (b"/", b"a")


@given(pieces, st.booleans())
def test_as_the_standard_library_normalises(parts: list[bytes], absolute: bool) -> None:
    raw = b"/" * absolute + b"/".join(parts)
    if not raw:
        return
    place = Place(raw, HOME)
    expected = posixpath.normpath(posixpath.join(HOME, raw)).replace(b"//", b"/")
    assert place.asked == expected
    assert Place(place.asked, None).asked == place.asked
    assert Place(place.walk, None).asked == place.asked
    assert b"//" not in place.walk


def test_paths_that_a_target_tells() -> None:
    assert paths.told(b"/a/b/") == b"/a/b"
    for bad in (b"", b"a", b"C:/a", b"/a\0", b"/" + b"a" * 4096):
        with pytest.raises(PathRefused):
            paths.told(bad)


@given(st.binary(min_size=1, max_size=30))
def test_text_of_any_bytes(raw: bytes) -> None:
    assert paths.as_text(raw).encode()  # can be recorded
    assert paths.shown(raw).isprintable()
    if paths.is_text(raw):
        assert paths.as_text(raw).encode() == raw


def test_what_people_see_can_not_be_taken_for_our_words() -> None:
    assert paths.shown(b"/a/b.txt") == "/a/b.txt"
    assert paths.shown(b"/a (really /b)") == '"/a (really /b)"'
    assert paths.shown(b'/a" (really "/b') == '"/a\\" (really \\"/b"'
    assert paths.shown(b"/\x1b[2J\n") == '"/\\x1b[2J\\n"'
    assert paths.shown(b"/\xff") == '"/\\\\xff"'
    assert paths.shown("/\u202e".encode()) == '"/\\u202e"'
