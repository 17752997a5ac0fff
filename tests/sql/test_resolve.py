from __future__ import annotations

import pytest

from gateway.model import SqlOperation
from gateway.sql import Catalogue, LabelledCatalogue, Name, Remembered, analyse, resolve
from gateway.sql.catalogue import Rows


def untrusted(text: str, labelled: LabelledCatalogue) -> str:
    return " ".join(sorted(resolve(analyse(text), labelled).untrusted_functions))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT lower(name) FROM public.customers", ""),
        ("SELECT upper(name) FROM public.customers", "app.upper"),
        ("SELECT total_of(1)", "app.total_of"),
        ("SELECT nosuch(1)", "nosuch"),
        ("SELECT pg_sleep(1)", "pg_sleep"),
        ("SELECT 1 === 'a'", "public.eqi"),
        ("SELECT 1 OPERATOR(public.===) 'a'", "public.eqi"),
        ("SELECT 1 OPERATOR(app.===) 'a'", ""),
        ("SELECT 'a'::dom", "public.chk"),
        ("SELECT 'a'::public.dom", "public.chk"),
        ("SELECT '{a}'::dom[]", "public.chk"),
        ("SELECT NULL::with_pair", "public.chk"),
        ("SELECT * FROM with_dom", "public.chk"),
        ("SELECT * FROM v_evil", "public.evil"),
        ("SELECT * FROM pol", "public.polf"),
        ("SELECT customers.evil_row FROM customers", "public.evil_row"),
        ("SELECT (c).evil_row FROM customers c", "public.evil_row"),
        ("SELECT ('x'::text).pg_read_file", "pg_read_file"),
        ("SELECT ('x'::text).lo_anything_new", "lo_anything_new"),
        ("SELECT c.location, c.name FROM customers c", ""),
        ("SELECT set_config('work_mem', '1MB', false)", ""),
        ("SELECT set_config('work_mem', $1, false)", "set_config"),
        ("SELECT nextval('s1')", ""),
        ("SELECT nextval($1)", "nextval"),
        ("DROP TABLE log CASCADE", ""),
    ],
)
def test_untrusted_functions(labelled: LabelledCatalogue, text: str, expected: str) -> None:
    assert untrusted(text, labelled) == expected


def test_parameter_types(labelled: LabelledCatalogue) -> None:
    [oid] = labelled.catalogue.types["dom"]
    operation = resolve(analyse("SELECT $1"), labelled, parameter_types=[oid, 25])
    assert operation.untrusted_functions == {"public.chk"}


