from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from control.made import ANYBODY, NOBODY
from control.talk import ask

from gateway.control import messages
from gateway.control.api import ROUTES
from gateway.control.messages import Refusal
from gateway.control.openapi import REFUSED, describe, refusals
from gateway.control.route import Route
from gateway.control.sites import QuietSite

DOCS = Path(__file__).parents[2] / "docs"
DESCRIPTION = describe(ROUTES)


def test_the_committed_file_is_up_to_date() -> None:
    committed = json.loads((DOCS / "openapi.json").read_text())
    assert committed == DESCRIPTION, "run: python -m gateway.control.openapi > docs/openapi.json"


def test_it_is_served_to_whoever_is_somebody(site: QuietSite) -> None:
    assert ask(site, "GET", "/v1/openapi.json", uid=ANYBODY).json == DESCRIPTION
    assert ask(site, "GET", "/v1/openapi.json", uid=NOBODY).code == 403


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, methods in DESCRIPTION["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_route_is_described_once() -> None:
    described = [(method, path, operation["operationId"]) for method, path, operation in operations()]
    assert described == [(route.method, route.path, route.act) for route in sorted(ROUTES, key=described_at)]
    acts = [route.act for route in ROUTES]
    assert len(set(acts)) == len(acts)


def described_at(route: Route) -> tuple[int, str]:
    return list(DESCRIPTION["paths"]).index(route.path), route.method


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.act)
def test_what_is_taken_and_given_is_described(route: Route) -> None:
    operation = DESCRIPTION["paths"][route.path][route.method.lower()]
    assert operation["summary"].endswith(".")
    assert ("requestBody" in operation) == (route.method == "POST") == (route.body is not None)
    names = [parameter["name"] for parameter in operation.get("parameters", ())]
    assert names == re.findall(r"\{(\w+)\}", route.path) + list(getattr(route.query, "__struct_fields__", ()))
    assert set(operation["responses"]) == {"200"} | {str(int(status)) for status in refusals(route)}


def references(document: Any) -> set[str]:
    if isinstance(document, dict):
        found = {document["$ref"]} if "$ref" in document else set()
        return found.union(*map(references, document.values()))
    return set().union(*map(references, document)) if isinstance(document, list) else set()


def test_references_lead_somewhere_and_nothing_is_left_over() -> None:
    components = DESCRIPTION["components"]
    there = {f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in components[kind]}
    assert references(DESCRIPTION) == there
    assert {status.name for route in ROUTES for status in refusals(route)} == {status.name for status in REFUSED}


def test_every_type_says_what_it_is() -> None:
    for name, schema in DESCRIPTION["components"]["schemas"].items():
        assert schema["description"], name
        assert getattr(messages, name).__doc__
    assert DESCRIPTION["components"]["schemas"][Refusal.__name__]["required"] == ["problem"]


def test_what_is_sent_is_refused_when_it_says_more() -> None:
    for _, _, operation in operations():
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            name = schema["$ref"].rpartition("/")[2]
            assert DESCRIPTION["components"]["schemas"][name]["additionalProperties"] is False


def test_the_page_for_operators_lists_every_route() -> None:
    page = (DOCS / "operating.md").read_text()
    section = page.partition("## The control API")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([A-Z]+) (/\S+)` \|", section, re.MULTILINE)
    assert listed == [(route.method, route.path) for route in ROUTES]
    for status in {*map(int, REFUSED), 405} - {500}:
        assert str(status) in section, status
