from __future__ import annotations

import pytest

from gateway.sql import analyse


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("SELECT set_config('work_mem', '1MB', false)", True),
        ("SELECT set_config('work_mem'::text, '1MB', false)", True),
        ("SELECT set_config('work_mem', '1MB', false), set_config('role', 'x', false)", False),
        ("SELECT set_config(setting_name => 'work_mem', new_value => '1', is_local => false)", False),
        ("SELECT set_config(name, '1', false) FROM t", False),
        ("SELECT set_config('work_mem', ssn, false) FROM customers", False),
        ("SELECT nextval('s')", True),
        ("SELECT nextval('a.s'::regclass)", True),
        ('SELECT nextval(\'"A"."s"\')', True),
        ("SELECT nextval('4711')", False),
        ("SELECT nextval('a.b.c')", False),
        ("SELECT nextval('a\"\"b')", False),
        ("SELECT nextval('')", False),
        ("SELECT nextval($1)", False),
        ("SELECT nextval('s'), nextval(a) FROM t", False),
        ("SELECT setval('s', 1)", False),
    ],
)
def test_calls_with_constants_are_judged(text: str, judged: bool) -> None:
    [statement] = analyse(text).statements
    assert bool(statement.judged) is judged
