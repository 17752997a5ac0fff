"""Fuzzes the SFTP relay between two peers that say anything: `make fuzz`, or this file with a corpus directory.

The input is a list of turns: a byte whose lowest bits say who speaks and how (a usual packet, bytes in the frame of a
packet, or bytes), a byte that is its length or says which usual packet, and the bytes. Whatever is said, only PeerError
comes out; what reaches the target are whole packets, each with paths that were asked about and allowed, or with a
handle that was given for that; the client gets whole packets, too; and the relay holds no more than it was given.
"""

from __future__ import annotations

import struct
import sys

import atheris

with atheris.instrument_imports(include=["gateway.protocols.ssh"]):
    from gateway.errors import PeerError
    from gateway.protocols.ssh import sftp_wire as wire
    from gateway.protocols.ssh.paths import as_text
    from gateway.protocols.ssh.sftp import SftpRelay

DENIED = "no"
"""The corridor denies what has this in a path."""
OWN = 0xFFFFFF00


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def text(raw: bytes) -> bytes:
    return u32(len(raw)) + raw


def packet(kind: int, *parts: bytes) -> bytes:
    body = bytes([kind]) + b"".join(parts)
    return u32(len(body)) + body


PATHS = [b"a", b"no", b"../no", b"/a/b", b"link", b"link/x", b"", b".", b"d/", b"~", b"\xff", b"a\0"]


