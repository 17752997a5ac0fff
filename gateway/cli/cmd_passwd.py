"""`ostiary passwd`: make an entry of the password file."""

from __future__ import annotations

import sys

import click

from gateway.cli.options import json_option, names


@click.command()
@click.argument("name")
@click.option("--groups", multiple=True, callback=names, help="Its groups; repeat, or separate with commas.")
@click.option("--kind", type=click.Choice(("human", "machine")), default="human", show_default=True)
@click.option(
    "--method",
    type=click.Choice(("password", "scram", "both")),
    default="both",
    show_default=True,
    help="password: argon2id, for listeners with `password: cleartext`; scram: a verifier, for `password: scram`.",
)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input, up to its newline.")
@json_option
def passwd(name: str, groups: tuple[str, ...], kind: str, method: str, from_stdin: bool, as_json: bool) -> None:
    """Print an entry for the file that identity.passwords names; nothing is written anywhere.

    Asks for the password twice. The entry holds what the password can be checked with, never the password.
    """
    import yaml

    from gateway.cli.output import say_json
    from gateway.identity.passwords import hash_password, make_scram_verifier
    from gateway.secrets import Secret

    if not name.isprintable() or name != name.strip() or not name:
        raise click.UsageError("NAME has to be printable, without spaces around it")
    password = Secret(_read() if from_stdin else _ask())
    entry: dict[str, object] = {"name": name, "kind": kind}
    if groups:
        entry["groups"] = list(groups)
    if method in ("password", "both"):
        entry["password"] = hash_password(password)
    if method in ("scram", "both"):
        entry["scram"] = make_scram_verifier(password)
    if as_json:
        say_json(entry)
    else:
        click.echo(yaml.safe_dump([entry], sort_keys=False, width=1000), nl=False)


def _ask() -> bytes:
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True)
    return password.encode()


def _read() -> bytes:
    return sys.stdin.buffer.readline().removesuffix(b"\n").removesuffix(b"\r")
