"""A subset of JSONPath (RFC 9535) that names values of a document: `$`, `.name`, `['name']`, `[*]`, `[n]`, `..name`.

Policy writes paths and masking follows them (masking/cells/json_paths.py); they don't know each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

MAX_PATH = 64
"""Steps. PostgreSQL's own documents are rarely 20 deep where somebody names a place in them."""

_STEP = re.compile(
    r"""
      \.(?P<descends>\.)?(?P<name>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)
    | (?:\.\.(?=\[['"]))?\[(?P<quote>['"])(?P<quoted>[^'"\\]+)(?P=quote)\]
    | \[(?P<index>0|[1-9][0-9]{0,8})\]
    | (?P<any>\[\*\])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One child of a value: an object's by its name, an array's by its index, or (None) any.

    ``descends``: of the value, or of anything inside it.
    """

    child: str | int | None
    descends: bool = False


Path: TypeAlias = tuple[Step, ...]


def parse_path(text: str) -> Path:
    """The steps behind ``$``. Raises ValueError: what is wrong; the mend."""
    if not text.startswith("$"):
        raise ValueError("is not a JSON path; write one that begins with $, such as $..email or $.contact['e-mail']")
    steps = []
    pos = 1
    while pos < len(text):
        found = _STEP.match(text, pos)
        if found is None:
            raise ValueError("is not a JSON path of the kind known here; write $ and .name, ['name'], [*], [0], ..name")
        if found["any"] is not None:
            steps.append(Step(None))
        elif found["index"] is not None:
            steps.append(Step(int(found["index"])))
        else:
            steps.append(Step(found["name"] or found["quoted"], found[0].startswith("..")))
        pos = found.end()
    if len(steps) > MAX_PATH:
        raise ValueError(f"has more than {MAX_PATH} steps; name a place further up, or use ..name")
    return tuple(steps)
