from __future__ import annotations

from dataclasses import replace

import pytest
from policy.made import ssh_operation
from session.house import ORDERS, operation, principal

from gateway.model import Access, FileUse, SqlOperation, SshOperation
from gateway.session.subjects import operation_subject, session_subject
from gateway.store.requests import Subject

ACCESS = Access(principal(), ORDERS, "orders", "rw", "192.0.2.7")
DELETE = operation("delete from orders where id = $1", "delete", relations=frozenset({"public.orders"}))


def about(
    access: Access = ACCESS,
    asked: SqlOperation = DELETE,
    said: bytes = b"delete from orders where id = $1",
    encoding: bytes = b"UTF8",
    types: bytes = b"\0\0",
    parameters: tuple[bytes | None, ...] = (b"1",),
    formats: tuple[int, ...] = (),
) -> Subject:
    return operation_subject("0193", access, asked, asked.text, said, encoding, types, parameters, formats)


@pytest.mark.parametrize(
    "other",
    [
        about(replace(ACCESS, principal=principal("bob"))),
        about(replace(ACCESS, target=replace(ORDERS, name="others"))),
        about(replace(ACCESS, database="reporting")),
        about(replace(ACCESS, role="owner")),
        about(said=b"delete from orders where id =  $1"),
        about(encoding=b"LATIN1"),
        about(types=b"\0\1\0\0\0\x17"),
        about(parameters=(b"2",)),
        about(parameters=(None,)),
        about(parameters=(b"",)),
        about(parameters=(b"1", b"1")),
        about(parameters=(b"1:1",)),
        about(formats=(1,)),
        about(asked=replace(DELETE, relations=frozenset({"public.orders", "archive.orders"}))),
        about(asked=replace(DELETE, relations=frozenset({"public.orders", "1"})), parameters=()),
        session_subject("0193", ACCESS),
    ],
)
def test_a_grant_is_bound_to_each_of_these(other: Subject) -> None:
    assert other.binding != about().binding


COMMAND = ssh_operation("exec", "reboot", argv=("reboot",))


def requested(operation: SshOperation = COMMAND, said: bytes = b"reboot", role: str = "root") -> Subject:
    return operation_subject("0193", replace(ACCESS, role=role), operation, operation.text, said)


@pytest.mark.parametrize(
    "other",
    [
        requested(role="deploy"),
        requested(said=b"reboot "),
        requested(replace(COMMAND, text="reboot;")),
        requested(replace(COMMAND, files=(FileUse("read", "/a"),))),
        requested(replace(COMMAND, variable="A")),
        requested(replace(COMMAND, destination="a:1")),
        requested(replace(COMMAND, verbs=frozenset({"exec", "scp"}))),
        requested(ssh_operation("subsystem", "reboot")),
        about(said=b"reboot"),
    ],
)
def test_a_grant_for_a_request_is_bound_to_login_and_all_that_was_sent(other: Subject) -> None:
    assert other.binding != requested().binding


def test_approvers_see_a_request() -> None:
    subject = requested(replace(COMMAND, channel=3))
    assert (subject.text, subject.verbs, subject.role, subject.relations) == ("reboot", ("exec",), "root", ())
    assert subject.binding == requested().binding, "another channel is no other request"


def test_it_is_the_same_from_another_session_and_address() -> None:
    again = operation_subject(
        "0194", replace(ACCESS, address="192.0.2.8"), DELETE, DELETE.text, b"delete from orders where id = $1", b"UTF8",
        b"\0\0", (b"1",), (),
    )  # fmt: skip
    assert again.binding == about().binding


@pytest.mark.parametrize(
    ("value", "formats", "shown"),
    [
        (None, (), None),
        (b"", (), ""),
        ("ä".encode(), (), "ä"),
        (b"\xff", (), r"\xff"),
        (b"\0\0\0\x2a", (1,), r"\x0000002a (as integer: 42)"),
        (b"bob", (1,), r"\x626f62 (as text: bob)"),
        (b"\x01", (1,), r"\x01"),
    ],
)
def test_approvers_see_each_parameter(value: bytes | None, formats: tuple[int, ...], shown: str | None) -> None:
    assert about(parameters=(value,), formats=formats).parameters == (shown,)