def test_relations(labelled: LabelledCatalogue) -> None:
    def of(text: str) -> set[str]:
        return set(resolve(analyse(text), labelled).relations)

    assert of("SELECT * FROM customers") == {"public.customers", "app.customers"}
    assert of("SELECT * FROM app.customers") == {"app.customers"}
    assert of("TABLE v_deep") == {"public.v_deep", "public.v_plain", "public.customers"}
    assert of("SELECT * FROM orders") == {"public.orders", "public.orders_1"}
    assert {"public.nosuch", "app.nosuch"} <= of("SELECT * FROM nosuch")
    assert of("SELECT * FROM x.nosuch") == {"x.nosuch"}
    assert of("DROP SCHEMA app") == {"app.customers"}
    assert {"public.customers", "public.log"} <= of("TRUNCATE orders CASCADE")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("SELECT * FROM customers", True),
        ("UPDATE customers SET name = 'x' WHERE ssn = '1'", True),
        ("UPDATE customers SET name = email", True),
        ("UPDATE customers SET name = ssn", False),
        ("UPDATE customers SET name = (SELECT x FROM v_plain)", False),
        ("UPDATE customers c SET name = c::text", False),
        ("UPDATE customers c SET name = (c).ssn", False),
        ("UPDATE customers SET name = f(1)", False),
        ("UPDATE customers SET name = upper('x')", False),
        ("UPDATE log SET a = 1", True),
        ("DELETE FROM customers WHERE ssn = '1'", True),
        ("INSERT INTO customers VALUES (1, 'a', 'b', 'c')", True),
        ("INSERT INTO customers VALUES ($1, $2, lower($3), DEFAULT) RETURNING ssn", True),
        ("INSERT INTO log SELECT id FROM public.customers", True),
        ("INSERT INTO log SELECT id FROM public.customers WHERE ssn = '1'", False),
        ("INSERT INTO log SELECT * FROM customers", False),
        ("INSERT INTO log TABLE customers", False),
        ("INSERT INTO log SELECT d FROM public.customers AS c (a, b, d)", False),
        ("INSERT INTO log SELECT j FROM (public.customers JOIN log ON true) AS j", False),
        ("INSERT INTO log SELECT y FROM v_deep", False),
        ("INSERT INTO log SELECT ssn FROM mv", False),
        ("INSERT INTO log SELECT secret FROM parent", False),
        ("INSERT INTO log SELECT a FROM nosuch", False),
        ("INSERT INTO nosuch VALUES (1)", True),
        ("WITH d AS (DELETE FROM customers RETURNING ssn AS q) INSERT INTO log SELECT q FROM d", False),
        ("WITH d AS (DELETE FROM log RETURNING a) INSERT INTO log SELECT a FROM d", True),
        ("CREATE TEMP TABLE x AS SELECT ssn FROM public.customers", False),
        ("CREATE TEMP TABLE x AS SELECT name FROM public.customers", True),
        ("CREATE TEMP TABLE x (a int)", True),
        ("SELECT ssn INTO x FROM public.customers", False),
        ("CREATE TABLE x AS EXECUTE p", False),
        ("CREATE VIEW x AS SELECT 1", False),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", False),
        ("MERGE INTO log USING customers c ON log.a = c.id WHEN MATCHED THEN UPDATE SET a = c.id", True),
        ("MERGE INTO log USING customers c ON log.a = c.id WHEN MATCHED THEN UPDATE SET a = c.ssn::int", False),
        ("PREPARE p AS UPDATE customers SET name = ssn", False),
        ("EXPLAIN ANALYZE UPDATE customers SET name = ssn", False),
        ("COPY log FROM STDIN", True),
        ("DO 'begin end'", False),
        ("not sql", False),
    ],
)
def test_clean_writes(labelled: LabelledCatalogue, text: str, clean: bool) -> None:
    prepared = {"p": analyse("PREPARE p AS SELECT ssn FROM public.customers").statements}
    assert resolve(analyse(text), labelled, Remembered(prepared=prepared)).clean_writes is clean


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM pg_stats", True),
        ("SELECT * FROM pg_catalog.pg_stat_activity", True),
        ("SELECT * FROM public.pg_stat_statements", True),
        ("SELECT * FROM pg_toast.pg_toast_1255", True),
        ("SELECT * FROM v_stats", True),
        ("SELECT pg_stat_get_activity(1)", True),
        ("SELECT * FROM pg_class", False),
    ],
)
def test_revealing(labelled: LabelledCatalogue, text: str, expected: bool) -> None:
    assert resolve(analyse(text), labelled).revealing is expected


def test_labels(labelled: LabelledCatalogue) -> None:
    assert resolve(analyse("SELECT 1 FROM v_deep"), labelled).labels == {"pii.ssn"}
    assert resolve(analyse("SELECT 1 FROM app.customers"), labelled).labels == frozenset()
    assert resolve(analyse("TRUNCATE log CASCADE"), labelled).labels == {"pii.ssn", "secret", "total"}


def remembering(text: str, labelled: LabelledCatalogue, **named: str) -> SqlOperation:
    found = {name: analyse(sql).statements for name, sql in named.items()}
    return resolve(analyse(text), labelled, Remembered(prepared=found, cursors=found))


