"""Single values of a policy file: text -> value.

As in `gateway.config.units`, each function raises ``ValueError("what is wrong; the mend")``.
"""

from __future__ import annotations

import datetime
import difflib
import ipaddress
import re
from zoneinfo import ZoneInfo

import re2

from gateway.config.units import parse_duration
from gateway.json_paths import Path, parse_path
from gateway.policy.commands import CommandPattern
from gateway.policy.conditions import Network
from gateway.policy.globs import is_glob
from gateway.policy.paths import PathGlob
from gateway.policy.requests import parse_destination as destination_glob
from gateway.ssh_requests import REQUESTS
from gateway.verbs import SETS, VERBS

MAX_TEXT = 512
"""Characters of a name, glob, message or expression. SPIFFE names, the longest in use, stay below 200; an expression
that needs more is better written as several."""

MAX_WAIT = 86_400.0
"""Seconds that a caller is held at most: it keeps a connection here and one at the target, with its transaction and the
locks in it. A day is the longest that an operator could want to look at."""

MAX_WITHIN = 31 * 86_400.0
"""Seconds that a grant lasts at most. What is to be allowed for more than a month is for an allow entry with `until`,
which everybody who reads the policy sees."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])", re.ASCII)
_MIDNIGHT = 24 * 60
_VARIABLE = re.compile(r"[A-Za-z_*?][A-Za-z0-9_*?]{0,254}", re.ASCII)
_DETECTOR = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)

_RE2 = re2.Options()
_RE2.log_errors = False


def parse_text(text: str) -> str:
    """A name or a message: printable, without white space around it."""
    if not text or len(text) > MAX_TEXT or not text.isprintable() or text != text.strip():
        raise ValueError(f"is empty or not plain text; write 1 to {MAX_TEXT} printable characters, no space around")
    return text


def parse_glob(text: str) -> str:
    """A name, in which ``*`` and ``?`` are wildcards."""
    return parse_text(text)


def parse_relation(text: str) -> str:
    """A glob for ``schema.relation``. Without a schema it would be a guess which relation is meant."""
    if text == "*":
        return text
    if not all(parse_text(text).partition(".")):
        raise ValueError("has no schema; write schema.relation, such as public.customers or *.customers")
    return text


def parse_column(text: str) -> str:
    """A glob for ``schema.table.column``; each of the three parts is a glob of its own."""
    parts = parse_text(text).split(".")
    if len(parts) != 3 or not all(parts):
        raise ValueError("is not schema.table.column; write three parts, such as public.customers.email or crm.*.email")
    if "[" in text:
        # Elsewhere in Ostiary a [ is a character, to whoever binds columns it may begin a class: a label must not miss.
        raise ValueError("has a [; write ? for the characters that are no letters, digits or underscores")
    return text


def parse_json_path(text: str) -> Path:
    """A place in JSON documents."""
    return parse_path(parse_text(text))


def parse_function(text: str) -> str:
    """A glob for a function, with or without schema; what a signature would add is not compared."""
    if "(" in parse_text(text):
        raise ValueError("has parentheses; write the name alone: all functions of a name are meant")
    return text.lower()


def parse_verb(text: str) -> frozenset[str]:
    """A verb, or a set's name, as verbs."""
    if text in SETS:
        return SETS[text]
    if text in VERBS:
        return frozenset({text})
    if is_glob(text):
        raise ValueError("is a glob; name verbs or sets, or leave `verbs` out to say nothing about them")
    close = difflib.get_close_matches(text[:64].lower().replace(" ", "_"), [*VERBS, *SETS], n=1, cutoff=0.5)
    known = f"the sets are {', '.join(SETS)}; the verbs are listed in docs/policy.md"
    raise ValueError(f"is not a SQL verb; {f'did you mean `{close[0]}`?' if close else known}")


def parse_request(text: str) -> str:
    """What can be asked for over SSH."""
    if text in REQUESTS:
        return text
    known = f"the requests are {', '.join(REQUESTS)}"
    if text == "file":
        raise ValueError("is not a request; write sftp or scp, and the paths under `files`")
    close = difflib.get_close_matches(text[:64].lower().replace("-", "_"), REQUESTS, n=1, cutoff=0.5)
    raise ValueError(f"is not an SSH request; {f'did you mean `{close[0]}`?' if close else known}")


