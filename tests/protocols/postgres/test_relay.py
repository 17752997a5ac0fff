from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocols.postgres import talk
from protocols.postgres.talk import (
    BOUND,
    CLOSED,
    COPY_DONE,
    COPY_FAIL,
    COPY_IN,
    COPY_OUT,
    EMPTY,
    FLUSH,
    FUNCTION_CALL,
    NO_DATA,
    NO_PARAMETERS,
    PARSED,
    SUSPENDED,
    SYNC,
    TERMINATE,
    Conversation,
    Corridor,
    FakePlanner,
    bind,
    cell,
    close,
    copy_data,
    copy_out,
    describe,
    described,
    done,
    execute,
    fields,
    kinds,
    marker,
    message,
    notification,
    operation,
    parse,
    query,
    ready,
    refused,
    report,
    row,
    status,
)

from gateway.errors import LimitReached, PeerError
from gateway.model import Verdict
from gateway.protocols.postgres import relay as relay_module
from gateway.protocols.postgres.state import UNSURE, Ask


def masked() -> Conversation:
    return Conversation(Corridor(FakePlanner()))


# --- allowed operations pass as they are ----------------------------------------------------------------------


def test_a_simple_query_and_its_answer_pass_untouched() -> None:
    talk = Conversation()
    assert talk.client(query(b"select 1")) == query(b"select 1")
    answer = described(b"?column?") + row(b"1") + done() + ready()
    assert talk.target(answer) == answer
    assert talk.ended == [(1, "SELECT 1")]
    assert talk.results[0].rows == 1
    assert talk.results[0].columns == ("?column?",)
    assert talk.relay.idle


def test_several_statements_of_one_query_have_several_results() -> None:
    talk = Conversation()
    talk.client(query(b"select 1; select 2; "))
    talk.target(described(b"a"), row(b"1"), row(b"2"), done(b"SELECT 2"), described(b"b"), row(b"2"), done(), ready())
    assert [(one.status, one.rows, one.columns) for one in talk.results] == [
        ("SELECT 2", 2, ("a",)),
        ("SELECT 1", 1, ("b",)),
    ]


def test_an_empty_query() -> None:
    talk = Conversation()
    talk.client(query(b""))
    assert talk.target(EMPTY, ready()) == EMPTY + ready()


def test_the_extended_protocol_passes_untouched_and_is_asked_at_parse_and_at_execute() -> None:
    talk = Conversation()
    batch = parse(b"select $1", types=[25]) + bind(b"", b"", b"x") + describe() + execute() + SYNC
    assert talk.client(batch) == batch
    answer = PARSED + BOUND + described(b"a") + row(b"x") + done() + ready()
    assert talk.target(answer) == answer
    parsed, executed = talk.corridor.asked
    assert (parsed.source, parsed.text, parsed.types) == ("parse", b"select $1", struct.pack("!hi", 1, 25))
    assert (executed.source, executed.text, executed.parameters) == ("execute", b"select $1", (b"x",))
    assert talk.ended == [(2, "SELECT 1")]


def test_flush_is_forwarded_and_answered_by_nothing() -> None:
    talk = Conversation()
    assert talk.client(parse(b"select 1", b"s"), FLUSH) == parse(b"select 1", b"s") + FLUSH
    assert talk.target(PARSED) == PARSED
    assert not talk.relay.idle or talk.relay.status == ord("I")


def test_terminate_is_forwarded() -> None:
    talk = Conversation()
    assert talk.client(TERMINATE) == TERMINATE
    assert talk.relay.terminated


def test_a_portal_may_be_executed_in_parts() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1"), bind(), execute(rows=1), execute(rows=1), SYNC)
    answer = PARSED + BOUND + row(b"1") + SUSPENDED + done(b"SELECT 0") + ready()
    assert talk.target(answer) == answer
    assert talk.ended == [(2, "suspended"), (3, "SELECT 0")]


def test_pipelines_with_several_syncs() -> None:
    talk = Conversation()
    one = parse(b"select 1") + bind() + execute() + SYNC
    assert talk.client(one * 3) == one * 3
    answer = PARSED + BOUND + row(b"1") + done() + ready()
    assert talk.target(answer * 3) == answer * 3
    assert talk.relay.idle


# --- denial by the target's own refusal ----------------------------------------------------------------------


def test_a_denied_query_reaches_the_target_as_its_marker_only() -> None:
    talk = Conversation()
    assert talk.client(query(b"drop table t")) == query(marker(1))
    heard = talk.target(refused(marker(1)), ready())
    assert kinds(heard) == "EZ"
    error = fields(heard)
    assert error["C"] == b"42501"
    assert error["M"] == b'permission denied by policy: "nobody destroys"'
    assert error["D"] == b"Request 1."
    assert error["H"] == b"ask the DBA"
    assert b"OSTIARY_DENIED" not in heard
    assert talk.ended == [(1, "42501")]


def test_in_a_transaction_the_status_is_the_targets_own() -> None:
    talk = Conversation()
    talk.client(query(b"begin"))
    talk.target(done(b"BEGIN"), ready(b"T"))
    talk.client(query(b"drop table t"))
    assert talk.target(refused(marker(2)), ready(b"E"))[-1:] == b"E"
    assert talk.relay.status == ord("E")


def test_a_denied_parse_is_refused_and_the_rest_of_its_batch_skipped() -> None:
    talk = Conversation()
    to_target = talk.client(parse(b"drop table t", b"s"), bind(b"", b"s"), describe(), execute(), SYNC)
    assert b"drop table" not in to_target
    assert talk.target(refused(marker(1)), ready())[:1] == b"E"
    assert talk.relay.idle
    # the name was never defined
    assert kinds(talk.client(bind(b"", b"s"), SYNC)) == "BS"


def test_a_denied_execute_names_a_portal_that_is_none() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", b"s"), SYNC)
    talk.target(PARSED, ready())
    talk.corridor.denied = "select"
    assert talk.client(bind(b"", b"s"), execute(), SYNC) == bind(b"", b"s") + execute(marker(2)) + SYNC
    heard = talk.target(BOUND, report(C=b"34000", M=b'portal "' + marker(2) + b'" does not exist'), ready())
    assert kinds(heard) == "2EZ"
    assert fields(heard[len(BOUND) :])["C"] == b"42501"


