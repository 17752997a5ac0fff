"""What makes an approve entry another one, and what doesn't."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.made import policy_file

from gateway.policy import digest as module
from gateway.policy.digest import digest

Written = dict[str, Any]

WHOLE: Written = {
    "name": "a",
    "principals": ["p", "q*"],
    "groups": ["g", "h"],
    "kind": "human",
    "factors": ["certificate", "password"],
    "from": ["10.0.0.0/8", "2001:db8::/32"],
    "targets": ["orders", "web-*"],
    "tags": {"env": "prod", "team": "x"},
    "times": {"days": ["mon", "wed-thu"], "hours": ["08:00-12:00", "13:00-17:00"], "zone": "Europe/Zurich"},
    "until": "2026-12-31T18:00:00+01:00",
    "sql": {
        "databases": ["a", "b"],
        "roles": ["r", "s"],
        "verbs": ["select", "update"],
        "relations": ["a.b", "c.*"],
        "functions": ["f.x", "g.h"],
        "labels_touched": ["pii.*", "pci.pan"],
        "without_where": True,
        "max_rows": 10,
        "matches": ["x+", "y"],
    },
    "approvers": {"principals": ["bob", "eve"], "groups": ["on-call", "dba"], "needed": 2},
    "wait": "5m",
    "grant": {"uses": 3, "within": "1h"},
    "message": "wait",
    "observe": True,
}
SSH: Written = {
    "name": "a",
    "ssh": {
        "logins": ["deploy", "app-*"],
        "requests": ["exec", "sftp", "subsystem", "forward_local", "env"],
        "exec": ["/usr/bin/deploy *", "uptime"],
        "matches": ["x+", "y"],
        "files": {"read": ["/srv/**", "/a"], "write": ["/b", "/c"], "list": ["/d", "/e"]},
        "subsystems": ["netconf", "x*"],
        "destinations": ["db:5432", "/run/x"],
        "env": ["A", "B*"],
    },
    "approvers": {"groups": ["g"]},
}
ACCESS: Written = {
    "name": "a",
    "session": {"max": "1h", "idle": "5m", "record": "synced", "expire": "identity"},
    "approvers": {"groups": ["g"]},
}


def digested(written: Written) -> str:
    return digest(policy_file(json.dumps({"approve": [written]})).document.approve[0])


def shuffled(written: Any, order: random.Random) -> Any:
    """The same with keys and lists in another order."""
    if isinstance(written, dict):
        keys = list(written)
        order.shuffle(keys)
        return {key: shuffled(written[key], order) for key in keys}
    if isinstance(written, list):
        return [shuffled(one, order) for one in order.sample(written, len(written))]
    return written


def test_it_is_sha_256_in_hex_over_what_is_said_and_meant() -> None:
    said = (
        r'{"approvers":{"groups":["\"g\""],"needed":1},"grant":{"uses":1,"within":900.0},"name":"a",'
        r'"observe":false,"wait":600.0}'
    )
    simplest = {"name": "a", "approvers": {"groups": ["g"]}}
    assert digested(simplest) == hashlib.sha256(said.encode()).hexdigest()


@given(st.sampled_from([WHOLE, ACCESS, SSH]), st.randoms(use_true_random=False))
def test_the_order_of_keys_and_lists_is_no_matter(written: Written, order: random.Random) -> None:
    assert digested(shuffled(written, order)) == digested(written)


def changes(written: Written, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Written]]:
    """``written`` without one thing that it says, for each."""
    found: list[tuple[tuple[str, ...], Written]] = []
    for key, value in written.items():
        rest = {name: other for name, other in written.items() if name != key}
        if rest or path:
            found.append(((*path, key), rest))
        if isinstance(value, dict):
            found += [(where, {**written, key: less}) for where, less in changes(value, (*path, key))]
        if isinstance(value, list):
            found += [((*path, key, one), {**written, key: [o for o in value if o != one]}) for one in value]
    return found


NEEDED = {("name",), ("approvers",)}
"""What can't be left out."""

LESS = [
    (".".join(path), less)
    for written in (WHOLE, ACCESS, SSH)
    for path, less in changes(written)
    if path not in NEEDED and (written is WHOLE or path[:2] != ("approvers", "groups"))
    if path[:2] != ("ssh", "requests") or len(path) == 2
]


@pytest.mark.parametrize(("path", "less"), LESS, ids=[path for path, _ in LESS])
def test_an_entry_that_says_less_is_another(path: str, less: Written) -> None:
    assert digested(less) not in {digested(WHOLE), digested(ACCESS), digested(SSH)}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"kind": "machine"},
        {"from": ["10.0.0.0/9", "2001:db8::/32"]},
        {"tags": {"env": "x", "team": "prod"}},
        {"times": {**WHOLE["times"], "hours": ["12:00-08:00", "13:00-17:00"]}},
        {"times": {**WHOLE["times"], "zone": "UTC"}},
        {"until": "2026-12-31T18:00:00Z"},
        {"sql": {**WHOLE["sql"], "without_where": False}},
        {"sql": {**WHOLE["sql"], "max_rows": 11}},
        {"sql": {**WHOLE["sql"], "matches": ["x*", "y"]}},
        {"sql": {**WHOLE["sql"], "relations": WHOLE["sql"]["functions"], "functions": ["a.b", "c.*"]}},
        {"approvers": {**WHOLE["approvers"], "needed": 1}},
        {"approvers": {"groups": ["bob", "eve"], "principals": ["on-call", "dba"], "needed": 2}},
        {"wait": "6m"},
        {"grant": {"uses": 4, "within": "1h"}},
        {"grant": {"uses": 3, "within": "2h"}},
        {"message": "wait!"},
        {"observe": False},
    ],
)
def test_a_changed_entry_is_another(change: Written) -> None:
    assert digested({**WHOLE, **change}) != digested(WHOLE)


def test_one_that_asks_at_connect_is_another_than_one_that_asks_at_each_operation() -> None:
    same = {"name": "a", "approvers": {"groups": ["g"]}, "grant": {"uses": 1, "within": "1h"}}
    assert digested(same) != digested({**same, "session": {}})


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"wait": "10m"}, {}),
        ({"grant": {"uses": 1}}, {}),
        ({"grant": {"within": "15m"}}, {"grant": {"uses": 1, "within": "900s"}}),
        ({"observe": False}, {}),
        ({"sql": {"verbs": ["select", "select"]}}, {"sql": {"verbs": ["select"]}}),
        ({"sql": {"verbs": ["read", "select"]}}, {"sql": {"verbs": ["read"]}}),
        ({"times": {"days": ["mon-wed"]}}, {"times": {"days": ["tue-wed", "mon"]}}),
        ({"until": "2026-12-31T18:00:00+01:00"}, {"until": "2026-12-31T17:00:00Z"}),
    ],
)
def test_the_same_in_other_words_is_the_same(one: Written, same: Written) -> None:
    base = {"name": "a", "approvers": {"groups": ["g"]}}
    assert digested({**base, **one}) == digested({**base, **same})


def test_a_value_that_nobody_thought_of_is_not_left_out() -> None:
    with pytest.raises(TypeError, match="nobody has said how a bytes"):
        module._plain(b"")
