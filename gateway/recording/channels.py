"""What the channels of an SSH session showed: which there were, and one of them moment by moment.

Two passes over a recording, both in bounded memory: `overview`, then `moments`. What can't be read is only noted
by the first one, so that all in front of it can be looked at; the second one raises.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import orjson

from gateway.errors import RecordingFailed
from gateway.recording.export import open_existing, printable
from gateway.recording.format import RecordingDamaged
from gateway.recording.reader import Blob, Event, Recording, read_blob

MAX_DETAIL: Final = 8 * 1024 * 1024
"""Bytes of an event's line that lies in a blob: those of channels are below 1 MiB, as asyncssh cuts data in packets."""

MAX_SIDE: Final = 2000
"""Columns or rows: a caller may say 2^31. Players take memory for columns times rows; the largest screens show 700."""

USUAL_SIZE: Final = (80, 24)
"""Where there is no terminal, or it has no size (RFC 4254 section 6.2: zeroes mean nothing)."""

RUNS: Final = ("shell", "exec", "subsystem", "sftp", "scp")
"""What a channel is for; variables, agents and files are asked for beside it."""

MAX_WORDS: Final = 200
"""Characters of a command, or of what is said about a decision."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that was asked for.

    request   one of `RUNS`; "" for a forward, or where the recording doesn't say
    text      the command, printable and cut
    terminal  TERM; None: it has no terminal
    size      columns and rows at its beginning
    started   unix seconds
    shown     its caller got output
    """

    number: int
    request: str
    text: str
    started: float
    terminal: str | None = None
    size: tuple[int, int] = USUAL_SIZE
    shown: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    """A session, as its recording claims it was; texts are printable."""

    session: str
    protocol: str
    principal: str
    target: str
    login: str
    started: float
    channels: tuple[Channel, ...]
    damage: RecordingDamaged | None = None
    """Why there may be more that can't be read."""

    @property
    def shown(self) -> tuple[Channel, ...]:
        """The channels that can be played."""
        return tuple(channel for channel in self.channels if channel.shown)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something in a channel's time.

    time  seconds since the channel was asked for; never decreases
    kind  output; input (what was typed and echoed); resize; mark (a decision, a signal, ...: ``text`` is printable);
          exit (``text`` is the status in decimal)
    size  columns and rows, of a resize
    """

    time: float
    kind: Literal["output", "input", "resize", "mark", "exit"]
    text: str
    size: tuple[int, int] = USUAL_SIZE


def overview(path: Path) -> Overview:
    """Raises RecordingFailed when there is no recording, RecordingDamaged when not even its header can be read."""
    file, size = open_existing(path)
    channels: dict[int, Channel] = {}
    damage: RecordingDamaged | None = None
    with file:
        events = iter(Recording(file, size))
        opened = next(events, None)
        if opened is None:
            raise RecordingFailed(f"{path}: ends before it says of which session it is")
        try:
            for event in events:
                _note(channels, event, _whole(path, event))
        except RecordingDamaged as error:
            damage = error
    fields = opened.fields
    principal = fields.get("principal")
    return Overview(
        session=_text(fields, "session"),
        protocol=_text(fields, "protocol"),
        principal=_text(principal, "name") if isinstance(principal, Mapping) else "",
        target=_text(fields, "target"),
        login=_text(fields, "role"),
        started=opened.time,
        channels=tuple(channels.values()),
        damage=damage,
    )


def _note(channels: dict[int, Channel], event: Event, fields: Mapping[str, object]) -> None:
    number = _channel(fields)
    if number is None:
        return
    known = channels.get(number) or Channel(number, "", "", event.time)
    if event.kind == "operation" and fields.get("request") in RUNS:
        known = replace(known, request=_text(fields, "request"), text=_text(fields, "text"))
    elif event.kind == "channel" and isinstance(fields.get("terminal"), str):
        known = replace(known, terminal=_text(fields, "terminal"), size=_size(fields))
    elif event.kind == "output":
        known = replace(known, shown=True)
    channels[number] = known


def moments(path: Path, channel: Channel) -> Iterator[Moment]:
    """Raises RecordingFailed, and RecordingDamaged behind the last good moment."""
    file, size = open_existing(path)
    with file:
        telling = _Telling(path, channel)
        for event in Recording(file, size):
            yield from telling.told(event)
        yield from telling.rest()


class _Telling:
    """One channel's events as moments."""

    def __init__(self, path: Path, channel: Channel) -> None:
        self._path = path
        self._channel = channel
        self._time: float | None = None
        # An output's character may be cut by its end, and another output stand in between.
        self._decoders = {name: getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}

    def told(self, event: Event) -> Iterator[Moment]:
        fields = _whole(self._path, event)
        number = _channel(fields)
        if number != self._channel.number and (number is not None or self._time is None):
            return
        self._time = time = max(self._time or 0.0, event.time - self._channel.started)
        match event.kind:
            case "output" if number is not None:
                yield from self._output(time, event, fields)
            case "input":
                for data in _data(self._path, event.blobs, fields):
                    yield Moment(time, "input", data.decode("utf-8", "replace"))
            case "resize":
                columns, rows = size = _size(fields)
                yield Moment(time, "resize", f"{columns}x{rows}", size)
            case "exit":
                yield from self.rest()
                yield from _exit(time, _text(fields, "status"))
            case _ if words := _mark(event, fields, number):
                yield Moment(time, "mark", words)

    def rest(self) -> Iterator[Moment]:
        """What remains of characters that never became whole."""
        for decoder in self._decoders.values():
            if text := decoder.decode(b"", final=True):
                yield Moment(self._time or 0.0, "output", text)

    def _output(self, time: float, event: Event, fields: Mapping[str, object]) -> Iterator[Moment]:
        decoder = self._decoders["stderr" if fields.get("stream") == "stderr" else "stdout"]
        for data in _data(self._path, event.blobs, fields):
            text = decoder.decode(data)
            if self._channel.terminal is None:
                # As the caller's own terminal did with it (POSIX 11.1.3, ONLCR).
                text = text.replace("\n", "\r\n")
            if text:
                yield Moment(time, "output", text)


