"""`ostiary status`: how the running gateway is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gateway.cli.options import Where, gateway_options, json_option

if TYPE_CHECKING:
    from gateway.control.messages import Status


@click.command()
@gateway_options
@json_option
@click.pass_context
def status(context: click.Context, where: Where, as_json: bool) -> None:
    """How the running gateway is. Exit status 1 when it could not serve a new session."""
    from gateway.cli.control import control
    from gateway.cli.output import say_fields, say_json
    from gateway.control.messages import Status

    found = control(where).get("/v1/status", Status)
    if as_json:
        say_json(found)
    else:
        say_fields(_fields(found))
    context.exit(0 if found.readiness.ready else 1)


def _fields(found: Status) -> Iterator[tuple[str, object]]:
    from gateway.cli.output import lasting, size, when

    ready = "ready" if found.readiness.ready else "NOT READY"
    yield "gateway", f"{found.node}, ostiary {found.version}, up {lasting(found.now - found.started)}, {ready}"
    for check in found.readiness.checks:
        if not check.ok:
            yield "not ready", f"{check.name}: {check.problem}"
    for listener in found.listeners:
        yield "listener", listener
    yield (
        "policy",
        f"snapshot {found.snapshot}, {found.policy[:12]}, {found.targets} target{'' if found.targets == 1 else 's'}",
    )
    yield "reloads", f"{found.reloads} taken, {found.refused_reloads} refused"
    yield "sessions", f"{found.sessions} live, {found.sessions_begun} begun"
    locks = f"{found.locks} lock{'' if found.locks == 1 else 's'}"
    yield "approvals", f"{found.approvals_open} open, {found.grants_live} granted, {locks}"
    yield "operations", f"{found.operations - found.denied} allowed, {found.denied} denied, {found.rows} rows"
    yield "logins", f"{found.logins} to a session, {found.refused_logins} refused, {found.pending_logins} under way"
    yield "audit log", f"{found.audit_sequence} events" if found.audit_problem is None else found.audit_problem
    for sink in found.sinks:
        state = "connected" if sink.connected else f"NOT CONNECTED: {sink.problem}"
        yield "sink", f"{sink.name} ({sink.address}): {state}; {sink.lag} events wait"
    free = size(found.recordings_free)
    yield "recordings", f"{free} free, no new session below {size(found.recordings_low_water)}"
    yield "certificate", f"ends {when(found.certificate_ends)}"
    yield "masks", "compiled" if found.masking_compiled else "plain Python (slow: run `make build`)"
    for warning in found.warnings:
        yield "warning", warning
