"""Fuzzes the relay of scp's old protocol between two peers that say anything: `make fuzz`, or this file with a corpus.

The input is a byte that says which command, then turns: a byte that says who speaks and how (something usual, or
bytes), a byte that is its length or says which, and the bytes. Whatever is said, only PeerError comes out; each record
that reaches a sink was asked about and allowed, and what is between them is content that the sink had agreed to.
"""

from __future__ import annotations

import re
import sys

import atheris

with atheris.instrument_imports(include=["gateway.protocols.ssh"]):
    from gateway.errors import PeerError
    from gateway.protocols.ssh.commands import scp
    from gateway.protocols.ssh.scp import ScpRelay

COMMANDS = ["scp -t x", "scp -t /in/", "scp -r -t x", "scp -r -p -d -t /in", "scp -f x", "scp -r -f /d"]
USUAL = [
    b"\0",
    b"\0",
    b"C0644 5 name\n",
    b"C0644 0 x\n",
    b"C0644 9 no\n",
    b"D0755 0 d\n",
    b"D0755 0 no\n",
    b"E\n",
    b"T1 0 2 0\n",
    b"hello\0",
    b"\1words\n",
    b"\2words\n",
    b"C0644 5 ../no\n",
    b"C0644 20 x\nC0644 5 no\n\0\0\0\0",
]
RECORD = re.compile(rb"[CD][0-7]{4} ([0-9]+) ([^/\n\0]+)\n")


class Sink:
    """Reads what the sink gets as OpenSSH's would, given what the sink said: one answer for each that it owes."""

    def __init__(self) -> None:
        self.data = b""
        self.names: list[bytes] = []
        self.size: int | None = None
        self.content = 0
        self.trailer = False

    def reads(self, answers: list[bytes]) -> None:
        """``answers``: what the sink has said and the source was told, in order; the first says that it's ready."""
        replies = list(answers[1:])
        data = self.data
        while data:
            if self.content:
                taken = min(self.content, len(data))
                data, self.content = data[taken:], self.content - taken
                self.trailer = not self.content
                continue
            if self.trailer or data[:1] in (b"\0", b"\1", b"\2"):
                end = 1 if data[:1] == b"\0" else data.find(b"\n") + 1
                assert end, "words without an end"
                if self.trailer:
                    self.trailer = False
                    if not replies:
                        return
                    replies.pop(0)
                data = data[end:]
                continue
            line, _, data = data.partition(b"\n")
            found = RECORD.fullmatch(line + b"\n")
            if found is not None:
                self.names.append(found[2])
            else:
                assert line[:1] in (b"E", b"T"), line
            if not replies:
                assert not data, "something came before the sink had answered"
                return
            if replies.pop(0) == b"\0" and line[:1] == b"C" and found is not None:
                self.content = int(found[1])
                self.trailer = not self.content


def one_input(data: bytes) -> None:
    if not data:
        return
    command = scp(tuple(COMMANDS[data[0] % len(COMMANDS)].split()))
    assert command is not None
    upward = not command.sends
    relay = ScpRelay(command, b"/home/u")
    allowed: set[bytes] = set()
    sink, said_by_sink, given, pos = Sink(), b"", 0, 1
    try:
        while pos + 2 <= len(data):
            kind, size = data[pos], data[pos + 1]
            pos += 2
            said = USUAL[size % len(USUAL)]
            if kind & 2:
                said = data[pos : pos + size]
                pos += size
            given += len(said)
            if kind & 1:
                if upward:
                    said_by_sink += said
                relay.receive_server(said)
            else:
                if not upward:
                    said_by_sink += said
                relay.receive_client(said)
            while relay.ask is not None:
                for use in relay.ask.files:
                    assert use.path.startswith("/")
                    assert not {"..", "."} & set(use.path.split("/"))
                verdict = not any("no" in use.path.split("/") for use in relay.ask.files)
                if verdict:
                    allowed |= {use.path.rpartition("/")[2].encode() for use in relay.ask.files}
                relay.decided(verdict, "no")
            assert len(relay._source) + len(relay._sink) <= given, "holds more than it was given"
    except PeerError:
        pass
    sink.data = b"".join(relay.to_server if upward else relay.to_client)
    if upward:  # to a client as the sink our own words about refusals are among the records
        sink.reads(answers(said_by_sink))
        assert b"no" not in sink.names
        assert {name for name in sink.names if name.isascii() and b"\\" not in name} <= allowed
    relay.finish()


def answers(said: bytes) -> list[bytes]:
    """The answers in what a sink said, each as its first byte."""
    found = []
    while said:
        found.append(said[:1])
        if said[0] == 0:
            said = said[1:]
        elif said[0] <= 2 and b"\n" in said:
            said = said.partition(b"\n")[2]
        else:
            break
    return found


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
