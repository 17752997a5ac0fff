"""`ostiary serve`: run the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option

if TYPE_CHECKING:
    from gateway.cli.logs import Format


@click.command()
@config_option
@click.option(
    "--log-format",
    type=click.Choice(("auto", "console", "json", "journal")),
    default="auto",
    show_default=True,
    help="auto: console on a terminal, journal where systemd reads it, else JSON lines.",
)
def serve(config_path: Path, log_format: Format) -> None:
    """Run the gateway in the foreground until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
    # The reactor has to be installed before anything imports twisted.internet.reactor.
    from gateway.net import install_reactor

    reactor = install_reactor()
    from gateway.app import run
    from gateway.cli.logs import configure_logs
    from gateway.cli.output import Failed
    from gateway.errors import GatewayError

    configure_logs(log_format)
    try:
        run(config_path, reactor)
    except GatewayError as error:
        raise Failed(error, doing="ostiary can't start:") from error
