from __future__ import annotations

import pytest

from gateway.protocols.ssh.startup import Requested, requested


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("deploy@web1", Requested("deploy", "deploy", "web1", claims=False)),
        ("alice@deploy@web1", Requested("alice", "deploy", "web1", claims=True)),
        ("alice@example.com@deploy@web1", Requested("alice@example.com", "deploy", "web1", claims=True)),
        ("web1", Requested("web1", "", "", claims=False)),
        ("", Requested("", "", "", claims=False)),
        ("@web1", Requested("", "", "web1", claims=False)),
        ("deploy@", Requested("deploy", "deploy", "", claims=False)),
        ("@deploy@web1", Requested("", "deploy", "web1", claims=True)),
    ],
)
def test_user_names(name: str, wanted: Requested) -> None:
    assert requested(name) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("deploy", Requested("deploy", "deploy", "web1", claims=False)),
        ("alice@example.com@deploy", Requested("alice@example.com", "deploy", "web1", claims=True)),
        ("deploy@web2", Requested("deploy", "web2", "web1", claims=True)),
        ("", Requested("", "", "web1", claims=False)),
    ],
)
def test_user_names_within_a_jump(name: str, wanted: Requested) -> None:
    """The target is the one that was jumped to, whatever the name says."""
    assert requested(name, "web1") == wanted
