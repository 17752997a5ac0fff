from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from gateway.masking import Field, field_labels, is_known, result_labels
from gateway.model import SqlOperation

CUSTOMERS, ORDERS, NEW = 20_000, 20_001, 30_000
PG_CLASS, PG_AUTHID = 1259, 1260
SSN, EMAIL, HASH = frozenset({"pii.ssn"}), frozenset({"pii.email"}), frozenset({"secret.hash"})


@dataclass(frozen=True, slots=True)
class Catalogue:
    columns: Mapping[tuple[int, int], frozenset[str]]
    relations: Mapping[int, int]
    labels: frozenset[str]

    def knows(self, relation: int, number: int) -> bool:
        return relation in self.relations and number <= self.relations[relation]


CATALOGUE = Catalogue(
    {(CUSTOMERS, 0): SSN | EMAIL, (CUSTOMERS, 3): SSN, (CUSTOMERS, 4): EMAIL, (PG_AUTHID, 11): HASH},
    {CUSTOMERS: 4, ORDERS: 2},
    SSN | EMAIL | HASH,
)


def field(oid: int, attnum: int) -> Field:
    return Field(b"x", oid, attnum, 25, -1, 0)


@pytest.mark.parametrize(
    ("oid", "attnum", "touched", "expected"),
    [
        pytest.param(CUSTOMERS, 3, SSN | EMAIL, SSN, id="a labelled column"),
        pytest.param(CUSTOMERS, 1, SSN | EMAIL, frozenset(), id="its neighbour"),
        pytest.param(CUSTOMERS, -6, SSN | EMAIL, frozenset(), id="its system column"),
        pytest.param(CUSTOMERS, -1, frozenset(), SSN | EMAIL, id="its row's place, which depends on lengths"),
        pytest.param(ORDERS, 1, SSN, frozenset(), id="a column of another table in the same statement"),
        pytest.param(0, 0, SSN, SSN, id="an expression over a labelled relation"),
        pytest.param(0, 0, frozenset(), frozenset(), id="an expression over nothing labelled"),
        pytest.param(CUSTOMERS, 0, frozenset(), SSN | EMAIL, id="a whole row"),
        pytest.param(CUSTOMERS, 0, HASH, SSN | EMAIL | HASH, id="a whole row with another relation"),
        pytest.param(ORDERS, 0, SSN, SSN, id="a whole row of another table carries what the statement could"),
        pytest.param(NEW, 1, frozenset(), SSN | EMAIL | HASH, id="a relation newer than the catalogue"),
        pytest.param(PG_CLASS, 2, frozenset(), frozenset(), id="a system relation"),
        pytest.param(PG_AUTHID, 11, HASH, HASH, id="a labelled column of a system relation"),
    ],
)
def test_field_labels(oid: int, attnum: int, touched: frozenset[str], expected: frozenset[str]) -> None:
    assert field_labels(field(oid, attnum), CATALOGUE, touched) == expected


@pytest.mark.parametrize(("oid", "known"), [(0, True), (PG_CLASS, True), (CUSTOMERS, True), (NEW, False)])
def test_what_is_newer_than_the_catalogue_is_not_known(oid: int, known: bool) -> None:
    assert is_known(field(oid, 1), CATALOGUE) is known


def _asked(
    outputs: tuple[frozenset[str], ...] | None, star: int | None = None, opaque: str | None = None
) -> SqlOperation:
    return SqlOperation(
        "", "", "", frozenset({"select"}), labels=SSN | EMAIL, outputs=outputs, star=star, opaque=opaque
    )


NONE: frozenset[str] = frozenset()
ALL = SSN | EMAIL


@pytest.mark.parametrize(
    ("operation", "fields", "expected"),
    [
        pytest.param(_asked((NONE,)), [field(0, 0)], [NONE], id="a clean expression"),
        pytest.param(_asked((EMAIL, NONE)), [field(0, 0), field(0, 0)], [EMAIL, NONE], id="by position"),
        pytest.param(_asked((NONE,)), [field(CUSTOMERS, 3)], [SSN], id="the server knows better"),
        pytest.param(_asked((NONE,)), [field(CUSTOMERS, 0)], [ALL], id="a whole row stays one"),
        pytest.param(_asked((NONE,)), [field(NEW, 1)], [ALL | HASH], id="a new relation stays one"),
        pytest.param(_asked(None), [field(0, 0)], [ALL], id="unknown outputs"),
        pytest.param(_asked((NONE,)), [field(0, 0)] * 2, [ALL] * 2, id="more columns than the text has"),
        pytest.param(_asked((NONE, NONE)), [field(0, 0)], [ALL], id="fewer columns than the text has"),
        pytest.param(_asked((NONE,), opaque="x"), [field(0, 0)], [ALL | HASH], id="opaque"),
        pytest.param(_asked((SSN,), 0), [], [], id="a star over nothing"),
        pytest.param(_asked((NONE, SSN, EMAIL), 1), [field(0, 0)] * 2, [NONE, EMAIL], id="around a star over nothing"),
        pytest.param(
            _asked((NONE, SSN, EMAIL), 1),
            [field(0, 0)] * 5,
            [NONE, SSN, SSN, SSN, EMAIL],
            id="around a star of three",
        ),
        pytest.param(_asked((NONE, SSN, EMAIL), 1), [field(0, 0)], [ALL], id="fewer than around the star"),
    ],
)
def test_result_labels(operation: SqlOperation, fields: list[Field], expected: list[frozenset[str]]) -> None:
    assert list(result_labels(fields, operation, CATALOGUE)) == expected
