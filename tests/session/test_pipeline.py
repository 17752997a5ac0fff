from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from policy.made import ssh_operation
from recording.made import PUBLIC
from session.house import ORDERS, READS, House, operation, principal
from twisted.internet.defer import Deferred

from gateway.errors import NotAdmitted, RecordingFailed, SessionEnded, Unapproved
from gateway.masking.probes import PROBES_A_MINUTE, PROBES_AT_ONCE
from gateway.model import Address, Credential, LabelUse, SqlOperation, SshOperation, Target, TargetTls
from gateway.protocols.ssh.operation import agent, environment, execute, forward_local, shell, subsystem, written
from gateway.recording import Recorded, verify
from gateway.recording.reader import Recording, open_recording
from gateway.session import Corridor

HIDDEN = frozenset({"pii.ssn"})


class FakePlanner:
    """Never plans; stands for something being hidden."""

    hides = True
    searches = False

    def text(self, value: bytes) -> bytes:
        raise AssertionError

    def plan(self, *_: object, **__: object) -> None:
        raise AssertionError

    def copy(self, *_: object, **__: object) -> None:
        raise AssertionError


def test_what_is_allowed_is_recorded_before_it_may_be_forwarded(house: House) -> None:
    corridor = house.open()
    verdict = corridor.ask(operation("SELECT 1"), "query")
    assert verdict.denial is None
    assert verdict.number == 1
    assert not house.events("operation_decided"), "not yet on its way to the disk"
    recorded = corridor.commit()
    assert isinstance(recorded, Recorded)
    assert recorded.session == corridor.admitted.session
    assert house.events("operation_decided")[0]["unmapped"]["operation"] == 1


def test_a_denial_is_recorded_and_says_the_rule(tmp_path: Path) -> None:
    house = House(
        tmp_path,
        READS + "\ndeny: [{name: no ddl, targets: ['*'], sql: {verbs: [create]}, message: ask the DBA}]",
    )
    corridor = house.open()
    verdict = corridor.ask(operation("CREATE TABLE t ()", "create"), "query")
    assert verdict.denial is not None
    assert verdict.denial.message == 'permission denied by policy: "no ddl"'
    assert verdict.denial.detail == f"Request {corridor.admitted.session}/1."
    assert verdict.denial.hint == "ask the DBA"
    assert verdict.marker == b"OSTIARY_DENIED_1_0101010101010101"
    assert corridor.live.denied == 1
    corridor.commit()
    assert house.events("operation_decided")[0]["action_id"] == 2
    house.close()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (operation("DROP TABLE t", "drop"), "no rule allows drop there"),
        (operation("x", opaque="no grammar"), r"not fully understood \(no grammar\)"),
        (operation("x", untrusted_functions=frozenset({"public.f"})), "functions not known to be harmless: public.f"),
    ],
)
def test_what_no_rule_allows_says_why(house: House, asked: SqlOperation, why: str) -> None:
    verdict = house.open().ask(asked, "query")
    assert verdict.denial is not None
    assert re.search(why, verdict.denial.message)


SHELLS = Target("web1", "ssh", Address("web1", 22), TargetTls(), (Credential("deploy"),))


def test_a_request_over_ssh_goes_the_same_way(tmp_path: Path) -> None:
    house = House(
        tmp_path,
        """
        allow: [{name: all, groups: [analysts], targets: [web1]}]
        approve: [{name: second person, targets: [web1], times: {days: [wed]}, approvers: {groups: [g]}}]
        deny: [{name: no drops, sql: {verbs: [drop]}}]
        """,
        targets=(ORDERS, SHELLS),
    )
    house.clock.advance(86_400)
    corridor = house.open(house.admit(target="web1", protocol="ssh"))
    corridor.see(HIDDEN, FakePlanner())
    asked = ssh_operation("exec", "create", verbs={"create", "exec"}, channel=4)
    verdict = corridor.ask(asked, "request")
    assert verdict.denial is None
    assert verdict.operation is asked
    assert not isinstance(corridor.commit(), Deferred), "only SQL has DDL"
    corridor.close("done")
    [event] = house.events("operation_decided")
    assert event["unmapped"]["login"] == "deploy"
    (path,) = house.node.directory.rglob("*.ostrec")
    file, size = open_recording(path)
    with file:
        [recorded] = [one.fields for one in Recording(file, size) if one.fields["event"] == "operation"]
    assert (recorded["request"], recorded["channel"], recorded["source"]) == ("exec", 4, "request")
    house.clock.advance(6 * 86_400)
    with pytest.raises(Unapproved):
        house.open(house.admit(target="web1", protocol="ssh")).ask(asked, "request")
    house.close()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (shell(), "no rule allows a shell there"),
        (execute(b"id"), "no rule allows this command there"),
        (execute(b"id; $x"), "no rule allows this command, which is not plain words but uses $, ;, there"),
        (execute(b"id\0"), "it is not fully understood (a command with a NUL byte)"),
        (written("read /etc/motd"), "no rule allows to read /etc/motd there"),
        (subsystem("x"), "no rule allows the subsystem x there"),
        (forward_local("db", 22), "no rule allows a forward to db:22 there"),
        (environment("A", "secret"), "no rule allows the variable A there"),
        (agent(), "no rule allows agent there"),
    ],
)
def test_what_no_rule_allows_over_ssh_says_why(tmp_path: Path, asked: SshOperation, why: str) -> None:
    allow = "allow: [{name: a, targets: [web1], ssh: {logins: [deploy], exec: [uptime]}}]"
    house = House(tmp_path, allow, targets=(ORDERS, SHELLS))
    verdict = house.open(house.admit(target="web1", protocol="ssh")).ask(asked, "request")
    assert verdict.denial is not None
    assert verdict.denial.message == f"permission denied by policy: {why}"
    house.close()


