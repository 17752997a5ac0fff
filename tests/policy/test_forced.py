"""Which command policy forces, and what an author may not write."""

from __future__ import annotations

import pytest
from policy.made import NOON, WEB, access, policy_file, snapshot, ssh_operation

from gateway.errors import ConfigError
from gateway.model import Outcome
from gateway.policy import Forced, explain
from gateway.policy.review import review

POLICY = snapshot(
    """
    allow:
      - {name: all, targets: [web1], groups: [staff, both]}
      - {name: everyone, targets: [web1], ssh: {logins: [app], force_command: everyone}}
      - {name: staff, targets: [web1], groups: [staff, both], ssh: {logins: ["a*"], force_command: staff --run}}
      - {name: others, targets: [web1], groups: [others, both], ssh: {logins: [app], force_command: others}}
      - {name: erin, targets: [web1], principals: [erin], ssh: {logins: [app], force_command: erin}}
      - {name: stars, targets: [web1], principals: ["*"], ssh: {logins: [app], force_command: everyone}}
      - {name: later, targets: [web1], principals: [tim], until: "2020-01-01T00:00:00Z",
         ssh: {logins: [app], force_command: late}}
    """
)


@pytest.mark.parametrize(
    ("name", "groups", "login", "forced"),
    [
        ("alice", (), "app", Forced(("everyone",), ("everyone", "stars"))),
        ("alice", ("staff",), "app", Forced(("staff --run",), ("staff",))),
        ("alice", ("others",), "app", Forced(("others",), ("others",))),
        ("alice", ("both",), "app", Forced(("others", "staff --run"), ("others", "staff"))),
        ("erin", ("both",), "app", Forced(("erin",), ("erin",))),
        ("tim", (), "app", Forced(("everyone",), ("everyone", "stars"))),
        ("alice", ("staff",), "admin", Forced(("staff --run",), ("staff",))),
        ("alice", ("staff",), "root", None),
    ],
)
def test_the_most_specific_who_forces(name: str, groups: tuple[str, ...], login: str, forced: Forced | None) -> None:
    who = access(name, *groups, to=WEB, database="", role=login)
    found = POLICY.for_access(who).forced(NOON)
    assert found == forced
    assert found is None or found.command == (None if len(found.commands) > 1 else found.commands[0])


def test_the_entry_allows_its_command_and_nothing_else() -> None:
    only = snapshot(
        "allow: [{name: held, groups: [g], ssh: {logins: [app], force_command: 'tar -c /srv | gzip'}}]"
        "\ndeny: [{name: no gzip here, groups: [strict], ssh: {exec: [gzip]}}]"
        "\napprove: [{name: asked, groups: [asked], ssh: {exec: ['tar **']}, approvers: {groups: [b]}}]"
    )

    def decided(operation: str, *groups: str, text: str = "") -> Outcome:
        who = access("alice", "g", *groups, to=WEB, database="", role="app")
        return only.decide(who, ssh_operation(operation, text), NOON).outcome  # type: ignore[arg-type]  # a request

    assert decided("exec", text="tar -c /srv | gzip") is Outcome.ALLOW
    assert decided("exec", "strict", text="tar -c /srv | gzip") is Outcome.DENY, "a deny of what runs holds"
    assert decided("exec", "asked", text="tar -c /srv | gzip") is Outcome.APPROVE
    assert decided("exec", text="tar -c /srv | gzip ") is Outcome.DENY
    for request in ("shell", "subsystem", "sftp", "file", "agent", "x11", "env", "forward_local"):
        assert decided(request) is Outcome.DENY
    who = access("alice", "g", to=WEB, database="", role="app")
    assert "it is not tar -c /srv | gzip" in str(explain(only, who, ssh_operation("exec", "id"), NOON))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("allow: [{name: a, ssh: {force_command: x}}]", "has no `logins`"),
        ("allow: [{name: a, ssh: {logins: [x], force_command: none}}]", "leave the key out"),
        ("allow: [{name: a, ssh: {logins: [x], force_command: internal-sftp}}]", "write `requests: [sftp]`"),
        ("allow: [{name: a, ssh: {logins: [x], force_command: ''}}]", "is empty or not plain text"),
        ('allow: [{name: a, ssh: {logins: [x], force_command: "a\\nb"}}]', "is empty or not plain text"),
        ("allow: [{name: a, ssh: {logins: [x], force_command: a, requests: [exec]}}]", "beside `requests`"),
        ("allow: [{name: a, ssh: {logins: [x], force_command: a, exec: [a]}}]", "beside `exec`"),
        ("allow: [{name: a, ssh: {logins: [x], force_command: a, destinations: ['a:1']}}]", "beside `destinations`"),
        ("deny: [{name: a, ssh: {force_command: x}}]", "which is for allow entries"),
        ("approve: [{name: a, ssh: {force_command: x}, approvers: {groups: [g]}}]", "which is for allow entries"),
    ],
)
def test_what_may_not_be_written(entry: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        policy_file(entry)
    assert said in str(raised.value)


HELD = "{name: a, groups: [g], targets: [web1], ssh: {logins: [app, root], force_command: one}}"


@pytest.mark.parametrize(
    ("other", "contradicts"),
    [
        ("{name: b, groups: [g], targets: [web1], ssh: {logins: [app], force_command: two}}", True),
        ("{name: b, groups: [g], targets: [web1], kind: human, ssh: {logins: [root], force_command: two}}", True),
        ("{name: b, groups: ['g*'], ssh: {logins: ['*'], force_command: two}}", True),
        ("{name: b, groups: [g], ssh: {logins: [app], force_command: two}, until: '2030-01-01T00:00:00Z'}", True),
        ("{name: b, groups: [g], targets: [web1], ssh: {logins: [app], force_command: one}}", False),
        ("{name: b, groups: [h], targets: [web1], ssh: {logins: [app], force_command: two}}", False),
        ("{name: b, principals: [x], targets: [web1], ssh: {logins: [app], force_command: two}}", False),
        ("{name: b, groups: [g], targets: [web1], ssh: {logins: [deploy], force_command: two}}", False),
        ("{name: b, groups: ['g*'], ssh: {logins: ['*'], force_command: two}, until: '2030-01-01T00:00:00Z'}", False),
    ],
)
def test_entries_that_contradict_each_other_are_an_error(other: str, contradicts: bool) -> None:
    text = f"allow:\n  - {HELD}\n  - {other}"
    if not contradicts:
        snapshot(text)
        return
    with pytest.raises(ConfigError) as raised:
        snapshot(text)
    assert "forces another command than" in str(raised.value)
    assert "force one command" in str(raised.value)


def test_a_forced_command_is_no_command_of_ones_own() -> None:
    text = f"allow: [{HELD}]\ndeny: [{{name: d, groups: [g], targets: [web1], ssh: {{files: {{read: [/etc/**]}}}}}}]"
    assert not list(review(snapshot(text), (WEB,), NOON)), "no command reads files here but the forced one"
