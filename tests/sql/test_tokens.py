from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sql import analyse
from gateway.sql.tokens import normalise, scan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELECT  *\nFROM t -- x\nWHERE a='it''s' AND b = 12.5e-3 /* a /* b */ */ ;",
            "select * from t where a = $1 and b = $2",
        ),
        ("select $1, 'a', $3, 5", "select $1, $4, $3, $5"),
        ("SELECT E'a\\'b', U&'\\0041', B'1', X'ff', N'x', $$a$$, $t$ $$ $t$", "select $1, $2, $3, $4, $5, $6, $7"),
        ('SELECT a1, t2.c3, "Q 4", "plain", count ( * )', 'select a1, t2.c3, "Q 4", plain, count(*)'),
        ("ALTER ROLE x PASSWORD 'secret'", "alter role x password $1"),
        ("COPY t TO PROGRAM 'curl x'", "copy t to program $1"),
        ("DO $$BEGIN secret END$$", "do $1"),
        ("COMMENT ON TABLE t IS 'secret'", "comment on table t is $1"),
        ("SELECT 1.5::int[], a[1:2], -5, 0x1F, 1_000", "select $1::int[], a[$2 : $3], - $4, $5, $6"),
        ("select 1;", "select $1"),
        ("SELECT a$b$c FROM t", "select a$b$c from t"),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text(max_size=100))
def test_every_character_is_in_one_token(text: str) -> None:
    tokens = scan(text)
    assert "".join(text[start:end] for _kind, start, end in tokens) == text


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_a_constant_is_never_in_the_normalised_text(secret: str) -> None:
    marked = f"zqx{secret}zqx"
    quoted = marked.replace("'", "''")
    for text in (
        f"SELECT '{quoted}'",
        f"INSERT INTO t VALUES ('{quoted}', 1)",
        f"COMMENT ON TABLE t IS '{quoted}'",
        f"NOTIFY a, '{quoted}'",
        f"SET application_name = '{quoted}'",
        f"DO '{quoted}'",
    ):
        analysis = analyse(text)
        assert analysis.opaque is None
        assert "zqx" not in analysis.normalised


@pytest.mark.parametrize(
    "text",
    [
        "CREATE ROLE x LOGIN PASSWORD 'hunter2'",
        "ALTER ROLE x WITH ENCRYPTED PASSWORD 'hunter2' VALID UNTIL 'x'",
        "CREATE USER x PASSWORD $$hunter2$$",
        "ALTER USER x PASSWORD E'hunter\\x32'; SELECT 1",
        "SELECT 1; ALTER ROLE x /* c */ PASSWORD 'hunter2'",
        "CREATE USER MAPPING FOR x SERVER s OPTIONS (user 'a', password 'hunter2')",
        "ALTER USER MAPPING FOR x SERVER s OPTIONS (SET password 'hunter2')",
        "CREATE SERVER s FOREIGN DATA WRAPPER f OPTIONS (host 'hunter2')",
        "CREATE SUBSCRIPTION s CONNECTION 'host=a password=hunter2' PUBLICATION p",
        "ALTER SUBSCRIPTION s CONNECTION 'password=hunter2'",
        "ALTER SYSTEM SET primary_conninfo = 'password=hunter2'",
        "SET my.api_token = 'hunter2'",
        "SET my.api_token TO hunter2",
        'SET my.api_token = /* c */ "hunter2"',
        "DO $$BEGIN EXECUTE 'ALTER ROLE x PASSWORD ''hunter2'''; END$$",
        "SELECT dblink_connect('host=a password=hunter2')",
        "SELECT dblink_connect('postgres://a:hunter2@b/c')",
        "SELECT 1 -- ALTER ROLE x PASSWORD 'hunter2'",
        "SELECT 1 /* ALTER ROLE x PASSWORD 'hunter2' */",
        "ALTER ROLE x PASWORD 'oops' PASSWORD 'hunter2'",
        "ALTER ROLE x PASSWORD 'hunter2",
    ],
)
def test_password_clauses_are_blanked(text: str) -> None:
    analysis = analyse(text)
    assert "hunter" not in analysis.redacted
    assert "hunter" not in analysis.normalised


def test_what_holds_no_credential_stays() -> None:
    for text in ("SELECT 'a password reset'", "SELECT password FROM t WHERE password = 'x'", "SELECT 'https://a/b'"):
        assert analyse(text).redacted == text
