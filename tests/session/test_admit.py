from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from session.house import NOBODYS, ORDERS, READS, House, principal

from gateway.errors import NotAdmitted, RecordingFailed, TooManySessions
from gateway.model import Address, Credential, Target, TargetTls
from gateway.session import Admitted
from gateway.session.admit import credential_for


def test_who_has_a_rule_is_admitted(house: House) -> None:
    admitted = house.admit()
    assert admitted.decision.rules == ("read",)
    assert admitted.access.database == "orders", "the target's name where none was given"
    assert admitted.access.role == "ro"
    assert house.admit(database="reporting").access.database == "reporting"
    assert house.events() == [], "the session's opening is what is audited"


@pytest.mark.parametrize(
    "asked",
    [
        {"target": "unheard-of"},
        {"target": ""},
        {"target": "ORDERS"},
        {"target": "nobodys"},
        {"protocol": "ssh"},
        {"who": principal("bob", "engineers")},
        {"who": principal("mallory", "analyst")},
    ],
)
def test_everybody_else_hears_the_same_words(house: House, asked: dict[str, Any]) -> None:
    with pytest.raises(NotAdmitted) as refused:
        house.admit(**asked)
    with pytest.raises(NotAdmitted) as unknown:
        house.admit(target="no-such-target", protocol=asked.get("protocol", "postgres"))
    assert (refused.value.message, refused.value.hint) == (unknown.value.message, unknown.value.hint)
    [first, second] = house.events("session_refused")
    assert first["status_detail"] == refused.value.reason
    assert second["status_detail"] == "no such target"


def test_an_empty_policy_admits_nobody(tmp_path: Path) -> None:
    house = House(tmp_path, "allow: []")
    with pytest.raises(NotAdmitted):
        house.admit(principal("olivia", "owners"))
    house.close()


def test_a_deny_of_everything_denies_the_connection(tmp_path: Path) -> None:
    house = House(tmp_path, READS + "\ndeny: [{name: out, principals: [alice], targets: ['*']}]")
    with pytest.raises(NotAdmitted) as refused:
        house.admit()
    assert refused.value.reason == "denied by out"
    assert "out" not in refused.value.message
    house.close()


def test_the_first_credential_that_fits_is_used() -> None:
    assert [
        getattr(credential_for(ORDERS, who), "user", None)
        for who in (
            principal("olivia", "owners"),
            principal("alice", "owners"),
            principal("alice", "x"),
            principal("bob"),
        )
    ] == ["owner", "owner", "ro", "any"]
    assert credential_for(ORDERS, principal("bob", "nobody")) is None
    assert credential_for(NOBODYS, principal()) is None


SHELLS = Target("web1", "ssh", Address("web1", 22), TargetTls(), (Credential("deploy"), Credential("root")))


def test_an_ssh_session_has_the_login_that_was_asked_for_and_no_database(tmp_path: Path) -> None:
    house = House(tmp_path, "allow: [{name: all, groups: [analysts], targets: [web1]}]", targets=(ORDERS, SHELLS))
    for login, role in (("", "deploy"), ("deploy", "deploy"), ("root", "root")):
        access = house.admit(target="web1", protocol="ssh", login=login, database="x").access
        assert (access.role, access.database) == (role, "")
    with pytest.raises(NotAdmitted) as refused:
        house.admit(target="web1", protocol="ssh", login="postgres")
    assert refused.value.reason == "no credential of the target fits the principal and the login postgres"
    assert "dbname" not in (refused.value.hint or "")
    house.close()


def test_limits_of_sessions(house: House) -> None:
    one, _two = house.open(), house.open()
    with pytest.raises(TooManySessions, match="alice has 2 sessions"):
        house.admit()
    house.admit(principal("aladdin"))
    one.close("left")
    house.admit()


def test_the_gateway_as_a_whole_has_a_limit(tmp_path: Path) -> None:
    house = House(tmp_path, sessions=1)
    house.open()
    with pytest.raises(TooManySessions, match="no room"):
        house.admit(principal("bob"))
    assert len(house.events("session_refused")) == 1
    house.close()


def test_a_gateway_that_stops_admits_nobody(house: House) -> None:
    house.gate.accepting = False
    with pytest.raises(NotAdmitted):
        house.admit()


def test_a_target_that_a_reload_took_away_is_no_target(house: House) -> None:
    house.gate.rules = house.rules(READS, targets=(NOBODYS,))
    with pytest.raises(NotAdmitted):
        house.admit()


def test_a_login_of_before_a_reload_is_looked_at_again(house: House) -> None:
    who = principal()
    house.gate.rules = house.rules(READS, known=lambda one: replace(one, groups=frozenset({"owners", "analysts"})))
    assert house.admit(who).access.role == "owner"
    house.gate.rules = house.rules(READS, known=lambda one: None)
    with pytest.raises(NotAdmitted) as refused:
        house.admit(who)
    assert refused.value.reason == "its login has been taken back"


@pytest.mark.parametrize(("session", "admitted"), [("", False), ("session: {max: 1h, expire: session}, ", True)])
def test_an_identity_that_has_expired_opens_nothing(tmp_path: Path, session: str, admitted: bool) -> None:
    house = House(tmp_path, READS.replace("sql:", f"{session}sql:"))
    who = principal(expires_at=house.clock.seconds())
    if admitted:
        house.admit(who)
    else:
        with pytest.raises(NotAdmitted) as refused:
            house.admit(who)
        assert refused.value.reason == "its identity has expired"
    house.close()


def test_only_the_gate_admits(house: House) -> None:
    admitted = house.admit()
    with pytest.raises(TypeError, match="only the gate"):
        Admitted(
            object(),
            session="",
            access=admitted.access,
            credential=admitted.credential,
            rules=admitted.rules,
            policy=admitted.policy,
            decision=admitted.decision,
            limits=admitted.limits,
        )


def test_nobody_is_refused_unseen(house: House) -> None:
    house.audit.failed = "the disk is gone"
    with pytest.raises(RecordingFailed):
        house.admit(target="unheard-of")
    house.audit.failed = None


@pytest.mark.parametrize("member", ["group:analysts", "principal:alice"])
def test_breaking_glass_is_said_aloud(tmp_path: Path, member: str) -> None:
    house = House(tmp_path, break_glass=(member,))
    assert not house.gate.breaks_glass(house.admit()), "there is room: no glass to break"
    house.node.recordings.low_water = 2**62
    assert house.gate.breaks_glass(house.admit())
    assert not house.gate.breaks_glass(house.admit(principal("bob", "analysts"))) or member.startswith("group")
    assert house.events("break_glass_used")
    house.close()


def test_others_have_no_glass_to_break(house: House) -> None:
    house.node.recordings.low_water = 2**62
    assert not house.gate.breaks_glass(house.admit())
    with pytest.raises(RecordingFailed):
        house.open()
    assert not len(house.live)


def test_tags_of_a_target_are_policys(tmp_path: Path) -> None:
    tagged = Target("orders", "postgres", ORDERS.address, ORDERS.tls, ORDERS.credentials, {"env": "prod"})
    house = House(
        tmp_path, "allow: [{name: dev, groups: [analysts], targets: ['*'], tags: {env: dev}}]", targets=(tagged,)
    )
    with pytest.raises(NotAdmitted):
        house.admit()
    house.close()
