"""What those outside are told of a request for approval, and how they know that it comes from us.

A notice says who asks for what, never with which values: the statement is the normalised one, its text and parameters
are for approvers, behind a login (policy.md, semantics 12). All that a caller chose is data: bounded, one line, nothing
that a chat obeys. The link leads to the request and decides nothing: chats fetch links by themselves.
"""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

from gateway.audit.ocsf import bounded, bounded_names, encode
from gateway.model import ApprovalTerms, place
from gateway.recording.export import printable
from gateway.secrets import Secret
from gateway.store.requests import Request

Form = Literal["json", "slack"]
Occasion = Literal["requested", "settled"]

MAX_STATEMENT: Final = 2048
"""Encoded bytes of a statement; the rest is a click away."""

MAX_LISTED: Final = 16
"""Groups, relations, labels, rules, votes."""

MAX_APPROVERS: Final = 4
"""Globs of each kind that a rule's approvers are told as."""

MAX_SHOWN: Final = 3
"""Rules, votes, groups in a chat."""

MAX_LINE: Final = 200
MAX_STATEMENT_LINE: Final = 1200
"""Characters of a line in a chat, so that all of it stays below 4,000: Slack may split what is longer, and then the
code block would end where it does."""


def occasion_of(request: Request) -> Occasion | None:
    """What there is to tell after a change; None: a vote that settles nothing is for those who watch."""
    if request.state != "pending":
        return "settled"
    return "requested" if not request.votes else None


def notice_id(request: Request, occasion: Occasion) -> str:
    """The same for each attempt and each receiver; without a full stop, which separates what is signed."""
    return f"approval-{request.id}-{int(request.created)}-{occasion}"


def sign(key: Secret, id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature`` (Standard Webhooks 1.0.0, "Signature scheme", symmetric)."""
    signed = hmac.digest(key.reveal(), b"%b.%d.%b" % (id.encode(), timestamp, body), "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


def notice(request: Request, occasion: Occasion, form: Form, *, node: str, url: str | None) -> bytes:
    """The body. ``node`` is the gateway's name, ``url`` what the link is put behind (`approvals.url`)."""
    link = None if url is None else f"{url}/approvals/{quote(request.id, safe='')}"
    if form == "slack":
        return _slack(request, occasion, node, link)
    return encode(
        {
            "type": f"approval.{occasion}",
            "timestamp": _time(request.created if request.settled_at is None else request.settled_at),
            "data": _data(request, node, link),
        }
    )


def _data(request: Request, node: str, link: str | None) -> dict[str, object]:
    subject = request.subject
    said: dict[str, object] = {
        "id": request.id,
        "gateway": node,
        "state": request.state,
        "kind": subject.kind,
        "principal": bounded(subject.principal),
        "principal_kind": subject.principal_kind,
        "groups": bounded_names(subject.groups, MAX_LISTED),
        "address": bounded(subject.address),
        "session": bounded(subject.session),
        "target": bounded(subject.target),
        "database": bounded(subject.database),
        "role": bounded(subject.role),
        "verbs": bounded_names(subject.verbs, MAX_LISTED),
        "relations": bounded_names(subject.relations, MAX_LISTED),
        "labels": bounded_names(subject.labels, MAX_LISTED),
        "statement": bounded(subject.normalised, MAX_STATEMENT),
        "rules": [
            {
                "name": bounded(terms.rule),
                "needed": terms.needed,
                "approvers": {
                    "principals": bounded_names(terms.principals, MAX_APPROVERS),
                    "groups": bounded_names(terms.groups, MAX_APPROVERS),
                },
            }
            for terms in request.terms[:MAX_LISTED]
        ],
        "created": _time(request.created),
        "deadline": _time(request.deadline),
    }
    if link is not None:
        said["link"] = link
    if request.settled_at is not None:
        said["settled"] = _time(request.settled_at)
        said["reason"] = bounded(request.reason)
        said["votes"] = [
            {"approver": bounded(vote.approver), "yes": vote.yes, "reason": bounded(vote.reason)}
            for vote in request.votes[:MAX_LISTED]
        ]
    return said


def _slack(request: Request, occasion: Occasion, node: str, link: str | None) -> bytes:
    """A headline of our own words, and the rest in a code block, where neither Slack nor what takes Slack's messages
    (Mattermost, Rocket.Chat, Discord) looks for mentions, links or formatting."""
    until = datetime.fromtimestamp(request.deadline, UTC).strftime("%H:%M:%S UTC")
    said = f"is asked for, until {until}" if occasion == "requested" else f"is settled: {request.state}"
    headline = f"Approval {request.id} {said}, gateway {_line(node)}" + ("" if link is None else f" <{link}>")
    block = "\n".join(f"{name:<9}  {_line(text, room)}" for name, text, room in _fields(request) if text)
    return encode(
        {
            "text": f"{headline}\n```\n{block}\n```",
            # Nothing is taken for a name or a link but what is marked as one, and nobody fetches the link.
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
    )


def _fields(request: Request) -> list[tuple[str, str, int]]:
    """Name, text and most characters of each line."""
    subject = request.subject
    groups = "".join(f", {name}" for name in bounded_names(subject.groups, MAX_SHOWN))
    verbs, relations, labels = (
        ", ".join(bounded_names(names, MAX_LISTED)) for names in (subject.verbs, subject.relations, subject.labels)
    )
    fields = [
        ("who", f"{subject.principal} ({subject.principal_kind}{groups}) from {subject.address}", MAX_LINE),
        ("where", place(subject.target, subject.database, subject.role), MAX_LINE),
        ("what", "a session" if subject.kind == "session" else verbs, MAX_LINE),
        ("statement", bounded(subject.normalised, MAX_STATEMENT), MAX_STATEMENT_LINE),
        ("relations", relations, MAX_LINE),
        ("labels", labels, MAX_LINE),
    ]
    fields += [("needs", _needs(terms), MAX_LINE) for terms in request.terms[:MAX_SHOWN]]
    for vote in request.votes[:MAX_SHOWN]:
        because = f", {vote.reason}" if vote.reason else ""
        fields.append(("vote", f"{'yes' if vote.yes else 'no'} by {vote.approver}{because}", MAX_LINE))
    fields.append(("reason", request.reason, MAX_LINE))
    return fields


def _needs(terms: ApprovalTerms) -> str:
    approvers = [f"group {name}" for name in bounded_names(terms.groups, MAX_APPROVERS)]
    approvers += bounded_names(terms.principals, MAX_APPROVERS)
    return f"{terms.needed} of {', '.join(approvers)} (rule {terms.rule})"


def _line(text: str, room: int = MAX_LINE) -> str:
    """``text`` on one line that ends no code block, hides nothing and is at most ``room`` characters long; what Slack
    obeys is escaped (its "Formatting text", "Escaping text")."""
    shown = printable(text[:room]).replace("`", "'")
    escaped = [_ESCAPES.get(char, char) for char in shown]
    length = sum(map(len, escaped))
    cut = len(text) > room or length > room
    while length > room - len(_CUT) * cut:
        length -= len(escaped.pop())
    return "".join(escaped) + _CUT * cut


_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_CUT: Final = "...[cut]"


def _time(seconds: float) -> str:
    """RFC 3339, as Standard Webhooks' own example."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
