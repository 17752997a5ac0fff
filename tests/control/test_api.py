from __future__ import annotations

import base64
import json
import sqlite3

import pytest
from control.made import ANYBODY, AUDITOR, BROKEN_POLICY, NOBODY, OPERATOR, OWN, FakeGateway
from control.talk import Answer, ask, clock, raw

from gateway.control.api import MAX_REASON, MAX_TOKENS, control_site
from gateway.control.sites import QuietSite
from gateway.errors import RecordingFailed, SessionEnded
from gateway.secrets import Secret
from gateway.store import TokenVault

PATHS = [
    ("GET", "/v1/status"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/sessions/abc"),
    ("POST", "/v1/sessions/abc/kill"),
    ("POST", "/v1/reload"),
    ("POST", "/v1/tokens/resolve"),
]
ACTS = PATHS[3:5]


@pytest.fixture
def site(gateway: FakeGateway) -> QuietSite:
    return control_site(gateway, clock(), own=OWN)


def kill(site: QuietSite, session: str, body: object = None, uid: int = OPERATOR) -> Answer:
    data = b"" if body is None else json.dumps(body).encode()
    return ask(site, "POST", f"/v1/sessions/{session}/kill", uid=uid, body=data)


@pytest.fixture
def token(gateway: FakeGateway) -> str:
    """Of a vault that the gateway has."""
    path = gateway.directory / "store" / "tokens.db"
    gateway.vault = TokenVault(path, Secret(b"x" * 44), clock=gateway.clock)
    made = gateway.vault.token(b"900-12-3456").decode()
    gateway.vault.settle()
    return made


def resolve(site: QuietSite, body: object, uid: int = AUDITOR) -> Answer:
    return ask(site, "POST", "/v1/tokens/resolve", uid=uid, body=json.dumps(body).encode())


def names(gateway: FakeGateway) -> list[str]:
    return [json.loads(line)["unmapped"]["event"] for line in gateway.events()]


@pytest.mark.parametrize("uid", [OPERATOR, AUDITOR])
def test_operator_and_auditor_may_look(site: QuietSite, gateway: FakeGateway, uid: int) -> None:
    session, _ = gateway.session()
    assert ask(site, "GET", "/v1/status", uid=uid).json["sessions"] == 1
    assert ask(site, "GET", "/v1/sessions", uid=uid).json["sessions"][0]["id"] == session.id
    assert ask(site, "GET", f"/v1/sessions/{session.id}", uid=uid).json["session"]["principal"] == "alice"
    assert names(gateway) == ["log_segment_started"]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("uid", [ANYBODY, NOBODY])
def test_nobody_else_may_anything_and_it_is_said(
    site: QuietSite, gateway: FakeGateway, uid: int, method: str, path: str
) -> None:
    answer = ask(site, method, path, uid=uid)
    assert answer.code == 403
    assert "identity.socket" in answer.json["mend"]
    event = json.loads(gateway.events()[-1])
    assert event["unmapped"]["event"] == "administrative_act"
    assert event["status_id"] == 2
    assert event["actor"]["user"]["name"] == ("ben" if uid == ANYBODY else "uid 0")
    assert not gateway.reloaded_by


@pytest.mark.parametrize(("method", "path"), ACTS)
def test_an_auditor_may_not_act(site: QuietSite, gateway: FakeGateway, method: str, path: str) -> None:
    assert ask(site, method, path, uid=AUDITOR).code == 403
    assert names(gateway)[-1] == "administrative_act"


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_without_a_uid_there_is_no_answer(site: QuietSite, method: str, path: str) -> None:
    assert ask(site, method, path, uid=None).code == 403


@pytest.mark.parametrize("host", [b"", b"Host: \xff[\r\n", b"Host: a b:c\r\n"])
def test_no_host_header_is_needed(site: QuietSite, gateway: FakeGateway, host: bytes) -> None:
    answer = raw(site, b"POST /v1/reload HTTP/1.0\r\n" + host + b"Content-Length: 0\r\n\r\n", uid=NOBODY)
    assert answer.sent.startswith(b"HTTP/1.0 403 ")
    assert names(gateway)[-1] == "administrative_act"


def test_kill(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    answer = kill(site, session.id, {"reason": "stolen laptop"})
    assert (answer.code, answer.json) == (200, {"killed": session.id})
    [error] = told
    assert isinstance(error, SessionEnded)
    assert "stolen laptop" in error.message
    event = json.loads(gateway.events()[-1])
    assert event["unmapped"] | {"chain": ""} == {
        "event": "session_killed",
        "principal": "alice",
        "target": "orders",
        "chain": "",
    }
    assert event["actor"]["user"]["name"] == "olga"
    assert event["status_detail"] == "stolen laptop"


def test_kill_needs_no_reason(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    assert kill(site, session.id).code == 200
    assert told[0].message == "an operator ended this session"


def test_what_is_not_audited_is_not_done(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    gateway.audit.failed = "the audit log can't be written: No space left on device"
    answer = kill(site, session.id)
    assert answer.code == 503
    assert "nothing was done" in answer.json["problem"]
    assert not told


def test_a_refusal_that_can_not_be_audited_is_a_refusal(site: QuietSite, gateway: FakeGateway) -> None:
    session, told = gateway.session()
    gateway.audit.failed = "broken"
    assert kill(site, session.id, uid=NOBODY).code == 503
    assert not told


@pytest.mark.parametrize("session", ["abc", "..%2f..", "%00", "a" * 2000])
def test_no_such_session(site: QuietSite, session: str) -> None:
    assert kill(site, session).code == 404


@pytest.mark.parametrize(
    "body",
    ["x", ["reason"], {"reason": 1}, {"reasons": "x"}, {"reason": "x" * (MAX_REASON + 1)}, {"reason": "a\x1b[2Jb"}],
)
def test_a_wrong_body(site: QuietSite, gateway: FakeGateway, body: object) -> None:
    session, told = gateway.session()
    assert kill(site, session.id, body).code == 400
    assert not told


def test_reload(site: QuietSite, gateway: FakeGateway) -> None:
    answer = ask(site, "POST", "/v1/reload", uid=OPERATOR)
    assert answer.json == {"snapshot": 7, "targets": 1, "restart": ["node.name"], "warnings": ["an unsafe switch"]}
    assert gateway.reloaded_by == ["olga"]
    assert names(gateway)[-1] == "administrative_act"


def test_the_gateways_own_user_may_reload_and_nothing_else(site: QuietSite, gateway: FakeGateway) -> None:
    """`systemctl reload`, where nobody is an operator."""
    assert ask(site, "POST", "/v1/reload", uid=OWN).code == 200
    assert gateway.reloaded_by == ["uid 998"]
    assert ask(site, "GET", "/v1/status", uid=OWN).code == 403
    session, told = gateway.session()
    assert kill(site, session.id, uid=OWN).code == 403
    assert not told


def test_a_reload_that_can_not_be_audited_is_not_tried(site: QuietSite, gateway: FakeGateway) -> None:
    gateway.audit.failed = "broken"
    assert ask(site, "POST", "/v1/reload", uid=OPERATOR).code == 503
    assert not gateway.reloaded_by


def test_a_refused_reload_says_all_that_is_wrong(site: QuietSite, gateway: FakeGateway) -> None:
    gateway.broken = BROKEN_POLICY
    answer = ask(site, "POST", "/v1/reload", uid=OPERATOR)
    assert answer.code == 422
    assert answer.json["problem"] == "policy.yaml:3:\n  allow:\n    entry 1:\n      is wrong\n      Mend: mend it"


def test_a_reload_whose_outcome_can_not_be_audited(site: QuietSite, gateway: FakeGateway) -> None:
    gateway.broken = RecordingFailed("the audit log is closed")
    assert ask(site, "POST", "/v1/reload", uid=OPERATOR).code == 503


def test_a_mistake_of_ours_is_told_without_its_text(
    site: QuietSite, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_by: str) -> tuple[str, ...]:
        raise ValueError("secret")

    monkeypatch.setattr(gateway, "reload", fail)
    answer = ask(site, "POST", "/v1/reload", uid=OPERATOR)
    assert answer.code == 500
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/status"), ("GET", "/v1/reload"), ("DELETE", "/v1/sessions")]
)
def test_other_methods(site: QuietSite, gateway: FakeGateway, method: str, path: str) -> None:
    assert ask(site, method, path, uid=OPERATOR).code == 405
    assert not gateway.reloaded_by


def test_roles_are_those_in_force(site: QuietSite, gateway: FakeGateway) -> None:
    import msgspec

    assert ask(site, "GET", "/v1/status", uid=OPERATOR).code == 200
    gateway.config = msgspec.structs.replace(gateway.config, roles={"operator": ()})
    assert ask(site, "GET", "/v1/status", uid=OPERATOR).code == 403


def test_an_auditor_resolves_tokens_and_it_is_said_first(site: QuietSite, gateway: FakeGateway, token: str) -> None:
    unknown = "tok_" + "0" * 32
    answer = resolve(site, {"tokens": [unknown, token], "reason": "incident 12"})
    assert answer.code == 200
    assert answer.json["tokens"] == [
        {"token": unknown, "value": None},
        {"token": token, "value": base64.b64encode(b"900-12-3456").decode()},
    ]
    event = json.loads(gateway.events()[-1])
    assert event["unmapped"]["event"] == "tokens_resolved"
    assert (event["unmapped"]["tokens"], event["unmapped"]["found"]) == ([unknown, token], 1)
    assert (event["actor"]["user"]["name"], event["status_detail"]) == ("aude", "incident 12")
    assert b"900-12-3456" not in b"".join(gateway.events())


def test_an_operator_may_not_resolve(site: QuietSite, gateway: FakeGateway, token: str) -> None:
    answer = resolve(site, {"tokens": [token]}, uid=OPERATOR)
    assert answer.code == 403
    assert b"900-12-3456" not in answer.body
    assert names(gateway)[-1] == "administrative_act"


def test_a_value_whose_showing_can_not_be_audited_is_not_shown(
    site: QuietSite, gateway: FakeGateway, token: str
) -> None:
    gateway.audit.failed = "broken"
    answer = resolve(site, {"tokens": [token]})
    assert answer.code == 503
    assert b"value" not in answer.body


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tokens": []},
        {"tokens": "tok_"},
        {"tokens": ["tok_" + "0" * 31]},
        {"tokens": ["tok_" + "0" * 32] * (MAX_TOKENS + 1)},
        {"tokens": ["tok_" + "0" * 32], "reason": "a\x1b[2Jb"},
        {"tokens": ["tok_" + "0" * 32], "all": True},
    ],
)
def test_what_is_no_list_of_tokens(site: QuietSite, gateway: FakeGateway, token: str, body: object) -> None:
    assert resolve(site, body).code == 400
    assert "tokens_resolved" not in names(gateway)


def test_most_tokens_that_may_be_asked_for_fit_an_event(site: QuietSite, gateway: FakeGateway, token: str) -> None:
    tokens = [f"tok_{number:032x}" for number in range(MAX_TOKENS)]
    assert resolve(site, {"tokens": tokens, "reason": "\u2603" * MAX_REASON}).code == 200
    assert json.loads(gateway.events()[-1])["unmapped"]["tokens"] == tokens


def test_without_a_vault_there_is_nothing_to_resolve(site: QuietSite, gateway: FakeGateway) -> None:
    assert resolve(site, {"tokens": ["tok_" + "0" * 32]}).code == 404


def test_a_vault_that_can_not_be_read(site: QuietSite, gateway: FakeGateway, token: str) -> None:
    assert gateway.vault is not None
    with sqlite3.connect(gateway.vault.path) as connection:
        connection.execute("update tokens set sealed = zeroblob(40)")
    connection.close()
    answer = resolve(site, {"tokens": [token]})
    assert answer.code == 503
    assert "was changed" in answer.json["problem"]
