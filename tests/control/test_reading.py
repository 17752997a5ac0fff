from __future__ import annotations

import json
from typing import Literal

import msgspec
import pytest
from control.made import OPERATOR, FakeGateway
from control.talk import ask

from gateway.control.messages import MAX_REASON, Nothing
from gateway.control.reading import read_query
from gateway.control.route import Refused, Route
from gateway.control.sites import MAX_BODY, QuietSite


class Query(msgspec.Struct, forbid_unknown_fields=True):
    state: Literal["a", "b"] | None = None
    text: str = ""


ROUTE = Route("GET", "/x", "x", "look", "", Nothing, lambda _: None, query=Query)


class Uri:
    def __init__(self, query: bytes) -> None:
        self.uri = b"/x" + query


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"", Query()),
        (b"?", Query()),
        (b"?state=a", Query("a")),
        (b"?text=%C3%A4+b&state=b", Query("b", "ä b")),
        (b"?text=", Query()),
    ],
)
def test_queries(query: bytes, found: Query) -> None:
    assert read_query(Uri(query), ROUTE) == found


@pytest.mark.parametrize(
    "query",
    [
        b"?state=c",
        b"?state=",
        b"?stat=a",
        b"?state=a&state=b",
        b"?state",
        b"?&",
        b"?text=%ff",
        b"?text=\xc3\xa4",
        b"?state=null",
        b"?" + b"&".join(b"x%d=1" % number for number in range(100)),
    ],
)
def test_queries_that_are_wrong(query: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_query(Uri(query), ROUTE)
    assert caught.value.status == 400


def test_a_query_where_none_is_taken(site: QuietSite) -> None:
    assert ask(site, "GET", "/v1/status?", uid=OPERATOR).code == 200
    assert ask(site, "GET", "/v1/status?verbose=1", uid=OPERATOR).code == 400


def test_a_body_where_none_is_taken(site: QuietSite) -> None:
    assert ask(site, "GET", "/v1/status", uid=OPERATOR, body=b"{}").code == 400


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json-patch+json\r\n",
        "Content-Type: text/plain\r\nContent-Type: application/json\r\n",
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_what_a_page_could_make_a_browser_send_is_not_taken(
    site: QuietSite, gateway: FakeGateway, headers: str, body: bytes
) -> None:
    assert ask(site, "POST", "/v1/reload", uid=OPERATOR, body=body, headers=headers).code == 415
    assert not gateway.reloaded_by


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_json(site: QuietSite, kind: str) -> None:
    assert ask(site, "POST", "/v1/reload", uid=OPERATOR, headers=f"Content-Type: {kind}\r\n").code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "truncated"),
        (b'{"reason":"\xff"}', "utf-8"),
        (b'{"reason":"\\ud800"}', "truncated"),
        (b'{"reason":"a\\nb"}', "one line without control characters"),
        (b'{"reason":"last line feed\\n"}', "one line without control characters"),
        (b'{"reason":"turned \\u202e around"}', "one line without control characters"),
        (b'{"reason":"x", "reasons":"y"}', "unknown field"),
        (b'{"reason":null}', "Expected `str`"),
        (json.dumps({"reason": "x" * (MAX_REASON + 1)}).encode(), "length <= 500"),
        (b"[" * 16_000, "array"),
        (b'{"x":' * 3000, "the body is wrong"),
        (b"{}{}", "trailing"),
    ],
)
def test_bodies_that_are_wrong(site: QuietSite, gateway: FakeGateway, body: bytes, said: str) -> None:
    session, told = gateway.session()
    answer = ask(site, "POST", f"/v1/sessions/{session.id}/kill", uid=OPERATOR, body=body)
    assert answer.code == 400
    assert said in answer.json["problem"]
    assert "openapi.json" in answer.json["mend"]
    assert not told


def test_a_body_that_is_too_long(site: QuietSite, gateway: FakeGateway) -> None:
    answer = ask(site, "POST", "/v1/reload", uid=OPERATOR, body=b" " * (MAX_BODY + 1))
    assert answer.code == 413
    assert not gateway.reloaded_by
