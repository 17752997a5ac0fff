"""Events as JSON lines: what is said about a session, an operation, a result.

Every line has ``event`` (its kind) and ``time`` (unix seconds). Keys whose value says nothing (no labels, no
parameters, not opaque) are left out. docs/recording-format.md lists all of them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

import gateway.rendering as rendering
from gateway.model import Access, Decision, Operation, SqlOperation, SshOperation
from gateway.recording.format import INLINE

Source = Literal["query", "parse", "execute", "copy", "function", "request", "file"]
"""Which client message the operation came in; SSH: a request of a channel or of the connection, or an action within
SFTP or SCP."""

Stream = Literal["stdout", "stderr"]
"""Which of a channel's outputs."""

StoreBlob = Callable[[Iterable[bytes]], dict[str, object]]
"""Stores the parts, one after the other, as one blob, and gives the reference to it that the event holds."""

SLICE = 256 * 1024
"""Characters of a long text that are encoded at a time: a 1 GB statement isn't copied as a whole."""

FEW = 64
"""Parameters that are first tried as plain texts (`rendering.plain_texts`); they never come near `INLINE`."""

PARAMETER_OVERHEAD = 16
"""Bytes that a parameter counts in addition to its value, so that 65,535 empty ones don't stand inline."""


@dataclass(frozen=True, slots=True)
class SessionHeader:
    """What a recording says about its session.

    session  UUIDv7 (`gateway.model.uuid7`), started  unix seconds,
    snapshot  digest of the policy in force when the session began
    """

    session: str
    access: Access
    started: float
    snapshot: str


def opened(header: SessionHeader, *, node: str, key: str) -> bytes:
    """The header's line; ``key`` is the signing key's id (`keys.key_id`)."""
    access = header.access
    return dumps(
        {
            "event": "opened",
            "time": header.started,
            "format": 1,
            "session": header.session,
            "node": node,
            "key": key,
            "principal": {
                "name": access.principal.name,
                "kind": access.principal.kind,
                "groups": sorted(access.principal.groups),
                "factors": sorted(access.principal.factors),
            },
            "target": access.target.name,
            "protocol": access.target.protocol,
            "database": access.database,
            "role": access.role,
            "address": access.address,
            "snapshot": header.snapshot,
        }
    )


def operation_line(
    time: float,
    number: int,
    constant: bytes,
    parameters: Sequence[bytes | None] | None,
    formats: Sequence[int],
    store: StoreBlob,
) -> bytes:
    """An operation's line: ``constant`` is what `operation_constant` gave. Large parameters go through ``store``."""
    rendered = b""
    if parameters:
        if not formats and len(parameters) <= FEW:
            rendered = rendering.plain_texts(parameters)
        if not rendered:
            rendered = orjson.dumps(_parameters(parameters, formats, store))
    return rendering.operation_event(orjson.dumps(time), number, constant, rendered)


def result_line(time: float, number: int, status: bytes, rows: int, size: int, shown: bytes) -> bytes:
    """How an operation ended; ``status`` is JSON, ``shown`` what `result_columns` gave."""
    return rendering.result_event(orjson.dumps(time), number, status, rows, size, shown)


def result_columns(columns: Sequence[str] | None, masked: Sequence[str]) -> bytes:
    """The members of a result's event that stay the same each time that the operation is run, behind a comma."""
    members: dict[str, object] = {}
    if columns is not None:
        members["columns"] = columns
    if masked:
        members["masked"] = masked
    return b"," + dumps(members)[1:-2] if members else b""


def operation_constant(operation: Operation, decision: Decision, source: Source, store: StoreBlob | None) -> bytes:
    """What stays the same each time that an operation is run: members of its event, without braces.

    store  takes a text that is too large to stand inline, and then the result is good for this one event only;
           None: the text is short
    """
    text = operation.text
    before, after = around_text(operation, decision, source)
    return with_text(before, text if store is None or len(text) <= INLINE else store(_slices(text)), after)


def with_text(before: bytes, text: str | dict[str, object], after: bytes) -> bytes:
    """What `operation_constant` gives, of what `around_text` gave and the text, or the blob that it lies in."""
    return b"".join([before, dumps(text)[:-1], after])


