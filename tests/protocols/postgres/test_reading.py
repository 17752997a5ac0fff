from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from protocols.postgres.talk import Conversation
from session.house import House
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import Clock

from gateway.errors import LimitReached, SessionEnded
from gateway.model import CatalogueStale, ResultField, SqlOperation, Verdict
from gateway.protocols.postgres import reading as reading_module
from gateway.protocols.postgres.reading import Reading, Readings
from gateway.protocols.postgres.state import UNSURE, Ask
from gateway.sql import Analysis, Catalogue, LabelledCatalogue, unread

ROWS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "sql" / "catalogue_rows.json").read_text())
POLICY = """
labels: {pii.ssn: {columns: {orders: [public.customers.ssn]}}}
allow: [{name: read, groups: [analysts], targets: [orders], sql: {verbs: [select, create]}}]
masks: [{labels: [pii.ssn], method: redact}, {labels: [pii.ssn], groups: [clear], method: clear}]
"""
ALL = "allow: [{name: all, groups: [analysts], targets: [orders]}]"
UTF8 = b"UTF8"


def known_catalogue() -> Catalogue:
    view_columns = {int(oid): [tuple(pair) for pair in pairs] for oid, pairs in ROWS["view_columns"].items()}
    return Catalogue.from_rows(**ROWS["rows"], view_columns=view_columns)


class FakeDatabase:
    """A catalogue that is stale when the test says so."""

    def __init__(self) -> None:
        self.catalogue = known_catalogue()
        self.generation = 1
        self.stale = False
        self.changes = self.loads = self.confirmed = 0
        self.looks_again = False

    def bind(self, labels: Any, json_labels: Any) -> LabelledCatalogue:
        return self.catalogue.bind(labels, json_labels)

    def changed(self) -> None:
        self.changes += 1

    def refresh_for_unknown(self) -> bool:
        again, self.looks_again = self.looks_again, False
        self.stale = self.stale or again
        return again

    async def confirm(self, credential: object) -> None:
        self.confirmed += 1

    async def load(self, credential: object) -> None:
        self.loads += 1
        self.stale = False
        self.generation += 1


class Session:
    def __init__(self, house: House) -> None:
        self.database = FakeDatabase()
        self.corridor = house.open()
        catalogues: Any = SimpleNamespace(database=lambda target, name: self.database)
        self.readings = Readings(Clock(), catalogues, statement=1000)
        self.reading: Reading = now(ensureDeferred(self.readings.open(self.corridor)))

    def read(self, text: str | bytes, source: Any = "query", **others: Any) -> SqlOperation | None:
        raw = text.encode() if isinstance(text, str) else text
        return self.reading.read(Ask(source, raw, **others), others.pop("encoding", UTF8))

    def run(self, text: str, source: Any = "query", name: bytes = b"", portals: Any = ()) -> SqlOperation:
        """Read, and allowed."""
        ask = Ask(source, text.encode(), name, portals=portals)
        operation = self.reading.read(ask, UTF8)
        assert operation is not None
        self.reading.asked(ask, Verdict(operation, 1))
        return operation


def now(deferred: Deferred[Any]) -> Any:
    """What a Deferred has already."""
    found: list[Any] = []
    deferred.addCallback(found.append)
    [value] = found
    return value


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    house = House(tmp_path, POLICY)
    made = Session(house)
    made_house.append(house)
    yield made
    house.close()


made_house: list[House] = []


def test_labels_are_those_of_the_database(session: Session) -> None:
    operation = session.read("select ssn from customers")
    assert operation is not None
    assert operation.labels == {"pii.ssn"}
    assert session.corridor.hidden == {"pii.ssn"}
    assert session.corridor.planner is not None
    assert not session.reading.unrestricted


def test_a_statement_is_understood_once(session: Session) -> None:
    assert session.read("select 1") is session.read("select 1")
    assert session.read("select $1", types=b"\0\1\0\0\0\x19") is not session.read("select $1", types=b"\0\0")


def test_texts_that_differ_in_numbers_are_understood_once(session: Session) -> None:
    texts = [f"select id from customers where id = {number}" for number in (1, 22, 333)]
    operations, said = zip(*((session.read(text), session.reading.said) for text in texts), strict=True)
    assert operations[0] is operations[1] is operations[2]
    assert said == (None, *texts[1:])
    assert session.read(texts[1], types=b"\0\1\0\0\0\x17") is not operations[0]


def test_texts_whose_numbers_count_are_not(session: Session) -> None:
    operations = [session.read(f"select id from customers limit {limit}") for limit in (1, 1000)]
    assert [operation and operation.row_bound for operation in operations] == [1, 1000]
    assert session.reading.said is None


def test_statements_that_run_by_name_are_read_each_time(session: Session) -> None:
    session.run("prepare s as select 1")
    assert session.read("execute s") is not session.read("execute s")


def test_what_a_name_stands_for_only_grows(session: Session) -> None:
    session.run("prepare s as select 1")
    assert session.run("execute s").labels == frozenset()
    session.run("deallocate s")
    session.run("prepare s as select ssn from customers")
    session.run("deallocate s")
    session.run("prepare s as select 1")
    assert session.run("execute s").labels == {"pii.ssn"}


