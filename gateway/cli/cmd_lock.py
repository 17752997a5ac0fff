"""`ostiary lock`: keeping somebody out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.cli.options import Where, duration, gateway_options, json_option, reason_option

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def lock() -> None:
    """Keep somebody out for a while; what lives of them ends at once. For operators.

    `ostiary locks list` shows locks, `ostiary unlock` ends one.
    """


def _lock_options(function: F) -> F:
    how_long = click.option(
        "--for", "seconds", required=True, callback=duration, help="How long: 90s, 10m, 1h30m, at most 365d."
    )
    words = reason_option("Words for whoever is locked out, and the audit log.")
    decorated: F = how_long(words(gateway_options(json_option(function))))
    return decorated


@lock.command()
@click.argument("name")
@_lock_options
def principal(name: str, **given: Any) -> None:
    """Lock a principal out of every target, and of the control API."""
    _lock({"principal": name}, **given)


@lock.command()
@click.argument("name")
@_lock_options
def target(name: str, **given: Any) -> None:
    """Lock everybody out of a target."""
    _lock({"target": name}, **given)


@lock.command()
@click.argument("session")
@_lock_options
def session(session: str, **given: Any) -> None:
    """End a live session, and lock its principal out of its target."""
    _lock({"session": session}, **given)


def _lock(whom: dict[str, str], seconds: float, reason: str, where: Where, as_json: bool) -> None:
    from gateway.cli.control import control
    from gateway.cli.output import say, say_json, when
    from gateway.control.messages import Locked, LockRequest

    done = control(where).post("/v1/locks", LockRequest(seconds, reason=reason, **whom), Locked)
    if as_json:
        say_json(done)
        return
    made = done.lock
    who = made.principal or "everybody"
    place = "" if made.target is None else f" of {made.target}"
    ended = f"{done.ended} live session{'' if done.ended == 1 else 's'} ended"
    say(f"{who} is locked out{place} until {when(made.until)}; {ended}; `ostiary unlock {made.id}` takes it back")
