"""SFTP packets, written down apart from the code that is tested, and a small target that keeps what it was sent."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from gateway.protocols.ssh.files import Ask
from gateway.protocols.ssh.sftp import SftpRelay

READ, WRITE, APPEND, CREATE, TRUNCATE, EXCLUSIVE = 1, 2, 4, 8, 16, 32
EXTENSIONS = [(b"posix-rename@openssh.com", b"1"), (b"limits@openssh.com", b"1"), (b"vendor@example.com", b"1")]


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def u64(number: int) -> bytes:
    return struct.pack(">Q", number)


def text(raw: bytes) -> bytes:
    return u32(len(raw)) + raw


def packet(kind: int, *parts: bytes) -> bytes:
    body = bytes([kind]) + b"".join(parts)
    return u32(len(body)) + body


def request(kind: int, number: int, *parts: bytes) -> bytes:
    return packet(kind, u32(number), *parts)


def on_path(kind: int, number: int, path: bytes) -> bytes:
    return request(kind, number, text(path))


def opening(number: int, path: bytes, flags: int = READ, attributes: bytes = u32(0)) -> bytes:
    return request(3, number, text(path), u32(flags), attributes)


def closing(number: int, handle: bytes) -> bytes:
    return request(4, number, text(handle))


def reading(number: int, handle: bytes, offset: int, length: int) -> bytes:
    return request(5, number, text(handle), u64(offset), u32(length))


def writing(number: int, handle: bytes, offset: int, data: bytes) -> bytes:
    return request(6, number, text(handle), u64(offset), text(data))


def extended(number: int, name: bytes, *parts: bytes) -> bytes:
    return request(200, number, text(name), *parts)


def status(number: int, code: int = 0, words: bytes = b"") -> bytes:
    return packet(101, u32(number), u32(code), text(words), text(b""))


def handle(number: int, raw: bytes) -> bytes:
    return packet(102, u32(number), text(raw))


def data(number: int, raw: bytes) -> bytes:
    return packet(103, u32(number), text(raw))


def name(number: int, *paths: bytes) -> bytes:
    return packet(104, u32(number), u32(len(paths)), *(text(path) + text(path) + u32(0) for path in paths))


def attributes(number: int, mode: int) -> bytes:
    return packet(105, u32(number), u32(4), u32(mode))


def version(extensions: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    return packet(2, u32(3), *(text(key) + text(value) for key, value in extensions))


INIT = packet(1, u32(3))


def split(stream: bytes) -> list[bytes]:
    """Its packets, each whole with its length; what is left over counts as one."""
    found = []
    while stream:
        end = 4 + int.from_bytes(stream[:4])
        found.append(stream[:end])
        stream = stream[end:]
    return found


def number_of(one: bytes) -> int:
    return int.from_bytes(one[5:9])


def string_at(one: bytes, pos: int) -> bytes:
    return one[pos + 4 : pos + 4 + int.from_bytes(one[pos : pos + 4])]


class Target:
    """Answers as a server does whose files are ``links`` (path: where it really is), ``directories`` and ``missing``;
    everything else is a file. ``silent``: kinds of requests that it doesn't answer."""

    def __init__(self) -> None:
        self.home = b"/home/u"
        self.links: dict[bytes, bytes] = {}
        self.directories: set[bytes] = {b"/", b"/home/u"}
        self.missing: set[bytes] = set()
        self.texts: dict[bytes, bytes] = {}
        """What symbolic links say."""
        self.silent: set[int] = set()
        self.contents: dict[bytes, bytes] = {}
        self.got: list[bytes] = []
        self.probes: list[bytes] = []
        self.opened = 0

    def answer(self, one: bytes) -> bytes:
        kind, number = one[4], number_of(one)
        if kind == 1:
            return version(EXTENSIONS)
        ours = number > 0xFFFFFF00
        (self.probes if ours else self.got).append(one)
        if kind in self.silent and not ours:
            return b""
        if kind == 16:
            path = string_at(one, 9)
            if path == b".":
                return name(number, self.home)
            if path in self.missing:
                return status(number, 2, b"No such file")
            return name(number, self.links.get(path, path))
        if kind in (7, 17):
            path = string_at(one, 9)
            is_link = kind == 7 and path in self.texts
            if path in self.missing and not is_link:
                return status(number, 2, b"No such file")
            return attributes(number, 0o120777 if is_link else 0o040755 if path in self.directories else 0o100644)
        if kind == 19 and ours:
            return name(number, self.texts[string_at(one, 9)])
        if kind in (3, 11):
            if string_at(one, 9) in self.missing:
                return status(number, 2, b"No such file")
            self.opened += 1
            return handle(number, b"h%d" % self.opened)
        if kind == 5:
            raw = string_at(one, 9)
            offset, length = struct.unpack_from(">QI", one, 13 + len(raw))
            piece = self.contents.get(raw, b"")[offset : offset + length]
            return data(number, piece) if piece else status(number, 1, b"End of file")
        return status(number)


Chunks = Callable[[bytes], list[bytes]]


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


class Talk:
    """A client, the relay and a `Target`; ``deny`` says which questions are refused."""

    def __init__(
        self,
        deny: Callable[[Ask], bool] = lambda ask: False,
        *,
        target: Target | None = None,
        resolve: bool = True,
        chunks: Chunks = whole,
        greet: bool = True,
    ) -> None:
        self.relay = SftpRelay(resolve=resolve)
        self.deny = deny
        self.target = target or Target()
        self.chunks = chunks
        self.asked: list[Ask] = []
        self.to_client = b""
        self._to_server = b""
        if greet:
            assert self.client(INIT) == [version(EXTENSIONS[:2])]

    def client(self, *packets: bytes) -> list[bytes]:
        """Say ``packets``, let everybody answer, and give what the client got whole."""
        for chunk in self.chunks(b"".join(packets)):
            self.relay.receive_client(chunk)
            self.settle()
        return self.taken()

    def server(self, *packets: bytes) -> list[bytes]:
        for chunk in self.chunks(b"".join(packets)):
            self.relay.receive_server(chunk)
            self.settle()
        return self.taken()

    def taken(self) -> list[bytes]:
        found = split(self.to_client)
        self.to_client = b""
        return found

    def settle(self) -> None:
        """Until nobody has anything more to say."""
        relay = self.relay
        while True:
            ask = relay.ask
            if ask is not None:
                self.asked.append(ask)
                relay.decided(not self.deny(ask), "no", len(self.asked))
                continue
            self.to_client += b"".join(relay.to_client)
            relay.to_client.clear()
            self._to_server += b"".join(relay.to_server)
            relay.to_server.clear()
            packets = split(self._to_server)
            self._to_server = b""
            if packets and len(packets[-1]) < 4 + int.from_bytes(packets[-1][:4].ljust(4, b"\xff")):
                self._to_server = packets.pop()
            answers = b"".join(self.target.answer(one) for one in packets)
            if not answers:
                return
            for chunk in self.chunks(answers):
                relay.receive_server(chunk)

    @property
    def got(self) -> list[bytes]:
        """What the target was sent by the client, since the last time."""
        found = list(self.target.got)
        self.target.got.clear()
        return found

    def uses(self) -> list[tuple[str, str]]:
        """What was asked about, since the last time."""
        found: list[tuple[str, str]] = [(use.action, use.path) for ask in self.asked for use in ask.files]
        self.asked.clear()
        return found
