from __future__ import annotations

import pytest

from gateway.json_paths import MAX_PATH, Path, Step, parse_path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("$.email", (Step("email"),)),
        ("$..email", (Step("email", True),)),
        ("$.a.b['e-mail'][*][0]", (Step("a"), Step("b"), Step("e-mail"), Step(None), Step(0))),
        ('$.a["x y"]', (Step("a"), Step("x y"))),
        ("$..['e-mail'].x", (Step("e-mail", True), Step("x"))),
        ("$.größe", (Step("größe"),)),
    ],
)
def test_paths(text: str, steps: Path) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    "text", ["", "email", ".email", "$.", "$..", "$email", "$[", "$[a]", "$[-1]", "$['a", "$['']", "$.*", "$..[*]",
             "$[01]", "$.a b", "$[?(@.a)]", "$[0,1]", "$[0:1]", "$" + ".a" * (MAX_PATH + 1)],
)  # fmt: skip
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        parse_path(text)
