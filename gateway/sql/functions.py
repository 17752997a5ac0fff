"""Functions that do what a statement has a verb for, and calls whose constant arguments show that they are harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.sql.facts import Gathering
from gateway.sql.names import Name
from gateway.sql.settings import verb_of

FUNCTION_VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    "set_config": (),
    "nextval": ("update",),
    "setval": ("update",),
    "pg_notify": ("notify",),
    **dict.fromkeys(
        (
            "lo_creat",
            "lo_create",
            "lo_open",
            "lo_close",
            "loread",
            "lowrite",
            "lo_lseek",
            "lo_lseek64",
            "lo_tell",
            "lo_tell64",
            "lo_truncate",
            "lo_truncate64",
            "lo_unlink",
            "lo_from_bytea",
            "lo_get",
            "lo_put",
        ),
        ("large_object",),
    ),
    **dict.fromkeys(("lo_import", "lo_export"), ("large_object", "copy_file")),
    **dict.fromkeys(
        (
            "pg_read_file",
            "pg_read_file_old",
            "pg_read_binary_file",
            "pg_stat_file",
            "pg_ls_dir",
            "pg_ls_logdir",
            "pg_ls_waldir",
            "pg_ls_tmpdir",
            "pg_ls_archive_statusdir",
            "pg_ls_logicalmapdir",
            "pg_ls_logicalsnapdir",
            "pg_ls_replslotdir",
            "pg_file_write",
            "pg_file_read",
            "pg_file_unlink",
            "pg_file_rename",
            "pg_file_sync",
        ),
        ("copy_file",),
    ),
}
"""Function -> the verbs that a call of it has, whatever its schema."""


def judge(facts: Gathering, name: Name, verbs: tuple[str, ...], args: Sequence[dict[str, Any]]) -> None:
    """Add what a call with these arguments does. Only one with constants can turn out harmless."""
    facts.verbs.update(verbs)
    if name.name == "set_config":
        setting = _constant(args[0]) if args else None
        value = _constant(args[1]) if len(args) > 1 else None
        verb = "set_unsafe" if setting is None or value is None else verb_of(setting, value)
        facts.verbs.add(verb)
        if setting is not None:
            facts.sets.append((setting.lower(), value))
        (facts.judged if verb == "set" else facts.unjudged).add(name.name)
    elif name.name == "nextval":
        sequence = _constant(args[0]) if len(args) == 1 else None
        relation = None if sequence is None else _relation(sequence)
        if relation is None:
            facts.unjudged.add(name.name)
        else:
            facts.relations.add(relation)
            facts.judged.add(name.name)


def _constant(node: dict[str, Any]) -> str | None:
    """The text of a string constant, with a cast to ``text``, ``varchar`` or ``regclass`` at most."""
    cast = node.get("TypeCast")
    if cast is not None:
        names = [part["String"]["sval"] for part in cast["typeName"]["names"]]
        if names[-1] not in {"text", "varchar", "regclass"} or "arrayBounds" in cast["typeName"]:
            return None
        node = cast["arg"]
    constant = node.get("A_Const")
    if constant is None or "sval" not in constant:
        return None
    text: str = constant["sval"].get("sval", "")
    return text


def _relation(text: str) -> Name | None:
    """A relation as regclass input spells it (`parseNameList` in regproc.c), None when that isn't plain."""
    parts: list[str] = []
    rest = text.strip(" \t\n\r\f\v")
    while True:
        if rest.startswith('"'):
            end = rest.find('"', 1)
            if end < 2 or rest[end + 1 : end + 2] == '"':
                return None
            parts.append(rest[1:end])
            rest = rest[end + 1 :]
        else:
            word = rest.split(".", 1)[0]
            if not word.isascii() or not word.replace("_", "a").isalnum() or word[0].isdigit():
                return None
            parts.append(word.lower())
            rest = rest[len(word) :]
        if not rest:
            break
        if not rest.startswith("."):
            return None
        rest = rest[1:]
    return Name(parts[-2] if len(parts) == 2 else None, parts[-1]) if len(parts) <= 2 else None