def around_text(operation: Operation, decision: Decision, source: Source, approval: str = "") -> tuple[bytes, bytes]:
    """What stands before and behind the text in `operation_constant`: the same for all texts that mean the same.

    approval  the grant that lets it go, if it needs one
    """
    event: dict[str, object] = {
        "digest": operation.digest,
        "verbs": sorted(operation.verbs),
        "outcome": decision.outcome.value,
        "rules": decision.rules,
    }
    if isinstance(operation, SqlOperation):
        event.update(_of_sql(operation))
    elif isinstance(operation, SshOperation):
        event.update(_of_ssh(operation))
    if operation.labels:
        event["labels"] = sorted(operation.labels)
    if operation.opaque is not None:
        event["opaque"] = operation.opaque
    if decision.message is not None:
        event["message"] = decision.message
    if decision.observed:
        event["observed"] = decision.observed
    if approval:
        event["approval"] = approval
    return dumps({"source": source})[1:-2] + b',"text":', b"," + dumps(event)[1:-2]


def _of_sql(operation: SqlOperation) -> dict[str, object]:
    event: dict[str, object] = {}
    if operation.relations:
        event["relations"] = sorted(operation.relations)
    if operation.functions:
        event["functions"] = sorted(operation.functions)
        if operation.untrusted_functions:
            event["untrusted_functions"] = sorted(operation.untrusted_functions)
    return event


def _of_ssh(operation: SshOperation) -> dict[str, object]:
    event: dict[str, object] = {"request": operation.request}
    if operation.channel is not None:
        event["channel"] = operation.channel
    if operation.argv is not None:
        event["argv"] = list(operation.argv)
    if operation.shell:
        event["shell"] = sorted(operation.shell)
    if operation.files:
        event["files"] = [{"action": use.action, "path": use.path} for use in operation.files]
    for name in ("subsystem", "destination", "variable", "original"):
        if value := getattr(operation, name):
            event[name] = value
    return event


def output_event(time: float, channel: int, stream: Stream, data: bytes) -> dict[str, object]:
    """What a channel's client got: text, or base64 where it is no UTF-8 (or a character is cut)."""
    return {"event": "output", "time": time, "channel": channel, "stream": stream, "data": _value(data, binary=False)}


def dumps(event: Mapping[str, object] | str) -> bytes:
    """One line of JSON. Text that is no Unicode (a client's stray bytes) is kept as base64, never dropped."""
    try:
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return orjson.dumps(_representable(event), option=orjson.OPT_APPEND_NEWLINE)


def _parameters(
    parameters: Sequence[bytes | None], formats: Sequence[int], store: StoreBlob
) -> list[object] | dict[str, object]:
    """Inline: null, text, or base64 (binary format, or no UTF-8). Else a blob as in a Bind message.

    That is, for each an Int32 length (-1: NULL) and the bytes (PostgreSQL 15, 55.7 Message Formats).
    """
    size = 0
    for value in parameters:
        size += PARAMETER_OVERHEAD
        if value is not None:
            size += len(value)
    if size > INLINE:
        return {**store(_bind_values(parameters)), "count": len(parameters), "formats": list(formats)}
    rendered: list[object] = []
    for index, value in enumerate(parameters):
        # Bind: no format code means all text, one stands for all, else one each.
        code = formats[index] if len(formats) > 1 else formats[0] if formats else 0
        rendered.append(value if value is None else _value(value, binary=code != 0))
    return rendered


def _bind_values(parameters: Sequence[bytes | None]) -> Iterator[bytes]:
    for value in parameters:
        if value is None:
            yield b"\xff\xff\xff\xff"
        else:
            yield len(value).to_bytes(4, "big")
            yield value


def _value(value: bytes, *, binary: bool) -> object:
    if not binary:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {"base64": b64encode(value).decode("ascii")}


def encode_text(text: str) -> bytes:
    """UTF-8; bytes that were decoded with surrogateescape become themselves again."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _slices(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), SLICE):
        yield encode_text(text[start : start + SLICE])


def _representable(value: object) -> object:
    if isinstance(value, Mapping):
        return {encode_text(str(key)).decode("utf-8", "replace"): _representable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_representable(item) for item in value]
    if isinstance(value, str):
        encoded = encode_text(value)
        try:
            return encoded.decode()
        except UnicodeDecodeError:
            return {"base64": b64encode(encoded).decode("ascii")}
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    return value
