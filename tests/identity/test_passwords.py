from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
from pathlib import Path

import argon2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import docs
from gateway.errors import ConfigError, GatewayError
from gateway.identity import hash_password, make_scram_verifier
from gateway.identity.passwords import (
    MAX_PASSWORD,
    Argon2Hash,
    Entry,
    PasswordFile,
    ScramVerifier,
    load_passwords,
    parse_time,
)
from gateway.secrets import Secret, SecretReference

CHEAP = argon2.PasswordHasher(time_cost=5, memory_cost=7168, parallelism=1)
HASH = CHEAP.hash("secret", salt=b"0123456789abcdef")
VERIFIER = make_scram_verifier(Secret(b"secret"), salt=b"0123456789abcdef", iterations=4096)


def entry(name: str = "alice", *, password: str | None = HASH, scram: str | None = VERIFIER) -> Entry:
    return Entry(
        name,
        password=None if password is None else Argon2Hash.parse(password),
        scram=None if scram is None else ScramVerifier.parse(scram),
    )


def write(tmp_path: Path, text: str) -> SecretReference:
    path = tmp_path / "passwords.yaml"
    path.touch(mode=0o600)
    path.write_text(text)
    return SecretReference("file", str(path))


def test_a_verifier_is_postgresqls() -> None:
    """Computed by hand as PostgreSQL's scram_build_secret does (RFC 5802 section 3)."""
    salted = hashlib.pbkdf2_hmac("sha256", b"secret", b"0123456789abcdef", 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (b"0123456789abcdef", stored, server)]
    assert f"SCRAM-SHA-256$4096:{parts[0]}${parts[1]}:{parts[2]}" == VERIFIER
    assert str(ScramVerifier.parse(VERIFIER)) == VERIFIER


def test_a_hash_verifies() -> None:
    made = hash_password(Secret(b"\xffsecret"))
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert Argon2Hash.parse(made).verify(b"\xffsecret")
    assert not Argon2Hash.parse(made).verify(b"secret")


@pytest.mark.parametrize("make", [hash_password, make_scram_verifier])
def test_passwords_that_could_never_log_in(make: object) -> None:
    assert callable(make)
    for wrong in (b"", b"a\0b", b"x" * (MAX_PASSWORD + 1)):
        with pytest.raises(GatewayError):
            make(Secret(wrong))


def test_passwords_that_scram_does_not_take() -> None:
    for wrong in (b"\xff", "a\u0007b".encode(), "\u0627\u0031".encode()):
        with pytest.raises(GatewayError) as caught:
            make_scram_verifier(Secret(wrong))
        assert wrong.decode(errors="replace") not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        HASH.replace("argon2id", "argon2i"),
        HASH.replace("argon2id", "argon2d"),
        HASH.replace("m=7168", "m=7167"),
        HASH.replace("v=19", "v=16"),
        HASH.replace("m=7168", "m=1000000"),
        HASH.replace("t=5", "t=999"),
        HASH.replace("t=5", "t=0"),
        HASH.replace("p=1", "p=100"),
        HASH.replace("p=1", "p=0"),
        HASH + "AA",
        HASH + "=",
        HASH + "\n",
        HASH.rpartition("$")[0],
        "$2b$12$" + "x" * 53,
    ],
)
def test_no_hashes(text: str) -> None:
    with pytest.raises(ValueError, match="ostiary passwd") as caught:
        Argon2Hash.parse(text)
    assert text == "" or text not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "md5" + "0" * 32,
        VERIFIER.replace("256", "512", 1),
        VERIFIER.replace("4096", "4095"),
        VERIFIER.replace("4096", "04096"),
        VERIFIER.replace("4096", "99999999"),
        VERIFIER[:-1],
        VERIFIER + "=",
        VERIFIER + "\n",
        VERIFIER.replace(":", "$"),
        VERIFIER.replace("MDEyMzQ1Njc4OWFiY2RlZg==", "MDEyMzQ1Njc4OWE="),
        VERIFIER.replace("MDEyMzQ1Njc4OWFiY2RlZg==", "MDEy=zQ1Njc4OWFiY2RlZg=="),
    ],
)
def test_no_verifiers(text: str) -> None:
    with pytest.raises(ValueError, match="ostiary passwd"):
        ScramVerifier.parse(text)


@given(st.binary(min_size=12, max_size=64), st.binary(min_size=32, max_size=32), st.integers(4096, 1_000_000))
def test_verifiers_go_round(salt: bytes, key: bytes, iterations: int) -> None:
    verifier = ScramVerifier(iterations, salt, key, key[::-1])
    assert ScramVerifier.parse(str(verifier)) == verifier


@given(st.integers(0, 200), st.text(max_size=5) | st.sampled_from(["$", ":", "=", "SCRAM-SHA-256$"]), st.integers(0, 9))
def test_changed_verifiers_raise_nothing_but_valueerror(start: int, inserted: str, cut: int) -> None:
    for parse, text in ((ScramVerifier.parse, VERIFIER), (Argon2Hash.parse, HASH)):
        with contextlib.suppress(ValueError):
            parse(text[:start] + inserted + text[start + cut :])


def test_nothing_is_shown() -> None:
    assert repr(Argon2Hash.parse(HASH)) == "Argon2Hash(...)"
    assert repr(ScramVerifier.parse(VERIFIER)) == "ScramVerifier(...)"
    assert "argon2id" not in repr(entry())


