"""xml: texts and attributes (XML 1.0, sections 2.3 to 2.8, 3.1 and 4.1), everything around them as it is written.

Nothing is expanded: a document type of its own can define entities, with any text in them, and is not taken apart.
"""

from __future__ import annotations

import re

from gateway.masking.cells.parsing import Malformed, Pieces, Rewrite

_ATTRIBUTE = rb"""\s++[^\s"'<>/=]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+')"""
_TOKEN = re.compile(
    rb"""
      (?P<text>[^<]++)
    | <!--(?P<comment>(?:[^-]++|-(?!-))*)-->
    | <!\[CDATA\[(?P<cdata>(?:[^\]]++|\](?!\]>))*)\]\]>
    | <\?(?P<instruction>(?:[^?]++|\?(?!>))*)\?>
    | <!DOCTYPE(?P<doctype>[^\[<>]*+)>
    | </[^\s"'<>/=]++\s*+>
    | <[^\s"'<>/=!?]++(?P<attributes>(?:"""
    + _ATTRIBUTE
    + rb""")*)\s*+/?>
    """,
    re.VERBOSE | re.DOTALL,
)
_VALUE = re.compile(rb"""=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_REFERENCE = re.compile(rb"&(?:(lt|gt|amp|quot|apos)|#([0-9]{1,7})|#x([0-9a-fA-F]{1,6}));")
_NAMED = {b"lt": b"<", b"gt": b">", b"amp": b"&", b"quot": b'"', b"apos": b"'"}
_SPECIAL = re.compile(rb"[<>&\"']")
_REFERENCES = {character: b"&" + name + b";" for name, character in _NAMED.items()}
_VERBATIM = {"comment": b"", "cdata": b"****", "instruction": None, "doctype": None}
"""What a section becomes in which something is found: what a method writes could end it early."""


def rewrite(value: bytes, text: Rewrite) -> bytes:
    """XML content or a document. Raises Malformed: not XML as it is understood here."""
    pieces = Pieces(value)
    pos = 0
    while pos < len(value):
        token = _TOKEN.match(value, pos)
        if token is None:
            raise Malformed("not XML")
        pos = token.end()
        if token["text"] is not None:
            _reference(pieces, token.start(), pos, token["text"], text)
        elif token["attributes"]:
            offset = token.start("attributes")
            for attribute in _VALUE.finditer(token["attributes"]):
                group = 1 if attribute[1] is not None else 2
                start, end = attribute.span(group)
                _reference(pieces, offset + start, offset + end, attribute[group], text)
        else:
            for name, instead in _VERBATIM.items():
                content = token[name]
                if content and text(content) is not content:
                    if instead is None:
                        raise Malformed("something to mask stands where nothing else can")
                    pieces.replace(*token.span(name), instead)
    return pieces.whole()


def _reference(pieces: Pieces, start: int, end: int, content: bytes, text: Rewrite) -> None:
    """A text or an attribute, in which characters may be written as references."""
    shown = _REFERENCE.sub(_character, content) if b"&" in content else content
    masked = text(shown)
    if masked is not shown:
        piece = b"" if masked is None else _SPECIAL.sub(lambda special: _REFERENCES[special[0]], masked)
        pieces.replace(start, end, piece)


def _character(reference: re.Match[bytes]) -> bytes:
    if reference[1] is not None:
        return _NAMED[reference[1]]
    code = int(reference[2]) if reference[2] is not None else int(reference[3], 16)
    try:
        return chr(code).encode()
    except (ValueError, UnicodeEncodeError):  # no such character
        return reference[0]
