"""What `ostiary recordings replay` and `export` have in common: which channel, and where it goes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from gateway.cli.options import duration
from gateway.cli.output import Failed, say, when
from gateway.cli.playing import Quit, Screen, Stopped, play
from gateway.errors import RecordingFailed
from gateway.recording.channels import Channel, Overview, moments, overview
from gateway.recording.playback import Playback

LINES: Final = 64 * 1024
"""Bytes of lines that are written together."""


def to_play(path: Path) -> Overview:
    """Raises RecordingFailed where there can be nothing to play, RecordingDamaged where that is why."""
    session = overview(path)
    if session.protocol != "ssh":
        raise RecordingFailed(
            f"{session.session} is a session of protocol {session.protocol}: there is nothing to play",
            hint="ostiary recordings show prints what was asked and decided, ostiary recordings export all of it",
        )
    if not session.shown:
        if session.damage is not None:
            raise session.damage
        raise RecordingFailed(
            f"{session.session} has no channel that showed anything: there is nothing to play",
            hint="ostiary recordings show prints what was asked and decided, also about files",
        )
    return session


def chosen(session: Overview, number: int | None, *, several: bool) -> tuple[Channel, ...]:
    """The channel of that number, or all that can be played, where that is one or ``several`` may be."""
    if number is not None:
        for channel in session.channels:
            if channel.number == number:
                if not channel.shown:
                    raise RecordingFailed(
                        f"channel {number} showed nothing: there is nothing to play\n{_listed(session)}",
                        hint="ostiary recordings show prints what was asked and decided, also about files",
                    )
                return (channel,)
        raise RecordingFailed(f"there is no channel {number}\n{_listed(session)}", hint="name another channel")
    if len(session.shown) > 1 and not several:
        raise RecordingFailed(
            f"{len(session.shown)} channels can be played\n{_listed(session)}",
            hint="choose with --channel; export --output FILE writes one file each",
        )
    return session.shown


def _listed(session: Overview) -> str:
    lines = []
    for channel in session.shown:
        columns, rows = channel.size
        terminal = f"terminal {channel.terminal} {columns}x{rows}" if channel.terminal is not None else "no terminal"
        lines.append(
            f"  {channel.number}: {when(channel.started)}  {terminal}  {channel.request} {channel.text}".rstrip()
        )
    return "\n".join(lines)


def seconds_from(start: str | None, channel: Channel) -> float:
    """What --from means: seconds since the channel's beginning."""
    if start is None:
        return 0.0
    context = click.get_current_context()
    parameter = next(one for one in context.command.params if one.name == "start")
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        return duration(context, parameter, start)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - channel.started)


def write(lines: Iterable[bytes], output: Path | None) -> None:
    """To standard output, or to a new file, which is evidence: nobody else may read it."""
    if output is None:
        for line in lines:
            sys.stdout.buffer.write(line if line.endswith(b"\n") else line + b"\n")
        sys.stdout.buffer.flush()
        return
    try:
        fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise RecordingFailed(f"{output}: exists already", hint="name a new file") from None
    except OSError as error:
        raise RecordingFailed(f"{output}: {error.strerror or error}") from error
    try:
        with os.fdopen(fd, "wb", buffering=LINES) as file:
            for line in lines:
                file.write(line if line.endswith(b"\n") else line + b"\n")
    except OSError as error:
        raise RecordingFailed(f"{output}: {error.strerror or error}") from error


def replayed(
    path: Path,
    channel: Channel,
    *,
    speed: float,
    idle_limit: float | None,
    start: float,
    search: str,
    wait: bool,
) -> int:
    """Play it; the command's exit status."""
    playback = Playback(moments(path, channel), size=channel.size, speed=speed, idle_limit=idle_limit, start=start)
    playback.search(search)
    if wait and sys.stdout.isatty():
        status = _watched(playback, channel)
    else:
        status = _poured(playback, wait=wait)
    if playback.searches and status == 0:
        raise Failed(RecordingFailed(f"{playback.searches!r} is not shown"))
    return status


def _watched(playback: Playback, channel: Channel) -> int:
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    note = ""
    try:
        with Screen(sys.stdout.fileno(), keys, encoding=sys.stdout.encoding) as screen:
            columns, rows = channel.size
            if channel.terminal is not None and (columns > screen.columns or rows > screen.rows):
                note = f"it was recorded at {columns}x{rows}, larger than this terminal: parts may be out of place"
            play(playback, screen)
    except Quit:
        return 0
    except Stopped as stopped:
        return 128 + stopped.number
    finally:
        if note:
            say(note)
    return 0


def _poured(playback: Playback, *, wait: bool) -> int:
    """Without keys, and without a screen of its own. ``wait``: only where it is no terminal."""
    if sys.stdout.isatty():
        try:
            with Screen(sys.stdout.fileno(), None, encoding=sys.stdout.encoding) as screen:
                screen.on_stop = playback.filter.restored
                for text in _all(playback, None):
                    screen.draw(text)
        except Quit:
            return 0
        except Stopped as stopped:
            return 128 + stopped.number
        return 0
    output = sys.stdout.buffer
    for text in _all(playback, time.sleep if wait else None):
        output.write(text.encode())
        if wait:
            output.flush()
    output.flush()
    return 0


def _all(playback: Playback, sleep: Callable[[float], object] | None) -> Iterator[str]:
    while (seconds := playback.wait()) is not None:
        if sleep is not None:
            sleep(seconds)
        yield playback.take().text
