"""`ostiary recordings replay`, and `export` as asciicasts: on real terminals, too."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from struct import pack

import pytest
from cli.made import Site
from recording.made import Node, conversation
from recording.ssh_made import SshRecorded
from recording.test_terminal import DRAWS

from gateway.recording.keys import load_or_create

SECONDS = 20.0
"""How long something on a terminal may take: two cores are shared with others."""

ATTACK = "\x1b]52;c;ZXZpbA==\x07\x1b[21t\x1b[6n\x1b[?1003h\x1b[?2004h\x1b]0;owned\x07"
EDITOR = "\x1b[?1049h\x1b[?25l\x1b[7l\x1b(0\x1b[2;5r\x1b[31mred"


@pytest.fixture
def ssh(site: Site) -> SshRecorded:
    return SshRecorded(Node(site.data / "recordings", key=load_or_create(site.data / "keys" / "recording.key")))


def talk(ssh: SshRecorded, *, size: tuple[int, int] = (80, 24)) -> Path:
    ssh.shell(size=size)
    ssh.shows("$ first\r\n" + ATTACK)
    ssh.passes(3600)
    ssh.shows("$ second\r\n", "$ pass", "\x1b[1mword\x1b[m\r\n")
    ssh.passes(3600)
    ssh.shows("$ third\r\n")
    ssh.exits()
    return ssh.close()


# --- without a terminal ---


def test_all_at_once(site: Site, ssh: SshRecorded) -> None:
    result = site.run("recordings", "replay", talk(ssh).stem, "--no-wait")
    assert result.exit_code == 0
    assert result.stdout_bytes == b"$ first\r\n$ second\r\n$ pass\x1b[1mword\x1b[m\r\n$ third\r\n"


def test_what_is_searched_must_be_there(site: Site, ssh: SshRecorded) -> None:
    path = talk(ssh).stem
    assert site.run("recordings", "replay", path, "--no-wait", "--search", "PASSWORD").exit_code == 0
    result = site.run("recordings", "replay", path, "--no-wait", "--search", "Nowhere")
    assert result.exit_code == 1
    assert "'Nowhere' is not shown" in result.stderr


def test_waiting_is_limited(site: Site, ssh: SshRecorded) -> None:
    result = site.run("recordings", "replay", talk(ssh).stem, "--speed", "1000", "--idle-limit", "1s")
    assert result.exit_code == 0
    assert "third" in result.output


@pytest.mark.parametrize("start", ["7300s", "2h2m", "2026-11-18T23:00:00", "2026-11-18T23:00:00+00:00"])
def test_from_a_time_on(site: Site, ssh: SshRecorded, start: str) -> None:
    result = site.run("recordings", "replay", talk(ssh).stem, "--from", start)
    assert result.exit_code == 0
    assert "third" in result.output


@pytest.mark.parametrize(
    "arguments", [("--from", "noon"), ("--speed", "0"), ("--speed", "x"), ("--idle-limit", "2"), ("--channel", "0")]
)
def test_what_makes_no_sense(site: Site, ssh: SshRecorded, arguments: tuple[str, ...]) -> None:
    assert site.run("recordings", "replay", talk(ssh).stem, *arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [("replay",), ("export", "--format", "asciicast-v3")])
def test_postgresql_has_nothing_to_play(site: Site, ssh: SshRecorded, arguments: tuple[str, ...]) -> None:
    path = conversation(ssh.node)
    result = site.run("recordings", *arguments, path.stem)
    assert result.exit_code == 1
    assert "session of protocol postgres: there is nothing to play" in result.stderr
    assert "ostiary recordings show" in result.stderr


def test_files_alone_have_nothing_to_play(site: Site, ssh: SshRecorded) -> None:
    ssh.command("true")
    ssh.exits()
    result = site.run("recordings", "replay", ssh.close().stem)
    assert result.exit_code == 1
    assert "no channel that showed anything" in result.stderr


def several(ssh: SshRecorded) -> Path:
    ssh.shell(size=(120, 40))
    ssh.shows("one")
    ssh.command("uptime", channel=2)
    ssh.gives(b"two", channel=2)
    ssh.command("true", channel=3)
    return ssh.close()


def test_a_channel_is_chosen(site: Site, ssh: SshRecorded) -> None:
    name = several(ssh).stem
    for arguments in (("replay", name, "--no-wait"), ("export", name, "--format", "asciicast-v2")):
        result = site.run("recordings", *arguments)
        assert result.exit_code == 1
        assert "2 channels can be played" in result.stderr
        assert "1: 2026-11-18 12:00:00Z  terminal xterm-256color 120x40  shell" in result.stderr
        assert "2: 2026-11-18 12:00:00Z  no terminal  exec uptime" in result.stderr
        assert "--channel" in result.stderr
    assert site.run("recordings", "replay", name, "--no-wait", "--channel", "2").stdout == "two"
    assert "showed nothing" in site.run("recordings", "replay", name, "--channel", "3").stderr
    assert "there is no channel 9" in site.run("recordings", "replay", name, "--channel", "9").stderr


def test_one_file_each(site: Site, ssh: SshRecorded, tmp_path: Path) -> None:
    name = several(ssh).stem
    output = tmp_path / "session.cast"
    arguments = ("recordings", "export", name, "--format", "asciicast-v3", "--output", str(output))
    result = site.run(*arguments)
    assert result.exit_code == 0
    assert result.stdout == ""
    files = [tmp_path / "session-1.cast", tmp_path / "session-2.cast"]
    assert [f"channel {number}: {file}" for number, file in enumerate(files, 1)] == result.stderr.splitlines()
    assert json.loads(files[1].read_text().splitlines()[0])["command"] == "uptime"
    assert files[0].stat().st_mode & 0o777 == 0o600
    result = site.run(*arguments)
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert site.run(*arguments, "--channel", "2").exit_code == 0
    assert output.read_text() == files[1].read_text()


def test_export_to_standard_output(site: Site, ssh: SshRecorded) -> None:
    name = talk(ssh).stem
    safe = site.run("recordings", "export", name, "--format", "asciicast-v2")
    assert safe.exit_code == 0
    assert json.loads(safe.stdout.splitlines()[0])["version"] == 2
    assert "owned" not in safe.stdout
    sent = site.run("recordings", "export", name, "--format", "asciicast-v2", "--unfiltered")
    assert "owned" in sent.stdout
    assert site.run("recordings", "export", name, "--unfiltered").exit_code == 2
    assert site.run("recordings", "export", name, "--channel", "1").exit_code == 2


def test_show_as_json(site: Site, ssh: SshRecorded) -> None:
    result = site.run("recordings", "show", talk(ssh).stem, "--json")
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout
    kinds = [json.loads(line)["event"] for line in result.stdout.splitlines()]
    assert kinds == ["opened", "operation", "channel", *["output"] * 5, "exit", "closed"]


def test_the_list_has_protocol_and_login(site: Site, ssh: SshRecorded) -> None:
    talk(ssh)
    heading, line = site.run("recordings", "list").stdout.splitlines()
    shown = dict(zip(heading.split(), line.split(), strict=False))
    assert (shown["protocol"], shown["target"], shown["login"]) == ("ssh", "web1", "deploy")
    (found,) = json.loads(site.run("recordings", "list", "--json").stdout)
    assert (found["protocol"], found["role"]) == ("ssh", "deploy")


def test_damage_is_said_behind_what_is_good(site: Site, ssh: SshRecorded) -> None:
    ssh.shell()
    ssh.shows("good")
    ssh.recorder.flush()
    ssh.passes(1)
    ssh.shows("bad")
    path = ssh.close()
    data = bytearray(path.read_bytes())
    data[-400] ^= 1
    path.write_bytes(data)
    result = site.run("recordings", "replay", str(path), "--no-wait")
    assert result.exit_code == 1
    assert result.stdout == "good"
    assert "byte" in result.stderr


def test_sessions_are_completed(site: Site, ssh: SshRecorded) -> None:
    path = talk(ssh)
    environment = {
        **os.environ,
        "OSTIARY_CONFIG": str(site.config),
        "_OSTIARY_COMPLETE": "bash_complete",
        "COMP_WORDS": f"ostiary recordings replay {path.stem[:4]}",
        "COMP_CWORD": "3",
    }
    command = [sys.executable, "-c", "from gateway.cli import main; main(prog_name='ostiary')"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"plain,{path.stem}"]


# --- on a terminal ---


class Seat:
    """A terminal, and the command on it.

    leads  it leads a session of its own, to which the terminal belongs: Ctrl-C reaches it
    """

    def __init__(
        self,
        site: Site,
        *arguments: str,
        size: tuple[int, int] = (80, 30),
        locale: str = "C.UTF-8",
        leads: bool = True,
    ) -> None:
        self.master, slave = pty.openpty()
        self.seen = b""
        self._slave = slave
        self.resize(size)
        self.before = termios.tcgetattr(slave)
        code = (
            "import os; os.open('/proc/self/fd/0', os.O_RDWR); from gateway.cli import main; main(prog_name='ostiary')"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "recordings", "replay", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "OSTIARY_CONFIG": str(site.config), "LC_ALL": locale, "PYTHONUTF8": "0"},
            start_new_session=leads,
            process_group=None if leads else 0,
        )

    def resize(self, size: tuple[int, int]) -> None:
        ioctl(self._slave, termios.TIOCSWINSZ, pack("HHHH", size[1], size[0], 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: str) -> None:
        self._until(lambda: text.encode() in self.seen, text)

    def ends(self) -> int:
        self._until(lambda: self.process.poll() is not None, "the end")
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.process.returncode

    @property
    def attributes(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def settled(self) -> None:
        """All as before: the terminal's own modes, and those that were switched by what was drawn."""
        assert self.attributes == self.before
        assert b"\x1b[r" in self.seen
        tail = self.seen[self.seen.rindex(b"\x1b[r") :]
        for undone in (b"\x1b(B", b"\x0f", b"\x1b[m", b"\x1b[4l", b"\x1b[?7h", b"\x1b[?25h"):
            assert undone in tail
        assert self.seen.count(b"\x1b[?1049h") == self.seen.count(b"\x1b[?1049l")
        assert DRAWS.fullmatch(self.seen.decode())

    def leave(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self._slave)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {SECONDS} s; seen: {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], 0.02)[0]:
                self.seen += os.read(self.master, 65536)


