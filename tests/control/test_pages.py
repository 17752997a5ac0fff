from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from control.asked import SUBJECT, TERMS
from control.made import ANYBODY, AUDITOR, OWN, FakeGateway
from control.talk import Answer, ask, clock
from session.asked import DORA

from gateway.config.schema import Approvals
from gateway.control.api import control_site
from gateway.control.sites import QuietSite
from gateway.recording.export import printable
from gateway.store.requests import Request, Subject

CORPUS = yaml.safe_load((Path(__file__).parents[1] / "corpora" / "chats.yaml").read_text())["texts"]
URL = "https://gw.example.com:8444"


class Read(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.cells: list[str] = []
        self._open = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("td", "th", "pre", "p", "h1"):
            self.cells.append("")
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._open:
            self.cells[-1] += data

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")


@pytest.fixture
def site(gateway: FakeGateway) -> QuietSite:
    gateway.config = msgspec.structs.replace(gateway.config, approvals=Approvals(url=URL))
    return control_site(gateway, clock(), own=OWN)


def asked(gateway: FakeGateway, subject: Subject = SUBJECT, **changes: Any) -> Request:
    return gateway.approvals.request(subject, (replace(TERMS, **changes),))


def look(site: QuietSite, request: Request, uid: int = AUDITOR) -> Answer:
    return ask(site, "GET", f"/approvals/{request.id}", uid=uid)


def test_all_that_an_approver_must_see(gateway: FakeGateway, site: QuietSite) -> None:
    request = asked(gateway, principals=("ben",))
    page = Read(look(site, request, ANYBODY).body.decode())
    text = "\n".join(page.cells)
    for said in (
        f"Request {request.id}: pending",
        "alice (human; engineers, staff)",
        "192.0.2.7, session 01a20d9c",
        "orders, database shop, as orders_rw",
        "update customers set email = 'hunter2@example.com' where id > 17",
        "hunter2-parameter",
        "NULL",
        "public.customers",
        "pii.email",
        "0 of 1 yeses of group dba-oncall, ben, by rule bulk changes need a second person; worth 1 uses within 900 s",
        "2026-11-18 12:10:00 UTC",
        f"ostiary approvals approve {request.id} --url {URL}",
        f"ostiary approvals deny {request.id} --url {URL}",
    ):
        assert said in text, said


def test_who_may_not_decide_gets_no_command(gateway: FakeGateway, site: QuietSite) -> None:
    page = look(site, asked(gateway)).body.decode()
    assert "It is not yours to decide." in page
    assert "ostiary approvals" not in page


def test_a_settled_one(gateway: FakeGateway, site: QuietSite) -> None:
    request = asked(gateway, principals=("ben", "dora"))
    gateway.approvals.decide(request.id, DORA, yes=False, reason="not <today>")
    page = look(site, request, ANYBODY).body.decode()
    assert f"Request {request.id}: denied" in page
    assert "no by dora, 2026-11-18 12:00:00 UTC: not &lt;today&gt;" in page
    assert page.count("not &lt;today&gt;") == 2
    assert "It is settled." in page
    assert "ostiary approvals" not in page


def test_a_session(gateway: FakeGateway, site: QuietSite) -> None:
    request = asked(gateway, replace(SUBJECT, kind="session", text="", normalised="", parameters=()), uses=None)
    page = look(site, request).body.decode()
    assert "access as such, for a session" in page
    assert "any number of uses" in page
    assert "statement" not in page


def test_without_a_url_the_command_has_none(gateway: FakeGateway) -> None:
    page = look(control_site(gateway, clock(), own=OWN), asked(gateway, principals=("ben",)), ANYBODY).body.decode()
    assert "ostiary approvals approve" in page
    assert "--url" not in page


def test_a_path_behind_the_name_is_not_the_commands(gateway: FakeGateway, site: QuietSite) -> None:
    gateway.config = msgspec.structs.replace(gateway.config, approvals=Approvals(url=f"{URL}/$(reboot)"))
    page = look(site, asked(gateway, principals=("ben",)), ANYBODY).body.decode()
    assert f"--url {URL}\n" in page
    assert "reboot" not in page


def test_that_it_was_shown_is_said(gateway: FakeGateway, site: QuietSite) -> None:
    request = asked(gateway)
    look(site, request)
    event = json.loads(gateway.events()[-1])
    assert (event["api"]["operation"], event["actor"]["user"]["name"]) == ("approvals.page", "aude")
    assert event["resources"] == [{"name": request.id}]
    gateway.audit.failed = "broken"
    assert b"hunter2" not in look(site, request).body


def test_nobody_else_learns_that_it_is_there(gateway: FakeGateway, site: QuietSite) -> None:
    request = asked(gateway)
    hidden, missing = look(site, request, ANYBODY), look(site, replace(request, id="zzzz-zzzz"), ANYBODY)
    assert (hidden.code, hidden.body) == (missing.code, missing.body) == (404, missing.body)


def test_nothing_runs_and_nothing_is_loaded(gateway: FakeGateway, site: QuietSite) -> None:
    answer = look(site, asked(gateway))
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))
    style = re.search(r"<style>(.*?)</style>", answer.body.decode())
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_it_decides_nothing(gateway: FakeGateway, site: QuietSite) -> None:
    """Whoever fetches it, and however."""
    request = asked(gateway, principals=("ben",))
    for method in ("GET", "HEAD"):
        assert ask(site, method, f"/approvals/{request.id}", uid=ANYBODY).code == 200
    for query in ("?yes=1", "?decision=approve"):
        assert ask(site, "GET", f"/approvals/{request.id}{query}", uid=ANYBODY).code == 400
    assert ask(site, "POST", f"/approvals/{request.id}", uid=ANYBODY).code == 405
    assert gateway.approvals.find(request.id) == request


ELEMENTS = {"html", "head", "meta", "title", "style", "body", "h1", "table", "tr", "th", "td", "pre", "p"}


@pytest.mark.parametrize("case", CORPUS, ids=[case["reason"] for case in CORPUS])
def test_nothing_that_callers_wrote_is_obeyed(gateway: FakeGateway, site: QuietSite, case: dict[str, str]) -> None:
    text = case["text"]
    subject = replace(
        SUBJECT,
        principal=text,
        groups=(text,),
        address=text,
        session=text,
        database=text,
        role=text,
        text=text,
        parameters=(text,),
        verbs=(text,),
        relations=(text,),
        labels=(text,),
    )
    answer = look(site, asked(gateway, subject, rule=text, groups=(text,)))
    assert answer.code == 200
    page = Read(answer.body.decode())
    assert {name for name, _ in page.elements} == ELEMENTS
    assert [attributes for _, attributes in page.elements if attributes] == [{"lang": "en"}, {"charset": "utf-8"}]
    assert "".join(page.text).replace("\n", "").isprintable()
    # And it is still there to be read.
    shown = "\n".join(map(printable, text.split("\n")))
    for name in ("statement", "$1"):
        heading = page.cells.index(name)
        assert page.cells[heading : heading + 3] == [name, "", shown]
