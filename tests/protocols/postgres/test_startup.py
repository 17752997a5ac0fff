from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import NotAdmitted, PeerError
from gateway.protocols.postgres.startup import OURS, Requested, parse_options, requested
from gateway.protocols.postgres.wire import Startup

names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)


def asked(**parameters: str) -> Requested:
    return requested(Startup(0, {"user": "alice", "database": "orders", **parameters}))


def test_the_database_names_the_target() -> None:
    assert asked() == Requested("alice", "orders", "", False)


def test_and_perhaps_a_database_on_it() -> None:
    wanted = asked(database="orders/reporting")
    assert (wanted.target, wanted.database) == ("orders", "reporting")
    assert asked(database="orders/a/b").database == "a/b"


@pytest.mark.parametrize(
    "parameters", [{"user": "alice"}, {"user": "alice", "database": ""}, {"user": "a", "database": "/x"}]
)
def test_a_missing_database_is_never_the_users_name(parameters: dict[str, str]) -> None:
    with pytest.raises(NotAdmitted, match="no target was named"):
        requested(Startup(0, parameters))


def test_a_missing_user() -> None:
    with pytest.raises(PeerError, match="no PostgreSQL user name"):
        requested(Startup(0, {"database": "orders"}))


def test_names_are_taken_literally() -> None:
    # CVE-2021-41395: nothing in a name may become another parameter
    wanted = asked(database="orders user=postgres", user="alice' password='x")
    assert (wanted.user, wanted.target) == ("alice' password='x", "orders user=postgres")
    assert wanted.parameters() == []


@pytest.mark.parametrize("name", sorted(OURS))
@pytest.mark.parametrize("spelled", [str.upper, str.title, str.lower])
def test_what_the_gateway_decides_is_never_passed_on_however_it_is_spelled(name: str, spelled: object) -> None:
    assert callable(spelled)
    if spelled(name) != name:
        assert asked(**{spelled(name): "postgres"}).parameters() == []
    assert asked(options=f"-c {spelled(name)}=postgres").parameters() == []
    assert asked(options=f"--{spelled(name).replace('_', '-')}=postgres").parameters() == []


def test_settings_are_decided_as_the_sql_that_would_make_them() -> None:
    wanted = asked(TimeZone="UTC", options=r"-c search_path=a\ b --statement-timeout=5 -cwork_mem=1MB")
    assert wanted.settings == {"search_path": "a b", "statement_timeout": "5", "work_mem": "1MB", "timezone": "UTC"}
    assert wanted.statements()[0] == """SET "search_path" TO 'a b'"""
    assert ("work_mem", "1MB") in wanted.parameters()


def test_settings_cannot_leave_their_literal() -> None:
    wanted = asked(**{'a"b.c': "'; drop table t; --", "d": "\\'; drop"})
    assert wanted.statements() == [
        """SET "a""b"."c" TO '''; drop table t; --'""",
        """SET "d" TO E'\\\\''; drop'""",
    ]


@pytest.mark.parametrize("options", ["-d", "-f x", "-c", "-c work_mem", "--=x", "work_mem=1", "-W 5", "-c =x", "--"])
def test_other_switches_are_refused(options: str) -> None:
    with pytest.raises(PeerError):
        parse_options(options)


@pytest.mark.parametrize("value", ["true", "on", "1", "database", "yes", "", "FALSY"])
def test_replication_unless_it_says_no(value: str) -> None:
    assert asked(replication=value).replication


@pytest.mark.parametrize("value", ["false", "OFF", "no", "0", "f"])
def test_no_replication(value: str) -> None:
    assert not asked(replication=value).replication


def test_protocol_options_are_negotiated_not_set() -> None:
    wanted = asked(**{"_pq_.compression": "zstd"})
    assert wanted.unknown == ("_pq_.compression",)
    assert wanted.settings == {}


def test_too_many_settings() -> None:
    with pytest.raises(PeerError, match="too many"):
        asked(**{f"a{number}": "x" for number in range(65)})


@given(
    st.lists(st.tuples(names.map(lambda name: name.replace("=", "").replace("-", "_")).filter(bool), names), max_size=5)
)
def test_options_round_trip(settings: list[tuple[str, str]]) -> None:
    def escaped(text: str) -> str:
        return "".join("\\" + character for character in text)

    text = " ".join(f"-c {escaped(name)}={escaped(value)}" for name, value in settings)
    assert parse_options(text) == settings


@given(st.text(max_size=60))
def test_whatever_the_options_are(text: str) -> None:
    try:
        found = parse_options(text)
    except PeerError:
        return
    assert all(name for name, _ in found)


@given(st.dictionaries(names, names, max_size=6))
def test_whatever_is_asked_nothing_of_ours_is_passed_on(parameters: dict[str, str]) -> None:
    try:
        wanted = requested(Startup(0, {"user": "alice", "database": "orders", **parameters}))
    except (PeerError, NotAdmitted):
        return
    assert not OURS & {name.lower() for name, _ in wanted.parameters()}
