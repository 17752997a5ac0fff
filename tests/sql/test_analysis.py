from __future__ import annotations

from typing import Any

import pgparse
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sql import MAX_TEXT, Analysis, Name, Statement, analyse, unread
from gateway.verbs import VERBS


def only(text: str) -> Statement:
    analysis = analyse(text)
    assert analysis.opaque is None, analysis.opaque
    [statement] = analysis.statements
    return statement


VERBS_OF = [
    ("SELECT 1", "select"),
    ("TABLE t", "select"),
    ("VALUES (1), (2)", "select"),
    ("SELECT * FROM t FOR UPDATE", "select lock"),
    ("SELECT * FROM (SELECT * FROM t FOR KEY SHARE SKIP LOCKED) x", "select lock"),
    ("SELECT * INTO x FROM t", "select create"),
    ("SELECT 1 INTO x UNION SELECT 2", "select create"),
    ("INSERT INTO t VALUES (1)", "insert"),
    ("INSERT INTO t DEFAULT VALUES", "insert"),
    ("INSERT INTO t SELECT * FROM u", "insert select"),
    ("INSERT INTO t VALUES ((SELECT 1))", "insert select"),
    ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "insert"),
    ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1", "insert update"),
    ("UPDATE t SET a = 1", "update"),
    ("DELETE FROM t", "delete"),
    (
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "merge insert delete",
    ),
    ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET a = 1", "merge update"),
    ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "select delete"),
    ("WITH i AS (INSERT INTO t VALUES (1)) UPDATE u SET a = 1", "insert update"),
    ("EXPLAIN SELECT 1", "explain select"),
    ("EXPLAIN ANALYZE UPDATE t SET a = 1", "explain update"),
    ("EXPLAIN CREATE TABLE x AS SELECT 1", "explain create select"),
    ("EXPLAIN EXECUTE p", "explain execute"),
    ("CREATE TABLE x AS SELECT 1", "create select"),
    ("CREATE TABLE x AS EXECUTE p", "create execute"),
    ("CREATE MATERIALIZED VIEW x AS SELECT 1", "create select"),
    ("CREATE VIEW x AS SELECT 1", "create select"),
    ("CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM u", "create delete"),
    ("CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1", "create select"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC DELETE FROM t; SELECT 1; END", "create delete select"),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SET role = x AS 'SELECT 1'", "create set_role"),
    ("CREATE INDEX ON t (a)", "create"),
    ("CREATE ROLE x", "create"),
    ("CREATE EXTENSION dblink", "create"),
    ("TRUNCATE t", "truncate"),
    ("DROP TABLE t", "drop"),
    ("DROP DATABASE d", "drop"),
    ("DROP OWNED BY x", "drop"),
    ("DROP ROLE x", "drop"),
    ("DROP SUBSCRIPTION s", "drop"),
    ("REASSIGN OWNED BY a TO b", "reassign"),
    ("ALTER TABLE t ADD b int", "alter"),
    ("ALTER TABLE t DROP COLUMN b", "alter drop"),
    ("ALTER TABLE t RENAME TO u", "alter"),
    ("ALTER TABLE t SET SCHEMA u", "alter"),
    ("ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b", "alter"),
    ("ALTER SYSTEM SET work_mem = '1MB'", "alter_system set"),
    ("ALTER ROLE x SET work_mem = '1MB'", "alter set"),
    ("ALTER ROLE x SET standard_conforming_strings = off", "alter set_unsafe"),
    ("ALTER DATABASE x SET role = y", "alter set_role"),
    ("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO x", "alter grant"),
    ("GRANT SELECT ON t TO x", "grant"),
    ("REVOKE a FROM b", "revoke"),
    ("COMMENT ON TABLE t IS 'x'", "comment"),
    ("SECURITY LABEL ON TABLE t IS 'x'", "security_label"),
    ("COPY t TO STDOUT", "copy_to select"),
    ("COPY t FROM STDIN", "copy_from insert"),
    ("COPY (SELECT 1) TO STDOUT", "copy_to select"),
    ("COPY (DELETE FROM t RETURNING *) TO STDOUT", "copy_to delete"),
    ("COPY t TO '/tmp/x'", "copy_file select"),
    ("COPY t FROM '/tmp/x'", "copy_file insert"),
    ("COPY t TO PROGRAM 'x'", "copy_program select"),
    ("COPY t FROM PROGRAM 'x'", "copy_program insert"),
    ("DO $$begin end$$", "do"),
    ("CALL p()", "call"),
    ("PREPARE p AS DELETE FROM t", "prepare delete"),
    ("EXECUTE p", "execute"),
    ("DEALLOCATE ALL", "deallocate"),
    ("DECLARE c CURSOR FOR SELECT 1", "declare select"),
    ("FETCH ALL FROM c", "fetch"),
    ("MOVE c", "move"),
    ("CLOSE c", "close"),
    ("LOCK t", "lock"),
    ("LISTEN a", "listen"),
    ("NOTIFY a, 'x'", "notify"),
    ("SELECT pg_notify('a', 'b')", "select notify"),
    ("UNLISTEN *", "unlisten"),
    ("VACUUM t", "vacuum"),
    ("ANALYZE t", "analyze"),
    ("CLUSTER t", "cluster"),
    ("CHECKPOINT", "checkpoint"),
    ("REFRESH MATERIALIZED VIEW v", "refresh"),
    ("REINDEX TABLE t", "reindex"),
    ("LOAD 'x'", "load"),
    ("IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c", "import"),
    ("DISCARD ALL", "discard"),
    ("SHOW work_mem", "show"),
    ("BEGIN", "begin"),
    ("START TRANSACTION", "begin"),
    ("END", "commit"),
    ("ABORT", "rollback"),
    ("ROLLBACK TO a", "rollback"),
    ("SAVEPOINT a", "savepoint"),
    ("RELEASE a", "release"),
    ("PREPARE TRANSACTION 'x'", "two_phase"),
    ("COMMIT PREPARED 'x'", "two_phase"),
    ("SET work_mem = '1MB'", "set"),
    ("SET TRANSACTION READ ONLY", "set"),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "set"),
    ("SET CONSTRAINTS ALL DEFERRED", "set"),
    ("SET search_path TO a, b", "set"),
    ("SET TIME ZONE 'UTC'", "set"),
    ("RESET ALL", "set"),
    ("RESET work_mem", "set"),
    ("SET ROLE x", "set_role"),
    ("SET LOCAL ROLE NONE", "set_role"),
    ("RESET ROLE", "set_role"),
    ("SET SESSION AUTHORIZATION x", "set_role"),
    ("RESET SESSION AUTHORIZATION", "set_role"),
    ("SET standard_conforming_strings = off", "set_unsafe"),
    ("SET STANDARD_CONFORMING_STRINGS = 'on'", "set"),
    ("SET standard_conforming_strings TO DEFAULT", "set_unsafe"),
    ("RESET standard_conforming_strings", "set_unsafe"),
    ("SET NAMES 'SJIS'", "set_unsafe"),
    ("SET NAMES 'utf8'", "set"),
    ("SET session_replication_role = replica", "set_unsafe"),
    ("SET app.owner = 'x'", "set_unsafe"),
    ("SET nosuch = 1", "set_unsafe"),
    ("SELECT set_config('work_mem', '1MB', true)", "select set"),
    ("SELECT set_config('work' || '_mem', '1MB', true)", "select set_unsafe"),
    ("SELECT set_config($1, $2, true)", "select set_unsafe"),
    ("SELECT set_config('ROLE', 'x', true)", "select set_role"),
    ("SELECT lo_import('/etc/passwd')", "select large_object copy_file"),
    ("SELECT lo_unlink(1)", "select large_object"),
    ("SELECT pg_read_file('x')", "select copy_file"),
    ("SELECT nextval('s')", "select update"),
]


