from __future__ import annotations

import pytest

from gateway.sql import Catalogue, Name


def names(catalogue: Catalogue, name: Name) -> set[str]:
    return {str(catalogue.relations[oid]) for oid in catalogue.named(name)}


def test_an_unqualified_name_means_every_relation_of_that_name(catalogue: Catalogue) -> None:
    assert names(catalogue, Name(None, "customers")) == {"public.customers", "app.customers"}
    assert names(catalogue, Name("app", "customers")) == {"app.customers"}
    assert names(catalogue, Name(None, "Customers")) == set()
    assert names(catalogue, Name(None, "nosuch")) == set()


@pytest.mark.parametrize(
    ("name", "called"),
    [
        (Name(None, "lower"), set()),
        (Name("pg_catalog", "lower"), set()),
        (Name(None, "Lower"), {"Lower"}),
        (Name(None, "upper"), {"app.upper"}),
        (Name("pg_catalog", "upper"), set()),
        (Name("app", "upper"), {"app.upper"}),
        (Name("public", "upper"), {"public.upper"}),
        (Name(None, "total_of"), {"app.total_of"}),
        (Name("app", "total_of"), {"app.total_of"}),
        (Name(None, "pg_sleep"), {"pg_sleep"}),
        (Name("pg_catalog", "pg_sleep"), {"pg_sleep"}),
        (Name(None, "nosuch"), {"nosuch"}),
        (Name("information_schema", "_pg_truetypid"), set()),
        (Name("information_schema", "nosuch"), {"information_schema.nosuch"}),
        (Name(None, "dom"), {"dom", "public.chk"}),
    ],
)
def test_called(catalogue: Catalogue, name: Name, called: set[str]) -> None:
    assert catalogue.called(name) == called


def behind(catalogue: Catalogue, name: str) -> tuple[set[str], set[str]]:
    [oid] = catalogue.named(Name("public", name))
    found = catalogue.behind[oid]
    return {catalogue.relations[other].name for other in found.relations}, set(found.untrusted)


def test_what_lies_behind(catalogue: Catalogue) -> None:
    assert behind(catalogue, "v_deep") == ({"v_deep", "v_plain", "customers"}, set())
    assert behind(catalogue, "v_evil") == ({"v_evil", "customers"}, {"public.evil"})
    assert behind(catalogue, "v_sleep") == ({"v_sleep", "customers"}, {"pg_sleep"})
    assert behind(catalogue, "orders") == ({"orders", "orders_1"}, set())
    assert behind(catalogue, "pol") == ({"pol"}, {"public.polf"})
    assert behind(catalogue, "with_pair") == ({"with_pair"}, {"public.chk"})
    assert behind(catalogue, "logged")[0] == {"logged", "log"}


def test_types_run_functions(catalogue: Catalogue) -> None:
    assert catalogue.code_of_type(Name(None, "dom2")) == {"pg_sleep"}
    assert catalogue.code_of_type(Name(None, "pair")) == {"public.chk"}
    assert catalogue.code_of_type(Name(None, "_pair")) == {"public.chk"}
    assert catalogue.code_of_type(Name("public", "pt")) == {"public.pt_to_text"}
    assert catalogue.code_of_type(Name("app", "pt")) == set()


def test_a_wrong_row_gives_no_catalogue() -> None:
    with pytest.raises((ValueError, TypeError)):
        Catalogue.from_rows(
            relations=[("1", None, "t", "r", "0")],
            columns=[],
            inheritance=[],
            definitions=[],
            dependencies=[],
            functions=[],
            operators=[],
            types=[],
            type_functions=[],
            domain_checks=[],
            casts=[],
            implicit=[],
            generated=[],
            schemas=[],
            view_columns={},
        )


def test_a_definition_that_is_not_understood() -> None:
    catalogue = Catalogue.from_rows(
        relations=[("20000", "s", "v", "v", "0"), ("20001", "s", "w", "v", "0")],
        columns=[],
        inheritance=[],
        definitions=[("20000", "1", "SELECT a NOVEL grammar"), ("20001", "1", None)],
        dependencies=[],
        functions=[],
        operators=[],
        types=[],
        type_functions=[],
        domain_checks=[],
        casts=[("23", "25", "20009")],
        implicit=[],
        generated=[],
        schemas=[("s",)],
        view_columns={},
    )
    assert catalogue.behind[20000].opaque is not None
    assert catalogue.behind[20001].opaque is not None
    assert catalogue.everywhere == {"pg_catalog.20009"}
