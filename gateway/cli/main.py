"""The group of all commands."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from gateway import __version__
from gateway.errors import GatewayError

COMMANDS: Final = {
    "serve": "run the gateway",
    "check": "what is wrong with configuration and policy",
    "explain": "the decision on a statement, and why",
    "policy": "test a policy against cases",
    "passwd": "make an entry of the password file",
    "status": "how the running gateway is",
    "sessions": "list, show and kill live sessions",
    "approvals": "list, show, approve and deny requests",
    "grants": "list and revoke what was approved; a target's least role as SQL",
    "lock": "keep a principal, a target's callers or a session's principal out",
    "unlock": "end a lock before its time",
    "locks": "list who is kept out",
    "reload": "take up configuration and policy",
    "ca": "the lines that make callers trust the gateway",
    "targets": "what an SSH host shows as its key",
    "tokens": "show the values behind tokens",
    "recordings": "list, show, replay, export and verify recordings",
    "audit": "verify the audit log",
    "version": "what is installed",
    "completion": "completion for bash, zsh and fish",
}
"""Each is ``gateway.cli.cmd_NAME.NAME``, imported when it is used; the order is that of ``--help``."""


class _Commands(click.Group):
    """Imports a command when it is asked for, and tells a GatewayError of any of them in the same way."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"gateway.cli.cmd_{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except GatewayError as error:
            from gateway.cli.output import Failed

            raise Failed(error) from error


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ostiary")
def main() -> None:
    """Ostiary, an access gateway: decides, masks and records what callers do behind it."""
