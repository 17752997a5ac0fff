from __future__ import annotations

import pytest

from gateway.sql.settings import verb_of, verb_of_reset


@pytest.mark.parametrize(
    ("name", "value", "verb"),
    [
        ("work_mem", "1MB", "set"),
        ("WORK_MEM", None, "set"),
        ("search_path", "x", "set"),
        ("role", "x", "set_role"),
        ("session_authorization", None, "set_role"),
        ("standard_conforming_strings", "on", "set"),
        ("standard_conforming_strings", "ON", "set"),
        ("standard_conforming_strings", "of", "set_unsafe"),
        ("standard_conforming_strings", None, "set_unsafe"),
        ("client_encoding", "UTF8", "set"),
        ("client_encoding", "'utf-8'", "set"),
        ("client_encoding", "SQL_ASCII", "set"),
        ("client_encoding", "LATIN1", "set_unsafe"),
        ("backslash_quote", "on", "set_unsafe"),
        ("session_replication_role", "replica", "set_unsafe"),
        ("session_preload_libraries", "x", "set_unsafe"),
        ("log_statement", "none", "set_unsafe"),
        ("app.user", "x", "set_unsafe"),
        ("", None, "set_unsafe"),
    ],
)
def test_verb_of(name: str, value: str | None, verb: str) -> None:
    assert verb_of(name, value) == verb


def test_reset() -> None:
    assert verb_of_reset("work_mem") == "set"
    assert verb_of_reset("client_encoding") == "set_unsafe"
