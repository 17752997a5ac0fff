"""`ostiary grants sql`: the least role at a target."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from gateway.cli.options import caller_options, config_option, json_option

if TYPE_CHECKING:
    from gateway.model import Access, Credential, Factor, PrincipalKind
    from gateway.policy import AccessPolicy, Snapshot
    from gateway.protocols.postgres.grants import LeastRole


@click.command()
@click.option("--target", required=True, help="The target's name.")
@click.option("--database", help="The database to read. Default: the target's name.")
@click.option("--principal", default="", help="For whom. Default: somebody without a name who is in --groups.")
@caller_options
@click.option("--role", help="The role at the target. Default: the user of the credential that fits the principal.")
@config_option
@json_option
def sql(
    target: str,
    database: str | None,
    principal: str,
    groups: tuple[str, ...],
    kind: str,
    factor: str,
    address: str,
    role: str | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """Print the least role that fits what policy allows, as SQL for the target's owner or DBA.

    Columns that policy hides by `redact` or `null` are left out of it, so that the target refuses them, too. Connects
    to the target as the gateway does, reads its catalogue, and changes nothing.
    """
    from gateway.cli.output import say, say_json
    from gateway.config import load
    from gateway.errors import GatewayError, SecretUnavailable
    from gateway.model import Access, Principal
    from gateway.policy import load_snapshot
    from gateway.session.admit import credential_for

    if not principal and not groups:
        raise click.UsageError("for whom? Give --principal, --groups or both.")
    config = load(config_path)
    snapshot = load_snapshot(config.policy_files, config.targets, 0, config.masking.keys)
    to = next((one for one in config.targets if one.name == target), None)
    if to is None:
        known = ", ".join(sorted(one.name for one in config.targets)) or "none"
        raise GatewayError(f"there is no target {target}", hint=f"targets are: {known}")
    if to.protocol != "postgres":
        raise GatewayError(f"{target} speaks {to.protocol}", hint="a least role is a database's; name another target")
    now = time.time()
    who = Principal(principal, cast("PrincipalKind", kind), frozenset(groups), frozenset({cast("Factor", factor)}), now)
    credential = credential_for(to, who)
    if credential is None:
        raise GatewayError(
            f"no credential of {target} fits {principal or 'these groups'}: it is refused, whatever policy says",
            hint="add one to the target's credentials, or name the right --groups",
        )
    try:
        if credential.password is not None:
            credential.password.resolve()
    except SecretUnavailable as error:
        raise GatewayError(
            f"the credential of {target} for {credential.user} can't be read here: {error.message}",
            hint="give this command what the gateway's unit has: `systemd-run -p User=ostiary -p LoadCredential=...`, "
            "see docs/appliance.md",
        ) from error
    access = Access(who, to, database or target, role or credential.user, address)
    found = _read(access, credential, snapshot, now)
    if as_json:
        say_json(_described(found))
        return
    whom = " ".join(filter(None, (principal, f"(groups: {', '.join(groups)})" if groups else "")))
    say("\n".join(_script(found, access, whom)))


def _read(access: Access, credential: Credential, snapshot: Snapshot, now: float) -> LeastRole:
    """Over a connection to the target. Raises TargetUnavailable."""
    from gateway.net import install_reactor

    reactor = install_reactor()
    from gateway.errors import PeerError, TargetUnavailable
    from gateway.protocols.postgres.catalogue import connect, load_catalogue
    from gateway.protocols.postgres.grants import least_role, surroundings
    from gateway.protocols.postgres.upstream import Dialler

    policy: AccessPolicy = snapshot.for_access(access)

    async def read() -> LeastRole:
        connection = await connect(Dialler(reactor, time.time), access.target, credential, access.database)
        try:
            catalogue = await load_catalogue(connection)
            around = await surroundings(connection, access.role)
        except PeerError as error:
            raise TargetUnavailable(f"the target's catalogue can't be read: {error}") from error
        finally:
            connection.close()
        labelled = catalogue.bind(snapshot.column_labels(access.target.name))
        return least_role(labelled, policy, access.role, around, database=access.database, now=now)

    found: LeastRole = _run(reactor, read())
    return found


def _run(reactor: Any, work: Any) -> Any:
    """The outcome of a coroutine that needs the reactor; this process runs it once."""
    from twisted.internet.defer import ensureDeferred
    from twisted.python.failure import Failure

    outcome: list[Any] = []

    def begin() -> None:
        ensureDeferred(work).addBoth(outcome.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        raise click.Abort
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]


def _script(found: LeastRole, access: Access, whom: str) -> list[str]:
    from gateway.recording.export import printable

    head = [
        f"Least role for {whom} on target {access.target.name}, database {access.database}, as {access.role}.",
        f"Whoever else logs in as {access.role} has these rights, too: give those with other masks another credential.",
        "Run it as the owner of the relations, and make it anew when policy or the schema changes.",
    ]
    head += [f"WARNING: {warning}" for warning in found.warnings]
    for one in found.hidden:
        mask = f"{one.relation}.{one.column} ({', '.join(one.labels)}): {one.method.name}"
        head.append(f"{mask}, {'readable, since the mask needs the value' if one.granted else 'left out'}")
    # A name in a comment must not end it.
    comments = [f"-- {printable(line)}" for line in head]
    return [*comments, "BEGIN;", *(f"{statement};" for statement in found.statements), "COMMIT;"]


def _described(found: LeastRole) -> dict[str, object]:
    return {
        "role": found.role,
        "statements": found.statements,
        "hidden": [
            {
                "relation": one.relation,
                "column": one.column,
                "labels": one.labels,
                "method": one.method.name,
                "granted": one.granted,
            }
            for one in found.hidden
        ],
        "warnings": found.warnings,
    }
