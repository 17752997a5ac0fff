"""The page that a notice links to: one request for approval, to look at. It has no script and no form, and decides
nothing: whoever wants to decide copies a command, and is proven by what the command line shows.

All that callers wrote is text here, in elements and never in attributes; what would not be seen is written as its
escape.
"""

from __future__ import annotations

import base64
import hashlib
import html
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from gateway.control.messages import Approval, ApprovalAnswer, Terms
from gateway.model import place
from gateway.recording.export import printable

HTML: Final = "text/html; charset=utf-8"

_STYLE: Final = (
    "body{font:16px/1.4 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "th{text-align:left;vertical-align:top;padding:.2em 1.5em .2em 0;white-space:nowrap}"
    "td,pre{overflow-wrap:anywhere}pre{background:#eee;color:#000;padding:.7em;white-space:pre-wrap;margin:0}"
)

HEADERS: Final = {
    # https://www.w3.org/TR/CSP3/: nothing is loaded, run, sent or framed; the one style is named by its hash.
    "Content-Security-Policy": "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Page:
    """An answer that is a page (`gateway.control.route.Stream`), over as soon as it is begun."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def begin(self, request: Any) -> None:
        for name, value in HEADERS.items():
            request.setHeader(name.encode(), value.encode())
        request.setHeader(b"content-length", str(len(self._text)).encode())
        request.write(self._text)
        request.finish()


def approval_page(answer: ApprovalAnswer, *, url: str | None) -> bytes:
    """``url`` is `approvals.url`, by which the command line reaches this gateway; None: it says so itself."""
    one = answer.approval
    title = f"Request {one.id}: {one.state}"
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{shown}</td></tr>\n" for name, shown in _rows(answer))
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title><style>{_STYLE}</style></head>\n'
        f"<body><h1>{_text(title)}</h1>\n<table>\n{rows}</table>\n{_to_do(one, url)}</body></html>\n"
    ).encode()


def _rows(answer: ApprovalAnswer) -> Iterable[tuple[str, str]]:
    one = answer.approval
    groups = f"; {', '.join(one.groups)}" if one.groups else ""
    yield "who", _text(f"{one.principal} ({one.principal_kind}{groups})")
    yield "from", _text(f"{one.address}, session {one.session}")
    yield "where", _text(place(one.target, one.database, one.role))
    if one.kind == "session":
        yield "what", "access as such, for a session"
    else:
        yield "statement", _block(answer.text)
        for number, value in enumerate(answer.parameters, 1):
            yield f"${number}", "NULL" if value is None else _block(value)
        for name, names in (("verbs", one.verbs), ("relations", one.relations), ("labels", one.labels)):
            if names:
                yield name, _text(", ".join(names))
    for terms in one.terms:
        yield "needs", _text(_needs(terms))
    for vote in one.votes:
        because = f": {vote.reason}" if vote.reason else ""
        yield "vote", _text(f"{'yes' if vote.yes else 'no'} by {vote.approver}, {_time(vote.at)}{because}")
    yield "asked", _time(one.created)
    yield "open until", _time(one.deadline)
    if one.settled is not None:
        yield "settled", _time(one.settled) + (_text(f": {one.reason}") if one.reason else "")


def _needs(terms: Terms) -> str:
    approvers = ", ".join((*(f"group {name}" for name in terms.groups), *terms.principals))
    uses = "any number of uses" if terms.uses is None else f"{terms.uses} uses"
    return (
        f"{terms.counted} of {terms.needed} yeses of {approvers}, by rule {terms.rule}; "
        f"worth {uses} within {terms.within:g} s"
    )


def _to_do(one: Approval, url: str | None) -> str:
    if one.state != "pending":
        return "<p>It is settled.</p>\n"
    if not one.may_decide:
        return "<p>It is not yours to decide.</p>\n"
    # The command line takes no path behind the gateway's name.
    option = "" if url is None else " --url " + shlex.quote("/".join(url.split("/")[:3]))
    commands = "\n".join(f"ostiary approvals {verb} {shlex.quote(one.id)}{option}" for verb in ("approve", "deny"))
    return f"<p>To decide, on a terminal:</p>\n<pre>{html.escape(commands)}</pre>\n"


def _text(text: str) -> str:
    return html.escape(printable(text))


def _block(text: str) -> str:
    """Lines stay lines."""
    return "<pre>" + "\n".join(map(_text, text.split("\n"))) + "</pre>"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
