"""docs/configuration.md out of the schema: ``python -m gateway.config.docs > docs/configuration.md``."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from gateway.config import schema
from gateway.config.check import RESTART_KEYS
from gateway.config.markers import Later, Name, Parsed
from gateway.model import Address
from gateway.secrets import SecretReference

_HEAD = """\
# Configuration

<!-- Made from gateway/config/schema.py by `python -m gateway.config.docs`; don't edit. -->

One file, `ostiary.yaml`, and beside it a directory each for targets (`targets.d/*.yaml`) and policy (`policy.d/*.yaml`,
see policy.md). `ostiary check` reads all of it and names every problem with file, line, key and mend. A reload is all
or nothing: a configuration with a problem never replaces a good one.

How it is read:

* YAML 1.2 in UTF-8, at most 1 MiB a file. Duplicate and unknown keys are errors; so are tags, anchors, aliases, merge
  keys and several documents.
* The schema decides the type, not the look: where text is expected, `no`, `22:22`, `0755` and `1.10` are that text. A
  switch is `true` or `false`, nothing else.
* A key has a value or is left out. `groups:` with nothing behind it is an error, because nothing could be read as no
  condition; so is an empty list where nobody would be meant.
* Durations are a number with a unit (`500ms`, `30s`, `10m`, `8h`, `400d`), sizes have binary units (`64KiB`, `5GiB`).
* Secrets are references, never values: `credential:NAME` (systemd LoadCredential), `file:/absolute/path` or `env:NAME`.
* Switches that make something unsafe begin with `insecure_`; they are shown at start and by `ostiary check`.

A key marked **restart** keeps its old value until the gateway restarts; everything else changes with a reload, for what
comes after it.
"""

_PASSWORD_FILE = """
## The password file

`identity.passwords` names it. A list; nobody else may read it, and a reload reads it again. `ostiary passwd` makes the
hashes.

```yaml
- name: alice@example.com       # the principal's name, and what it logs in with
  kind: human                   # or machine
  groups: [sre-lead]
  password: "$argon2id$..."     # for listeners with password: cleartext
  scram: "SCRAM-SHA-256$..."    # for listeners with password: scram
  until: 2026-12-31T18:00:00Z   # when it ends, and with it every session that it opened; left out: never
```
"""


def render() -> str:
    """The whole document."""
    parts = [_HEAD, "\n## ostiary.yaml\n"]
    parts += _section(schema.MainFile, ())
    parts.append("\n## targets.d/*.yaml\n\nEach file is a list of targets.\n")
    parts += _section(schema.TargetEntry, ("-",))
    return "".join([*parts, _PASSWORD_FILE])


def documentation(section: type[msgspec.Struct]) -> dict[str, str]:
    """The string under each field of ``section``."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(section)))
    found: dict[str, str] = {}
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    for statement, following in itertools.pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            found[statement.target.id] = " ".join(following.value.value.split())
    return found


def _section(section: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[str]:
    docs = documentation(section)
    nested: list[tuple[type[msgspec.Struct], tuple[str, ...]]] = []
    if path:
        yield f"\n### {'.'.join(path).removeprefix('-.')}\n" if path != ("-",) else ""
        yield f"\n{section.__doc__}\n"
    yield "\n| key | type | default | meaning |\n|---|---|---|---|\n"
    for field in msgspec.structs.fields(section):
        here = (*path, field.name)
        key = ".".join(here)
        mark = " **restart**" if key in RESTART_KEYS else ""
        inner, many = _inner(field.type)
        if inner is not None:
            nested.append((inner, (*path, field.name + many)))
        cells = (f"`{field.name}`", _type(field.type), _default(field), docs[field.name] + mark)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    later: dict[str, str] = getattr(section, "LATER", {})
    if later:
        yield f"\nNot in this version: {', '.join(f'`{word}`' for word in later)}.\n"
    for inner, inner_path in nested:
        yield from _section(inner, inner_path)


def _inner(annotation: Any) -> tuple[type[msgspec.Struct] | None, str]:
    """The Struct in ``annotation``, and how a path shows that there are many: ``[]`` in a list, ``.*`` in a mapping."""
    bare = annotation.__origin__ if get_origin(annotation) is Annotated else annotation
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return bare, ""
    for argument in get_args(bare):
        inner, many = _inner(argument)
        if inner is not None:
            return inner, {tuple: "[]", dict: ".*"}.get(get_origin(bare), many)
    return None, ""


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        parsed = next((note for note in annotation.__metadata__ if isinstance(note, Parsed)), None)
        bounds = "".join(_bounds(note) for note in annotation.__metadata__ if isinstance(note, msgspec.Meta))
        later = [word for note in annotation.__metadata__ if isinstance(note, Later) for word in note.words]
        name = parsed.shape if parsed is not None else _type(annotation.__origin__)
        return name + bounds + (f" (not in this version: {', '.join(later)})" if later else "")
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    if origin is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"{_type(arguments[0])}: {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return "section"
    return {str: "text", int: "whole number", bool: "`true`, `false`"}[annotation]


def _bounds(meta: msgspec.Meta) -> str:
    signs = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
    said = [f"{sign} {_number(getattr(meta, name))}" for name, sign in signs if getattr(meta, name) is not None]
    if meta.min_length is not None:
        said.append("not empty")
    if meta.max_length is not None:
        said.append(f"at most {meta.max_length} characters")
    return "".join(f", {word}" for word in said)


def _number(value: float) -> str:
    return str(int(value))


def _default(field: Any) -> str:
    if field.required:
        return "**required**"
    if field.default is msgspec.NODEFAULT:
        inner, _ = _inner(field.type)
        return "" if inner is not None or field.type == Name else f"`{_text(field.default_factory(), None)}`"
    if field.default is None:
        return ""
    parsed = next((note for note in getattr(field.type, "__metadata__", ()) if isinstance(note, Parsed)), None)
    return f"`{_text(field.default, parsed)}`"


def _text(value: object, parsed: Parsed | None) -> str:
    """A default as one would write it in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_text(item, None) for item in value)}]"
    if isinstance(value, dict):
        return "{}"
    if parsed is not None and parsed.shape == "duration" and isinstance(value, float):
        size, unit = next((size, unit) for size, unit in _DURATIONS if value % size == 0)
        return f"{int(value // size)}{unit}"
    if parsed is not None and parsed.shape == "size" and isinstance(value, int):
        size, unit = next((size, unit) for size, unit in _SIZES if value % size == 0)
        return f"{value // size}{unit}"
    assert isinstance(value, str | int | Path | Address | SecretReference)
    return str(value)


_DURATIONS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"), (0.001, "ms"))
_SIZES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


if __name__ == "__main__":
    sys.stdout.write(render())