def test_execute_is_what_was_prepared(labelled: LabelledCatalogue) -> None:
    operation = remembering("EXECUTE p", labelled, p="PREPARE p AS DELETE FROM log RETURNING a")
    assert operation.verbs == {"execute", "prepare", "delete"}
    assert operation.relations == {"public.log"}
    assert operation.opaque is None
    assert remembering("EXECUTE p", labelled, p="PREPARE p AS SELECT 1 LIMIT 3").row_bound == 3
    assert remembering("EXECUTE q", labelled, p="SELECT 1").opaque is not None
    # A statement of the protocol's Parse has a name, too.
    assert remembering("EXECUTE p", labelled, p="DROP TABLE log").verbs == {"execute", "drop"}


@pytest.mark.parametrize(
    ("text", "unshown"),
    [
        ("DELETE FROM log", None),
        ("BEGIN; DELETE FROM log; COMMIT", None),
        ("SELECT evil()", None),
        ("DEALLOCATE p; CLOSE c", None),
        ("PREPARE p AS DELETE FROM log", "PREPARE"),
        ("EXECUTE p", "PREPARE"),
        ("SELECT 1; EXECUTE p (1)", "PREPARE"),
        ("EXPLAIN ANALYZE EXECUTE p", "PREPARE"),
        ("CREATE TABLE x AS EXECUTE p", "PREPARE"),
        ("EXECUTE nosuch", "PREPARE"),
        ("DECLARE c CURSOR FOR SELECT 1", "cursor"),
        ("FETCH ALL FROM p", "cursor"),
        ("MOVE ALL FROM p", "cursor"),
        ("not sql", "grammar"),
    ],
)
def test_what_a_text_does_not_say(labelled: LabelledCatalogue, text: str, unshown: str | None) -> None:
    found = remembering(text, labelled, p="DELETE FROM log").unshown
    assert found == unshown if unshown is None or found is None else unshown in found


def test_fetch_is_the_cursors_query(labelled: LabelledCatalogue) -> None:
    operation = remembering("FETCH 5 FROM c", labelled, c="DECLARE c CURSOR FOR SELECT evil() FROM public.customers")
    assert operation.untrusted_functions == {"public.evil"}
    assert operation.labels == {"pii.ssn"}
    assert operation.row_bound == 5
    assert remembering("FETCH ALL FROM d", labelled).opaque is not None
    assert remembering("MOVE ALL FROM d", labelled).opaque is not None


def test_prepared_in_the_same_message(labelled: LabelledCatalogue) -> None:
    operation = resolve(analyse("PREPARE p AS DELETE FROM log; EXECUTE p"), labelled)
    assert "delete" in operation.verbs
    assert operation.opaque is None
    both = remembering("PREPARE p AS DELETE FROM log; EXECUTE p", labelled, p="PREPARE p AS TRUNCATE log")
    assert both.opaque is None or "unknown" not in both.verbs
    again = remembering("DEALLOCATE p; PREPARE p AS SELECT 1; EXECUTE p", labelled, p="PREPARE p AS SELECT evil()")
    assert again.untrusted_functions == {"public.evil"}


def test_rules_act_when_written_to(labelled: LabelledCatalogue) -> None:
    assert "delete" in resolve(analyse("INSERT INTO logged VALUES (1)"), labelled).verbs
    assert "delete" not in resolve(analyse("SELECT * FROM logged"), labelled).verbs


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE pg_settings SET setting = 'off'",
        "UPDATE v_settings SET setting = 'off'",
        "DELETE FROM pg_catalog.pg_attribute",
        "COPY pg_class FROM STDIN",
        "INSERT INTO pg_description VALUES (1)",
    ],
)
def test_writing_to_the_servers_catalogue(labelled: LabelledCatalogue, text: str) -> None:
    operation = resolve(analyse(text), labelled)
    assert operation.opaque is not None
    assert {"alter", "set_unsafe"} <= operation.verbs


