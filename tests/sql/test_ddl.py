from __future__ import annotations

import pytest

from gateway.sql import LabelledCatalogue, analyse, resolve


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", "none"),
        ("DROP TABLE log", "none"),
        (
            "CREATE TABLE new (id serial PRIMARY KEY, a text DEFAULT 'x' CHECK (a <> ''))",
            "plain",
        ),
        ("CREATE TEMP TABLE new (a int) ON COMMIT DROP", "plain"),
        ("CREATE TABLE new (LIKE log)", "plain"),
        ("CREATE TABLE new (LIKE log INCLUDING ALL)", "code"),
        ("CREATE TABLE new () INHERITS (log)", "plain"),
        ("CREATE TABLE log (a int)", "code"),
        ("CREATE TEMP TABLE log (a int)", "code"),
        ("CREATE TEMP TABLE pg_class (a int)", "code"),
        ("CREATE TEMP TABLE dom (a int)", "code"),
        ("CREATE TABLE new AS SELECT 1", "query"),
        ("SELECT a INTO new FROM log", "query"),
        ("SELECT a INTO customers FROM log", "code"),
        ("EXPLAIN ANALYZE CREATE TABLE new AS SELECT 1", "query"),
        ("CREATE TABLE new (a int); CREATE INDEX ON new (a)", "plain"),
        ("CREATE INDEX ON customers (name); CREATE TABLE newer AS SELECT 1", "code"),
        ("CREATE TABLE new (a int); CREATE VIEW v AS SELECT 1", "code"),
        ("CREATE MATERIALIZED VIEW new AS SELECT 1", "code"),
        ("CREATE VIEW new AS SELECT 1", "code"),
        ("CREATE INDEX ON log (lower(a::text)) WHERE a > 1", "plain"),
        ("CREATE INDEX ON log (a text_pattern_ops)", "code"),
        ("CREATE INDEX ON log USING bloom (a)", "code"),
        ("CREATE SEQUENCE new", "plain"),
        ("CREATE SCHEMA new", "plain"),
        ("CREATE SCHEMA new CREATE VIEW v AS SELECT 1", "code"),
        ("CREATE TYPE new AS ENUM ('a')", "plain"),
        ("CREATE TYPE new AS (a int)", "plain"),
        ("CREATE TYPE new AS RANGE (subtype = int)", "code"),
        ("CREATE DOMAIN new AS text CHECK (value > 'm')", "code"),
        ("CREATE FUNCTION new() RETURNS int LANGUAGE sql AS 'SELECT 1'", "code"),
        ("ALTER TABLE log ADD COLUMN b int DEFAULT 1, ALTER a SET NOT NULL, DROP COLUMN a", "plain"),
        ("ALTER TABLE log ENABLE ROW LEVEL SECURITY", "code"),
        ("ALTER TABLE log DISABLE TRIGGER ALL", "code"),
        ("ALTER TABLE log OWNER TO x", "code"),
        ("ALTER TABLE log RENAME COLUMN a TO b", "plain"),
        ("ALTER TABLE log RENAME TO new", "plain"),
        ("ALTER TABLE log RENAME TO customers", "code"),
        ("ALTER VIEW v_plain RENAME COLUMN x TO y", "code"),
        ("ALTER SCHEMA app RENAME TO b", "code"),
        ("ALTER ROLE x SUPERUSER", "code"),
        ("ALTER SEQUENCE s1 RESTART", "plain"),
        ("GRANT SELECT ON log TO x", "none"),
    ],
)
def test_ddl(labelled: LabelledCatalogue, text: str, expected: str) -> None:
    assert resolve(analyse(text), labelled).ddl == expected
