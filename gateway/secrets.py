"""Secrets are wrapped: ``repr``, ``str``, formatting, logs and pickling can't show them."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from gateway.errors import SecretUnavailable

MAX_SECRET = 64 * 1024
"""Bytes. A private key with its chain is below 16 KiB; more is a mistaken path."""


class Secret:
    """A value that only `reveal` gives back."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """``credential:NAME`` (systemd LoadCredential), ``file:PATH`` or ``env:NAME``."""

    scheme: Literal["credential", "file", "env"]
    name: str

    @classmethod
    def parse(cls, text: str) -> SecretReference:
        """Raises ValueError, with the mend, when ``text`` is no reference."""
        scheme, colon, name = text.partition(":")
        if not colon or not name or scheme not in ("credential", "file", "env"):
            raise ValueError("is not a secret reference; write credential:NAME, file:/absolute/path or env:NAME")
        if scheme == "file" and not name.startswith("/"):
            raise ValueError("names a relative path; write file: and an absolute path")
        if scheme == "credential" and "/" in name:
            raise ValueError("names a path; a credential has a plain name, as LoadCredential= gives it")
        return cls(scheme, name)  # type: ignore[arg-type]  # narrowed by the test above

    @property
    def path(self) -> Path | None:
        """Where the secret lies, None for env and for a credential outside of systemd."""
        if self.scheme == "file":
            return Path(self.name)
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if self.scheme == "credential" and directory:
            return Path(directory) / self.name
        return None

    def resolve(self) -> Secret:
        """The secret, without one trailing newline. Raises SecretUnavailable: a look-up that fails is a no."""
        if self.scheme == "env":
            value = os.environ.get(self.name)
            if value is None:
                raise SecretUnavailable(f"{self}: the environment has no such variable")
            return Secret(value.encode())
        path = self.path
        if path is None:
            raise SecretUnavailable(f"{self}: CREDENTIALS_DIRECTORY is not set; run under systemd or use file:")
        try:
            with path.open("rb") as file:
                value_bytes = file.read(MAX_SECRET + 1)
        except OSError as error:
            raise SecretUnavailable(f"{self}: {error.strerror or error}") from error
        if len(value_bytes) > MAX_SECRET:
            raise SecretUnavailable(f"{self}: is larger than {MAX_SECRET} bytes")
        return Secret(value_bytes.removesuffix(b"\n"))

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


def kept_secret(path: Path, make: Callable[[], bytes]) -> Secret:
    """A secret of the gateway's own, at ``path``; made there (0600, its directory 0700) when nothing is.

    Raises SecretUnavailable, whose message doesn't repeat the path, when it can't be read or made, or others can
    read it.
    """
    try:
        return _kept(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SecretUnavailable(error.strerror or str(error)) from error
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path, make())
    except FileExistsError:
        pass  # another process of ours was faster; its secret is the one
    except OSError as error:
        raise SecretUnavailable(f"can't be made: {error.strerror or error}") from error
    return kept_secret(path, make)


def _kept(path: Path) -> Secret:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecretUnavailable(
                f"others than its owner can use it (mode {stat.S_IMODE(status.st_mode):04o})",
                hint=f"chmod 0600 {path}; if somebody may have copied it, see docs/operating.md on replacing it",
            )
        return Secret(file.read(MAX_SECRET))


def _create(path: Path, content: bytes) -> None:
    """Complete under a temporary name, then linked: a crash never leaves half a secret, a link never replaces one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