def test_without_a_catalogue() -> None:
    assert resolve(analyse("SELECT 1"), None).opaque is None
    assert resolve(analyse("BEGIN"), None).opaque is None
    assert resolve(analyse("SELECT * FROM t"), None).opaque is not None
    assert resolve(analyse("SELECT now()"), None).untrusted_functions == {"now"}


def test_opaque_text(labelled: LabelledCatalogue) -> None:
    operation = resolve(analyse("SELEC 1"), labelled)
    assert operation.opaque is not None
    assert operation.verbs == {"unknown"}
    assert operation.row_bound is None
    assert not operation.clean_writes


def test_several_statements_are_one_operation(labelled: LabelledCatalogue) -> None:
    operation = resolve(analyse("SELECT 1; SELECT 1; DELETE FROM log"), labelled)
    assert operation.verbs == {"select", "delete"}
    assert operation.row_bound == 2
    assert operation.without_where
    assert resolve(analyse("SELECT 1; SELECT * FROM log"), labelled).row_bound is None


def test_functions_by_every_name(labelled: LabelledCatalogue) -> None:
    operation = resolve(analyse("SELECT pg_catalog.pg_sleep(1), total_of(1)"), labelled)
    assert operation.functions == {"pg_catalog.pg_sleep", "pg_sleep", "total_of", "app.total_of"}


def test_names_of_single_byte_servers(labelled: LabelledCatalogue) -> None:
    assert labelled.catalogue.named(Name(None, "GRÖSSE")) == ()


def outputs(text: str, labelled: LabelledCatalogue, remembered: Remembered | None = None) -> str:
    """Of each result column: whether it could carry the label of customers.ssn; ``*`` where there may be many."""
    operation = resolve(analyse(text), labelled, remembered or Remembered())
    if operation.outputs is None:
        return "?"
    words = ["ssn" if "pii.ssn" in labels else "-" for labels in operation.outputs]
    if operation.star is not None:
        words[operation.star] += "*"
    return " ".join(words)


PREPARED = "PREPARE p AS SELECT count(*), max(ssn) FROM customers"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("SELECT count(*), max(ssn) FROM customers", "- ssn", id="one result"),
        pytest.param("BEGIN; SELECT count(*) FROM customers; COMMIT", "-", id="the only result of a message"),
        pytest.param("SELECT count(*) FROM customers; SELECT max(ssn) FROM customers", "ssn", id="alike"),
        pytest.param("SELECT count(*) FROM customers; SELECT 1, ssn FROM customers", "?", id="not alike"),
        pytest.param("SELECT count(*) FROM customers; SHOW work_mem", "?", id="a result that lineage doesn't know"),
        pytest.param(f"{PREPARED}; EXECUTE p", "- ssn", id="EXECUTE"),
        pytest.param(f"{PREPARED}; PREPARE p AS SELECT ssn, 1 FROM customers; EXECUTE p", "ssn ssn", id="two meanings"),
        pytest.param(f"{PREPARED}; PREPARE p AS SELECT ssn FROM customers; EXECUTE p", "?", id="unlike meanings"),
        pytest.param(f"{PREPARED}; EXPLAIN EXECUTE p", "?", id="EXPLAIN EXECUTE"),
        pytest.param("DECLARE c CURSOR FOR SELECT count(*), max(ssn) FROM customers; FETCH c", "- ssn", id="FETCH"),
        pytest.param("DECLARE c CURSOR FOR SELECT ssn FROM customers; MOVE c; SELECT 1", "-", id="MOVE gives nothing"),
        pytest.param("EXPLAIN SELECT count(*) FROM customers", "?", id="EXPLAIN"),
        pytest.param("INSERT INTO logged SELECT id FROM customers RETURNING a", "?", id="a rule may add results"),
        pytest.param("INSERT INTO log SELECT id FROM customers RETURNING a", "-", id="without a rule"),
        pytest.param("SELECT count(*) FROM log", "?", id="no labelled relation: nothing to know"),
        pytest.param("SELECT count(*) FROM " + "(SELECT * FROM " * 70 + "customers" + ") x" * 70, "?", id="too deep"),
    ],
)
def test_outputs(labelled: LabelledCatalogue, text: str, expected: str) -> None:
    assert outputs(text, labelled) == expected


