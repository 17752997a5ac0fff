"""`ostiary recordings`: the evidence. Reads files; whoever may read them may use this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli.options import DEFAULT_CONFIG, config_option, duration, json_option

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from gateway.audit.evidence import RecordingEvidence
    from gateway.config import Config
    from gateway.recording import Report
    from gateway.recording.asciicast import Version

FORMATS: Final[dict[str, Version]] = {"asciicast-v2": 2, "asciicast-v3": 3}

SPEEDS: Final = (0.05, 1000.0)
"""As in `gateway.recording.playback`, which takes time to import."""


def _sessions(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Ids of recordings, for the shell's completion: never a complaint."""
    from gateway.config import load
    from gateway.errors import GatewayError
    from gateway.recording.directory import walk

    try:
        directory = load(context.params.get("config_path") or DEFAULT_CONFIG).recording.directory
        return [path.stem for path in walk(directory) if path.stem.startswith(incomplete)]
    except (GatewayError, OSError):
        return []


recording_argument = click.argument("recording", shell_complete=_sessions)

channel_option = click.option(
    "--channel", type=click.IntRange(min=1), help="Which channel of the session; not needed where one can be played."
)


def optional_duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """As `duration`; None where it isn't given."""
    return None if value is None else duration(context, parameter, value)


@click.group()
def recordings() -> None:
    """Recordings of sessions. A RECORDING is a session's id, or a file."""


@recordings.command("list")
@config_option
@json_option
def list_(config_path: Path, as_json: bool) -> None:
    """All recordings, oldest first, as they claim to be; only verify proves it."""
    from gateway.cli.output import say_json, say_table, size, when
    from gateway.config import load
    from gateway.recording import listing

    found = listing(load(config_path).recording.directory)
    if as_json:
        say_json([{**asdict(one), "path": str(one.path)} for one in found])
        return
    say_table(
        (
            "session",
            "state",
            "protocol",
            "principal",
            "target",
            "database",
            "login",
            "from",
            "started",
            "ended",
            "size",
            "events",
        ),
        [
            (
                one.session,
                one.state,
                one.protocol,
                one.principal,
                one.target,
                one.database,
                one.role,
                one.address,
                when(one.started),
                when(one.ended),
                size(one.size),
                one.events,
            )
            for one in found
        ],
    )


@recordings.command()
@recording_argument
@config_option
@json_option
def show(recording: str, config_path: Path, as_json: bool) -> None:
    """One recording as text. What callers wrote, and what they were shown, has a bar in front and is escaped.

    With --json each event is a line; `export` has large values, too.
    """
    from gateway.cli.output import say_json_line
    from gateway.recording import read_events, show

    path = path_of_recording(recording, config_path)
    if as_json:
        for event in read_events(path):
            say_json_line(event)
        return
    for line in show(path):
        click.echo(line)


@recordings.command()
@recording_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(("jsonl", *FORMATS)),
    default="jsonl",
    show_default=True,
    help="jsonl: every event as it was stored (docs/recording-format.md). asciicast: what a channel of an SSH session "
    "showed, for asciinema and other players.",
)
@channel_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file, readable by you alone. Where several channels can be played, one each: NAME-CHANNEL.SUFFIX. "
    "Default: standard output.",
)
@click.option("--unfiltered", is_flag=True, help="asciicast: with what else than drawing was sent to the terminal.")
@config_option
def export(
    recording: str, form: str, channel: int | None, output: Path | None, unfiltered: bool, config_path: Path
) -> None:
    """One recording for other programs: JSON lines, or asciicasts.

    An asciicast has the output of a channel, what was typed and echoed, the terminal's sizes and, as markers, what
    was decided. Output is filtered, so that no escape sequence in it does more than draw where it is played;
    --unfiltered leaves it as the caller's terminal got it: don't play that in a terminal.
    """
    from gateway.cli.recorded import chosen, to_play, write
    from gateway.recording import export as lines
    from gateway.recording.asciicast import asciicast

    path = path_of_recording(recording, config_path)
    if form == "jsonl":
        if channel is not None or unfiltered:
            raise click.UsageError("--channel and --unfiltered are for --format asciicast-v2 and asciicast-v3")
        write(lines(path), output)
        return
    session = to_play(path)
    channels = chosen(session, channel, several=output is not None)
    for one in channels:
        file = output
        if output is not None and len(channels) > 1:
            file = output.with_name(f"{output.stem}-{one.number}{output.suffix}")
        write(asciicast(path, session, one, FORMATS[form], filtered=not unfiltered), file)
        if file is not None:
            click.echo(f"channel {one.number}: {file}", err=True)


