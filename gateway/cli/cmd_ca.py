"""`ostiary ca`: the gateway's certificate authorities, for those who have to trust them."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.options import config_option, json_option


@click.group()
def ca() -> None:
    """The gateway's certificate authorities."""


@ca.command("ssh-host")
@click.option("--hosts", default="", help="Patterns of known_hosts, such as 'web*'. Default: all SSH targets by name.")
@config_option
@json_option
def ssh_host(hosts: str, config_path: Path, as_json: bool) -> None:
    """Print the line for callers' known_hosts (or /etc/ssh/ssh_known_hosts) that makes `ssh -J GATEWAY TARGET` work.

    It trusts the gateway's host CA for the names of targets alone, so that it can stand for no other host.
    """
    from gateway.cli.output import say, say_json
    from gateway.config import load
    from gateway.errors import NoSuchThing
    from gateway.protocols.ssh.server import load_host_ca
    from gateway.public_keys import of_blob

    config = load(config_path)
    listener = config.listeners.ssh
    key = None if listener is None else load_host_ca(listener, str(config_path))
    if key is None:
        raise NoSuchThing(
            "there is no host CA",
            hint="set listeners.ssh.host_ca to a private key: ssh-keygen -t ed25519 -N '' -f host_ca",
        )
    names = hosts or ",".join(target.name for target in config.targets if target.protocol == "ssh")
    if not names or not names.isprintable() or " " in names:
        raise NoSuchThing("there are no SSH targets to trust it for", hint="name them: --hosts 'web*'")
    line = of_blob(key.public_data).line
    if as_json:
        say_json({"hosts": names, "key": line})
    else:
        say(f"@cert-authority {names} {line}")
