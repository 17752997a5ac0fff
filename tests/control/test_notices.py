from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from control.asked import SUBJECT, TERMS, asked, settled
from control.made import NOON

from gateway.control.notices import Form, notice, notice_id, occasion_of, sign
from gateway.secrets import Secret
from gateway.store.requests import Request, Vote

CORPUS = yaml.safe_load((Path(__file__).parents[1] / "corpora" / "chats.yaml").read_text())["texts"]
URL = "https://gw.example.com:8444"
HEADLINE = re.compile(
    r"Approval k7q2-m9xd is (asked for, until 12:10:00 UTC|settled: approved), gateway gw1"
    r" <https://gw\.example\.com:8444/approvals/k7q2-m9xd>"
)


def told(request: Request, form: Form = "json") -> Any:
    occasion = occasion_of(request)
    assert occasion is not None
    return json.loads(notice(request, occasion, form, node="gw1", url=URL))


def hostile(text: str) -> Request:
    """``text`` wherever a caller, or an approver, can put one."""
    subject = replace(
        SUBJECT,
        principal=text,
        groups=(text,),
        database=text,
        normalised=text,
        verbs=(text,),
        relations=(text,),
    )
    return replace(
        asked(subject),
        state="approved",
        settled_at=NOON + 1,
        votes=(Vote(text, True, NOON, text, "tls"),),
        reason=text,
    )


def test_what_is_told() -> None:
    assert told(asked()) == {
        "type": "approval.requested",
        "timestamp": "2026-11-18T12:00:00.000Z",
        "data": {
            "id": "k7q2-m9xd",
            "gateway": "gw1",
            "state": "pending",
            "kind": "operation",
            "principal": "alice",
            "principal_kind": "human",
            "groups": ["engineers", "staff"],
            "address": "192.0.2.7",
            "session": "01a20d9c-0ca6-728d-a4fb-38a6861e4da6",
            "target": "orders",
            "database": "shop",
            "role": "orders_rw",
            "verbs": ["update"],
            "relations": ["public.customers"],
            "labels": ["pii.email"],
            "statement": "update customers set email = $1 where id > $2",
            "rules": [
                {
                    "name": "bulk changes need a second person",
                    "needed": 1,
                    "approvers": {"principals": [], "groups": ["dba-oncall"]},
                }
            ],
            "created": "2026-11-18T12:00:00.000Z",
            "deadline": "2026-11-18T12:10:00.000Z",
            "link": "https://gw.example.com:8444/approvals/k7q2-m9xd",
        },
    }


def test_what_is_told_of_a_settled_one() -> None:
    said = told(settled(asked()))
    assert (said["type"], said["timestamp"]) == ("approval.settled", "2026-11-18T12:00:30.000Z")
    assert said["data"]["state"] == "approved"
    assert said["data"]["votes"] == [{"approver": "olga", "yes": True, "reason": "looks right"}]


def test_what_is_told_in_a_chat() -> None:
    assert told(asked(), "slack")["text"].splitlines() == [
        "Approval k7q2-m9xd is asked for, until 12:10:00 UTC, gateway gw1"
        " <https://gw.example.com:8444/approvals/k7q2-m9xd>",
        "```",
        "who        alice (human, engineers, staff) from 192.0.2.7",
        "where      orders, database shop, as orders_rw",
        "what       update",
        "statement  update customers set email = $1 where id &gt; $2",
        "relations  public.customers",
        "labels     pii.email",
        "needs      1 of group dba-oncall (rule bulk changes need a second person)",
        "```",
    ]
    assert "vote       yes by olga, looks right" in told(settled(asked()), "slack")["text"]


@pytest.mark.parametrize("form", ["json", "slack"])
@pytest.mark.parametrize("request_", [asked(), settled(asked())], ids=["asked", "settled"])
def test_text_and_parameters_are_never_told(form: Form, request_: Request) -> None:
    assert "hunter2" not in json.dumps(told(request_, form))
    assert SUBJECT.binding not in json.dumps(told(request_, form))


def test_a_session_has_no_statement() -> None:
    subject = replace(SUBJECT, kind="session", normalised="", verbs=(), relations=(), labels=())
    assert (told(asked(subject))["data"]["kind"], told(asked(subject))["data"]["statement"]) == ("session", "")
    assert "what       a session\nneeds " in told(asked(subject), "slack")["text"]


