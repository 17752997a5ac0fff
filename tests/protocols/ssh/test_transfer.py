"""What drives a relay of files: nothing goes on before it is recorded, or is lost while people or disks are awaited."""

from __future__ import annotations

from typing import Any

import pytest
from support import sftp as said
from support.sftp import INIT
from twisted.internet.defer import Deferred

from gateway.errors import PeerError, RecordingFailed, Unapproved
from gateway.model import Denial, Verdict
from gateway.protocols.ssh.sftp import SftpRelay
from gateway.protocols.ssh.transfer import Transfer

REMOVE = 13


class Ends:
    """Both ends of the channel, and what it was told."""

    def __init__(self) -> None:
        self.caller = bytearray()
        self.target = bytearray()
        self.over = False
        self.held = (False, False)
        self.problems: list[BaseException] = []

    def to_caller(self, data: bytes) -> None:
        self.caller += data

    def to_target(self, data: bytes) -> None:
        assert not self.over, "behind the end"
        self.target += data

    def end_of_input(self) -> None:
        self.over = True

    def hold(self, *, caller: bool, target: bool) -> None:
        self.held = (caller, target)

    def broken(self, error: BaseException) -> None:
        self.problems.append(error)


class House:
    """A corridor, and who asks approvers. ``answer``: of the next question; None: people have to be asked."""

    def __init__(self) -> None:
        self.answer: Denial | str | None = "yes"
        self.recorded: Any = object()
        self.asked: list[str] = []
        self.said: list[dict[str, Any]] = []
        self.waiting = False
        self.uncommitted = False
        self.policy = object()
        self.taken_back: set[str] = set()

    def newest_policy(self) -> object:
        return self.policy

    def still_allows(self, operation: Any, grant: str) -> bool:
        return operation.text not in self.taken_back

    def ask(self, operation: Any, source: str) -> Verdict[Any]:
        assert source == "file"
        self.asked.append(operation.text)
        self.uncommitted = True
        if self.answer is None:
            raise Unapproved("wait")
        denial = self.answer if isinstance(self.answer, Denial) else None
        return Verdict(operation, len(self.asked), denial=denial)

    def commit(self) -> Any:
        self.uncommitted = False
        if isinstance(self.recorded, Exception):
            raise self.recorded
        return self.recorded

    def happened(self, event: str, **fields: Any) -> None:
        self.said.append({"event": event, **fields})

    def result(self, number: int, status: str, rows: int, size: int) -> None:
        self.said.append({"event": "result", "operation": number, "status": status})

    # as Asking

    def settle(self) -> None:
        self.waiting = False
        self.answer = "yes"


class _Asking:
    def __init__(self, house: House) -> None:
        self._house = house
        self.refusal: Denial | None = None

    @property
    def waiting(self) -> bool:
        return self._house.waiting

    def answer(self, operation: Any, source: str, text: bytes, *, may_wait: bool) -> Verdict[Any] | None:
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            return Verdict(operation, 1, denial=refusal)
        self._house.waiting = True
        return None


class Scene:
    def __init__(self) -> None:
        self.ends = Ends()
        self.house = House()
        self.asking = _Asking(self.house)
        relay = SftpRelay(resolve=False)
        self.transfer = Transfer("sftp", relay, 1, self.house, self.asking, self.ends)  # type: ignore[arg-type]  # as much as is used
        self.transfer.from_caller(INIT)
        self.transfer.from_target(said.version())
        self.transfer.from_target(said.name(0xFFFFFFFF, b"/home/u"))
        self.ends.caller.clear()
        self.ends.target.clear()

    def remove(self, number: int = 1) -> bytes:
        """A question, as it gets to the target."""
        self.transfer.from_caller(said.on_path(REMOVE, number, b"file"))
        return said.on_path(REMOVE, number, b"/home/u/file")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_is_allowed_goes_on_and_its_end_is_recorded(scene: Scene) -> None:
    forwarded = scene.remove()
    assert bytes(scene.ends.target) == forwarded
    assert scene.house.said == []
    scene.transfer.from_target(said.status(1, 0))
    file, result = scene.house.said
    assert (file["event"], file["operation"], file["action"], file["status"]) == ("file", 1, "remove", "done")
    assert result == {"event": "result", "operation": 1, "status": "done"}
    assert scene.ends.caller


