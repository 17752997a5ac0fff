"""`ostiary unlock`: ending a lock before its time."""

from __future__ import annotations

import click

from gateway.cli.options import Where, gateway_options, json_option


@click.command()
@click.argument("lock")
@gateway_options
@json_option
def unlock(lock: str, where: Where, as_json: bool) -> None:
    """End a lock before its time; LOCK is its id in `ostiary locks list`. For operators."""
    from gateway.cli.control import control, path
    from gateway.cli.output import say, say_json
    from gateway.control.messages import Nothing, Unlocked

    done = control(where).post(path("locks", lock, "unlock"), Nothing(), Unlocked)
    if as_json:
        say_json(done.lock)
    else:
        place = "" if done.lock.target is None else f" of {done.lock.target}"
        say(f"{done.lock.principal or 'everybody'} is no longer locked out{place}")
