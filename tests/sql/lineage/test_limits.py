"""How long and deep a statement is, is the client's choice: what costs too much is not followed, and fails closed."""

from __future__ import annotations

import pytest

from gateway.sql import analyse
from gateway.sql.lineage import Lineage


def lineage_of(text: str) -> Lineage | None:
    analysis = analyse(text)
    assert analysis.opaque is None
    [statement] = analysis.statements
    return statement.lineage


def nested(levels: int) -> str:
    return "select * from (" * levels + "select ssn from customers" + ") x" * levels


def recursive(levels: int) -> str:
    """Each level is read anew for each round of the one around it."""
    inner = "select ssn as a, name as b from customers"
    for level in range(levels):
        inner = (
            f"with recursive r{level} (a, b) as ({inner} union all select b, a from r{level}) select a, b from r{level}"
        )
    return inner


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("select " + " || ".join(["a"] * 150) + " from customers", id="a long expression"),
        pytest.param(" union all ".join(["select ssn from customers"] * 500), id="many branches"),
        pytest.param("select 1 from a " + " ".join(f"join t{n} on true" for n in range(300)), id="many joins"),
        pytest.param("values " + ", ".join(["(1, 'x', $1)"] * 5000), id="many rows"),
        pytest.param("select 1 from customers where " + " or ".join(["ssn = '1'"] * 2000), id="many conditions"),
        pytest.param("select 1 from customers where id in (" + ", ".join(["1"] * 5000) + ")", id="a long list"),
        pytest.param(nested(40), id="nested"),
        pytest.param(recursive(2), id="recursive"),
    ],
)
def test_followed(text: str) -> None:
    assert lineage_of(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(nested(70), id="nested too deeply"),
        pytest.param(recursive(14), id="recursive CTEs in recursive CTEs"),
        pytest.param(
            "select " + ", ".join(["a"] * 1500) + " from " + ", ".join(f"t{n}" for n in range(100)), id="too wide"
        ),
        pytest.param("select nobody.a from customers", id="a name that is nowhere"),
    ],
)
def test_not_followed(text: str) -> None:
    assert lineage_of(text) is None