def test_a_denied_function_call_becomes_a_query() -> None:
    talk = Conversation()
    assert talk.client(FUNCTION_CALL) == query(marker(1))
    assert fields(talk.target(refused(marker(1)), ready()))["C"] == b"42501"


def test_an_allowed_function_call_is_answered() -> None:
    talk = Conversation()
    talk.relay.receive_client(FUNCTION_CALL)
    talk.answer(lambda ask: Verdict(talk_operation(b""), 1))
    assert talk.to_target() == FUNCTION_CALL
    answer = message(b"V", struct.pack("!i", 1000) + b"x" * 1000) + ready()
    assert talk.target(answer) == answer
    assert talk.ended == [(1, "FUNCTION")]


talk_operation = talk.operation


def test_an_error_that_is_not_the_markers_stays_the_targets() -> None:
    talk = Conversation()
    talk.client(query(b"drop table t"))
    gone = report(C=b"57P01", M=b"terminating connection")
    assert talk.target(gone) == gone


def test_a_marker_in_somebody_elses_error_is_not_rewritten() -> None:
    talk = Conversation()
    talk.client(query(b"select 1"))
    error = refused(marker(1))
    assert talk.target(error, ready()) == error + ready()


# --- skip until Sync ------------------------------------------------------------------------------------------


def test_after_an_error_everything_up_to_sync_is_skipped_here_as_there() -> None:
    talk = Conversation()
    talk.client(parse(b"selec", b"s"), FLUSH)
    talk.target(report())
    asked = len(talk.corridor.asked)
    assert (
        talk.client(bind(b"", b"s"), execute(), query(b"drop table t"), parse(b"drop"), copy_data(b"x"), FLUSH) == b""
    )
    assert len(talk.corridor.asked) == asked
    assert talk.client(SYNC, query(b"select 2")) == SYNC + query(b"select 2")
    assert talk.target(ready(), done(), ready()) == ready() + done() + ready()


def test_a_question_that_waits_while_its_batch_fails_is_dropped() -> None:
    talk = Conversation(patient=True)
    talk.client(parse(b"selec", b"s"))
    talk.answer()
    talk.client(FLUSH, execute(b"x"))
    assert talk.relay.holding
    talk.target(report())
    talk.to_target()
    talk.answer()
    assert talk.to_target() == b""
    assert not talk.relay.holding


def test_terminate_passes_while_skipping() -> None:
    talk = Conversation()
    talk.client(parse(b"selec"), FLUSH)
    talk.target(report())
    assert talk.client(TERMINATE) == TERMINATE


def test_a_query_error_skips_nothing() -> None:
    talk = Conversation()
    talk.client(query(b"selec"), parse(b"select 1"), SYNC)
    heard = report() + ready() + PARSED + ready()
    assert talk.target(heard) == heard
    assert talk.relay.idle


def test_an_error_at_sync_is_the_commits() -> None:
    talk = Conversation()
    talk.client(parse(b"insert"), bind(), execute(), SYNC)
    heard = PARSED + BOUND + done(b"INSERT 0 1") + report(C=b"23503") + ready()
    assert talk.target(heard) == heard
    assert talk.relay.idle


# --- names ----------------------------------------------------------------------------------------------------


def test_a_statement_of_an_earlier_batch_is_waited_for() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", b"s"), SYNC)
    assert talk.client(bind(b"", b"s"), execute(), SYNC) == b""
    assert talk.relay.holding, "don't read more of them"
    talk.target(PARSED, ready())
    assert kinds(talk.to_target()) == "BES"


def test_a_parse_that_fails_in_flight_leaves_what_the_name_stood_for() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", b"s"), SYNC)
    talk.target(PARSED, ready())
    talk.client(parse(b"select 2", b"s"), SYNC, bind(b"", b"s"), execute(), SYNC)
    talk.target(report(C=b"42P05"), ready())
    assert kinds(talk.to_target()) == "BES"
    assert talk.corridor.asked[-1].text == b"select 1"


def test_a_parse_that_fails_in_flight_was_never_there() -> None:
    talk = Conversation()
    talk.client(parse(b"selec", b"s"), SYNC, bind(b"", b"s"), execute(), SYNC)
    talk.target(report(), ready())
    assert kinds(talk.to_target()) == "BES"
    assert talk.corridor.asked[-1].text == b'EXECUTE "s"', "it may be SQL's own PREPARE"


def test_what_waits_for_a_name_waits_for_no_answer_that_the_target_holds_back() -> None:
    # The target keeps its answers to Close and Parse until a Flush or Sync, and those wait behind Describe.
    talk = Conversation()
    talk.client(bind(b"p", b"nothing"), SYNC)
    assert kinds(talk.client(close(b"p", b"P"), parse(b"select 1"), describe(b"p"), FLUSH, SYNC)) == "CP"
    talk.target(report(), ready())
    assert kinds(talk.to_target()) == "DHS"


def test_the_unnamed_statement_is_replaced_by_each_parse() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1"), parse(b"select 2"), bind(), execute(), SYNC)
    assert talk.corridor.asked[-1].text == b"select 2"


def test_close_and_parse_again_in_one_batch() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", b"s"), SYNC)
    talk.target(PARSED, ready())
    talk.client(close(b"s"), parse(b"select 2", b"s"), bind(b"", b"s"), execute(), SYNC)
    assert talk.corridor.asked[-1].text == b"select 2"
    talk.target(CLOSED, PARSED, BOUND, done(), ready())
    talk.client(bind(b"", b"s"), execute(), SYNC)
    assert talk.corridor.asked[-1].text == b"select 2"


def test_a_closed_statement_is_unknown() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", b"s"), close(b"s"), SYNC)
    talk.target(PARSED, CLOSED, ready())
    talk.client(bind(b"", b"s"), execute(), SYNC)
    assert talk.corridor.asked[-1].text == b'EXECUTE "s"'


def test_portals_end_with_the_transaction() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1"), bind(b"p"), SYNC)
    talk.target(PARSED, BOUND, ready(b"T"))
    talk.client(execute(b"p"), SYNC)
    assert talk.corridor.asked[-1].text == b"select 1"
    talk.target(done(), ready(b"I"))
    talk.client(execute(b"p"), SYNC)
    assert talk.corridor.asked[-1].text == b'FETCH ALL FROM "p"', "it may be a cursor that SQL holds"


