"""tests/corpora/lineage.yaml: statements, a small database, and which labels each result column could carry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.sql import Catalogue, LabelledCatalogue
from gateway.sql.lineage import Lineage, labels_of, uses_of

FILE = Path(__file__).parent.parent / "corpora" / "lineage.yaml"
TYPE_OIDS = {
    "boolean": 16, "integer": 23, "text": 25, "text[]": 1009, "numeric": 1700, "timestamptz": 1184,
}  # fmt: skip
FIRST_OID = 16384


@dataclass(frozen=True, slots=True)
class Case:
    sql: str
    why: str
    outputs: str
    writes: str
    uses: tuple[str, ...]
    server: bool


@dataclass(frozen=True, slots=True)
class Corpus:
    labels: dict[str, str]
    relations: dict[str, dict[str, Any]]
    cases: tuple[Case, ...]

    @property
    def ddl(self) -> str:
        """The same database on a real server."""
        lines = ["create schema app;"]
        for name, relation in self.relations.items():
            if "view" in relation:
                lines.append(f"create view {name} as {relation['view']};")
            else:
                columns = ", ".join(f"{column} {kind}" for column, kind in relation.items())
                lines.append(f"create table {name} ({columns});")
        lines.append("create unique index on public.customers (id);")
        lines.append("create unique index on public.customers (ssn);")
        return "\n".join(lines)

    def catalogue(self) -> LabelledCatalogue:
        oids = {name: FIRST_OID + index for index, name in enumerate(self.relations)}
        columns: list[tuple[str, ...]] = []
        definitions: list[tuple[str, str, str]] = []
        dependencies: list[tuple[str, str, str]] = []
        view_columns: dict[int, list[tuple[int, int]]] = {}
        for name, relation in self.relations.items():
            oid = oids[name]
            for number, (column, kind) in enumerate(relation.get("columns", relation).items(), 1):
                columns.append((str(oid), str(number), column, str(TYPE_OIDS[kind]), "-1", "f"))
            if "view" in relation:
                definitions.append((str(oid), "1", relation["view"]))
                view_columns[oid] = [(0, 0) if one is None else (oids[one[0]], one[1]) for one in relation["from"]]
                used = {one[0] for one in relation["from"] if one is not None}
                dependencies += [(str(oid), "relation", str(oids[one])) for one in used]
        rows = [
            (str(oid), *name.split("."), "v" if "view" in self.relations[name] else "r", "0")
            for name, oid in oids.items()
        ]
        catalogue = Catalogue.from_rows(
            relations=rows,
            columns=columns,
            definitions=definitions,
            dependencies=dependencies,
            schemas=[("public",), ("app",)],
            view_columns=view_columns,
            **dict.fromkeys(
                (
                    "inheritance",
                    "functions",
                    "operators",
                    "types",
                    "type_functions",
                    "domain_checks",
                    "casts",
                    "implicit",
                    "generated",
                ),
                (),
            ),
        )
        return catalogue.bind([(column, label) for label, column in self.labels.items()])


def load() -> Corpus:
    found = yaml.safe_load(FILE.read_text())
    cases = tuple(
        Case(
            sql=case["sql"],
            why=case["why"],
            outputs=str(case["outputs"]),
            writes=case.get("writes", ""),
            uses=tuple(case.get("uses", ())),
            server=case.get("server", True),
        )
        for case in found["cases"]
    )
    return Corpus(found["labels"], found["relations"], cases)


def word(labels: Iterable[str], order: str) -> str:
    return "".join(sorted(labels, key=order.index)) or "-"


def shown_outputs(lineage: Lineage, labelled: LabelledCatalogue, order: str) -> str:
    """As the corpus writes them."""
    if lineage.outputs is None:
        return "?"
    words = [word(labels_of(sources, labelled), order) for sources in lineage.outputs]
    if lineage.star is not None:
        words[lineage.star] += "*"
    return " ".join(words)


def shown_uses(lineage: Lineage, labelled: LabelledCatalogue, order: str) -> list[str]:
    """As the corpus writes them."""
    found = []
    for use in uses_of(lineage.uses, labelled):
        text = f"{use.kind} {use.place} {word(use.labels, order)}"
        if use.kind == "probe":
            text += f" x{use.count}" + "".join(f" ${number}" for number in sorted(use.arrays))
        found.append(text)
    return found
