from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.public_keys import MAX_BLOB, PublicKey, of_blob, parse_host_key, parse_public_key

LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPMmeqDXjGxQUBZ7Qmf1ShmiXQSS2mTgGXTm/tDV9Tk7"


def test_a_line_there_and_back() -> None:
    key = parse_public_key(LINE + " alice@laptop with words")
    assert key.kind == "ssh-ed25519"
    assert key.line == LINE
    assert of_blob(key.blob) == key
    assert not key.is_certificate


def test_a_fingerprint_is_what_ssh_keygen_shows() -> None:
    # ssh-keygen -lf on the line above
    assert parse_public_key(LINE).fingerprint == "SHA256:DjTYZrgrdSHvMUkjarc7iq0zxCA9CVk5US5FOLmJ3GA"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        LINE.split()[1],
        "ssh-rsa " + LINE.split()[1],  # another type than its blob's
        'command="x" ' + LINE,  # options would be lost
        LINE.replace("AAAAC3", "AAAA!3"),
        "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519").decode(),  # nothing behind the name
        "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(MAX_BLOB)).decode(),
    ],
)
def test_lines_that_are_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"; "):
        parse_public_key(text)


@pytest.mark.parametrize(
    ("text", "is_ca"),
    [
        (LINE, False),
        (LINE + " a comment", False),
        ("web1,192.0.2.1 " + LINE, False),
        ("[web1]:2222 " + LINE + " a comment", False),
        ("|1|c2FsdA==|aGFzaA== " + LINE, False),
        ("@cert-authority *.example.com " + LINE, True),
    ],
)
def test_host_keys(text: str, is_ca: bool) -> None:
    assert parse_host_key(text) == (parse_public_key(LINE), is_ca)


@pytest.mark.parametrize("text", ["", "@revoked * " + LINE, "@cert-authority " + LINE, "a b " + LINE])
def test_lines_that_are_no_host_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"; "):
        parse_host_key(text)


@given(st.binary(max_size=64))
def test_no_blob_does_more_than_raise_valueerror(blob: bytes) -> None:
    try:
        key = of_blob(blob)
    except ValueError:
        return
    assert isinstance(key, PublicKey)
    assert key.blob == blob
