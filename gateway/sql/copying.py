"""COPY ... TO STDOUT: how its rows are written, and which columns stand in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.model import CopyFormat, CopyOut, ResultField
from gateway.sql.names import Name

if TYPE_CHECKING:
    from gateway.sql.labels import LabelledCatalogue

Body = dict[str, Any]

TEXT_NULLS: Final = frozenset({"\\N", ""})
"""In text format nothing tells NULL from a value that looks like it, but for these: a value's backslash is doubled, and
an empty value tells no more than that it is empty."""

ENCODINGS: Final = frozenset({"utf8", "unicode", "latin1", "iso88591", "sqlascii"})
"""Letters and digits of encodings in which no byte of a longer character is ASCII (src/common/encnames.c)."""

_TRUE: Final = frozenset({"true", "on", "1"})
_FALSE: Final = frozenset({"false", "off", "0"})


@dataclass(frozen=True, slots=True)
class CopyStatement:
    """As written. ``relation`` None: a query; ``columns`` None: all; ``format`` None: not plainly understood."""

    relation: Name | None
    columns: tuple[str, ...] | None
    format: CopyFormat | None


def copy_format(options: list[Body]) -> CopyFormat | None:
    """The format that the options of a CopyStmt ask for; None when one of them isn't plainly understood.

    What the server refuses anyway (an option twice, a quote in text format) may come out as anything.
    """
    given: dict[str, object] = {}
    for option in options:
        element = option["DefElem"]
        name = element["defname"]
        if name in given:
            return None
        given[name] = _argument(element)
    kind = given.pop("format", "text")
    if kind not in ("text", "csv", "binary"):
        return None
    given.pop("force_quote", None)  # what is quoted needlessly reads the same
    encoding = given.pop("encoding", "utf8")
    if not isinstance(encoding, str) or "".join(filter(str.isalnum, encoding.lower())) not in ENCODINGS:
        return None
    header = given.pop("header", False)
    if not isinstance(header, bool):
        return None
    csv = kind == "csv"
    null = given.pop("null", "" if csv else "\\N")
    delimiter, quote = _byte(given.pop("delimiter", "," if csv else "\t")), _byte(given.pop("quote", '"'))
    escape = _byte(given.pop("escape", None)) if "escape" in given else quote
    if given or not isinstance(null, str) or delimiter is None or quote is None or escape is None:
        return None
    if (csv and delimiter in (quote, escape)) or not (csv or null in TEXT_NULLS):
        return None
    return CopyFormat(_KINDS[kind], delimiter, null.encode(), header, quote, escape)


_KINDS: Final[dict[object, Literal["text", "csv", "binary"]]] = {"text": "text", "csv": "csv", "binary": "binary"}


def _argument(element: Body) -> object:
    """An option's value: a word in lower case or a string; a boolean where it is one, or nothing is written."""
    argument = element.get("arg")
    if argument is None:
        return True
    if "Boolean" in argument:
        return bool(argument["Boolean"].get("boolval", False))
    if "Integer" in argument:
        text = str(argument["Integer"].get("ival", 0))
    elif "String" in argument:
        text = argument["String"].get("sval", "")
    else:
        return argument
    if element["defname"] != "header":
        return text
    return True if text.lower() in _TRUE else False if text.lower() in _FALSE else argument


def _byte(value: object) -> bytes | None:
    if not isinstance(value, str) or len(value) != 1 or not value.isascii():
        return None
    return value.encode()


def resolve_copy(statement: CopyStatement, labelled: LabelledCatalogue) -> CopyOut | None:
    """Which columns its rows have, in this database; None when the format isn't understood, or the relation isn't
    exactly one table (an unqualified name that several have could be any of them).
    """
    if statement.format is None:
        return None
    if statement.relation is None:
        return CopyOut(statement.format, None)
    catalogue = labelled.catalogue
    found = catalogue.named(statement.relation)
    if len(found) != 1:
        return None
    relation = catalogue.relations[found[0]]
    if relation.kind not in _WITH_ROWS or not relation.columns:
        return None
    numbers = {name: number for number, (name, _type) in relation.columns.items()}
    if statement.columns is None:
        wanted = [number for number in sorted(relation.columns) if number not in relation.generated]
    elif all(name in numbers for name in statement.columns):
        wanted = [numbers[name] for name in statement.columns]
    else:
        return None
    fields = []
    for number in wanted:
        name, type_oid = relation.columns[number]
        typmod = relation.typmods.get(number, -1)
        fields.append(ResultField(name.encode(), relation.oid, number, type_oid, typmod, 0))
    return CopyOut(statement.format, tuple(fields))


_WITH_ROWS: Final = frozenset({"r", "m"})
"""Tables and partitions, and materialized views, which newer servers copy. Others the server refuses."""
