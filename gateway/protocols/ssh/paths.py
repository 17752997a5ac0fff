"""Paths as a caller writes them, as policy sees them, and as the target gets them.

Three forms of one path, all of them ``bytes``, for that is what a file's name is:

    walk   absolute, without ``//`` and ``.``, ``..`` still in it: what the target's kernel would walk, link by link
    asked  absolute and normalised as text, ``..`` resolved: what the caller says
    real   what the target says that ``walk`` leads to, with all symbolic links resolved

Policy decides on ``asked`` and, where the target was asked for it, on ``real``.
"""

from __future__ import annotations

from typing import Final

from gateway.protocols.ssh.sftp_wire import BAD_MESSAGE, FAILURE, NO_SUCH_FILE, PERMISSION_DENIED

MAX_PATH: Final = 4096
"""Bytes of a path: Linux's PATH_MAX, with which OpenSSH's server has its buffers. Longer ones can't be opened there."""


class PathRefused(Exception):
    """A path that can't be decided on. ``status`` is the SFTP code to answer with."""

    def __init__(self, words: str, status: int = PERMISSION_DENIED) -> None:
        super().__init__(words)
        self.words = words
        self.status = status


class Place:
    """Where a path leads, as text.

    walk, asked  see the module
    named        the last part is a name: not ``.``, ``..`` or the root
    slash        a slash, or a ``.``, followed it: it can only be a directory, also behind a symbolic link
    """

    __slots__ = ("asked", "named", "slash", "walk")

    def __init__(self, raw: bytes, home: bytes | None) -> None:
        """``home``: what relative paths are relative to, absolute; None: not known. Raises PathRefused."""
        if not raw:
            # Draft 02 calls it the home; OpenSSH's server, which passes it to the kernel, says that there's no such
            # file. As it does: what removes the home by mistake is worse than what finds nothing.
            raise PathRefused("the path is empty", NO_SUCH_FILE)
        if b"\0" in raw:
            raise PathRefused("the path has a NUL in it", BAD_MESSAGE)
        if not raw.startswith(b"/"):
            if home is None:
                raise PathRefused("the path is relative, and the target doesn't say to what")
            raw = home + b"/" + raw
        if len(raw) > MAX_PATH:
            raise PathRefused(f"the path has more than {MAX_PATH} bytes", BAD_MESSAGE)
        parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
        last = raw.rpartition(b"/")[2]
        final = raw.rstrip(b"/").rpartition(b"/")[2]
        self.walk = joined(parts)
        self.asked = joined(resolved(parts))
        self.slash = last in (b"", b".", b"..")
        self.named = final not in (b"", b".", b"..")

    def split(self) -> tuple[bytes, bytes]:
        """The walk to where its last part lies, and that part. The caller knows that it is `named`, or no root."""
        parent, _, last = self.walk.rpartition(b"/")
        return parent or b"/", last


def resolved(parts: list[bytes]) -> list[bytes]:
    """``parts`` without ``..``, as text: nothing lies above the root."""
    kept: list[bytes] = []
    for part in parts:
        if part != b"..":
            kept.append(part)
        elif kept:
            kept.pop()
    return kept


def joined(parts: list[bytes]) -> bytes:
    return b"/" + b"/".join(parts)


def within(directory: bytes, name: bytes) -> bytes:
    """The path of ``name`` in ``directory``, which is absolute."""
    return b"/" + name if directory == b"/" else directory + b"/" + name


def told(path: bytes) -> bytes:
    """A path that the target gave, normalised. Raises PathRefused when it is none that can be decided on."""
    if not path.startswith(b"/") or b"\0" in path or len(path) > MAX_PATH:
        raise PathRefused("the target's own name of the path isn't absolute, or too long", FAILURE)
    return Place(path, None).asked


def is_text(path: bytes) -> bool:
    """Whether it is UTF-8. Any bytes may be a file's name; rules are written in characters."""
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def as_text(path: bytes) -> str:
    r"""The path for policy. Bytes that are no UTF-8 become ``\xNN``, and what asks about them is opaque (policy.md,
    semantics 4): such a path may look like another one, which an allow names."""
    return path.decode("utf-8", "backslashreplace")


PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:=@%~")


def shown(path: bytes) -> str:
    r"""The path for people. What could be taken for our own words is quoted, and characters that could play tricks on a
    terminal or a log become ``\N``."""
    text = as_text(path)
    if PLAIN.issuperset(text):
        return text
    escaped = "".join(
        c if c.isprintable() and c not in '"\\' else "\\" + c if c in '"\\' else ascii(c)[1:-1] for c in text
    )
    return f'"{escaped}"'
