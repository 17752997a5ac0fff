from __future__ import annotations

import click
import pytest
from cli.made import Site
from click.testing import CliRunner

from gateway import __version__
from gateway.cli import main
from gateway.cli.main import COMMANDS


def every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
        else:
            found.append((name,))
    return found


ALL = every_command()


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_helps_itself(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage: ")


@pytest.mark.parametrize("path", [path for path in ALL if path[-1] in ("list", "show", "status", "verify", "check")])
def test_lists_and_states_have_json(path: tuple[str, ...]) -> None:
    if path == ("recordings", "show"):
        return  # its JSON is `recordings export`
    assert "--json" in CliRunner().invoke(main, [*path, "--help"]).output


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["frobnicate"])
    assert result.exit_code == 2
    assert "frobnicate" in result.output


def test_a_missing_configuration_says_which(site: Site) -> None:
    result = site.run("check", "--config", "/nowhere/ostiary.yaml")
    assert result.exit_code == 1
    assert "/nowhere/ostiary.yaml" in result.output
    assert "Mend:" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(site: Site, shell: str) -> None:
    result = site.run("completion", shell)
    assert result.exit_code == 0
    assert "_OSTIARY_COMPLETE" in result.output


def test_completion_knows_the_commands() -> None:
    environment = {"_OSTIARY_COMPLETE": "bash_complete", "COMP_WORDS": "ostiary rec", "COMP_CWORD": "1"}
    result = CliRunner().invoke(main, [], env=environment, prog_name="ostiary", complete_var="_OSTIARY_COMPLETE")
    assert result.output.split() == ["plain,recordings"]


def test_version(site: Site) -> None:
    assert __version__ in site.run("version").output
    assert f'"version": "{__version__}"' in site.run("version", "--json").output