@pytest.mark.parametrize(("text", "verbs"), VERBS_OF)
def test_verbs(text: str, verbs: str) -> None:
    found = only(text).verbs
    assert found == frozenset(verbs.split())
    assert found <= VERBS.keys()


RELATIONS_OF = [
    ("SELECT * FROM a, b.c JOIN d ON true", "a b.c d"),
    ('SELECT * FROM "A", B', "A b"),
    ("SELECT * FROM db.s.t", "s.t"),
    ("SELECT (SELECT 1 FROM x) FROM y WHERE EXISTS (TABLE z)", "x y z"),
    ("WITH c AS (SELECT * FROM t) SELECT * FROM c", "t"),
    # A CTE's name is a relation outside of its scope, in its own query, and when it is qualified.
    ("WITH c AS (SELECT * FROM c) SELECT * FROM c", "c"),
    ("WITH RECURSIVE c AS (SELECT 1 UNION ALL SELECT * FROM c) SELECT * FROM c", ""),
    ("WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM a, b", "b"),
    ("WITH c AS (SELECT 1) SELECT * FROM public.c", "public.c"),
    ("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c) x, c", "c"),
    ("WITH t AS (SELECT 1) INSERT INTO t SELECT * FROM t", "t"),
    ("WITH t AS (SELECT 1) UPDATE t SET a = 1", "t"),
    ("WITH t AS (SELECT 1) DELETE FROM t USING t AS u", "t"),
    ("INSERT INTO a WITH c AS (SELECT * FROM b) SELECT * FROM c", "a b"),
    ("MERGE INTO a USING b ON true WHEN MATCHED THEN DO NOTHING", "a b"),
    ("DELETE FROM a USING b WHERE true", "a b"),
    ("UPDATE a SET x = 1 FROM b", "a b"),
    ("COPY s.a TO STDOUT", "s.a"),
    ("DROP TABLE a, s.b", "a s.b"),
    ("DROP TRIGGER x ON s.b", "s.b"),
    ("COMMENT ON COLUMN s.b.c IS 'x'", "s.b"),
    ("TRUNCATE a, b", "a b"),
    ("LOCK a, b", "a b"),
    ("GRANT ALL ON a, b TO c", "a b"),
    ("CREATE TABLE n (LIKE a) INHERITS (b)", "n a b"),
    ("CREATE TABLE n (x int REFERENCES a)", "n a"),
    ("CREATE TRIGGER x AFTER INSERT ON a EXECUTE FUNCTION f()", "a"),
    ("ALTER TABLE a ATTACH PARTITION b DEFAULT", "a b"),
    ("ALTER SEQUENCE a OWNED BY NONE", "a"),
    ("VACUUM a", "a"),
    ("SELECT * FROM a TABLESAMPLE SYSTEM (1)", "a"),
    ("SELECT * FROM system_user", "system_user"),
    ("SELECT nextval('s.seq'), nextval('\"Q\"'), nextval('PLAIN')", "s.seq Q plain"),
]


