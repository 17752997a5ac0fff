from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording.made import KEY, PUBLIC

from gateway.recording.format import (
    CHAIN_SIZE,
    PREFIX_SIZE,
    SIGNATURE_SIZE,
    SIGNED_HEAD,
    pack_prefix,
    pack_signed_frame,
    parse_session,
    prefix_is_whole,
    signed_message,
)
from gateway.rendering import PREFIX
from gateway.rendering import frame as pack_frame


def test_a_frame_is_its_prefix_its_payload_and_the_chain() -> None:
    frame, chain = pack_frame(bytes(32), ord("R"), 1, 2, 3, b"payload")
    assert frame[:16].hex() == "00000007520100020000000000000003"
    assert frame[PREFIX_SIZE:-CHAIN_SIZE] == b"payload"
    assert frame[-CHAIN_SIZE:] == chain
    assert chain.hex() == "01c48dae58073fea0971d5913f98154f1b8f7cd1891ba546804f9c7851d40e37"


@given(st.integers(0, 19), st.integers(1, 255))
def test_a_damaged_prefix_is_seen(position: int, change: int) -> None:
    prefix = bytearray(pack_prefix(100, ord("O"), 0, 1, 17))
    assert prefix_is_whole(bytes(prefix))
    prefix[position] ^= change
    assert not prefix_is_whole(bytes(prefix))


def test_a_signature_covers_the_session_the_chain_and_its_own_frame() -> None:
    session, chain = UUID(int=7), bytes(range(32))
    frame, _ = pack_signed_frame(chain, SIGNED_HEAD, 0, 5, b"body\n", session, KEY)
    prefix, body = frame[:PREFIX_SIZE], frame[PREFIX_SIZE : -CHAIN_SIZE - SIGNATURE_SIZE]
    assert PREFIX.unpack_from(prefix) == (len(body) + SIGNATURE_SIZE, SIGNED_HEAD, 0, 0, 5)
    signature = frame[-CHAIN_SIZE - SIGNATURE_SIZE : -CHAIN_SIZE]
    PUBLIC.verify(signature, signed_message(session, chain, prefix, body))


def test_a_session_id_has_one_spelling() -> None:
    text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    assert str(parse_session(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n",
        "../7f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    ],
)
def test_what_is_no_session_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not a session id"):
        parse_session(text)
