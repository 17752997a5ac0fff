"""What every audit event is: an OCSF class and activity, attributes, and what is ours."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar

from msgspec import Struct

from gateway.audit.ocsf import OTHER, Class, Severity, encode


class Event(Struct, frozen=True):
    """Base of all events. ``status`` is OCSF's: 1 success, 2 failure."""

    class_uid: ClassVar[Class]
    activity_id: ClassVar[int] = OTHER
    activity_name: ClassVar[str | None] = None
    severity: ClassVar[Severity] = Severity.INFORMATIONAL
    status: ClassVar[int] = 1
    alert: ClassVar[bool] = False

    def status_id(self) -> int:
        return self.status

    def attributes(self) -> dict[str, object]:
        """What OCSF's class has attributes for."""
        return {}

    def details(self) -> dict[str, object]:
        """What is ours: goes under ``unmapped``."""
        return {}

    def context(self) -> bytes:
        """The session's constant members, already rendered; empty where there is no session."""
        return b""

    def body(self) -> bytes:
        """The members from ``class_uid`` to the end of ``unmapped``'s, which is left open for the chain hash."""
        kind = type(self)
        attributes = {name: value for name, value in self.attributes().items() if value != ""}
        parts = [head(kind, kind.activity_id, kind.severity), b'"status_id":%d' % self.status_id()]
        if kind.alert:
            parts.append(b'"is_alert":true')
        parts.append(self.context())
        parts.append(encode(attributes)[1:-1])
        parts.append(b'"unmapped":' + encode({"event": event_name(kind), **self.details()})[:-1])
        return b",".join(part for part in parts if part)


def event_name(kind: type[Event]) -> str:
    """``OperationDecided`` is ``operation_decided``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def head(kind: type[Event], activity: int, severity: Severity) -> bytes:
    """The members from ``category_uid`` to ``activity_name``."""
    return class_head(kind.class_uid, activity, severity, kind.activity_name)


@lru_cache(maxsize=256)
def class_head(class_uid: Class, activity: int, severity: Severity, activity_name: str | None) -> bytes:
    """As `head`, of an event whose class depends on what it is about."""
    uid = int(class_uid)
    members: dict[str, object] = {
        "category_uid": uid // 1000,
        "class_uid": uid,
        "activity_id": activity,
        "type_uid": uid * 100 + activity,
        "severity_id": int(severity),
    }
    if activity_name is not None:
        members["activity_name"] = activity_name
    return encode(members)[1:-1]
