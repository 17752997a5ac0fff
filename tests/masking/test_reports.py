from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.masking import searched, withhold
from gateway.masking.reports import CONDITIONS, KEPT

UNIQUE = [
    ("S", b"ERROR"), ("V", b"ERROR"), ("C", b"23505"),
    ("M", b'duplicate key value violates unique constraint "customers_ssn_key"'),
    ("D", b"Key (ssn)=(123-45-6789) already exists."),
    ("s", b"public"), ("t", b"customers"), ("n", b"customers_ssn_key"),
    ("F", b"nbtinsert.c"), ("L", b"664"), ("R", b"_bt_check_unique"),
]  # fmt: skip


def test_a_unique_violation_keeps_what_drivers_need() -> None:
    shown = withhold(UNIQUE)
    assert [kind for kind, _ in shown] == ["S", "V", "C", "M", "H", "s", "t", "n", "F", "L", "R"]
    assert dict(shown)["M"] == b"unique violation (text withheld)"
    assert b"123-45-6789" not in b"".join(value for _, value in shown)


def test_an_unknown_condition_has_a_message_all_the_same() -> None:
    assert dict(withhold([("S", b"ERROR"), ("C", b"ZZ999"), ("M", b"secret")]))["M"].startswith(b"the target reports")


def test_the_cursor_position_stays() -> None:
    assert ("P", b"8") in withhold([("S", b"ERROR"), ("C", b"42601"), ("M", b"x"), ("P", b"8")])


@given(st.lists(st.tuples(st.characters(min_codepoint=33, max_codepoint=126), st.just(b"123-45-6789"))))
def test_no_text_passes_and_there_is_always_a_message(report: list[tuple[str, bytes]]) -> None:
    shown = withhold(report)
    assert {kind for kind, value in shown if value == b"123-45-6789"} <= KEPT
    assert [kind for kind, _ in shown].count("M") == 1


def test_condition_names_belong_to_codes() -> None:
    assert all(re.fullmatch(rb"[0-9A-Z]{5}", code) and name for code, name in CONDITIONS.items())


def test_texts_are_searched_and_names_stay() -> None:
    report = [("S", b"ERROR"), ("C", b"P0001"), ("M", b"a hush"), ("D", b"b"), ("n", b"hush"), ("Z", b"hush")]
    shown = searched(report, lambda text: text.replace(b"hush", b"****") if b"hush" in text else text)
    assert shown == [("S", b"ERROR"), ("C", b"P0001"), ("M", b"a ****"), ("D", b"b"), ("n", b"hush"), ("Z", b"****")]
    assert searched(report, lambda text: text) is None
