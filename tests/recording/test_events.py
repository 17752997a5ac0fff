from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from recording.made import ALLOW, NOON, operation

from gateway.model import Decision, FileUse, Operation, Outcome, SshOperation
from gateway.recording.events import Source, dumps, encode_text, operation_constant, operation_line
from gateway.recording.format import INLINE


class Store:
    def __init__(self) -> None:
        self.blobs: list[bytes] = []

    def __call__(self, parts: Iterable[bytes]) -> dict[str, object]:
        self.blobs.append(b"".join(parts))
        return {"blob": len(self.blobs) - 1}


def line_of(
    operation: Operation, decision: Decision, parameters: list[bytes | None] | None, source: Source, store: Store
) -> dict[str, Any]:
    constant = operation_constant(operation, decision, source, store)
    line = operation_line(NOON, 7, constant, parameters, (), store)
    assert line.endswith(b"}\n")
    event: dict[str, Any] = orjson.loads(line)
    return event


def test_everything_policy_saw_is_kept() -> None:
    seen = operation(
        relations=frozenset({"public.b", "public.a"}),
        functions=frozenset({"f", "count"}),
        untrusted_functions=frozenset({"f"}),
        labels=frozenset({"pii.ssn"}),
        opaque="a reason",
    )
    decision = Decision(Outcome.DENY, ("one", "two"), "ask", ("three",))
    event = line_of(seen, decision, None, "parse", Store())
    assert event == {
        "event": "operation",
        "time": NOON,
        "operation": 7,
        "source": "parse",
        "text": "SELECT 1",
        "digest": "a" * 64,
        "verbs": ["select"],
        "outcome": "deny",
        "rules": ["one", "two"],
        "relations": ["public.a", "public.b"],
        "functions": ["count", "f"],
        "untrusted_functions": ["f"],
        "labels": ["pii.ssn"],
        "opaque": "a reason",
        "message": "ask",
        "observed": ["three"],
    }


def test_a_request_over_ssh_says_what_it_is() -> None:
    uses = (FileUse("write", "/srv/a"), FileUse("write", "/srv/b"))
    asked = SshOperation(
        "rename /srv/a /srv/b", "rename /srv/a /srv/b", "a" * 64, frozenset({"file", "sftp", "write"}),
        request="file", files=uses, channel=3,
    )  # fmt: skip
    event = line_of(asked, ALLOW, None, "file", Store())
    assert event == {
        "event": "operation",
        "time": NOON,
        "operation": 7,
        "source": "file",
        "text": "rename /srv/a /srv/b",
        "digest": "a" * 64,
        "verbs": ["file", "sftp", "write"],
        "outcome": "allow",
        "rules": ["engineers-read"],
        "request": "file",
        "channel": 3,
        "files": [{"action": "write", "path": "/srv/a"}, {"action": "write", "path": "/srv/b"}],
    }


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"request": "exec", "argv": ("ls", "")}, {"argv": ["ls", ""]}),
        ({"request": "exec", "argv": ()}, {"argv": []}),
        ({"request": "exec", "shell": frozenset({"|", ";"})}, {"shell": [";", "|"]}),
        ({"request": "subsystem", "subsystem": "netconf"}, {"subsystem": "netconf"}),
        ({"request": "forward_local", "destination": "db:5432"}, {"destination": "db:5432"}),
        ({"request": "env", "variable": "LD_PRELOAD"}, {"variable": "LD_PRELOAD"}),
        ({"request": "shell", "channel": 0}, {"channel": 0}),
    ],
)
def test_each_fact_about_a_request_is_kept(facts: dict[str, Any], said: dict[str, Any]) -> None:
    event = line_of(SshOperation("", "", "a" * 64, frozenset(), **facts), ALLOW, None, "request", Store())
    known = {"event", "time", "operation", "source", "text", "digest", "verbs", "outcome", "rules", "request"}
    assert {key: value for key, value in event.items() if key not in known} == said
    assert event["request"] == facts["request"]


def test_the_largest_text_that_stands_inline() -> None:
    store = Store()
    inline = line_of(operation("x" * INLINE), ALLOW, None, "query", store)
    assert inline["text"] == "x" * INLINE
    large = line_of(operation("x" * (INLINE + 1)), ALLOW, None, "query", store)
    assert large["text"] == {"blob": 0}
    assert store.blobs == [b"x" * (INLINE + 1)]


def test_the_largest_parameters_that_stand_inline() -> None:
    store = Store()
    inline = line_of(operation(), ALLOW, [b"x" * (INLINE - 16)], "query", store)
    assert inline["parameters"] == ["x" * (INLINE - 16)]
    large = line_of(operation(), ALLOW, [b"x" * (INLINE - 15)], "query", store)
    assert large["parameters"] == {"blob": 0, "count": 1, "formats": []}
    assert store.blobs == [(INLINE - 15).to_bytes(4, "big") + b"x" * (INLINE - 15)]


def test_a_line_is_json_with_a_newline_whatever_it_holds() -> None:
    assert dumps({"a": "\n"}) == b'{"a":"\\n"}\n'
    strange = {"event": "e", "\udcff": ["\udcff", 2**64, -(2**63) - 1, True, {"k": "\ud800\udcff"}]}
    line = dumps(strange)
    assert line.endswith(b"\n")
    decoded = orjson.loads(line)
    assert decoded["\ufffd"][0] == {"base64": "/w=="}
    assert decoded["\ufffd"][1:4] == [str(2**64), str(-(2**63) - 1), True]


def test_text_becomes_the_bytes_that_it_was() -> None:
    assert encode_text(b"\xff\xc3\xa4".decode("utf-8", "surrogateescape")) == b"\xff\xc3\xa4"
    assert encode_text("\ud800") == b"\xed\xa0\x80"
