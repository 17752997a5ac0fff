"""`ostiary sessions`: who is connected to what, and ending it."""

from __future__ import annotations

import click

from gateway.cli.options import Where, gateway_options, json_option, reason_option


@click.group()
def sessions() -> None:
    """Live sessions of the running gateway."""


@sessions.command("list")
@gateway_options
@json_option
def list_(where: Where, as_json: bool) -> None:
    """All live sessions, oldest first."""
    from gateway.cli.control import control
    from gateway.cli.output import lasting, say_json, say_table
    from gateway.control.messages import Sessions

    found = control(where).get("/v1/sessions", Sessions)
    if as_json:
        say_json(found.sessions)
        return
    say_table(
        ("session", "principal", "target", "database", "role", "from", "age", "idle", "operations", "denied", "rows"),
        [
            (
                one.id,
                one.principal,
                one.target,
                one.database,
                one.role,
                one.address,
                lasting(found.now - one.started),
                lasting(found.now - one.last_active),
                one.operations,
                one.denied,
                one.rows,
            )
            for one in found.sessions
        ],
    )


@sessions.command()
@click.argument("session")
@gateway_options
@json_option
def show(session: str, where: Where, as_json: bool) -> None:
    """One live session."""
    from gateway.cli.control import control, path
    from gateway.cli.output import lasting, say_fields, say_json, when
    from gateway.control.messages import SessionAnswer
    from gateway.model import place

    answer = control(where).get(path("sessions", session), SessionAnswer)
    one = answer.session
    if as_json:
        say_json(one)
        return
    say_fields(
        (
            ("session", one.id),
            ("principal", f"{one.principal} ({one.kind}, by {', '.join(one.factors)})"),
            ("groups", ", ".join(one.groups)),
            ("from", one.address),
            ("target", place(f"{one.target} ({one.protocol})", one.database, one.role)),
            ("started", f"{when(one.started)}, {lasting(answer.now - one.started)} ago"),
            ("idle", lasting(answer.now - one.last_active)),
            ("expires", when(one.expires)),
            ("operations", f"{one.operations}, {one.denied} of them denied"),
            ("rows", one.rows),
        )
    )


@sessions.command()
@click.argument("session")
@gateway_options
@json_option
def watch(session: str, where: Where, as_json: bool) -> None:
    """Follow one live session from now on, until it ends or you press Ctrl-C: what it asks, what is decided, how much
    it gets.

    For auditors; the audit log says who watched whom. What callers wrote has a bar in front and is escaped. With
    --json each event is a line, as its recording has it.
    """
    from gateway.cli.control import control, path
    from gateway.cli.output import say, say_json_line, until_interrupted
    from gateway.recording.export import show_event

    with until_interrupted():
        for line in control(where).watch(path("sessions", session, "watch")):
            if as_json:
                if line.recorded is not None:
                    say_json_line(line.recorded)
            elif line.recorded is not None:
                for text in show_event(line.recorded["time"], line.recorded):
                    click.echo(text)
            elif line.session is not None:
                one = line.session
                say(f"watching {one.id}: {one.principal} from {one.address} on {one.target} as {one.role}")
            else:
                say(line.reason)


@sessions.command()
@click.argument("session")
@reason_option("Words for the caller, the recording and the audit log.")
@gateway_options
@json_option
def kill(session: str, reason: str, where: Where, as_json: bool) -> None:
    """End one live session at once. The caller is told, and the audit log says who did it."""
    from gateway.cli.control import control, path
    from gateway.cli.output import say, say_json
    from gateway.control.messages import Killed, KillRequest

    killed = control(where).post(path("sessions", session, "kill"), KillRequest(reason), Killed)
    if as_json:
        say_json(killed)
    else:
        say(f"{killed.killed} was told to end")
