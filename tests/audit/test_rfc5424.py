"""The syslog message, read back by a parser of the RFC's grammar written here from its text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit import AuditLog, SessionContext
from gateway.audit.event import Event
from gateway.audit.events import OperationDecided
from gateway.audit.ocsf import MAX_BODY
from gateway.audit.rfc5424 import (
    BOM,
    MAX_MESSAGE,
    frame,
    header_field,
    message,
    message_of_line,
    param_value,
    timestamp,
)
from gateway.model import Decision, Outcome, SqlOperation

GRAMMAR = re.compile(
    rb"<(?P<priority>[0-9]{1,3})>1 (?P<time>[0-9TZ:.-]+) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48})"
    rb" (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32})"
    rb" \[(?P<id>[!-~]+?)(?P<params>(?: [!-~]+?=\"(?:[^\"\\\]]|\\[\"\\\]])*\")*)\] (?P<body>.*)\Z",
    re.DOTALL,
)
PARAM = re.compile(rb" ([!-~]+?)=\"((?:[^\"\\\]]|\\[\"\\\]])*)\"", re.DOTALL)


def parsed(data: bytes) -> tuple[dict[str, bytes], dict[str, str], bytes]:
    found = GRAMMAR.match(data)
    assert found, data
    params = {
        name.decode(): re.sub(rb"\\([\"\\\]])", rb"\1", value).decode()
        for name, value in PARAM.findall(found["params"])
    }
    return found.groupdict(), params, found["body"]


def make(**changes: object) -> bytes:
    arguments = {"severity": 1, "time": 0, "hostname": "gw1", "msgid": "x", "params": (), "body": b"{}", **changes}
    return message(**arguments)  # type: ignore[arg-type]  # a test's shorthand


def test_a_whole_message() -> None:
    assert make(time=1_795_521_600_123, params=[("user", "alice")], msgid="operation_decided") == (
        b'<110>1 2026-11-24T12:00:00.123Z gw1 ostiary - operation_decided [ostiary@32473 user="alice"] {}'
    )


@pytest.mark.parametrize(("severity", "priority"), [(1, 110), (2, 109), (3, 108), (4, 107), (5, 106), (0, 110)])
def test_the_priority_is_log_audit_and_the_severity(severity: int, priority: int) -> None:
    assert make(severity=severity).startswith(b"<%d>1 " % priority)


@given(st.text(max_size=300))
def test_any_value_comes_back(value: str) -> None:
    _, params, body = parsed(make(params=[("user", value), ("target", "t")]))
    assert params["target"] == "t"
    assert body == b"{}"
    shown = params["user"]
    assert not re.search("[\x00-\x1f\x7f-\x9f]", shown)
    if not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", value) and len(value) <= 256:
        assert shown == value


def test_quotes_brackets_and_backslashes_are_escaped() -> None:
    assert param_value('a"b\\c]d') == 'a\\"b\\\\c\\]d'
    assert param_value("\x1b[2J\n") == "\\\\u001b[2J\\\\u000a"


@given(st.text(max_size=300), st.text(max_size=300))
def test_header_fields_are_printable_ascii(hostname: str, msgid: str) -> None:
    header, _, _ = parsed(make(hostname=hostname, msgid=msgid))
    assert header["host"]
    assert header["msgid"]


def test_an_empty_header_field_is_nil() -> None:
    assert header_field("", 32) == "-"


@given(st.integers(0, 4_102_444_800_000))
def test_timestamps_have_milliseconds_and_utc(milliseconds: int) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp(milliseconds))


@given(st.text(max_size=20_000) | st.text(alphabet="é\U0001f600", min_size=3000, max_size=9000))
def test_the_body_fits_is_utf8_and_is_whole_or_marked(text: str) -> None:
    body = text.encode("utf-8", "replace")
    made = make(body=body)
    assert len(made) <= MAX_MESSAGE
    _, _, sent = parsed(made)
    assert sent.startswith(BOM) == (not body.isascii())
    sent = sent.removeprefix(BOM)
    sent.decode()
    if sent != body:
        kept, _, marker = sent.rpartition(b"...[cut, ")
        assert body.startswith(kept)
        assert marker == b"%d bytes, sha256 %b]" % (len(body), sha256(body).hexdigest().encode())


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_frames_are_counted_in_octets(messages: list[bytes]) -> None:
    stream = b"".join(frame(one) for one in messages)
    found = []
    while stream:
        length, _, stream = stream.partition(b" ")
        assert re.fullmatch(rb"0|[1-9][0-9]*", length)
        found.append(stream[: int(length)])
        stream = stream[int(length) :]
    assert found == messages


# --- lines of the log ---


def test_a_line_is_sent_whole_with_what_one_filters_on(
    open_log: Callable[..., AuditLog], one_of_each: list[Event], context: SessionContext
) -> None:
    log = open_log()
    for event in one_of_each:
        log.append(event)
    log.close()
    lines = (log.directory / "audit-00000000000000000001.jsonl").read_bytes().splitlines()
    for line in lines:
        event = json.loads(line)
        header, params, body = parsed(message_of_line(line))
        assert body == line
        assert header["host"] == b"gw1.example.com"
        assert header["msgid"].decode() == event["unmapped"]["event"]
        assert params["sequence"] == str(event["metadata"]["sequence"])
        assert params["chain"] == event["unmapped"]["chain"]
        assert params["class"] == str(event["class_uid"])
        assert params["activity"] == str(event["activity_id"])
        assert params["outcome"] == ("success" if event["status_id"] == 1 else "failure")
    operation = next(line for line in lines if b"operation_decided" in line)
    _, params, _ = parsed(message_of_line(operation))
    assert (params["session"], params["user"], params["target"]) == (context.session, "alice", "orders")
    opened = next(line for line in lines if b"session_opened" in line)
    _, params, _ = parsed(message_of_line(opened))
    assert (params["session"], params["user"], params["target"]) == (context.session, "alice", "orders")


def test_the_longest_line_is_sent_whole(
    open_log: Callable[..., AuditLog], context: SessionContext, clock: Callable[[], float]
) -> None:
    log = open_log()
    operation = SqlOperation("", "select é" * 100_000, "ab" * 32, frozenset({"select"}))
    event = OperationDecided(context, 1, operation, Decision(Outcome.ALLOW), "query")
    assert len(event.body()) > MAX_BODY - 100
    log.append(event)
    log.close()
    line = (log.directory / "audit-00000000000000000001.jsonl").read_bytes().splitlines()[-1]
    _, _, body = parsed(message_of_line(line))
    assert body == BOM + line


@pytest.mark.parametrize("line", [b"", b"{", b'{"metadata":{"sequence":5}}', b"\xff\xfe", b"[]"])
def test_a_line_that_is_none_of_ours_is_sent_marked(line: bytes) -> None:
    header, params, _ = parsed(message_of_line(line))
    assert header["msgid"] == b"unreadable"
    assert params == {}
