"""SSH within a channel: what the inner connection writes, as the outer one sends it; and who it says it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import asyncssh
import pytest

from gateway.protocols.ssh.jump import TOGETHER, VALID, Hosts, _ChannelTransport


class Channel:
    """Of the outer connection."""

    def __init__(self) -> None:
        self.is_open = True
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        assert self.is_open
        self.sent.append(data)

    def behind_data(self, act: Callable[[], None]) -> None:
        act()

    def close(self) -> None:
        self.is_open = False


def on(act: Callable[[Channel, _ChannelTransport], Coroutine[Any, Any, None]]) -> None:
    async def scene() -> None:
        channel: Any = Channel()
        outer: Any = None
        await act(channel, _ChannelTransport(channel, outer))

    asyncio.run(scene())


def test_what_is_written_in_one_turn_goes_out_together() -> None:
    async def act(channel: Channel, transport: _ChannelTransport) -> None:
        transport.write(b"packet")
        transport.write(memoryview(b"tag"))
        assert channel.sent == []
        await asyncio.sleep(0)
        assert channel.sent == [b"packettag"]
        transport.write(b"x" * TOGETHER)
        assert len(channel.sent) == 2, "no more waits than that"
        await asyncio.sleep(0)
        assert len(channel.sent) == 2

    on(act)


def test_what_was_written_goes_out_before_the_end() -> None:
    async def act(channel: Channel, transport: _ChannelTransport) -> None:
        transport.write(b"goodbye")
        transport.close()
        assert (channel.sent, transport.is_closing()) == ([b"goodbye"], True)
        transport.write(b"late")
        await asyncio.sleep(0)
        assert channel.sent == [b"goodbye"]

    on(act)


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_the_gateway_answers_by_the_targets_name_for_a_day(kind: str) -> None:
    now = time.time()
    keys = [asyncssh.generate_private_key(kind)]
    ca = asyncssh.generate_private_key("ssh-ed25519")
    assert not Hosts(keys, None, lambda: now).can_jump
    [(key, certificate)] = Hosts(keys, ca, lambda: now).identity_of("web1")
    assert key is keys[0]
    assert certificate.principals == ["web1"]
    assert certificate.signing_key.public_data == ca.public_data
    certificate.validate(asyncssh.public_key.CERT_TYPE_HOST, "web1")
    with pytest.raises(ValueError, match="principal"):
        certificate.validate(asyncssh.public_key.CERT_TYPE_HOST, "web2")
    assert certificate._valid_before == int(now) + VALID
