"""What is searched for in the values of one principal on one target, and what becomes of what is found."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.detectors import OwnDetector
from gateway.masking.detectors import Finder, finder
from gateway.masking.methods import Keyring, Maker, text_maker
from gateway.masking.spans import masked_spans
from gateway.model import Method


@dataclass(frozen=True, slots=True)
class Detection:
    """``methods``: detector -> method, one for each detector of ``finder``. Those whose method is clear are not in it:
    nobody needs to look for what is shown anyway."""

    finder: Finder
    methods: Mapping[str, Method]

    def mask_text(self, data: bytes, keyring: Keyring, hint: str = "") -> bytes | None:
        """``data`` with every value masked; the same object when there is none.

        ``hint`` is the column's name. None when a value's method is `null`: half a text can't be NULL, so the whole
        becomes it. Raises what the keyring's vault raises: nothing may then be sent on.
        """
        matches = self.finder.find(data, hint=hint)
        if not matches:
            return data
        makers: dict[Method, Maker] = {}
        pieces: list[bytes] = []
        position = 0
        for start, end, method in masked_spans(matches, self.methods):
            maker = makers.get(method)
            if maker is None:
                maker = makers[method] = text_maker(method, keyring)
            shown = maker(data[start:end])
            if shown is None:
                return None
            pieces.append(data[position:start])
            pieces.append(shown)
            position = end
        pieces.append(data[position:])
        return b"".join(pieces)


def detection(methods: Mapping[str, Method], own: Collection[OwnDetector]) -> Detection | None:
    """The detection for ``methods`` (detector -> method, none of them clear); None when there is nothing to look for.

    ``own`` are the operator's own detectors; only those among them that ``methods`` names are used.
    """
    if not methods:
        return None
    wanted = [detector for detector in own if detector.name in methods]
    return Detection(finder(methods.keys() - {detector.name for detector in wanted}, wanted), methods)
