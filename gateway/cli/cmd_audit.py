"""`ostiary audit`: the audit log, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, json_option

if TYPE_CHECKING:
    from gateway.audit.verify import Anchor


@click.group()
def audit() -> None:
    """The audit log."""


@audit.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="The log. Default: audit.directory of --config.",
)
@click.option(
    "--anchor",
    metavar="SEQUENCE:HASH",
    help="An event that somebody else holds (a SIEM has both numbers): the log must hold just that.",
)
@config_option
@json_option
@click.pass_context
def verify(
    context: click.Context, directory: Path | None, anchor: str | None, config_path: Path, as_json: bool
) -> None:
    """Check every line's hash, every sequence number and every seam between files.

    What was cut off at the end only an --anchor can show. Exit status 1 when a line is wrong.
    """
    from gateway.audit.verify import verify_log
    from gateway.cli.output import say, say_json
    from gateway.config import load
    from gateway.errors import GatewayError

    if directory is None:
        directory = load(config_path).audit.directory
    try:
        report = verify_log(directory, _anchor(anchor))
    except OSError as error:
        raise GatewayError(
            f"the audit log in {directory} can't be read: {error.strerror or error}",
            hint="run it as the gateway's user, or name the log with --directory",
        ) from error
    if as_json:
        from dataclasses import asdict

        say_json({"ok": report.ok, **asdict(report)})
    else:
        events = f"events {report.first} to {report.last} in {report.segments} files"
        say(f"{directory}: {'ok' if report.ok else 'WRONG'}: {events}, head {report.head}")
        if report.wrong is not None:
            wrong = report.wrong
            say(f"  {wrong.file}, line {wrong.line}, byte {wrong.offset}: {wrong.problem}")
        if report.unfinished:
            say(f"  the last {report.unfinished} bytes are a line that is being written, or was torn by a crash")
        for name in report.set_aside:
            say(f"  {name} holds the torn end of a crash")
    context.exit(0 if report.ok else 1)


def _anchor(text: str | None) -> Anchor | None:
    from gateway.audit.verify import Anchor

    if text is None:
        return None
    sequence, colon, head = text.partition(":")
    if not colon or not sequence.isdigit() or len(head) != 64:
        raise click.BadParameter("is not SEQUENCE:HASH, such as 42:9ae6... (64 hex digits)", param_hint="--anchor")
    return Anchor(int(sequence), head.lower())