def parse_command(text: str) -> str:
    """A pattern of commands."""
    CommandPattern.of(parse_text(text))
    return text


def parse_forced(text: str) -> str:
    """A command that runs whatever is asked for; one line, as the login's shell gets it."""
    if text == "none":
        raise ValueError("is how sshd says that nothing is forced; leave the key out")
    if text == "internal-sftp":
        raise ValueError("is no command but a part of sshd; write `requests: [sftp]`, which allows nothing else")
    return parse_text(text)


def parse_path_glob(text: str) -> str:
    """A glob for absolute paths."""
    PathGlob.of(parse_text(text))
    return text


def parse_destination(text: str) -> str:
    """A glob for what a connection is forwarded to."""
    return destination_glob(parse_text(text))


def parse_variable(text: str) -> str:
    """A glob for the name of an environment variable."""
    if _VARIABLE.fullmatch(text) is None:
        raise ValueError("is not a variable's name; write letters, digits and _, such as GIT_PROTOCOL or APP_*")
    return text


def parse_network(text: str) -> Network:
    """``10.0.0.0/8``, ``2001:db8::/32`` or a single address."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        mended = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("is not a network; write one such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7") from None
    raise ValueError(f"has bits behind its prefix; write {mended}, or a longer prefix if less is meant")


def parse_days(text: str) -> frozenset[int]:
    """``mon`` or ``mon-fri`` (``fri-mon`` goes over the weekend); 0 is Monday."""
    first, dash, last = text.lower().partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise ValueError("is not a weekday; write mon, tue, wed, thu, fri, sat, sun, or a span such as mon-fri")
    start, end = _DAYS.index(first), _DAYS.index(last if dash else first)
    return frozenset((start + step) % 7 for step in range((end - start) % 7 + 1))


def parse_span(text: str) -> tuple[int, int]:
    """``08:00-18:00``, ``22:00-06:00`` (over midnight) -> minutes of the day."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError("is not a span of hours; write one such as 08:00-18:00 or 22:00-06:00")
    hour, minute, end_hour, end_minute = map(int, match.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if start >= _MIDNIGHT or end > _MIDNIGHT:
        raise ValueError("goes beyond the day; hours are 00:00 to 24:00")
    if start == end:
        raise ValueError("is empty; for the whole day write 00:00-24:00 or leave `hours` out")
    return start, end


def parse_zone(text: str) -> ZoneInfo:
    """A name of the IANA time zone database."""
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        raise ValueError("is not a time zone; write a name such as UTC or Europe/Zurich") from None


def parse_moment(text: str) -> datetime.datetime:
    """``2026-12-31T18:00:00+01:00``: RFC 3339, always with its zone."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("is not a moment; write date, time and zone, such as 2026-12-31T18:00:00+01:00")
    return moment


def parse_wait(text: str) -> float:
    """How long a caller is held, in seconds."""
    seconds = parse_duration(text)
    if seconds > MAX_WAIT:
        raise ValueError("is longer than a caller is held; write at most 24h, and have it ask again")
    return seconds


def parse_within(text: str) -> float:
    """How long a grant lasts, in seconds."""
    seconds = parse_duration(text)
    if seconds > MAX_WITHIN:
        raise ValueError("is longer than a grant lasts; write at most 31d, or an allow entry with `until`")
    return seconds


def parse_detector(text: str) -> str:
    """A detector's name."""
    if _DETECTOR.fullmatch(text) is None:
        raise ValueError("is not a detector's name; write small letters, digits and _, such as staff_id")
    return text


def parse_expression(text: str) -> re2._Regexp:
    """A regular expression in RE2's syntax."""
    if not text or len(text) > MAX_TEXT:
        raise ValueError(f"is empty or too long; write 1 to {MAX_TEXT} characters")
    try:
        return re2.compile(text, options=_RE2)
    except re2.error as error:
        said = str(error.args[0], "utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"is not a regular expression ({said.partition(':')[0]}); RE2's syntax is meant") from None


def parse_pattern(text: str) -> str:
    """A regular expression in RE2's syntax, as it is written."""
    parse_expression(text)
    return text