@pytest.mark.parametrize(("text", "relations"), RELATIONS_OF)
def test_relations(text: str, relations: str) -> None:
    assert {str(name) for name in only(text).relations} == set(relations.split())


FUNCTIONS_OF = [
    ("SELECT f(g(1)), s.h()", "f g s.h"),
    ("SELECT * FROM f() x, ROWS FROM (g(), h()) y, LATERAL i(x)", "f g h i"),
    ("SELECT count(*) FILTER (WHERE f()) OVER (PARTITION BY g() ORDER BY h())", "count f g h"),
    (
        "SELECT string_agg(a, b ORDER BY f(a)) FROM t GROUP BY g() HAVING h() ORDER BY i() LIMIT j() OFFSET k()",
        "string_agg f g h i j k",
    ),
    ("SELECT * FROM t TABLESAMPLE evil(f())", "evil f"),
    ("SELECT CASE WHEN f() THEN g() ELSE h() END, ARRAY[i()], ROW(j()), (k())[l()]", "f g h i j k l"),
    ("SELECT xmlelement(name a, f()), coalesce(g()), greatest(h()), nullif(i(), 1)", "f g h i"),
    (
        "INSERT INTO t VALUES (f()) ON CONFLICT (g(a)) WHERE h() DO UPDATE SET a = i() WHERE j() RETURNING k()",
        "f g h i j k",
    ),
    ("CREATE TABLE t (a int DEFAULT f() CHECK (g()))", "f g"),
    ("CREATE INDEX ON t (f(a)) WHERE g()", "f g"),
    ("CALL s.p(f())", "s.p f"),
    ("EXECUTE p (f())", "f"),
    ("SELECT * FROM XMLTABLE(f() PASSING g() COLUMNS a int PATH h() DEFAULT i())", "f g h i"),
    (
        "SELECT extract(year FROM a), a AT TIME ZONE f(), substring(a FROM 1), overlay(a PLACING b FROM 1)",
        "pg_catalog.extract pg_catalog.timezone f pg_catalog.substring pg_catalog.overlay",
    ),
    # Grammar in PostgreSQL 17, and a function of that name on an older server.
    (
        "SELECT json_value(a, '$'), json_scalar(f()), json_object('a': 1), json_array(1)",
        "json_value json_scalar f json_object json_array",
    ),
    ("SELECT * FROM json_table(f(), '$' COLUMNS (a int)) x", "json_table f"),
    ("SELECT current_user, current_date", ""),
]