def usual_of_client(number: int, choice: int) -> bytes:
    """One of the packets that a client sends."""
    one, two = text(PATHS[choice % len(PATHS)]), text(PATHS[choice // 3 % len(PATHS)])
    handle = text(b"h%d" % (choice % 3))
    offset, nothing = bytes(7) + bytes([choice & 7]), u32(0)
    packets = [
        packet(3, u32(number), one, u32(choice & 63), nothing),
        packet(4, u32(number), handle),
        packet(5, u32(number), handle, offset, u32(choice)),
        packet(6, u32(number), handle, offset, text(b"x" * (choice & 31))),
        packet(7, u32(number), one),
        packet(9, u32(number), one, nothing),
        packet(10, u32(number), handle, nothing),
        packet(11, u32(number), one),
        packet(12, u32(number), handle),
        packet(13, u32(number), one),
        packet(16, u32(number), one),
        packet(18, u32(number), one, two),
        packet(20, u32(number), one, two),
        packet(200, u32(number), text(b"posix-rename@openssh.com"), one, two),
        packet(200, u32(number), text(b"expand-path@openssh.com"), one),
        packet(200, u32(number), text(b"copy-data"), handle, bytes(16), text(b"h0"), bytes(8)),
        packet(200, u32(number), text(b"limits@openssh.com")),
    ]
    return packets[choice % len(packets)]


def usual_of_target(number: int, choice: int) -> bytes:
    packets = [
        packet(101, u32(number), u32(choice & 7), text(b"words"), text(b"")),
        packet(102, u32(number), text(b"h%d" % (choice % 3))),
        packet(103, u32(number), text(b"y" * (choice & 31))),
        packet(104, u32(number), u32(1), text(b"/home/u/a"), text(b""), u32(0)),
        packet(104, u32(number), u32(1), text(b"/no/where"), text(b""), u32(0)),
        packet(105, u32(number), u32(4), u32([0o040755, 0o100644, 0o120777][choice % 3])),
        packet(201, u32(number), struct.pack(">4Q", choice, 0, 2**60, 5)),
    ]
    return packets[choice % len(packets)]


class Session:
    def __init__(self, *, resolve: bool) -> None:
        self.relay = SftpRelay(resolve=resolve)
        self.allowed: set[str] = set()
        self.given = 0
        self.to_server = bytearray()
        self.to_client = bytearray()
        self.number = 0
        self.waiting: list[int] = []

    def turn(self, kind: int, choice: int, said: bytes) -> None:
        from_client = not kind & 1
        if kind & 8:
            if kind & 4 and said:
                said = packet(said[0], said[1:])
        elif from_client:
            self.number += 1
            said = usual_of_client(self.number, choice)
        else:
            number = self.waiting.pop(0 if kind & 2 else -1) if self.waiting else choice
            said = usual_of_target(number, choice)
        self.given += len(said)
        if from_client:
            self.relay.receive_client(said)
        else:
            self.relay.receive_server(said)
        if not kind & 16:
            self.answer()
        self.look()

    def answer(self) -> None:
        ask = self.relay.ask
        while ask is not None:
            assert ask.files
            for use in ask.files:
                assert use.path.startswith("/")
                assert not {"..", ".", ""} & set(use.path.rstrip("/").split("/")[1:]), use.path
            allowed = not any(DENIED in use.path for use in ask.files)
            if allowed:
                self.allowed |= {use.path for use in ask.files}
            self.relay.decided(allowed, "no")
            ask = self.relay.ask

    def look(self) -> None:
        relay = self.relay
        before = len(self.to_server)
        self.to_server += b"".join(relay.to_server)
        relay.to_server.clear()
        self.to_client += b"".join(relay.to_client)
        relay.to_client.clear()
        relay.done.clear()
        self.note_ids(before)
        held = len(relay._from_client.data) + len(relay._from_server.data)
        held += len(relay._from_client._tail or b"") + len(relay._from_server._tail or b"")
        assert held <= 2 * self.given, "holds more than it was given"
        assert len(relay._sent) + len(relay._line) <= self.given, "remembers more than it was told"

    def note_ids(self, before: int) -> None:
        """Requests that the target can answer now; only those that begin with what came out last."""
        pos = 0
        while len(self.to_server) - pos >= 9:
            length, kind, number = struct.unpack_from(">IBI", self.to_server, pos)
            if pos >= before and kind != 1:
                self.waiting.append(number)
            pos += 4 + length

    def end(self) -> None:
        whole = bytes(self.to_server)
        while len(whole) >= 4:
            length = int.from_bytes(whole[:4])
            one, whole = whole[4 : 4 + length], whole[4 + length :]
            if len(one) == length:
                self.check(one)
        assert not whole
        told = bytes(self.to_client)
        while len(told) >= 5:
            length = int.from_bytes(told[:4])
            assert told[4] in (2, 101, 102, 103, 104, 105, 201), "bytes out of their frame"
            told = told[4 + length :]

    def check(self, one: bytes) -> None:
        """What reached the target was allowed, or is a question of ours."""
        kind = one[0]
        if kind in (1, 5, 6):
            return
        request = wire.parse_request(kind, one[1:])
        assert not isinstance(request, wire.Unsupported)
        if request.id >= OWN:
            assert isinstance(request, wire.OnPath)
            assert request.kind in ("realpath", "lstat", "readlink", "expand-path", "home-directory")
            return
        if isinstance(request, wire.Open | wire.OnPath):
            assert as_text(request.path) in self.allowed, request
        elif isinstance(request, wire.OnPaths):
            assert as_text(request.second) in self.allowed, request
            assert request.kind == "symlink" or as_text(request.first) in self.allowed, request


def one_input(data: bytes) -> None:
    if not data:
        return
    session = Session(resolve=bool(data[0] & 1))
    pos = 1
    try:
        if data[0] & 2:
            session.turn(8, 0, packet(1, u32(3)))
            session.turn(9, 0, packet(2, u32(3), text(b"posix-rename@openssh.com"), text(b"1")))
            session.turn(9, 0, packet(104, u32(0xFFFFFFFF), u32(1), text(b"/home/u"), text(b""), u32(0)))
        while pos + 2 <= len(data):
            kind, size = data[pos], data[pos + 1]
            pos += 2
            said = b""
            if kind & 8:
                said = data[pos : pos + size]
                pos += size
            session.turn(kind, size, said)
    except PeerError:
        pass
    session.look()
    session.end()


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
