"""Files made by somebody who wants a reader to crash, to wait or to take all memory."""

from __future__ import annotations

import hashlib
import io
import resource
from base64 import b64encode
from pathlib import Path

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from recording.made import ALLOW, Node, operation

from gateway.recording import RecordingDamaged
from gateway.recording.format import (
    BLOB,
    BLOB_CHUNK,
    BLOB_INDEX,
    CHAIN_START,
    END,
    GATHERED,
    HEADER,
    MAGIC,
    MAX_BLOBS,
    MAX_PAYLOAD,
    OPERATION,
    SIGNED_HEAD,
    ZSTD,
)
from gateway.recording.reader import Blob, Event, Recording, read_blob
from gateway.rendering import frame as pack_frame

OPENED = b'{"event":"opened","time":1}\n'
HEAD = b'{"time":1}\n' + bytes(64)
NOTE = b'{"event":"note","time":1}\n'
OUTPUT = b'{"event":"output","time":1,"channel":1,"stream":"stdout","data":{"blob":0,"size":%d}}\n'


def made(*frames: tuple[int, int, int, bytes], start: bool = True) -> bytes:
    """A file of frames ``(kind, flags, count, payload)`` with a chain that is right."""
    first = ((HEADER, 0, 1, OPENED), (SIGNED_HEAD, 0, 0, HEAD)) if start else ()
    data, chain, number = MAGIC, CHAIN_START, 0
    for kind, flags, count, payload in (*first, *frames):
        frame, chain = pack_frame(chain, kind, flags, count, number, payload)
        number += count
        data += frame
    return data


def read(data: bytes) -> list[Event]:
    return list(Recording(io.BytesIO(data), len(data)))


def malformed(data: bytes, problem: str) -> None:
    with pytest.raises(RecordingDamaged, match=problem) as raised:
        read(data)
    assert raised.value.finding.kind in ("malformed", "unsigned")


def reference(content: bytes, index: int = 0) -> dict[str, object]:
    return {"blob": index, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def note(**fields: object) -> bytes:
    return orjson.dumps({"event": "note", "time": 1, **fields}) + b"\n"


def chunk(content: bytes, index: int = 0) -> tuple[int, int, int, bytes]:
    return BLOB, 0, 0, BLOB_INDEX.pack(index) + content


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ((ord("X"), 0, 1, NOTE), "not of this format"),
        ((GATHERED, 2, 1, NOTE), "not of this format"),
        ((GATHERED, 128, 1, NOTE), "not of this format"),
        ((GATHERED, 0, 1, b" " * (MAX_PAYLOAD + 1)), "not of this format"),
        ((HEADER, 0, 1, OPENED), "the header is not the first frame"),
        ((GATHERED, 0, 0, b""), "kind R with 0 events"),
        ((OPERATION, 0, 2, NOTE * 2), "kind O with 2 events"),
        ((SIGNED_HEAD, 0, 1, HEAD), "kind S with 1 events"),
        ((END, 0, 0, HEAD), "kind Z with 0 events"),
        ((BLOB, 0, 1, bytes(10)), "kind B with 1 events"),
        ((GATHERED, 0, 2, NOTE), "1 lines where 2 events"),
        ((GATHERED, 0, 1, NOTE[:-1]), "0 lines where 1 events"),
        ((GATHERED, 0, 1, NOTE + b"x"), "1 lines where 1 events"),
        ((GATHERED, 0, 1, b"\n"), "no JSON"),
        ((GATHERED, 0, 1, b"[" * 100_000 + b"\n"), "no JSON"),
        ((GATHERED, 0, 1, b"[]\n"), "no JSON object"),
        ((GATHERED, 0, 1, b'{"event":"note"}\n'), "without a time"),
        ((GATHERED, 0, 1, b'{"event":"note","time":true}\n'), "without a time"),
        ((GATHERED, 0, 1, b'{"event":"note","time":-1}\n'), "without a time"),
        ((GATHERED, 0, 1, b'{"event":"note","time":253402300800}\n'), "without a time"),
        ((GATHERED, 0, 1, b'{"event":"closed","time":1}\n'), "an event 'closed' in a frame of kind R"),
        ((END, 0, 1, b'{"event":"note","time":1}\n' + bytes(64)), "an event 'note' in a frame of kind Z"),
        ((GATHERED, 0, 1, b'{"time":1}\n'), "without a kind"),
        ((SIGNED_HEAD, 0, 0, bytes(64)), "without a signature"),
        ((SIGNED_HEAD, ZSTD, 0, zstandard.compress(HEAD)), "without a signature"),
        ((SIGNED_HEAD, 0, 0, b"{}\n" + bytes(64)), "without a time"),
        ((GATHERED, ZSTD, 1, NOTE), "can't be decompressed"),
        ((GATHERED, ZSTD, 1, zstandard.compress(NOTE) + b"x"), "can't be decompressed"),
        ((GATHERED, ZSTD, 1, zstandard.compress(NOTE)[:-1]), "can't be decompressed"),
        ((BLOB, 0, 0, b"abc"), "without its index"),
    ],
)
def test_a_frame_that_no_writer_makes(frame: tuple[int, int, int, bytes], problem: str) -> None:
    malformed(made(frame), problem)