@recordings.command()
@recording_argument
@channel_option
@click.option(
    "--speed", type=click.FloatRange(*SPEEDS), default=1.0, show_default=True, help="How many times as fast as it was."
)
@click.option("--idle-limit", callback=optional_duration, help="Let nothing happen for so long at most, such as 2s.")
@click.option(
    "--from",
    "start",
    metavar="TIME",
    help="Draw at once what is before: a time since the channel's beginning (90s, 1h30m), or a time of day in UTC "
    "(2026-11-18T12:00:00).",
)
@click.option("--search", default="", help="Draw all at once until this text is shown, and pause there.")
@click.option("--no-wait", is_flag=True, help="Draw all at once; for pipes, too.")
@config_option
@click.pass_context
def replay(
    context: click.Context,
    recording: str,
    channel: int | None,
    speed: float,
    idle_limit: float | None,
    start: str | None,
    search: str,
    no_wait: bool,
    config_path: Path,
) -> None:
    """Play what the terminal of an SSH session showed.

    Nothing in the recording but what draws reaches your terminal: not its title, clipboard, files, keyboard or mouse.
    Decisions and sizes are said on the last row, where your terminal has more rows than the recorded one had.

    \b
    space        pause
    + -          faster, slower
    . or right   wait no longer for what comes next; while paused: one step
    /            search what comes next
    q            quit
    """
    from gateway.cli.recorded import chosen, replayed, seconds_from, to_play

    path = path_of_recording(recording, config_path)
    session = to_play(path)
    (one,) = chosen(session, channel, several=False)
    status = replayed(
        path,
        one,
        speed=speed,
        idle_limit=idle_limit,
        start=seconds_from(start, one),
        search=search,
        wait=not no_wait,
    )
    context.exit(status)


