"""xml: texts and attributes (XML 1.0, sections 2.3 to 2.8, 3.1 and 4.1), everything around them as it is written.

Nothing is expanded: a document type of its own can define entities, with any text in them, and is not taken apart.
"""

from __future__ import annotations

import re

from gateway.masking.cells.parsing import Malformed, Pieces, Rewrite
from gateway.masking.substitution import substituted

_TEXT = re.compile(rb"[^<]++")
_DOCTYPE = re.compile(rb"<!DOCTYPE([^\[<>]*+)>")
_END_TAG = re.compile(rb"""</[^\s"'<>/=]++\s*+>""")
_START_TAG = re.compile(rb"""<[^\s"'<>/=!?]++""")
_ATTRIBUTE = re.compile(rb"""\s++[^\s"'<>/=]++\s*+=\s*+(?:"([^"<]*+)"|'([^'<]*+)')""")
_TAG_ENDS = re.compile(rb"\s*+/?>")
_SECTIONS = ((b"<!--", b"-->", b""), (b"<![CDATA[", b"]]>", b"****"), (b"<?", b"?>", None))
"""Begin, end, and what it becomes when something is found in it: what a method writes could end it early."""

_REFERENCE = re.compile(rb"&(?:(lt|gt|amp|quot|apos)|#([0-9]{1,7})|#x([0-9a-fA-F]{1,6}));")
_NAMED = {b"lt": b"<", b"gt": b">", b"amp": b"&", b"quot": b'"', b"apos": b"'"}
_SPECIAL = re.compile(rb"[<>&\"']")
_REFERENCES = {character: b"&" + name + b";" for name, character in _NAMED.items()}


def rewrite(value: bytes, text: Rewrite) -> bytes:
    """XML content or a document. Raises Malformed: not XML as it is understood here."""
    pieces = Pieces(value)
    pos = 0
    while pos < len(value):
        if (token := _TEXT.match(value, pos)) is not None:
            _reference(pieces, pos, token.end(), token[0], text)
            pos = token.end()
        elif (token := _END_TAG.match(value, pos)) is not None:
            pos = token.end()
        elif (token := _START_TAG.match(value, pos)) is not None:
            pos = _attributes(pieces, value, token.end(), text)
        elif (token := _DOCTYPE.match(value, pos)) is not None:
            _verbatim(pieces, *token.span(1), token[1], text, None)
            pos = token.end()
        else:
            pos = _section(pieces, value, pos, text)
    return pieces.whole()


def _attributes(pieces: Pieces, value: bytes, pos: int, text: Rewrite) -> int:
    """The rest of a start tag; gives where it ends."""
    while (attribute := _ATTRIBUTE.match(value, pos)) is not None:
        group = 1 if attribute[1] is not None else 2
        _reference(pieces, *attribute.span(group), attribute[group], text)
        pos = attribute.end()
    end = _TAG_ENDS.match(value, pos)
    if end is None:
        raise Malformed("not XML")
    return end.end()


def _section(pieces: Pieces, value: bytes, pos: int, text: Rewrite) -> int:
    """A comment, CDATA or processing instruction; gives where it ends."""
    for begin, end, instead in _SECTIONS:
        if value.startswith(begin, pos):
            start = pos + len(begin)
            stop = value.find(end, start)
            content = value[start:stop]
            if stop < 0 or (begin == b"<!--" and (b"--" in content or content.endswith(b"-"))):
                break
            _verbatim(pieces, start, stop, content, text, instead)
            return stop + len(end)
    raise Malformed("not XML")


def _verbatim(pieces: Pieces, start: int, stop: int, content: bytes, text: Rewrite, instead: bytes | None) -> None:
    if content and text(content) is not content:
        if instead is None:
            raise Malformed("something to mask stands where nothing else can")
        pieces.replace(start, stop, instead)


def _reference(pieces: Pieces, start: int, end: int, content: bytes, text: Rewrite) -> None:
    """A text or an attribute, in which characters may be written as references."""
    shown = substituted(_REFERENCE, _character, content) if b"&" in content else content
    masked = text(shown)
    if masked is not shown:
        piece = b"" if masked is None else substituted(_SPECIAL, lambda special: _REFERENCES[special[0]], masked)
        pieces.replace(start, end, piece)


def _character(reference: re.Match[bytes]) -> bytes:
    if reference[1] is not None:
        return _NAMED[reference[1]]
    code = int(reference[2]) if reference[2] is not None else int(reference[3], 16)
    try:
        return chr(code).encode()
    except (ValueError, UnicodeEncodeError):  # no such character
        return reference[0]
