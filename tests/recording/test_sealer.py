"""The sealer as root runs it: real attributes on a real file system, cleared again in each test's `finally`."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from recording.made import Node

from gateway.errors import RecordingFailed
from gateway.model import uuid7
from gateway.recording import sealer as sealing
from gateway.recording.directory import path_of, prepare
from gateway.recording.sealed import RESPITE, Sealed
from gateway.recording.sealer import FS_APPEND_FL, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, RATE, Refused, Sealer, is_sealed

NOBODY = 65534
"""Plays the gateway's user: root would be stopped by nothing but the missing capability."""


LIKE_A_SESSION = b"01a20dd4-9ff1-7bdf-90b4-62c51c015102"


def named() -> str:
    """A session of now."""
    return uuid7(time.time(), os.urandom(10))


def unseal(directory: Path) -> None:
    """Clears the attribute of everything there, so that it can be removed."""
    for path in [*directory.rglob("*"), directory]:
        if path.is_file() or path.is_dir():
            fd = os.open(path, os.O_RDONLY)
            try:
                flags = bytearray(8)
                fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
                (value,) = struct.unpack_from("=I", flags)
                fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("=Q", value & ~FS_APPEND_FL))
            finally:
                os.close(fd)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where recordings go, on a file system that has the attribute; all the way to it others may pass."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it sets the append-only attribute")
    made = tmp_path / "recordings"
    made.mkdir(mode=0o755)
    fd = os.open(made, os.O_RDONLY)
    try:
        sealing.seal(fd)
    except OSError as error:
        pytest.skip(f"{made} can't be made append-only: {error.strerror}")
    finally:
        os.close(fd)
    opened = [level for level in tmp_path.parents if level.stat().st_mode & 0o005 != 0o005]
    modes = {level: level.stat().st_mode & 0o7777 for level in [tmp_path, *opened]}
    for level, mode in modes.items():
        level.chmod(mode | 0o055)
    try:
        yield made
    finally:
        unseal(made)
        for level, mode in modes.items():
            level.chmod(mode)


def as_nobody(act: Callable[[], object]) -> int:
    """The errno that ``act`` ends with in a process of that user, 0 when it succeeds."""
    child = os.fork()
    if child == 0:
        number = errno.EPROTO
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            act()
            number = 0
        except OSError as error:
            number = error.errno or errno.EPROTO
        finally:
            os._exit(number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def create(directory: Path) -> tuple[Path, int]:
    session = named()
    return path_of(directory, session), Sealer(directory).create(session.encode())


def clear_append(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_APPEND)


def clear_attribute(fd: int) -> None:
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("=Q", 0))