@recordings.command()
@config_option
@json_option
def key(config_path: Path, as_json: bool) -> None:
    """Print the public key that this node's recordings are verified with; keep a copy elsewhere."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from gateway.cli.output import say_json
    from gateway.config import load
    from gateway.recording.keys import key_id

    public = _own_key(load(config_path))
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    if as_json:
        say_json({"key": key_id(public), "pem": pem})
    else:
        click.echo(pem, nl=False)


@recordings.command()
@click.argument("recordings", nargs=-1, metavar="[RECORDING]...")
@click.option("--all", "everything", is_flag=True, help="Every recording there is or should be; so it is without any.")
@click.option(
    "--public-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The key of the node that recorded, from `recordings key`. Default: this node's.",
)
@click.option(
    "--audit-log",
    type=click.Path(file_okay=False, path_type=Path),
    help="The node's audit log. Default: audit.directory of --config, where that is needed at all.",
)
@config_option
@json_option
@click.pass_context
def verify(
    context: click.Context,
    recordings: tuple[str, ...],
    everything: bool,
    public_key: Path | None,
    audit_log: Path | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """Prove that recordings are as they were written, or name the first byte and event that is wrong.

    Signatures and the hash chain prove what is there; that nothing is missing at the end, or a whole recording, only
    the audit log can tell. Exit status 0 when all are whole; 1 when one is not, or when one has no end and there is no
    audit log to say why; 2 when the command line is wrong.

    Files with a --public-key are verified without any configuration, on any machine.
    """
    from gateway.cli.output import say, say_json

    if everything and recordings:
        raise click.UsageError("name recordings, or give --all, not both")
    task = _task(recordings, public_key, audit_log, config_path)
    reports = list(task.run())
    good = task.problem is None and all(map(_is_good, reports))
    if as_json:
        say_json(
            {
                "ok": good,
                "audit_log": task.problem or ("read" if task.evidence is not None else "not looked at"),
                "recordings": [{"ok": _is_good(report), **_described(report)} for report in reports],
            }
        )
    else:
        if task.problem is not None:
            say(f"audit log: {task.problem}; it proves nothing about recordings")
        for report in reports:
            say(("ok     " if _is_good(report) else "WRONG  ") + str(report))
        bad = sum(not _is_good(report) for report in reports)
        say(f"{len(reports)} recordings, " + ("all verified" if not bad else f"{bad} not verified"))
    context.exit(0 if good else 1)


@dataclass(frozen=True, slots=True)
class _Task:
    """``evidence`` is None without an audit log; ``problem`` says why a log that is there is worth nothing."""

    paths: tuple[Path, ...]
    public: Ed25519PublicKey
    evidence: Mapping[str, RecordingEvidence] | None
    problem: str | None

    def run(self) -> Iterator[Report]:
        from gateway.errors import RecordingFailed
        from gateway.recording import ClosingHead, Finding, Report
        from gateway.recording import verify as check

        for path in self.paths:
            said = None if self.evidence is None else self.evidence.get(path.stem)
            closed = None
            if said is not None and said.length is not None and said.head is not None:
                closed = ClosingHead(said.length, said.head)
            audited = self.evidence is not None
            try:
                yield check(path, self.public, closed=closed, audited=audited)
            except RecordingFailed as error:
                # One that can't be read must not keep the others from being verified.
                yield Report(path, "missing", (Finding("missing", 0, 0, error.message),), audited=audited)


def _task(named: tuple[str, ...], public_key: Path | None, audit_log: Path | None, config_path: Path) -> _Task:
    from gateway.config import load
    from gateway.recording.directory import path_of, walk
    from gateway.recording.keys import load_public

    needs_config = public_key is None or not named or not all(map(_is_file, named))
    config = load(config_path) if needs_config else None
    public = load_public(public_key) if public_key is not None else _own_key(_needed(config))
    if audit_log is None and config is not None:
        audit_log = config.audit.directory
    # The log before the files: a session that ends in between is whole, never cut.
    evidence, problem = _evidence(audit_log)
    if named:
        paths = [path_of_recording(one, config_path) for one in named]
    else:
        directory = _needed(config).recording.directory
        known = (session for session, said in (evidence or {}).items() if said.path)
        paths = sorted({*walk(directory), *(path_of(directory, session) for session in known)})
    return _Task(tuple(paths), public, evidence, problem)


def _evidence(directory: Path | None) -> tuple[Mapping[str, RecordingEvidence] | None, str | None]:
    """What the log says about recordings, or why it says nothing."""
    from gateway.audit.evidence import recordings_of
    from gateway.audit.verify import verify_log

    if directory is None:
        return None, None
    try:
        report = verify_log(directory)
        if report.wrong is not None:
            wrong = report.wrong
            return None, f"{wrong.file}, line {wrong.line}, byte {wrong.offset}: {wrong.problem}"
        return recordings_of(directory), None
    except OSError as error:
        return None, f"{directory} can't be read: {error.strerror or error}"


def _is_good(report: Report) -> bool:
    """Whole, or without an end where the audit log knows of none either (it lives, or its gateway crashed)."""
    return report.ok or (report.intact and report.audited)


def _described(report: Report) -> dict[str, object]:
    return {**asdict(report), "path": str(report.path)}


def _is_file(recording: str) -> bool:
    return "/" in recording or recording.endswith(".ostrec")


def path_of_recording(recording: str, config_path: Path) -> Path:
    """A file's path, or where the recording of a session lies."""
    from gateway.config import load
    from gateway.recording.directory import path_of

    if _is_file(recording):
        return Path(recording)
    try:
        return path_of(load(config_path).recording.directory, recording)
    except ValueError as error:
        raise click.UsageError(f"{error}; give a session's id, or the path of a file") from None


def _own_key(config: Config) -> Ed25519PublicKey:
    """The public half of this node's signing key, which is not made here: that is the gateway's to do."""
    from gateway.errors import RecordingFailed
    from gateway.recording.keys import load_or_create, parse_private

    reference = config.recording.signing_key
    if reference is not None:
        return parse_private(reference.resolve()).public_key()
    path = config.node.data / "keys" / "recording.key"
    if not path.exists():
        raise RecordingFailed(
            f"{path}: there is no signing key that could be read",
            hint="give --public-key, or run as the gateway's user",
        )
    return load_or_create(path).public_key()


def _needed(config: Config | None) -> Config:
    assert config is not None, "loaded whenever it is needed"
    return config