@pytest.mark.parametrize(("text", "functions"), FUNCTIONS_OF)
def test_functions(text: str, functions: str) -> None:
    assert {str(name) for name in only(text).functions} == set(functions.split())


OPERATORS_OF = [
    ("SELECT 1 + 2 OPERATOR(s.*) 3", "+ s.*"),
    ("SELECT a = ANY (b), a IN (1), a LIKE b, a BETWEEN 1 AND 2", "= ~~ BETWEEN >= <="),
    ("SELECT CASE a WHEN 1 THEN 2 END", "="),
    ("SELECT CASE WHEN a THEN 2 END", ""),
    ("SELECT * FROM a JOIN b USING (c)", "="),
    ("SELECT * FROM a NATURAL JOIN b", "="),
    ("SELECT a IN (SELECT 1), b < ALL (SELECT 2)", "= <"),
    ("SELECT * FROM t ORDER BY a USING OPERATOR(s.<)", "s.<"),
    ("SELECT nullif(a, b), a IS DISTINCT FROM b, - a", "= -"),
]


@pytest.mark.parametrize(("text", "operators"), OPERATORS_OF)
def test_operators(text: str, operators: str) -> None:
    assert {str(name) for name in only(text).operators} == set(operators.split())


def test_types_and_attributes() -> None:
    assert only("SELECT '1'::int4, 'a'::s.t, b::\"T\"[]").types == {Name(None, "int4"), Name("s", "t"), Name(None, "T")}
    assert only("SELECT 1::int").types == frozenset()
    assert only("SELECT a.f, (b).g, (c.d).h.i, j").attributes == {"f", "d", "g", "h", "i"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM t", True),
        ("SELECT * FROM t WHERE true", True),
        ("SELECT * FROM t WHERE 1 = $1", True),
        ("SELECT * FROM t WHERE a = 1", False),
        ("SELECT 1", False),
        ("SELECT * FROM generate_series(1, 2)", False),
        ("WITH c AS (SELECT * FROM t WHERE a = 1) SELECT * FROM c", False),
        ("WITH c AS (SELECT * FROM t) SELECT * FROM c WHERE a = 1", True),
        ("UPDATE t SET a = 1", True),
        ("UPDATE t SET a = 1 WHERE b", False),
        ("DELETE FROM t WHERE 1 = 1", True),
        ("DELETE FROM t WHERE CURRENT OF c", False),
        ("INSERT INTO t SELECT * FROM u", True),
        ("COPY t TO STDOUT", True),
        ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d WHERE a = 1", True),
    ],
)
def test_without_where(text: str, expected: bool) -> None:
    assert only(text).without_where is expected


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("SELECT 1", 1),
        ("SELECT f()", None),
        ("SELECT (a).f", None),
        ("SELECT * FROM t", None),
        ("SELECT * FROM t LIMIT 10", 10),
        ("SELECT * FROM t LIMIT $1", None),
        ("SELECT * FROM t LIMIT ALL", None),
        ("SELECT * FROM t ORDER BY 1 FETCH FIRST 3 ROWS WITH TIES", None),
        ("SELECT 1 UNION ALL SELECT 2", None),
        ("VALUES (1), (2)", 2),
        ("INSERT INTO t VALUES (1)", 0),
        ("INSERT INTO t VALUES (1) RETURNING a", None),
        ("FETCH 5 FROM c", 5),
        ("FETCH BACKWARD 5 FROM c", 5),
        ("FETCH ALL FROM c", None),
        ("FETCH ABSOLUTE 7 FROM c", 1),
        ("MOVE ALL FROM c", 0),
        ("SHOW work_mem", 1),
        ("SHOW ALL", None),
        ("COPY t TO STDOUT", None),
        ("BEGIN", 0),
    ],
)
def test_row_bound(text: str, bound: int | None) -> None:
    assert only(text).row_bound == bound