@contextmanager
def seated(site: Site, *arguments: str, **others: object) -> Iterator[Seat]:
    seat = Seat(site, *arguments, **others)  # type: ignore[arg-type]
    try:
        yield seat
    finally:
        seat.leave()


def test_keys(site: Site, ssh: SshRecorded) -> None:
    with seated(site, talk(ssh).stem) as seat:
        seat.expect("first")
        assert seat.attributes != seat.before
        seat.type(" ")
        seat.expect("paused")
        seat.type(".")  # to the second of three outputs, without an hour's wait
        seat.expect("second")
        seat.type("\x1b[C")
        seat.expect("$ pass")
        assert b"word" not in seat.seen
        seat.type(" ")
        seat.expect("word")
        seat.type("+")
        seat.expect("1.5x")
        seat.type("--")
        seat.expect("0.667x")
        seat.type("?")
        seat.expect("q: quit")
        assert b"third" not in seat.seen
        seat.type(".")
        seat.expect("third")
        assert seat.ends() == 0
        seat.settled()


def test_a_search(site: Site, ssh: SshRecorded) -> None:
    with seated(site, talk(ssh).stem) as seat:
        seat.expect("first")
        seat.type("/passx\x7fWORD\r")
        seat.expect("search: passWORD")
        seat.expect("found")
        assert b"third" not in seat.seen
        seat.type("/never\x1b")
        seat.expect("search: never")
        seat.type("q")
        assert seat.ends() == 0
        seat.settled()