def test_a_portal_of_a_later_batch_survives_the_earlier_ones_end() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", b"s"), SYNC)
    talk.target(PARSED, ready())
    talk.client(SYNC, bind(b"p", b"s"))
    talk.target(ready(b"I"))
    talk.client(execute(b"p"))
    assert talk.corridor.asked[-1].text == b"select 1"


def test_a_query_destroys_the_unnamed_statement_and_portal() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1"), bind(), SYNC)
    talk.target(PARSED, BOUND, ready(b"T"))
    talk.client(query(b"select 2"))
    talk.target(done(), ready(b"T"))
    talk.client(execute(), SYNC)
    assert talk.corridor.asked[-1].text == b'FETCH ALL FROM ""'


@pytest.mark.parametrize("over", ["query", "execute"])
def test_sql_prepare_makes_a_name_unknown(over: str) -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", b"s"), SYNC)
    talk.target(PARSED, ready())
    if over == "query":
        talk.client(query(b"deallocate names s"))
        talk.target(done(b"DEALLOCATE"), ready())
    else:
        talk.client(parse(b"deallocate names s"), bind(), execute(), SYNC)
        talk.target(PARSED, BOUND, done(b"DEALLOCATE"), ready())
    talk.client(bind(b"", b"s"), execute(), SYNC)
    assert talk.corridor.asked[-1].text == b'EXECUTE "s"'


def test_a_name_is_quoted_as_sql() -> None:
    talk = Conversation()
    talk.client(bind(b"", b's"; drop'), execute(), SYNC)
    assert talk.corridor.asked[-1].text == b'EXECUTE "s""; drop"'


def test_names_are_told_apart_by_63_bytes_as_the_target_does() -> None:
    # Else Parse of a shorter name could change what a longer one stands for, behind our back.
    talk = Conversation()
    talk.client(parse(b"select 1", b"s" * 70), SYNC)
    talk.target(PARSED, ready())
    talk.client(close(b"s" * 63), parse(b"select ssn", b"s" * 63), SYNC)
    talk.target(CLOSED, PARSED, ready())
    talk.client(bind(b"p" * 80, b"s" * 70), execute(b"p" * 64), SYNC)
    assert talk.corridor.asked[-1].text == b"select ssn"


def test_a_name_that_is_converted_by_the_target_is_never_taken_for_known() -> None:
    talk = Conversation()
    talk.relay.parameter(b"client_encoding", b"LATIN1")
    talk.client(parse(b"select 1", b"\xe9"), SYNC)
    talk.target(PARSED, ready(b"T"))
    assert talk.corridor.asked[0].name == UNSURE
    talk.client(bind(b"", b"\xe9"), execute(), SYNC)
    talk.target(BOUND, done(), ready(b"T"))
    assert talk.corridor.asked[-1].text == b'EXECUTE "\xe9"'
    talk.client(parse(b"select 1", b"s"), bind(b"\xe9", b"s"), execute(b"\xe9"), close(b"\xe9", b"P"), SYNC)
    assert talk.corridor.asked[-1].text == b'FETCH ALL FROM "\xe9"'
    talk.target(PARSED, BOUND, done(), CLOSED, ready(b"T"))
    talk.client(query(b"fetch all from c"))
    assert UNSURE in talk.corridor.asked[-1].portals


def test_a_name_in_utf_8_is_known() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", "é".encode()), bind(b"", "é".encode()), execute(), SYNC)
    assert talk.corridor.asked[-1].text == b"select 1"


def test_a_portal_stays_noted_when_sql_gives_its_name_to_a_cursor() -> None:
    # DECLARE may fail, and the portal be fetched from: what runs is then not what the cursor was to be.
    talk = Conversation()
    talk.client(parse(b"select ssn"), bind(b"q"), SYNC)
    talk.target(PARSED, BOUND, ready(b"T"))
    talk.client(query(b"declare names q"))
    talk.target(report(C=b"42P03"), ready(b"E"))
    talk.client(execute(b"q"), SYNC)
    asked = talk.corridor.asked[-1]
    assert asked.text == b'FETCH ALL FROM "q"'
    assert b"q" in asked.portals
    talk.target(report(C=b"25P02"), ready(b"E"))
    talk.client(query(b"rollback"))
    talk.target(done(b"ROLLBACK"), ready(b"I"))
    talk.client(query(b"fetch all from q"))
    assert b"q" not in talk.corridor.asked[-1].portals


def test_a_bind_that_fails_makes_no_portal() -> None:
    talk = Conversation()
    talk.client(parse(b"select 1", b"s"), bind(b"p", b"s"), SYNC)
    talk.target(PARSED, report(), ready(b"T"))
    talk.client(execute(b"p"), SYNC)
    assert talk.corridor.asked[-1].text == b'FETCH ALL FROM "p"'


def test_there_is_an_end_to_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_NAMES", 2)
    talk = Conversation()
    talk.client(parse(b"select 1", b"a"), parse(b"select 1", b"b"), bind(b"a", b"a"), bind(b"b", b"b"))
    with pytest.raises(LimitReached, match="portals"):
        talk.client(bind(b"c", b"a"))
    with pytest.raises(LimitReached, match="prepared statements"):
        talk.client(parse(b"select 1", b"c"))


def test_a_full_pipeline_waits_until_the_target_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_SENT", 10)
    talk = Conversation()
    forwarded = talk.client(SYNC * 25)
    assert forwarded == SYNC * 10
    assert talk.relay.holding
    heard = b""
    for _ in range(25):
        heard += talk.target(ready())
        forwarded += talk.to_target()
    assert forwarded == SYNC * 25
    assert heard == ready() * 25
    assert talk.relay.idle


def test_a_full_pipeline_waits_between_questions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_SENT", 10)
    talk = Conversation()
    assert kinds(talk.client(query(b"select 1") * 25)) == "Q" * 10


def test_a_long_failed_batch_is_taken_back_in_a_moment() -> None:
    talk = Conversation()
    talk.client(parse(b"selec"), *[parse(b"select 1", b"")] * 5000, SYNC)
    assert talk.target(report(), ready()) == report() + ready()
    talk.client(bind(), execute(), SYNC)
    assert talk.corridor.asked[-1].text == b'EXECUTE ""'


# --- masks ----------------------------------------------------------------------------------------------------


