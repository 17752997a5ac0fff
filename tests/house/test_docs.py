"""What the pages say of the code is true, as far as a test can tell: links lead somewhere, quoted constants agree."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from gateway.protocols.postgres.errors import CANCELLED, INTERNAL, SQLSTATES
from gateway.sql.harmless import REVEALING_RELATIONS

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
INDEX = REPOSITORY / "docs" / "index.md"
POSTGRESQL = (REPOSITORY / "docs" / "postgresql.md").read_text()
UNITS = {"": 1, "bytes": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
LIMIT = re.compile(r"^\| [^|]+ \| ([\d,]+) ?(\w*) \| `(\w+)\.(\w+)` \|", re.MULTILINE)


def prose(page: Path) -> str:
    """The page without what stands in code blocks."""
    return re.sub(r"^(```.*?^```|    .*?$)", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def constant(module: str, name: str) -> object:
    elsewhere = {"sql": "gateway.sql", "approvals": "gateway.session.approvals"}
    room = elsewhere.get(module, f"gateway.protocols.postgres.{module}")
    return getattr(import_module(room), name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if ":" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(REPOSITORY), f"{link} leaves the repository"
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


def test_the_index_names_every_page() -> None:
    linked = {(REPOSITORY / "docs" / link.partition("#")[0]).resolve() for link in LINK.findall(prose(INDEX))}
    pages = {page for page in (REPOSITORY / "docs").glob("*.md") if page != INDEX}
    assert pages <= linked


def test_limits_are_the_codes() -> None:
    rows = LIMIT.findall(POSTGRESQL)
    assert len(rows) == POSTGRESQL.partition("## Limits")[2].partition("\n## ")[0].count("\n| ") - 1
    for value, unit, module, name in rows:
        assert int(value.replace(",", "")) * UNITS[unit] == constant(module, name), f"{module}.{name}"


def test_sqlstates_are_the_codes() -> None:
    table = POSTGRESQL.partition("| SQLSTATE |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `(\w{5})` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted({code.decode() for code in (*(code for _, code in SQLSTATES), CANCELLED, INTERNAL)})


def test_revealing_relations_are_the_codes() -> None:
    masks = POSTGRESQL.partition("## Masks")[2].partition("\n### ")[0]
    listed = re.search(r"credentials of others: (.*?) and the schema", masks, re.DOTALL)
    assert listed
    assert set(re.findall(r"`(\w+)`", listed[1])) == REVEALING_RELATIONS


def test_decisions_are_numbered_once_and_have_their_parts() -> None:
    records = sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))
    numbers = [record.name[:4] for record in records]
    assert len(set(numbers)) == len(numbers)
    for record in records:
        text = record.read_text()
        assert text.startswith(f"# {record.name[:4]}: "), record.name
        for part in ("## Context", "## Choice", "## Rejected", "## Consequences"):
            assert f"\n{part}\n" in text, f"{record.name}: {part}"