def test_a_vote_that_settles_nothing_is_not_told() -> None:
    assert occasion_of(asked()) == "requested"
    assert occasion_of(replace(asked(), votes=(Vote("olga", True, NOON),))) is None
    for state in ("approved", "denied", "expired", "withdrawn"):
        assert occasion_of(settled(asked(), state)) == "settled"


def test_without_a_url_there_is_no_link() -> None:
    assert "link" not in json.loads(notice(asked(), "requested", "json", node="gw1", url=None))["data"]
    assert b"http" not in notice(asked(), "requested", "slack", node="gw1", url=None)


def test_ids_tell_notices_apart_and_separate_nothing() -> None:
    ids = {notice_id(asked(), "requested"), notice_id(asked(), "settled"), notice_id(asked(id="AAAAAAAA"), "requested")}
    assert len(ids) == 3
    assert not any("." in each for each in ids)
    assert notice_id(settled(asked()), "requested") == notice_id(asked(), "requested")


def test_signatures() -> None:
    """The vector of the Standard Webhooks libraries, and the rule written down once more."""
    key = Secret(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    id, timestamp, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    assert sign(key, id, timestamp, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    expected = hmac.new(key.reveal(), f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    assert sign(key, id, timestamp, body) == "v1," + base64.b64encode(expected).decode()


# --- what nobody may be made to do ---


@pytest.mark.parametrize("case", CORPUS, ids=[case["reason"] for case in CORPUS])
def test_nothing_in_a_chat_is_obeyed(case: dict[str, str]) -> None:
    text = told(hostile(case["text"]), "slack")["text"]
    headline, fence, *block, end = text.split("\n")
    assert HEADLINE.fullmatch(headline)
    assert fence == end == "```"
    # One code block: nothing in it ends it, begins a line of its own, or is marked for Slack.
    assert text.count("`") == 6
    assert all(re.match(r"(who|where|what|statement|relations|labels|needs|vote|reason) {2}", line) for line in block)
    shown = "\n".join(block)
    assert not re.search(r"[<>]", shown)
    assert not re.search(r"&(?!(amp|lt|gt);)", shown)
    assert shown.replace("\n", "").isprintable()
    # And it is still there to be read.
    statement = next(line for line in block if line.startswith("statement")).removeprefix("statement  ")
    assert readable(html.unescape(statement)) == readable(case["text"])


def readable(text: str) -> str:
    """Without what is shown as an escape."""
    return re.sub(r"\\(x..|u....|[nr])|[^ -~]", "", text).replace("`", "'")


@pytest.mark.parametrize("case", CORPUS, ids=[case["reason"] for case in CORPUS])
def test_a_program_gets_it_as_data(case: dict[str, str]) -> None:
    body = notice(hostile(case["text"]), "settled", "json", node="gw1", url=URL)
    assert json.loads(body)["data"]["statement"] == case["text"]
    assert all(0x20 <= byte != 0x7F for byte in body)
    assert not re.search("[\x80-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", body.decode())


def test_nothing_is_taken_for_a_name_or_fetched() -> None:
    said = told(asked(), "slack")
    assert (said["parse"], said["link_names"], said["unfurl_links"], said["unfurl_media"]) == ("none", *[False] * 3)


@pytest.mark.parametrize("text", ["&" * 100_000, "x" * 100_000, "\u202e" * 100_000, "\ud800" * 50_000, "<`>" * 40_000])
def test_however_much_is_asked_a_notice_is_short(text: str) -> None:
    subject = replace(
        SUBJECT,
        principal=text,
        groups=(text,) * 200,
        database=text,
        role=text,
        normalised=text,
        relations=(text,) * 200,
        labels=(text,) * 200,
    )
    terms = replace(TERMS, rule=text, groups=(text,) * 50, principals=(text,) * 50)
    votes = (Vote(text, True, NOON, text),) * 50
    request = replace(asked(subject, terms=(terms,) * 50), state="approved", settled_at=NOON, votes=votes, reason=text)
    said = told(request, "slack")["text"]
    assert len(said) < 4000
    assert said.count("```") == 2
    assert len(notice(request, "settled", "json", node="gw1", url=URL)) < 70_000