def test_rows_of_a_query_are_masked_and_others_pass() -> None:
    talk = masked()
    talk.client(query(b"select name, ssn"))
    heard = talk.target(
        described((b"name", 99, 1), (b"ssn", 99, 2)), row(b"Ann", b"900-11-1111"), row(None, None), done()
    )
    assert heard == described((b"name", 99, 1), (b"ssn", 99, 2)) + row(b"Ann", b"****") + row(None, None) + done()
    talk.target(ready())
    talk.client(query(b"select name"))
    answer = described((b"name", 99, 1)) + row(b"Ann") + done() + ready()
    assert talk.target(answer) == answer
    assert [(one.columns, one.masked) for one in talk.results] == [(("name", "ssn"), ("ssn",)), (("name",), ())]


def test_each_result_of_a_query_has_its_own_mask() -> None:
    talk = masked()
    talk.client(query(b"select both"))
    heard = talk.target(
        described((b"ssn", 9, 1)), row(b"900"), done(), described((b"name", 9, 2)), row(b"Ann"), done(), ready()
    )
    assert row(b"****") in heard
    assert row(b"Ann") in heard
    assert b"900" not in heard


def test_a_described_portal_is_masked_by_its_own_description() -> None:
    talk = masked()
    batch = parse(b"select ssn") + bind() + describe() + execute() + SYNC
    assert talk.client(batch) == batch, "nothing is inserted where the client asks itself"
    heard = talk.target(PARSED, BOUND, described((b"ssn", 9, 1)), row(b"900"), done(), ready())
    assert heard == PARSED + BOUND + described((b"ssn", 9, 1)) + row(b"****") + done() + ready()
    assert (talk.results[-1].columns, talk.results[-1].masked) == (("ssn",), ("ssn",))


def test_where_the_client_does_not_describe_we_do_and_keep_the_answer() -> None:
    talk = masked()
    to_target = talk.client(parse(b"select ssn"), bind(), execute(), SYNC)
    assert to_target == parse(b"select ssn") + bind() + describe() + execute() + SYNC
    heard = talk.target(PARSED, BOUND, described((b"ssn", 9, 1)), row(b"900"), done(), ready())
    assert heard == PARSED + BOUND + row(b"****") + done() + ready()


def test_no_data_for_our_own_describe_is_kept_too() -> None:
    talk = masked()
    talk.client(parse(b"insert"), bind(), execute(), SYNC)
    heard = talk.target(PARSED, BOUND, NO_DATA, done(b"INSERT 0 1"), ready())
    assert heard == PARSED + BOUND + done(b"INSERT 0 1") + ready()


def test_a_suspended_portal_keeps_its_mask() -> None:
    talk = masked()
    talk.client(parse(b"select ssn"), bind(b"p"), execute(b"p", 1), FLUSH)
    talk.target(PARSED, BOUND, described((b"ssn", 9, 1)), row(b"900"), SUSPENDED)
    assert talk.client(execute(b"p", 1), SYNC) == execute(b"p", 1) + SYNC
    assert talk.target(row(b"901"), done(), ready()) == row(b"****") + done() + ready()


def test_a_cursor_of_sql_is_described_too() -> None:
    talk = masked()
    assert talk.client(execute(b"c"), SYNC) == describe(b"c") + execute(b"c") + SYNC
    assert talk.target(described((b"ssn", 9, 1)), row(b"900"), done(), ready()) == row(b"****") + done() + ready()


def test_execute_is_masked_by_what_it_runs_now() -> None:
    # EXECUTE foo, when foo was harmless as the portal was described and is no longer: same columns, other values.
    talk = masked()
    talk.client(parse(b"execute foo", b"s"), bind(b"q", b"s"), describe(b"q"), SYNC)
    talk.target(PARSED, BOUND, described(b"a"), ready(b"T"))
    labelled = talk_operation(b"execute foo", frozenset({"pii.ssn"}))
    talk.relay.receive_client(execute(b"q") + SYNC)
    talk.answer(lambda ask: Verdict(labelled, 9, talk.corridor.planner, True))
    assert talk.to_target() == describe(b"q") + execute(b"q") + SYNC
    assert talk.target(described(b"a"), row(b"900"), done(), ready()) == row(b"****") + done() + ready()


def test_a_new_planner_plans_anew() -> None:
    talk = masked()
    talk.client(parse(b"select ssn"), bind(b"p"), describe(b"p"), execute(b"p", 1), SYNC)
    talk.target(PARSED, BOUND, described((b"ssn", 9, 1)), row(b"900"), SUSPENDED, ready(b"T"))
    talk.corridor.planner = FakePlanner()
    assert talk.client(execute(b"p", 1), SYNC) == describe(b"p") + execute(b"p", 1) + SYNC
    assert talk.target(described((b"ssn", 9, 1)), row(b"901"), done(), ready()) == row(b"****") + done() + ready()


def test_describing_again_while_rows_come_does_no_harm() -> None:
    talk = masked()
    talk.client(parse(b"select ssn"), bind(b"p"), describe(b"p"), execute(b"p"), FLUSH)
    talk.target(PARSED, BOUND, described((b"ssn", 9, 1)), row(b"900"))
    talk.client(describe(b"p"), SYNC)
    heard = talk.target(row(b"901"), done(), described((b"ssn", 9, 1)), ready())
    assert heard == row(b"****") + done() + described((b"ssn", 9, 1)) + ready()


def test_rows_that_nobody_described_end_the_session() -> None:
    talk = masked()
    talk.client(query(b"select ssn"))
    with pytest.raises(PeerError, match="without describing"):
        talk.target(row(b"900"))


def test_rows_split_at_every_byte_are_masked_alike() -> None:
    answer = described((b"name", 9, 1), (b"ssn", 9, 2)) + row(b"Ann", b"900") + row(b"Bob", b"901") + done() + ready()
    for cut in range(1, len(answer)):
        talk = masked()
        talk.client(query(b"select ssn"))
        heard = talk.target(answer[:cut]) + talk.target(answer[cut:])
        assert (
            heard
            == described((b"name", 9, 1), (b"ssn", 9, 2))
            + row(b"Ann", b"****")
            + row(b"Bob", b"****")
            + done()
            + ready()
        )


def test_a_row_that_does_not_parse_ends_the_session() -> None:
    for bad in (
        message(b"D", struct.pack("!hi", 1, 100) + b"short"),
        message(b"D", struct.pack("!hi", 1, -2)),
        message(b"D", struct.pack("!h", 7)),
        message(b"D", struct.pack("!hi", 1, 2**31 - 1)),
        message(b"D", b""),
    ):
        talk = masked()
        talk.client(query(b"select ssn"))
        talk.target(described((b"ssn", 9, 1)))
        with pytest.raises(PeerError):
            talk.target(bad, done(), ready())
        assert talk.to_client() == b""


