from __future__ import annotations

from control.made import BROKEN_POLICY, OPERATOR, OWN, FakeGateway, names
from control.talk import ask, post

from gateway.control.sites import QuietSite
from gateway.errors import RecordingFailed


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
    assert post(site, f"/v1/sessions/{session.id}/kill", uid=OWN).code == 403
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
