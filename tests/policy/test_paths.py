from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.paths import PathGlob, PathGlobs


@pytest.mark.parametrize(
    ("glob", "paths"),
    [
        ("/srv/a", {"/srv/a": True, "/srv/a/b": False, "/srv/ab": False, "/srv": False}),
        ("/srv/*", {"/srv/a": True, "/srv/.a": True, "/srv/a/b": False, "/srv": False}),
        ("/srv/*.log", {"/srv/a.log": True, "/srv/.log": True, "/srv/a/b.log": False, "/srv/a.log.1": False}),
        ("/srv/?", {"/srv/a": True, "/srv/ab": False, "/srv": False}),
        ("/srv/[a]", {"/srv/[a]": True, "/srv/a": False}),
        ("/srv/**", {"/srv/a": True, "/srv/a/b/c": True, "/srv": False, "/srvx": False, "/": False}),
        ("/srv/**/x", {"/srv/x": True, "/srv/a/x": True, "/srv/a/b/x": True, "/srv/a/xx": False}),
        ("/**/x/**", {"/x/a": True, "/a/x/b": True, "/x": False, "/a/x/x/x": True, "/a/b": False}),
        ("/**", {"/a": True, "/a/b": True, "/": False}),
        ("/", {"/": True, "/a": False}),
        ("/a\n", {"/a\n": True, "/a": False}),
        ("/*", {"/a\nb": True}),
    ],
)
def test_what_a_glob_stands_for(glob: str, paths: dict[str, bool]) -> None:
    globs = PathGlobs.of([glob])
    assert {path: globs.covers(path) for path in paths} == paths
    assert {path: globs.meets(path) for path in paths} == paths


@pytest.mark.parametrize(
    ("glob", "covered", "met"),
    [
        ("/srv/**", {"/srv/", "/srv/a/", "/srv/a/b/"}, {"/srv/", "/srv/a/", "//"}),
        ("/srv/*", set(), {"/srv/", "//"}),
        ("/srv/a", set(), {"/srv/", "//"}),
        ("/srv/**/x", set(), {"/srv/", "/srv/q/", "//"}),
        ("/s*/**", {"/srv/", "/srv/a/", "/s/"}, {"//"}),
        ("/**", {"//", "/srv/"}, {"//"}),
        ("/", set(), set()),
        ("/srv/a/b", set(), {"/srv/", "/srv/a/"}),
    ],
)
def test_all_that_lies_beneath_a_directory(glob: str, covered: set[str], met: set[str]) -> None:
    trees = {"//", "/srv/", "/srv/a/", "/srv/a/b/", "/etc/", "/s/", "/srv/q/"}
    globs = PathGlobs.of([glob])
    assert covered <= {tree for tree in trees if globs.covers(tree)}
    assert met <= {tree for tree in trees if globs.meets(tree)}
    assert not any(globs.covers(tree) and not globs.meets(tree) for tree in trees)
    if glob != "/**":
        assert not globs.meets("/etc/")
        assert not globs.covers("//")


def test_listing_a_directory_goes_with_all_beneath_it() -> None:
    assert PathGlobs.listing(["/srv/**"]).covers("/srv")
    assert not PathGlobs.listing(["/srv/**"]).covers("/")
    assert PathGlobs.listing(["/**"]).covers("/")
    assert not PathGlobs.listing(["/srv/*"]).covers("/srv")


@pytest.mark.parametrize(
    "text", ["", "srv/**", "~/x", "**", "/srv/", "//srv", "/srv/../etc", "/srv/./a", "/srv/**.log", "/a**/b"]
)
def test_mistakes(text: str) -> None:
    with pytest.raises(ValueError, match="write it"):
        PathGlob.of(text)


def slowly(glob: str) -> re.Pattern[str]:
    """The same as one expression."""
    text = "".join(
        {"**": "(/[^/]+)*"}.get(part) or "/" + "".join({"*": "[^/]*", "?": "[^/]"}.get(c, re.escape(c)) for c in part)
        for part in glob.split("/")[1:]
    )
    if glob.endswith("/**"):
        text += "/[^/]+"
    return re.compile(text, re.DOTALL)


names = st.sampled_from(["a", "b", "*", "a*", "?", "**", "ab"])


@given(
    st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts)),
)
def test_as_one_expression_has_it(glob: str, path: str) -> None:
    compiled = PathGlob.of(glob)
    assert compiled.match(path) == bool(slowly(glob).fullmatch(path))
    beneath = [path + rest for rest in ("/a", "/b/a", "/c", "/ab/b/a")]
    if compiled.holds_tree(path):
        assert all(map(compiled.match, beneath))
    if any(map(compiled.match, beneath)):
        assert compiled.meets_tree(path)


def test_no_path_makes_it_take_long() -> None:
    globs = PathGlobs.of(["/**/a*a*a*a*b/**/a*a*a*b/**/c", "/**/**/**/**/x"])
    began = time.perf_counter()
    assert not globs.covers("/" + "/".join(["a" * 15] * 256))
    assert not globs.covers("/a" * 2048)
    assert not globs.covers("/" + "a" * 4095)
    assert time.perf_counter() - began < 2.0