def test_a_masked_row_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_MASKED_ROW", 1000)
    talk = masked()
    talk.client(query(b"select ssn"))
    talk.target(described((b"ssn", 9, 1)))
    with pytest.raises(LimitReached, match="1000 bytes"):
        talk.target(row(b"9" * 2000)[:100])


def test_a_large_row_without_masks_streams() -> None:
    talk = Conversation()
    talk.client(query(b"select big"))
    talk.target(described(b"a"))
    big = row(b"x" * 1_000_000)
    for at in range(0, len(big), 9000):
        assert talk.target(big[at : at + 9000]) == big[at : at + 9000], "nothing is held back"
    assert talk.target(done(), ready()) == done() + ready()
    assert talk.results[0].rows == 1
    assert talk.results[0].size == len(big)


def test_a_large_message_of_the_target_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MAX_SERVER", 1000)
    talk = Conversation()
    talk.client(query(b"select 1"))
    with pytest.raises(LimitReached):
        talk.target(b"E" + struct.pack("!i", 5000))


# --- the catalogue --------------------------------------------------------------------------------------------


def test_an_unknown_relation_waits_for_the_catalogue() -> None:
    planner = FakePlanner(unknown=frozenset({99}))
    talk = Conversation(Corridor(planner))
    talk.client(query(b"select new"))
    assert talk.target(described((b"a", 99, 1)), row(b"900"), done()) == b""
    assert talk.relay.stale
    assert talk.target(ready()) == b"", "order is kept"
    planner.unknown = frozenset()
    talk.relay.catalogue_reloaded()
    assert talk.to_client() == described((b"a", 99, 1)) + row(b"900") + done() + ready()


def test_what_is_unknown_even_then_is_masked() -> None:
    talk = Conversation(Corridor(FakePlanner(unknown=frozenset({99}))))
    talk.client(query(b"select new"))
    talk.target(done(b"SET"), described((b"a", 99, 1)), row(b"900"), done(), ready())
    talk.relay.catalogue_reloaded()
    assert row(b"****") in talk.to_client()
    assert not talk.relay.stale


def test_the_last_word_counts_for_one_result_only() -> None:
    planner = FakePlanner(unknown=frozenset({99}))
    talk = Conversation(Corridor(planner))
    talk.client(query(b"select new"), query(b"select new"))
    one = described((b"a", 99, 1)) + row(b"900") + done() + ready()
    talk.target(one, one)
    talk.relay.catalogue_reloaded()
    assert talk.to_client() == described((b"a", 99, 1)) + row(b"****") + done() + ready()
    assert talk.relay.stale, "the second result asks again"


# --- detection on texts that are no rows ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"E", b"N"])
def test_errors_and_notices_are_searched(kind: bytes) -> None:
    talk = Conversation(Corridor(FakePlanner(hides=False, finds=b"900-11-1111")))
    talk.client(query(b"select 1"))
    heard = fields(talk.target(report(kind, M=b"got 900-11-1111", D=b"in 900-11-1111", n=b"a_key")))
    assert (heard["M"], heard["D"], heard["n"], heard["C"]) == (b"got ####", b"in ####", b"a_key", b"42601")


def test_notifications_and_settings_are_searched() -> None:
    talk = Conversation(Corridor(FakePlanner(hides=False, finds=b"900-11-1111")))
    assert talk.target(notification(b"c", b"x 900-11-1111")) == notification(b"c", b"x ####")
    assert talk.target(notification(b"c", b"x")) == notification(b"c", b"x")
    assert talk.target(status(b"application_name", b"900-11-1111")) == status(b"application_name", b"####")
    assert talk.target(status(b"search_path", b"a, 900-11-1111")) == status(b"search_path", b"a, ####")
    assert talk.target(status(b"TimeZone", b"UTC")) == status(b"TimeZone", b"UTC")


@pytest.mark.parametrize(("value", "shown"), [(b"900-11-1111", None), (b"1", b"1"), (None, None)])
def test_the_result_of_a_function_call_is_searched(value: bytes | None, shown: bytes | None) -> None:
    planner = FakePlanner(hides=False, finds=b"900-11-1111")
    talk = Conversation(Corridor(planner), patient=True)
    talk.client(FUNCTION_CALL)
    talk.answer(lambda ask: Verdict(operation(b"call"), 1, planner))
    assert talk.target(message(b"V", cell(value)), ready()) == message(b"V", cell(shown)) + ready()


# --- rows that would hold up others ---------------------------------------------------------------------------


def test_large_rows_are_rewritten_elsewhere_and_what_follows_waits() -> None:
    talk = Conversation(Corridor(FakePlanner(at_once=100)))
    talk.relay.keep_rows = True
    talk.client(query(b"select t"))
    large = row(b"x" * 200)
    assert talk.target(described(b"ssn"), row(b"1")) == described(b"ssn") + row(b"****")
    assert talk.target(large, done(), ready()) == b""
    assert talk.relay.large is not None
    rewriter, rows = talk.relay.large
    assert rows == large
    assert talk.target(status(b"TimeZone", b"UTC")) == b"", "order is kept"
    assert not talk.relay.quiet
    assert not talk.results
    talk.relay.rewritten(rewriter.apply(rows))
    assert talk.to_client() == row(b"****") + done() + ready() + status(b"TimeZone", b"UTC")
    assert talk.relay.idle
    assert [(result.rows, result.size) for result in talk.results] == [(2, 2 * len(row(b"****")))]
    assert b"".join(data for _, data in talk.relay.kept) == 2 * row(b"****")


def test_large_rows_byte_by_byte() -> None:
    talk = Conversation(Corridor(FakePlanner(at_once=10)))
    talk.client(query(b"select t"))
    heard = b""
    for at in described(b"ssn") + row(b"secret") * 2 + done() + ready():
        heard += talk.target(bytes([at]))
        if talk.relay.large is not None:
            talk.relay.rewritten(talk.relay.large[0].apply(talk.relay.large[1]))
            heard += talk.to_client()
    assert heard == described(b"ssn") + row(b"****") * 2 + done() + ready()


