from __future__ import annotations

from cli.talk import Command
from control.made import FakeGateway

from gateway.store.requests import Lock


def test_unlock(command: Command, gateway: FakeGateway) -> None:
    until = gateway.clock() + 60
    first = gateway.approvals.lock(Lock("", "alice", None, 0, until, "olga"))
    second = gateway.approvals.lock(Lock("", None, "orders", 0, until, "olga"))
    assert command.run("unlock", first.id).output == "alice is no longer locked out\n"
    assert command.json("unlock", second.id)["target"] == "orders"
    assert not gateway.approvals.locks()
    again = command.run("unlock", first.id)
    assert (again.exit_code, "there is no such lock" in again.output) == (1, True)