def punch(fd: int) -> None:
    """fallocate(2) with FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE: the beginning becomes zeros."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(4)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def test_what_comes_is_a_new_file_that_can_only_grow(directory: Path) -> None:
    path, fd = create(directory)
    try:
        assert is_sealed(fd)
        assert path.stat().st_mode & 0o777 == 0o440
        os.write(fd, b"first ")
        os.pwrite(fd, b"second", 0)
        os.fdatasync(fd)
        assert path.read_bytes() == b"first second"
    finally:
        os.close(fd)


def test_each_directory_is_sealed(directory: Path) -> None:
    path, fd = create(directory)
    os.close(fd)
    for level in (directory, path.parent.parent.parent, path.parent.parent, path.parent):
        below = os.open(level, os.O_RDONLY)
        try:
            assert is_sealed(below), level
            assert level == directory or level.stat().st_mode & 0o027 == 0, level
        finally:
            os.close(below)


@pytest.mark.parametrize(
    "act",
    [
        lambda fd, path: os.ftruncate(fd, 0),
        lambda fd, path: clear_append(fd),
        lambda fd, path: clear_attribute(fd),
        lambda fd, path: punch(fd),
        lambda fd, path: os.fchmod(fd, 0o666),
        lambda fd, path: os.utime(fd, (0, 0)),
        lambda fd, path: os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_TRUNC),
    ],
    ids=["truncate", "clear O_APPEND", "clear the attribute", "punch", "chmod", "utime", "reopen"],
)
def test_the_holder_can_do_nothing_else_with_it(directory: Path, act: Callable[[int, Path], object]) -> None:
    path, fd = create(directory)
    try:
        os.write(fd, b"evidence")
        assert as_nobody(lambda: os.write(fd, b".")) == 0
        assert as_nobody(lambda: act(fd, path)) in (errno.EPERM, errno.EACCES)
        assert path.read_bytes() == b"evidence."
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "act",
    [
        lambda path: path.unlink(),
        lambda path: path.rename(path.with_name("other")),
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, 0),
        lambda path: path.parent.rename(path.parent.with_name("99")),
        lambda path: path.parents[3].rename(path.parents[4] / "moved"),
    ],
    ids=["unlink", "rename", "overwrite", "truncate", "rename the day", "rename the whole"],
)
def test_not_even_root_can_without_the_capability(directory: Path, act: Callable[[Path], object]) -> None:
    path, fd = create(directory)
    os.close(fd)
    with pytest.raises(PermissionError):
        act(path)
    assert path.exists()


def test_a_session_is_recorded_once(directory: Path) -> None:
    sealer = Sealer(directory)
    session = named().encode()
    os.close(sealer.create(session))
    with pytest.raises(FileExistsError):
        sealer.create(session)


@pytest.mark.parametrize(
    "request_",
    [b"", b"../../../../etc/passwd", b"0" * 36, LIKE_A_SESSION.upper(), LIKE_A_SESSION + b"\n"],
)
def test_only_a_session_id_is_a_request(directory: Path, request_: bytes) -> None:
    with pytest.raises(Refused, match="no session id"):
        Sealer(directory).create(request_)
    assert not list(directory.iterdir())


def test_only_sessions_of_now(directory: Path) -> None:
    session = named().encode()
    for clock in (lambda: time.time() - 90_000, lambda: time.time() + 90_000):
        with pytest.raises(Refused, match="not of now"):
            Sealer(directory, clock).create(session)


def test_only_so_many(directory: Path) -> None:
    now = time.time()
    sealer = Sealer(directory, lambda: now)
    sealer._tokens = 1.0
    os.close(sealer.create(named().encode()))
    with pytest.raises(Refused, match=f"more than {RATE:.0f} recordings a second"):
        sealer.create(named().encode())
    now += 0.01
    os.close(sealer.create(named().encode()))


def test_a_link_is_no_way_out(directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (directory / datetime.now(UTC).strftime("%Y")).symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        Sealer(directory).create(named().encode())
    assert not list(outside.iterdir())


def test_it_starts_in_a_directory_of_its_own_only(directory: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    with pytest.raises(Refused, match="nobody else may write there"):
        Sealer(shared)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    os.chown(foreign, NOBODY, NOBODY)
    with pytest.raises(Refused, match="must belong to user 0"):
        Sealer(foreign)


def test_a_file_system_without_the_attribute_gives_no_recordings(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer = Sealer(directory)

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr(sealing, "seal", refuse)
    with pytest.raises(OSError, match="Inappropriate"):
        sealer.create(named().encode())


# The process, and the gateway's side


class Running:
    """The sealer as its unit starts it, without site-packages; `user` may ask."""

    def __init__(self, directory: Path, socket_: Path, user: str = "root") -> None:
        self.path = socket_
        command = [sys.executable, "-I", "-S", str(sealing.__file__)]
        command += ["--directory", str(directory), "--socket", str(socket_), "--user", user]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind("")  # the kernel names it
            systemd.settimeout(10)
            self.process = subprocess.Popen(
                command,
                env={"NOTIFY_SOCKET": "@" + systemd.getsockname()[1:].decode()},
                stderr=subprocess.PIPE,
                text=True,
            )
            assert systemd.recv(64) == b"READY=1"

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_gateway_gets_its_recordings_by_it(directory: Path, tmp_path: Path) -> None:
    with Running(directory, tmp_path / "sealer.sock") as running:
        assert prepare(directory, sealed=True) == ()
        sealed = Sealed(running.path)
        path = path_of(directory, named())
        fd = sealed.open(path)
        try:
            assert not os.get_inheritable(fd)
            os.write(fd, b"evidence")
            assert path.read_bytes() == b"evidence"
            with pytest.raises(FileExistsError):
                sealed.open(path)
        finally:
            os.close(fd)


def test_a_whole_recording_verifies(directory: Path, tmp_path: Path) -> None:
    with Running(directory, tmp_path / "sealer.sock") as running:
        node = Node(directory, sealer=running.path)
        node.clock.rightNow = time.time()
        recorder = node.begin()
        recorder.close("the client went")
        assert node.recordings.warnings == ()
        assert node.verify(recorder).ok


def test_whether_it_is_there_costs_no_recording(directory: Path, tmp_path: Path) -> None:
    with Running(directory, tmp_path / "sealer.sock") as running:
        recordings = Node(directory, sealer=running.path).recordings
        assert recordings.obstacle() is None
        running.process.kill()
        running.process.wait()
        assert "can't be reached" in (recordings.obstacle() or "")
        assert running.process.stderr is not None
        assert running.process.stderr.read() == ""
        assert not list(directory.iterdir())


def test_others_may_not_ask(directory: Path, tmp_path: Path) -> None:
    with Running(directory, tmp_path / "sealer.sock", user="nobody") as running:
        # What it is told depends on who was faster, its request or the refusal.
        with pytest.raises(RecordingFailed, match=r"user 0 may not ask|can't be reached"):
            Sealed(running.path).open(path_of(directory, named()))
        assert running.path.stat().st_mode & 0o777 == 0o660
        assert not list(directory.iterdir())
        assert running.process.stderr is not None
        assert running.process.stderr.readline() == "<4>refused: user 0 may not ask\n"


def test_a_terminated_sealer_ends_well_and_a_killed_one_leaves_no_obstacle(directory: Path, tmp_path: Path) -> None:
    path = path_of(directory, named())
    with Running(directory, tmp_path / "sealer.sock") as running:
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        with pytest.raises(RecordingFailed, match="can't be reached") as raised:
            Sealed(running.path).open(path)
        assert raised.value.hint == "tell an administrator: systemctl status ostiary-sealer"
    with Running(directory, tmp_path / "sealer.sock") as running:
        os.close(Sealed(running.path).open(path))
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=10) == 0


def test_another_directory_than_the_gateways_is_noticed(directory: Path, tmp_path: Path) -> None:
    with Running(directory, tmp_path / "sealer.sock") as running:
        with pytest.raises(RecordingFailed, match="the sealer's recording is not there") as raised:
            Sealed(running.path).open(path_of(tmp_path / "elsewhere", named()))
        assert raised.value.hint == "give the sealer the same directory as recording.directory"


class Answering:
    """A sealer that says what the test wants."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen()

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *exception: object) -> None:
        self.listener.close()


