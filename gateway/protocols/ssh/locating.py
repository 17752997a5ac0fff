"""Asks a target where its paths lead, by SFTP on a channel of our own, where the caller's channel can't tell.

Pure, as the relays are: bytes go in and out, probes and replies are `sftp_asking`'s.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import PeerError
from gateway.protocols.ssh import sftp_wire as wire
from gateway.protocols.ssh.sftp import Intake
from gateway.protocols.ssh.sftp_asking import Probe, Reply, learn_home
from gateway.protocols.ssh.sftp_wire import HEAD, MAX_REQUEST, OnPath

ONE_AT_A_TIME: Final = 1
"""Our only request id: one question is under way at most."""


class Locator:
    """One channel with the target's subsystem sftp.

    Send what stands in `to_server`, feed `receive_server`. Once it is `ready`, ask by `ask`; the answer stands in
    `reply`: whoever takes it leaves None.
    """

    def __init__(self) -> None:
        self.to_server: list[bytes] = [wire.init()]
        self.ready = False
        self.home: bytes | None = None
        """What relative paths are relative to, when it is `ready`; None: the target doesn't say."""
        self.reply: Reply | None = None
        self._greeted = False
        self._asked = False
        self._home = learn_home()
        self._intake = Intake()

    def ask(self, probe: Probe) -> None:
        assert not self._asked
        self._asked = True
        self.to_server.append(wire.encode(OnPath(probe.kind, ONE_AT_A_TIME, probe.path)))

    def receive_server(self, data: bytes) -> None:
        """Bytes from the target, in any split. Raises PeerError: end the channel."""
        intake = self._intake
        if not intake.feed(data):
            return
        pos, whole = 0, intake.data
        while True:
            need = HEAD.size
            if len(whole) - pos >= need:
                length, kind, number = HEAD.unpack_from(whole, pos)
                if not 5 <= length <= MAX_REQUEST:
                    raise PeerError("the target sent an invalid length of a packet")
                need = 4 + length
            if len(whole) - pos < need:
                break
            body = whole[pos + HEAD.size : pos + need]
            pos += need
            self._answered(kind, number, body)
        intake.wait(pos, need)

    def _answered(self, kind: int, number: int, body: bytes) -> None:
        if not self._greeted:
            if kind != wire.VERSION or number != wire.VERSION_3:
                raise PeerError("the target does not speak SFTP version 3")
            self._greeted = True
            self.ask(self._probe())
            return
        if not self._asked or number != ONE_AT_A_TIME:
            raise PeerError("the target answers what it was not asked")
        self._asked = False
        reply = Reply(kind, body)
        if self.ready:
            self.reply = reply
            return
        try:
            self._home.send(reply)
        except StopIteration as end:
            self.home, self.ready = end.value, True

    def _probe(self) -> Probe:
        step = next(self._home)
        assert isinstance(step, Probe)
        return step