# --- errors and notices ---------------------------------------------------------------------------------------

LEAKY = report(C=b"23505", M=b"duplicate key", D=b"Key (ssn)=(900-11-1111) already exists.", n=b"customers_ssn_key")


def test_errors_of_a_labelled_statement_say_no_values() -> None:
    talk = masked()
    talk.client(query(b"insert ssn"))
    heard = talk.target(LEAKY, ready())
    assert b"900" not in heard
    error = fields(heard)
    assert (error["C"], error["n"]) == (b"23505", b"customers_ssn_key")
    assert "D" not in error


def test_errors_of_others_pass() -> None:
    talk = masked()
    talk.client(query(b"insert name"))
    assert talk.target(LEAKY, ready()) == LEAKY + ready()


def test_notices_of_a_labelled_statement_say_no_values() -> None:
    talk = masked()
    talk.client(query(b"select ssn"))
    assert b"900" not in talk.target(report(b"N", C=b"00000", M=b"raised 900-11-1111"))


def test_a_deferred_constraint_speaks_at_commit() -> None:
    talk = masked()
    talk.client(query(b"begin"))
    talk.target(done(b"BEGIN"), ready(b"T"))
    talk.client(query(b"insert ssn"))
    talk.target(done(b"INSERT 0 1"), ready(b"T"))
    talk.client(query(b"commit"))
    assert b"900" not in talk.target(LEAKY, ready(b"I"))
    talk.client(query(b"insert name"))
    assert talk.target(LEAKY) == LEAKY, "the transaction is over"


def test_a_deferred_constraint_speaks_at_sync() -> None:
    talk = masked()
    talk.client(parse(b"insert ssn"), bind(), execute(), SYNC)
    assert b"900" not in talk.target(PARSED, BOUND, NO_DATA, done(b"INSERT 0 1"), LEAKY, ready(b"I"))


def test_an_error_of_bind_or_parse_is_withheld_as_well() -> None:
    talk = masked()
    talk.client(parse(b"select ssn"), bind(), SYNC)
    assert b"900" not in talk.target(PARSED, LEAKY, ready())


def test_asynchronous_messages_pass_at_any_time() -> None:
    talk = Conversation()
    news = report(b"N") + notification(b"ch", b"hello") + status(b"TimeZone", b"UTC")
    assert talk.target(news) == news
    talk.client(parse(b"select 1"), bind(), describe(), execute(), SYNC)
    answer = [PARSED, BOUND, described(b"a"), row(b"1"), done(), ready()]
    assert talk.target(*(part for one in answer for part in (news, one))) == b"".join(news + one for one in answer)


def test_asynchronous_messages_pass_while_a_question_waits() -> None:
    talk = Conversation(patient=True)
    talk.client(query(b"select 1"))
    assert talk.target(notification(b"ch", b"hello")) == notification(b"ch", b"hello")
    assert talk.relay.holding


def test_notifications_are_masked_where_something_is_hidden() -> None:
    heard = masked().target(notification(b"ch", b"900-11-1111"))
    assert heard[:1] == b"A"
    assert b"ch\0" in heard
    assert b"900" not in heard


def test_application_name_cannot_carry_values_out() -> None:
    talk = masked()
    assert b"900" not in talk.target(status(b"application_name", b"900-11-1111"))
    own = status(b"application_name", b"ostiary")
    assert talk.target(own) == own


def test_settings_that_change_how_text_is_read_are_noticed() -> None:
    talk = Conversation()
    talk.target(status(b"client_encoding", b"LATIN1"), status(b"standard_conforming_strings", b"off"))
    assert talk.relay.encoding == b"LATIN1"
    assert talk.relay.unsafe is not None
    talk.target(status(b"standard_conforming_strings", b"on"))
    assert talk.relay.unsafe is None


def test_a_target_that_shuts_down_may_say_so_at_any_time() -> None:
    talk = Conversation()
    gone = report(S=b"FATAL", C=b"57P01")
    assert talk.target(gone) == gone


# --- COPY -----------------------------------------------------------------------------------------------------


def test_copy_in() -> None:
    talk = Conversation()
    talk.client(query(b"copy t from stdin"))
    assert talk.target(COPY_IN) == COPY_IN
    data = copy_data(b"1\n") + copy_data(b"x" * 100_000) + COPY_DONE
    assert talk.client(data) == data
    assert talk.target(done(b"COPY 2"), ready()) == done(b"COPY 2") + ready()
    assert talk.relay.idle


def test_copy_data_streams() -> None:
    talk = Conversation()
    talk.client(query(b"copy t from stdin"))
    talk.target(COPY_IN)
    data = copy_data(b"x" * 100_000)
    for at in range(0, len(data), 700):
        assert talk.client(data[at : at + 700]) == data[at : at + 700]


def test_copy_fails_by_the_clients_wish() -> None:
    talk = Conversation()
    talk.client(query(b"copy t from stdin"))
    talk.target(COPY_IN)
    assert talk.client(COPY_FAIL) == COPY_FAIL
    talk.target(report(C=b"57014"), ready())
    assert talk.relay.idle


def test_a_sync_during_copy_is_not_answered() -> None:
    talk = Conversation()
    talk.client(parse(b"copy t from stdin"), bind(), execute(), SYNC)
    talk.target(PARSED, BOUND, COPY_IN)
    data = copy_data(b"1\n") + SYNC + FLUSH + COPY_DONE
    assert talk.client(data) == data
    assert talk.client(SYNC) == SYNC
    talk.target(done(b"COPY 1"), ready())
    assert talk.relay.idle


def test_copy_data_sent_before_the_target_asks() -> None:
    talk = Conversation()
    talk.client(parse(b"copy t from stdin"), bind(), execute(), copy_data(b"1\n"), SYNC, COPY_DONE, SYNC)
    talk.target(PARSED, BOUND, COPY_IN)
    talk.client(query(b"select 1"))
    talk.target(done(b"COPY 1"), ready(), done(b"SELECT 1"), ready())
    assert talk.relay.idle


def test_copies_of_one_query_sent_before_the_target_asks() -> None:
    talk = Conversation()
    talk.client(
        query(b"copy t from stdin; copy t from stdin; copy t from stdin"), COPY_DONE, SYNC, COPY_FAIL, COPY_DONE
    )
    talk.client(query(b"select 1"))
    talk.target(COPY_IN, done(b"COPY 0"), COPY_IN, done(b"COPY 0"), COPY_IN, done(b"COPY 0"), ready())
    talk.target(done(b"SELECT 1"), ready())
    assert talk.relay.idle


