"""A second reader, written from docs/recording-format.md alone: it shares no code with ours, only the file."""

from __future__ import annotations

import json
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import zstandard
from recording.made import ALLOW, PUBLIC, Node, conversation, operation


class DocumentedReader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.events: list[dict[str, Any]] = []
        self.kinds = ""
        self.heads = 0
        self.blobs: dict[int, bytes] = {}
        assert data[:8] == b"\x4f\x53\x54\x52\x45\x43\x31\x0a"
        chain = sha256(data[:8]).digest()
        offset = 8
        while offset < len(data):
            length = int.from_bytes(data[offset : offset + 4], "big")
            kind = chr(data[offset + 4])
            flags = data[offset + 5]
            count = int.from_bytes(data[offset + 6 : offset + 8], "big")
            number = int.from_bytes(data[offset + 8 : offset + 16], "big")
            check = int.from_bytes(data[offset + 16 : offset + 20], "big")
            payload = data[offset + 20 : offset + 20 + length]
            assert check == zlib.crc32(data[offset : offset + 16])
            assert length <= 1_048_576
            assert flags in (0, 1)
            assert number == len(self.events)
            assert (kind == "H") == (offset == 8)
            self.kinds += kind
            self.take(kind, zstandard.decompress(payload) if flags else payload, count)
            if kind in "SZ":
                self.verify(chain, data[offset : offset + 20], payload)
            stored = data[offset + 20 + length : offset + 52 + length]
            chain = sha256(chain + data[offset : offset + 20 + length]).digest()
            assert chain == stored
            offset += 52 + length
        self.chain = chain
        assert self.kinds.startswith("HS")

    def take(self, kind: str, payload: bytes, count: int) -> None:
        if kind == "S":
            assert count == 0
            assert set(json.loads(payload[:-64])) == {"time"}
        elif kind == "B":
            assert count == 0
            index = int.from_bytes(payload[:4], "big")
            assert len(self.blobs.get(index, b"")) % 1_048_572 == 0
            self.blobs[index] = self.blobs.get(index, b"") + payload[4:]
        else:
            body = payload[:-64] if kind == "Z" else payload
            assert body.endswith(b"\n")
            lines = body[:-1].split(b"\n")
            assert len(lines) == count
            events = [json.loads(line) for line in lines]
            for key, value in events[0].items():
                if isinstance(value, dict) and "blob" in value:
                    content = self.blobs.pop(value["blob"])
                    assert len(content) == value["size"]
                    assert sha256(content).hexdigest() == value["sha256"]
                    events[0][key] = content
            assert not self.blobs
            self.events.extend(events)

    def verify(self, chain: bytes, prefix: bytes, payload: bytes) -> None:
        session = UUID(self.events[0]["session"]).bytes
        message = b"ostiary recording signature 1\n" + session + chain + prefix + payload[:-64]
        PUBLIC.verify(payload[-64:], message)
        self.heads += 1


def test_the_documentation_reads_what_the_writer_writes(tmp_path: Path) -> None:
    path = conversation(Node(tmp_path / "recordings"))
    reader = DocumentedReader(path.read_bytes())
    assert reader.kinds == "HSOORSOBORBRRSZ"
    assert reader.heads == 4
    assert reader.events[0]["key"] == sha256(PUBLIC.public_bytes_raw()).hexdigest()
    assert [event["event"] for event in reader.events] == [
        "opened",
        "operation",
        "operation",
        "result",
        "result",
        "operation",
        "operation",
        "result",
        "rows",
        "error",
        "closed",
    ]
    assert reader.events[6]["text"] == b"SELECT '" + b"x" * 70_000 + b"'"
    assert reader.events[-1]["events"] == len(reader.events)


def test_a_blob_of_parameters_is_as_documented(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings")
    recorder = node.begin()
    value = bytes(range(256)) * 9000
    recorder.operation(1, operation(), ALLOW, parameters=[value, None, b"z"], formats=[1])
    closed = recorder.close("client left")
    data = node.path(recorder).read_bytes()
    reader = DocumentedReader(data)
    assert reader.kinds == "HSBBBOZ"
    assert reader.events[1]["parameters"] == (
        len(value).to_bytes(4, "big") + value + b"\xff\xff\xff\xff" + b"\x00\x00\x00\x01z"
    )
    assert (closed.length, closed.head) == (len(data), reader.chain.hex())


def test_the_first_frame_to_the_byte(tmp_path: Path) -> None:
    node = Node(tmp_path / "recordings")
    data = node.path(node.begin()).read_bytes()
    header = (
        b'{"event":"opened","time":1795003200.0,"format":1,"session":"01a1ee87-3200-7000-8000-000000000001",'
        b'"node":"gw1","key":"56475aa75463474c0285df5dbf2bcab73da651358839e9b77481b2eab107708c",'
        b'"principal":{"name":"alice","kind":"human","groups":["engineers"],"factors":["certificate"]},'
        b'"target":"orders","protocol":"postgres","database":"orders","role":"orders_rw","address":"192.0.2.7",'
        b'"snapshot":"' + b"5" * 64 + b'"}\n'
    )
    assert data.startswith(b"OSTREC1\n" + len(header).to_bytes(4, "big") + b"H\x00\x00\x01" + bytes(8))
    assert data[28 : 28 + len(header)] == header
    chain = sha256(sha256(b"OSTREC1\n").digest() + data[8 : 28 + len(header)]).digest()
    assert data[28 + len(header) : 60 + len(header)] == chain
