"""Patterns of commands, and tests/corpora/ssh_commands.yaml: what tries to get past them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from policy.made import NOON, WEB, access, snapshot

from gateway.model import Outcome
from gateway.policy.commands import CommandPattern, CommandPatterns
from gateway.protocols.ssh.operation import execute

CORPUS: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "corpora" / "ssh_commands.yaml").read_text())
ALICE = access(to=WEB, database="", role="deploy")
SECTION = {"logins": ["deploy"], "exec": CORPUS["allowed"]}
ALLOWS = snapshot(json.dumps({"allow": [{"name": "a", "principals": ["alice"], "targets": ["web1"], "ssh": SECTION}]}))
DENIES = snapshot(CORPUS["denied"])


def raw(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["hex"]) if "hex" in case else case["command"].encode()


def of(section: str) -> list[Any]:
    return [pytest.param(raw(case), id=repr(raw(case).decode("latin-1"))) for case in CORPUS[section]]


def test_the_corpus_is_well_formed() -> None:
    for section in ("tricks", "evasions"):
        assert all(case["reason"] for case in CORPUS[section])
        assert len({raw(case) for case in CORPUS[section]}) == len(CORPUS[section]) >= 50
    assert len(CORPUS["tricks"]) >= 60


@pytest.mark.parametrize("command", of("tricks"))
def test_no_trick_is_allowed(command: bytes) -> None:
    assert ALLOWS.decide(ALICE, execute(command), NOON).outcome is Outcome.DENY


@pytest.mark.parametrize("command", of("innocent"))
def test_what_is_meant_is_allowed(command: bytes) -> None:
    assert ALLOWS.decide(ALICE, execute(command), NOON).rules == ("a",)


@pytest.mark.parametrize("command", of("evasions"))
def test_nothing_evades_a_deny(command: bytes) -> None:
    assert DENIES.decide(ALICE, execute(command), NOON).outcome is Outcome.DENY


@pytest.mark.parametrize("case", CORPUS["harmless"], ids=lambda case: repr(case["command"]))
def test_what_a_deny_does_not_mean_is_allowed(case: dict[str, Any]) -> None:
    expected = Outcome.DENY if case.get("denied") else Outcome.ALLOW
    assert DENIES.decide(ALICE, execute(raw(case)), NOON).outcome is expected


@pytest.mark.parametrize("command", [*of("tricks"), *of("evasions")])
def test_whoever_may_run_anything_may_run_these(command: bytes) -> None:
    """That the corpus is denied is the patterns' doing."""
    anything = snapshot("allow: [{name: a, principals: [alice], targets: [web1]}]")
    assert anything.decide(ALICE, execute(command), NOON).outcome is Outcome.ALLOW


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("ls | wc *", "script at the target"),
        ("/usr/bin/deploy $HOME/*", "script at the target"),
        ("deploy ** x", "at the end"),
        ("deploy a**", "at the end"),
        ("x **y", "at the end"),
    ],
)
def test_mistakes_in_patterns(text: str, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        CommandPattern.of(text)


@pytest.mark.parametrize(
    ("pattern", "commands"),
    [
        ("**", {"a": True, "a b": True, "-x": False, "'-x' y": True}),
        ("*", {"a": True, "a b": False, "'-a'": False}),
        ("a **", {"a": True, "a -b c": True, "ab": False}),
        ("a -*", {"a -b": True, "a b": False}),
        ("a ?b", {"a xb": True, "a -b": False, "a b": False}),
        ("a 'x*'", {"a 'x*'": True, "a xy": False}),
        ("a\\*", {"'a*'": True, "ab": False}),
        ("a *.log", {"a 'b\tc.log'": True, "a .log": True, "a log": False}),
        ("a; b", {"a; b": True, "a ; b": False, "a": False}),
        ("a é", {"a é": True, "a e": False}),
    ],
)
def test_what_a_pattern_stands_for(pattern: str, commands: dict[str, bool]) -> None:
    patterns = CommandPatterns.of([pattern])
    assert {command: patterns.covers(execute(command.encode())) for command in commands} == commands


def test_a_deny_reads_wildcards_as_options_too() -> None:
    patterns = CommandPatterns.of(["rm *"])
    assert patterns.names(execute(b"rm -x"))
    assert not patterns.covers(execute(b"rm -x"))
    assert not patterns.names(execute(b"rm"))
    assert patterns.names(execute(b"nice rm x | y"))
    assert not patterns.names(execute(b"nice rm x")), "of plain words it is the whole"


WORDS = st.lists(st.sampled_from(["a", "b", "-c", "d e", "*", "", "a'b"]), min_size=1, max_size=4)


@given(WORDS, st.sampled_from([["a *"], ["a **"], ["**"], ["* b"], ["a ? ?"], ["'d e' **"], ["a -?"]]), st.data())
def test_what_is_covered_is_named_also_with_others(words: list[str], patterns: list[str], data: st.DataObject) -> None:
    command = shlex.join(words)
    compiled = CommandPatterns.of(patterns)
    if compiled.covers(execute(command.encode())):
        assert compiled.names(execute(command.encode()))
        ways = ["id; {}", "{}; id", "{} 2>/dev/null", "A=1 {};", "({})", "id | {}", "$x {}"]
        around = data.draw(st.sampled_from(ways))
        joined = execute(around.format(command).encode())
        assert compiled.names(joined)
        assert not compiled.covers(joined)
