"""One audit event as a syslog message (RFC 5424), framed for TLS (RFC 5425 section 4.3).

The structured data repeat what a SIEM filters on, so that it need not parse the body; the body is the log's line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

import msgspec
from msgspec import UNSET, Struct, UnsetType

MAX_MESSAGE = 8192
"""Bytes of one message: rsyslog's default maximum, and what RFC 5425 section 4.3.1 says receivers should take."""

MAX_VALUE = 256
"""Characters of one PARAM-VALUE; principals and targets are shorter."""

FACILITY = 13
"""Log audit (RFC 5424 section 6.2.1)."""

SD_ID = "ostiary@32473"
"""32473 is the enterprise number set aside for examples (RFC 5612): the project has none of its own yet."""

BOM = b"\xef\xbb\xbf"

_SEVERITIES = {1: 6, 2: 5, 3: 4, 4: 3, 5: 2, 6: 1}
"""OCSF severity_id -> syslog severity; 6 (informational) for what is unknown."""

_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_QUOTED = re.compile(r'(["\\\]])')


@lru_cache(maxsize=256)
def header_field(text: str, limit: int) -> str:
    """A HOSTNAME, APP-NAME, PROCID or MSGID (section 6.2): printable ASCII without spaces, ``-`` when empty."""
    return _NOT_PRINTABLE.sub("_", text)[:limit] or "-"


def param_value(text: str) -> str:
    """A PARAM-VALUE (section 6.3.3): ``"``, ``\\`` and ``]`` are escaped.

    Control characters, which the RFC lets through, are written as ``\\uXXXX``: receivers store lines.
    """
    if len(text) <= MAX_VALUE and text.isascii() and text.isprintable() and not _QUOTED.search(text):
        return text
    text = text[:MAX_VALUE].encode("utf-8", "backslashreplace").decode()
    text = _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    return _QUOTED.sub(r"\\\1", text)


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp(milliseconds: int) -> str:
    """A TIMESTAMP (section 6.2.3) in UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


def message(
    *, severity: int, time: int, hostname: str, msgid: str, params: Iterable[tuple[str, str]], body: bytes
) -> bytes:
    """One SYSLOG-MSG of at most `MAX_MESSAGE` bytes; a longer body is cut, and a marker carries the whole's digest.

    severity  OCSF severity_id
    time      unix milliseconds
    params    names as section 6.3.3 wants them, values as they are
    body      UTF-8; has a BOM (section 6.4) where it is not plain ASCII, whose bytes are the same either way
    """
    priority = FACILITY * 8 + _SEVERITIES.get(severity, 6)
    data = "".join(f' {name}="{param_value(value)}"' for name, value in params)
    head = (
        f"<{priority}>1 {timestamp(time)} {header_field(hostname, 255)} ostiary - {header_field(msgid, 32)}"
        f" [{SD_ID}{data}] "
    ).encode()
    if not body.isascii():
        head += BOM
    return head + _cut(body, MAX_MESSAGE - len(head))


def _cut(body: bytes, room: int) -> bytes:
    if len(body) <= room:
        return body
    marker = b"...[cut, %d bytes, sha256 %b]" % (len(body), sha256(body).hexdigest().encode())
    return body[: max(0, room - len(marker))].decode("utf-8", "ignore").encode() + marker


def frame(syslog_message: bytes) -> bytes:
    """SYSLOG-FRAME: MSG-LEN, a space, the message (RFC 5425 section 4.3; the same as RFC 6587's octet counting)."""
    return b"%d %b" % (len(syslog_message), syslog_message)


class _Named(Struct):
    name: str | UnsetType = UNSET
    uid: str | UnsetType = UNSET
    hostname: str | UnsetType = UNSET


class _Metadata(Struct):
    sequence: int


class _Actor(Struct):
    user: _Named = msgspec.field(default_factory=_Named)
    session: _Named = msgspec.field(default_factory=_Named)


class _Unmapped(Struct):
    event: str
    chain: str


class _Line(Struct):
    """What the syslog message needs of a log line; the rest is skipped unread."""

    metadata: _Metadata
    time: int
    device: _Named
    class_uid: int
    activity_id: int
    severity_id: int
    status_id: int
    unmapped: _Unmapped
    actor: _Actor = msgspec.field(default_factory=_Actor)
    user: _Named = msgspec.field(default_factory=_Named)
    session: _Named = msgspec.field(default_factory=_Named)
    dst_endpoint: _Named = msgspec.field(default_factory=_Named)


_decoder = msgspec.json.Decoder(_Line)


def message_of_line(line: bytes) -> bytes:
    """The syslog message of one line of the audit log (without newline).

    A line that does not decode is sent all the same, as it is, marked ``unreadable``: a receiver should see it.
    """
    try:
        event = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        readable = line.decode("utf-8", "replace").encode()
        return message(severity=4, time=0, hostname="", msgid="unreadable", params=(), body=readable)
    chosen = (
        ("session", event.session.uid or event.actor.session.uid),
        ("sequence", str(event.metadata.sequence)),
        ("user", event.user.name or event.actor.user.name),
        ("target", event.dst_endpoint.name),
        ("class", str(event.class_uid)),
        ("activity", str(event.activity_id)),
        ("outcome", "success" if event.status_id == 1 else "failure"),
        ("chain", event.unmapped.chain),
    )
    return message(
        severity=event.severity_id,
        time=event.time,
        hostname=event.device.hostname or "",
        msgid=event.unmapped.event,
        params=[(name, value) for name, value in chosen if isinstance(value, str)],
        body=line,
    )
