"""No way around a role: every caller at every route, and what each of them gets.

The table of routes is what is served, so that a new route fails here until somebody says who may use it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from control.made import (
    ANYBODY,
    APPROVER,
    ASKER,
    AUDITOR,
    BROKEN_GLASS,
    GROUPED,
    NOBODY,
    OPERATOR,
    OWN,
    FakeGateway,
    names,
)
from control.talk import Answer, ask, clock
from cryptography.hazmat.primitives.serialization import Encoding
from session.asked import DORA, subject, terms
from support.pki import Pki

from gateway.control.api import ROUTES, control_site
from gateway.control.pages import HTML
from gateway.control.route import Route
from gateway.control.sites import QuietSite
from gateway.recording import SessionHeader
from gateway.secrets import Secret
from gateway.store import TokenVault
from gateway.store.requests import Lock

UIDS = {
    "operator": OPERATOR,
    "operator by group": GROUPED,
    "auditor": AUDITOR,
    "approver": APPROVER,
    "asker": ASKER,
    "anybody": ANYBODY,
    "break glass": BROKEN_GLASS,
    "root": NOBODY,
    "unlisted": 4242,
    "gateway": OWN,
}
CERTIFICATES = {
    "operator": ("olga",),
    "operator by group": ("oscar", "ops"),
    "auditor": ("aude",),
    "approver": ("dora", "dba-oncall"),
    "asker": ("alice",),
    "anybody": ("ben", "operator", "auditor", "principal:olga", "group:ops", "dba"),
    "break glass": ("bree",),
}
"""Name and groups."""

OPERATORS = {"operator", "operator by group"}
LOOKING = {*OPERATORS, "auditor"}
KNOWN = {*LOOKING, "approver", "asker", "anybody", "break glass"}

MAY: dict[str, set[str]] = {
    "status": LOOKING,
    "configuration.reload": {*OPERATORS, "gateway"},
    "sessions.list": LOOKING,
    "sessions.show": LOOKING,
    "sessions.kill": OPERATORS,
    "sessions.watch": {"auditor"},
    "approvals.list": KNOWN,
    "approvals.watch": KNOWN,
    "approvals.page": {*LOOKING, "approver", "asker"},
    "approvals.show": {*LOOKING, "approver", "asker"},
    "approvals.approve": {"approver"},
    "approvals.deny": {"approver"},
    "grants.list": KNOWN,
    "grants.revoke": OPERATORS,
    "locks.list": LOOKING,
    "locks.lock": OPERATORS,
    "locks.unlock": OPERATORS,
    "tokens.resolve": {"auditor"},
    "description": KNOWN,
}
"""Who gets a 200."""

HIDDEN: dict[str, set[str]] = {
    "approvals.show": {"anybody", "break glass"},
    "approvals.page": {"anybody", "break glass"},
    "approvals.approve": {"anybody", "break glass"},
    "approvals.deny": {"anybody", "break glass"},
}
"""Who gets a 404: for them there is no such thing. Everybody else gets a 403."""

UNAUDITED = {"approvals.show", "approvals.page"}
"""Whose 404 leaves no trace: somebody looked for what is not theirs, and learned nothing."""


@dataclass
class World:
    """A gateway with something of everything."""

    gateway: FakeGateway
    site: QuietSite
    ids: dict[str, str]
    bodies: dict[str, object]
    told: list[Any]

    def ask(self, route: Route, by: int | bytes, id: str | None = None) -> Answer:
        path = route.path.replace("{id}", id if id is not None else self.ids.get(route.act, ""))
        body = self.bodies.get(route.act, {})
        data = json.dumps(body).encode() if route.method == "POST" else b""
        return ask(self.site, route.method, path, uid=by, body=data)

    def state(self) -> object:
        """All that an act could change."""
        approvals, gateway = self.gateway.approvals, self.gateway
        return approvals.requests(), approvals.grants(), approvals.locks(), tuple(self.told), tuple(gateway.reloaded_by)


@pytest.fixture
def world(gateway: FakeGateway) -> World:
    gateway.reactor.rightNow = time.time()  # certificates are valid now
    session, told = gateway.session()
    header = SessionHeader(session.id, session.access, session.started, "d" * 64)
    recorder = gateway.recordings.begin(header, on_failure=told.append)
    session.written = lambda: recorder.size
    approvals = gateway.approvals
    approved = approvals.request(subject("alice", "a" * 64), (terms(),))
    approvals.decide(approved.id, DORA, yes=True)
    request = approvals.request(subject("alice", text="select secret", parameters=("s3cret",)), (terms(needed=2),))
    lock = approvals.lock(Lock("", "carl", None, 0, gateway.clock() + 3600, "olga"))
    gateway.vault = TokenVault(gateway.directory / "store" / "tokens.db", Secret(b"x" * 44), clock=gateway.clock)
    token = gateway.vault.token(b"900-12-3456").decode()
    gateway.vault.settle()
    ids = {
        "sessions.show": session.id,
        "sessions.kill": session.id,
        "sessions.watch": session.id,
        "approvals.show": request.id,
        "approvals.page": request.id,
        "approvals.approve": request.id,
        "approvals.deny": request.id,
        "grants.revoke": approved.id,
        "locks.unlock": lock.id,
    }
    bodies: dict[str, object] = {
        "locks.lock": {"principal": "mallory", "for": 60},
        "tokens.resolve": {"tokens": [token]},
    }
    return World(gateway, control_site(gateway, clock(), own=OWN), ids, bodies, told)


@pytest.fixture(scope="module")
def certificates(pki: Pki) -> dict[str, bytes]:
    return {
        caller: pki.client(name, groups=groups, file=f"rights-{name}").load().public_bytes(Encoding.DER)
        for caller, (name, *groups) in CERTIFICATES.items()
    }


By = Callable[[str], int | bytes]


@pytest.fixture(params=["socket", "tls"])
def callers(request: pytest.FixtureRequest, certificates: dict[str, bytes]) -> tuple[list[str], By]:
    """Who there is, and how each asks."""
    if request.param == "socket":
        return list(UIDS), UIDS.__getitem__
    return list(CERTIFICATES), certificates.__getitem__


def test_every_route_says_who_may() -> None:
    assert set(MAY) == {route.act for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.act)
def test_who_may_not(world: World, callers: tuple[list[str], By], route: Route) -> None:
    """They change nothing, learn nothing (not even that it exists), and it is written down."""
    everybody, by = callers
    before = world.state()
    for caller in everybody:
        if caller in MAY[route.act]:
            continue
        hidden = HIDDEN.get(route.act, set())
        events = len(world.gateway.events())
        answer = world.ask(route, by(caller))
        assert answer.code == (404 if caller in hidden else 403), caller
        told = answer.json
        assert set(told) == {"problem", "mend"}
        assert world.state() == before, caller
        said = world.gateway.events()[events:]
        if caller in hidden and route.act in UNAUDITED:
            assert not said
        else:
            [event] = map(json.loads, said)
            assert (event["unmapped"]["event"], event["status_id"]) == ("administrative_act", 2), caller
            assert event["api"]["operation"] == route.act
        if "{id}" in route.path and caller not in sees(route):
            other = world.ask(route, by(caller), "zzzz-zzzz")
            assert (other.code, other.json) == (answer.code, told), f"{caller} can tell what exists"
        for secret in (b"s3cret", b"select secret", b"900-12-3456", b"dba-oncall", b"orders"):
            assert secret not in answer.body


def sees(route: Route) -> set[str]:
    """Who may know that the request exists, though it isn't theirs to decide on."""
    return MAY["approvals.show"] if route.act.startswith("approvals.") else set()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.act)
