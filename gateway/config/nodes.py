"""YAML text -> a tree that remembers its lines.

Built from libyaml's events, not from its loader: nothing is ever constructed from a tag, depth and size are bounded
before memory is, and what YAML can do and a configuration shouldn't is refused: tags, anchors, aliases, merge keys,
several documents, duplicate keys. Scalars stay text; decode.py gives them the type that the schema asks for, so that
YAML 1.1's traps (``no`` as false, ``22:22`` as a number, ``0755`` as octal) can't bite.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from gateway.errors import Problem

MAX_DEPTH = 32
"""Levels. The schema's deepest key is at 8; Python's own recursion limit (1000) is never near."""

MAX_NODES = 200_000
"""Keys and values; 1 MiB of ordinary entries has fewer (5,000 targets: 120,000), 1 MiB of ``a,`` would be 500,000."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    line: int
    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    line: int
    entries: tuple[tuple[Scalar, Node], ...]


Node = Scalar | Sequence | Mapping


class _Unusable(Exception):
    """Reading can't go on after this problem."""


def printable(text: str, limit: int = 60) -> str:
    """Untrusted text for a message: control characters escaped, cut to ``limit`` characters."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)


def compose(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The tree of the one document in ``text`` (None: it is empty) and everything that is wrong with it as YAML."""
    builder = _Builder(text, file)
    try:
        root = builder.document()
    except _Unusable:
        root = None
    return root, builder.problems


class _Builder:
    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._nodes = 0
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=yaml.CSafeLoader))

    def document(self) -> Node | None:
        self._next()  # start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        root = self._node(self._next(), (), 0)
        self._next()  # end of the document
        following = self._next()
        if not isinstance(following, yaml.StreamEndEvent):
            self._problem(following, (), "starts a second document", "remove the --- line; a file holds one document")
        return None if isinstance(root, Scalar) and root.plain and not root.text else root

    def _next(self) -> yaml.Event:
        try:
            return next(self._events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = None if mark is None else mark.line + 1
            self._add((), f"is not YAML: {error.problem or 'it ends too early'}", _YAML_MEND, line)
        except yaml.YAMLError as error:
            # ReaderError: a character that YAML doesn't allow. Its text is libyaml's own and quotes no input.
            reason = getattr(error, "reason", None) or "unreadable"
            self._add((), f"is not YAML: {printable(str(reason))}", "remove the characters that are no text", None)
        raise _Unusable

    def _node(self, event: yaml.Event, path: Path, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._problem(event, (), f"has more than {MAX_NODES} values", "split the file")
            raise _Unusable
        if depth > MAX_DEPTH:
            self._problem(event, (), f"is nested more than {MAX_DEPTH} levels deep", "no key lies that deep; check it")
            raise _Unusable
        if isinstance(event, yaml.AliasEvent):
            self._problem(event, path, f"is an alias (*{printable(event.anchor or '')})", "write the value out")
            return Scalar(_line(event), "", False)
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._problem(event, path, f"has an anchor (&{printable(event.anchor)})", "remove it; write values out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if event.tag is not None:  # type: ignore[attr-defined]  # both collection events have it
            self._tag(event, path, event.tag)  # type: ignore[attr-defined]  # as above
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, path, depth)
        return self._mapping(event, path, depth)

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Scalar:
        if event.tag is not None:
            self._tag(event, path, event.tag)
        text: str = event.value
        if not text.isprintable() and any(_is_control(char) for char in text):
            self._problem(event, path, "has control characters", "remove the escapes; only \\t and \\n may be there")
        return Scalar(_line(event), text, not event.style)

    def _sequence(self, start: yaml.Event, path: Path, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), depth + 1))
        return Sequence(_line(start), tuple(items))

    def _mapping(self, start: yaml.Event, path: Path, depth: int) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, path, depth + 1)
            name = printable(key.text) if isinstance(key, Scalar) else "?"
            value = self._node(self._next(), (*path, name), depth + 1)
            if not isinstance(key, Scalar):
                self._problem(event, path, "has a list or mapping as a key", "write a plain word as the key")
            elif key.plain and key.text == "<<":
                self._problem(event, path, "has a merge key (<<)", "write the keys out")
            elif key.text in entries:
                first = entries[key.text][0].line
                self._problem(event, (*path, name), f"is there twice (first in line {first})", "remove one of them")
            else:
                entries[key.text] = key, value
        return Mapping(_line(start), tuple(entries.values()))

    def _tag(self, event: yaml.Event, path: Path, tag: str) -> None:
        self._problem(event, path, f"has a tag ({printable(tag)})", "remove it; the schema knows each key's type")

    def _problem(self, event: yaml.Event, path: Path, problem: str, mend: str) -> None:
        self._add(path, problem, mend, _line(event))

    def _add(self, path: Path, problem: str, mend: str, line: int | None) -> None:
        self.problems.append(Problem(self._file, path, problem, mend, line))


_YAML_MEND = "check indentation, quotes and brackets there and in the line before"


def _line(event: yaml.Event) -> int:
    """Counted from 1."""
    assert event.start_mark is not None
    return event.start_mark.line + 1


def _is_control(char: str) -> bool:
    """C0, DEL and C1 without tab and newline, and what makes text read in another order than it is (Trojan Source)."""
    code = ord(char)
    return (
        (code < 0x20 and char not in "\t\n")
        or 0x7F <= code < 0xA0
        or 0x202A <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
    )
