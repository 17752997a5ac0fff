"""`ostiary explain`: why policy decides as it does."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from gateway.cli.options import caller_options, config_option, json_option

if TYPE_CHECKING:
    from gateway.cli.offline import Shown
    from gateway.model import Factor, Operation, PrincipalKind, SqlOperation, SshOperation
    from gateway.policy import Explanation, Forced


def _time(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float:
    if value is None:
        return time.time()
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("is no time; write it such as 2026-12-31T18:00:00Z") from None
    if moment.tzinfo is None:
        raise click.BadParameter("has no zone; write it such as 2026-12-31T18:00:00Z")
    return moment.timestamp()


@click.command()
@click.option("--principal", required=True, help="Who asks.")
@caller_options
@click.option("--at", "moment", callback=_time, help="When, such as 2026-12-31T18:00:00Z. Default: now.")
@click.option("--target", required=True, help="The target's name.")
@click.option("--database", help="Default: the target's name.")
@click.option("--sql", help="The statement; `-` reads standard input. Without it: the connection itself.")
@click.option("--login", help="The login at an SSH target. Default: the first of the credentials that fit.")
@click.option(
    "--ssh",
    metavar="REQUEST",
    help="What is asked for over SSH: shell, 'exec COMMAND', sftp, 'read PATH', 'write PATH', 'list PATH', "
    "'forward HOST:PORT', 'env NAME=VALUE', ...",
)
@config_option
@json_option
def explain(
    principal: str,
    groups: tuple[str, ...],
    kind: str,
    factor: str,
    address: str,
    moment: float,
    target: str,
    database: str | None,
    sql: str | None,
    login: str | None,
    ssh: str | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """Show the decision, each entry and why it did or did not match, and how labels are shown.

    Works from the files alone: no gateway is asked, nothing is recorded, and the target is not reached. What names in
    the statement mean is assumed, and the answer says so.
    """
    from gateway.cli.offline import ASSUMED, Assumed, role_of
    from gateway.cli.output import say, say_json
    from gateway.config import load
    from gateway.errors import GatewayError
    from gateway.masking import unmaskable
    from gateway.model import Access, Principal, SqlOperation, SshOperation
    from gateway.policy import load_snapshot
    from gateway.policy.explain import explain as explained

    config = load(config_path)
    snapshot = load_snapshot(config.policy_files, config.targets, 0, config.masking.keys)
    who = Principal(
        principal, cast("PrincipalKind", kind), frozenset(groups), frozenset({cast("Factor", factor)}), moment
    )
    to = next((one for one in config.targets if one.name == target), None)
    if to is None:
        known = ", ".join(sorted(one.name for one in config.targets)) or "none"
        raise GatewayError(f"there is no target {target}: callers are refused", hint=f"targets are: {known}")
    of_ssh = to.protocol == "ssh"
    if any((sql, database) if of_ssh else (ssh, login)):
        mend = "--ssh and --login" if of_ssh else "--sql and --database"
        raise GatewayError(f"{target} speaks {to.protocol}", hint=f"write {mend}, or name another target")
    role = role_of(who, to, login or "")
    if role is None:
        raise GatewayError(
            f"no credential of {target} fits {principal}{(login and f' and the login {login}') or ''}: it is refused, "
            "whatever policy says",
            hint="add one to the target's credentials, or name the right --groups",
        )
    access = Access(who, to, "" if of_ssh else database or target, role, address)
    assumed = Assumed(snapshot)
    text = sys.stdin.read() if sql == "-" else sql
    operation: Operation | None = None
    if ssh is not None:
        operation = _request(ssh, snapshot.for_access(access).forced(moment))
    elif text is not None:
        operation = assumed.read(text, access)
    found = explained(snapshot, access, operation, moment)
    refusal, columns = None, None
    if text is not None and isinstance(operation, SqlOperation):
        refusal = assumed.refusal(operation, access)
        columns = assumed.columns(text, operation, access)
    elif isinstance(operation, SshOperation):
        refusal = unmaskable(operation, snapshot.for_access(access).detected)
    outcome = found.decision.outcome.value
    if outcome == "deny":
        refusal = None
    unshown = None if operation is None or outcome != "approve" else operation.unshown
    if as_json:
        say_json(_described(found, operation, role, refusal, unshown, ASSUMED, columns))
        return
    where = f"{target}, database {access.database}, as {role}" if not of_ssh else f"{target} as {role}"
    if operation is None:
        say(f"{principal} connects to {where}")
    else:
        say(f"{principal} on {where}: {operation.normalised}")
        if isinstance(operation, SshOperation) and operation.original:
            say(f"  forced by policy; asked for: {operation.original}")
        for name in ("verbs", "relations", "functions", "labels", "shell"):
            values: frozenset[str] = getattr(operation, name, frozenset())
            if values:
                say(f"  {'uses of a shell' if name == 'shell' else name}: {', '.join(sorted(values))}")
    if refusal is not None:
        though = "policy allows it" if outcome == "allow" else "it could be approved"
        say(f"REFUSED, though {though}, since masks could be evaded: {refusal}")
    if unshown is not None:
        say(f"REFUSED, since nobody can approve what the text doesn't say: {unshown}")
    say(str(found))
    for number, column in enumerate(columns or (), 1):
        say(f"column {number}{' and more' if column.many else ''}: {_origin(column)}")
    if isinstance(operation, SqlOperation):
        say(f"Note: {ASSUMED}.")


def _request(text: str, forced: Forced | None) -> SshOperation:
    from gateway.errors import GatewayError
    from gateway.protocols.ssh.forcing import written

    try:
        return written(text, forced)
    except ValueError as error:
        problem, _, mend = str(error).partition("; ")
        raise GatewayError(f"--ssh {text!r} {problem}", hint=mend) from None


def _origin(column: Shown) -> str:
    """One result column in words: what it is made of, and what that means."""
    from gateway.policy.explain import describe

    made_of = ", ".join(column.sources) or "no column"
    if not column.labels:
        return f"from {made_of}: in the clear"
    return f"from {made_of}: {', '.join(sorted(column.labels))}, {describe(column.method)}"


def _described(
    found: Explanation,
    operation: Operation | None,
    role: str,
    refusal: str | None,
    unshown: str | None,
    assumed: str,
    columns: tuple[Shown, ...] | None,
) -> dict[str, object]:
    from gateway.model import SqlOperation, SshOperation
    from gateway.policy.explain import describe

    decision = found.decision
    described: dict[str, object] = {
        "decision": decision.outcome.value if refusal is None and unshown is None else "deny",
        "rules": decision.rules,
        "message": decision.message,
        "observed": decision.observed,
        "approvals": [
            {
                "rule": terms.rule,
                "principals": terms.principals,
                "groups": terms.groups,
                "needed": terms.needed,
                "wait": terms.wait,
                "uses": terms.uses,
                "within": terms.within,
                "ends": terms.ends,
            }
            for terms in decision.approvals
        ],
        "refused_by_masks": refusal,
        "refused_as_unshown": unshown,
        "opaque": found.opaque,
        "role": role,
        "entries": [
            {
                "effect": one.effect,
                "name": one.name,
                "file": one.file,
                "matches": one.matches,
                "observe": one.observe,
                "reasons": one.reasons,
            }
            for one in found.entries
        ],
        "masks": [{"label": mask.label, "method": describe(mask.method), "files": mask.files} for mask in found.masks],
        "limits": {
            "max": found.limits.max,
            "idle": found.limits.idle,
            "durability": found.limits.durability,
            "ends_with_identity": found.limits.ends_with_identity,
        },
    }
    if isinstance(operation, SshOperation):
        described["operation"] = _asked(operation)
    elif isinstance(operation, SqlOperation):
        described["operation"] = _stated(operation, columns)
        described["assumed"] = assumed
    return described


def _asked(operation: SshOperation) -> dict[str, object]:
    return {
        "request": operation.request,
        "normalised": operation.normalised,
        "digest": operation.digest,
        "verbs": sorted(operation.verbs),
        "argv": operation.argv,
        "shell": sorted(operation.shell),
        "subsystem": operation.subsystem,
        "files": [{"action": use.action, "path": use.path} for use in operation.files],
        "destination": operation.destination,
        "variable": operation.variable,
        "original": operation.original,
    }


def _stated(operation: SqlOperation, columns: tuple[Shown, ...] | None) -> dict[str, object]:
    from gateway.policy.explain import describe

    return {
        "normalised": operation.normalised,
        "digest": operation.digest,
        "verbs": sorted(operation.verbs),
        "relations": sorted(operation.relations),
        "functions": sorted(operation.functions),
        "labels": sorted(operation.labels),
        "without_where": operation.without_where,
        "uses": [
            {
                "kind": use.kind,
                "place": use.place,
                "labels": sorted(use.labels),
                "columns": use.columns,
                "count": use.count,
            }
            for use in operation.uses or ()
        ],
        "columns": columns
        and [
            {
                "sources": column.sources,
                "many": column.many,
                "labels": sorted(column.labels),
                "method": describe(column.method),
            }
            for column in columns
        ],
    }