def test_a_file_without_a_header_or_its_signature() -> None:
    malformed(made((GATHERED, 0, 1, NOTE), start=False), "the header is not the first frame")
    malformed(made((HEADER, 0, 1, OPENED), (GATHERED, 0, 1, NOTE), start=False), "no signed head follows the header")
    malformed(made((SIGNED_HEAD, 0, 0, HEAD), start=False), "the header is not the first frame")


@pytest.mark.parametrize("states_size", [True, False])
def test_a_compression_bomb_takes_no_memory(states_size: bool) -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=states_size).compress(bytes(512 * 1024 * 1024))
    assert len(bomb) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    malformed(made((GATHERED, ZSTD, 1, bomb)), "would be .* bytes, at most 1048576 are allowed")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_length_beyond_the_end_of_the_file_takes_no_memory() -> None:
    data = made()
    frame, _ = pack_frame(bytes(32), GATHERED, 0, 1, 1, bytes(MAX_PAYLOAD))
    recording = Recording(io.BytesIO(data + frame[:100]), len(data) + 100)
    assert len(list(recording)) == 1
    assert recording.torn == 100


# Blobs


def test_a_blob_of_several_chunks_comes_back() -> None:
    content = bytes(range(256)) * 10_000
    data = made(
        chunk(content[:BLOB_CHUNK]),
        (BLOB, ZSTD, 0, zstandard.compress(BLOB_INDEX.pack(0) + content[BLOB_CHUNK : 2 * BLOB_CHUNK])),
        chunk(content[2 * BLOB_CHUNK :]),
        chunk(b"second", 1),
        (OPERATION, 0, 1, note(text=reference(content), parameters=reference(b"second", 1))),
    )
    event = read(data)[1]
    first, second = event.blobs
    assert b"".join(read_blob(io.BytesIO(data), first)) == content
    assert list(read_blob(io.BytesIO(data), second)) == [b"second"]


def test_a_blob_of_output_needs_no_digest() -> None:
    data = made(chunk(b"xyz"), (GATHERED, 0, 1, OUTPUT % 3))
    [blob] = read(data)[1].blobs
    assert list(read_blob(io.BytesIO(data), blob)) == [b"xyz"]


