from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from gateway.json_paths import Path, Step
from gateway.masking.cells.json_paths import Paths, Place

documents = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
paths = st.lists(
    st.builds(Step, st.sampled_from("abc"), st.booleans()) | st.builds(Step, st.none() | st.integers(0, 2)), max_size=3
).map(tuple)


def named(value: object, steps: Path, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The slow and plain meaning: where the values are that ``steps`` names, and all inside them."""
    if not steps:
        yield at
    for child, inner in children(value):
        if not steps:
            yield from named(inner, (), (*at, child))
            continue
        step = steps[0]
        if step.child is None or (step.child == child and isinstance(step.child, str) == isinstance(child, str)):
            yield from named(inner, steps[1:], (*at, child))
        if step.descends:
            yield from named(inner, steps, (*at, child))


def children(value: object) -> list[tuple[str | int, object]]:
    if isinstance(value, dict):
        return [(str(key), inner) for key, inner in value.items()]
    return list(enumerate(value)) if isinstance(value, list) else []


@given(document=documents, wanted=st.lists(paths, max_size=3))
def test_all_paths_walk_together(document: object, wanted: list[Path]) -> None:
    together = Paths(tuple((path, number) for number, path in enumerate(wanted)))

    def walk(value: object, place: Place, at: tuple[str | int, ...]) -> Iterator[tuple[int, tuple[str | int, ...]]]:
        yield from ((number, at) for number in together.at(place))
        for child, inner in children(value):
            yield from walk(inner, together.below(place, child), (*at, child))

    expected = {(number, at) for number, path in enumerate(wanted) for at in named(document, path)}
    assert set(walk(document, together.root, ())) == expected
