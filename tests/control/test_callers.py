from __future__ import annotations

from pathlib import Path

import pytest
from control.made import ANYBODY, AUDITOR, NOBODY, OPERATOR, OWN, configuration

from gateway.control.callers import Right, caller


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
    ],
)
def test_rights(tmp_path: Path, uid: int, right: Right, may: bool) -> None:
    assert (caller(uid, configuration(tmp_path), own=OWN).refusal(right) is None) is may


def test_root_is_nobody_unless_listed(tmp_path: Path) -> None:
    root = caller(0, configuration(tmp_path), own=OWN)
    assert root.principal is None
    assert root.name == "uid 0"
    assert "nobody" in (root.refusal("look") or "")


def test_a_principal_called_none_gets_nothing_of_nobody(tmp_path: Path) -> None:
    """``principal:None`` in a role is a name like any other, not every uid that is not listed."""
    import msgspec

    config = msgspec.structs.replace(configuration(tmp_path), roles={"operator": ("principal:None",)})
    assert caller(12345, config, own=OWN).refusal("act") is not None


def test_groups_do_not_count_on_the_socket(tmp_path: Path) -> None:
    assert caller(ANYBODY, configuration(tmp_path), own=OWN).roles == frozenset()
