"""`ostiary reload`: take up configuration and policy."""

from __future__ import annotations

import click

from gateway.cli.options import Where, gateway_options, json_option


@click.command()
@gateway_options
@json_option
def reload(where: Where, as_json: bool) -> None:
    """Make the running gateway take up its files, all or nothing; it says what is wrong with them.

    Sessions live on and are decided by the new policy from their next operation on.
    """
    from gateway.cli.control import control
    from gateway.cli.output import say, say_json
    from gateway.control.messages import Reloaded

    done = control(where).post("/v1/reload", {}, Reloaded)
    if as_json:
        say_json(done)
        return
    say(f"policy snapshot {done.snapshot} is in force, {done.targets} targets")
    for key in done.restart:
        say(f"needs a restart: {key}")
    for warning in done.warnings:
        say(f"warning: {warning}")
