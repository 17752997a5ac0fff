from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.ssh.commands import Scp, scp, without_secrets
from gateway.shell import read


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("scp -t /srv", Scp(False, "/srv")),
        ("scp -f /srv/a", Scp(True, "/srv/a")),
        ("scp -v -r -p -d -t -- -odd", Scp(False, "-odd", True, True, True)),
        ("scp -pt 'a b'", Scp(False, "a b", times=True)),
        ("scp -r -p -q -f rel/ative", Scp(True, "rel/ative", True, True)),
    ],
)
def test_the_old_scp_protocol_as_clients_ask_for_it(command: str, meant: Scp) -> None:
    assert scp(read(command).words) == meant
    assert scp(read(meant.command()).words) == meant, "what the target gets means the same"


@pytest.mark.parametrize(
    "command",
    [
        "scp",
        "scp -t",
        "scp -t --",
        "scp -t ''",
        "scp -t a b",
        "scp a b",
        "scp -t -f a",
        "scp -S /tmp/evil -t a",
        "scp -oProxyCommand=evil -t a",
        "scp -tS a",
        "scp - -t a",
        "/usr/bin/scp -t a",
        "scp -t a;id",
        "scp -t ~/a",
        "scp -f /srv/*",
        "scp -t $HOME",
        "scp -t a -- b",
        "sudo scp -t a",
        "SCP -t a",
    ],
)
def test_anything_else_is_a_command_like_others(command: str) -> None:
    assert scp(read(command).words) is None


@given(st.text(min_size=1, alphabet=st.characters(exclude_characters="\0", max_codepoint=127)), st.booleans())
def test_what_the_target_gets_names_just_that_path(path: str, sends: bool) -> None:
    found = scp(read(Scp(sends, path).command()).words)
    assert found in (None, Scp(sends, path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mysql --password=hunter2 db", "mysql --password=**** db"),
        ("tool --api-key 'a b' -x", "tool --api-key **** -x"),
        ("tool -token x", "tool -token ****"),
        ("PGPASSWORD=x psql; TOKEN='y z' run", "PGPASSWORD=**** psql; TOKEN=**** run"),
        ("curl -u bob:x https://h/ --user=eve:y", "curl -u bob:**** https://h/ --user=eve:****"),
        ("git clone https://bob:x@h/r.git", "git clone https://bob:****@h/r.git"),
        ("ls /etc/passwd", "ls /etc/passwd"),
        ("cat token.txt && id", "cat token.txt && id"),
        ("passwd bob", "passwd bob"),
        ("ssh -u bob host:22", "ssh -u bob host:22"),
        ("", ""),
    ],
)
def test_secrets_that_a_command_names_are_not_told(text: str, told: str) -> None:
    assert without_secrets(text) == told


@pytest.mark.parametrize("piece", ["-", " --password", " --password=", "a:", "://", "'", " -u", "token=", "a"])
def test_no_command_makes_the_search_for_secrets_slow(piece: str) -> None:
    began = time.perf_counter()
    without_secrets(piece * (32 * 1024 // len(piece)))
    assert time.perf_counter() - began < 2.0
