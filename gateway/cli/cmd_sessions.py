"""`ostiary sessions`: who is connected to what, and ending it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from gateway.cli.options import gateway_options, json_option


@click.group()
def sessions() -> None:
    """Live sessions of the running gateway."""


@sessions.command("list")
@gateway_options
@json_option
def list_(config_path: Path, socket_path: Path | None, as_json: bool) -> None:
    """All live sessions, oldest first."""
    from gateway.cli.output import lasting, say_json, say_table
    from gateway.cli.socket import control_socket
    from gateway.control.messages import Sessions

    found = control_socket(config_path, socket_path).get("/v1/sessions", Sessions)
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
def show(session: str, config_path: Path, socket_path: Path | None, as_json: bool) -> None:
    """One live session."""
    from gateway.cli.output import lasting, say_fields, say_json, when
    from gateway.cli.socket import control_socket
    from gateway.control.messages import SessionAnswer

    control = control_socket(config_path, socket_path)
    answer = control.get(f"/v1/sessions/{quote(session, safe='')}", SessionAnswer)
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
            ("target", f"{one.target} ({one.protocol}), database {one.database}, role {one.role}"),
            ("started", f"{when(one.started)}, {lasting(answer.now - one.started)} ago"),
            ("idle", lasting(answer.now - one.last_active)),
            ("expires", when(one.expires)),
            ("operations", f"{one.operations}, {one.denied} of them denied"),
            ("rows", one.rows),
        )
    )


@sessions.command()
@click.argument("session")
@click.option("--reason", default="", help="Words for the caller, the recording and the audit log.")
@gateway_options
@json_option
def kill(session: str, reason: str, config_path: Path, socket_path: Path | None, as_json: bool) -> None:
    """End one live session at once. The caller is told, and the audit log says who did it."""
    from gateway.cli.output import say, say_json
    from gateway.cli.socket import control_socket
    from gateway.control.messages import Killed, KillRequest

    control = control_socket(config_path, socket_path)
    killed = control.post(f"/v1/sessions/{quote(session, safe='')}/kill", KillRequest(reason), Killed)
    if as_json:
        say_json(killed)
    else:
        say(f"{killed.killed} was told to end")