def test_a_search_from_the_command_line_pauses_there(site: Site, ssh: SshRecorded) -> None:
    with seated(site, talk(ssh).stem, "--search", "password") as seat:
        seat.expect("found")
        assert b"third" not in seat.seen
        seat.type("q")
        assert seat.ends() == 0


def test_nothing_of_an_attack_arrives(site: Site, ssh: SshRecorded) -> None:
    with seated(site, talk(ssh).stem, "--no-wait") as seat:
        assert seat.ends() == 0
        assert b"owned" not in seat.seen
        assert b"1003" not in seat.seen
        seat.settled()


def test_where_its_rows_are_as_many_as_the_recordings(site: Site, ssh: SshRecorded) -> None:
    with seated(site, talk(ssh).stem, size=(80, 24)) as seat:
        seat.expect("first")
        seat.type("+")  # is not said: there is no row for it
        seat.type(" ")
        seat.expect("paused")
        seat.type("q")
        assert seat.ends() == 0
        assert b"quit" not in seat.seen
        seat.settled()


def test_a_recording_that_is_larger(site: Site, ssh: SshRecorded) -> None:
    with seated(site, talk(ssh, size=(200, 60)).stem) as seat:
        seat.expect("first")
        seat.type("q")
        assert seat.ends() == 0
        assert b"recorded at 200x60" in seat.seen


