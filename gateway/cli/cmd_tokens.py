"""`ostiary tokens`: what stands behind the tokens that masks show."""

from __future__ import annotations

import click

from gateway.cli.options import Where, gateway_options, json_option, reason_option


@click.group()
def tokens() -> None:
    """Tokens of the running gateway's vault."""


@tokens.command()
@click.argument("tokens", nargs=-1, required=True, metavar="TOKEN...")
@reason_option("Words for the audit log.")
@gateway_options
@json_option
def resolve(tokens: tuple[str, ...], reason: str, where: Where, as_json: bool) -> None:
    """Show the values behind tokens. For auditors; the audit log says who asked for which.

    Exit status 1 when the vault does not know one of them.
    """
    from gateway.cli.control import control
    from gateway.cli.output import MISSING, say_json, say_table
    from gateway.control.messages import Resolved, ResolveRequest

    answer = control(where).post("/v1/tokens/resolve", ResolveRequest(tokens, reason), Resolved)
    if as_json:
        say_json([_described(one.token, one.value) for one in answer.tokens])
    else:
        shown = ((one.token, MISSING if one.value is None else _text(one.value)) for one in answer.tokens)
        say_table(("token", "value"), shown)
    if any(one.value is None for one in answer.tokens):
        raise SystemExit(1)


def _described(token: str, value: bytes | None) -> dict[str, object]:
    """``value`` as text; what is no UTF-8 as ``base64``."""
    import base64

    if value is None:
        return {"token": token, "value": None}
    try:
        return {"token": token, "value": value.decode()}
    except UnicodeDecodeError:
        return {"token": token, "base64": base64.b64encode(value).decode()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
