"""Requests to approvers, their votes, and the grants that came of them.

Whoever may look sees all of them; an approver sees what an entry lets it decide, and whoever asked sees its own. For
everybody else a request is one that does not exist. A statement in full may hold what columns hide: who is shown one is
an audit event, and lists have its normalised text only.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

from gateway.audit.events import AdministrativeAct
from gateway.control import messages as m
from gateway.control.route import Asked, Refused, Route
from gateway.errors import NoSuchThing, NotPending, NotYours
from gateway.store.requests import Grant, Request

MAX_STATEMENT = 1000
"""Characters of a statement in a list: a screen. A day's requests would otherwise be gigabytes."""


MAX_LISTED = 1000
"""Requests, or grants, in a list; of more the newest. Nobody reads on, and twenty thousand of them take a second and a
half (20 MB), in which no session goes on."""


def list_(asked: Asked) -> m.Approvals:
    query: m.ApprovalsQuery = asked.query
    every = asked.gateway.approvals.requests()
    found = [one for one in every if query.state in (None, one.state) and concerns(asked, one)]
    listed = tuple(approval(asked, one) for one in found[-MAX_LISTED:])
    return m.Approvals(asked.gateway.clock(), listed, len(found) - len(listed))


def show(asked: Asked) -> m.ApprovalAnswer:
    request = _find(asked)
    caller = asked.caller
    asked.say(AdministrativeAct(caller.name, asked.route.act, request.id, address=caller.address))
    return _answer(asked, request)


def vote(yes: bool, asked: Asked) -> m.ApprovalAnswer:
    body: m.VoteRequest = asked.body
    try:
        request = _find(asked)
        settled = asked.gateway.approvals.decide(request.id, asked.caller.approver, yes=yes, reason=body.reason)
    except NotPending as error:
        raise Refused(HTTPStatus.CONFLICT, error.message, error.hint) from None
    except NotYours as error:
        raise Refused(HTTPStatus.FORBIDDEN, error.message, error.hint, audited=True) from None
    return _answer(asked, settled)


def grants(asked: Asked) -> m.Grants:
    caller = asked.caller
    every = caller.has("look")
    found = [
        one
        for one in asked.gateway.approvals.grants()
        if every or caller.name in (one.subject.principal, *one.approvers)
    ]
    listed = tuple(map(_grant, found[-MAX_LISTED:]))
    return m.Grants(asked.gateway.clock(), listed, len(found) - len(listed))


def revoke(asked: Asked) -> m.Revoked:
    body: m.RevokeRequest = asked.body
    try:
        grant = asked.gateway.approvals.revoke(asked.subject, asked.caller.name, body.reason)
    except NoSuchThing as error:
        raise Refused(HTTPStatus.NOT_FOUND, error.message, "`ostiary grants list` shows them") from None
    return m.Revoked(asked.gateway.clock(), _grant(grant))


def _find(asked: Asked) -> Request:
    """Raises Refused, in the same words and with the same trace whether there is none or it is none of theirs."""
    request = asked.gateway.approvals.find(asked.subject)
    if request is None or not concerns(asked, request):
        mend = "`ostiary approvals list` shows those that concern you"
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such request", mend, audited=asked.route.method == "POST")
    return request


def concerns(asked: Asked, request: Request) -> bool:
    """Whether the caller may know of it."""
    caller = asked.caller
    return (
        caller.has("look")
        or caller.name == request.subject.principal
        or asked.gateway.approvals.is_approver(request, caller.approver)
    )


def _answer(asked: Asked, request: Request) -> m.ApprovalAnswer:
    subject = request.subject
    return m.ApprovalAnswer(asked.gateway.clock(), approval(asked, request), subject.text, subject.parameters)


def approval(asked: Asked, request: Request) -> m.Approval:
    """As the caller sees it."""
    subject, counted = request.subject, dict(request.counted)
    return m.Approval(
        id=request.id,
        state=request.state,
        kind=subject.kind,
        principal=subject.principal,
        principal_kind=subject.principal_kind,
        groups=subject.groups,
        address=subject.address,
        session=subject.session,
        target=subject.target,
        database=subject.database,
        role=subject.role,
        statement=_cut(subject.normalised),
        verbs=subject.verbs,
        relations=subject.relations,
        labels=subject.labels,
        terms=tuple(
            m.Terms(
                rule=term.rule,
                principals=term.principals,
                groups=term.groups,
                needed=term.needed,
                counted=counted.get(term.digest, 0),
                wait=term.wait,
                uses=term.uses,
                within=term.within,
                ends=term.ends,
            )
            for term in request.terms
        ),
        votes=tuple(m.Vote(one.approver, one.yes, one.at, one.reason, one.via) for one in request.votes),
        created=request.created,
        deadline=request.deadline,
        settled=request.settled_at,
        reason=request.reason,
        may_decide=asked.gateway.approvals.may_decide(request, asked.caller.approver),
    )


def _grant(grant: Grant) -> m.Grant:
    subject = grant.subject
    return m.Grant(
        id=grant.id,
        state=grant.state,
        kind=subject.kind,
        principal=subject.principal,
        target=subject.target,
        database=subject.database,
        role=subject.role,
        statement=_cut(subject.normalised),
        rules=tuple(term.rule for term in grant.terms),
        approvers=grant.approvers,
        made=grant.made,
        ends=grant.ends,
        left=grant.left,
        reason=grant.reason,
    )


def _cut(statement: str) -> str:
    if len(statement) <= MAX_STATEMENT:
        return statement
    return f"{statement[:MAX_STATEMENT]}...[cut, {len(statement)} characters]"


def _vote(verb: str, says: str, *, yes: bool) -> Route:
    return Route(
        "POST",
        f"/v1/approvals/{{id}}/{verb}",
        f"approvals.{verb}",
        "known",
        says,
        m.ApprovalAnswer,
        partial(vote, yes),
        body=m.VoteRequest,
        also=(HTTPStatus.CONFLICT,),
    )


ROUTES = (
    Route(
        "GET",
        "/v1/approvals",
        "approvals.list",
        "known",
        "Requests to approvers that concern the caller, oldest first.",
        m.Approvals,
        list_,
        query=m.ApprovalsQuery,
    ),
    Route(
        "GET",
        "/v1/approvals/{id}",
        "approvals.show",
        "known",
        "One request, with the statement in full. That it was shown is an audit event.",
        m.ApprovalAnswer,
        show,
    ),
    _vote("approve", "Say yes to a request, as one of its approvers.", yes=True),
    _vote("deny", "Say no to a request, as one of its approvers. One no settles it.", yes=False),
    Route(
        "GET",
        "/v1/grants",
        "grants.list",
        "known",
        "What yeses are worth; those that concern the caller, oldest first.",
        m.Grants,
        grants,
    ),
    Route(
        "POST",
        "/v1/grants/{id}/revoke",
        "grants.revoke",
        "act",
        "End a grant at once, and the sessions that it let in.",
        m.Revoked,
        revoke,
        body=m.RevokeRequest,
    ),
)