def test_a_parse_makes_a_name_too(session: Session) -> None:
    session.run("select ssn from customers", "parse", b"s")
    assert session.run("execute s").labels == {"pii.ssn"}


def test_a_denied_parse_makes_none(session: Session) -> None:
    ask = Ask("parse", b"select 1", b"s")
    operation = session.reading.read(ask, UTF8)
    assert operation is not None
    session.reading.asked(ask, Verdict(operation, 1, denial=SimpleNamespace()))  # type: ignore[arg-type]  # any will do
    found = session.read("execute s")
    assert found is not None
    assert found.opaque is not None


def test_a_cursor_has_its_querys_labels(session: Session) -> None:
    session.run("declare c cursor for select ssn from customers")
    assert session.run("fetch all from c").labels == {"pii.ssn"}
    assert session.run("fetch all from other").opaque is not None


def test_a_portal_is_no_cursor(session: Session) -> None:
    # Bind made a portal of that name, for another query than the cursor had: FETCH gives the portal's rows.
    session.run("declare q cursor for select 1")
    assert session.run("fetch all from q").opaque is None
    assert session.run("fetch all from q", portals={b"q"}).opaque is not None
    assert session.run("select 1; fetch all from q", portals={b"q"}).opaque is not None
    assert session.run("fetch all from q", portals={UNSURE}).opaque is not None
    assert session.run("fetch all from q", portals={b"other"}).opaque is None


@pytest.mark.parametrize(
    "text",
    ["fetch all from c", "declare c cursor for select ssn from customers", "prepare p as select ssn from customers"],
)
def test_execute_cannot_run_unseen_what_makes_or_takes_by_a_name(session: Session, text: str) -> None:
    session.run("declare c cursor for select 1")
    session.run(text, "parse", b"s")
    assert session.run(text, "execute").opaque is None, "the protocol's Execute shows the text"
    assert session.run("execute s").opaque is not None


def test_a_name_that_only_the_target_can_tell_apart(session: Session) -> None:
    session.run("prepare s as select 1")
    assert session.run("execute s").opaque is None
    session.run("select ssn from customers", "parse", UNSURE)
    assert session.run("execute s").opaque is not None


def test_text_that_cannot_be_decoded_is_opaque(session: Session) -> None:
    operation = session.reading.read(Ask("query", b"select '\x95\x5c'"), b"SJIS")
    assert operation is not None
    assert operation.opaque is not None


def test_the_same_bytes_in_another_encoding_are_another_text(session: Session) -> None:
    ask = Ask("query", 'select 1 from "é"'.encode())
    first, second = session.reading.read(ask, UTF8), session.reading.read(ask, b"LATIN1")
    assert first is not None
    assert second is not None
    assert first.text != second.text


def test_a_function_call_is_one(session: Session) -> None:
    operation = session.read("", "function")
    assert operation is not None
    assert operation.verbs == {"function_call"}


def test_a_stale_catalogue_is_loaded_first(session: Session) -> None:
    session.database.stale = True
    assert session.read("select 1") is None
    now(ensureDeferred(session.reading.prepare(Ask("query", b"select 1"), UTF8)))
    assert session.database.loads == 1
    assert session.read("select 1") is not None


def test_an_unknown_relation_looks_again_once(session: Session) -> None:
    session.database.looks_again = True
    assert session.read("select * from brand_new") is None
    now(ensureDeferred(session.reading.prepare(Ask("query", b"select * from brand_new"), UTF8)))
    assert session.read("select * from brand_new") is not None
    assert session.read("select * from customers") is not None


def test_a_newer_catalogue_is_read_anew(session: Session) -> None:
    first = session.read("select ssn from customers")
    session.database.generation += 1
    assert session.read("select ssn from customers") is not first


def test_ddl_makes_the_catalogue_stale_until_it_is_settled(session: Session) -> None:
    session.run("select 1")
    assert session.database.changes == 0
    session.run("create table t ()", "parse")
    assert session.database.changes == 0, "nothing ran yet"
    session.run("create table t ()", "execute")
    assert session.database.changes == 1
    session.reading.settled()
    assert not session.reading.changes_catalogue
    assert session.database.changes == 2


def test_what_is_not_understood_may_be_ddl(session: Session) -> None:
    session.run("create nonsense !")
    assert session.reading.changes_catalogue


def test_new_rules_count_from_the_next_statement(session: Session) -> None:
    house = made_house[-1]
    house.gate.rules = house.rules(POLICY.replace("groups: [clear]", "groups: [analysts]"))
    assert session.read("select 1") is not None
    assert session.corridor.hidden == frozenset()
    assert session.corridor.planner is None
    house.gate.rules = house.rules("allow: []")
    with pytest.raises(SessionEnded):
        session.read("select 1")


def test_a_session_that_may_do_anything_needs_no_catalogue(tmp_path: Path) -> None:
    house = House(tmp_path, ALL)
    session = Session(house)
    assert session.reading.unrestricted
    session.database.stale = True
    assert session.read("select * from anything") is not None
    house.close()


