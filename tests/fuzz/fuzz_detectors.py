"""Fuzzes the detectors with any bytes: `make fuzz`, or this file with a corpus directory.

The first byte says which detectors are looked for, the second whether the column has a telling name. Nothing is raised;
matches lie within the text, in order, and none crosses a separator; what the gate calls clean has none; and between
separators the same is found as alone.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["gateway.masking.detectors", "gateway.masking.spans"]):
    from gateway.masking.detectors import DETECTORS, SEPARATOR, finder
    from gateway.masking.spans import masked_spans
    from gateway.model import Method

REDACT = dict.fromkeys(DETECTORS, Method("redact"))
SETS = (tuple(DETECTORS), *((name,) for name in DETECTORS))
HINTS = ("", "ssn", "card_number", "phoneNumber", "iban")


def one_input(data: bytes) -> None:
    """Two bytes of choice, then the text."""
    if len(data) < 3:
        return
    search = finder(SETS[data[0] % len(SETS)])
    hint, text = HINTS[data[1] % len(HINTS)], data[2:]
    found = search.find(text, hint=hint)
    assert found == sorted(found)
    if found:
        assert search.may_match(text)
    for match in found:
        assert 0 <= match.start < match.end <= len(text)
        assert SEPARATOR not in text[match.start : match.end]
        assert match.detector in DETECTORS
    end = 0
    for start, stop, _ in masked_spans(found, REDACT):
        assert end <= start < stop
        end = stop
    alone = search.find(SEPARATOR + text + SEPARATOR, hint=hint)
    assert {(match.start - 1, match.end - 1, match.detector) for match in alone} == set(found)


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
