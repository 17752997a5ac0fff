"""`ostiary version`: what is installed."""

from __future__ import annotations

import platform

import click

from gateway import __version__
from gateway.cli.options import json_option


@click.command()
@json_option
def version(as_json: bool) -> None:
    """What is installed: ostiary's version, Python's, and whether masks are compiled."""
    from gateway.cli.output import say_fields, say_json
    from gateway.masking import COMPILED

    if as_json:
        say_json({"version": __version__, "python": platform.python_version(), "masking_compiled": COMPILED})
        return
    masks = "compiled" if COMPILED else "plain Python"
    say_fields((("ostiary", __version__), ("python", platform.python_version()), ("masks", masks)))
