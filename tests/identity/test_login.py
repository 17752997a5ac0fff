from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import argon2
import pytest
from twisted.internet.defer import CancelledError, Deferred, execute
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.config.schema import IdentitySection
from gateway.config.schema import Lockout as LockoutSection
from gateway.errors import ConfigError, LoginFailed, TooManySessions
from gateway.identity import Identity, PasswordThreads, make_scram_verifier
from gateway.identity.login import MAX_WAITING, THREADS
from gateway.identity.passwords import MAX_PASSWORD
from gateway.model import Principal
from gateway.secrets import Secret, SecretReference

CHEAP = argon2.PasswordHasher(time_cost=5, memory_cost=7168, parallelism=1)
HASH = CHEAP.hash("secret", salt=b"0123456789abcdef")
VERIFIER = make_scram_verifier(Secret(b"secret"), iterations=4096)
FILE = f"""\
- {{name: alice, groups: [sre], password: '{HASH}', until: "1970-01-01T01:00:00Z"}}
- {{name: ci, kind: machine, scram: '{VERIFIER}'}}
"""


class Later:
    """Threads that finish when the test says so."""

    def __init__(self) -> None:
        self.started: list[tuple[Callable[[], bool], Deferred[bool]]] = []

    def __call__(self, check: Callable[[], bool]) -> Deferred[bool]:
        done: Deferred[bool] = Deferred()
        self.started.append((check, done))
        return done

    def finish(self, result: bool | Failure | None = None) -> None:
        check, done = self.started.pop(0)
        done.callback(check() if result is None else result)


def section(tmp_path: Path, text: str = FILE, *, free: int = 3) -> IdentitySection:
    path = tmp_path / "passwords.yaml"
    path.touch(mode=0o600)
    path.write_text(text)
    return IdentitySection(passwords=SecretReference("file", str(path)), lockout=LockoutSection(free=free))


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return Identity(section(tmp_path), execute, mock_key=b"key")


def login(
    identity: Identity, name: str = "alice", password: bytes = b"secret", address: str = "10.0.0.1", now: float = 0.0
) -> Deferred[Principal]:
    return Deferred.fromCoroutine(identity.by_password(name, Secret(password), address, lambda: now))


def outcome(deferred: Deferred[Principal]) -> Any:
    found: list[object] = []
    deferred.addBoth(found.append)
    (only,) = found
    return only.value if isinstance(only, Failure) else only


def refused(identity: Identity, *arguments: Any, **more: Any) -> LoginFailed:
    error = outcome(login(identity, *arguments, **more))
    assert isinstance(error, LoginFailed)
    return error


def test_the_right_password(identity: Identity) -> None:
    assert outcome(login(identity)) == Principal(
        "alice", "human", frozenset({"sre"}), frozenset({"password"}), 0.0, 3600.0
    )


def test_the_caller_is_told_the_same_whatever_was_wrong(identity: Identity) -> None:
    errors = {
        "wrong password": refused(identity, "alice", b"wrong"),
        "unknown name": refused(identity, "nobody", b"secret"),
        "its entry has no password": refused(identity, "ci", b"secret"),
        "its entry has ended (until)": refused(identity, now=3600.0),
        "the password is empty or longer than 16 kB": refused(identity, "alice", b""),
    }
    assert {reason: error.reason for reason, error in errors.items()} == {reason: reason for reason in errors}
    assert len({(error.message, error.hint) for error in errors.values()}) == 1


def test_unknown_names_are_as_much_work(tmp_path: Path) -> None:
    later = Later()
    identity = Identity(section(tmp_path), later)
    for name in ("alice", "nobody", "ci", "x" * 10_000, "\ud800"):
        attempt = login(identity, name, b"wrong")
        assert len(later.started) == 1
        later.finish()
        assert isinstance(outcome(attempt), LoginFailed)


def test_long_passwords(identity: Identity) -> None:
    assert refused(identity, "alice", b"x" * (MAX_PASSWORD + 1)).reason.startswith("the password is empty or longer")
    assert refused(identity, "alice", b"x" * MAX_PASSWORD).reason == "wrong password"


def test_failures_make_wait_and_right_passwords_too(identity: Identity) -> None:
    for _ in range(3):
        assert refused(identity, "alice", b"wrong").reason == "wrong password"
    error = refused(identity)
    assert error.reason == "locked out for 1 s"
    assert error.message == "too many failed logins"
    assert isinstance(outcome(login(identity, now=1.0)), Principal)


