"""The gateway as a whole."""

from __future__ import annotations

from http import HTTPStatus

from gateway.audit.events import AdministrativeAct
from gateway.control.messages import Nothing, Reloaded, Status
from gateway.control.route import Asked, Refused, Route
from gateway.control.status import status_of
from gateway.errors import GatewayError, RecordingFailed, StoreFailed


def status(asked: Asked) -> Status:
    return status_of(asked.gateway)


def reload(asked: Asked) -> Reloaded:
    gateway, caller = asked.gateway, asked.caller
    # What came of it is an event of the reload's own, but that comes when it is done.
    asked.say(AdministrativeAct(caller.name, asked.route.act, address=caller.address))
    try:
        restart = gateway.reload(caller.name)
    except (RecordingFailed, StoreFailed):
        raise
    except GatewayError as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.message, error.hint) from None
    rules = gateway.gate.rules
    return Reloaded(rules.snapshot.number, len(rules.targets), restart, tuple(gateway.warnings))


ROUTES = (
    Route("GET", "/v1/status", "status", "look", "How the gateway is.", Status, status),
    Route(
        "POST",
        "/v1/reload",
        "configuration.reload",
        "reload",
        "Take up configuration and policy as the files are now, all or nothing.",
        Reloaded,
        reload,
        body=Nothing,
        also=(HTTPStatus.UNPROCESSABLE_ENTITY,),
    ),
)
