"""Structured logs of `ostiary serve`: one event per line on standard error, whoever wrote its text.

console  for people, with colours on a terminal
json     one JSON object per line
journal  as json, without the time and with the priority in front that journald reads (sd-daemon(3), ``<4>``)

What callers and targets wrote is data in every format: control characters are escaped, so that no line can pass for
another one and no terminal obeys it. Twisted's and asyncio's own complaints come out the same way.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import Processor
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogBeginner
from zope.interface import provider

from gateway.audit.ocsf import encode
from gateway.recording.export import printable

Format = Literal["auto", "console", "json", "journal"]
FORMATS: Final[tuple[Format, ...]] = ("auto", "console", "json", "journal")

PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog(3)."""

Fields = MutableMapping[str, Any]


def configure_logs(form: Format, stream: TextIO = sys.stderr) -> None:
    """Set up structlog, and lead Twisted's and Python's own logs into it."""
    chosen = _chosen(stream) if form == "auto" else form
    structlog.configure(
        processors=_processors(chosen, colours=chosen == "console" and stream.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    globalLogBeginner.beginLoggingTo([_observe_twisted], redirectStandardIO=False, discardBuffer=True)
    logging.basicConfig(handlers=[_FromLogging()], level=logging.WARNING, force=True)


def _chosen(stream: TextIO) -> Format:
    if stream.isatty():
        return "console"
    # systemd sets it to the device and inode of the stream that goes to the journal (systemd.exec(5)).
    status = os.fstat(stream.fileno())
    return "journal" if os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}" else "json"


def _processors(form: Format, *, colours: bool) -> list[Processor]:
    common: list[Processor] = [structlog.processors.add_log_level, structlog.processors.format_exc_info]
    if form == "console":
        stamp = structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=True)
        return [*common, stamp, _escape, structlog.dev.ConsoleRenderer(colors=colours)]
    if form == "json":
        return [*common, structlog.processors.TimeStamper("iso", utc=True), _json]
    return [*common, _journal]


def _escape(_logger: object, _method: str, fields: Fields) -> Fields:
    """For the console, which shows text as it is; a stack trace keeps its lines."""
    return {key: _shown(key, value) for key, value in fields.items()}


def _shown(key: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if key == "exception":
        return "\n".join(printable(line) for line in value.split("\n"))
    return printable(value)


def _json(_logger: object, _method: str, fields: Fields) -> str:
    ordered = {key: fields.pop(key) for key in ("timestamp", "level", "event") if key in fields}
    return encode({key: _plain(value) for key, value in {**ordered, **fields}.items()}).decode()


def _journal(logger: object, method: str, fields: Fields) -> str:
    priority = PRIORITIES.get(str(fields.get("level")), 6)
    return f"<{priority}>{_json(logger, method, fields)}"


def _plain(value: object) -> object:
    """What JSON has a form for; everything else as its repr, which is one line."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return repr(value)


@provider(ILogObserver)
def _observe_twisted(event: Mapping[str, Any]) -> None:
    """Failures that nobody looked at, and whatever Twisted calls an error."""
    level = event.get("log_level")
    if level is None or level < LogLevel.warn:
        return
    failure = event.get("log_failure")
    structlog.get_logger("twisted").error(
        formatEvent(dict(event)) or "unhandled error", exc_info=None if failure is None else failure.value
    )


class _FromLogging(logging.Handler):
    """asyncio's and other libraries' complaints."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        told = log.error if record.levelno >= logging.ERROR else log.warning
        error = record.exc_info[1] if record.exc_info else None
        told(record.getMessage(), source=record.name, exc_info=error)
