from __future__ import annotations

from pathlib import Path

from gateway.audit.document import catalogue_page, fields_of
from gateway.audit.event import event_name
from gateway.audit.events import CATALOGUE

PAGE = Path(__file__).parents[2] / "docs" / "audit-events.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == catalogue_page(), "run: python -m gateway.audit.document > docs/audit-events.md"


def test_every_event_has_a_section() -> None:
    page = PAGE.read_text()
    for kind in CATALOGUE:
        assert f"\n## {event_name(kind)}\n" in page


def test_a_meaning_may_go_on_in_the_next_line() -> None:
    assert fields_of("one  first\n     and more\ntwo  second") == [("one", "first and more"), ("two", "second")]
