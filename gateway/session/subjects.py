"""What an approval is about: the exact operation, or the access as such, and what approvers see of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from gateway.model import Access, Operation, SqlOperation, SshOperation
from gateway.ssh_requests import BEST_EFFORT
from gateway.store.requests import Subject


def operation_subject(
    session: str,
    access: Access,
    operation: Operation,
    text: str,
    said: bytes,
    encoding: bytes = b"",
    types: bytes = b"",
    parameters: Sequence[bytes | None] = (),
    formats: Sequence[int] = (),
) -> Subject:
    """What a grant for this operation is bound to, and what its approvers see."""
    if isinstance(operation, SshOperation):
        facts = (
            operation.request,
            operation.text,
            operation.subsystem,
            operation.destination,
            operation.variable,
            operation.original,
        )
        if operation.original:
            # The forced command can read it, and acts by it.
            text = f"{text}\nasked for: {operation.original}"
        if operation.request == "typed":
            text = f"{text}\ntyped in a terminal; {BEST_EFFORT}"
        uses = (f"{use.action} {use.path}" for use in operation.files)
        binding = _bound(
            access,
            b"ssh",
            said,
            *(fact.encode("utf-8", "surrogateescape") for fact in (*facts, *sorted(operation.verbs), *uses)),
        )
        relations: tuple[str, ...] = ()
    else:
        relations = tuple(sorted(operation.relations)) if isinstance(operation, SqlOperation) else ()
        binding = _bound(
            access,
            said,
            encoding,
            types,
            b"".join(b"%d," % code for code in formats),
            b"%d" % len(relations),
            *(name.encode() for name in relations),
            *parameters,
        )
    return replace(
        session_subject(session, access),
        kind="operation",
        binding=binding,
        text=text,
        normalised=operation.normalised,
        parameters=tuple(_shown(value, index, formats) for index, value in enumerate(parameters)),
        verbs=tuple(sorted(operation.verbs)),
        relations=relations,
        labels=tuple(sorted(operation.labels)),
    )


def session_subject(session: str, access: Access) -> Subject:
    """What a grant for the access as such is bound to."""
    return Subject(
        kind="session",
        principal=access.principal.name,
        principal_kind=access.principal.kind,
        groups=tuple(sorted(access.principal.groups)),
        address=access.address,
        session=session,
        target=access.target.name,
        database=access.database,
        role=access.role,
        binding=_bound(access, b"session"),
    )


def _bound(access: Access, *parts: bytes | None) -> str:
    """SHA-256 over who, where and all ``parts``, each with its length, so that no two of them read alike."""
    digest = sha256()
    fixed = (access.principal.name, access.target.name, access.target.protocol, access.database, access.role)
    for part in (*(text.encode() for text in fixed), *parts):
        digest.update(b"-" if part is None else b"%d:" % len(part))
        digest.update(part or b"")
    return digest.hexdigest()


def _shown(value: bytes | None, index: int, formats: Sequence[int]) -> str | None:
    """A parameter for people. Binary ones are shown in hex, and as the text or number that they could be."""
    if value is None:
        return None
    code = formats[index] if len(formats) > 1 else formats[0] if formats else 0
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    if code == 0:
        return text or (f"\\x{value.hex()}" if value else "")
    shown = f"\\x{value.hex()}"
    if text.isprintable() and text:
        shown += f" (as text: {text})"
    elif len(value) in (2, 4, 8):
        shown += f" (as integer: {int.from_bytes(value, signed=True)})"
    return shown
