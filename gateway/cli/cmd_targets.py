"""`ostiary targets`: the configured targets, and the host key that one of them shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.options import config_option, json_option

if TYPE_CHECKING:
    from gateway.model import Target
    from gateway.public_keys import PublicKey

TIMEOUT: Final = 10.0
"""Seconds for a host to show its key."""


@click.group()
def targets() -> None:
    """Targets: what they are, and what an SSH host shows as its key."""


@targets.command()
@click.argument("name")
@config_option
@json_option
def trust(name: str, config_path: Path, as_json: bool) -> None:
    """Show the host key that target NAME presents now, and the line that makes it known.

    Nothing is written: whoever answers there could be somebody else, so compare the fingerprint with what the host
    itself says (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) before you add the line. Exit status 1 where
    another key than the shown one is configured.
    """
    from gateway.cli.output import say, say_json
    from gateway.config import load
    from gateway.errors import NoSuchThing

    target = next((each for each in load(config_path).targets if each.name == name), None)
    if target is None or target.protocol != "ssh":
        raise NoSuchThing(f"there is no SSH target {name}", hint="it is one of targets.d with protocol: ssh")
    key = _shown_by(target)
    known = key in target.host_keys
    if as_json:
        say_json({"target": name, "fingerprint": key.fingerprint, "key": key.line, "known": known})
    elif known:
        say(f"{name} ({target.address}) shows the key that is configured: {key.kind} {key.fingerprint}")
    else:
        other = ", which is NOT one of those that are configured" if target.host_keys else ""
        say(f"{name} ({target.address}) shows {key.kind} {key.fingerprint}{other}")
        say("If the host itself says the same, write into its entry of targets.d:\n")
        say(f'  host_keys: ["{key.line}"]')
    if target.host_keys and not known:
        raise SystemExit(1)


def _shown_by(target: Target) -> PublicKey:
    """Raises TargetUnavailable."""
    from gateway.net import install_reactor

    reactor: Any = install_reactor()
    from gateway.net.reactor import require_loop
    from gateway.protocols.ssh import Dialler

    loop = require_loop(reactor)
    looking: list[Any] = []

    def look() -> None:
        task = loop.create_task(Dialler(reactor, time.time).host_key(target, TIMEOUT))
        task.add_done_callback(lambda _: reactor.stop())
        looking.append(task)

    reactor.callWhenRunning(look)
    reactor.run(installSignalHandlers=False)
    key: PublicKey = looking[0].result()
    return key
