from __future__ import annotations

from pathlib import Path

import pytest
from support import sftp as said
from support.piped import Beside

from gateway.errors import PeerError
from gateway.protocols.ssh.locating import Locator
from gateway.protocols.ssh.sftp_asking import Probe


@pytest.mark.parametrize("chunks", [said.whole, said.bytewise])
def test_a_conversation(chunks: said.Chunks) -> None:
    locator = Locator()

    def hear(data: bytes) -> bytes:
        for chunk in chunks(data):
            locator.receive_server(chunk)
        sent = b"".join(locator.to_server)
        locator.to_server.clear()
        return sent

    assert locator.to_server == [said.INIT]
    locator.to_server.clear()
    assert hear(said.version()) == said.on_path(16, 1, b".")
    assert (locator.ready, locator.home) == (False, None)
    hear(said.name(1, b"/home/u"))
    assert (locator.ready, locator.home) == (True, b"/home/u")
    locator.ask(Probe("lstat", b"/a"))
    assert hear(said.status(1, 2, b"No such file")) == said.on_path(7, 1, b"/a")
    assert locator.reply is not None
    assert locator.reply.failure() == (2, b"No such file")


def test_a_target_that_does_not_say_where_its_home_is() -> None:
    locator = Locator()
    locator.receive_server(said.version() + said.status(1, 4))
    assert (locator.ready, locator.home) == (True, None)


@pytest.mark.parametrize(
    "packets",
    [
        said.name(1, b"/"),
        said.packet(2, said.u32(4)),
        said.version() + said.version(),
        said.version() + said.name(2, b"/"),
        said.version() + said.name(1, b"/") + said.status(1),
        said.version() + said.attributes(1, 0),
        said.u32(0) + bytes(5),
        said.u32(34_001) + bytes(5),
        said.version() + said.name(1, b"/C:/Users"),
    ],
)
def test_a_target_that_breaks_the_protocol(packets: bytes) -> None:
    with pytest.raises(PeerError):
        Locator().receive_server(packets)


def test_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/usr/bin")
    beside = Beside()
    assert beside.locator.home == str(tmp_path).encode()
    assert beside.ask(Probe("realpath", str(tmp_path / "link").encode())).path() == b"/usr/bin"
    assert beside.ask(Probe("lstat", b"/missing")).failure() is not None
    beside.close()
