"""Tampering is detected, and the first wrong line is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.audit import AuditLog
from gateway.audit.events import GatewayStopping
from gateway.audit.verify import Anchor, LogReport, verify_log

OpenLog = Callable[..., AuditLog]


@pytest.fixture
def written(open_log: OpenLog) -> AuditLog:
    """Three segments or more."""
    log = open_log(segment_size=4000)
    for number in range(20):
        log.append(GatewayStopping("0.1", f"reason {number}"))
    log.close()
    return log


def segments(log: AuditLog) -> list[Path]:
    return sorted(log.directory.glob("*.jsonl"))


def wrong(log: AuditLog, anchor: Anchor | None = None) -> tuple[str, int]:
    report: LogReport = verify_log(log.directory, anchor)
    assert report.wrong is not None
    assert not report.ok
    return report.wrong.file, report.wrong.line


def test_an_untouched_log_is_good(written: AuditLog) -> None:
    report = verify_log(written.directory, Anchor(written.sequence, written.head))
    assert report.ok
    assert (report.first, report.last, report.events) == (1, written.sequence, written.sequence)
    assert report.head == written.head
    assert report.segments == len(segments(written)) >= 3
    assert report.unfinished == 0


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_flipped_bit_is_found_where_it_is(written: AuditLog, data: st.DataObject) -> None:
    segment = data.draw(st.sampled_from(segments(written)))
    good = segment.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= 1 << data.draw(st.integers(0, 7))
    segment.write_bytes(bad)
    try:
        if segment == segments(written)[-1] and place == len(good) - 1:
            assert verify_log(written.directory).unfinished > 0
        else:
            assert wrong(written) == (segment.name, good[:place].count(b"\n") + 1)
    finally:
        segment.write_bytes(good)


def test_a_removed_line_is_found(written: AuditLog) -> None:
    segment = segments(written)[1]
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert wrong(written) == (segment.name, 3)


def test_swapped_lines_are_found(written: AuditLog) -> None:
    segment = segments(written)[1]
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    assert wrong(written) == (segment.name, 2)


def test_a_removed_segment_is_found(written: AuditLog) -> None:
    segments(written)[1].unlink()
    assert wrong(written) == (segments(written)[1].name, 1)


def test_a_segment_cut_at_its_end_is_found(written: AuditLog) -> None:
    segment = segments(written)[0]
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-1]))
    assert wrong(written) == (segments(written)[1].name, 1)


def test_older_segments_may_be_gone_and_the_report_says_from_where(written: AuditLog) -> None:
    segments(written)[0].unlink()
    report = verify_log(written.directory)
    assert report.ok
    assert report.first > 1


def test_a_cut_at_the_very_end_needs_an_anchor(written: AuditLog) -> None:
    anchor = Anchor(written.sequence, written.head)
    segments(written)[-1].unlink()
    assert verify_log(written.directory).ok
    report = verify_log(written.directory, anchor)
    assert report.wrong is not None
    assert "was cut" in report.wrong.problem


def test_a_log_written_anew_does_not_fit_the_anchor(open_log: OpenLog, written: AuditLog) -> None:
    anchor = Anchor(2, written.head)
    assert wrong(written, anchor) == (segments(written)[0].name, 2)


def test_a_line_that_is_being_written_is_no_damage(written: AuditLog) -> None:
    with segments(written)[-1].open("ab") as file:
        file.write(b'{"metadata":{"seq')
    report = verify_log(written.directory)
    assert report.ok
    assert report.unfinished == 17


def test_a_renamed_first_segment_is_found(written: AuditLog) -> None:
    first, *_ = segments(written)
    first.rename(first.with_name("audit-00000000000000000000.jsonl"))
    assert wrong(written) == ("audit-00000000000000000000.jsonl", 1)


def test_an_empty_directory_is_an_empty_log(tmp_path: Path) -> None:
    assert verify_log(tmp_path).ok
    assert not verify_log(tmp_path, Anchor(1, "00")).ok


def test_a_giant_line_is_not_ours(written: AuditLog) -> None:
    with segments(written)[-1].open("ab") as file:
        file.write(b"x" * 1_000_000 + b"\n")
    assert wrong(written)[0] == segments(written)[-1].name
