"""PostgreSQL's own client, unchanged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PsqlResult:
    status: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> list[list[str]]:
        """The unaligned output, a list of cells for each line."""
        return [line.split("|") for line in self.stdout.splitlines()]


def binaries() -> Path:
    """The newest installed server's directory. Raises FileNotFoundError that says how to mend it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise FileNotFoundError("no PostgreSQL server is installed; run `make debian`")
    return found[-1].parent


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without what libpq would take from it or from the home directory.

    PostgreSQL's clients are found as they are, not as Debian's wrapper in Perl, which takes twice the time of psql.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment |= {"PGPASSFILE": "/nonexistent", "PGCONNECT_TIMEOUT": "20", "LC_ALL": "C.UTF-8"}
    environment |= {"PATH": f"{binaries()}:{os.environ['PATH']}"}
    environment |= {"PGSYSCONFDIR": "/nonexistent", "HOME": "/nonexistent"}
    return environment | dict(extra or {})


def conninfo(**parameters: object) -> str:
    """A libpq connection string; parameters that are None are left out."""
    quoted = {
        name: str(value).replace("\\", "\\\\").replace("'", "\\'")
        for name, value in parameters.items()
        if value is not None
    }
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())


def psql(
    connection: str,
    script: str,
    *,
    arguments: Sequence[str] = ("-A", "-t"),
    environment: Mapping[str, str] | None = None,
    seconds: float = 60.0,
) -> PsqlResult:
    """Feeds ``script`` to one psql session, as a person would type it: an error does not end the session.

    arguments  unaligned rows without headings by default
    """
    done = subprocess.run(
        ["psql", "-X", "--no-password", *arguments, connection],
        input=script,
        capture_output=True,
        text=True,
        env=clean_environment(environment),
        timeout=seconds,
    )
    return PsqlResult(done.returncode, done.stdout, done.stderr)