def test_a_query_that_the_target_takes_for_copy_data() -> None:
    talk = Conversation()
    talk.client(query(b"copy t from stdin"), copy_data(b"1\n"), query(b"select 1"), COPY_DONE)
    with pytest.raises(PeerError, match="during COPY"):
        talk.target(COPY_IN)


def test_copy_that_the_target_ends_with_an_error() -> None:
    talk = Conversation()
    talk.client(parse(b"copy t from stdin"), bind(), execute(), FLUSH)
    talk.target(PARSED, BOUND, COPY_IN)
    talk.client(copy_data(b"bad\n"))
    talk.target(report(C=b"22P02"))
    assert talk.client(copy_data(b"more\n"), COPY_DONE) == b"", "the target skips all of it"
    assert talk.client(SYNC) == SYNC
    talk.target(ready())
    assert talk.relay.idle


def test_anything_else_during_copy_breaks_the_protocol() -> None:
    for wrong in (query(b"select 1"), parse(b"select 1"), bind(), execute(), describe(), close(b"s"), FUNCTION_CALL):
        talk = Conversation()
        talk.client(query(b"copy t from stdin"))
        talk.target(COPY_IN)
        with pytest.raises(PeerError, match="during COPY"):
            talk.client(wrong)


def test_what_was_sent_behind_copy_before_it_began_breaks_the_protocol_too() -> None:
    talk = Conversation()
    talk.client(query(b"copy t from stdin"), query(b"select 1"))
    with pytest.raises(PeerError, match="during COPY"):
        talk.target(COPY_IN)


def test_copy_out() -> None:
    talk = Conversation()
    talk.client(query(b"copy t to stdout"))
    answer = COPY_OUT + copy_data(b"1\n") + copy_data(b"x" * 50_000) + COPY_DONE + done(b"COPY 2") + ready()
    assert talk.target(answer) == answer
    assert talk.results[0].rows == 2


@pytest.mark.parametrize("extended", [False, True])
def test_copy_out_is_masked(extended: bool) -> None:
    text = b"copy customers ssn to stdout"
    rows = copy_data(b"1\tsecret\n") + copy_data(b"2\t\\N\n")
    shown = copy_data(b"1\t****\n") + copy_data(b"2\t\\N\n")
    talk = Conversation(Corridor(FakePlanner()))
    if extended:
        talk.client(parse(text), bind(), execute(), SYNC)
        talk.target(PARSED, BOUND, NO_DATA)
    else:
        talk.client(query(text))
    end = COPY_DONE + done(b"COPY 2") + ready()
    answer = copy_out(2) + rows + end
    assert talk.target(*(answer[at : at + 1] for at in range(len(answer)))) == copy_out(2) + shown + end
    assert talk.results[0].rows == 2
    assert talk.relay.idle


def test_copy_rows_that_are_large_are_masked_elsewhere() -> None:
    talk = Conversation(Corridor(FakePlanner(at_once=0)))
    talk.client(query(b"copy customers ssn to stdout"))
    assert talk.target(copy_out(1), copy_data(b"secret\n"), COPY_DONE, done(b"COPY 1"), ready()) == copy_out(1)
    assert talk.relay.large is not None
    rewriter, rows = talk.relay.large
    talk.relay.rewritten(rewriter.apply(rows))
    assert talk.to_client() == copy_data(b"****\n") + COPY_DONE + done(b"COPY 1") + ready()


def test_copy_out_of_what_is_not_labelled_passes() -> None:
    talk = Conversation(Corridor(FakePlanner()))
    talk.client(query(b"copy t to stdout"))
    answer = copy_out(1) + copy_data(b"1\n") + COPY_DONE + done(b"COPY 1") + ready()
    assert talk.target(answer) == answer


@pytest.mark.parametrize(
    "answer",
    [
        copy_data(b"1\tsecret\n"),
        copy_out(2, binary=True),
        message(b"H", b"\2\0\0"),
        message(b"H", b"\0\0\2\0\0"),
        copy_out(1) + copy_data(b"1\tsecret\n"),
        copy_out(2) + copy_data(b"1\tsec") + copy_data(b"ret\n"),
        copy_out(2) + done(b"COPY 0") + copy_data(b"1\tsecret\n"),
    ],
)
def test_copy_out_that_is_not_as_planned_ends_the_session(answer: bytes) -> None:
    talk = Conversation(Corridor(FakePlanner()))
    talk.client(query(b"copy customers ssn to stdout"))
    with pytest.raises(PeerError):
        talk.target(answer)


def test_copy_data_outside_of_copy_is_the_targets_to_ignore() -> None:
    talk = Conversation()
    assert talk.client(copy_data(b"x"), COPY_DONE, query(b"select 1")) == copy_data(b"x") + COPY_DONE + query(
        b"select 1"
    )


# --- peers that break the protocol ----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [-(2**31), -1, 0, 3, 2**31 - 1])
@pytest.mark.parametrize("kind", [b"Q", b"P", b"B", b"S", b"d"])
def test_hostile_lengths_of_the_client(kind: bytes, length: int) -> None:
    talk = Conversation()
    with pytest.raises(PeerError, match="length"):
        talk.client(kind + struct.pack("!i", length) + b"\0" * 64)
    assert talk.to_target() == b""


@pytest.mark.parametrize("length", [-(2**31), -1, 0, 3])
@pytest.mark.parametrize("kind", [b"D", b"d", b"T", b"E", b"Z", b"V", b"A"])
def test_hostile_lengths_of_the_target(kind: bytes, length: int) -> None:
    talk = Conversation()
    talk.client(query(b"select 1"))
    with pytest.raises(PeerError):
        talk.target(kind + struct.pack("!i", length) + b"\0" * 64)


def test_a_small_message_may_not_be_large() -> None:
    with pytest.raises(PeerError, match="length"):
        Conversation().client(b"E" + struct.pack("!i", 20_000))


@pytest.mark.parametrize("kind", [b"p", b"R", b"\0", b"\x16", b"Z", b"W"])
def test_unknown_messages_of_the_client(kind: bytes) -> None:
    with pytest.raises(PeerError, match="invalid frontend message type"):
        Conversation().client(message(kind, b"x"))


