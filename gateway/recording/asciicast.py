"""One channel of an SSH session as an asciicast, for asciinema and whatever else plays it.

Version 2: https://docs.asciinema.org/manual/asciicast/v2, version 3: https://docs.asciinema.org/manual/asciicast/v3.
Markers are decisions, signals and the like. All is ASCII, so that the file itself does nothing to a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from gateway.recording.channels import Channel, Overview, moments
from gateway.recording.terminal import TerminalFilter

Version = Literal[2, 3]

CODES: Final = {"output": "o", "input": "i", "resize": "r", "mark": "m", "exit": "x"}


def asciicast(
    path: Path, session: Overview, channel: Channel, version: Version, *, filtered: bool = True
) -> Iterator[bytes]:
    """Lines of the file.

    filtered  only what draws (`TerminalFilter`), so that players that write to a terminal are no danger to it;
              else all that the caller's terminal got

    Raises RecordingFailed, and RecordingDamaged behind the last good line.
    """
    yield from _header(session, channel, version)
    safe = TerminalFilter()
    before = 0.0
    for moment in moments(path, channel):
        if moment.kind == "exit" and version == 2:
            continue
        text = safe.feed(moment.text) if filtered and moment.kind == "output" else moment.text
        if moment.kind in ("output", "input") and not text:
            continue
        # Microseconds of the whole, so that rounded intervals don't add up to another time.
        time = round(moment.time, 6)
        stated = time if version == 2 else round(time - before, 6)
        before = time
        yield _line([stated, CODES[moment.kind], text])


def _header(session: Overview, channel: Channel, version: Version) -> Iterator[bytes]:
    columns, rows = channel.size
    title = f"{session.principal} as {session.login} on {session.target}"
    header: dict[str, object] = {"version": version}
    if version == 2:
        header |= {"width": columns, "height": rows}
        if channel.terminal:
            header["env"] = {"TERM": channel.terminal}
    else:
        header["term"] = {"cols": columns, "rows": rows} | ({"type": channel.terminal} if channel.terminal else {})
    header |= {"timestamp": int(channel.started), "title": title}
    if channel.request == "exec" and channel.text:
        header["command"] = channel.text
    yield _line(header)
    if version == 3:
        terminal = "without a terminal: what was sent within 100 ms has one time" if channel.terminal is None else ""
        for comment in (f"session {session.session}, channel {channel.number}: {channel.request}", terminal):
            if comment:
                yield f"# {comment}\n".encode("ascii", "backslashreplace")


def _line(value: object) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"
