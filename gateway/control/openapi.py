"""The API's description (OpenAPI 3.1.1, https://spec.openapis.org/oas/v3.1.1), out of the table of routes and the types
that they name: ``python -m gateway.control.openapi > docs/openapi.json``.

Nothing is said twice: bounds and patterns are those that requests are checked against.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, get_args

import msgspec

from gateway.control.callers import GRANTED, Right
from gateway.control.messages import Refusal
from gateway.control.route import Route
from gateway.control.sites import MAX_BODY

TEMPLATE = "#/components/schemas/{name}"

ABOUT = """\
Approvals, just-in-time access and live sessions of one Ostiary gateway.

Callers prove themselves by a client certificate (or, on the gateway's own host, by their uid on its unix socket); there
are no other credentials. Requests and answers are JSON in UTF-8, times are unix seconds, sizes bytes. A POST says
`Content-Type: application/json`. Keys and parameters that are not described are refused; answers may get more keys.
What is not the caller's to see is answered as what does not exist. Other paths are answered by 404, other methods by
405 with `Allow`.
"""

REFUSED: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "what is sent is not as described here, or no HTTP",
    HTTPStatus.FORBIDDEN: "not for this caller",
    HTTPStatus.NOT_FOUND: "there is none, or none that this caller may know of",
    HTTPStatus.CONFLICT: "it is too late for that, or it would shut the caller out",
    HTTPStatus.LENGTH_REQUIRED: "the body does not say how long it is",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"the body is longer than {MAX_BODY} bytes",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "the body is not said to be JSON",
    HTTPStatus.MISDIRECTED_REQUEST: "the TLS connection was opened for another protocol than HTTP/1.1",
    HTTPStatus.UNPROCESSABLE_ENTITY: "the configuration has problems, all of which are told; what was in force stays",
    HTTPStatus.TOO_MANY_REQUESTS: "this caller asks too often, or too much was refused to it lately",
    HTTPStatus.INTERNAL_SERVER_ERROR: "the gateway failed at this request; its log says how",
    HTTPStatus.SERVICE_UNAVAILABLE: "the audit log or the store failed; nothing was done",
}

ALWAYS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""A refusal is written to the audit log, so that any request can meet one that fails."""

OF_A_BODY = (
    HTTPStatus.LENGTH_REQUIRED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    routes = tuple(routes)
    types: list[Any] = [Refusal]
    for route in routes:
        types += [each for each in (route.answer, route.body) if each is not None and each not in types]
    schemas, components = msgspec.json.schema_components(types, ref_template=TEMPLATE)
    for component in components.values():
        if "description" in component:
            component["description"] = inspect.cleandoc(component["description"])
    of = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of)
    return {
        "openapi": "3.1.1",
        "info": {"title": "Ostiary control API", "version": "1", "description": ABOUT},
        "security": [{"certificate": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A client certificate of one of the gateway's tls.client_ca, with clientAuth.",
                }
            },
            "responses": {
                status.name: {
                    "description": f"{said[0].upper()}{said[1:]}.",
                    "content": {"application/json": {"schema": of[repr(Refusal)]}},
                }
                for status, said in REFUSED.items()
            },
            "schemas": components,
        },
    }


def _operation(route: Route, of: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.act,
        "tags": [route.path.removeprefix("/v1").split("/")[1].removesuffix(".json")],
        "summary": route.says,
        "description": _for_whom(route.right),
    }
    parameters = [*_in_path(route), *_in_query(route)]
    if parameters:
        described["parameters"] = parameters
    if route.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": of[repr(route.body)]}}}
    media = "application/json" if route.streams is None else route.streams
    described["responses"] = {
        "200": {"description": "Done.", "content": {media: {"schema": of[repr(route.answer)]}}},
        **{str(int(status)): {"$ref": f"#/components/responses/{status.name}"} for status in sorted(refusals(route))},
    }
    return described


def refusals(route: Route) -> set[HTTPStatus]:
    """Every status beside 200 that a request for ``route`` can get."""
    found = {*ALWAYS, *route.also}
    if "{id}" in route.path:
        found.add(HTTPStatus.NOT_FOUND)
    if route.body is not None:
        found.update(OF_A_BODY)
    return found


def _for_whom(right: Right) -> str:
    roles = GRANTED[right]
    if not roles:
        return "For every principal; what does not concern it does not exist for it."
    own = ", and the gateway's own user on its socket" if right == "reload" else ""
    return f"For {' and '.join(roles)}{own}."


def _in_path(route: Route) -> list[dict[str, Any]]:
    if "{id}" not in route.path:
        return []
    return [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]


def _in_query(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    found = []
    for field in msgspec.structs.fields(route.query):
        # None is what a parameter is that isn't there; nobody can send it.
        kind = next((each for each in get_args(field.type) if each is not type(None)), field.type)
        schema = msgspec.json.schema(kind)
        found.append({"name": field.encode_name, "in": "query", "required": field.required, "schema": schema})
    return found


if __name__ == "__main__":
    from gateway.control.api import ROUTES

    json.dump(describe(ROUTES), sys.stdout, indent=2)
    sys.stdout.write("\n")