@pytest.mark.parametrize(
    ("frames", "problem"),
    [
        ([chunk(b"x", 1)], "a chunk of blob 1"),
        ([chunk(b"x"), chunk(b"y")], "a chunk of blob 0"),
        ([chunk(b""), chunk(b"")], "a chunk of blob 0"),
        ([chunk(b"x"), chunk(b"y", 1), chunk(b"z", 0)], "a chunk of blob 0"),
        ([chunk(b"x", index) for index in range(MAX_BLOBS + 1)], f"a chunk of blob {MAX_BLOBS}"),
        ([chunk(b"x"), (SIGNED_HEAD, 0, 0, HEAD)], "a blob without its event"),
        ([chunk(b"x"), (OPERATION, 0, 1, NOTE)], "doesn't refer to"),
        ([chunk(b"x"), (OPERATION, 0, 1, note(text=reference(b"y")))], "another blob"),
        ([chunk(b"x"), (OPERATION, 0, 1, note(text={"blob": 0, "size": 1}))], "another blob"),
        ([chunk(b"x"), (GATHERED, 0, 1, OUTPUT % 2)], "another blob"),
        ([chunk(b"x"), (OPERATION, 0, 1, note(text=reference(b"x", 1)))], "isn't there"),
        ([chunk(b"x"), (OPERATION, 0, 1, note(text={"blob": "0"}))], "isn't there"),
        ([chunk(b"x"), (GATHERED, 0, 2, NOTE + note(text=reference(b"x")))], "doesn't refer to"),
        ([(OPERATION, 0, 1, note(text=reference(b"x")))], "isn't there"),
    ],
)
def test_blobs_that_no_writer_makes(frames: list[tuple[int, int, int, bytes]], problem: str) -> None:
    malformed(made(*frames), problem)


@pytest.mark.parametrize(
    "change",
    [
        lambda blob: Blob(blob.offset + 1, blob.event, 0, blob.size, blob.sha256),
        lambda blob: Blob(len(MAGIC), blob.event, 0, blob.size, blob.sha256),
        lambda blob: Blob(blob.offset, blob.event, 0, blob.size + 1, blob.sha256),
        lambda blob: Blob(blob.offset, blob.event, 0, blob.size - 1, blob.sha256),
        lambda blob: Blob(blob.offset, blob.event, 0, blob.size, "0" * 64),
        lambda blob: Blob(10**9, blob.event, 0, blob.size, blob.sha256),
    ],
)
def test_a_blob_that_changed_since_its_event_was_read(change: object) -> None:
    data = made(chunk(b"xyz"), (OPERATION, 0, 1, note(text=reference(b"xyz"))))
    blob = read(data)[1].blobs[0]
    assert callable(change)
    with pytest.raises(RecordingDamaged, match="changed while it was read"):
        list(read_blob(io.BytesIO(data), change(blob)))


# Property: whatever a caller sends comes back as it was

TEXT = st.text(st.characters(codec=None), max_size=200)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(
            TEXT,
            st.lists(st.none() | st.binary(max_size=50), max_size=5),
            st.sampled_from([[], [0], [1]]),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_what_is_recorded_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    said: list[tuple[str, list[bytes | None], list[int], bool]],
) -> None:
    node = Node(tmp_path_factory.mktemp("node") / "recordings")
    recorder = node.begin()
    for number, (text, parameters, formats, pause) in enumerate(said):
        recorder.operation(number, operation(text), ALLOW, parameters=parameters, formats=formats)
        recorder.commit()
        recorder.result(number, status="OK")
        if pause:
            node.clock.advance(0.1)
    recorder.close("client left")
    assert node.verify(recorder).ok
    data = Path(node.path(recorder)).read_bytes()
    asked = [event for event in read(data) if event.kind == "operation"]
    for event, (text, parameters, formats, _) in zip(asked, said, strict=True):
        try:
            assert event.fields["text"] == text.encode("utf-8", "surrogateescape").decode()
        except UnicodeError:
            assert isinstance(event.fields["text"], dict)
        shown = event.fields.get("parameters", [])
        for value, given_value in zip(shown, parameters, strict=True):  # type: ignore[call-overload]  # JSON
            if given_value is None:
                assert value is None
            elif isinstance(value, str):
                assert value.encode() == given_value
                assert formats != [1]
            else:
                assert value == {"base64": b64encode(given_value).decode()}
