"""What can be asked for: one `Route` for each line of the API's table (`gateway.control.api.ROUTES`).

Serving, the description (`openapi`) and the tests of who may what all read that table, so that none can forget a line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Literal, Protocol

import msgspec

from gateway.audit.event import Event
from gateway.control.callers import Caller, Right
from gateway.control.messages import Refusal
from gateway.control.running import Running


class Refused(Exception):
    """Ends a request with a `Refusal`.

    audited  it is somebody's attempt at what is not theirs: the audit log gets it before the caller does
    """

    def __init__(self, status: HTTPStatus, problem: str, mend: str | None = None, *, audited: bool = False) -> None:
        super().__init__(problem)
        self.status = status
        self.refusal = Refusal(problem, mend)
        self.audited = audited


class Stream(Protocol):
    """An answer that goes on; what a streaming route's ``serve`` gives."""

    def begin(self, request: Any) -> None:
        """Write to ``request`` (a twisted.web Request, its head is sent) from now on, and finish it.

        The caller may leave (``request.notifyFinish``) and may read slowly (``request.registerProducer``). A right may
        be lost while it goes on: `Asked.again` looks again.
        """


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, admitted: who asks, what its path names (empty: nothing), what it sends, as the route's types."""

    gateway: Running
    caller: Caller
    route: Route
    subject: str
    body: Any
    query: Any
    admit: Callable[[], Caller]
    """Who asks, and may, by what is in force at that moment. Raises Refused."""

    def again(self) -> Asked:
        """The same request as it would be admitted now. Raises Refused."""
        return replace(self, caller=self.admit())

    def say(self, event: Event) -> None:
        """In the kernel before anything is done. Raises RecordingFailed."""
        self.gateway.audit.append(event)
        self.gateway.audit.flush()


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    path     as OpenAPI writes it; at most one ``{id}``
    act      its name in the audit log and in the description
    right    what the caller needs
    says     a sentence for the description
    answer   type of the answer (200); of a stream's lines
    serve    gives the answer, or a `Stream`; raises Refused or GatewayError
    body     type of what is sent with POST; an empty body is an empty object
    query    type of the query's parameters, all of them texts; None: it takes none
    also     statuses it can refuse with, beside those of every route like it
    streams  media type of an answer that goes on; None: one JSON document
    """

    method: Literal["GET", "POST"]
    path: str
    act: str
    right: Right
    says: str
    answer: type
    serve: Callable[[Asked], object]
    body: Any = None
    query: type[msgspec.Struct] | None = None
    also: tuple[HTTPStatus, ...] = ()
    streams: str | None = None
