"""What the relay remembers of one session: names, what waits for an answer, what is asked, what ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from gateway.model import RowPlanner, RowRewriter, Verdict

Source = Literal["query", "parse", "execute", "function"]


@dataclass(slots=True, eq=False)
class Ask:
    """A question to the corridor: may this go to the target?

    ``text`` is the statement as the client sent it, at Execute the one that was parsed. For what is run by a name
    that SQL gave (a cursor, a PREPARE) it is the SQL that would run it.
    """

    source: Source
    text: bytes
    name: bytes = b""
    """The prepared statement's name, at Parse."""
    types: bytes = b""
    """Parameter types as Parse states them: int16 count, int32 OIDs."""
    parameters: tuple[bytes | None, ...] = ()
    formats: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Result:
    """How one statement ended: its command tag, or the SQLSTATE it failed with."""

    number: int
    status: str
    rows: int
    size: int
    columns: tuple[str, ...] = ()
    failed: bool = False


@dataclass(slots=True, eq=False)
class Prepared:
    name: bytes
    text: bytes
    types: bytes
    verdict: Verdict
    segment: int
    previous: Prepared | None
    confirmed: bool = False


@dataclass(slots=True, eq=False)
class Portal:
    name: bytes
    statement: Prepared | None
    unknown: bytes
    """Name of the statement when it is not one that we saw parsed."""
    parameters: tuple[bytes | None, ...]
    formats: tuple[int, ...]
    segment: int
    previous: Portal | None
    confirmed: bool = False
    planner: RowPlanner | None = None
    """Whose plan it is, or will be as soon as the Describe that is under way is answered."""
    plan: RowRewriter | None = None
    planned: bool = False


@dataclass(slots=True, eq=False)
class Sent:
    """One message that the target will answer."""

    kind: int
    verdict: Verdict | None = None
    statement: Prepared | None = None
    portal: Portal | None = None
    hidden: bool = False
    """We asked, not the client: the answer is not passed on."""
    plan: RowRewriter | None = None
    planned: bool = False
    rows: int = 0
    size: int = 0
    columns: tuple[str, ...] = ()
    segment: int = 0
    """Of ReadyForQuery's cause: the batch that it ends."""


_State = TypeVar("_State", Prepared, Portal)


def drop(names: dict[bytes, _State], state: _State) -> None:
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