def test_outputs_of_what_the_session_prepared(labelled: LabelledCatalogue) -> None:
    [prepared] = analyse(PREPARED).statements
    [parsed] = analyse("SELECT ssn, count(*) FROM customers").statements
    assert outputs("EXECUTE p", labelled, Remembered({"p": [prepared]})) == "- ssn"
    assert outputs("EXECUTE p", labelled, Remembered({"p": [prepared, parsed]})) == "ssn ssn"
    assert outputs("FETCH c", labelled, Remembered({}, {"c": [parsed]})) == "ssn -"


def citext(*implicit: str) -> LabelledCatalogue:
    """A database with a type of its own, that has its own ``=`` and comes from others as `implicit` says."""
    empty: dict[str, Rows] = dict.fromkeys(
        ("inheritance", "definitions", "dependencies", "type_functions", "domain_checks", "casts", "generated"), ()
    )
    return Catalogue.from_rows(
        relations=[
            ("1259", "pg_catalog", "pg_class", "r", "0"),
            ("20000", "public", "plain", "r", "0"),
            ("20001", "public", "mixed", "r", "0"),
        ],
        columns=[
            ("20000", "1", "a", "25", "-1", "f"),
            ("20001", "1", "a", "25", "-1", "f"),
            ("20001", "2", "b", "30000", "-1", "f"),
        ],
        functions=[("30001", "public", "citext_eq", "f")],
        operators=[("public", "=", "30001", "30000", "30000"), ("public", "@@", "30001", "0", "25")],
        types=[
            ("30000", "public", "citext", "0", "0", "0", None),
            ("30002", "public", "_citext", "0", "30000", "0", None),
            ("30003", "public", "name_of", "30000", "0", "0", None),
        ],
        implicit=[(oid,) for oid in implicit],
        schemas=[("public",)],
        view_columns={},
        **empty,
    ).bind([("public.plain.a", "a")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1 FROM plain WHERE a = $1", ""),
        ("SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'x'", ""),
        ("SELECT 1 WHERE 'a' = 'b'", ""),
        ("SELECT 1 FROM mixed WHERE a = $1", "public.citext_eq"),
        ("SELECT 1 FROM plain WHERE a = $1::citext", "public.citext_eq"),
        ("SELECT 1 FROM plain WHERE citext(a) = $1", "citext public.citext_eq"),
        ("SELECT 1 FROM plain WHERE array[a] = $1::citext[]", "public.citext_eq"),
        ("SELECT 1 FROM plain WHERE a = $1::name_of", "public.citext_eq"),
        ("SELECT 1 FROM plain WHERE a = $1::pg_catalog.text", ""),
        ("SELECT 1 FROM plain WHERE a OPERATOR(pg_catalog.=) $1", ""),
        ("SELECT 1 FROM plain JOIN mixed USING (a)", "public.citext_eq"),
        ("SELECT @@ a FROM plain", "public.citext_eq"),
        ("SELECT 1 FROM nosuch WHERE a = $1", "public.citext_eq"),
    ],
)
def test_an_operator_for_a_type_of_its_own_counts_where_that_type_is(text: str, expected: str) -> None:
    assert untrusted(text, citext()) == expected


def test_an_operator_for_a_type_that_others_become_counts_everywhere() -> None:
    assert untrusted("SELECT 1 FROM plain WHERE a = $1", citext("30000")) == "public.citext_eq"


def test_an_operator_for_the_type_of_a_parameter() -> None:
    asked = resolve(analyse("SELECT 1 FROM plain WHERE a = $1"), citext(), parameter_types=[30002])
    assert asked.untrusted_functions == {"public.citext_eq"}
