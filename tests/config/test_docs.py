from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.config import docs, schema

SECTIONS = [
    made
    for made in vars(schema).values()
    if isinstance(made, type)
    and issubclass(made, msgspec.Struct)
    and made not in (msgspec.Struct, schema._Section, schema.Config)
]


def test_the_committed_file_is_up_to_date() -> None:
    committed = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert committed.read_text() == docs.render(), "run: python -m gateway.config.docs > docs/configuration.md"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_and_unknown_ones_are_refused(section: type[msgspec.Struct]) -> None:
    assert set(docs.documentation(section)) == set(section.__struct_fields__)
    assert section.__doc__
    assert section.__struct_config__.forbid_unknown_fields
    assert section.__struct_config__.frozen


def test_every_section_is_in_the_document() -> None:
    text = docs.render()
    for section in SECTIONS:
        for key in section.__struct_fields__:
            assert f"| `{key}` |" in text