def test_a_login_that_no_rule_names_is_not_let_in(tmp_path: Path) -> None:
    targets = (ORDERS, replace(SHELLS, credentials=(Credential("deploy"), Credential("root"))))
    allow = "allow: [{name: a, targets: [web1], ssh: {logins: [deploy], requests: [shell]}}]"
    house = House(tmp_path, allow, targets=targets)
    house.admit(target="web1", protocol="ssh", login="deploy")
    with pytest.raises(NotAdmitted):
        house.admit(target="web1", protocol="ssh", login="root")
    house.close()


@pytest.mark.parametrize("said", ["SELECT 2", 'SELECT 3 AS "', "x" * 5000])
def test_each_text_of_one_operation_is_recorded(house: House, said: str) -> None:
    corridor = house.open()
    same = operation("SELECT 1")
    corridor.ask(same, "query", (), (), said)
    corridor.ask(same, "query")
    corridor.ask(same, "query", text=said)
    corridor.commit()
    corridor.close("done")
    (path,) = house.node.directory.rglob("*.ostrec")
    file, size = open_recording(path)
    with file:
        events = [event.fields for event in Recording(file, size)]
    asked = [event for event in events if event["event"] == "operation"]
    assert [event["text"] for event in asked] == [said, "SELECT 1", said]
    assert len({event["digest"] for event in asked}) == 1
    logged = house.events("operation_decided")
    assert {one["query_info"]["query_string"] for one in logged} == {same.normalised}


def test_numbers_count_every_question(house: House) -> None:
    corridor = house.open()
    same = operation()
    assert [corridor.ask(same, "parse").number, corridor.ask(same, "execute").number] == [1, 2]
    assert corridor.ask(operation("DROP", "drop"), "query").number == 3
    assert (corridor.live.operations, corridor.live.denied) == (3, 1)


def test_a_proof_covers_only_what_was_asked_before_it(house: House) -> None:
    corridor = house.open()
    corridor.ask(operation(), "query")
    first = corridor.commit()
    assert corridor.commit() is first, "nothing new: the same proof"
    corridor.ask(operation(), "query")
    assert corridor.uncommitted
    second = corridor.commit()
    assert isinstance(second, Recorded)
    assert isinstance(first, Recorded)
    assert second.number > first.number


def test_ddl_waits_for_the_disk(house: House) -> None:
    house.node.threads.patient = True
    corridor = house.open()
    corridor.ask(operation("CREATE TABLE t ()", "create"), "query")
    waiting = corridor.commit()
    assert isinstance(waiting, Deferred)
    proofs: list[Recorded] = []
    waiting.addCallback(proofs.append)
    house.clock.advance(1)
    assert proofs == []
    house.node.threads.run()
    assert len(proofs) == 1
    corridor.ask(operation(), "query")
    assert isinstance(corridor.commit(), Recorded), "a SELECT doesn't"


@pytest.mark.parametrize("where", ["rules", "entry"])
def test_policy_may_ask_for_the_disk(tmp_path: Path, where: str) -> None:
    policy = (
        READS
        if where == "rules"
        else READS.replace("verbs: [select, create]}", "verbs: [select]}, session: {record: synced}")
    )
    house = House(tmp_path, policy, **({"durability": "synced"} if where == "rules" else {}))
    corridor = house.open()
    corridor.ask(operation(), "query")
    assert isinstance(corridor.commit(), Deferred)
    house.node.threads.run()
    house.close()


