"""Regular expressions mean the same in every Python that runs them."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _constants as kinds  # type: ignore[attr-defined]  # typeshed has no private parts of re
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any
from unittest.mock import Mock

import gateway
from gateway.masking.copying import CopyMask
from gateway.model import CopyFormat

STRAIGHT = {kinds.LITERAL, kinds.NOT_LITERAL, kinds.IN, kinds.ANY}


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Of all modules, and of the objects that hold some of their own."""
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, re.Pattern):
                yield f"{module.name}.{name}", value
    for form in (CopyFormat(), CopyFormat(kind="csv", delimiter=b",", null=b"")):
        for name, value in vars(CopyMask(form, 2, Mock())._cells).items():
            if isinstance(value, re.Pattern):
                yield f"{form.kind}.{name}", value


def repeated(tree: Any, kind: Any) -> Iterator[Any]:
    """What ``kind`` repeats, wherever it stands in a parsed pattern."""
    for operation, argument in tree:
        if operation is kind:
            yield argument[2]
        stack = [argument]
        while stack:
            part = stack.pop()
            if isinstance(part, parser.SubPattern):
                yield from repeated(part, kind)
            elif isinstance(part, list | tuple):
                stack.extend(part)


def is_straight(tree: Any) -> bool:
    """Alternatives of single characters: nothing that fails in the middle leaves a trace."""
    for operation, argument in tree:
        if operation is kinds.BRANCH:
            if not all(is_straight(alternative) for alternative in argument[1]):
                return False
        elif operation is kinds.SUBPATTERN:
            if not is_straight(argument[3]):
                return False
        elif operation not in STRAIGHT:
            return False
    return True


def test_possessive_groups_are_straight() -> None:
    """Before 3.11.5 a possessive group goes on behind what its last, failed turn had read; Debian 12 has 3.11.2."""
    found = dict(patterns())
    assert len(found) > 20
    crooked = [
        name
        for name, pattern in found.items()
        for inner in repeated(parser.parse(pattern.pattern, pattern.flags), kinds.POSSESSIVE_REPEAT)
        if not is_straight(inner)
    ]
    assert not crooked


def test_crooked_ones_are_seen() -> None:
    for pattern in (r"(?:ab?c)*+", r"(?:a(?:b|c)+)?+", r"x|(?:-(?!-))*+"):
        [inner] = repeated(parser.parse(pattern), kinds.POSSESSIVE_REPEAT)
        assert not is_straight(inner)
    [inner] = repeated(parser.parse(r'"((?:[^"\\]|\\.)*+)"'), kinds.POSSESSIVE_REPEAT)
    assert is_straight(inner)
