from __future__ import annotations

import re

import pytest
from cli.talk import Command
from control.made import FakeGateway


def test_a_principal(command: Command, gateway: FakeGateway) -> None:
    _, told = gateway.session()
    result = command.run("lock", "principal", "alice", "--for", "1h30m", "--reason", "stolen laptop")
    assert re.fullmatch(
        r"alice is locked out until \S+ \S+; 1 live session ended; `ostiary unlock \S+` takes it back\n", result.output
    )
    [lock] = gateway.approvals.locks()
    assert (lock.until - lock.made, lock.reason, lock.by) == (5400, "stolen laptop", "olga")
    assert told


def test_a_target_and_a_session(command: Command, gateway: FakeGateway) -> None:
    session, _ = gateway.session()
    assert "alice is locked out of orders until" in command.run("lock", "session", session.id, "--for", "10m").output
    assert "everybody is locked out of orders" in command.run("lock", "target", "orders", "--for", "1d").output
    made = command.json("lock", "principal", "bob", "--for", "90s")
    assert (made["lock"]["principal"], made["ended"]) == ("bob", 0)


@pytest.mark.parametrize("wrong", ["10", "m", "10 m", "-1m", "1h30", "1y", "1.m.", "", "1m,", "9" * 30 + "d"])
def test_what_is_no_duration(command: Command, wrong: str) -> None:
    result = command.run("lock", "principal", "alice", "--for", wrong)
    assert (result.exit_code, "is no duration" in result.output) == (2, True)


def test_a_duration_is_needed_and_bounded(command: Command, gateway: FakeGateway) -> None:
    assert command.run("lock", "principal", "alice").exit_code == 2
    result = command.run("lock", "principal", "alice", "--for", "366d")
    assert (result.exit_code, "$.for" in result.output) == (1, True)
    assert not gateway.approvals.locks()
