from __future__ import annotations

import errno
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from recording.made import KEY, PUBLIC

from gateway import secrets
from gateway.errors import RecordingFailed
from gateway.recording import keys
from gateway.secrets import Secret


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "recording.key"
    made = keys.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert keys.export_public(keys.load_or_create(path)) == keys.export_public(made)
    assert [child.name for child in path.parent.iterdir()] == ["recording.key"]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recording.key"
    keys.load_or_create(path)
    path.chmod(0o640)
    with pytest.raises(RecordingFailed, match=r"others than its owner can use it \(mode 0640\)") as raised:
        keys.load_or_create(path)
    assert raised.value.hint is not None
    assert "chmod 0600" in raised.value.hint


def test_two_that_make_it_at_once_get_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recording.key"
    real = secrets._create
    first = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def slower(target: Path, pem: bytes) -> None:
        real(target, first)
        real(target, pem)

    monkeypatch.setattr(secrets, "_create", slower)
    assert keys.export_public(keys.load_or_create(path)) == keys.export_public(KEY)


def test_a_crash_never_leaves_half_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RecordingFailed, match="can't be made: No space left"):
        keys.load_or_create(tmp_path / "recording.key")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_ed25519_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(RecordingFailed, match="is not Ed25519"):
        keys.parse_private(Secret(other))
    with pytest.raises(RecordingFailed, match="no unencrypted PEM key") as raised:
        keys.parse_private(Secret(b"hunter2"))
    assert "hunter2" not in str(raised.value)
    path = tmp_path / "recording.key"
    path.write_bytes(b"")
    path.chmod(0o600)
    with pytest.raises(RecordingFailed, match=f"signing key {path}"):
        keys.load_or_create(path)


def test_a_key_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="Is a directory"):
        keys.load_or_create(tmp_path)


def test_the_public_key_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "recording.pub"
    path.write_text(keys.export_public(KEY))
    assert keys.load_public(path) == PUBLIC
    assert keys.key_id(PUBLIC) == "56475aa75463474c0285df5dbf2bcab73da651358839e9b77481b2eab107708c"


@pytest.mark.parametrize(
    "content", [b"", b"junk", KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recording.pub"
    path.write_bytes(content)
    with pytest.raises(RecordingFailed, match="no Ed25519 public key"):
        keys.load_public(path)


def test_a_public_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="No such file"):
        keys.load_public(tmp_path / "recording.pub")