@pytest.mark.parametrize("what", ["", "sql: {verbs: [delete]}, "])
def test_a_session_that_has_to_ask_for_something_needs_one(tmp_path: Path, what: str) -> None:
    asks = f"approve: [{{name: second, targets: [orders], {what}approvers: {{groups: [dba]}}}}]"
    house = House(tmp_path, f"{ALL}\n{asks}")
    session = Session(house)
    assert not session.reading.unrestricted
    session.database.stale = True
    assert session.read("select * from anything") is None
    house.close()


def test_a_long_statement_goes_to_the_worker(session: Session) -> None:
    text = "select " + " + ".join(["1"] * 1000)
    asked: list[str] = []

    def fake_analyse(said: str) -> Deferred[Analysis]:
        asked.append(said)
        return succeed(unread(said, "it took too long"))

    session.readings.long.analyse = fake_analyse  # type: ignore[assignment,method-assign]
    assert session.read(text) is None
    now(ensureDeferred(session.reading.prepare(Ask("query", text.encode()), UTF8)))
    assert asked == [text]
    operation = session.read(text)
    assert operation is not None
    assert operation.opaque == "it took too long"


def test_a_text_that_is_too_long_is_opaque(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "MAX_TEXT", 2000)
    text = "select " + " + ".join(["1"] * 1000)
    assert session.read(text) is None
    now(ensureDeferred(session.reading.prepare(Ask("query", text.encode()), UTF8)))
    operation = session.read(text)
    assert operation is not None
    assert operation.opaque is not None
    assert "longer than" in operation.opaque


def test_there_is_an_end_to_names(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "MAX_NAMES", 2)
    session.run("prepare a as select 1")
    session.run("select 1", "parse", b"b")
    with pytest.raises(LimitReached):
        session.run("prepare c as select 1")
    monkeypatch.setattr(reading_module, "MAX_MEANINGS", 1)
    with pytest.raises(LimitReached):
        session.run("prepare a as select ssn from customers")


def field(name: bytes, table: int, number: int) -> ResultField:
    return ResultField(name, table, number, 25, -1, 0)


def test_the_planner_masks_by_provenance(session: Session) -> None:
    planner = session.corridor.planner
    assert planner is not None
    catalogue = session.database.catalogue
    [customers] = [oid for oid, one in catalogue.relations.items() if str(one) == "public.customers"]
    labelled = catalogue.bind([("public.customers.ssn", "pii.ssn")])
    [ssn] = [number for (oid, number), _ in labelled.columns.items() if oid == customers and number > 0]
    operation = session.run("select ssn, upper(ssn) from customers")
    plan = planner.plan((field(b"a", customers, ssn), field(b"b", 0, 0)), operation, final=False)
    assert plan is not None
    assert getattr(plan, "masked", None) == (0, 1)
    assert planner.plan((field(b"a", 0, 0),), session.run("select 1"), final=False) is None
    with pytest.raises(CatalogueStale):
        planner.plan((field(b"a", 99_999_999, 1),), operation, final=False)
    assert planner.plan((field(b"a", 99_999_999, 1),), operation, final=True) is not None
    opaque = session.run("create nonsense !")
    assert planner.plan((field(b"a", 0, 0),), opaque, final=False) is not None


DETECTED = """
labels: {pii.email: {detector: email}, hr.staff: {detector: staff}}
detectors: {staff: {pattern: 'E[0-9]{6}'}}
allow: [{name: all, groups: [analysts], targets: [orders]}]
masks: [{labels: [hr.staff], groups: [analysts], method: clear}]
"""


def test_values_are_searched_for_where_no_column_is_hidden(tmp_path: Path) -> None:
    house = House(tmp_path, DETECTED)
    made = Session(house)
    operation = made.read("select note from customers")
    assert operation is not None
    planner = made.corridor.planner
    assert planner is not None
    mask = planner.plan((field(b"note", 99_999, 1),), operation, final=False)
    assert mask is not None
    row = b"D" + struct.pack("!ihi", 40, 1, 30) + b"E123456 wrote to a@example.com"
    assert mask.apply(row) == b"D" + struct.pack("!ihi", 31, 1, 21) + b"E123456 wrote to ****"
    assert not made.corridor.hidden, "what is denied because of hidden columns is not denied here"
    assert made.reading.unrestricted
    house.close()


def test_who_may_see_all_that_is_detected_has_no_planner(tmp_path: Path) -> None:
    house = House(tmp_path, DETECTED.replace("labels: [hr.staff]", "labels: ['*']"))
    assert Session(house).corridor.planner is None
    house.close()


def test_a_reload_renews_the_planner_that_waits_for_it(session: Session) -> None:
    planner = session.corridor.planner
    now(ensureDeferred(session.reading.reload()))
    assert session.database.loads == 1
    assert session.corridor.planner is not planner
    assert getattr(planner, "labelled", None) is not None


def test_relay_and_reading_agree_on_names() -> None:
    talk = Conversation()
    assert talk.relay._key("é".encode()) != UNSURE
