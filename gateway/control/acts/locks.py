"""Keeping somebody out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec

from gateway.control import messages as m
from gateway.control.acts.sessions import find
from gateway.control.route import Asked, Refused, Route
from gateway.errors import NoSuchThing
from gateway.session import LiveSession
from gateway.store.requests import Lock

LOCKED = ("principal", "target", "session")
"""What can be named; one of them."""

LockBody = Annotated[
    m.LockRequest, msgspec.Meta(extra_json_schema={"oneOf": [{"required": [name]} for name in LOCKED]})
]


def list_(asked: Asked) -> m.Locks:
    locks = asked.gateway.approvals.locks()
    return m.Locks(asked.gateway.clock(), tuple(map(_lock, locks)))


def lock(asked: Asked) -> m.Locked:
    body: m.LockRequest = asked.body
    gateway, approvals = asked.gateway, asked.gateway.approvals
    given = {name: getattr(body, name) for name in LOCKED if getattr(body, name) is not msgspec.UNSET}
    if len(given) != 1:
        mend = "name one; a session stands for its principal on its target"
        raise Refused(HTTPStatus.BAD_REQUEST, f"{len(given)} of principal, target and session are named", mend)
    principal, target, session = (given.get(name) for name in LOCKED)
    if target is not None and target not in gateway.gate.rules.targets:
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such target", "its name is that in targets.d")
    if session is not None:
        access = find(asked, session).access
        principal, target = access.principal.name, access.target.name
    if target is None and principal == asked.caller.name:
        mend = "another operator can do it"
        raise Refused(HTTPStatus.CONFLICT, "that is you, and you could not unlock yourself", mend)

    def is_out(live: LiveSession) -> bool:
        return approvals.locked(live.access.principal.name, live.access.target.name) is not None

    before = [live for live in gateway.live if not is_out(live)]
    made = approvals.lock(
        Lock(
            id="",
            principal=principal,
            target=target,
            made=0.0,
            until=gateway.clock() + body.seconds,
            by=asked.caller.name,
            reason=body.reason,
            session=session,
        )
    )
    return m.Locked(gateway.clock(), _lock(made), sum(map(is_out, before)))


def unlock(asked: Asked) -> m.Unlocked:
    try:
        gone = asked.gateway.approvals.unlock(asked.subject, asked.caller.name)
    except NoSuchThing as error:
        raise Refused(HTTPStatus.NOT_FOUND, error.message, "`ostiary locks list` shows them") from None
    return m.Unlocked(asked.gateway.clock(), _lock(gone))


def _lock(lock: Lock) -> m.Lock:
    return m.Lock(
        id=lock.id,
        principal=lock.principal,
        target=lock.target,
        session=lock.session,
        made=lock.made,
        until=lock.until,
        by=lock.by,
        reason=lock.reason,
    )


ROUTES = (
    Route("GET", "/v1/locks", "locks.list", "look", "Locks in force, oldest first.", m.Locks, list_),
    Route(
        "POST",
        "/v1/locks",
        "locks.lock",
        "act",
        "Keep a principal, a target's callers, or a session's principal on its target out for a while; live sessions "
        "of theirs end at once.",
        m.Locked,
        lock,
        body=LockBody,
        also=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    ),
    Route(
        "POST",
        "/v1/locks/{id}/unlock",
        "locks.unlock",
        "act",
        "End a lock before its time.",
        m.Unlocked,
        unlock,
        body=m.Nothing,
    ),
)