def test_names_that_do_not_exist_wait_alike(identity: Identity) -> None:
    for _ in range(3):
        refused(identity, "nobody")
    assert refused(identity, "nobody").message == "too many failed logins"


def test_a_wait_costs_no_thread_and_is_not_counted(tmp_path: Path) -> None:
    later = Later()
    identity = Identity(section(tmp_path, free=1), later)
    first = login(identity, password=b"wrong")
    later.finish()
    outcome(first)
    for _ in range(5):
        assert refused(identity).reason == "locked out for 1 s"
    assert later.started == []


def test_many_attempts_at_once_are_no_way_around_the_wait(tmp_path: Path) -> None:
    later = Later()
    identity = Identity(section(tmp_path, free=1), later)
    attempts = [login(identity, password=b"wrong") for _ in range(50)]
    checked = 0
    while later.started:
        assert len(later.started) <= THREADS
        later.finish(False)
        checked += 1
    assert checked == THREADS
    assert all(isinstance(outcome(attempt), LoginFailed) for attempt in attempts)


def test_the_line_is_bounded(tmp_path: Path) -> None:
    later = Later()
    identity = Identity(section(tmp_path), later)
    for number in range(THREADS + MAX_WAITING):
        login(identity, f"n{number}")
    assert isinstance(outcome(login(identity)), TooManySessions)


def test_giving_up_frees_the_place_in_line(tmp_path: Path) -> None:
    later = Later()
    identity = Identity(section(tmp_path), later)
    running = [login(identity, f"n{number}") for number in range(THREADS)]
    waiting = login(identity)
    waiting.cancel()
    assert isinstance(outcome(waiting), CancelledError)
    while later.started:
        later.finish()
    assert all(isinstance(outcome(each), LoginFailed) for each in running)


def test_giving_up_takes_neither_the_failure_back_nor_the_thread(tmp_path: Path) -> None:
    later = Later()
    identity = Identity(section(tmp_path, free=1), later)
    attempts = [login(identity, password=b"wrong") for _ in range(THREADS)]
    for attempt in attempts:
        attempt.cancel()
        assert isinstance(outcome(attempt), CancelledError)
    login(identity, "bob")
    assert len(later.started) == THREADS
    later.finish()
    assert refused(identity).reason == "locked out for 1 s"
    later.finish()
    assert refused(identity).reason == "locked out for 2 s"


def test_a_thread_that_fails_is_no_login_and_frees_its_slot(tmp_path: Path) -> None:
    later = Later()
    identity = Identity(section(tmp_path), later)
    for _ in range(THREADS + 1):
        attempt = login(identity)
        later.finish(Failure(MemoryError("no memory")))  # type: ignore[no-untyped-call]  # Twisted's
        assert isinstance(outcome(attempt), MemoryError)


def test_threads_that_do_not_start_free_their_slot(tmp_path: Path) -> None:
    def refuse(check: Callable[[], bool]) -> Deferred[bool]:
        raise RuntimeError("can't start new thread")

    identity = Identity(section(tmp_path), refuse)
    for _ in range(THREADS + 1):
        assert isinstance(outcome(login(identity)), RuntimeError)


def test_a_reload_reads_the_file_again_and_waits_go_on(tmp_path: Path, identity: Identity) -> None:
    for _ in range(3):
        refused(identity, "alice", b"wrong")
    salt = identity._attempts.verifier("nobody")
    after = identity.reloaded(section(tmp_path, FILE.replace("alice", "bob")))
    assert refused(after).reason == "locked out for 1 s"
    assert after._attempts.verifier("nobody") == salt
    assert outcome(login(after, "bob")).name == "bob"
    with pytest.raises(ConfigError):
        identity.reloaded(section(tmp_path, "- x"))
    assert outcome(login(identity, now=2.0)).name == "alice"


def test_without_a_password_file_nobody_logs_in() -> None:
    assert refused(Identity(IdentitySection(), execute)).reason == "unknown name"


def test_certificates_use_the_configuration(identity: Identity) -> None:
    with pytest.raises(LoginFailed, match="can't be read"):
        identity.by_certificate(b"x", 0.0)


@implementer(IReactorFromThreads)
class Reactor:
    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        callable(*args, **kwargs)


def test_threads_of_our_own() -> None:
    threads = PasswordThreads(Reactor())
    threads.stop()
    found: list[object] = []
    threads(lambda: True).addCallback(found.append)
    threads.stop()
    assert found == [True]