def test_what_masks_refuse_is_denied_although_a_rule_allows_it(house: House) -> None:
    corridor = house.open()
    odd = operation("x", "create")
    assert corridor.ask(odd, "query").denial is None
    planner = FakePlanner()
    corridor.see(HIDDEN, planner)
    verdict = corridor.ask(odd, "query")
    assert verdict.denial is not None
    assert "masked for you" in verdict.denial.message
    assert "Masks apply to this session." in verdict.denial.detail


def test_where_a_hidden_label_is_touched_errors_are_withheld(house: House) -> None:
    corridor = house.open()
    labelled, other = operation(labels=HIDDEN), operation("SELECT 2", labels=frozenset({"pii.email"}))
    verdict = corridor.ask(labelled, "query")
    assert (verdict.tainted, verdict.planner) == (False, None), "nothing is hidden from this one"
    planner = FakePlanner()
    corridor.see(HIDDEN, planner)
    verdict = corridor.ask(labelled, "query")
    assert (verdict.tainted, verdict.planner) == (True, planner)
    assert not corridor.ask(other, "query").tainted
    assert corridor.ask(operation("?", opaque="no grammar"), "query").tainted


def test_a_new_policy_counts_from_the_next_operation(house: House) -> None:
    corridor = house.open()
    asked = operation()
    assert corridor.ask(asked, "query").denial is None
    house.gate.rules = house.rules("allow: [{name: show, groups: [analysts], targets: ['*'], sql: {verbs: [show]}}]")
    assert corridor.refresh()
    assert not corridor.refresh()
    assert corridor.ask(asked, "query").denial is not None
    assert corridor.rules is house.gate.rules


@pytest.mark.parametrize("gone", ["rule", "target"])
def test_a_right_that_is_gone_ends_the_session(house: House, gone: str) -> None:
    corridor = house.open()
    house.gate.rules = house.rules("allow: []") if gone == "rule" else house.rules(READS, targets=())
    with pytest.raises(SessionEnded, match="right to this target has ended"):
        corridor.refresh()


def test_a_target_that_has_moved_ends_the_session(house: House) -> None:
    corridor = house.open()
    house.gate.rules = house.rules(READS, targets=(replace(ORDERS, address=Address("db9", 5432)),))
    with pytest.raises(SessionEnded, match="right to this target has ended"):
        corridor.refresh()


def test_new_tags_of_a_target_count_for_live_sessions(house: House) -> None:
    corridor = house.open()
    policy = READS + "\ndeny: [{name: frozen, targets: ['*'], tags: {env: frozen}, sql: {verbs: [select]}}]"
    house.gate.rules = house.rules(policy, targets=(replace(ORDERS, tags={"env": "frozen"}),))
    corridor.refresh()
    assert corridor.ask(operation(), "query").denial is not None


def test_an_idle_session_ends(tmp_path: Path) -> None:
    policy = "allow: [{name: a, groups: [analysts], targets: ['*'], sql: {verbs: [select]}, session: {idle: 1m}}]"
    house = House(tmp_path, policy)
    corridor = house.open()
    began = corridor.live.last_active
    assert corridor.gone(began + 59) is None
    corridor.live.waits = lambda: False
    assert corridor.gone(began + 61) is None, "something is under way"
    corridor.live.waits = lambda: True
    ended = corridor.gone(began + 61)
    assert ended is not None
    assert "60 s" in ended.message
    house.close()


def test_a_session_is_active_until_its_operation_has_ended(house: House) -> None:
    corridor = house.open()
    corridor.ask(operation(), "query")
    house.clock.advance(5)
    corridor.result(1, "SELECT 1", 1, 25)
    assert corridor.live.last_active == house.clock.seconds()


def test_a_decision_that_looked_at_the_clock_is_not_kept(tmp_path: Path) -> None:
    house = House(tmp_path, READS.replace("targets: [orders],", "targets: [orders], until: 2026-11-18T12:00:10Z,"))
    corridor = house.open()
    asked = operation()
    assert corridor.ask(asked, "query").denial is None
    house.clock.advance(20)
    assert corridor.ask(asked, "query").denial is not None
    house.close()


def test_what_cannot_be_recorded_is_not_forwarded(house: House) -> None:
    corridor = house.open()
    corridor.ask(operation(), "query")
    house.audit.failed = "the disk is full"
    with pytest.raises(RecordingFailed):
        corridor.commit()
    with pytest.raises(RecordingFailed):
        corridor.ask(operation(), "query")
    corridor.close("audit failed")
    house.audit.failed = None
    assert len(house.live) == 0


