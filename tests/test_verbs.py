from __future__ import annotations

from gateway.verbs import BY_NAME, FREE, SETS, VERBS


def test_sets_and_marks_name_only_verbs_of_the_catalogue() -> None:
    for name, verbs in SETS.items():
        assert name not in VERBS
        assert verbs <= VERBS.keys()
    assert VERBS.keys() >= FREE | BY_NAME


def test_nothing_is_free_that_must_be_named() -> None:
    assert not FREE & BY_NAME
    assert not FREE - SETS["tcl"] - SETS["session"] - SETS["read"]


def test_read_reads() -> None:
    assert SETS["read"] == {"select", "copy_to", "explain", "show"}


def test_what_undermines_the_gateway_is_in_no_set() -> None:
    in_sets = frozenset().union(*SETS.values())
    assert BY_NAME & in_sets == {"two_phase"}
