"""Options that several commands have, spelled once."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CONFIG = Path("/etc/ostiary/ostiary.yaml")


def config_option(function: F) -> F:
    """``config_path``: where ostiary.yaml is."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(dir_okay=False, path_type=Path),
        default=DEFAULT_CONFIG,
        envvar="OSTIARY_CONFIG",
        show_default=True,
        show_envvar=True,
        help="The main configuration file; targets.d/ and policy.d/ lie beside it.",
    )(function)


def gateway_options(function: F) -> F:
    """``config_path`` and ``socket_path``: where the running gateway is asked; see `gateway.cli.socket`."""
    return config_option(
        click.option(
            "--socket",
            "socket_path",
            type=click.Path(path_type=Path),
            envvar="OSTIARY_SOCKET",
            show_envvar=True,
            help="The gateway's control socket. Default: listeners.control.socket of --config.",
        )(function)
    )


def json_option(function: F) -> F:
    """``as_json``: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def caller_options(function: F) -> F:
    """``groups``, ``kind``, ``factor`` and ``address`` of a principal that is talked about."""
    groups = click.option(
        "--groups", multiple=True, callback=names, help="Its groups; repeat, or separate with commas."
    )
    kind = click.option("--kind", type=click.Choice(("human", "machine")), default="human", show_default=True)
    factor = click.option(
        "--factor",
        type=click.Choice(("certificate", "password", "scram")),
        default="certificate",
        show_default=True,
        help="How it proved itself.",
    )
    origin = click.option(
        "--from", "address", default="127.0.0.1", callback=_address, show_default=True, help="From where."
    )
    return groups(kind(factor(origin(function))))


def _address(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise click.BadParameter("is no IP address") from None


def names(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Callback of an option that may be repeated and takes commas, too."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())
