"""`ostiary policy`: a policy against its author's expectations."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gateway.cli.options import config_option, json_option


@click.group()
def policy() -> None:
    """Policy files."""


@policy.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@config_option
@json_option
@click.pass_context
def test(context: click.Context, files: tuple[Path, ...], config_path: Path, as_json: bool) -> None:
    """Run the cases in each FILE (docs/policy.md, Tools) against the policy of --config.

    No target is asked; what names mean is assumed. Exit status 1 when a case fails.
    """
    from gateway.cli.offline import ASSUMED, Assumed, role_of
    from gateway.cli.output import say, say_json
    from gateway.config import load
    from gateway.policy import load_cases, load_snapshot, run_cases
    from gateway.protocols.ssh.forcing import written

    config = load(config_path)
    snapshot = load_snapshot(config.policy_files, config.targets, 0, config.masking.keys)
    found = [(file, load_cases(file)) for file in files]
    now = time.time()
    results = [
        (file, result)
        for file, cases in found
        for result in run_cases(
            cases,
            snapshot,
            config.targets,
            analyse=Assumed(snapshot).read,
            request=written,
            role_of=role_of,
            now=now,
        )
    ]
    failed = [result for _, result in results if not result.passed]
    if as_json:
        say_json(
            {
                "ok": not failed,
                "assumed": ASSUMED,
                "cases": [
                    {
                        "file": str(file),
                        "name": result.name,
                        "ok": result.passed,
                        "decision": result.decision.outcome.value,
                        "rules": result.decision.rules,
                        "problems": result.problems,
                    }
                    for file, result in results
                ],
            }
        )
    else:
        for file, result in results:
            say(f"{'ok    ' if result.passed else 'FAILED'}  {file}: {result.name}")
            for problem in result.problems:
                say(f"          {problem}")
        say(f"{len(results)} cases, {len(failed)} failed ({ASSUMED})")
    context.exit(1 if failed else 0)
