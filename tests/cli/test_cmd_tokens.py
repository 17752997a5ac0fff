from __future__ import annotations

import json

import msgspec
from cli.answering import answering, http
from cli.made import Site

from gateway.control.messages import Refusal, Resolved, ResolveRequest, Token

KNOWN, STRANGE, UNKNOWN = "tok_" + "1" * 32, "tok_" + "2" * 32, "tok_" + "3" * 32
ANSWER = Resolved((Token(KNOWN, b"900-12-3456"), Token(STRANGE, b"caf\xe9\x1b[2J"), Token(UNKNOWN, None)))


def test_resolve(site: Site) -> None:
    with answering(site.directory / "control.sock", http(200, msgspec.json.encode(ANSWER))) as asked:
        result = site.run("tokens", "resolve", KNOWN, STRANGE, UNKNOWN, "--reason", "incident 12")
    assert result.exit_code == 1, "one is not known"
    [_, first, second, third] = result.output.splitlines()
    assert first.split() == [KNOWN, "900-12-3456"]
    assert second.split() == [STRANGE, "caf\\xe9\\x1b[2J"]
    assert third.split() == [UNKNOWN, "-"]
    body = msgspec.json.decode(asked[0].partition(b"\r\n\r\n")[2], type=ResolveRequest)
    assert body == ResolveRequest((KNOWN, STRANGE, UNKNOWN), "incident 12")


def test_json(site: Site) -> None:
    with answering(site.directory / "control.sock", http(200, msgspec.json.encode(ANSWER))):
        result = site.run("tokens", "resolve", KNOWN, STRANGE, UNKNOWN, "--json")
    assert json.loads(result.output) == [
        {"token": KNOWN, "value": "900-12-3456"},
        {"token": STRANGE, "base64": "Y2Fm6RtbMko="},
        {"token": UNKNOWN, "value": None},
    ]


def test_all_known(site: Site) -> None:
    answer = msgspec.json.encode(Resolved((Token(KNOWN, b"x"),)))
    with answering(site.directory / "control.sock", http(200, answer)):
        assert site.run("tokens", "resolve", KNOWN).exit_code == 0


def test_a_refusal(site: Site) -> None:
    answer = msgspec.json.encode(Refusal("ben has none of the roles auditor", "name it under roles"))
    with answering(site.directory / "control.sock", http(403, answer)):
        result = site.run("tokens", "resolve", KNOWN)
    assert result.exit_code == 1
    assert "none of the roles auditor" in result.output


def test_no_token(site: Site) -> None:
    assert site.run("tokens", "resolve").exit_code == 2