def _exit(time: float, status: str) -> Iterator[Moment]:
    how, _, number = status.partition(" ")
    if how == "exit" and number.isdecimal():
        yield Moment(time, "exit", number)
    else:
        yield Moment(time, "mark", status or "closed")


def _mark(event: Event, fields: Mapping[str, object], channel: int | None) -> str:
    """What is said beside the output; "": nothing."""
    match event.kind:
        case "operation":
            words = f"{_text(fields, 'outcome')}: {_text(fields, 'text')}"
            why = _text(fields, "message")
            return f"{words} ({why})" if why else words
        case "approval":
            votes = fields.get("votes")
            said = "".join(f", {printable(str(vote))}" for vote in votes) if isinstance(votes, list) else ""
            return f"approval {_text(fields, 'state')}{said}"[: MAX_WORDS * 2]
        case "signal":
            return f"signal {_text(fields, 'signal')}"
        case "break":
            return "break"
        case "file":
            return f"{_text(fields, 'action')}: {_text(fields, 'status')}"
    if "detail" in fields and channel is None:
        return f"an event of {event.kind} is too large to be played"
    return ""


def _whole(path: Path, event: Event) -> Mapping[str, object]:
    """The event's fields, also where its whole line lies in a blob."""
    detail = event.fields.get("detail")
    if not isinstance(detail, Mapping):
        return event.fields
    blob = next((blob for blob in event.blobs if blob.index == detail.get("blob")), None)
    if blob is None or blob.size > MAX_DETAIL:
        return event.fields
    try:
        fields = orjson.loads(b"".join(_read(path, blob)))
    except orjson.JSONDecodeError:
        return event.fields
    return fields if isinstance(fields, dict) else event.fields


def _data(path: Path, blobs: tuple[Blob, ...], fields: Mapping[str, object]) -> Iterator[bytes]:
    """The bytes of an output or input, at most 1 MiB at a time."""
    data = fields.get("data")
    if isinstance(data, str):
        yield data.encode()
    elif isinstance(data, Mapping) and isinstance(coded := data.get("base64"), str):
        try:
            yield b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            return
    elif isinstance(data, Mapping):
        for blob in blobs:
            if blob.index == data.get("blob"):
                yield from _read(path, blob)


def _read(path: Path, blob: Blob) -> Iterator[bytes]:
    file, _ = open_existing(path)
    with file:
        yield from read_blob(file, blob)


def _channel(fields: Mapping[str, object]) -> int | None:
    number = fields.get("channel")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _size(fields: Mapping[str, object]) -> tuple[int, int]:
    def side(name: str, usual: int) -> int:
        value = fields.get(name)
        return min(value, MAX_SIDE) if isinstance(value, int) and value > 0 else usual

    return side("columns", USUAL_SIZE[0]), side("rows", USUAL_SIZE[1])


def _text(fields: Mapping[str, object], name: str) -> str:
    """A field for people, on one line."""
    value = fields.get(name)
    if not isinstance(value, str):
        return ""
    text = printable(value[: MAX_WORDS + 1])
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 3]}..."
