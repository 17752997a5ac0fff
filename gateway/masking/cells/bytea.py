"""bytea that is text (src/backend/utils/adt/varlena.c: byteaout; manual 8.4).

As text it is ``\\x`` and hexadecimal digits, or, with ``bytea_output = escape``, the bytes themselves with ``\\\\`` for
a backslash and three octal digits for what isn't printable. In binary format it is its bytes.
"""

from __future__ import annotations

import re

from gateway.masking.cells.parsing import Malformed, Rewrite
from gateway.masking.substitution import substituted

_HEX = b"\\x"
_ESCAPE = re.compile(rb"\\(\\|[0-3][0-7]{2})")
_ESCAPED = re.compile(rb"(?:[^\\]|\\\\|\\[0-3][0-7][0-7])*+", re.DOTALL)


def is_text(data: bytes) -> bool:
    """Images and archives aren't searched: what looks like a value in them is chance."""
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def decode(value: bytes) -> bytes:
    """A bytea's text output -> its bytes. Raises Malformed."""
    if value.startswith(_HEX):
        try:
            return bytes.fromhex(value[2:].decode("ascii"))
        except ValueError:
            raise Malformed("not a bytea: no hexadecimal digits") from None
    if _ESCAPED.fullmatch(value) is None:
        raise Malformed("not a bytea: an unknown escape")
    return substituted(_ESCAPE, lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1], 8)]), value)


def rewrite_text(value: bytes, text: Rewrite) -> bytes | None:
    """A bytea as text; what is changed is written in hexadecimal, which is read whatever the setting. Raises
    Malformed."""
    content = decode(value)
    masked = rewrite_binary(content, text)
    if masked is content or masked is None:
        return value if masked is content else None
    return _HEX + masked.hex().encode()


def rewrite_binary(value: bytes, text: Rewrite) -> bytes | None:
    """A bytea's bytes."""
    return text(value) if is_text(value) else value
