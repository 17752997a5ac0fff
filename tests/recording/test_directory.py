from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.errors import RecordingFailed
from gateway.model import uuid7
from gateway.recording.directory import free_space, open_plain, path_of, prepare, walk


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "recordings"
    (warning,) = prepare(directory)
    assert "not append-only" in warning
    assert directory.stat().st_mode & 0o777 == 0o700
    prepare(directory)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_others_must_not_write_there(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(RecordingFailed, match=f"others can write there \\(mode 0{mode:o}\\)") as raised:
        prepare(tmp_path)
    assert raised.value.hint == f"chmod g-w,o-w {tmp_path}"


def test_it_must_be_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(RecordingFailed, match="the gateway runs as 4711") as raised:
        prepare(tmp_path)
    assert raised.value.hint == f"chown 4711 {tmp_path}"


def test_it_must_be_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RecordingFailed, match="is not a directory"):
        prepare(file)
    with pytest.raises(RecordingFailed, match="Not a directory"):
        prepare(file / "below")
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(RecordingFailed, match=r"a link\?"):
        prepare(link)


def test_we_must_be_able_to_write_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RecordingFailed, match="we can't write there"):
        prepare(tmp_path)


def test_the_sealers_directory_is_not_ours_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(RecordingFailed, match="No such file") as raised:
        prepare(missing, sealed=True)
    assert raised.value.hint == f"make it the sealer's: install -d -m 0750 -o ostiary-sealer -g ostiary {missing}"
    assert not missing.exists()
    tmp_path.chmod(0o750)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert prepare(tmp_path, sealed=True) == ()
    tmp_path.chmod(0o770)
    with pytest.raises(RecordingFailed, match="others can write there"):
        prepare(tmp_path, sealed=True)
    tmp_path.chmod(0o750)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RecordingFailed, match="can't read there"):
        prepare(tmp_path, sealed=True)


def test_the_gateways_own_directory_is_not_the_sealers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 4711, -1)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid)
    with pytest.raises(RecordingFailed, match="belongs to the gateway's own user"):
        prepare(tmp_path, sealed=True)


def test_a_recording_is_created_and_never_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "2026" / "11" / "18" / "a.ostrec"
    os.close(open_plain(path))
    with pytest.raises(FileExistsError):
        open_plain(path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "2026/11/18").mkdir(parents=True, mode=0o700)
    path = tmp_path / "2026/11/18/a.ostrec"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        open_plain(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_day_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    day = tmp_path / "2026/11/18"
    day.mkdir(parents=True)
    day.chmod(0o777)
    with pytest.raises(RecordingFailed, match="others can write"):
        open_plain(day / "a.ostrec")


def test_the_path_follows_from_the_session_id() -> None:
    session = uuid7(1_795_046_399.999, bytes(10))
    assert path_of(Path("/r"), session) == Path("/r/2026/11/18") / f"{session}.ostrec"
    assert path_of(Path("/r"), uuid7(1_795_046_400.0, bytes(10))).parent == Path("/r/2026/11/19")


@pytest.mark.parametrize(
    "session", ["..", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", "ffffffff-ffff-7fff-bfff-ffffffffffff"]
)
def test_what_is_no_session_id_has_no_path(session: str) -> None:
    with pytest.raises(ValueError, match=r"no.* session id"):
        path_of(Path("/r"), session)


def test_walk_finds_recordings_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("2026/11/18/b.ostrec", "2025/01/01/z.ostrec", "2026/11/18/a.ostrec", "2026/11/18/a.txt", "a.ostrec"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [path.stem for path in walk(tmp_path)] == ["z", "a", "b"]


def test_free_space_is_what_the_disk_says(tmp_path: Path) -> None:
    assert free_space(tmp_path) > 0
    with pytest.raises(OSError, match="No such file"):
        free_space(tmp_path / "gone")
