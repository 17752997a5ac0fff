"""The seam to asyncssh: its connections and channels, with what a gateway needs and a server or client does not.

* Nobody's slowness fills memory. asyncssh lets a channel write as far as its window goes, and a peer may open that to
  4 GiB and stop reading, or begin a key exchange and never end it; here channels hold back while the transport does.
* What ends a channel (exit status, close) goes out behind its data. asyncssh sends them at once, past what waits.
* A shell, command or subsystem is answered later: the corridor may have to ask people first.
* Everything that a client can make grow has a bound.
* What goes wrong in asyncssh's callbacks is logged; it would close the connection without a word.

All of it leans on asyncssh's inner names; tests/protocols/ssh/test_transport.py would notice when they change.
"""

from __future__ import annotations

import asyncio
import copy
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol, cast

import asyncssh
import structlog
from asyncssh.channel import SSHChannel, SSHClientChannel, SSHServerChannel
from asyncssh.connection import SSHClientConnection, SSHConnection, SSHServerConnection
from asyncssh.constants import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_REQUEST,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_USERAUTH_REQUEST,
)
from asyncssh.misc import DisconnectError
from asyncssh.packet import SSHPacket, SSHPacketLogger, String
from asyncssh.public_key import decode_ssh_certificate, decode_ssh_public_key

from gateway.model import SshOperation
from gateway.protocols.ssh import ciphers, operation
from gateway.protocols.ssh.algorithms import SIGNATURE_NAMES
from gateway.public_keys import of_blob

log = structlog.get_logger()

ciphers.use()

WINDOW: Final = 2 * 2**20
"""Bytes that a peer may send on a channel before we took them: OpenSSH's own, enough for 160 Mbit/s over 100 ms."""

MAX_PACKET: Final = 32 * 1024
"""Bytes of a channel's data in one packet, as OpenSSH's (RFC 4253 section 6.1 obliges nobody to take more)."""

LEAST_PADDING: Final = 4
LEAST_PACKET: Final = 1 + LEAST_PADDING
"""Bytes: the padding's length and the least padding (RFC 4253 section 6); asyncssh looks only for the most."""

_DATA: Final = struct.Struct(">BBII")
"""In front of a channel's data (RFC 4254 section 5.2): the padding's length, the packet's type, the channel, the
data's length."""

WRITE_HIGH: Final = 256 * 1024
"""Bytes that may wait on a channel for a slow reader; the other side is paused then."""

TRANSPORT_HIGH: Final = 256 * 1024
"""Bytes that may wait in a connection's transport. What is written in one turn of the loop goes out at once, but no
more than this: the loop's own 64 kB are two packets."""

LINGER: Final = 5.0
"""Seconds that a closed connection may take to get rid of what was written."""

MAX_CHANNELS: Final = 64
"""On one connection. OpenSSH's MaxSessions is 10; editors open some more for forwards. A stalled one holds `WINDOW`."""

MAX_REQUESTS: Final = 256
"""Requests on a channel that wait for the one before them. A client that waits for an answer sends a handful."""

MAX_ATTEMPTS: Final = 12
"""Failed attempts of one connection, keys that are not registered included. OpenSSH allows 6, and people whose agents
hold more keys than that know it well; a key that was offered costs us a look into a table."""

REKEY_PAUSE: Final = 5.0
"""Seconds between two key exchanges that a peer begins, past the first few: each costs us a millisecond of CPU. OpenSSH
begins one per gigabyte or hour."""

FREE_REKEYS: Final = 3

MAX_ENVIRONMENT: Final = 64
"""Variables of one channel; a session of a desktop passes 15 of LC_*."""

MAX_VARIABLE: Final = 4096
"""Bytes of one of them with its name."""


class _Intake:
    """What came and was not looked at yet, in the place of asyncssh's ``bytes``. Of those it takes two slices for each
    packet, which would copy all that waits behind it, up to 256 kB."""

    __slots__ = ("_data", "_pos")

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self._pos = 0

    def __len__(self) -> int:
        return len(self._data) - self._pos

    def __iadd__(self, data: bytes) -> _Intake:
        self._data = self._data[self._pos :] + data if self._pos < len(self._data) else data
        self._pos = 0
        return self

    def __getitem__(self, part: slice) -> Any:
        """``[:n]`` and ``[m:n]``: bytes; ``[n:]``: the same without what is in front, which is all that it is used
        for."""
        pos = self._pos
        if part.stop is None:
            self._pos = min(pos + part.start, len(self._data))
            return self
        return self._data[pos + (part.start or 0) : pos + part.stop]

    def find(self, what: bytes, start: int, stop: int) -> int:
        found = self._data.find(what, self._pos + start, self._pos + stop)
        return found if found < 0 else found - self._pos


