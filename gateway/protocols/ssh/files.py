"""What SFTP and scp have in common: a question about files, a file's content as it passes, what was done."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from gateway.model import FileAction, FileUse
from gateway.protocols.ssh.paths import as_text, is_text


class Ask:
    """A question to the corridor: may this be done?

    action  the request's name (``open``, ``rename``, ...)
    files   every path that it touches and how, in a stable order. A path that ends in a slash is all that lies beneath
            it, too: what moves a directory moves that
    text    the same for people and as evidence
    opaque  why policy can't see all of it; None: it can
    """

    __slots__ = ("action", "files", "opaque", "text")

    def __init__(
        self, action: str, uses: Iterable[tuple[FileAction, bytes]], text: str, opaque: str | None = None
    ) -> None:
        unique = tuple(dict.fromkeys(uses))
        self.action = action
        self.files = tuple(FileUse(use, as_text(path)) for use, path in unique)
        self.text = text
        self.opaque = opaque
        if opaque is None and not all(is_text(path) for _, path in unique):
            self.opaque = "a path is not UTF-8"


class Flow:
    """A file's content in one direction: how much, and its digest as long as it comes in order.

    start    offset of the first byte
    size     bytes, also those that came again
    ordered  each piece began where the one before it ended; else there's no digest. Pieces that come in another order
             are not put in order: that would take memory without a bound
    failed   the other side said that a piece failed
    to_end   the reader was told that the file ends there
    """

    __slots__ = ("_hash", "end", "failed", "ordered", "size", "start", "to_end")

    def __init__(self) -> None:
        self.start = -1
        self.end = -1
        self.size = 0
        self.ordered = True
        self.failed = False
        self.to_end = False
        self._hash = sha256()

    def expect(self, offset: int, length: int) -> Flow | None:
        """A piece comes; None: its bytes don't need to be shown to `take`."""
        if self.start < 0:
            self.start = self.end = offset
        self.size += length
        if offset != self.end or not self.ordered:
            self.ordered = False
            return None
        self.end = offset + length
        return self

    def take(self, data: bytes | memoryview) -> None:
        """The bytes of the piece, or some of them."""
        self._hash.update(data)

    def disorder(self) -> None:
        """Bytes of the file went another way, unseen."""
        self.ordered = False

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the bytes from ``start`` to ``end``; empty when they didn't come in order or failed."""
        return self._hash.hexdigest() if self.ordered and not self.failed and self.start >= 0 else ""


class Done:
    """What became of something that was asked about and allowed. Of what was opened it comes at its end.

    reference      what `decided` was given with the answer
    status         SFTP's code (0: it was done); of scp 0 or 4
    words          the target's own, where it failed
    read, written  the content, where there is some
    entries        how many names a directory's listing had
    changed        attributes that were set by its handle, in words
    closed         it was closed; else the channel ended before
    """

    __slots__ = ("ask", "changed", "closed", "entries", "read", "reference", "status", "words", "written")

    def __init__(
        self,
        ask: Ask,
        reference: object,
        status: int = 0,
        words: str = "",
        *,
        read: Flow | None = None,
        written: Flow | None = None,
        entries: int = 0,
        changed: tuple[str, ...] = (),
        closed: bool = True,
    ) -> None:
        self.ask = ask
        self.reference = reference
        self.status = status
        self.words = words
        self.read = read
        self.written = written
        self.entries = entries
        self.changed = changed
        self.closed = closed