def test_who_may(world: World, callers: tuple[list[str], By], route: Route) -> None:
    everybody, by = callers
    allowed = [caller for caller in everybody if caller in MAY[route.act]]
    if route.method == "POST":
        # The first of them does it: there is one request, one grant, one lock.
        allowed = allowed[:1]
        before = world.state()
    for caller in allowed:
        answer = world.ask(route, by(caller))
        assert answer.code == 200, (caller, answer.body)
        if route.streams == HTML:
            assert world.ids[route.act].encode() in answer.body
        else:  # of what goes on: its first line
            msgspec.json.decode(answer.body.partition(b"\n")[0], type=route.answer)
    if route.method == "POST" and route.act != "tokens.resolve":
        assert allowed
        assert world.state() != before


@pytest.mark.parametrize(
    ("caller", "requests", "grants", "may_decide"),
    [
        ("operator", 2, 1, 0),
        ("auditor", 2, 1, 0),
        ("approver", 2, 1, 1),
        ("asker", 2, 1, 0),
        ("anybody", 0, 0, 0),
        ("break glass", 0, 0, 0),
    ],
)
def test_lists_show_what_concerns_the_caller(
    world: World, caller: str, requests: int, grants: int, may_decide: int
) -> None:
    found = ask(world.site, "GET", "/v1/approvals", uid=UIDS[caller]).json["approvals"]
    assert len(found) == requests
    assert sum(one["may_decide"] for one in found) == may_decide
    assert len(ask(world.site, "GET", "/v1/grants", uid=UIDS[caller]).json["grants"]) == grants


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.act)
def test_who_is_locked_out_may_nothing(world: World, callers: tuple[list[str], By], route: Route) -> None:
    everybody, by = callers
    mapped = {"operator": "olga", "auditor": "aude", "approver": "dora", "asker": "alice", "anybody": "ben"}
    for name in mapped.values():
        world.gateway.approvals.lock(Lock("", name, None, 0, world.gateway.clock() + 3600, "gina"))
    before = world.state()
    for caller in everybody:
        if caller in mapped:
            assert world.ask(route, by(caller)).code == 403, caller
    assert world.state() == before


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.act)
def test_nobody_gets_anything_without_proof(world: World, route: Route) -> None:
    path = route.path.replace("{id}", world.ids.get(route.act, ""))
    before = world.state()
    assert ask(world.site, route.method, path, uid=None).code == 403
    assert world.state() == before


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "POST"], ids=lambda route: route.act)
def test_what_can_not_be_audited_is_not_done(world: World, route: Route) -> None:
    before = world.state()
    world.gateway.audit.failed = "the disk is gone"
    for by in UIDS.values():
        answer = world.ask(route, by)
        assert answer.code == 503, (by, answer.body)
        assert "nothing was done" in answer.json["problem"]
    assert world.state() == before


def test_the_same_answer_leaves_the_same_trace(world: World) -> None:
    """A vote on what isn't there and on what isn't theirs."""
    for id in (world.ids["approvals.approve"], "zzzz-zzzz"):
        ask(world.site, "POST", f"/v1/approvals/{id}/approve", uid=ANYBODY)
    first, second = (json.loads(line) for line in world.gateway.events()[-2:])
    assert names(world.gateway)[-2:] == ["administrative_act"] * 2
    assert first["status_detail"] == second["status_detail"] == "there is no such request"
