"""A catalogue read from a real PostgreSQL 15 (catalogue.sql), with labels bound to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.sql import Catalogue, LabelledCatalogue

ROWS: dict[str, Any] = json.loads((Path(__file__).parent / "catalogue_rows.json").read_text())
LABELS = [("public.customers.ssn", "pii.ssn"), ("public.child.secret", "secret"), ("public.orders.t*", "total")]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    view_columns = {int(oid): [tuple(pair) for pair in pairs] for oid, pairs in ROWS["view_columns"].items()}
    return Catalogue.from_rows(**ROWS["rows"], view_columns=view_columns)


@pytest.fixture(scope="session")
def labelled(catalogue: Catalogue) -> LabelledCatalogue:
    return catalogue.bind(LABELS)
