"""Access lasts as long as its right, to the second: what ends a session ends it while it does nothing, in the middle of
a result and while it waits for approvers, with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import approving
from support.approving import Approver, Ledger, asks
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import scratch_directory, wait_until
from support.rawclient import LoginRefused
from support.watching import Watched, took

from gateway.identity import hash_password
from gateway.secrets import Secret

pytestmark = pytest.mark.e2e

PROMISED = 3.0
"""Seconds within which a session is over that has to end; on a machine with room it is one."""

SOON = 4
"""Seconds that a session of some group lives."""

LOAD = 20
"""Sessions that read results all the time."""

PASSWORD = "correct horse"
HASHED = hash_password(Secret(PASSWORD.encode()))


def access(group: str, **others: Any) -> dict[str, Any]:
    return {"name": f"access of {group}", "groups": [group], "targets": [approving.DATABASE], **others}


def allow(group: str, **others: Any) -> dict[str, Any]:
    # Not known to be harmless, it would have to be approved.
    return access(group, sql={"verbs": ["read", "dml"], "functions": ["pg_sleep"]}, **others)


ALLOWED = [
    allow("staff"),
    allow("visitors"),
    allow("hourly", session={"max": f"{SOON}s"}),
    allow("sleepy", session={"idle": "2s"}),
]
POLICY: dict[str, Any] = {
    "allow": ALLOWED,
    "approve": [
        asks("a second person", ["delete"]),
        access("visitors", session={}, approvers={"groups": ["dba"]}, grant={"within": "1h"}),
    ],
}


def write_passwords(path: Path, groups: list[str] | None) -> None:
    """paul's groups; None: there is no paul."""
    paul = [] if groups is None else [{"name": "paul", "groups": groups, "password": HASHED}]
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(paul))


@dataclass
class House:
    gateway: Ostiary
    approver: Approver
    passwords: Path

    def act(self, path: str, **body: Any) -> Any:
        return self.approver.must("POST", path, body)

    def configure(self, **files: Any) -> None:
        self.gateway.write(**files)
        self.act("reload")


@pytest.fixture(scope="module")
def truth(target_server: Postgres) -> Iterator[Ledger]:
    with approving.ledger(target_server) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres, truth: Ledger) -> Iterator[Ostiary]:
    passwords = scratch_directory("passwords") / "passwords.yaml"
    write_passwords(passwords, ["visitors"])
    settings = {"identity": {"passwords": f"file:{passwords}"}}
    with approving.gateway(pki, target_server, POLICY, settings) as running:
        yield running


@pytest.fixture
def house(gateway: Ostiary, truth: Ledger) -> Iterator[House]:
    truth.refill()
    passwords = Path(gateway.settings["identity"]["passwords"].removeprefix("file:"))
    with approving.an_approver(gateway) as approver:
        made = House(gateway, approver, passwords)
        yield made
        write_passwords(passwords, ["visitors"])
        made.configure(policy=POLICY)
        for lock in approver.must("GET", "locks")["locks"]:
            made.act(f"locks/{lock['id']}/unlock")
        approver.settle_all()
        wait_until(lambda: not approver.sessions(), what="no session is left")


def kill(house: House) -> None:
    for one in house.approver.sessions(principal="paul"):
        house.act(f"sessions/{one['id']}/kill", reason="because")


def lock(house: House, **what: str) -> None:
    if "session" in what:
        what["session"] = house.approver.sessions(principal="paul")[0]["id"]
    house.act("locks", reason="because", **what, **{"for": 600})


def revoke(house: House) -> None:
    house.act(f"grants/{house.approver.granted('paul')['id']}/revoke", reason="because")


def move(house: House, groups: list[str] | None) -> None:
    write_passwords(house.passwords, groups)
    house.act("reload")


