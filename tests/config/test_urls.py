from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.urls import Url, parse_base, parse_url, parse_webhook
from gateway.model import Address
from gateway.secrets import SecretReference


@pytest.mark.parametrize(
    ("text", "url", "host"),
    [
        ("https://chat.example.com/hook", Url("https", Address("chat.example.com", 443), "/hook"), "chat.example.com"),
        ("https://Chat.Example.com", Url("https", Address("chat.example.com", 443), "/"), "chat.example.com"),
        ("https://H:8443/a/b?c=d&e", Url("https", Address("h", 8443), "/a/b?c=d&e"), "h:8443"),
        ("https://[2001:db8::1]/x", Url("https", Address("2001:db8::1", 443), "/x"), "[2001:db8::1]"),
        ("https://[2001:db8::1]:444/x", Url("https", Address("2001:db8::1", 444), "/x"), "[2001:db8::1]:444"),
        ("http://127.0.0.1:8080/x", Url("http", Address("127.0.0.1", 8080), "/x"), "127.0.0.1:8080"),
        ("http://[::1]/", Url("http", Address("::1", 80), "/"), "[::1]"),
    ],
)
def test_urls(text: str, url: Url, host: str) -> None:
    assert parse_url(text) == url
    assert url.host == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chat.example.com/hook",
        "ftp://chat.example.com",
        "HTTPS://chat.example.com",
        "https://",
        "https:///hook",
        "https://user@chat.example.com/",
        "https://user:password@chat.example.com/",
        "https://chat.example.com\\@evil.example/",
        "https://chat.example.com#x",
        "https://chat.example.com?x",
        "https://chat.example.com/a b",
        "https://chat.example.com/a\r\nHost: evil",
        "https://chat.example.com/ä",
        "https://chat.example.com:0/",
        "https://chat.example.com:/",
        "https://chat.example.com:65536/",
        "https://::1/",
        "https://a..b/",
        "https:///run/x.sock",
        "https://chat.example.com/" + "x" * 2048,
    ],
)
def test_no_urls(text: str) -> None:
    with pytest.raises(ValueError, match="; write"):
        parse_url(text)


@pytest.mark.parametrize("host", ["chat.example.com", "localhost", "10.0.0.1", "127.0.0.1.example.com", "[::2]"])
def test_plain_http_stays_on_this_host(host: str) -> None:
    with pytest.raises(ValueError, match="write https"):
        parse_url(f"http://{host}/hook")


def test_a_path_is_not_shown() -> None:
    assert str(parse_url("https://hooks.slack.com:444/services/T0/B0/secret")) == "https://hooks.slack.com:444"


def test_a_webhook_may_be_a_secret() -> None:
    assert parse_webhook("credential:chat-hook") == SecretReference("credential", "chat-hook")
    assert parse_webhook("https://h/x") == parse_url("https://h/x")
    for text in ("chat.example.com", "credential:", "vault:x"):
        with pytest.raises(ValueError, match="neither"):
            parse_webhook(text)


def test_what_paths_are_put_behind() -> None:
    assert parse_base("https://gw.example.com:8444") == "https://gw.example.com:8444"
    assert parse_base("https://gw.example.com:443/") == "https://gw.example.com"
    assert parse_base("https://gw.example.com/ostiary/") == "https://gw.example.com/ostiary"
    for text in ("http://127.0.0.1:8444", "https://gw.example.com/?x", "https://gw.example.com/x?y=z"):
        with pytest.raises(ValueError, match="plain https"):
            parse_base(text)


@given(st.text(max_size=40) | st.from_regex(r"https://[a-z0-9.:\[\]@/?#\\]{0,30}"))
def test_what_is_taken_can_stand_in_a_request(text: str) -> None:
    try:
        url = parse_url(text)
    except ValueError:
        return
    assert url.path.startswith("/")
    assert all("!" <= char <= "~" for char in url.path + url.host)
    assert url.address.port > 0
