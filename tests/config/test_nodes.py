from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.nodes import MAX_DEPTH, MAX_NODES, Mapping, Node, Scalar, Sequence, compose, printable


def tree(text: str) -> Node:
    root, problems = compose(text, "f")
    assert problems == []
    assert root is not None
    return root


def said(text: str) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.problem) for problem in compose(text, "f")[1]]


def test_lines_are_kept() -> None:
    root = tree("a: 1\nb:\n  - x\n  - 'y'\n")
    assert root == Mapping(
        1,
        (
            (Scalar(1, "a", True), Scalar(1, "1", True)),
            (Scalar(2, "b", True), Sequence(3, (Scalar(3, "x", True), Scalar(4, "y", False)))),
        ),
    )


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "--- \n...\n", "%YAML 1.2\n---\n"])
def test_empty_documents(text: str) -> None:
    assert compose(text, "f") == (None, [])


def test_scalars_stay_text() -> None:
    root = tree("[no, 22:22, 0755, 1.10, 0x1f, 2026-11-24, ~, null, 1_000, .inf, =, on]")
    assert isinstance(root, Sequence)
    assert [item.text for item in root.items if isinstance(item, Scalar)] == [
        "no", "22:22", "0755", "1.10", "0x1f", "2026-11-24", "~", "null", "1_000", ".inf", "=", "on",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "is there twice (first in line 1)"),
        ("a: 1\n'a': 3\n", 2, "is there twice (first in line 1)"),
        ("a: &x 1\n", 1, "has an anchor (&x)"),
        ("a: &x {b: 1}\n", 1, "has an anchor (&x)"),
        ("<<: {a: 1}\n", 1, "has a merge key (<<)"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "has a tag (tag:yaml.org,2002:python/object/apply:os.system)"),
        ("a: !!str 1\n", 1, "has a tag (tag:yaml.org,2002:str)"),
        ("a: ! 1\n", 1, "has a tag (!)"),
        ("!x {a: 1}\n", 1, "has a tag (!x)"),
        ("? [a]\n: 1\n", 1, "has a list or mapping as a key"),
        ("a: 1\n---\nb: 2\n", 2, "starts a second document"),
        ('a: "\\0"\n', 1, "has control characters"),
        ('a: "\\e[31m"\n', 1, "has control characters"),
        ('a: "\\u202e"\n', 1, "has control characters"),
        ("a: [1, 2\n", 2, "is not YAML: did not find expected ',' or ']'"),
        ("a: b: c\n", 1, "is not YAML: mapping values are not allowed in this context"),
        ("\tx: 1\n", 1, "is not YAML: found character that cannot start any token"),
    ],
)
def test_refused(text: str, line: int, problem: str) -> None:
    assert said(text) == [(line, problem)]


def test_aliases() -> None:
    assert [problem for _, problem in said("a: &x 1\nb: *x\n")] == ["has an anchor (&x)", "is an alias (*x)"]


def test_unprintable_input() -> None:
    assert [problem for _, problem in said("a: \x00\n")] == ["is not YAML: control characters are not allowed"]


def test_many_problems_at_once() -> None:
    assert len(said("a: &x 1\nb: !y 2\nb: 3\n? {}\n: *x\n")) == 5


def test_a_billion_laughs() -> None:
    text = "a: &a [x]\n" + "".join(f"{after}: &{after} [*{before},*{before}]\n" for before, after in pairwise("abcde"))
    assert {problem.split(" (")[0] for _, problem in said(text)} == {"has an anchor", "is an alias"}


@pytest.mark.parametrize("unit", ["[", "{a: ", "- ", "? "])
def test_depth_is_bounded(unit: str) -> None:
    problems = said(unit * 100_000)
    assert len(problems) == 1
    assert f"more than {MAX_DEPTH} levels" in problems[0][1] or "maximum nesting depth" in problems[0][1]


def test_depth_that_is_enough() -> None:
    tree("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_size_is_bounded() -> None:
    problems = said("[" + "a," * (MAX_NODES + 1) + "]")
    assert problems == [(1, f"has more than {MAX_NODES} values")]


@given(st.text(alphabet="ab:-[]{},&*!|>'\"%#?\n\t \\e\u202e\x85\0", max_size=60) | st.text(max_size=60))
def test_never_raises(text: str) -> None:
    for problem in compose(text, "f")[1]:
        assert str(problem).replace("\n", "").isprintable()


def test_printable() -> None:
    assert printable("a\x1b[31m\n") == "a\\x1b[31m\\n"
    assert printable("x" * 100) == "x" * 57 + "..."
