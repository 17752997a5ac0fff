"""Fuzzes what is made of commands: `make fuzz`, or this file with a corpus directory.

Nothing is raised. What is plain words is so without any sign of a shell's language, and Python's own splitter, which
knows POSIX quoting, agrees; what the target is sent for scp means the same; and only what can't be read is opaque.
"""

from __future__ import annotations

import shlex
import sys

import atheris

with atheris.instrument_imports(include=["gateway.shell", "gateway.protocols.ssh"]):
    from gateway.protocols.ssh.commands import scp
    from gateway.protocols.ssh.operation import execute
    from gateway.shell import MAX_COMMAND, read, read_pattern


def one_input(data: bytes) -> None:
    asked = execute(data)
    assert asked.text.encode("utf-8", "surrogateescape") == data
    assert (asked.opaque is None) == is_text(data)
    if asked.opaque is not None:
        assert asked.argv is None
        return
    found = read(asked.text)
    read_pattern(asked.text)
    assert (found.words is None) == bool(found.shell)
    assert asked.argv == found.words
    if found.words is not None:
        assert asked.text.isascii()
        assert list(found.words) == shlex.split(asked.text)
    end = scp(found.words)
    assert (asked.request == "scp") == (end is not None)
    if end is not None:
        command = end.command()
        assert scp(tuple(shlex.split(command))) == end
        words = read(command).words  # None: quoted, too, its path has what a shell might take for its own
        assert words is None or scp(words) == end


def is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return "\0" not in text and len(text) <= MAX_COMMAND


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
