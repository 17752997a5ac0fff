"""What stands behind the tokens that masks show."""

from __future__ import annotations

from http import HTTPStatus

import structlog

from gateway.audit.events import TokensResolved
from gateway.control.messages import Resolved, ResolveRequest, Token
from gateway.control.route import Asked, Refused, Route

log = structlog.get_logger()


def resolve(asked: Asked) -> Resolved:
    body: ResolveRequest = asked.body
    vault, caller = asked.gateway.vault, asked.caller
    if vault is None:
        mend = "ask the gateway that made the tokens"
        raise Refused(HTTPStatus.NOT_FOUND, "this gateway has no token vault", mend)
    values = vault.resolve(body.tokens)
    asked.say(TokensResolved(caller.name, body.tokens, len(values), body.reason, caller.address))
    log.warning("tokens resolved", tokens=len(body.tokens), found=len(values), by=caller.name, reason=body.reason)
    return Resolved(tuple(Token(token, values.get(token)) for token in body.tokens))


ROUTES = (
    Route(
        "POST",
        "/v1/tokens/resolve",
        "tokens.resolve",
        "reveal",
        "The values behind tokens, in the order that was asked.",
        Resolved,
        resolve,
        body=ResolveRequest,
        also=(HTTPStatus.NOT_FOUND,),
    ),
)