def test_what_is_denied_never_gets_there(scene: Scene) -> None:
    scene.house.answer = Denial("permission denied by policy", "Request 1.", "ask bob")
    scene.remove()
    assert not scene.ends.target
    assert b"permission denied by policy Request 1. ask bob" in scene.ends.caller
    assert scene.house.said == []


def test_nothing_goes_on_before_the_disk_has_it(scene: Scene) -> None:
    scene.house.recorded = synced = Deferred[object]()
    forwarded = scene.remove()
    assert not scene.ends.target
    assert scene.ends.held == (True, True)
    synced.callback(object())
    assert bytes(scene.ends.target) == forwarded
    assert scene.ends.held == (False, False)


def test_a_denial_is_recorded_before_it_is_told(scene: Scene) -> None:
    scene.house.answer = Denial("no", "")
    scene.house.recorded = synced = Deferred[object]()
    scene.remove()
    assert not scene.ends.caller
    synced.callback(object())
    assert scene.ends.caller
    assert not scene.ends.target


def test_nothing_is_asked_while_the_disk_is_awaited(scene: Scene) -> None:
    scene.house.recorded = synced = Deferred[object]()
    first = scene.remove(1)
    second = scene.remove(2)
    assert len(scene.house.asked) == 1
    scene.house.recorded = another = Deferred[object]()
    synced.callback(object())
    assert len(scene.house.asked) == 2
    assert bytes(scene.ends.target) == first
    another.callback(object())
    assert bytes(scene.ends.target) == first + second


@pytest.mark.parametrize("later", [True, False])
def test_what_cannot_be_recorded_does_not_go_on(scene: Scene, later: bool) -> None:
    error = RecordingFailed("the disk is full")
    if later:
        scene.house.recorded = synced = Deferred[object]()
        scene.remove()
        synced.errback(error)
        assert scene.ends.problems == [error]
    else:
        scene.house.recorded = error
        with pytest.raises(RecordingFailed):
            scene.remove()
    assert not scene.ends.target


def test_people_are_waited_for_and_the_end_of_input_waits_too(scene: Scene) -> None:
    scene.house.answer = None
    forwarded = scene.remove()
    scene.transfer.caller_ends()
    assert not scene.ends.target
    assert not scene.ends.over
    scene.house.settle()
    scene.transfer.go_on()
    assert bytes(scene.ends.target) == forwarded
    assert scene.ends.over


def test_a_no_of_people(scene: Scene) -> None:
    scene.house.answer = None
    scene.remove()
    scene.house.waiting = False
    scene.asking.refusal = Denial("permission denied by betty", "Request 1.")
    scene.transfer.go_on()
    assert not scene.ends.target
    assert b"permission denied by betty" in scene.ends.caller


def test_what_is_no_sftp(scene: Scene) -> None:
    with pytest.raises(PeerError):
        scene.transfer.from_caller(b"\xff" * 20)
    with pytest.raises(PeerError):
        scene.transfer.from_target(said.status(77, 0))


def test_a_channel_that_ends_in_the_middle(scene: Scene) -> None:
    scene.remove()
    scene.transfer.finish()
    assert [each["status"] for each in scene.house.said] == ["not closed", "not closed"]
    scene.transfer.finish()
    scene.transfer.go_on()
    assert len(scene.house.said) == 2


def test_what_policy_takes_back_is_read_no_more(scene: Scene) -> None:
    transfer, house = scene.transfer, scene.house
    transfer.from_caller(said.opening(1, b"file"))
    transfer.from_caller(said.opening(2, b"other"))
    transfer.from_target(said.handle(1, b"h"))
    house.policy = object()
    transfer.from_caller(said.reading(3, b"h", 0, 100))
    transfer.from_target(said.data(3, b"more"))
    house.policy, house.taken_back = object(), {house.asked[1]}
    scene.ends.target.clear()
    # The other one is about to be opened, and by a name that may not be read any more.
    with pytest.raises(PeerError, match="policy has changed, and no longer allows this: open /home/u/other"):
        transfer.from_caller(said.reading(4, b"h", 0, 100))
    assert not scene.ends.target
