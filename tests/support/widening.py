"""Reads tests/corpora/widening.yaml; its format stands at its top."""

from __future__ import annotations

import struct

import msgspec
import yaml

from support.denials import CORPORA
from support.rawclient import RawClient, Received

APPROVED = "delete from entries where id = 1"


class Extended(msgspec.Struct, forbid_unknown_fields=True):
    sql: str
    parameters: list[str | None] = []
    types: list[int] = []
    binary: bool = False
    name: str = ""
    portal: str = ""


Step = str | Extended


class Case(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    reason: str
    attempt: Step | list[Step]
    approved: Step = APPROVED

    @property
    def steps(self) -> list[Step]:
        return self.attempt if isinstance(self.attempt, list) else [self.attempt]


class Corpus(msgspec.Struct, forbid_unknown_fields=True):
    cases: list[Case]


def load() -> list[Case]:
    cases = msgspec.convert(yaml.safe_load((CORPORA / "widening.yaml").read_bytes()), Corpus).cases
    assert len({case.name for case in cases}) == len(cases), "two cases of one name"
    return cases


def take(client: RawClient, step: Step) -> Received:
    """One step's answer."""
    if isinstance(step, str):
        return client.query(step)
    types = struct.pack(f"!h{len(step.types)}i", len(step.types), *step.types)
    client.send(b"P", f"{step.name}\0{step.sql}\0".encode() + types)
    if not step.name:
        formats = struct.pack("!hh", 1, int(step.binary))
        values = struct.pack("!h", len(step.parameters)) + b"".join(_value(one) for one in step.parameters)
        client.send(b"B", step.portal.encode() + b"\0\0" + formats + values + struct.pack("!h", 0))
        if not step.portal:
            client.send(b"E", b"\0" + struct.pack("!i", 0))
    client.send(b"S", b"")
    return client.receive()


def _value(value: str | None) -> bytes:
    return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value.encode())) + value.encode()
