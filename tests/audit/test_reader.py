from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.audit import AuditLog
from gateway.audit.events import GatewayStopping
from gateway.audit.reader import LogReader

OpenLog = Callable[..., AuditLog]


@pytest.fixture
def log(open_log: OpenLog) -> AuditLog:
    """Several segments, open."""
    log = open_log(segment_size=4000)
    for number in range(40):
        log.append(GatewayStopping("0.1", f"reason {number}"))
    log.flush()
    return log


def drain(reader: LogReader) -> list[int]:
    found: list[int] = []
    while not reader.at_end:
        found += [sequence for sequence, _ in reader.read()]
    return found


@pytest.mark.parametrize("after", [0, 1, 7, 8, 20, 40])
def test_all_that_follows_comes_in_order(log: AuditLog, after: int) -> None:
    reader = LogReader(log.directory, after)
    assert drain(reader) == list(range(after + 1, log.sequence + 1))
    assert reader.position == log.sequence
    assert reader.gaps == []
    reader.close()
    log.close()


@pytest.mark.parametrize("chunk", [1, 7, 100, 1_000_000])
def test_the_size_of_a_chunk_does_not_matter(log: AuditLog, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("gateway.audit.reader.CHUNK", chunk)
    reader = LogReader(log.directory, 3)
    assert drain(reader) == list(range(4, log.sequence + 1))
    reader.close()
    log.close()


def test_lines_are_given_whole(log: AuditLog) -> None:
    reader = LogReader(log.directory, 0)
    lines = b"".join(line + b"\n" for _, line in reader.read())
    assert lines == (log.directory / "audit-00000000000000000001.jsonl").read_bytes()
    reader.close()
    log.close()


def test_what_is_written_later_follows(log: AuditLog) -> None:
    reader = LogReader(log.directory, 0)
    drain(reader)
    for _ in range(20):
        log.append(GatewayStopping("0.1", "later"))
    log.flush()
    reader.at_end = False
    assert drain(reader)[-1] == log.sequence
    assert reader.gaps == []
    reader.close()
    log.close()


def test_a_missing_segment_is_a_gap_and_the_rest_follows(log: AuditLog) -> None:
    _one, two, three, *_ = sorted(log.directory.glob("*.jsonl"))
    two.unlink()
    reader = LogReader(log.directory, 0)
    first_missing, first_there = int(two.stem[6:]), int(three.stem[6:])
    assert drain(reader) == [*range(1, first_missing), *range(first_there, log.sequence + 1)]
    assert reader.gaps == [(first_missing, first_there - 1)]
    reader.close()
    log.close()


def test_a_missing_beginning_is_a_gap(log: AuditLog) -> None:
    one, two, *_ = sorted(log.directory.glob("*.jsonl"))
    one.unlink()
    reader = LogReader(log.directory, 0)
    drain(reader)
    assert reader.gaps == [(1, int(two.stem[6:]) - 1)]
    reader.close()
    log.close()


def test_damage_is_a_gap(log: AuditLog) -> None:
    one, *_ = sorted(log.directory.glob("*.jsonl"))
    one.write_bytes(one.read_bytes().replace(b'"sequence":3,', b'"sequence":x,'))
    reader = LogReader(log.directory, 0)
    assert drain(reader) == [1, 2, *range(4, log.sequence + 1)]
    assert reader.gaps == [(3, 3)]
    reader.close()
    log.close()


def test_a_giant_line_does_not_fill_memory(log: AuditLog) -> None:
    one, *_ = sorted(log.directory.glob("*.jsonl"))
    good = one.read_bytes().splitlines(keepends=True)
    one.write_bytes(b"".join([*good[:2], b"x" * 1_000_000 + b"\n", *good[3:]]))
    reader = LogReader(log.directory, 0)
    assert drain(reader) == [1, 2, *range(4, log.sequence + 1)]
    assert len(reader._rest) <= 64 * 1024
    reader.close()
    log.close()


def test_an_empty_directory_has_no_more(open_log: OpenLog) -> None:
    log = open_log()
    log.close()
    for path in log.directory.glob("*.jsonl"):
        path.unlink()
    reader = LogReader(log.directory, 5)
    assert reader.read() == []
    assert reader.at_end
