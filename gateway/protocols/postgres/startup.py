"""What a StartupMessage asks for: who, which target, which settings (53.2.1; postgres.md, routing and login)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.errors import NotAdmitted, PeerError
from gateway.protocols.postgres.wire import Startup

MAX_SETTINGS: Final = 64
"""Settings of one startup packet; drivers send fewer than ten."""

OURS: Final = frozenset({"user", "database", "replication", "application_name", "options"})
"""Read here; none of them goes to the target as the client sent it, however it is spelled (CVE-2021-41395)."""


@dataclass(frozen=True, slots=True)
class Requested:
    """``target`` and ``database`` are "" when the client named none; ``settings`` are to be decided on."""

    user: str
    target: str
    database: str
    replication: bool
    settings: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def statements(self) -> list[str]:
        """The settings as the SQL that would make them, for policy to decide on."""
        return [f"SET {_identifier(name)} TO {_literal(value)}" for name, value in self.settings.items()]

    def parameters(self) -> list[tuple[str, str]]:
        return list(self.settings.items())


def requested(startup: Startup) -> Requested:
    """Raises NotAdmitted or PeerError: a connection without user or target leads nowhere."""
    parameters = startup.parameters
    user = parameters.get("user", "")
    if not user:
        raise PeerError("no PostgreSQL user name specified in startup packet")
    # A missing database means the user's name to PostgreSQL: never let that become a target by accident.
    target, _, database = parameters.get("database", "").partition("/")
    if not target:
        raise NotAdmitted(
            "no target was named",
            reason="no database in the startup packet",
            hint="Use dbname=TARGET or dbname=TARGET/DATABASE.",
        )
    settings: dict[str, str] = {}
    unknown = []
    for name, value in [*parse_options(parameters.get("options", "")), *parameters.items()]:
        if name.startswith("_pq_."):
            unknown.append(name)
        elif (key := name.lower()) not in OURS:
            settings[key] = value
    if len(settings) > MAX_SETTINGS:
        raise PeerError("too many settings in the startup packet")
    replication = parameters.get("replication", "false").lower() not in ("false", "off", "no", "0", "f", "n")
    return Requested(user, target, database, replication, settings, tuple(unknown))


def parse_options(text: str) -> list[tuple[str, str]]:
    """``-c name=value`` and ``--name=value``, split at spaces, a backslash keeps the next character (postgres.c
    pg_split_opts, process_postgres_switches). Everything else is a switch that we don't carry: PeerError.
    """
    arguments = _split(text)
    settings = []
    while arguments:
        argument = arguments.pop(0)
        if argument == "-c" and arguments:
            setting = arguments.pop(0)
        elif (argument.startswith("-c") and len(argument) > 2) or argument.startswith("--"):
            setting = argument[2:]
        else:
            raise PeerError(f"invalid command-line argument in startup options: {argument[:64]}")
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise PeerError(f"-c {setting[:64]} requires a value")
        settings.append((name.replace("-", "_"), value))
    return settings


def _split(text: str) -> list[str]:
    arguments: list[str] = []
    current: list[str] | None = None
    characters = iter(text)
    for character in characters:
        if character in " \t\n\r\f\v":
            if current is not None:
                arguments.append("".join(current))
                current = None
            continue
        kept = next(characters, "") if character == "\\" else character
        current = [*(current or ()), kept]
    if current is not None:
        arguments.append("".join(current))
    return arguments


def _identifier(name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def _literal(value: str) -> str:
    """Quoted so that it means the same whatever standard_conforming_strings says."""
    quoted = value.replace("'", "''")
    if "\\" in quoted:
        return "E'" + quoted.replace("\\", "\\\\") + "'"
    return f"'{quoted}'"
