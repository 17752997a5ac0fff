from __future__ import annotations

import inspect

from gateway import errors
from gateway.errors import ConfigError, GatewayError, LoginFailed, NotAdmitted, PeerError, Problem


def test_a_peers_error_is_never_taken_for_one_of_ours() -> None:
    assert not issubclass(PeerError, GatewayError)
    assert not issubclass(GatewayError, PeerError)
    ours = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert {kind for kind in ours if not issubclass(kind, GatewayError)} == {PeerError}


def test_an_error_has_a_message_and_perhaps_a_hint() -> None:
    error = GatewayError("no", hint="ask")
    assert (str(error), error.message, error.hint) == ("no", "no", "ask")
    assert GatewayError("no").hint is None


def test_a_reason_is_not_part_of_what_is_shown() -> None:
    for kind in (LoginFailed, NotAdmitted):
        error = kind("no", reason="wrong password")
        assert error.reason == "wrong password"
        assert "wrong password" not in str(error)


def test_a_problem_prints_as_an_indented_path() -> None:
    problem = Problem("targets.yaml", (0, "tls", "ca"), "there is no such file", "write its path", line=7)
    assert str(problem) == (
        "targets.yaml:7:\n  entry 1:\n    tls:\n      ca:\n        there is no such file\n        Mend: write its path"
    )
    assert str(Problem("a.yaml", (), "is empty", "write something")).startswith("a.yaml:\n  is empty")


def test_a_config_error_has_every_problem() -> None:
    one, two = Problem("a", (), "x", "y"), Problem("b", (), "x", "y")
    error = ConfigError(one, two)
    assert error.problems == (one, two)
    assert str(error) == f"{one}\n{two}"
