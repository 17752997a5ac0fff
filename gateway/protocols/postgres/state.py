"""What the relay remembers of one session: names, what waits for an answer, what is asked, what ended.

Plain classes with written-out constructors: relay.py and this compile with the C types of their .pxd files, and a
dataclass can't be given those.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, Literal, TypeVar

from gateway.model import RowPlanner, RowRewriter, SqlOperation, Verdict

UNSURE: Final = b"\xff"
"""Stands for every name of which we can't say what the target makes of it; no name in UTF-8 is like it."""

Source = Literal["query", "parse", "execute", "function"]


class Ask:
    """A question to the corridor: may this go to the target?

    text         the statement as the client sent it, at Execute the one that was parsed. For what is run by a name
                 that SQL gave (a cursor, a PREPARE) it is the SQL that would run it
    name         the prepared statement's name, at Parse, as the target knows it
    types        parameter types as Parse states them: int16 count, int32 OIDs
    parameters   values as in Bind (None: NULL), formats  their codes as in Bind
    portals      names of portals that Bind made: SQL can FETCH from them, too
    grant        what the portal was run by before, which goes on; empty: it runs for the first time, or needed none
    """

    def __init__(
        self,
        source: Source,
        text: bytes,
        name: bytes = b"",
        types: bytes = b"",
        parameters: tuple[bytes | None, ...] = (),
        formats: tuple[int, ...] = (),
        portals: Container[bytes] = (),
        grant: str = "",
    ) -> None:
        self.source = source
        self.text = text
        self.name = name
        self.types = types
        self.parameters = parameters
        self.formats = formats
        self.portals = portals
        self.grant = grant


class Result:
    """How one statement ended: its command tag, or the SQLSTATE it failed with.

    columns, masked  names of the result's columns, where they were described, and of those that were masked
    """

    def __init__(
        self,
        number: int,
        status: str,
        rows: int,
        size: int,
        columns: tuple[str, ...] = (),
        masked: tuple[str, ...] = (),
        failed: bool = False,
    ) -> None:
        self.number = number
        self.status = status
        self.rows = rows
        self.size = size
        self.columns = columns
        self.masked = masked
        self.failed = failed


class Named:
    """What a statement's or a portal's name stands for; both constructors write it out, no call each time.

    segment    the batch that made it
    confirmed  the target has said that it exists
    """

    name: bytes
    segment: int
    confirmed: bool


class Prepared(Named):
    """A statement that was parsed, or will be as soon as the target has answered (``confirmed``).

    previous  what the name stood for before, as long as the target may refuse
    """

    def __init__(
        self,
        name: bytes,
        text: bytes,
        types: bytes,
        verdict: Verdict[SqlOperation],
        segment: int,
        previous: Prepared | None,
    ) -> None:
        self.name = name
        self.segment = segment
        self.confirmed = False
        self.text = text
        self.types = types
        self.verdict = verdict
        self.previous = previous


class Portal(Named):
    """A portal that was bound, or will be as soon as the target has answered (``confirmed``).

    unknown          the statement's name when it is not one that we saw parsed; then ``statement`` is None
    planner, plan    whose plan of its rows it is, or will be as soon as the Describe that is under way is answered
                     (``planned``)
    operation        what that plan is for: EXECUTE may run something else by now, in the same columns
    unsure           SQL may have closed it, and given its name to a cursor
    grant            the approval that it was run by; a further Execute goes on with what that one left
    """

    def __init__(
        self,
        name: bytes,
        statement: Prepared | None,
        unknown: bytes,
        parameters: tuple[bytes | None, ...],
        formats: tuple[int, ...],
        segment: int,
        previous: Portal | None,
        unsure: bool = False,
    ) -> None:
        self.name = name
        self.segment = segment
        self.confirmed = False
        self.statement = statement
        self.unknown = unknown
        self.parameters = parameters
        self.formats = formats
        self.previous = previous
        self.planner: RowPlanner | None = None
        self.plan: RowRewriter | None = None
        self.planned = False
        self.columns: tuple[str, ...] = ()
        self.operation: SqlOperation | None = None
        self.unsure = unsure
        self.grant = ""

    def expects(self, verdict: Verdict[SqlOperation]) -> bool:
        """Whether its plan is, or is about to be, the one for ``verdict``."""
        if self.planner is not verdict.planner:
            return False
        return self.operation is verdict.operation or self.operation == verdict.operation

    def expect(self, verdict: Verdict[SqlOperation]) -> None:
        """A Describe is on its way whose answer makes the plan for ``verdict``."""
        if not self.expects(verdict):
            self.planner, self.operation, self.planned = verdict.planner, verdict.operation, False


class Sent:
    """One message that the target will answer.

    hidden   we asked, not the client: the answer is not passed on
    segment  the batch that it belongs to
    copying  it is COPY ... TO STDOUT, whose rows `copy` rewrites (None: they pass)
    copies_ended  CopyDone and CopyFail that the client sent behind it, before the target had asked for data
    """

    def __init__(
        self,
        kind: int,
        verdict: Verdict[SqlOperation] | None = None,
        statement: Prepared | None = None,
        portal: Portal | None = None,
        hidden: bool = False,
        segment: int = 0,
    ) -> None:
        self.kind = kind
        self.verdict = verdict
        self.statement = statement
        self.portal = portal
        self.hidden = hidden
        self.segment = segment
        self.plan: RowRewriter | None = None
        self.planned = False
        self.rows = 0
        self.size = 0
        self.columns: tuple[str, ...] = ()
        self.copies_ended = 0
        self.copying = False
        self.copy: RowRewriter | None = None


State = TypeVar("State", Prepared, Portal)


def drop(names: dict[bytes, State], state: State) -> None:
    """Take ``state`` out of the chain of what its name stood, stands and will stand for."""
    current = names.get(state.name)
    if current is state:
        if state.previous is not None:
            names[state.name] = state.previous
        else:
            del names[state.name]
        return
    while current is not None:
        if current.previous is state:
            current.previous = state.previous
            return
        current = current.previous