def test_times() -> None:
    assert parse_time("1970-01-01T00:00:10Z") == 10.0
    assert parse_time("1970-01-01T02:00+02:00") == 0.0
    for wrong in ("2026-12-31", "2026-12-31T00:00:00", "tomorrow", "", "2026-13-01T00:00Z"):
        with pytest.raises(ValueError, match="with its zone"):
            parse_time(wrong)
    with contextlib.suppress(ValueError):
        parse_time("0001-01-01T00:00:00+23:59")


def test_the_file(tmp_path: Path) -> None:
    text = (
        f"- name: alice\n  groups: [a, b]\n  password: {HASH}\n  until: 2026-12-31T00:00:00Z\n"
        f"- {{name: ci, kind: machine, scram: '{VERIFIER}'}}\n"
    )
    alice, machine = load_passwords(write(tmp_path, text))
    assert alice.groups == ("a", "b")
    assert alice.until == parse_time("2026-12-31T00:00:00Z")
    assert alice.password is not None
    assert machine.kind == "machine"
    assert machine.scram is not None


def test_no_file() -> None:
    assert load_passwords(None) == ()


def test_a_credential_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"- {{name: alice, password: '{HASH}'}}"
    monkeypatch.setenv("PASSWORDS", text)
    assert load_passwords(SecretReference("env", "PASSWORDS"))[0].name == "alice"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY"):
        load_passwords(SecretReference("credential", "passwords.yaml"))
    write(tmp_path, text)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load_passwords(SecretReference("credential", "passwords.yaml"))[0].name == "alice"
    with pytest.raises(ConfigError, match="No such file"):
        load_passwords(SecretReference("credential", "other"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- {name: alice}", "has neither password nor scram"),
        (f"- {{name: alice, password: '{HASH}'}}\n- {{name: ALICE, password: '{HASH}'}}", "is entry 1's, too"),
        (f"- {{name: '', password: '{HASH}'}}", "is not a name"),
        ("- {name: alice, password: hunter2}", "is not an argon2id hash"),
        ("- {name: alice, scram: hunter2}", "is not a SCRAM-SHA-256 verifier"),
        (f"- {{name: alice, pasword: '{HASH}'}}", "did you mean `password`"),
        (f"- {{name: alice, password: '{HASH}', until: 2026-12-31}}", "is not a time with its zone"),
        (f"alice: '{HASH}'", "is a mapping, not a list"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_passwords(write(tmp_path, text))
    assert problem in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert HASH not in str(caught.value)


def test_a_file_that_everybody_reads(tmp_path: Path) -> None:
    reference = write(tmp_path, "[]")
    Path(reference.name).chmod(0o644)
    with pytest.raises(ConfigError, match="open to everybody"):
        load_passwords(reference)


def test_stand_ins_look_like_the_files_own() -> None:
    dear = argon2.PasswordHasher(time_cost=2, memory_cost=32768, parallelism=2, salt_len=8, hash_len=20).hash("x")
    long = make_scram_verifier(Secret(b"x"), salt=bytes(24), iterations=9999)
    made = PasswordFile((entry(), entry("bob", password=dear, scram=long)), b"key")
    shapes = {
        (each.text.split("$")[3], *(len(part) for part in each.text.split("$")))
        for each in (made.password_hash(f"n{number}") for number in range(50))
    }
    assert shapes == {(text.split("$")[3], *(len(part) for part in text.split("$"))) for text in (HASH, dear)}
    verifiers = [made.verifier(f"n{number}") for number in range(50)]
    assert {(each.iterations, len(each.salt)) for each in verifiers} == {(4096, 16), (9999, 24)}
    assert len({each.salt for each in verifiers}) == 50


def test_stand_ins_stay_the_same() -> None:
    one, other = (PasswordFile((entry(),), b"key") for _ in range(2))
    assert one.verifier("nobody") == other.verifier("nobody")
    assert one.password_hash("nobody") == other.password_hash("nobody")
    assert one.verifier("nobody") != PasswordFile((entry(),), b"other").verifier("nobody")
    assert one.verifier("alice") == ScramVerifier.parse(VERIFIER)


def test_stand_ins_are_whole_hashes_that_take_the_same_work() -> None:
    """argon2 must not stop early because what it is given doesn't decode: Mismatch, not another error."""
    stand_in = PasswordFile((entry(),), b"key").password_hash("nobody")
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        argon2.low_level.verify_secret(stand_in.text.encode(), b"x", argon2.Type.ID)
    assert not stand_in.verify(b"x")


def test_an_empty_file_has_stand_ins_too() -> None:
    made = PasswordFile((), b"key")
    assert not made.password_hash("\ud800").verify(b"x")
    assert made.verifier("x").iterations > 4096
    assert made.entry("x") is None


def test_entries_lack_one_of_both() -> None:
    made = PasswordFile((entry(scram=None), entry("bob", password=None)), b"key")
    assert made.verifier("alice").iterations == 4096
    assert made.password_hash("bob").text != HASH


def test_the_document_shows_every_key() -> None:
    text = docs.render().partition("## The password file")[2]
    for field in msgspec.structs.fields(Entry):
        assert f" {field.name}: " in text