class _Paced(SSHConnection):
    """A connection whose channels write no more than the transport takes."""

    _stalled = False
    _lingering: asyncio.TimerHandle | None = None
    _rekeys = 0
    _last_rekey = 0.0

    def connection_made(self, transport: Any) -> None:
        self._inpbuf: Any = _Intake()
        transport.set_write_buffer_limits(high=TRANSPORT_HIGH)
        super().connection_made(transport)

    @property
    def has_left(self) -> bool:
        """The connection is closed, or about to be."""
        return self._transport is None

    @property
    def takes_data(self) -> bool:
        return not self._stalled and self._kex_complete

    def pause_writing(self) -> None:
        self._stalled = True

    def resume_writing(self) -> None:
        self._stalled = False
        self._resume_channels()

    def send_packet(self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        # asyncssh sends one in front of each packet, for the sake of CBC's chained IVs (RFC 4251 section 9.3.1). None
        # of the ciphers that we speak has those, and they would be every second packet.
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def send_data(self, channel: int, data: bytes | bytearray | memoryview) -> None:
        """`send_packet` for MSG_CHANNEL_DATA: asyncssh's would copy it eight times on the way, this does so once. What
        is no matter of course (a key exchange, compression) is left to that."""
        encryption = self._send_encryption
        if (
            encryption is None
            or self._compressor is not None
            or not self._kex_complete
            or not self._auth_complete
            or self._rekey_bytes_sent >= self._rekey_bytes
            or (self._rekey_seconds and time.monotonic() >= self._rekey_time)
        ):
            self.send_packet(MSG_CHANNEL_DATA, channel.to_bytes(4), String(bytes(data)))
            return
        size = len(data)
        padding = -(self._send_enchdrlen + _DATA.size - 1 + size) % self._send_blocksize
        if padding < LEAST_PADDING:
            padding += self._send_blocksize
        packet = b"".join((_DATA.pack(padding, MSG_CHANNEL_DATA, channel, size), data, os.urandom(padding)))
        sealed, tag = encryption.encrypt_packet(self._send_seq, len(packet).to_bytes(4), packet)
        self._send(sealed)
        self._send(tag)
        self._send_seq = (self._send_seq + 1) & 0xFFFFFFFF
        self._rekey_bytes_sent += len(packet)

    def log_sent_packet(self, pkttype: int, pktid: int | None, packet: Any, note: str = "") -> None:
        """asyncssh makes words of each packet, for a log that nobody keeps."""

    def log_received_packet(self, pkttype: int, pktid: int | None, packet: Any, note: str = "") -> None:
        """As above."""

    def _send_deferred_packets(self) -> None:
        super()._send_deferred_packets()
        self._resume_channels()

    def _resume_channels(self) -> None:
        for channel in list(self._channels.values()):
            if not self.takes_data:
                return
            channel._flush_send_buf()

    def _force_close(self, exc: Exception | None) -> None:
        """Closed behind what was written, so that the reason of a disconnect arrives."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.close()
        self._lingering = self._loop.call_later(LINGER, transport.abort)
        self._loop.call_soon(self._cleanup, exc)

    def connection_lost(self, exc: Exception | None = None) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        super().connection_lost(exc)

    def internal_error(self, exc_info: Any = None, error_logger: Any = None) -> None:
        log.error("ssh connection failed", exc_info=exc_info or True)
        super().internal_error(exc_info, error_logger)

    def _recv_pkthdr(self) -> bool:
        found = super()._recv_pkthdr()
        if found and self._pktlen < LEAST_PACKET:
            raise asyncssh.ProtocolError("a packet is too short")
        return found

    async def _process_kexinit(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if not self._kexinit_sent:
            # The peer begins: at first a few at will, then with pauses, and none before it has logged in.
            now = time.monotonic()
            self._rekeys += 1
            soon = self._rekeys > FREE_REKEYS and now - self._last_rekey < REKEY_PAUSE
            if soon or (self._session_id and not self._auth_complete):
                raise asyncssh.ProtocolError("too many key exchanges")
            self._last_rekey = now
        await super()._process_kexinit(pkttype, pktid, packet)
        if self.is_server():
            self._ignore_first_kex = guessed_wrong(self._client_kexinit, self._server_kexinit)


def guessed_wrong(client: bytes, server: bytes) -> bool:
    """Whether a packet of another key exchange follows the client's KEXINIT, to be ignored (RFC 4253 section 7.1): the
    first algorithms of both sides, for the exchange and for host keys, have to be the same. (asyncssh compares with
    what was chosen, and dropbear, which guesses, is then a packet ahead.)
    """
    first: list[tuple[bytes, bytes]] = []
    follows = False
    for kexinit in (server, client):
        packet = SSHPacket(kexinit)
        packet.get_bytes(1 + 16)  # the packet's type, a cookie
        exchanges, host_keys = packet.get_namelist(), packet.get_namelist()
        for _ in range(8):
            packet.get_namelist()
        follows = packet.get_boolean()
        first.append((exchanges[0], host_keys[0]))
    return follows and first[0] != first[1]


class _PacedChannel(SSHChannel[bytes]):
    """A channel that waits for its connection's transport, and can do something behind its data."""

    def __init__(self, *args: Any) -> None:
        self._behind: deque[Callable[[], None]] = deque()
        super().__init__(*args)
        self.set_write_buffer_limits(high=WRITE_HIGH)

    @property
    def is_open(self) -> bool:
        """Whether data can be written."""
        return self._send_state == "open"

    def log_sent_packet(self, pkttype: int, pktid: int | None, packet: Any, note: str = "") -> None:
        """As `_Paced.log_sent_packet`."""

    def log_received_packet(self, pkttype: int, pktid: int | None, packet: Any, note: str = "") -> None:
        """As above."""

    def behind_data(self, act: Callable[[], None]) -> None:
        """Do that once all that was written is in the transport's hands; in the order given."""
        self._behind.append(act)
        self._flush_send_buf()

    def write(self, data: bytes, datatype: int | None = None) -> None:
        connection, channel = cast(_Paced | None, self._conn), self._send_chan
        waits = datatype is not None or self._send_buf or self._send_state != "open"
        if waits or connection is None or channel is None:
            super().write(data, datatype)
            return
        rest = memoryview(data)
        while connection.takes_data and (size := min(len(rest), self._most())) > 0:
            self._send_window -= size
            connection.send_data(channel, rest[:size])
            rest = rest[size:]
        if rest:
            super().write(bytes(rest))

    def _most(self) -> int:
        """Bytes that the peer takes in one packet now."""
        return min(self._send_window, self._send_pktsize)

    def _flush_send_buf(self) -> None:
        connection = cast(_Paced | None, self._conn)
        if connection is None or self._session is None:
            return
        waiting = self._send_buf
        while waiting and waiting[0][1] is None and self._send_window and connection.takes_data:
            assert self._send_chan is not None, "what waits is for somebody"
            data, size = waiting[0][0], self._most()
            if size < len(data):
                data, rest = data[:size], data
                del rest[:size]
            else:
                del waiting[0]
            self._send_buf_len -= len(data)
            self._send_window -= len(data)
            connection.send_data(self._send_chan, data)
        if not connection.takes_data:
            self._pause_resume_writing()
            return
        super()._flush_send_buf()
        while self._behind and not self._send_buf:
            self._behind.popleft()()

    def _process_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if len(self._request_queue) >= MAX_REQUESTS:
            raise asyncssh.ProtocolError("too many channel requests at once")
        super()._process_request(pkttype, pktid, packet)


class ChannelOwner(Protocol):
    """Who relays a caller's channel."""

    def asked(self, request: str, argument: bytes) -> None:
        """A shell, a command or a subsystem is asked for; `CallerChannel.answer` answers."""

    def lends(self, operation: SshOperation, request: bytes, fields: tuple[bytes, ...]) -> None:
        """The caller would lend its agent or its display; `CallerChannel.answer_lent` answers."""

    def may_set(self, name: str, value: str) -> bool:
        """Whether the channel's environment may have that."""

    def wants_out(self) -> None:
        """The caller interrupts while it waits for an answer."""

    def wants_no_output(self) -> None:
        """Nobody reads output any more at the caller's end."""

    def awaits_end(self) -> bool:
        """The caller closed the channel when all was said but how it ended: whether that will come."""


class CallerChannel(_PacedChannel, SSHServerChannel[bytes]):
    """A session channel that a caller opened."""

    pending = False
    """Whether a shell, command or subsystem waits for `answer`."""

    lending = False
    """Whether an agent or a display waits for `answer_lent`."""

    _held_close = False
    _handed_over = False

    def __init__(self, connection: CallerConnection) -> None:
        super().__init__(
            connection, connection._loop, True, False, False, 0, 0, None, "strict", WINDOW, MAX_PACKET
        )  # no line editor, bytes as they are

    @property
    def owner(self) -> ChannelOwner:
        return cast(ChannelOwner, self._session)

    def answer(self, accepted: bool) -> None:
        """What became of the shell, command or subsystem."""
        if self.pending and self._session is not None:
            self.pending = False
            if self._handed_over:
                # The client has heard of it already.
                self._handed_over = False
                self.resume_reading()
            else:
                self._report_response(accepted)

    def hand_over(self, owner: asyncssh.SSHServerSession[bytes], ahead: bytes) -> None:
        """Another owner goes on with the channel; nothing is read from it until that answers, then ``ahead`` first."""
        self._session = owner
        self._handed_over = self.pending = True
        self.pause_reading()
        if ahead:
            self._recv_buf.insert(0, (ahead, None))

    def send_exit_status(self, status: int) -> None:
        self._send_request(b"exit-status", status.to_bytes(4))

    def send_exit_signal(self, signal: str, core: bool) -> None:
        self._send_request(b"exit-signal", String(signal), bytes([core]), String(""), String(""))

    @property
    def environment(self) -> dict[bytes, bytes]:
        return self._env

    def _process_env_request(self, packet: SSHPacket) -> bool:
        name, value = packet.get_string(), packet.get_string()
        packet.check_end()
        if len(self._env) >= MAX_ENVIRONMENT or len(name) + len(value) > MAX_VARIABLE:
            return False
        if not self.owner.may_set(name.decode("utf-8", "replace"), value.decode("utf-8", "replace")):
            return False
        self._env[name] = value
        return True

    def _process_shell_request(self, packet: SSHPacket) -> bool | None:  # type: ignore[override]  # None: answered later
        packet.check_end()
        return self._ask("shell", b"")

    def _process_exec_request(self, packet: SSHPacket) -> bool | None:  # type: ignore[override]  # as above
        command = packet.get_string()
        packet.check_end()
        # An empty one would become a shell at the target.
        return self._ask("exec", command) if command else False

    def _process_subsystem_request(self, packet: SSHPacket) -> bool | None:  # type: ignore[override]  # as above
        name = packet.get_string()
        packet.check_end()
        return self._ask("subsystem", name) if name else False

    def _ask(self, request: str, argument: bytes) -> bool | None:
        if self._session_started:
            return False
        self._session_started = True
        self.pending = True
        self.owner.asked(request, argument)
        return None

    def _process_x11_req_request(self, packet: SSHPacket) -> bool | None:
        # RFC 4254 section 6.3.1: single connection, protocol, cookie, screen. The cookie is the client's own invention.
        fields = (bytes([packet.get_boolean()]), *(String(packet.get_string()) for _ in range(2)))
        fields += (packet.get_uint32().to_bytes(4),)
        packet.check_end()
        return self._lend(operation.x11(), b"x11-req", fields)

    def _process_auth_agent_req_at_openssh_dot_com_request(self, packet: SSHPacket) -> bool | None:  # type: ignore[override]
        packet.check_end()
        return self._lend(operation.agent(), b"auth-agent-req@openssh.com", ())

    def _lend(self, asked: SshOperation, request: bytes, fields: tuple[bytes, ...]) -> bool | None:
        if self._session_started:
            return False
        self.lending = True
        self.owner.lends(asked, request, fields)
        return None

    def answer_lent(self, accepted: bool) -> None:
        """What became of the agent or the display."""
        if self.lending and self._session is not None:
            self.lending = False
            self._report_response(accepted)

    def _process_eow_at_openssh_dot_com_request(self, packet: SSHPacket) -> bool:
        """OpenSSH's PROTOCOL, 2.1. Without it `ssh host yes | head` never ends."""
        packet.check_end()
        self.owner.wants_no_output()
        return True

    def _process_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if self.pending and _is_interrupt(packet):
            self.owner.wants_out()
            return
        super()._process_request(pkttype, pktid, packet)

    def _accept_data(self, data: bytes, datatype: int | None = None) -> None:
        if self.pending and b"\x03" in data and self._term_type is not None:
            # Ctrl-C, from a client whose terminal is in raw mode.
            self.owner.wants_out()
            return
        super()._accept_data(data, datatype)

    def _process_close(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if self.pending:
            # What was sent ahead has nowhere to go, and must not keep the channel.
            self._recv_buf = []
        elif self._send_state in ("eof_pending", "eof") and self.owner.awaits_end():
            # OpenSSH's client closes a channel on which both sides have said EOF, and still takes the exit status.
            packet.check_end()
            self._held_close = True
            return
        super()._process_close(pkttype, pktid, packet)

    def _close_send(self) -> None:
        super()._close_send()
        if self._held_close:
            self._held_close = False
            self._recv_state = "close_pending"
            self._recv_buf = []
            self._loop.call_soon(self._flush_recv_buf)

    _packet_handlers = SSHServerChannel._packet_handlers | {
        MSG_CHANNEL_REQUEST: _process_request,
        MSG_CHANNEL_CLOSE: _process_close,
    }


def _is_interrupt(packet: SSHPacket) -> bool:
    """A `signal` request INT (RFC 4254 section 6.9), looked at without taking anything from the packet."""
    return packet.get_remaining_payload() == String("signal") + b"\0" + String("INT")


class TargetChannel(_PacedChannel, SSHClientChannel[bytes]):
    """A session channel at the target."""

    _lent: tuple[tuple[bytes, tuple[bytes, ...]], ...] = ()

    def __init__(self, connection: TargetConnection) -> None:
        self._delivered: deque[Callable[[], None]] = deque()
        super().__init__(connection, connection._loop, "replace", None, "strict", WINDOW, MAX_PACKET)

    async def request(
        self,
        factory: Callable[[], asyncssh.SSHClientSession[bytes]],
        *,
        command: bytes | None = None,
        subsystem: bytes | None = None,
        environment: Mapping[bytes, bytes] = MappingProxyType({}),
        terminal: Terminal | None = None,
        lent: Sequence[tuple[bytes, tuple[bytes, ...]]] = (),
    ) -> None:
        """Open the channel and ask for a command, a subsystem, or else a shell. Raises ChannelOpenError."""
        of = terminal or Terminal("", (0, 0, 0, 0), {})
        self._lent = tuple(lent)
        await self.create(
            factory,
            command,  # type: ignore[arg-type]  # bytes go out as they are
            subsystem,  # type: ignore[arg-type]  # as above
            dict(environment),
            terminal is not None,
            of.name,
            of.size,
            of.modes,
            False,
            None,
            None,
            False,
            False,
        )

    async def _open(self, chantype: bytes, *args: bytes) -> SSHPacket:
        confirmed = await super()._open(chantype, *args)
        for request, fields in self._lent:
            self._send_request(request, *fields)
        return confirmed

    def send_end_of_write(self) -> None:
        """Nobody reads its output any more; see `CallerChannel`. A target that doesn't know it ignores it."""
        self._send_request(b"eow@openssh.com")

    def after_data(self, act: Callable[[], None]) -> None:
        """Do that once all data that has come so far was handed on."""
        self._delivered.append(act)
        self._run_delivered()

    def _flush_recv_buf(self, exc: Exception | None = None) -> None:
        super()._flush_recv_buf(exc)
        self._run_delivered()

    def _run_delivered(self) -> None:
        while self._delivered and not self._recv_buf:
            self._delivered.popleft()()

    _packet_handlers = SSHClientChannel._packet_handlers | {MSG_CHANNEL_REQUEST: _PacedChannel._process_request}


@dataclass(frozen=True, slots=True)
class Terminal:
    """RFC 4254 section 6.2. ``size``: columns, rows, and both in pixels."""

    name: str
    size: tuple[int, int, int, int]
    modes: dict[int, int]


class Login(Protocol):
    """Who decides about a caller's login, and hears of what it asks for: asyncssh's `SSHServer`, and more."""

    @property
    def is_proven(self) -> bool:
        """Whether the caller has proven who it is."""

    async def turn(self) -> None:
        """Wait until it is this caller's turn to exchange keys."""

    def offered(self, blob: bytes) -> bool:
        """Whether that key or certificate might log in. It proves nothing."""

    def signed(self, right: bool) -> bool:
        """A signature, right or not, was made with what was offered last; whether that logs in."""

    def failed(self) -> None:
        """An attempt was refused."""

    async def admit(self) -> None:
        """It is proven who it is: let it in, or raise."""

    def turned_away(self, error: BaseException) -> None:
        """`admit` raised: tell the caller, and disconnect."""


class CallerConnection(_Paced, SSHServerConnection):
    """A caller's connection."""

    _attempts = 0
    _no_more_sessions = False

    @property
    def login(self) -> Login:
        return cast(Login, self._owner)

    def _send_disconnect(self, code: int, reason: str, lang: str) -> None:
        if code != asyncssh.DISC_BY_APPLICATION:
            log.info("ssh connection refused", address=self._peer_addr, code=code, reason=reason)
        super()._send_disconnect(code, reason, lang)

    async def _process_kexinit(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        transport = self._transport
        if not self._session_id and transport is not None:
            # Nobody knows who that is yet: it waits for its turn, and the kernel keeps what it sends meanwhile.
            transport.pause_reading()
            await self.login.turn()
            if self.has_left or transport.is_closing():
                return
            transport.resume_reading()
        await super()._process_kexinit(pkttype, pktid, packet)

    def stop_login_timer(self) -> None:
        """It has proven who it is, and waits for people now."""
        self._cancel_login_timer()

    def create_channel(self) -> CallerChannel:
        """Raises ChannelOpenError when there are too many."""
        if self._no_more_sessions or len(self._channels) >= MAX_CHANNELS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "no more channels on this connection")
        return CallerChannel(self)

    # --- login ------------------------------------------------------------------------------------------------

    async def reload_config(self) -> None:
        """asyncssh reads its options again for each user name, in a thread; ours depend on nothing."""

    def choose_server_host_key(self, peer_host_key_algs: Any) -> bool:
        found = super().choose_server_host_key(peer_host_key_algs)
        # The pair is shared by all connections, and knows which algorithm it signs with: one each.
        self._server_host_key = copy.copy(self._server_host_key)
        return found

    def _process_userauth_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> Any:
        if not self._auth_complete and self.login.is_proven:
            raise asyncssh.ProtocolError("login goes on already")
        before = self._username
        result = super()._process_userauth_request(pkttype, pktid, packet)
        if before and self._username != before:
            # As OpenSSH: what one name has begun, another may not end (GHSA-c94j-vqr5-3mxr).
            cast(Coroutine[Any, Any, None], result).close()
            raise asyncssh.ProtocolError("the user name may not change")
        return result

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """asyncssh asks for offers (without ``msg``) and for signatures (with it)."""
        login = self.login
        if not login.offered(key_data):
            return False
        if not msg:
            return True
        return login.signed(is_signed(key_data, String(self._session_id) + msg, signature))

    def send_userauth_failure(self, partial_success: bool) -> None:
        self._attempts += 1
        if self._owner is not None:
            self.login.failed()
        if self._attempts > MAX_ATTEMPTS:
            code = asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE
            raise DisconnectError(code, "too many authentication failures")
        super().send_userauth_failure(partial_success)

    async def send_userauth_success(self) -> None:
        """Only now the gate, the recording and the target; a caller hears of success when all of them let it in."""
        login = self.login
        try:
            await login.admit()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it was, nobody is let in
            login.turned_away(error)
            return
        if self._transport is not None:
            await super().send_userauth_success()

    # --- what it asks for -------------------------------------------------------------------------------------

    def _process_no_more_sessions_at_openssh_dot_com_global_request(self, packet: SSHPacket) -> None:
        packet.check_end()
        self._no_more_sessions = True
        self._report_global_response(True)

    _packet_handlers = SSHServerConnection._packet_handlers | {
        MSG_KEXINIT: _process_kexinit,
        MSG_USERAUTH_REQUEST: _process_userauth_request,
    }


def is_signed(blob: bytes, data: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (RFC 4253 section 6.6) over ``data`` is by the key, or the certificate's, in ``blob``."""
    algorithm = SSHPacket(signature).get_string()
    if algorithm not in SIGNATURE_NAMES:
        return False
    key = decode_ssh_certificate(blob).key if of_blob(blob).is_certificate else decode_ssh_public_key(blob)
    # A security key that signs by itself, without anybody's touch, may be in somebody else's hands.
    key.set_touch_required(True)
    return key.verify(data, signature)


class TargetConnection(_Paced, SSHClientConnection):
    """Our connection to a target."""

    _packet_handlers = SSHClientConnection._packet_handlers | {MSG_KEXINIT: _Paced._process_kexinit}
