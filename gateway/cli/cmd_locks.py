"""`ostiary locks`: who is kept out."""

from __future__ import annotations

import click

from gateway.cli.options import Where, gateway_options, json_option


@click.group()
def locks() -> None:
    """Locks in force; `ostiary lock` makes one, `ostiary unlock` ends one."""


@locks.command("list")
@gateway_options
@json_option
def list_(where: Where, as_json: bool) -> None:
    """All locks in force, oldest first."""
    from gateway.cli.control import control
    from gateway.cli.output import lasting, say_json, say_table
    from gateway.control.messages import Locks

    found = control(where).get("/v1/locks", Locks)
    if as_json:
        say_json(found.locks)
        return
    say_table(
        ("lock", "principal", "target", "left", "by", "reason"),
        [
            (
                one.id,
                one.principal or "everybody",
                one.target or "every",
                lasting(one.until - found.now),
                one.by,
                one.reason,
            )
            for one in found.locks
        ],
    )
