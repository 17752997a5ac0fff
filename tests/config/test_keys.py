from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.keys import mask_keys, vault_key
from gateway.config.schema import Masking
from gateway.errors import ConfigError
from gateway.secrets import SecretReference


def reference(path: Path, content: str) -> SecretReference:
    path.write_text(content)
    return SecretReference.parse(f"file:{path}")


def test_keys_are_resolved(tmp_path: Path) -> None:
    masking = Masking(
        keys={"one": reference(tmp_path / "1", "x" * 32 + "\n"), "two": reference(tmp_path / "2", "y" * 64)},
        vault_key=reference(tmp_path / "3", "z" * 32),
    )
    assert mask_keys(masking, "ostiary.yaml") == {"one": b"x" * 32, "two": b"y" * 64}
    secret = vault_key(masking, "ostiary.yaml")
    assert secret is not None
    assert secret.reveal() == b"z" * 32


def test_without_any_there_are_none() -> None:
    assert mask_keys(Masking(), "ostiary.yaml") == {}
    assert vault_key(Masking(), "ostiary.yaml") is None


def test_every_problem_is_told_and_no_secret(tmp_path: Path) -> None:
    masking = Masking(
        keys={"short": reference(tmp_path / "1", "hunter2" * 4), "gone": SecretReference.parse("env:NO_SUCH_KEY")},
        vault_key=reference(tmp_path / "2", "hunter2"),
    )
    with pytest.raises(ConfigError) as raised:
        mask_keys(masking, "ostiary.yaml")
    with pytest.raises(ConfigError) as other:
        vault_key(masking, "ostiary.yaml")
    first, second, third = (*raised.value.problems, *other.value.problems)
    assert [problem.path for problem in (first, second, third)] == [
        ("masking", "keys", "short"),
        ("masking", "keys", "gone"),
        ("masking", "vault_key"),
    ]
    assert "less than 32 bytes" in first.problem
    assert "openssl" in first.mend
    assert "no such variable" in second.problem
    assert "hunter2" not in str(raised.value) + str(other.value)
