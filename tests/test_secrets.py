from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from gateway.errors import SecretUnavailable
from gateway.secrets import MAX_SECRET, Secret, SecretReference

HIDDEN = Secret(b"hunter2")


@pytest.mark.parametrize(
    "shown", [repr(HIDDEN), str(HIDDEN), f"{HIDDEN}", f"{HIDDEN!r:>30}", f"{HIDDEN:s}", str([HIDDEN])]
)
def test_nothing_shows_it(shown: str) -> None:
    assert "hunter2" not in shown
    assert "Secret(...)" in shown


def test_only_reveal_gives_it_back() -> None:
    assert HIDDEN.reveal() == b"hunter2"
    assert not hasattr(HIDDEN, "__dict__")


def test_it_is_not_serialised() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not serialised"):
            pickle.dumps(HIDDEN, protocol)
    with pytest.raises(TypeError):
        copy.deepcopy(HIDDEN)


def test_it_is_compared_and_no_key() -> None:
    assert Secret(b"hunter2") == HIDDEN
    assert Secret(b"hunter3") != HIDDEN
    assert HIDDEN != b"hunter2"
    with pytest.raises(TypeError):
        hash(HIDDEN)


@pytest.mark.parametrize(
    "text", ["", "hunter2", "file:", "file:relative", "vault:x", "credential:", "credential:a/b", ":x", "env:"]
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a secret reference|names a"):
        SecretReference.parse(text)


@pytest.mark.parametrize("text", ["file:/etc/key", "credential:db", "env:DB_PASSWORD"])
def test_a_reference_prints_as_it_is_written(text: str) -> None:
    assert str(SecretReference.parse(text)) == text


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"hunter2\n")
    reference = SecretReference.parse(f"file:{path}")
    assert reference.path == path
    assert reference.resolve() == HIDDEN
    path.write_bytes(b"two\n\n")
    assert reference.resolve().reveal() == b"two\n", "one newline is the editor's"
    path.unlink()
    with pytest.raises(SecretUnavailable, match="No such file"):
        reference.resolve()


def test_a_file_that_is_too_large_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x" * (MAX_SECRET + 1))
    with pytest.raises(SecretUnavailable, match="larger than"):
        SecretReference.parse(f"file:{path}").resolve()
    path.write_bytes(b"x" * MAX_SECRET)
    assert len(SecretReference.parse(f"file:{path}").resolve().reveal()) == MAX_SECRET


def test_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretReference.parse("credential:db")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert reference.path is None
    with pytest.raises(SecretUnavailable, match="run under systemd"):
        reference.resolve()
    (tmp_path / "db").write_bytes(b"hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert reference.resolve() == HIDDEN


def test_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretReference.parse("env:OSTIARY_TEST_SECRET")
    assert reference.path is None
    with pytest.raises(SecretUnavailable) as missing:
        reference.resolve()
    assert "no such variable" in str(missing.value)
    monkeypatch.setenv("OSTIARY_TEST_SECRET", "hunter2")
    assert reference.resolve() == HIDDEN
