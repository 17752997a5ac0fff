"""ostiary(8) out of the command line's own help: ``python man.py EPOCH > ostiary.8``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from inspect import cleandoc

import click

from gateway import __version__
from gateway.cli import main

FILES = (
    ("/etc/ostiary/ostiary.yaml", "configuration; targets.d/ and policy.d/ lie beside it"),
    ("/var/lib/ostiary", "recordings, audit log, signing key"),
    ("/run/ostiary/control.sock", "where the running gateway is asked"),
    ("/usr/share/doc/ostiary/examples", "a target and a policy to begin with"),
)


def roff(text: str) -> str:
    """Plain text as roff: nothing in it is a request or an escape."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in escaped.split("\n"))


def paragraphs(text: str) -> Iterator[str]:
    """A docstring's; those that click keeps as they are (after a \\b) stay so here."""
    for paragraph in cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield f".nf\n{roff(paragraph[2:])}\n.fi"
        else:
            yield roff(paragraph)


def described(command: click.Command, name: str, context: click.Context | None) -> Iterator[str]:
    """One command, and those below it."""
    inner = click.Context(command, parent=context, info_name=name)
    path = inner.command_path
    if isinstance(command, click.Group):
        for sub in command.list_commands(inner):
            found = command.get_command(inner, sub)
            assert found is not None, "it was listed"
            yield from described(found, sub, inner)
        return
    yield f'.SS "{roff(path)} {roff(" ".join(command.collect_usage_pieces(inner)))}"'
    yield "\n.PP\n".join(paragraphs(command.help or ""))
    for parameter in command.get_params(inner):
        record = parameter.get_help_record(inner)
        if record is not None and "--help" not in parameter.opts:
            yield f".TP\n.B {roff(record[0])}\n{roff(record[1])}"


def page(epoch: int) -> Iterator[str]:
    yield f'.TH OSTIARY 8 "{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d}" "ostiary {__version__}"'
    yield ".SH NAME\nostiary \\- access gateway: decides, masks and records what callers do behind it"
    yield ".SH SYNOPSIS\n.B ostiary\n.I COMMAND\n[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]..."
    yield ".SH DESCRIPTION\nThe gateway runs as a service: \\fBsystemctl start ostiary.target\\fR."
    yield "Its configuration is checked by \\fBostiary check\\fR and taken up by \\fBsystemctl reload ostiary\\fR."
    yield "Every command has \\fB\\-\\-help\\fR."
    yield ".SH COMMANDS"
    yield from described(main, "ostiary", None)
    yield ".SH EXIT STATUS\n0: done and well. 1: something is wrong, and it is said. 2: the command line is wrong."
    yield ".SH FILES"
    for name, what in FILES:
        yield f".TP\n.I {roff(name)}\n{roff(what)}"
    yield ".SH SEE ALSO\n.BR systemctl (1),\n.BR journalctl (1),\n.BR chattr (1)"


if __name__ == "__main__":
    print("\n".join(page(int(sys.argv[1]))))
