"""A request's body and query as the types of its route; what doesn't fit is told, never guessed at."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.control.messages import ONE_LINE
from gateway.control.route import Refused, Route

MEND = "GET /v1/openapi.json (docs/openapi.json) describes every request"


def read_body(request: Any, route: Route) -> Any:
    """What is sent, as the route's type; None when it takes nothing. Raises Refused.

    A POST says that it sends JSON, even if it sends nothing: a browser that holds a client certificate can be made to
    post forms and plain text by any page, but JSON only by one that we allow to, and we allow none.
    """
    data: bytes = request.content.read()
    if route.body is None:
        if data:
            raise Refused(HTTPStatus.BAD_REQUEST, "a body is sent, and nothing is taken here", MEND)
        return None
    kinds = request.requestHeaders.getRawHeaders(b"content-type", [])
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != b"application/json":
        mend = "send it with Content-Type: application/json"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is not said to be JSON", mend)
    try:
        return msgspec.json.decode(data or b"{}", type=route.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is wrong: {_worded(error)}", MEND) from None


def read_query(request: Any, route: Route) -> Any:
    """The query's parameters, as the route's type; None when it takes none. Raises Refused."""
    found: dict[str, str] = {}
    try:
        text = request.uri.partition(b"?")[2].decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=16)
        for name, value in pairs:
            if name in found:
                raise Refused(HTTPStatus.BAD_REQUEST, "a parameter of the query is given twice", MEND)
            found[name] = value
        if route.query is not None:
            return msgspec.convert(found, route.query)
    except (msgspec.ValidationError, ValueError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the query is wrong: {_worded(error)}", MEND) from None
    if found:
        raise Refused(HTTPStatus.BAD_REQUEST, "parameters are sent, and none are taken here", MEND)
    return None


def _worded(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).replace(f"matching regex {ONE_LINE!r}", "of one line without control characters")