def test_what_is_prepared_and_run() -> None:
    prepared = only("PREPARE p AS SELECT * FROM t LIMIT 5")
    assert (prepared.prepares, prepared.row_bound, prepared.run_bound) == ("p", 0, 5)
    assert only("EXECUTE p").executes == {"p"}
    assert only("CREATE TABLE x AS EXECUTE p").executes == {"p"}
    assert only("DECLARE c CURSOR FOR SELECT 1").declares == "c"
    assert only("FETCH c").fetches == {"c"}
    assert (only("DEALLOCATE p").deallocates, only("DEALLOCATE ALL").deallocates) == ("p", "*")
    assert (only("CLOSE c").closes, only("CLOSE ALL").closes) == ("c", "*")


def test_settings_are_told() -> None:
    assert only("SET LOCAL Work_Mem = '1MB'").sets == (("work_mem", "1MB"),)
    assert only("SELECT set_config('Role', 'x', false)").sets == (("role", "x"),)
    assert only("SET search_path = a, b").sets == (("search_path", None),)


def test_several_statements() -> None:
    analysis = analyse("SELECT 1; DROP TABLE x;; BEGIN")
    assert [sorted(item.verbs) for item in analysis.statements] == [["select"], ["drop"], ["begin"]]
    assert analyse(" ;; -- nothing").statements == ()
    assert analyse("").opaque is None


def test_reach_beyond_what_is_named() -> None:
    for text in (
        "TRUNCATE a CASCADE",
        "DROP TABLE a CASCADE",
        "DROP OWNED BY x",
        "VACUUM",
        "REINDEX DATABASE d",
        "DROP EXTENSION x",
        "ALTER TABLE a DROP COLUMN b CASCADE",
    ):
        assert only(text).everywhere, text
    assert only("DROP SCHEMA a, b").schemas == {"a", "b"}
    assert only("GRANT ALL ON ALL TABLES IN SCHEMA a TO b").schemas == {"a"}