def editing(ssh: SshRecorded) -> Path:
    ssh.shell()
    ssh.shows(EDITOR + ATTACK + "\x1b]0;never ends")
    ssh.passes(3600)
    ssh.shows("behind")
    return ssh.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals(site: Site, ssh: SshRecorded, number: signal.Signals) -> None:
    with seated(site, editing(ssh).stem) as seat:
        seat.expect("red")
        seat.process.send_signal(number)
        assert seat.ends() == 128 + number
        seat.settled()


def test_ctrl_c(site: Site, ssh: SshRecorded) -> None:
    with seated(site, editing(ssh).stem) as seat:
        seat.expect("red")
        seat.type("\x03")
        assert seat.ends() == 130
        seat.settled()


def test_it_is_stopped_and_goes_on(site: Site, ssh: SshRecorded) -> None:
    # Who leads a session can't be stopped: nobody would wake it.
    with seated(site, editing(ssh).stem, leads=False) as seat:
        seat.expect("red")
        seat.process.send_signal(signal.SIGTSTP)
        stopped = re.compile(r"^State:\s+T", re.MULTILINE)
        status = Path(f"/proc/{seat.process.pid}/status")
        seat._until(lambda: stopped.search(status.read_text()) is not None, "that it stops")
        seat._until(lambda: b"\x1b[?1049l" in seat.seen, "that it leaves the alternate screen")
        seat.settled()
        seat.process.send_signal(signal.SIGCONT)
        seat.expect("goes on")
        assert seat.attributes != seat.before
        seat.type("q")
        assert seat.ends() == 0
        assert seat.attributes == seat.before


def test_the_window_is_resized(site: Site, ssh: SshRecorded) -> None:
    with seated(site, talk(ssh).stem, size=(80, 20)) as seat:
        seat.expect("first")
        assert b"1;24r" not in seat.seen
        seat.resize((80, 50))
        seat.process.send_signal(signal.SIGWINCH)
        seat.expect("\x1b[1;24r")
        seat.type("q")
        assert seat.ends() == 0
        seat.settled()


def test_damage_restores_the_terminal(site: Site, ssh: SshRecorded) -> None:
    ssh.shell()
    ssh.shows(EDITOR)
    ssh.recorder.flush()
    ssh.passes(1)
    ssh.shows("bad")
    path = ssh.close()
    data = bytearray(path.read_bytes())
    data[-400] ^= 1
    path.write_bytes(data)
    with seated(site, str(path)) as seat:
        assert seat.ends() == 1
        assert b"byte" in seat.seen
        seat.settled()


def test_what_was_typed_is_not_left_for_the_shell(site: Site, ssh: SshRecorded) -> None:
    with seated(site, editing(ssh).stem) as seat:
        seat.expect("red")
        seat.type("q" + "rm -rf /\r" * 50)
        assert seat.ends() == 0
        os.set_blocking(seat._slave, False)
        with pytest.raises(BlockingIOError):
            os.read(seat._slave, 100)


def test_a_terminal_that_is_no_utf_8(site: Site, ssh: SshRecorded) -> None:
    # In Latin-1 the second byte of Û in UTF-8 is CSI.
    ssh.shell()
    ssh.shows("Û21t日")
    with seated(site, ssh.close().stem, locale="C") as seat:
        assert seat.ends() == 0
        assert b"?21t?" in seat.seen
        assert seat.seen.isascii()
