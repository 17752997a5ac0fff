"""Random SQL over relations of which some columns are protected (tests/corpora/twins.yaml).

Two kinds of cases. A *careful* one uses protected columns only as masks allow: as plain results, and compared for
equality with a constant. It shows what such statements give away, and keeps the share that the gateway lets through
high enough to mean something. A *curious* one uses them anywhere: it shows what the gateway lets through and shouldn't.

Queries are made by `support.queries`, of the templates of `support.expressions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from support.expressions import CONSTANTS, Column
from support.queries import Queries


@dataclass(frozen=True, slots=True)
class Step:
    """One message of the simple protocol, or with ``binary`` set one round of the extended one."""

    sql: str
    binary: bool | None = None
    parameters: tuple[str, ...] = ()
    max_rows: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """Statements of one transaction, which is rolled back. ``touches``: one of them reads a protected column."""

    steps: tuple[Step, ...]
    touches: bool

    def __str__(self) -> str:
        modes = {None: "simple", False: "extended, text", True: "extended, binary"}
        return "\n".join(
            f"{step.sql}  -- {modes[step.binary]}"
            + (f", parameters {step.parameters}" if step.parameters else "")
            + (f", {step.max_rows} rows at a time" if step.max_rows else "")
            for step in self.steps
        )


class Author(Queries):
    """Writes one case; everything follows from ``choices``."""

    def case(self) -> Case:
        choices = self._choices
        steps = choices.pick(
            [self._plain] * 12
            + [self._parameters] * 2
            + [self._writes] * 4
            + [
                self._in_parts,
                self._explain,
                self._prepare,
                self._cursor,
                self._copy,
                self._savepoint,
                self._batch,
                self._outlandish,
            ]
        )()
        mode = choices.pick((None, None, False, True))
        if mode is not None and not any(";" in step.sql for step in steps):
            steps = [replace(step, binary=mode) for step in steps]
        return Case(tuple(steps), self._touches)

    # --- kinds of cases -------------------------------------------------------------------------------------------

    def _plain(self) -> list[Step]:
        return [Step(self._query(0)[0])]

    def _in_parts(self) -> list[Step]:
        """The portal is suspended, and goes on."""
        return [Step(self._query(1)[0], False, max_rows=1 + self._choices.below(3))]

    def _parameters(self) -> list[Step]:
        """Always sent by the extended protocol: a parameter is asked for."""
        name, columns = self._relation()
        column = self._choices.pick([column for column in columns if column.type in ("int", "text", "date")])
        self._touches |= column.secret
        shown = self._star_or_names(columns)
        value = self._choices.pick(CONSTANTS[column.type]).removeprefix("date ").strip("'")
        operator = "=" if self._careful and column.secret else self._choices.pick(("=", "<", ">=", "<>"))
        return [Step(f"select {shown} from {name} where {column.name} {operator} $1", False, (value,))]

    def _writes(self) -> list[Step]:
        """Some look at the outcome."""
        sql = self._choices.pick((self._update, self._insert, self._delete, self._merge))()
        if " returning " in sql and self._choices.happens(20):
            sql = f"with w as ({sql}) select count(*) from w"
        return [Step(sql), Step(self._query(1)[0])] if self._choices.happens(30) else [Step(sql)]

    def _explain(self) -> list[Step]:
        options = (
            "costs off",
            "verbose, costs off",
            "analyze, timing off, summary off",
            "format json, costs off",
            "costs",
        )
        return [Step(f"explain ({self._choices.pick(options)}) {self._query(1)[0]}")]

    def _prepare(self) -> list[Step]:
        name, columns = self._relation()
        shown = self._star_or_names(columns)
        key = next(column.name for column in columns if column.type == "int")
        prepare = f"prepare p (integer) as select {shown} from {name} where {self._probe(columns)} or {key} = $1"
        return [Step(prepare), Step("execute p (3)"), Step("execute p (5)"), Step("deallocate p")]

    def _cursor(self) -> list[Step]:
        options = self._choices.pick(("", "binary ", "scroll "))
        declare = Step(f"declare c {options}cursor for {self._query(1)[0]}")
        fetches = ["fetch 2 from c", "fetch all from c", "move 1 from c"]
        if options == "scroll ":
            fetches += ["fetch last from c", "fetch backward 1 from c", "fetch absolute 2 from c"]
        return [declare, *(Step(self._choices.pick(fetches)) for _ in range(2)), Step("close c")]

    def _copy(self) -> list[Step]:
        if self._choices.happens(50):
            return [Step(f"copy ({self._query(1)[0]}) to stdout")]
        name = self._choices.pick(("people", "staff", "claims", "visits_2025", "orders"))
        columns = [column for column in self._relations[name] if column.name != "mail_kind"]
        names = ", ".join(column.name for column in self._some(columns))
        return [Step(f"copy {name} ({names}) to stdout {self._choices.pick(('', 'csv', 'binary'))}")]

    def _savepoint(self) -> list[Step]:
        """A statement that fails ends here, the transaction goes on."""
        first, second = self._query(1)[0], self._query(1)[0]
        return [Step("savepoint s"), Step(first), Step("rollback to s"), Step(second)]

    def _batch(self) -> list[Step]:
        return [Step(f"{self._query(1)[0]}; {self._query(2)[0]}")]

    def _outlandish(self) -> list[Step]:
        """What masked callers may mostly not do; whatever they may do shows nothing."""
        query = self._query(1)[0]
        name, columns = self._relation()
        table = f"table {name}"
        self._touches |= any(column.secret for column in columns)
        return self._choices.pick(
            (
                [Step(table)],
                [Step(f"create temporary table kept as {query}"), Step("table kept")],
                [Step(f"create temporary view kept (a) as {query}"), Step("select * from kept")],
                [Step("set local enable_seqscan = off"), Step(query)],
                [Step("set local enable_hashagg = off"), Step("set local enable_hashjoin = off"), Step(query)],
                [Step("set local intervalstyle = iso_8601"), Step("set local datestyle = german"), Step(query)],
                [Step("set local client_min_messages = debug1"), Step(query)],
                [Step(f"do $x$ begin perform count(*) from ({query}) x; end $x$")],
                [Step(f"select {name} from {name}")],
                [Step(f"select row_to_json({name}) from {name}")],
                [Step(f"select x.* from {name} x, lateral (select x.*) y")],
                [Step(f"select ctid, tableoid, xmin = xmax from {name}")],
                [Step(f"select * from {name} tablesample system (50) repeatable (1)")],
                [Step(f"select {columns[0].name} from {name} for update")],
                [Step(f"insert into journal (what) select x::text from {name} x"), Step("table journal")],
                [Step(f"select count(*) from {name} x natural join people y")],
            )
        )

    # --- writes ---------------------------------------------------------------------------------------------------

    def _target(self) -> tuple[str, Sequence[Column], list[Column]]:
        """A relation, its columns, and the same as conditions name them, in which queries may stand."""
        name = self._choices.pick(("orders", "people", "claims", "visits", "staff", "contacts", "journal"))
        columns = self._relations[name]
        return name, columns, [Column(f"{name}.{column.name}", column.type, column.secret) for column in columns]

    def _value(self, column: Column, scope: Sequence[Column]) -> str:
        """A constant that the column takes, or an expression."""
        if column.type == "text" and column.secret:  # varchar(11) among them
            return (
                self._constant("text")
                if self._careful or not self._choices.happens(50)
                else self._expression("text", scope)
            )
        return self._constant(column.type) if not self._choices.happens(50) else self._expression(column.type, scope)

    def _returning(self, columns: Sequence[Column]) -> str:
        return f" returning {self._star_or_names(columns)}" if self._choices.happens(70) else ""

    def _update(self) -> str:
        name, columns, scope = self._target()
        free = [column for column in columns if column.name not in ("id", "mail_kind", "year")]
        changed = self._some(free)[:2]
        values = ", ".join(f"{column.name} = {self._value(column, scope)}" for column in changed)
        where = f"where {self._condition(scope, 1)}" if self._choices.happens(80) else "where id = 2"
        return f"update {name} set {values} {where}{self._returning(columns)}"

    def _insert(self) -> str:
        name = self._choices.pick(("orders", "claims", "visits", "journal"))
        columns = self._relations[name]
        names = [column for column in columns if column.name != "id" or name in ("claims", "visits")]
        values = ", ".join(
            str(2025 + self._choices.below(3)) if column.name == "year"
            else "50" if column.name == "id"
            else self._choices.pick(("1", "3", "40")) if column.name == "person_id"
            else self._value(column, ())
            for column in names
        )  # fmt: skip
        conflict = " on conflict do nothing" if self._choices.happens(30) else ""
        into = ", ".join(column.name for column in names)
        return f"insert into {name} ({into}) values ({values}){conflict}{self._returning(columns)}"

    def _delete(self) -> str:
        name, columns, scope = self._target()
        where = self._condition(scope, 1) if self._choices.happens(80) else "id = 2"
        return f"delete from {name} where {where}{self._returning(columns)}"

    def _merge(self) -> str:
        scope = [Column(f"o.{c.name}", c.type) for c in self._relations["orders"]]
        scope += [Column(f"p.{c.name}", c.type, c.secret) for c in self._relations["people"]]
        return (
            f"merge into orders o using people p on o.person_id = p.id and {self._condition(scope, 1)} "
            f"when matched then update set item = {self._expression('text', scope)}"
        )