@pytest.mark.parametrize(
    "text",
    [
        "SELEC 1",
        "SELECT 'unterminated",
        "SELECT /* unterminated",
        "SELECT 1\0",
        "SELECT '\ud800'",
        "SELECT " + "(" * 30_000,
        "SELECT " + "1+" * 20_000 + "1",
        "SELECT 1 UNION " * 4_000 + "SELECT 1",
        "SELECT a" + " IS NULL" * 6_000,
        "SELECT * FROM a.b.c.d",
        'SELECT 1 FROM "' + "ä" * 40 + '"',
    ],
)
def test_opaque(text: str) -> None:
    analysis = analyse(text)
    assert analysis.opaque is not None
    assert analysis.statements == ()
    assert "<not understood" in analysis.normalised


def test_do_has_its_verb_and_is_opaque() -> None:
    statement = only("DO 'begin end'")
    assert statement.opaque is not None
    assert statement.verbs == {"do"}


def test_too_long() -> None:
    assert "longer" in str(analyse("x" * (MAX_TEXT + 1)).opaque)


def test_unread_is_opaque() -> None:
    assert unread("SELECT 1", "the worker died").opaque == "the worker died"


@pytest.mark.parametrize(
    "tree",
    [
        [{"stmt": {"NovelStmt": {}}}],
        [{"stmt": {"SelectStmt": {"novelty": {}, "op": "SETOP_NONE"}}}],
        [{"stmt": {"SelectStmt": {"targetList": [{"NovelExpr": {}}], "op": "SETOP_NONE"}}}],
        [{"stmt": {"SelectStmt": {"targetList": "text", "op": "SETOP_NONE"}}}],
        [{"stmt": {"TransactionStmt": {"kind": "TRANS_STMT_NOVEL"}}}],
        [{"stmt": {"VariableSetStmt": {"kind": "VAR_NOVEL", "name": "x"}}}],
        [{"stmt": {"A_Expr": {"name": [{"String": {"sval": "="}}]}}}],
        [{"stmt": {}}],
        [{}],
        {},
        None,
    ],
)
def test_what_the_walk_does_not_know_is_opaque(monkeypatch: pytest.MonkeyPatch, tree: Any) -> None:
    monkeypatch.setattr(pgparse, "parse", lambda _text: tree)
    analysis = analyse("SELECT 1")
    assert analysis.opaque is not None or analysis.statements == ()
    if tree:
        assert analysis.opaque is not None


def facts(analysis: Analysis) -> tuple[Statement, ...]:
    return analysis.statements


@given(st.text(max_size=200))
def test_never_raises(text: str) -> None:
    assert isinstance(analyse(text), Analysis)


SAMPLES = [text for text, _ in VERBS_OF] + [text for text, _ in RELATIONS_OF] + [text for text, _ in FUNCTIONS_OF]


@given(st.sampled_from(SAMPLES), st.text(max_size=20), st.integers(0, 200))
def test_never_raises_near_sql(text: str, noise: str, position: int) -> None:
    position = min(position, len(text))
    assert isinstance(analyse(text[:position] + noise + text[position:]), Analysis)


SPACES = st.sampled_from([" ", "\n", "\t", "\r\n", "\f", " /* x */ ", " /* ' /* \" */ $$ */ ", " -- ; '\n"])


@given(st.sampled_from(SAMPLES), st.lists(SPACES, min_size=1, max_size=8), st.booleans())
def test_spelling_changes_no_facts(text: str, spaces: list[str], upper: bool) -> None:
    # Between words only: strings and quoted names stay as they are.
    parts = text.split(" ")
    spelt = parts[0]
    quotes = parts[0].count("'") + parts[0].count('"') + parts[0].count("$$")
    for index, part in enumerate(parts[1:]):
        spelt += (spaces[index % len(spaces)] if quotes % 2 == 0 else " ") + part
        quotes += part.count("'") + part.count('"') + part.count("$$")
    if upper and not any(mark in text for mark in "'\"$"):
        spelt = spelt.swapcase()
        # Escapes of our own comments don't matter.
    assert facts(analyse(spelt)) == facts(analyse(text))
    assert analyse(spelt).digest == analyse(text).digest
