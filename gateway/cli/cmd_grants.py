"""`ostiary grants`: what was approved and still holds; and, older by that name, the least role at a target."""

from __future__ import annotations

import click

from gateway.cli.least_role import sql
from gateway.cli.options import Where, gateway_options, json_option, reason_option


class _Grants(click.Group):
    """With options and no command it is `sql`, as it was before there were others."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = [sql.name or "", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Grants)
def grants() -> None:
    """Rights: those that approvers gave (list, revoke), and a target's own (sql).

    `ostiary grants --target T --groups G` is short for `ostiary grants sql --target T --groups G`.
    """


grants.add_command(sql)


@grants.command("list")
@gateway_options
@json_option
def list_(where: Where, as_json: bool) -> None:
    """Grants that live, and those that ended in the last day, oldest first.

    Operators and auditors see all of them, others what they asked for or approved.
    """
    from gateway.cli.control import control
    from gateway.cli.output import ellipsis, lasting, say_json, say_left_out, say_table
    from gateway.control.messages import Grants

    found = control(where).get("/v1/grants", Grants)
    if as_json:
        say_json(found.grants)
        return
    say_table(
        ("grant", "state", "principal", "target", "approved by", "left", "uses", "what"),
        [
            (
                one.id,
                one.state,
                one.principal,
                one.target,
                ", ".join(one.approvers),
                lasting(one.ends - found.now) if one.state in ("live", "used") else None,
                "any" if one.left is None else one.left,
                "a session" if one.kind == "session" else ellipsis(one.statement),
            )
            for one in found.grants
        ],
    )
    say_left_out(found.left_out)


@grants.command()
@click.argument("grant")
@reason_option("Words for whoever is in by it, and the audit log.")
@gateway_options
@json_option
def revoke(grant: str, reason: str, where: Where, as_json: bool) -> None:
    """End a grant at once, and the sessions that it let in. For operators."""
    from gateway.cli.control import control, path
    from gateway.cli.output import say, say_json
    from gateway.control.messages import Revoked, RevokeRequest

    done = control(where).post(path("grants", grant, "revoke"), RevokeRequest(reason), Revoked)
    if as_json:
        say_json(done.grant)
    else:
        say(f"{done.grant.id} of {done.grant.principal} on {done.grant.target} is revoked")
