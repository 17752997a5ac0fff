"""What runs under a forced command; tests/corpora/forced_commands.yaml has what tries to get around one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from policy.made import NOON, WEB, access, snapshot

from gateway.model import Outcome
from gateway.policy import Forced
from gateway.protocols.ssh import forcing
from gateway.protocols.ssh.operation import execute

CORPUS: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "corpora" / "forced_commands.yaml").read_text())
POLICY = snapshot(CORPUS["policy"])
STAFF = access("alice", "staff", to=WEB, database="", role="deploy")
MENU = Forced(("menu",), ("held",))
NOTHING: Mapping[bytes, bytes] = MappingProxyType({})


@pytest.mark.parametrize("case", CORPUS["runs"], ids=lambda case: case["request"])
def test_the_forced_command_runs_instead(case: dict[str, str]) -> None:
    forced = POLICY.for_access(STAFF).forced(NOON)
    asked = forcing.written(case["request"], forced)
    assert (asked.request, asked.text) == ("exec", CORPUS["command"]), case["reason"]
    decision = POLICY.decide(STAFF, asked, NOON)
    assert (decision.outcome, "forced" in decision.rules) == (Outcome.ALLOW, True)
    name, _, rest = case["request"].partition(" ")
    if name in ("shell", "exec", "subsystem"):
        runs = forcing.run(name, rest.encode(), NOTHING, 1, None, forced)
        assert (runs.request, runs.argument, runs.refusal) == ("exec", CORPUS["command"].encode(), None)
        assert runs.operation.original == case["request"]


@pytest.mark.parametrize("case", CORPUS["denied"], ids=lambda case: case["request"])
def test_what_is_no_command_needs_an_allow_of_its_own(case: dict[str, str]) -> None:
    asked = forcing.written(case["request"], POLICY.for_access(STAFF).forced(NOON))
    assert asked.original == ""
    assert POLICY.decide(STAFF, asked, NOON).outcome is Outcome.DENY, case["reason"]


def test_nothing_is_forced() -> None:
    runs = forcing.run("exec", b"id", {b"SSH_ORIGINAL_COMMAND": b"kept"}, 4, None, None)
    assert (runs.request, runs.argument, runs.refusal) == ("exec", b"id", None)
    assert runs.environment == {b"SSH_ORIGINAL_COMMAND": b"kept"}
    assert runs.operation == execute(b"id", 4)


@pytest.mark.parametrize(
    ("request_name", "argument", "variables"),
    [
        ("exec", b"id; reboot", {b"LANG": b"C", b"SSH_ORIGINAL_COMMAND": b"id; reboot"}),
        ("subsystem", b"sftp", {b"LANG": b"C", b"SSH_ORIGINAL_COMMAND": b"sftp"}),
        ("shell", b"", {b"LANG": b"C"}),
    ],
)
def test_the_command_learns_what_was_asked_for(
    request_name: str, argument: bytes, variables: dict[bytes, bytes]
) -> None:
    environment = {b"LANG": b"C", b"SSH_ORIGINAL_COMMAND": b"the caller's own"}
    for certificate, policy in ((b"menu", None), (None, MENU), (b"menu", MENU)):
        runs = forcing.run(request_name, argument, environment, 1, certificate, policy)
        assert runs.environment == variables
        assert (runs.argument, runs.operation.text, runs.refusal) == (b"menu", "menu", None)


@pytest.mark.parametrize(
    ("argument", "certificate", "policy", "said"),
    [
        (b"id", b"menu2", MENU, 'your certificate forces another command than policy does: "held"'),
        (b"id", b"menu ", MENU, "your certificate forces another command"),
        (b"id", None, Forced(("a", "b"), ("one", "two")), 'policy forces several commands: "one", "two"'),
        (b"id", b"a", Forced(("a", "b"), ("one", "two")), "policy forces several commands"),
        (b"id\0x", None, MENU, "what was asked for has a NUL byte"),
        (b"id\0x", b"menu", None, "what was asked for has a NUL byte"),
    ],
)
def test_what_is_refused(argument: bytes, certificate: bytes | None, policy: Forced | None, said: str) -> None:
    refusal = forcing.run("exec", argument, NOTHING, 1, certificate, policy).refusal
    assert refusal is not None
    assert said in refusal.message


def test_explaining_a_contradiction() -> None:
    with pytest.raises(ValueError, match='several commands by "one", "two"'):
        forcing.written("shell", Forced(("a", "b"), ("one", "two")))
    assert forcing.written("agent", Forced(("a", "b"), ("one", "two"))).request == "agent"
