"""`ostiary approvals`: what waits for a person's yes, and giving it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from gateway.cli.options import Where, gateway_options, json_option, reason_option

if TYPE_CHECKING:
    from gateway.cli.control import Control
    from gateway.control.messages import Approval, ApprovalAnswer, Terms

STATES: Final = ("pending", "approved", "denied", "expired", "withdrawn")

LEAST_PREFIX: Final = 4
"""Characters of an id that may stand for it: half of one. Less would be a slip away from another request."""


@click.group()
def approvals() -> None:
    """Requests that wait for approvers, and those of the last day."""


@approvals.command("list")
@click.option(
    "--state",
    type=click.Choice((*STATES, "all")),
    default="pending",
    show_default=True,
    help="Which requests.",
)
@gateway_options
@json_option
def list_(state: str, where: Where, as_json: bool) -> None:
    """Requests that concern you, oldest first: you may decide on them, asked yourself, or may see all."""
    from gateway.cli.control import control
    from gateway.cli.output import ellipsis, lasting, say_json, say_left_out, say_table
    from gateway.control.messages import Approvals

    found = control(where).get("/v1/approvals", Approvals, state=None if state == "all" else state)
    if as_json:
        say_json(found.approvals)
        return
    say_table(
        ("request", "state", "principal", "target", "age", "left", "yeses", "yours", "what"),
        [
            (
                one.id,
                one.state,
                one.principal,
                one.target,
                lasting(found.now - one.created),
                lasting(one.deadline - found.now) if one.state == "pending" else None,
                ", ".join(f"{term.counted} of {term.needed}" for term in one.terms),
                "yes" if one.may_decide else None,
                "a session" if one.kind == "session" else ellipsis(one.statement),
            )
            for one in found.approvals
        ],
    )
    say_left_out(found.left_out)


@approvals.command()
@gateway_options
@json_option
def watch(where: Where, as_json: bool) -> None:
    """Requests that concern you: open ones, then each as it is made, voted on or settled. Ctrl-C ends it.

    With --json each is a line.
    """
    from gateway.cli.control import control, path
    from gateway.cli.output import ellipsis, say, say_json_line, until_interrupted, when

    with until_interrupted():
        for line in control(where).watch(path("approvals", "watch")):
            one = line.approval
            if one is None:
                continue
            if as_json:
                say_json_line(one)
                continue
            yeses = ", ".join(f"{term.counted} of {term.needed}" for term in one.terms)
            what = "a session" if one.kind == "session" else ellipsis(one.statement)
            until = f"until {when(one.deadline)}" if one.state == "pending" else one.reason
            yours = "  yours to decide" if one.may_decide else ""
            said = (when(line.time), one.id, one.state, one.principal, one.target, yeses, until + yours, what)
            say("  ".join(part for part in said if part))


@approvals.command()
@click.argument("request")
@gateway_options
@json_option
def show(request: str, where: Where, as_json: bool) -> None:
    """All that is known of one request: who wants what, where, by which rule, and who said what.

    The statement is shown in full. REQUEST may be shortened to four characters or more.
    """
    from gateway.cli.control import control, path
    from gateway.cli.output import say_fields, say_json
    from gateway.control.messages import ApprovalAnswer

    gateway = control(where)
    answer = gateway.get(path("approvals", _whole(gateway, request)), ApprovalAnswer)
    if as_json:
        say_json(answer)
    else:
        say_fields(_fields(answer))


@approvals.command()
@click.argument("request")
@reason_option("Words for the recording and the audit log.")
@gateway_options
@json_option
def approve(request: str, reason: str, where: Where, as_json: bool) -> None:
    """Say yes to one request, as one of its approvers. `ostiary approvals show` says to what."""
    _vote(request, "approve", reason, where, as_json)


@approvals.command()
@click.argument("request")
@reason_option("Words for whoever asked, the recording and the audit log.")
@gateway_options
@json_option
def deny(request: str, reason: str, where: Where, as_json: bool) -> None:
    """Say no to one request, as one of its approvers. One no settles it."""
    _vote(request, "deny", reason, where, as_json)


def _vote(request: str, verb: str, reason: str, where: Where, as_json: bool) -> None:
    from gateway.cli.control import control, path
    from gateway.cli.output import say_fields, say_json
    from gateway.control.messages import ApprovalAnswer, VoteRequest

    gateway = control(where)
    answer = gateway.post(path("approvals", _whole(gateway, request), verb), VoteRequest(reason), ApprovalAnswer)
    if as_json:
        say_json(answer)
    else:
        say_fields(_outcome(answer))


def _whole(gateway: Control, written: str) -> str:
    """The id that ``written`` begins, of those that concern the caller; settled ones count, too, so that what stood
    for one request yesterday never stands for another today. Raises GatewayError.

    Letters that are read as digits are those digits (Crockford's base 32); hyphens may be left out.
    """
    from gateway.control.messages import Approvals
    from gateway.errors import GatewayError

    plain = written.lower().replace("-", "").translate(str.maketrans("ilo", "110"))
    if len(plain) >= 8:
        return f"{plain[:4]}-{plain[4:]}"
    if len(plain) < LEAST_PREFIX:
        mend = f"write at least {LEAST_PREFIX} characters of the request's id"
        raise GatewayError(f"{written} is too short", hint=mend)
    found = gateway.get("/v1/approvals", Approvals).approvals
    fitting = [one.id for one in found if one.id.replace("-", "").startswith(plain)]
    if len(fitting) != 1:
        said = "no request that concerns you begins" if not fitting else f"{len(fitting)} requests begin"
        raise GatewayError(f"{said} with {written}", hint="`ostiary approvals list --state all` shows them")
    return fitting[0]


def _fields(answer: ApprovalAnswer) -> Iterator[tuple[str, object]]:
    from gateway.cli.output import when
    from gateway.model import place

    one = answer.approval
    yield "request", f"{one.id}, {_state(answer)}"
    yield "principal", f"{one.principal} ({one.principal_kind})"
    yield "groups", ", ".join(one.groups)
    yield "from", f"{one.address}, session {one.session}"
    yield "target", place(one.target, one.database, one.role)
    if one.kind == "session":
        yield "wants", "a session there"
    else:
        for number, line in enumerate(answer.text.split("\n")):
            # A bar before each line: what the statement says can't be taken for what we say.
            yield "" if number else "statement", f"| {line}"
        for number, value in enumerate(answer.parameters, 1):
            yield f"  ${number}", "NULL" if value is None else f"| {value}"
        yield "verbs", ", ".join(one.verbs)
        yield "relations", ", ".join(one.relations)
        yield "labels", ", ".join(one.labels)
    for term in one.terms:
        yield "rule", f"{term.rule}: {_needed(term)}"
        yield "  worth", _worth(term)
    for vote in one.votes:
        said = "yes" if vote.yes else "no"
        yield "vote", f"{said} by {vote.approver}, {when(vote.at)}{': ' if vote.reason else ''}{vote.reason}"
    if one.reason:
        yield "reason", one.reason
    yield "you", "may decide" if one.may_decide else "may not decide"


def _state(answer: ApprovalAnswer) -> str:
    from gateway.cli.output import lasting, when

    one = answer.approval
    if one.state == "pending":
        return f"asked {lasting(answer.now - one.created)} ago, {lasting(one.deadline - answer.now)} left"
    return f"{one.state} {when(one.settled)}"


def _needed(term: Terms) -> str:
    whom = [f"principals {', '.join(term.principals)}"] if term.principals else []
    whom += [f"groups {', '.join(term.groups)}"] if term.groups else []
    return f"{term.counted} of {term.needed} needed from {' or '.join(whom)}"


def _worth(term: Terms) -> str:
    from gateway.cli.output import lasting, when

    uses = "any number of uses" if term.uses is None else f"{term.uses} use{'' if term.uses == 1 else 's'}"
    ends = "" if term.ends is None else f", until {when(term.ends)} at most"
    return f"{uses} within {lasting(term.within)}{ends}"


def _outcome(answer: ApprovalAnswer) -> Iterator[tuple[str, object]]:
    one: Approval = answer.approval
    still = "; ".join(f"{term.rule}: {_needed(term)}" for term in one.terms if term.counted < term.needed)
    yield "request", f"{one.id}, {f'not settled yet: {still}' if one.state == 'pending' else one.state}"
    yield "principal", f"{one.principal} on {one.target}"
    yield "what", "a session" if one.kind == "session" else one.statement
