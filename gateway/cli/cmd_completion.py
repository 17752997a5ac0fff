"""`ostiary completion`: for the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options, for the shell to source.

    \b
    bash  ostiary completion bash > /etc/bash_completion.d/ostiary
    zsh   ostiary completion zsh > "${fpath[1]}/_ostiary"
    fish  ostiary completion fish > ~/.config/fish/completions/ostiary.fish
    """
    maker = get_completion_class(shell)
    assert maker is not None, "the shells above are those that click knows"
    click.echo(maker(context.find_root().command, {}, "ostiary", "_OSTIARY_COMPLETE").source())
