from __future__ import annotations

import base64
import json
import sqlite3

import pytest
from control.made import AUDITOR, OPERATOR, FakeGateway, names
from control.talk import Answer, ask

from gateway.control.messages import MAX_REASON, MAX_TOKENS
from gateway.control.sites import QuietSite
from gateway.secrets import Secret
from gateway.store import TokenVault


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
