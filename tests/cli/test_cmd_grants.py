from __future__ import annotations

import pytest
from cli.made import Site
from cli.talk import Command
from control.made import FakeGateway
from session.asked import DAN, subject, terms


def granted(gateway: FakeGateway, **others: object) -> str:
    request = gateway.approvals.request(subject("alice", **others), (terms(),))  # type: ignore[arg-type]  # of a test's
    gateway.approvals.decide(request.id, DAN, yes=True)
    return request.id


def test_list(command: Command, gateway: FakeGateway) -> None:
    first = granted(gateway)
    second = granted(gateway, binding="c" * 64, kind="session", normalised="")
    gateway.reactor.advance(60)
    [head, one, two] = command.run("grants", "list").output.splitlines()
    assert head.split() == ["grant", "state", "principal", "target", "approved", "by", "left", "uses", "what"]
    assert one.split() == [first, "live", "alice", "orders", "dan", "14m", "1", "delete", "from", "orders"]
    assert two.split() == [second, "live", "alice", "orders", "dan", "14m", "1", "a", "session"]
    assert [grant["id"] for grant in command.json("grants", "list")] == [first, second]


def test_a_list_that_is_cut_says_so(command: Command, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.control.acts.approvals.MAX_LISTED", 1)
    for number in range(3):
        granted(gateway, binding=f"{number:064}")
    for words in (("grants", "list"), ("approvals", "list", "--state", "all")):
        result = command.run(*words)
        assert (len(result.stdout.splitlines()), result.stderr) == (2, "2 older ones are not shown\n")


def test_revoke(command: Command, gateway: FakeGateway) -> None:
    id = granted(gateway)
    result = command.run("grants", "revoke", id, "--reason", "over")
    assert result.output == f"{id} of alice on orders is revoked\n"
    assert gateway.approvals.grants()[0].reason == "over"
    again = command.run("grants", "revoke", id)
    assert (again.exit_code, "no such grant that is live" in again.output) == (1, True)
    line = command.run("grants", "list").output.splitlines()[1]
    assert line.split()[:6] == [id, "revoked", "alice", "orders", "dan", "-"]


@pytest.mark.parametrize("form", [("grants", "sql"), ("grants",)])
def test_the_older_form_is_short_for_sql(site: Site, form: tuple[str, ...]) -> None:
    result = site.run(*form, "--target", "orders")
    assert (result.exit_code, "for whom?" in result.output) == (2, True)
    result = site.run(*form, "--groups", "x", "--target", "nowhere")
    assert (result.exit_code, "there is no target nowhere" in result.output) == (1, True)
    assert "--target" in site.run(*form).output or "Commands:" in site.run(*form).output


def test_its_help_is_its_own(site: Site) -> None:
    shown = site.run("grants", "--help").output
    for command in ("list", "revoke", "sql"):
        assert f"  {command} " in shown
    assert "is short for" in shown
    assert "--database" in site.run("grants", "sql", "--help").output