GONE = "your right to this target has ended"
WAYS: dict[str, tuple[Callable[[House], None], str]] = {
    "killed": (kill, "an operator ended this session: because"),
    "principal locked": (lambda house: lock(house, principal="paul"), "you are locked out: because"),
    "target locked": (lambda house: lock(house, target=approving.DATABASE), "this target is locked: because"),
    "session locked": (lambda house: lock(house, session=""), "your access to this target is locked: because"),
    "approval revoked": (revoke, "the approval of your access was revoked: because"),
    "right taken": (lambda house: house.configure(policy=POLICY | {"allow": ALLOWED[:1]}), GONE),
    "denied": (
        lambda house: house.configure(policy=POLICY | {"deny": [access("visitors")]}),
        GONE,
    ),
    "group lost": (lambda house: move(house, ["staff-to-be"]), GONE),
    "login taken back": (lambda house: move(house, None), "your login has been taken back"),
    "entry of the approval changed": (
        lambda house: house.configure(
            policy=POLICY | {"approve": [access("visitors", session={}, approvers={"groups": ["dba", "owners"]})]}
        ),
        "policy changed: your access has to be approved anew",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_it_does_a_session_ends(way: str, house: House, truth: Ledger) -> None:
    act, reason = WAYS[way]
    with ExitStack() as stack:

        def session(statement: str | None = None) -> Watched:
            client = approving.raw(house.gateway, "paul", password=PASSWORD)
            watched = Watched(client, statement)
            stack.callback(watched.close)
            return watched

        with house.approver.says_yes():
            idle = session()
        busy, waiting = session(approving.LONG), session("delete from entries")
        request = house.approver.asked()
        wait_until(lambda: truth.sessions(busy=True) == 1, what="a result comes")
        begun = time.time()
        act(house)
        assert {idle.ended(), busy.ended()} == {reason}
        assert waiting.ended() in (reason, GONE), "it was asked to go on, and may not"
        assert took(begun, [idle, busy, waiting]) < PROMISED
        assert house.approver.state(request) == "withdrawn"
        wait_until(lambda: truth.sessions() == 0, what="it is over at the target, too")
        if way != "killed":
            with pytest.raises(LoginRefused), house.approver.says_yes(but_not=""):
                approving.raw(house.gateway, "paul", password=PASSWORD)
    assert len(truth.ids()) == approving.ROWS


def test_by_the_clock(house: House, pki: Pki, truth: Ledger) -> None:
    """The certificate's end, policy's `max` and `until`; `idle` for who does nothing."""
    until = int(time.time()) + SOON + 2
    moment = datetime.fromtimestamp(until, UTC).isoformat()
    house.configure(policy=POLICY | {"allow": [*ALLOWED, allow("temporary", until=moment)]})
    with ExitStack() as stack:

        def session(who: Issued, statement: str | None) -> Watched:
            watched = Watched(approving.raw(house.gateway, who), statement)
            stack.callback(watched.close)
            return watched

        def both(who: Issued) -> list[Watched]:
            return [session(who, statement) for statement in (None, approving.LONG)]

        brief = pki.client("brief", groups=["staff"], seconds=SOON + 1)
        ends = brief.load().not_valid_after_utc.timestamp()
        certified = both(brief)
        began = time.time()
        hourly = both(pki.client("hourly", groups=["hourly"]))
        temporary = both(pki.client("temporary", groups=["temporary"]))
        sleepy, awake = both(pki.client("sleepy", groups=["sleepy"]))
        slept = time.time()
        assert sleepy.ended() == "nothing was asked for 2 s"
        figures = {"idle": sleepy.at - slept - 2}
        for name, sessions, end, reason in (
            ("certificate", certified, ends, "your access has expired"),
            ("max", hourly, began + SOON, "your access has expired"),
            ("until", temporary, until, GONE),
        ):
            figures[name] = took(end, sessions)
            assert {one.reason for one in sessions} == {reason}
            assert min(one.at for one in sessions) > end - 0.5, "not before"
        for name, late in figures.items():
            print(f"{name}: {late:+.2f} s after its time")  # noqa: T201  # measured
            assert late < PROMISED
        assert not awake.is_over, "a result that comes is no idle time"
        with pytest.raises(LoginRefused):
            approving.raw(house.gateway, pki.client("temporary", groups=["temporary"]))


def test_under_load(house: House, pki: Pki, truth: Ledger) -> None:
    """Twenty sessions in the middle of results end; twenty of somebody else's go on."""
    with ExitStack() as stack:

        def sessions(who: Issued) -> list[Watched]:
            made = [Watched(approving.raw(house.gateway, who), approving.LONG) for _ in range(LOAD)]
            for one in made:
                stack.callback(one.close)
            return made

        visitor, staff = pki.client("visitor", groups=["visitors"]), pki.client("staff", groups=["staff"])
        others = sessions(staff)
        for name in ("kill", "lock", "revoke"):
            with house.approver.says_yes():
                theirs = sessions(visitor)
            wait_until(lambda: truth.sessions(busy=True) == 2 * LOAD, seconds=30, what="all of them read")
            begun = time.time()
            if name == "kill":
                for one in house.approver.sessions(principal="visitor"):
                    house.act(f"sessions/{one['id']}/kill")
            elif name == "lock":
                made = house.act("locks", principal="visitor", **{"for": 600})["lock"]
            else:
                house.act(f"grants/{house.approver.granted('visitor')['id']}/revoke")
            last = took(begun, theirs)
            print(f"{name}: {LOAD} of {2 * LOAD} busy sessions in {last:.2f} s")  # noqa: T201  # measured
            assert last < PROMISED
            assert all(one.reason != "nothing was said" for one in theirs)
            if name == "lock":
                house.act(f"locks/{made['id']}/unlock")
        assert not any(one.is_over for one in others)


def test_what_runs_ends_with_the_gateway(house: House, pki: Pki, truth: Ledger) -> None:
    with approving.raw(house.gateway, pki.client("staff", groups=["staff"])) as client:
        watched = Watched(client, "select pg_sleep(600)")
        wait_until(lambda: truth.sessions(busy=True) == 1, what="it runs")
        house.gateway.stop()
        assert watched.ended() == "the gateway is being stopped"
    wait_until(lambda: truth.sessions(busy=True) == 0, what="it runs no more")
    house.gateway.start()
