"""Options that several commands have, spelled once."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from gateway.config.units import parse_duration
from gateway.model import Factor

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


@dataclass(frozen=True, slots=True)
class Where:
    """Which running gateway is asked; see `gateway.cli.control`.

    url  host and port of one that is asked over TLS; None: by its local socket
    """

    config: Path
    socket: Path | None = None
    url: tuple[str, int] | None = None
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None


def gateway_options(function: F) -> F:
    """``where``: the running gateway."""

    @functools.wraps(function)
    def with_where(
        *arguments: Any,
        config_path: Path,
        socket_path: Path | None,
        url: tuple[str, int] | None,
        certificate: Path | None,
        key: Path | None,
        ca: Path | None,
        **others: Any,
    ) -> Any:
        if socket_path is not None and url is not None:
            # What stands on the command line goes before what a profile has set.
            context = click.get_current_context()
            by = {name: context.get_parameter_source(name) for name in ("socket_path", "url")}
            if by["socket_path"] is by["url"]:
                raise click.UsageError("--socket and --url (OSTIARY_SOCKET, OSTIARY_URL) name two gateways; give one")
            if by["socket_path"] is ParameterSource.COMMANDLINE:
                url = None
        return function(*arguments, where=Where(config_path, socket_path, url, certificate, key, ca), **others)

    options = (
        config_option,
        click.option(
            "--socket",
            "socket_path",
            type=click.Path(path_type=Path),
            envvar="OSTIARY_SOCKET",
            show_envvar=True,
            help="The gateway's control socket. Default: listeners.control.socket of --config.",
        ),
        click.option(
            "--url",
            callback=_url,
            metavar="https://HOST:PORT",
            envvar="OSTIARY_URL",
            show_envvar=True,
            help="A gateway elsewhere: its listeners.control.address, by a name that is in its certificate.",
        ),
        _file_option("certificate", "Your client certificate (PEM), with --url."),
        _file_option("key", "Its private key (PEM); left out when the certificate's file has it."),
        _file_option("ca", "CA of the gateway's certificate (PEM). Default: the system's."),
    )
    decorated: Any = with_where
    for option in reversed(options):
        decorated = option(decorated)
    return cast(F, decorated)


def _file_option(name: str, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{name}",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar=f"OSTIARY_{name.upper()}",
        show_envvar=True,
        help=text,
    )


def _url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """Host and port; nothing else belongs in it."""
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port or 443
    except ValueError:
        raise click.BadParameter("is no URL") from None
    if parts.scheme != "https":
        raise click.BadParameter("is not https://HOST:PORT; there is no other way to ask")
    if not parts.hostname or parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise click.BadParameter("is not https://HOST:PORT and nothing more")
    return parts.hostname, port


def reason_option(text: str) -> Callable[[F], F]:
    """``reason``: who reads it, as ``text`` says."""
    return click.option("--reason", default="", help=text)


def json_option(function: F) -> F:
    """``as_json``: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def duration(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Callback of an option: ``90s``, ``10m``, ``1h30m`` -> seconds."""
    parts = _PARTS.findall(value)
    try:
        if not parts or "".join(parts) != value:
            raise ValueError(value)
        return sum(map(parse_duration, parts))
    except ValueError:
        raise click.BadParameter("is no duration; write such as 90s, 10m, 1h30m or 7d") from None


_PARTS = re.compile(r"[0-9.]+[a-z]+")


def caller_options(function: F) -> F:
    """``groups``, ``kind``, ``factor`` and ``address`` of a principal that is talked about."""
    groups = click.option(
        "--groups", multiple=True, callback=names, help="Its groups; repeat, or separate with commas."
    )
    kind = click.option("--kind", type=click.Choice(("human", "machine")), default="human", show_default=True)
    factor = click.option(
        "--factor",
        type=click.Choice(get_args(Factor)),
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