def test_a_session_begins_and_ends_in_both_books(house: House) -> None:
    corridor = house.open()
    corridor.ask(operation(), "query")
    corridor.commit()
    corridor.result(1, "SELECT 5", 5, 100, ("a",))
    assert (corridor.live.rows, corridor.live.size) == (5, 100)
    corridor.close("the client left")
    corridor.close("again")
    assert len(house.live) == 0
    [closed] = house.events("session_closed")
    assert closed["unmapped"]["operations"] == 1
    assert closed["unmapped"]["rows"] == 5
    [recording] = house.node.directory.rglob("*.ostrec")
    report = verify(recording, PUBLIC)
    assert report.ok
    assert closed["unmapped"]["recording_length"] == recording.stat().st_size


def test_a_session_that_can_not_be_recorded_is_none_and_the_audit_log_says_so(house: House) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RecordingFailed("the disk is full")

    admitted = house.admit()
    house.gate.recordings = SimpleNamespace(begin=fails, free_space=lambda: 2**40, low_water=0)  # type: ignore[assignment]  # as much as is used
    with pytest.raises(RecordingFailed):
        house.open(admitted)
    assert [each["status_detail"] for each in house.events("recording_failed")] == ["the disk is full"]
    assert not house.live


def test_a_session_that_the_audit_log_does_not_know_is_none(house: House) -> None:
    admitted = house.admit()
    house.audit.failed = "the disk is gone"
    with pytest.raises(RecordingFailed):
        house.open(admitted)
    house.audit.failed = None
    assert len(house.live) == 0


@pytest.mark.parametrize(
    ("session", "identity", "expires"),
    [
        ("{max: 1h}", None, 3600),
        ("{expire: identity}", 60.0, 60),
        ("{max: 1h, expire: identity}", 60.0, 60),
        ("{max: 1h}", 60.0, 60),
        ("{max: 1h, expire: session}", 60.0, 3600),
    ],
)
def test_a_session_ends_with_its_limits(tmp_path: Path, session: str, identity: float | None, expires: float) -> None:
    house = House(tmp_path, READS.replace("sql:", f"session: {session}, sql:"))
    now = house.clock.seconds()
    who = principal("alice", expires_at=None if identity is None else now + identity)
    corridor: Corridor = house.open(house.admit(who))
    assert corridor.live.expires == now + expires
    house.close()


def test_a_new_policy_shortens_what_lives(house: House) -> None:
    corridor: Corridor = house.open()
    began = house.clock.seconds()
    house.clock.advance(100)
    house.gate.rules = house.rules(READS.replace("sql:", "session: {max: 1h}, sql:"))
    assert corridor.refresh()
    assert corridor.live.expires == began + 3600
    house.gate.rules = house.rules(READS.replace("sql:", "session: {max: 2h}, sql:"))
    assert corridor.refresh()
    assert corridor.live.expires == began + 3600, "what it was told at its beginning, or since, is not taken back"
    house.gate.rules = house.rules(READS.replace("sql:", "session: {max: 1m}, sql:"))
    ended = corridor.gone(house.clock.seconds())
    assert ended is not None
    assert ended.message == "your access has expired"


def test_comparisons_with_hidden_values_are_counted_and_limited(house: House) -> None:
    use = LabelUse("probe", "WHERE", HIDDEN, ("customers.ssn",), count=PROBES_AT_ONCE // 2)
    asked = operation("SELECT 1 FROM customers WHERE ssn = '1'", labels=HIDDEN, uses=(use,))
    corridor = house.open()
    assert corridor.ask(asked, "query").denial is None
    assert not house.events("values_probed"), "nothing is hidden"
    corridor.see(HIDDEN, FakePlanner())
    assert corridor.ask(asked, "parse").denial is None, "a Parse compares nothing"
    assert corridor.ask(asked, "execute").denial is None
    other = house.open()
    other.see(HIDDEN, FakePlanner())
    assert other.ask(asked, "query").denial is None
    verdict = corridor.ask(asked, "query")
    assert verdict.denial is not None, "the other session's count for the principal"
    assert "too many of its values were compared" in verdict.denial.message
    house.clock.advance(60 * PROBES_AT_ONCE / PROBES_A_MINUTE)
    assert corridor.ask(asked, "query").denial is None
    corridor.commit()
    found = [one["unmapped"] for one in house.events("values_probed")]
    assert [one["outcome"] for one in found] == ["allow", "allow", "deny", "allow"]
    assert found[0]["labels"] == ["pii.ssn"]
    assert found[0]["count"] == PROBES_AT_ONCE // 2
