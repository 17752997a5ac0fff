"""One YAML file -> values of a schema."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, TypeVar, cast

from gateway.config.decode import Decoder
from gateway.config.nodes import Mapping, Sequence, compose
from gateway.errors import ConfigError, Problem

T = TypeVar("T")

MAX_FILE = 2**20
"""Bytes. A policy of 5,000 entries is about 700 KB; libyaml needs a second or two for 1 MiB."""

MAX_PROBLEMS = 100
"""Nobody mends more at once."""


def load_yaml(path: Path, into: type[T], *, secrets: bool = False) -> T:
    """The file's one document as ``into``; an empty file is an empty mapping or list.

    ``secrets``: the file must not be readable by everybody. No problem ever repeats a value, whatever the file is.
    Raises ConfigError with every problem found, and nothing else.
    """
    return parse_yaml(_read(path, secrets=secrets), into, file=str(path))


def parse_yaml(data: bytes, into: type[T], *, file: str) -> T:
    """As `load_yaml`, of bytes that came from ``file``."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(Problem(file, (), "is not UTF-8", "save it as UTF-8", line)) from None
    if len(data) > MAX_FILE:
        raise ConfigError(_too_large(file))
    root, problems = compose(text, file)
    if root is None and not problems:
        root = Sequence(1, ()) if _is_list(into) else Mapping(1, ())
    decoder = Decoder(file)
    value: Any = None
    if root is not None:
        value = decoder.decode(root, into)
    found = sorted(problems + decoder.problems, key=lambda problem: problem.line or 0)
    if found:
        raise ConfigError(*found[:MAX_PROBLEMS])
    return cast(T, value)


def _is_list(into: Any) -> bool:
    return getattr(into, "__origin__", into) in (list, tuple)


def _too_large(file: str) -> Problem:
    return Problem(file, (), f"is larger than {MAX_FILE} bytes", "split it, or check that it is the right file")


def _read(path: Path, *, secrets: bool) -> bytes:
    file = str(path)
    try:
        opened = open(path, "rb", opener=_open)  # noqa: SIM115  # the with below; other errors are other problems
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no path can look like this"
        raise ConfigError(Problem(file, (), f"can't be opened: {reason}", _open_mend(error))) from error
    with opened:
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(Problem(file, (), "is not a regular file", "put a YAML file there"))
        if secrets and status.st_mode & 0o007:
            raise ConfigError(Problem(file, (), "holds secrets and is open to everybody", f"chmod o-rwx {file}"))
        try:
            data = opened.read(MAX_FILE + 1)
        except OSError as error:
            raise ConfigError(Problem(file, (), f"can't be read: {error.strerror}", "check the disk")) from error
    if len(data) > MAX_FILE:
        raise ConfigError(_too_large(file))
    return data


def _open(path: str, flags: int) -> int:
    """Non-blocking, so that a FIFO in the way can't hold the gateway up."""
    return os.open(path, flags | os.O_NONBLOCK)


def _open_mend(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "create it, or give the right path"
    if isinstance(error, PermissionError):
        return "let the gateway's user read it (chgrp ostiary, chmod 0640)"
    return "give the path of a YAML file"
