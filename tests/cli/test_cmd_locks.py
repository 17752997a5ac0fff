from __future__ import annotations

from cli.talk import Command
from control.made import FakeGateway

from gateway.store.requests import Lock


def test_list(command: Command, gateway: FakeGateway) -> None:
    until = gateway.clock() + 3660
    first = gateway.approvals.lock(Lock("", "alice", None, 0, until, "gina", "stolen\x1b[2J"))
    second = gateway.approvals.lock(Lock("", None, "orders", 0, until, "olga"))
    [_, one, two] = command.run("locks", "list").output.splitlines()
    assert one.split() == [first.id, "alice", "every", "1h", "1m", "gina", "stolen\\x1b[2J"]
    assert two.split() == [second.id, "everybody", "orders", "1h", "1m", "olga", "-"]
    assert [lock["id"] for lock in command.json("locks", "list")] == [first.id, second.id]
    command.become("ben")
    refused = command.run("locks", "list")
    assert (refused.exit_code, "ben has none of the roles" in refused.output) == (1, True)
