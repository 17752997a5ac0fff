"""A tree of nodes and a schema -> values, with every problem that there is.

msgspec's own `convert` stops at the first problem and knows no lines, so the walk is ours; it reads the schema's
annotations and leaves the check of a single value (bounds, patterns) to msgspec. Fail closed: null is never a value,
because ``groups:`` with nothing behind it would otherwise read as "no condition". A key is left out or has a value.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
import types
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from gateway.config.markers import Later, Parsed
from gateway.config.nodes import Mapping, Node, Path, Scalar, Sequence, printable
from gateway.errors import Problem

_INVALID: Any = object()
"""Stands for a value that has a problem already."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})", re.ASCII)
"""No leading zero (octal or decimal? nobody knows), no 0x, no underscores."""
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)


class Decoder:
    """Decodes one file; ``file`` is its name in problems.

    Keys are repeated in problems, values never: they may be secrets in the wrong place.
    """

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file

    def decode(self, node: Node, into: Any, path: Path = ()) -> Any:
        """The value of ``node`` as ``into``; meaningless when ``problems`` isn't empty afterwards.

        ``into``: a msgspec Struct, ``dict``, ``list``, ``tuple[T, ...]``, ``set``, ``frozenset``, ``Literal``, ``str``,
        ``int``, ``float``, ``bool``, ``object``, unions of them, ``Annotated`` with `Parsed`, `Later`, msgspec.Meta.
        """
        into, meta, parsed, later = _unwrap(into)
        if into is Any or into is object:
            return self._plain(node, path)
        members = [member for member in _members(into) if member is not type(None)]
        if parsed is not None:
            return self._parsed(node, parsed, meta, path)
        if len(members) > 1:
            return self._union(node, members, later, path)
        return self._single(node, members[0], meta, later, path)

    def _single(self, node: Node, into: Any, meta: tuple[msgspec.Meta, ...], later: Later | None, path: Path) -> Any:
        if get_origin(into) is Annotated:  # a member of a union
            return self.decode(node, into, path)
        shape = get_origin(into) or into
        if isinstance(into, type) and issubclass(into, msgspec.Struct):
            return self._struct(node, into, path)
        if shape in (dict, AbstractMapping):
            return self._bounded(self._dict(node, into, path), meta, node, path)
        if shape in (list, tuple, set, frozenset):
            return self._bounded(self._list(node, into, shape, path), meta, node, path)
        if not isinstance(node, Scalar):
            return self._problem(node, path, f"is a {_kind(node)}, not {_article(into)}", f"write {_article(into)}")
        if shape is Literal:
            return self._literal(node, get_args(into), later, path)
        if not self._has_value(node, path):
            return _INVALID
        if into is str:
            return self._checked(node.text, str, meta, node, path)
        value = _resolve(node)
        if into is float and type(value) is int:
            value = float(value)
        if type(value) is not into:
            quoted = "" if node.plain else " (it is in quotes)"
            return self._problem(node, path, f"is not {_article(into)}{quoted}", f"write {_article(into)}")
        return self._checked(value, into, meta, node, path)

    def _union(self, node: Node, members: list[Any], later: Later | None, path: Path) -> Any:
        """Picks the member by the node's shape; of several Structs the one that knows most of the keys."""
        fitting = [member for member in members if _shape(member) is type(node)]
        if not fitting:
            wanted = " or ".join(dict.fromkeys(_article(member) for member in members))
            return self._problem(node, path, f"is a {_kind(node)}, not {wanted}", f"write {wanted}")
        if isinstance(node, Mapping) and len(fitting) > 1:
            keys = {key.text for key, _ in node.entries}
            fitting.sort(key=lambda member: -len(keys & _words(member)))
        if isinstance(node, Scalar) and len(fitting) > 1:
            literals = [value for member in fitting for value in _literals(member)]
            if node.text in literals:
                return node.text
            value = _resolve(node)
            others = [member for member in fitting if not _literals(member)]
            for member in others:
                if type(value) is _unwrap(member)[0]:
                    return self.decode(node, member, path)
            fitting = [member for member in others if _unwrap(member)[0] is str or _unwrap(member)[2]] or fitting
        return self._single(node, fitting[0], (), later, path)

    def _struct(self, node: Node, into: type[msgspec.Struct], path: Path) -> Any:
        if not isinstance(node, Mapping):
            if isinstance(node, Scalar) and not self._has_value(node, path):
                return _INVALID
            return self._problem(node, path, f"is a {_kind(node)}, not keys with values", "write `key: value` lines")
        fields = _fields(into)
        later: AbstractMapping[str, str] = getattr(into, "LATER", {})
        values: dict[str, Any] = {}
        for key, child in node.entries:
            if key.text in fields:
                field = fields[key.text]
                values[field.name] = self.decode(child, field.type, (*path, key.text))
            elif key.text in later:
                self._problem(key, (*path, key.text), "is not in this version of Ostiary", later[key.text])
            else:
                self._problem(key, (*path, printable(key.text)), "is not a known key", _did_you_mean(key.text, fields))
        missing = [field.encode_name for field in fields.values() if field.required and field.name not in values]
        for name in missing:
            self._problem(node, (*path, name), "is missing", f"add `{name}:`; it has no default")
        if missing or any(value is _INVALID for value in values.values()):
            return _INVALID
        try:
            return into(**values)
        except ValueError as error:
            return self._refused(error, node, path)

    def _dict(self, node: Node, into: Any, path: Path) -> Any:
        if not isinstance(node, Mapping):
            return self._no_collection(node, path, "keys with values", "write `key: value` lines, or {}")
        key_type, value_type = get_args(into) or (str, object)
        result: dict[Any, Any] = {}
        for key, child in node.entries:
            here = (*path, printable(key.text))
            name = self.decode(key, key_type, here)
            value = self.decode(child, value_type, here)
            if name is _INVALID:
                continue
            if name in result:
                self._problem(key, here, "is there twice, written differently", "remove one of them")
            result[name] = value
        return result

    def _list(self, node: Node, into: Any, shape: Any, path: Path) -> Any:
        if not isinstance(node, Sequence):
            return self._no_collection(node, path, "a list", "put it in brackets: [...], or write `- ...` lines")
        arguments = get_args(into) or (object,)
        values = [self.decode(child, arguments[0], (*path, index)) for index, child in enumerate(node.items)]
        return _INVALID if any(value is _INVALID for value in values) else shape(values)

    def _no_collection(self, node: Node, path: Path, wanted: str, mend: str) -> Any:
        if isinstance(node, Scalar) and not self._has_value(node, path):
            return _INVALID
        return self._problem(node, path, f"is a {_kind(node)}, not {wanted}", mend)

    def _literal(self, node: Scalar, allowed: tuple[Any, ...], later: Later | None, path: Path) -> Any:
        if node.text in allowed:  # before the test for null, which is a word of its own here and there
            return node.text
        value = _resolve(node)
        if any(value == candidate and type(value) is type(candidate) for candidate in allowed):
            return value
        if not self._has_value(node, path):
            return _INVALID
        if later is not None and node.text in later.words:
            return self._problem(node, path, f"{node.text} is not in this version of Ostiary", later.words[node.text])
        words = [str(candidate) for candidate in allowed]
        return self._problem(node, path, f"is not one of {', '.join(words)}", _did_you_mean(node.text, words, "use"))

    def _parsed(self, node: Node, parsed: Parsed, meta: tuple[msgspec.Meta, ...], path: Path) -> Any:
        if not isinstance(node, Scalar):
            return self._problem(node, path, f"is a {_kind(node)}, not a {parsed.shape}", f"write a {parsed.shape}")
        if not self._has_value(node, path):
            return _INVALID
        try:
            value = parsed.parse(node.text)
        except ValueError as error:
            return self._refused(error, node, path)
        return self._checked(value, type(value), meta, node, path)

    def _checked(self, value: Any, into: Any, meta: tuple[msgspec.Meta, ...], node: Node, path: Path) -> Any:
        """One value against the schema's bounds and patterns."""
        for condition in meta:
            try:
                msgspec.convert(value, Annotated[into, condition], strict=True)
            except msgspec.ValidationError as error:
                wanted = str(error).removeprefix("Expected ").replace(f"`{into.__name__}`", _article(into))
                return self._problem(node, path, "is out of bounds", f"write {wanted}")
        return value

    def _bounded(self, value: Any, meta: tuple[msgspec.Meta, ...], node: Node, path: Path) -> Any:
        if value is _INVALID:
            return value
        for condition in meta:
            if condition.min_length is not None and len(value) < condition.min_length:
                return self._problem(node, path, "is empty", "name at least one, or leave the key out")
            if condition.max_length is not None and len(value) > condition.max_length:
                return self._problem(node, path, f"has more than {condition.max_length} entries", "write fewer")
        return value

    def _has_value(self, node: Scalar, path: Path) -> bool:
        if node.plain and node.text in _NULLS:
            self._problem(node, path, "has no value", "write one, or leave the key out")
            return False
        return True

    def _plain(self, node: Node, path: Path) -> Any:
        """Without a schema: YAML 1.2's core types, null refused."""
        if isinstance(node, Scalar):
            return _resolve(node) if self._has_value(node, path) else _INVALID
        if isinstance(node, Sequence):
            return [self._plain(child, (*path, index)) for index, child in enumerate(node.items)]
        return {key.text: self._plain(child, (*path, printable(key.text))) for key, child in node.entries}

    def _refused(self, error: ValueError, node: Node, path: Path) -> Any:
        """``ValueError("what is wrong; the mend")`` of a parser or a Struct's own check."""
        problem, _, mend = str(error).partition("; ")
        return self._problem(node, path, problem, mend or "see docs/configuration.md")

    def _problem(self, node: Node, path: Path, problem: str, mend: str) -> Any:
        self.problems.append(Problem(self._file, path, problem, mend, node.line))
        return _INVALID


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """By key. Cached: msgspec evaluates the annotations anew at each call, 0.6 ms of them."""
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def _unwrap(into: Any) -> tuple[Any, tuple[msgspec.Meta, ...], Parsed | None, Later | None]:
    """``Annotated`` taken apart: type, bounds, parser, later words."""
    if get_origin(into) is not Annotated:
        return into, (), None, None
    notes: tuple[Any, ...] = into.__metadata__
    return (
        into.__origin__,
        tuple(note for note in notes if isinstance(note, msgspec.Meta)),
        next((note for note in notes if isinstance(note, Parsed)), None),
        next((note for note in notes if isinstance(note, Later)), None),
    )