def test_a_stuck_sealer_holds_up_one_session_not_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.recording.sealed.PATIENCE", 0.01)
    now = 100.0
    with Answering(tmp_path / "sealer.sock") as stuck:
        sealed = Sealed(stuck.path, lambda: now)
        path = path_of(tmp_path, named())
        with pytest.raises(RecordingFailed, match="doesn't answer"):
            sealed.open(path)
        stuck.listener.close()
        with pytest.raises(RecordingFailed, match="doesn't answer"):
            sealed.open(path)
        now += RESPITE
        with pytest.raises(RecordingFailed, match="can't be reached"):
            sealed.open(path)


@pytest.mark.parametrize(
    ("said", "flags", "content", "expected"),
    [
        (b"ok", None, b"", "refuses: ok"),
        (b"", None, b"", "refuses: no answer"),
        (b"ok", os.O_WRONLY, b"", "not a new append-only file"),
        (b"ok", os.O_WRONLY | os.O_APPEND, b"", "not a new append-only file"),
    ],
    ids=["no descriptor", "nothing", "not append-only", "without the attribute"],
)
def test_what_is_no_fresh_recording_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes, flags: int | None, content: bytes, expected: str
) -> None:
    path = path_of(tmp_path, named())
    path.parent.mkdir(parents=True)
    path.touch()
    fds = [] if flags is None else [os.open(path, flags)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    sealed = Sealed(tmp_path / "sealer.sock")
    monkeypatch.setattr(sealed, "_ask", lambda session: (said, fds))
    with pytest.raises(RecordingFailed, match=expected):
        sealed.open(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before - len(fds)
