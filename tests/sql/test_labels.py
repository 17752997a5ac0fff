from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.sql import Catalogue, LabelledCatalogue, Name
from gateway.sql.catalogue import Rows


def reach(labelled: LabelledCatalogue) -> dict[str, set[str]]:
    relations = labelled.catalogue.relations
    return {
        f"{relations[oid].name}.{relations[oid].columns[number][0]}": set(found)
        for (oid, number), found in labelled.columns.items()
        if number
    }


def test_where_labels_reach(labelled: LabelledCatalogue) -> None:
    assert reach(labelled) == {
        "customers.ssn": {"pii.ssn"},
        "v_plain.x": {"pii.ssn"},  # a plain column under another name
        "v_deep.y": {"pii.ssn"},  # a view on a view
        "v_evil.evil": {"pii.ssn"},  # a function that nobody read: everything that the view depends on
        "v_sleep.slept": {"pii.ssn"},
        "v_union.a": {"pii.ssn"},
        "mv.ssn": {"pii.ssn"},
        "orders.total": {"total"},
        "orders_1.total": {"total"},  # partitions
        "child.secret": {"secret"},  # up to the parent, whose answer holds the child's rows,
        "parent.secret": {"secret"},  # but not down again to the sibling
    }


def test_whole_rows_and_names(labelled: LabelledCatalogue) -> None:
    assert labelled.relation_labels(Name(None, "customers")) == {"pii.ssn"}
    assert labelled.relation_labels(Name("app", "customers")) == frozenset()
    [oid] = labelled.catalogue.named(Name("public", "customers"))
    assert labelled.relation_labels(oid) == labelled.columns[oid, 0] == {"pii.ssn"}
    assert labelled.labelled_names(oid) == {"ssn"}
    assert labelled.knows(oid)
    assert not labelled.knows(1)
    assert labelled.labels == {"pii.ssn", "secret", "total"}


def test_down_to_every_child(catalogue: Catalogue) -> None:
    found = reach(catalogue.bind([("public.parent.secret", "x")]))
    assert found == {"parent.secret": {"x"}, "child.secret": {"x"}, "sibling.secret": {"x"}}


def test_globs_and_what_matches_nothing(catalogue: Catalogue) -> None:
    bound = catalogue.bind([("*.customers.*", "x"), ("nosuch.*.*", "y"), ("customers.ssn", "z"), ("a.b.c.d", "z")])
    assert bound.unbound == (("nosuch.*.*", "y"), ("customers.ssn", "z"), ("a.b.c.d", "z"))
    assert {"customers.ssn", "customers.plan", "v_plain.x"} <= reach(bound).keys()
    assert reach(catalogue.bind([("public.sharing.Gr*", "x")])) == {"sharing.Größe": {"x"}}


def test_places_in_json(catalogue: Catalogue) -> None:
    """A table's json column is masked at its places; what is made of it carries the label whole."""
    [customers], [plain] = (catalogue.named(Name("public", name)) for name in ("customers", "v_plain"))
    relation = catalogue.relations[customers]
    [ssn] = [number for number, (name, _type) in relation.columns.items() if name == "ssn"]
    as_json = replace(relation, columns={**relation.columns, ssn: ("ssn", 3802)})
    catalogue = replace(catalogue, relations={**catalogue.relations, customers: as_json})
    bound = catalogue.bind([], frozenset({"x"}))
    assert bound.by_path == {(customers, ssn): {"x"}}
    assert {"customers.ssn", "v_plain.x", "v_evil.evil"} <= reach(bound).keys()
    assert bound.relation_labels(plain) == {"x"}
    assert bound.labels == {"x"}
    assert catalogue.bind([("public.customers.ssn", "x")], frozenset({"x"})).by_path == {(customers, ssn): frozenset()}


def test_nothing_bound(catalogue: Catalogue) -> None:
    assert catalogue.bind([]).columns == {}


def test_a_view_that_nothing_is_known_of_counts_as_expressions(catalogue: Catalogue) -> None:
    unknown = replace(catalogue, view_columns={}, view_lineage={})
    found = reach(unknown.bind([("public.customers.ssn", "x")]))
    assert found["v_plain.id"] == {"x"}
    assert found["v_deep.y"] == {"x"}