def _members(into: Any) -> tuple[Any, ...]:
    return get_args(into) if get_origin(into) in (Union, types.UnionType) else (into,)


def _shape(member: Any) -> type[Node]:
    """Which kind of node a union's member is written as."""
    bare, _, parsed, _ = _unwrap(member)
    shape = get_origin(bare) or bare
    if parsed is not None:
        return Scalar
    if shape in (dict, AbstractMapping) or (isinstance(bare, type) and issubclass(bare, msgspec.Struct)):
        return Mapping
    return Sequence if shape in (list, tuple, set, frozenset) else Scalar


def _words(member: Any) -> set[str]:
    """Keys that a Struct knows, by now or later; a dict knows none in particular."""
    bare = _unwrap(member)[0]
    if not (isinstance(bare, type) and issubclass(bare, msgspec.Struct)):
        return set()
    return set(_fields(bare)) | set(getattr(bare, "LATER", {}))


def _literals(member: Any) -> tuple[Any, ...]:
    bare = _unwrap(member)[0]
    return get_args(bare) if get_origin(bare) is Literal else ()


def _resolve(node: Scalar) -> bool | int | float | str:
    """YAML 1.2's core schema without its oddities; a quoted scalar is text."""
    if not node.plain:
        return node.text
    if node.text in _BOOLEANS:
        return _BOOLEANS[node.text]
    if _WHOLE.fullmatch(node.text):
        return int(node.text)
    if _DECIMAL.fullmatch(node.text) and math.isfinite(value := float(node.text)):
        return value
    return node.text


def _did_you_mean(word: str, known: Iterable[str], verb: str = "known keys:") -> str:
    names = list(known)
    close = difflib.get_close_matches(word[:64], names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"{verb} {', '.join(names)}"


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "single value"
    return "list" if isinstance(node, Sequence) else "mapping"


def _article(into: Any) -> str:
    bare, _, parsed, _ = _unwrap(into)
    if parsed is not None:
        return f"a {parsed.shape}"
    shape = get_origin(bare) or bare
    if shape is Literal:
        return " or ".join(str(value) for value in get_args(bare))
    names = {
        str: "text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        list: "a list",
        tuple: "a list",
        set: "a list",
        frozenset: "a list",
    }
    return names.get(shape, "keys with values")
