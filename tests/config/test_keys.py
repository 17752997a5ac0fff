from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.config.keys import mask_keys, vault_key, webhook_key, webhook_url
from gateway.config.schema import Masking
from gateway.config.urls import parse_url
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


HOOK = ("approvals", "notify", 0, "secret")


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_webhooks_key(tmp_path: Path, size: int) -> None:
    key = bytes(range(size))
    written = "whsec_" + base64.b64encode(key).decode()
    assert webhook_key(reference(tmp_path / "1", written + "\n"), "ostiary.yaml", HOOK).reveal() == key


@pytest.mark.parametrize(
    "written",
    [
        "",
        "whsec_",
        base64.b64encode(bytes(32)).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + "hunter2!" * 8,
        "whsec_" + base64.b64encode(bytes(32)).decode().rstrip("="),
    ],
)
def test_what_is_no_webhooks_key(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigError) as raised:
        webhook_key(reference(tmp_path / "1", written), "ostiary.yaml", HOOK)
    [problem] = raised.value.problems
    assert (problem.path, "openssl" in problem.mend) == (HOOK, True)
    assert "hunter2" not in str(raised.value)


def test_a_webhooks_url_that_is_a_secret(tmp_path: Path) -> None:
    url = parse_url("https://hooks.slack.com/services/T0/B0/x")
    assert webhook_url(url, "ostiary.yaml", HOOK) is url
    assert webhook_url(reference(tmp_path / "1", f"{url}{url.path}\n"), "ostiary.yaml", HOOK) == url


@pytest.mark.parametrize("written", ["hunter2", "https://h/hunter2\n\n", "http://h/hunter2", "https://h/hunter2ä"])
def test_what_is_no_webhooks_url(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigError) as raised:
        webhook_url(reference(tmp_path / "1", written), "ostiary.yaml", HOOK)
    assert "is a secret that" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(ConfigError, match="no such variable"):
        webhook_url(SecretReference.parse("env:NO_SUCH_URL"), "ostiary.yaml", HOOK)
