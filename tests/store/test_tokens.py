from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import LimitReached, StoreFailed
from gateway.secrets import Secret
from gateway.store import TokenVault, make_key, tokens
from gateway.store.tokens import MAX_VALUE, parse_token

SECRET = Secret(b"x" * 44)
VALUE = b"900-12-3456"


def open_vault(path: Path, secret: Secret = SECRET) -> TokenVault:
    return TokenVault(path, secret, clock=lambda: 1_795_003_200.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "tokens.db"


@pytest.fixture
def vault(path: Path) -> Iterator[TokenVault]:
    opened = open_vault(path)
    yield opened
    opened.close()


def kept(path: Path) -> int:
    """Rows that another process sees."""
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute("select count(*) from tokens").fetchone()
        return int(count)
    finally:
        connection.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=st.binary(max_size=200))
def test_every_value_comes_back(vault: TokenVault, value: bytes) -> None:
    token = vault.token(value)
    assert re.fullmatch(rb"tok_[0-9a-f]{32}", token)
    vault.settle()
    assert vault.resolve([token.decode()]) == {token.decode(): value}


def test_a_value_has_one_token_also_after_a_restart(path: Path) -> None:
    first = open_vault(path)
    token = first.token(VALUE)
    assert first.token(VALUE) == token
    assert first.token(VALUE + b" ") != token
    first.close()
    again = open_vault(path)
    assert again.resolve([token.decode()]) == {token.decode(): VALUE}
    assert again.token(VALUE) == token
    again.close()
    assert kept(path) == 2


def test_other_secrets_make_other_tokens(tmp_path: Path) -> None:
    one, other = open_vault(tmp_path / "1.db"), open_vault(tmp_path / "2.db", Secret(make_key()))
    assert one.token(VALUE) != other.token(VALUE)
    one.close()
    other.close()


def test_nothing_is_written_before_it_is_settled_and_then_at_once(vault: TokenVault, path: Path) -> None:
    for number in range(500):
        vault.token(b"%d" % number)
    assert kept(path) == 0
    vault.settle()
    assert kept(path) == 500


def test_more_than_can_wait_is_written_on_the_way(vault: TokenVault, path: Path) -> None:
    for number in range(2 * tokens.MAX_WAITING + 1):
        vault.token(b"%d" % number)
    assert kept(path) == 2 * tokens.MAX_WAITING


def test_what_memory_forgot_is_not_kept_twice(vault: TokenVault, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_KNOWN", 10)
    made = [vault.token(b"%d" % number) for number in range(50)]
    vault.settle()
    assert [vault.token(b"%d" % number) for number in range(50)] == made
    vault.settle()
    assert kept(path) == 50


def test_values_are_not_in_the_files(vault: TokenVault, path: Path) -> None:
    token = vault.token(VALUE)
    vault.settle()
    assert bytes.fromhex(token[4:].decode()) not in path.read_bytes(), "no commit waits for a checkpoint"
    vault.checkpoint()
    files = list(path.parent.iterdir())
    assert len(files) == 3
    for file in files:
        assert VALUE not in file.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert bytes.fromhex(token[4:].decode()) in path.read_bytes()


def test_the_log_is_used_again_after_a_checkpoint(vault: TokenVault, path: Path) -> None:
    sizes = []
    for turn in range(4):
        for number in range(500):
            vault.token(b"%d %d" % (turn, number))
        vault.settle()
        vault.checkpoint()
        sizes.append(path.with_name("tokens.db-wal").stat().st_size)
    assert sizes[-1] < 2 * sizes[0]


def test_a_long_value_gets_no_token(vault: TokenVault) -> None:
    vault.token(bytes(MAX_VALUE))
    with pytest.raises(LimitReached):
        vault.token(bytes(MAX_VALUE + 1))


@pytest.mark.parametrize(
    "token", ["", "tok_", "tok_" + "0" * 31, "tok_" + "0" * 33, "tok_" + "g" * 32, "TOK_" + "0" * 32, "tok_" + "0" * 32,
              "tok_" + "\u0660" * 32, "tok_" + "00 " * 10 + "00", "tok_" + "0 " * 16]
)  # fmt: skip
def test_what_is_no_token_of_this_vault_stands_for_nothing(vault: TokenVault, token: str) -> None:
    assert vault.resolve([token]) == {}


@given(token=st.text(max_size=40))
def test_any_text_parses_or_does_not(token: str) -> None:
    assert parse_token(token) is None
    assert parse_token("tok_" + "0" * 32) == bytes(16)


def test_a_changed_value_is_noticed(vault: TokenVault, path: Path) -> None:
    token = vault.token(VALUE).decode()
    other = vault.token(b"another").decode()
    vault.settle()
    connection = sqlite3.connect(path)
    connection.execute(
        "update tokens set sealed = (select sealed from tokens where reference = ?) where reference = ?",
        (parse_token(other), parse_token(token)),
    )
    connection.commit()
    connection.close()
    with pytest.raises(StoreFailed, match="was changed") as raised:
        vault.resolve([token])
    assert "another" not in str(raised.value)


def test_a_vault_that_cannot_write_says_so_until_it_can(vault: TokenVault, path: Path) -> None:
    other = vault.token(b"kept before")
    vault.settle()
    token = vault.token(VALUE)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("begin immediate")
    for _ in range(2):
        with pytest.raises(StoreFailed, match=r"tokens\.db: database is locked") as raised:
            vault.settle()
        assert VALUE.decode() not in repr(raised.value.__cause__)
    assert vault.token(VALUE) == token
    assert vault.resolve([token.decode(), other.decode()]) == {other.decode(): b"kept before"}
    connection.execute("rollback")
    connection.close()
    vault.settle()
    assert vault.resolve([token.decode()]) == {token.decode(): VALUE}


def test_gathering_ends_where_writing_does(vault: TokenVault, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_WAITING", 3)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("begin immediate")
    for number in range(3):
        vault.token(b"%d" % number)
    with pytest.raises(StoreFailed):
        vault.token(b"one more")
    connection.close()


def test_another_secret_does_not_open_it(path: Path) -> None:
    open_vault(path).close()
    with pytest.raises(StoreFailed, match="made with another key") as raised:
        open_vault(path, Secret(b"y" * 44))
    assert raised.value.hint is not None


def test_what_others_can_read_is_refused(path: Path) -> None:
    open_vault(path).close()
    path.chmod(0o640)
    with pytest.raises(StoreFailed, match=r"others than its owner can use it \(mode 0640\)"):
        open_vault(path)


def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreFailed):
        open_vault(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_newer_schema_is_refused(path: Path) -> None:
    open_vault(path).close()
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 2")
    connection.close()
    with pytest.raises(StoreFailed, match="schema version 2"):
        open_vault(path)


def test_what_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(os.urandom(4096))
    path.chmod(0o600)
    with pytest.raises(StoreFailed, match="not a database"):
        open_vault(path)


def test_threads_may_mask_at_once(vault: TokenVault, path: Path) -> None:
    made: list[set[bytes]] = []

    def mask() -> None:
        found = set()
        for number in range(300):
            found.add(vault.token(b"%d" % number))
            if number % 50 == 0:
                vault.settle()
        made.append(found)

    threads = [threading.Thread(target=mask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    vault.settle()
    assert len(made) == 4
    assert len(set.union(*made)) == kept(path) == 300