@pytest.mark.parametrize(
    ("query", "labelled"),
    [
        ("SELECT people.city AS a, count(*) AS b FROM public.people GROUP BY people.city", set()),
        ("SELECT people.city AS a, max(people.email) AS b FROM public.people GROUP BY people.city", {"b"}),
        ("SELECT 1 AS a, count(*) AS b FROM public.people GROUP BY people.email", {"a", "b"}),
        ("SELECT 1 AS a, count(*) AS b FROM public.people WHERE (people.email ~~ 'a%'::text)", {"a", "b"}),
        ("SELECT 1 AS a, evil() AS b FROM public.people", {"a", "b"}),
        ("SELECT 1 AS a, (SELECT x.b FROM public.other x) AS b", set()),
    ],
    ids=["aggregate", "of the label", "grouped by it", "chosen by it", "code", "another relation"],
)
def test_expressions_of_a_view_carry_what_reaches_them(query: str, labelled: set[str]) -> None:
    empty: dict[str, Rows] = dict.fromkeys(
        ("inheritance", "operators", "types", "type_functions", "domain_checks", "casts", "implicit", "generated"), ()
    )
    uses_evil = [("30000", "function", "40000")] if "evil" in query else []
    catalogue = Catalogue.from_rows(
        relations=[
            ("20000", "public", "people", "r", "0"),
            ("20001", "public", "other", "r", "0"),
            ("30000", "public", "seen", "v", "0"),
        ],
        columns=[
            ("20000", "1", "city", "25", "-1", "f"),
            ("20000", "2", "email", "25", "-1", "f"),
            ("20001", "1", "b", "25", "-1", "f"),
            ("30000", "1", "a", "25", "-1", "f"),
            ("30000", "2", "b", "25", "-1", "f"),
        ],
        definitions=[("30000", "1", query)],
        dependencies=[("30000", "relation", "20000"), ("30000", "relation", "20001"), *uses_evil],
        functions=[("40000", "public", "evil", "f")],
        schemas=[("public",)],
        view_columns={30000: [(0, 0), (0, 0)]},
        **empty,
    )
    found = reach(catalogue.bind([("public.people.email", "pii.email")]))
    assert {name.removeprefix("seen.") for name in found if name.startswith("seen.")} == labelled


def test_stored_rows_carry_the_labels_of_their_relation(catalogue: Catalogue) -> None:
    """A column whose type is a labelled table's row type, and a view of one of its fields."""
    [customers] = catalogue.named(Name("public", "customers"))
    [orders] = catalogue.named(Name("public", "orders"))
    relation = catalogue.relations[orders]
    held = replace(relation, columns={**relation.columns, 99: ("held", 70_000)})
    changed = replace(
        catalogue,
        relations={**catalogue.relations, orders: held},
        row_types={70_001: customers},
        type_parts={70_000: frozenset({70_000, 70_001})},
    )
    found = reach(changed.bind([("public.customers.ssn", "x")]))
    assert found["orders.held"] == {"x"}
    assert "orders.total" not in found


def test_a_generated_column_holds_what_it_is_made_of() -> None:
    empty: dict[str, Rows] = dict.fromkeys(
        (
            "definitions", "dependencies", "functions", "operators", "types", "type_functions", "domain_checks",
            "casts", "implicit",
        ),
        (),
    )  # fmt: skip
    catalogue = Catalogue.from_rows(
        relations=[("20000", "public", "people", "r", "0"), ("20001", "public", "staff", "r", "0")],
        columns=[
            (oid, str(number), name, "25", "-1", "f")
            for oid in ("20000", "20001")
            for number, name in enumerate(("name", "email", "kind", "greeting"), 1)
        ],
        inheritance=[("20001", "20000")],
        generated=[("20000", "3", "2"), ("20000", "4", "1"), ("20001", "3", "2"), ("20001", "4", "1")],
        schemas=[("public",)],
        view_columns={},
        **empty,
    )
    labelled = catalogue.bind([("public.people.email", "pii.email")])
    assert reach(labelled) == {
        f"{table}.{column}": {"pii.email"} for table in ("people", "staff") for column in ("email", "kind")
    }
