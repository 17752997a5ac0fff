"""Fuzzes the search of cells: `make fuzz`, or this file with a corpus directory.

The input is a byte that says the type and the format, and a cell. Whatever it is, it is masked, or NULL; what nothing
is found in is the same object; what is left is nothing to find; and a cell that was masked is masked again to itself.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["gateway.masking.cells"]):
    from gateway.json_paths import parse_path
    from gateway.masking.cells import Paths, searched_column
    from gateway.masking.cells.search import Labelled
    from gateway.masking.cells.types import ELEMENTS
    from gateway.masking.fields import Field
    from gateway.model import Method

SECRET = b"hush"
TYPES = (25, 17, 20, 114, 142, 701, 869, 1700, 2249, 3802, 16_500, *ELEMENTS)


def look(value: bytes, hint: str) -> bytes | None:
    if hint == "null" and SECRET in value:
        return None
    return value.replace(SECRET, b"****") if SECRET in value else value


def stars(value: bytes) -> bytes | None:
    return b"####"


NO_PATHS: Paths[Labelled] = Paths()
PATHS: Paths[Labelled] = Paths(((parse_path("$..p"), (Method("redact"), stars)),))


def one_input(data: bytes) -> None:
    if len(data) < 2:
        return
    kind, flags, cell = data[0], data[1], bytes(data[2:])
    type_oid = TYPES[kind % len(TYPES)]
    field = Field(b"null" if flags & 1 else b"a", 0, 0, type_oid, -1, flags >> 1 & 1)
    column = searched_column(field, look, PATHS if flags & 4 else NO_PATHS)
    assert column is not None
    texts = column.texts(cell)
    masked = column.mask(cell)
    if masked is None:
        return
    if masked is not cell:
        again = column.mask(masked)
        assert again == masked, "masked twice is something else"
    elif texts is not None:
        assert SECRET not in texts, "the gate saw what the mask did not"
    if type_oid != 17:  # bytea that is no text isn't searched
        assert SECRET not in masked or flags & 4 or masked is cell


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
