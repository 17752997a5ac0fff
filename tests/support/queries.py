"""Random queries: joins, queries in queries, WITH, set operations, grouping, windows.

Expressions come from templates; queries are built by hand, since their parts depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from support.choices import Choices
from support.expressions import (
    AGGREGATES,
    COMPARISONS,
    CONSTANTS,
    FRAGILE,
    HOLE,
    TEMPLATES,
    WINDOWS,
    Column,
    Relations,
)

MAX_DEPTH = 3
"""Of expressions and of queries in queries: beyond, statements grow faster than they find."""


class Queries:
    """Writes queries over ``relations``; everything follows from ``choices``.

    Careful ones (see `support.statements`) use protected columns as plain results and in probes only.
    """

    def __init__(self, choices: Choices, relations: Relations) -> None:
        self._choices = choices
        self._relations = relations
        self._careful = not choices.happens(40)
        self._ctes: dict[str, list[Column]] = {}
        self._names = 0
        self._touches = False

    def _query(
        self, depth: int, outer: Sequence[Column] = (), types: Sequence[str] | None = None
    ) -> tuple[str, list[Column]]:
        """A query's text and its results; ``outer`` can be seen from inside, ``types`` are demanded of the results."""
        kind = self._choices.below(20)
        if depth < MAX_DEPTH - 1:
            if kind == 15 or kind == 16:
                return self._set_operation(depth, outer, types)
            if kind == 17 and types is None:
                return self._with(depth)
            if kind == 18 and types is None:
                return self._recursive(depth)
        if kind == 19 and types is not None:
            return f"values ({', '.join(self._leaf(type_, ()) for type_ in types)})", [
                Column("?", type_) for type_ in types
            ]
        return self._select(depth, outer, types)

    def _set_operation(
        self, depth: int, outer: Sequence[Column], types: Sequence[str] | None
    ) -> tuple[str, list[Column]]:
        left, columns = self._select(depth + 1, outer, types)
        right, others = self._query(depth + 1, outer, [column.type for column in columns])
        secret = any(column.secret for column in (*columns, *others))
        operators = (
            ("union all",) if self._careful and secret else ("union all", "union", "except", "intersect", "except all")
        )
        order = " order by 1" if self._choices.happens(30) and not (self._careful and secret) else ""
        merged = [Column("?", a.type, a.secret or b.secret) for a, b in zip(columns, others, strict=True)]
        return f"({left}) {self._choices.pick(operators)} ({right}){order}", merged

    def _with(self, depth: int) -> tuple[str, list[Column]]:
        inner, columns = self._query(depth + 1)
        name = self._name("w")
        self._ctes[name] = [Column(f"c{number}", column.type, column.secret) for number, column in enumerate(columns)]
        names = ", ".join(column.name for column in self._ctes[name])
        materialized = self._choices.pick(("", "materialized ", "not materialized "))
        outer, results = self._select(depth + 1, ())
        del self._ctes[name]
        return f"with {name} ({names}) as {materialized}({inner}) {outer}", results

    def _recursive(self, depth: int) -> tuple[str, list[Column]]:
        name = self._name("r")
        inner, columns = self._select(depth + 1, (), ["int", "text"])
        secret = any(column.secret for column in columns)
        self._ctes[name] = [
            Column("d", "int", secret),
            Column("i", "int", columns[0].secret),
            Column("t", "text", columns[1].secret),
        ]
        step = self._expression("text", [Column("t", "text", columns[1].secret)])
        outer, results = self._select(depth + 1, ())
        del self._ctes[name]
        begin = f"select 1, x.a, x.b::text from ({inner}) x (a, b)"
        recursion = f"{begin} union all select d + 1, i, {step} from {name} where d < 3"
        return f"with recursive {name} (d, i, t) as ({recursion}) {outer}", results

    def _select(
        self, depth: int, outer: Sequence[Column], types: Sequence[str] | None = None
    ) -> tuple[str, list[Column]]:
        source, scope, can_star = self._sources(depth, outer)
        where = f" where {self._condition([*scope, *outer], depth)}" if self._choices.happens(45) else ""
        if types is None and can_star and self._choices.happens(15):
            return f"select * from {source}{where}{self._tail(scope, scope)}", [
                Column("?", c.type, c.secret) for c in scope
            ]
        if self._choices.happens(20):
            return self._grouped(source, scope, where, depth, types)
        results: list[tuple[str, Column]] = []
        for type_ in types or [""] * (1 + self._choices.below(4)):
            results.append(self._result(type_, scope, outer, depth))
        columns = [column for _, column in results]
        shown = ", ".join(text for text, _ in results)
        distinct = ""
        if self._choices.happens(12) and not (self._careful and any(column.secret for column in columns)):
            distinct = "distinct "
        if distinct:
            return f"select {distinct}{shown} from {source}{where}", columns
        return f"select {shown} from {source}{where}{self._tail(scope, columns)}", columns

    def _result(self, type_: str, scope: Sequence[Column], outer: Sequence[Column], depth: int) -> tuple[str, Column]:
        """A plain column, a window, or any expression."""
        plain = [column for column in scope if not type_ or column.type == type_]
        if plain and not self._choices.happens(40):
            secret = [column for column in plain if column.secret]
            column = self._choices.pick(secret if secret and self._choices.happens(40) else plain)
            self._touches |= column.secret
            return column.name, column
        if not type_ and self._choices.happens(15):
            type_, template = self._choices.pick(WINDOWS)
            return self._noted(template, type_, scope, depth + 1)
        type_ = type_ or self._choices.pick(("text", "int", "num", "date", "bool", "json", "arr", "uuid"))
        before = self._touches
        self._touches = False
        text = self._expression(type_, [*scope, *outer], depth)
        secret_, self._touches = self._touches, self._touches or before
        return text, Column("?", type_, secret_)

    def _noted(self, template: str, type_: str, scope: Sequence[Column], depth: int) -> tuple[str, Column]:
        before = self._touches
        self._touches = False
        text = self._fill(template, scope, depth)
        secret, self._touches = self._touches, self._touches or before
        return text, Column("?", type_, secret)

    def _grouped(
        self, source: str, scope: Sequence[Column], where: str, depth: int, types: Sequence[str] | None
    ) -> tuple[str, list[Column]]:
        """GROUP BY of up to two expressions, aggregates beside them."""
        keys: list[tuple[str, Column]] = []
        if types is None:
            kinds = ("text", "int", "date")
            keys = [self._result_key(self._choices.pick(kinds), scope) for _ in range(self._choices.below(3))]
        results = list(keys)
        for type_ in types or [
            self._choices.pick(("int", "num", "text", "date")) for _ in range(1 + self._choices.below(2))
        ]:
            templates = AGGREGATES[type_]
            results.append(
                self._noted(self._choices.pick(templates), type_, scope, depth + 1)
                if templates
                else (self._constant(type_), Column("?", type_))
            )
        shown = ", ".join(text for text, _ in results)
        columns = [column for _, column in results]
        group = ""
        if keys:
            places = ", ".join(str(number + 1) for number in range(len(keys)))
            group = f" group by {self._choices.pick(('{}', '{}', 'rollup ({})', 'cube ({})')).format(places)}"
        having = f" having {self._fill('count(*) >= {int}', (), MAX_DEPTH)}" if self._choices.happens(20) else ""
        order = (
            f" order by {self._choices.pick(('1', '1 desc'))}"
            if self._choices.happens(40) and not (self._careful and columns[0].secret)
            else ""
        )
        return f"select {shown} from {source}{where}{group}{having}{order}", columns

    def _result_key(self, type_: str, scope: Sequence[Column]) -> tuple[str, Column]:
        usable = [column for column in scope if column.type == type_ and not (self._careful and column.secret)]
        if not usable:
            return f"({self._constant(type_)})", Column("?", type_)
        column = self._choices.pick(usable)
        self._touches |= column.secret
        return f"({column.name})", Column("?", type_, column.secret)

    def _tail(self, scope: Sequence[Column], columns: Sequence[Column]) -> str:
        """ORDER BY, LIMIT, OFFSET."""
        text = ""
        if self._choices.happens(35):
            usable = [column for column in scope if not (self._careful and column.secret) and column.type != "json"]
            if usable:
                column = self._choices.pick(usable)
                self._touches |= column.secret
                direction = self._choices.pick(("", " desc", " nulls first"))
                text = f" order by {column.name}{direction}"
        if self._choices.happens(20):
            text += f" limit {1 + self._choices.below(4)}"
            text += " offset 1" if self._choices.happens(30) else ""
        return text

    # --- what queries read ----------------------------------------------------------------------------------------

    def _sources(self, depth: int, outer: Sequence[Column]) -> tuple[str, list[Column], bool]:
        """FROM: text, what can be seen from it, and whether ``*`` is just that."""
        text, first = self._source(depth, outer)
        scope = list(first)
        can_star = True
        for _ in range(self._choices.pick((0, 0, 0, 1, 1, 2))):
            other, seen = self._source(depth, outer)
            kind = self._choices.pick(("join", "left join", "full join", "cross join", ","))
            if kind in ("cross join", ","):
                text, scope = f"{text} {kind} {other}" if kind != "," else f"{text}, {other}", [*scope, *seen]
                if kind == ",":
                    return text, scope, can_star
                continue
            pairs = [
                f"{one.name} = {two.name}"
                for one in scope for two in seen
                if one.type == two.type == "int" and not one.secret and not two.secret
            ]  # fmt: skip
            scope = [*scope, *seen]
            if pairs and (self._careful or kind == "full join" or self._choices.happens(60)):
                condition = self._choices.pick(pairs)
            else:  # only what can be merged or hashed can be joined in full
                kind, condition = kind.replace("full", "left"), self._condition(scope, depth)
            text = f"{text} {kind} {other} on {condition}"
        return text, scope, can_star

    def _source(self, depth: int, outer: Sequence[Column]) -> tuple[str, list[Column]]:
        alias = self._name("t")
        kind = self._choices.below(20)
        if self._ctes and kind >= 10:
            name = self._choices.pick(sorted(self._ctes))
            return f"{name} {alias}", [Column(f"{alias}.{c.name}", c.type, c.secret) for c in self._ctes[name]]
        if kind >= 16 and depth < MAX_DEPTH - 1:
            lateral = self._choices.pick(("", "lateral "))
            inner, columns = self._query(depth + 1, outer if lateral else ())
            names = [f"c{number}" for number in range(len(columns))]
            seen = [Column(f"{alias}.{name}", c.type, c.secret) for name, c in zip(names, columns, strict=True)]
            return f"{lateral}({inner}) {alias} ({', '.join(names)})", seen
        if kind == 15:
            return self._choices.pick(
                (
                    (f"generate_series(1, 3) {alias} (i)", [Column(f"{alias}.i", "int")]),
                    (
                        f"(values (1, 'x'), (2, null)) {alias} (i, t)",
                        [Column(f"{alias}.i", "int"), Column(f"{alias}.t", "text")],
                    ),
                    (
                        f"unnest({self._expression('arr', outer, 2)}) {alias} (t)",
                        [Column(f"{alias}.t", "text", not self._careful)],
                    ),
                )
            )
        name, known = self._relation()
        only = "only " if self._choices.happens(5) else ""
        return f"{only}{name} {alias}", [Column(f"{alias}.{c.name}", c.type, c.secret) for c in known]

    def _relation(self) -> tuple[str, Sequence[Column]]:
        """Those with protected columns more often."""
        names = list(self._relations)
        guarded = [name for name in names if any(column.secret for column in self._relations[name])]
        name = self._choices.pick([*guarded, *names])
        return name, self._relations[name]

    def _condition(self, scope: Sequence[Column], depth: int) -> str:
        if self._choices.happens(25) or (self._careful and self._choices.happens(30)):
            return self._probe(scope)
        if depth < MAX_DEPTH - 1 and self._choices.happens(15):
            forms = ("exists ({})", "not exists ({})")
            if self._choices.happens(50):
                inner, columns = self._query(depth + 1, scope, ["int"])
                if not (self._careful and columns[0].secret):
                    return f"{self._expression('int', scope, 2)} in ({inner})"
            return self._choices.pick(forms).format(self._query(depth + 1, scope)[0])
        return self._expression("bool", scope, min(depth + 1, MAX_DEPTH))

    def _probe(self, scope: Sequence[Column]) -> str:
        """Equality of a column, protected or not, with constants: what masks allow."""
        usable = [column for column in scope if column.type in ("text", "int", "date", "uuid", "num")]
        if not usable:
            return "true"
        secret = [column for column in usable if column.secret]
        column = self._choices.pick(secret if secret and self._choices.happens(60) else usable)
        self._touches |= column.secret
        constants = [self._constant(column.type) for _ in range(2)]
        return self._choices.pick((f"{column.name} = {constants[0]}", f"{column.name} in ({', '.join(constants)})"))

    # --- expressions ----------------------------------------------------------------------------------------------

    def _expression(self, type_: str, scope: Sequence[Column], depth: int = 1) -> str:
        if type_ == "bool":
            templates = TEMPLATES["bool"] if depth < MAX_DEPTH else COMPARISONS
            if not self._careful and self._choices.happens(10):
                templates = FRAGILE["bool"]
            return f"({self._fill(self._choices.pick(templates), scope, depth + 1)})"
        if depth >= MAX_DEPTH or not self._choices.happens(45):
            return self._leaf(type_, scope)
        if depth < MAX_DEPTH - 1 and self._choices.happens(6):
            inner, _ = self._select(depth + 1, scope, [type_])
            return f"({inner} limit 1)" if " limit " not in inner else f"({inner})"
        templates = TEMPLATES.get(type_, ())
        if not self._careful and self._choices.happens(15):
            templates = FRAGILE[type_]
        return (
            f"({self._fill(self._choices.pick(templates), scope, depth + 1)})"
            if templates
            else self._leaf(type_, scope)
        )

    def _fill(self, template: str, scope: Sequence[Column], depth: int) -> str:
        filled = HOLE.sub(lambda hole: self._expression(hole[1], scope, depth), template)
        return filled.replace("{{", "{").replace("}}", "}")

    def _leaf(self, type_: str, scope: Sequence[Column]) -> str:
        usable = [column for column in scope if column.type == type_ and not (self._careful and column.secret)]
        if not usable or self._choices.happens(25):
            constant = self._constant(type_)
            return f"{constant}::text" if type_ == "text" else constant
        secret = [column for column in usable if column.secret]
        column = self._choices.pick(secret if secret and self._choices.happens(60) else usable)
        self._touches |= column.secret
        return column.name

    def _constant(self, type_: str) -> str:
        return self._choices.pick(CONSTANTS[type_])

    def _some(self, columns: Sequence[Column]) -> list[Column]:
        chosen = [column for column in columns if self._choices.happens(35)] or [columns[0]]
        self._touches |= any(column.secret for column in chosen)
        return chosen

    def _star_or_names(self, columns: Sequence[Column]) -> str:
        if self._choices.happens(30):
            self._touches |= any(column.secret for column in columns)
            return "*"
        return ", ".join(column.name for column in self._some(columns))

    def _name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"
