from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from control.made import ANYBODY, AUDITOR, GROUPED, NOBODY, NOON, OPERATOR, OWN, configuration

from gateway.control.callers import GRANTED, Right, on_socket, over_tls
from gateway.model import Principal
from gateway.session.approvals import Approver


@pytest.mark.parametrize(
    ("uid", "right", "may"),
    [
        (OPERATOR, "look", True),
        (OPERATOR, "act", True),
        (AUDITOR, "look", True),
        (AUDITOR, "act", False),
        (ANYBODY, "look", False),
        (ANYBODY, "act", False),
        (NOBODY, "look", False),
        (65534, "act", False),
        (OPERATOR, "reload", True),
        (AUDITOR, "reload", False),
        (NOBODY, "reload", False),
        (OWN, "reload", True),
        (OWN, "act", False),
        (OWN, "look", False),
        (OPERATOR, "reveal", False),
        (AUDITOR, "reveal", True),
        (OPERATOR, "watch", False),
        (AUDITOR, "watch", True),
        (ANYBODY, "known", True),
        (NOBODY, "known", False),
        (OWN, "known", False),
        (65534, "known", False),
    ],
)
def test_rights(tmp_path: Path, uid: int, right: Right, may: bool) -> None:
    caller = on_socket(uid, configuration(tmp_path), own=OWN)
    assert (caller.refusal(right) is None) is may
    assert caller.has(right) is may


def test_root_is_nobody_unless_listed(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    unlisted = msgspec.structs.replace(config, identity=msgspec.structs.replace(config.identity, socket={}))
    for each in (config, unlisted):  # there as `nobody`, or not at all
        root = on_socket(0, each, own=OWN)
        assert not root.known
        assert root.name == "uid 0"
        assert "nobody" in (root.refusal("look") or "")
        assert root.roles == frozenset()


def test_nobody_is_nobody_whatever_roles_say(tmp_path: Path) -> None:
    members = ("principal:nobody", "principal:uid 0", "principal:None")
    config = msgspec.structs.replace(configuration(tmp_path), roles={"operator": members})
    for uid in (NOBODY, 12345):
        assert on_socket(uid, config, own=OWN).refusal("act") is not None


def test_groups_of_a_uid_are_those_that_are_listed_with_it(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    assert on_socket(GROUPED, config, own=OWN).roles == {"operator"}
    assert on_socket(ANYBODY, config, own=OWN).roles == frozenset()
    assert on_socket(GROUPED, config, own=OWN).approver == Approver("gina", frozenset({"ops", "dba"}), "socket")


def holder(name: str, *groups: str) -> Principal:
    return Principal(name, "human", frozenset(groups), frozenset({"certificate"}), NOON)


def test_over_tls_a_certificate_says_who_and_with_which_groups(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    assert over_tls(holder("olga"), "192.0.2.7", config).roles == {"operator"}
    assert over_tls(holder("x", "ops"), "192.0.2.7", config).roles == {"operator"}
    plain = over_tls(holder("x", "olga", "principal:olga"), "192.0.2.7", config)
    assert (plain.roles, plain.known, plain.address, plain.own) == (frozenset(), True, "192.0.2.7", False)
    assert plain.approver.via == "tls"


def test_a_name_is_not_a_group(tmp_path: Path) -> None:
    assert over_tls(holder("ops"), "192.0.2.7", configuration(tmp_path)).roles == frozenset()


def test_break_glass_opens_nothing_here(tmp_path: Path) -> None:
    config = msgspec.structs.replace(configuration(tmp_path), roles={"break_glass": ("principal:ben",)})
    caller = on_socket(ANYBODY, config, own=OWN)
    assert caller.roles == {"break_glass"}
    assert [right for right in GRANTED if caller.has(right)] == ["known"]