def test_a_message_cannot_hide_another_one() -> None:
    # CVE-2024-27304: a length that overflows makes the rest of a parameter a message of its own.
    hidden = query(b"drop table t")
    talk = Conversation()
    said = parse(b"select $1") + bind(b"", b"", hidden) + execute() + SYNC
    assert talk.client(said) == said
    assert [ask.text for ask in talk.corridor.asked] == [b"select $1", b"select $1"]
    with pytest.raises(PeerError):
        Conversation().client(message(b"B", b"\0\0\0\0\0\1" + struct.pack("!i", 2**31 - 1) + hidden))


def test_two_texts_in_one_query_break_the_protocol() -> None:
    with pytest.raises(PeerError, match="invalid string"):
        Conversation().client(message(b"Q", b"select 1\0drop table t\0"))


@pytest.mark.parametrize(
    "answer",
    [
        *(row(b"1"), done(), PARSED, BOUND, CLOSED, NO_DATA, described(b"a"), ready(), SUSPENDED, EMPTY, COPY_IN),
        *(NO_PARAMETERS, message(b"V", b"\xff\xff\xff\xff"), message(b"W", b"\0\0\0")),
    ],
    ids=lambda answer: chr(answer[0]),
)
def test_an_answer_that_nobody_asked_for(answer: bytes) -> None:
    for cut in range(5, len(answer) + 1):
        talk = Conversation()
        with pytest.raises(PeerError):
            talk.target(answer[:cut], answer[cut:])


@pytest.mark.parametrize(
    "answer", [PARSED, BOUND, CLOSED, NO_DATA, SUSPENDED, NO_PARAMETERS, message(b"V", b"\xff\xff\xff\xff")]
)
def test_an_answer_to_something_else(answer: bytes) -> None:
    talk = Conversation()
    talk.client(query(b"select 1"))
    with pytest.raises(PeerError, match="out of turn"):
        talk.target(answer)


def test_a_parse_that_was_denied_cannot_succeed() -> None:
    talk = Conversation()
    talk.client(parse(b"drop"), SYNC)
    with pytest.raises(PeerError, match="denied"):
        talk.target(PARSED)


def test_nothing_undecided_is_forwarded() -> None:
    talk = Conversation(patient=True)
    assert talk.client(query(b"select 1"), query(b"drop table t")) == b""
    assert talk.relay.holding
    assert talk.relay.ask is not None
    talk.relay.decided(talk.corridor(talk.relay.ask))
    assert talk.to_target() == query(b"select 1")
    assert talk.relay.ask is not None, "one question at a time"


# --- any split ------------------------------------------------------------------------------------------------

CLIENT_BATCHES = st.sampled_from(
    [
        query(b"select 1"),
        query(b"drop table t"),
        query(b"select ssn"),
        parse(b"select ssn") + bind() + execute() + SYNC,
        parse(b"select name") + bind() + describe() + execute() + SYNC,
        parse(b"drop table t") + bind() + execute() + SYNC,
        parse(b"selec") + bind() + execute() + SYNC,
        query(b"copy t from stdin") + copy_data(b"12345\n") + copy_data(b"6") + COPY_DONE,
        close(b"nothing") + FLUSH + SYNC,
        FUNCTION_CALL,
    ]
)


def answers_to(to_target: bytes) -> bytes:
    """What a target would say to these messages, as far as the tests need it."""
    out = b""
    text = b""
    skipping = False
    for one in talk.split(to_target):
        kind = one[:1]
        if kind == b"S":
            out += ready()
            skipping = False
        elif skipping:
            continue
        elif kind in b"QP":
            text = one[5:]
            if b"DENIED" in text or b"selec\0" in text:
                marked = text.split(b"\0")[0 if kind == b"Q" else 1]
                out += refused(marked) if b"DENIED" in text else report()
                skipping = kind == b"P"
                out += b"" if skipping else ready()
            elif kind == b"P":
                out += PARSED
            elif b"copy" in text:
                out += COPY_IN + done(b"COPY 2") + ready()
            else:
                out += rows(text, describe=True) + ready()
        elif kind in b"BC":
            out += BOUND if kind == b"B" else CLOSED
        elif kind == b"D":
            out += columns(text)
        elif kind == b"E":
            out += rows(text, describe=False)
    return out


def columns(text: bytes) -> bytes:
    return described((b"ssn", 9, 1) if b"ssn" in text else (b"name", 9, 2))


def rows(text: bytes, *, describe: bool) -> bytes:
    return (columns(text) if describe else b"") + row(b"900-11-1111") + row(None) + done(b"SELECT 2")


def fed(talk: Conversation, said: bytes, cuts: list[int], *, client: bool) -> bytes:
    heard = b""
    for begin, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
        if client:
            heard += talk.client(said[begin:end])
        else:
            heard += talk.target(said[begin:end])
    return heard


@given(st.lists(CLIENT_BATCHES, min_size=1, max_size=6), st.sampled_from(["bytes", "random"]), st.randoms())
@settings(max_examples=150, deadline=None)
def test_every_split_gives_the_same_output(batches: list[bytes], how: str, chance: random.Random) -> None:
    whole, cut = masked(), masked()
    for said in batches:
        to_target = whole.client(said)
        answer = answers_to(to_target)
        heard = whole.target(answer)
        sizes = {name: list(range(1, len(data))) for name, data in (("said", said), ("answer", answer))}
        if how == "random":
            sizes = {name: sorted(chance.sample(cuts, min(len(cuts), 5))) for name, cuts in sizes.items()}
        assert fed(cut, said, sizes["said"], client=True) == to_target
        assert fed(cut, answer, sizes["answer"], client=False) == heard
        assert b"900-11-1111" not in heard or b"ssn" not in said
        assert b"drop" not in to_target
    assert cut.ended == whole.ended
    assert [(one.rows, one.size) for one in cut.results] == [(one.rows, one.size) for one in whole.results]
    assert whole.relay.idle
    assert cut.relay.idle


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_garbage_is_the_peers_error_and_nothing_of_it_is_forwarded_undecided(client: bytes, target: bytes) -> None:
    talk = Conversation(patient=True)
    try:
        to_target = talk.client(client)
        talk.target(target)
    except (PeerError, LimitReached):
        return
    assert all(kind not in to_target[:1] for kind in b"QPF")


def test_ask_has_no_portals_by_default() -> None:
    assert b"" not in Ask("query", b"").portals
