"""The state machine of one session: what the client said, what the target answered, what that means.

Pure: bytes go in, bytes and at most one question (`Relay.ask`) come out.

Strategy: the target's own state machine is the reference. A denied operation is not answered by us; the target
gets something in its place that it must refuse, and only that refusal is rewritten. So the order of answers,
skip-until-Sync, implicit rollback and the transaction status are the target's own and right by construction
(shared/postgres.md, "let the target refuse").

Every message that the target will answer stands in `Relay._sent`, in order, until its answer has come. Names of
statements and portals are kept optimistically (later messages of the same batch may use them) and taken back when
the target refuses. Where it can't be known yet what a name stands for, the client's next messages wait.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from gateway.errors import LimitReached, PeerError
from gateway.masking import Field, parse_row_description, searched, skip_rows, withhold
from gateway.model import CatalogueStale, RowPlanner, RowRewriter, SqlOperation, Verdict
from gateway.protocols.postgres import errors, wire
from gateway.protocols.postgres.state import UNSURE, Ask, Named, Portal, Prepared, Result, Sent, drop
from gateway.protocols.postgres.wire import (
    MAX_LARGE,
    MAX_SERVER,
    MAX_SMALL,
    Fields,
    Parse,
    cstring,
    fields_message,
    message,
    parse_copy_response,
    parse_fields,
    parse_parameter_status,
    parse_parse,
    parse_query,
    read_cstring,
)

MAX_MASKED_ROW: Final = 256 * 1024 * 1024
"""Bytes. A row with a masked column is held whole; PostgreSQL's own limit is 1 GiB, which would be four sessions'
memory on a small node."""

MAX_NAMES: Final = 100_000
"""Statements and portals of one session. PostgreSQL has no limit; a pool that prepares each ORM query stays below
10,000."""

MAX_NAME: Final = 63
"""Bytes: NAMEDATALEN - 1. The target tells names apart by no more, in Parse and Bind as in SQL."""

MAX_SENT: Final = 10_000
"""Messages that wait for an answer; the client's next ones wait then. A target that has this many holds back its
answers no longer (it sends whenever 8 KiB of them are ready), so that the pipeline always moves."""

Q, P, B, D, E, C, S, H, F, X = b"QPBDECSHFX"
COPY_DATA, COPY_DONE, COPY_FAIL = b"dcf"
DESCRIBED_STATEMENT, DESCRIBED_PORTAL = b"SP"


def _int32(view: bytes | bytearray, pos: int) -> int:
    """The signed number at ``pos``, which the caller knows to be inside; compiled it is C."""
    value = view[pos]
    if value >= 128:
        value -= 256
    value = value * 256 + view[pos + 1]
    value = value * 256 + view[pos + 2]
    return value * 256 + view[pos + 3]


class Relay:
    """One session after login.

    Feed `receive_client` and `receive_server`; then, while `ask` is set, answer it by `decided`; while `stale` is
    set, reload the catalogue and call `catalogue_reloaded`; while `large` is set, rewrite these rows somewhere else and
    call `rewritten`. Meanwhile nothing more of the target's is looked at. What is to be sent stands in `to_server` and
    `to_client`, what ended in `results`: whoever takes them leaves an empty list.
    """

    def __init__(
        self, *, application_name: bytes = b"ostiary", observe_columns: bool = True, keep_rows: bool = False
    ) -> None:
        self.ask: Ask | None = None
        self.stale = False
        self.large: tuple[RowRewriter, bytes] | None = None
        """Rows that would hold up other sessions, and who rewrites them."""
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.results: list[Result] = []
        self.keep_rows = keep_rows
        self.kept: list[tuple[int, bytes]] = []
        """Rows as the client gets them, with their operation's number; only with ``keep_rows``."""
        self.status = ord("I")
        self.terminated = False
        self.encoding = b"UTF8"
        self.unsafe: str | None = None
        """A setting of the target's session under which our reading of statements would be wrong."""
        self.planner: RowPlanner | None = None
        """The newest verdict's: masks the texts of messages that come at any time. None: nothing is hidden."""
        self.application_name = application_name
        self.observe_columns = observe_columns
        self._sent: deque[Sent] = deque()
        self._statements: dict[bytes, Prepared] = {}
        self._portals: dict[bytes, Portal] = {}
        self._newest_portal = 0
        self._segment = 0
        self._touched = -1
        self._skipping = False
        self._tainted = False
        self._copy_in = False
        self._stalled: Named | None = None
        self._held: tuple[int, bytes, object] | None = None
        self._client = b""
        self._client_pos = 0
        self._client_need: bytearray | None = None
        self._client_through = 0
        self._server = bytearray()
        self._server_need = 0
        self._server_through = 0
        self._final = False

    @property
    def holding(self) -> bool:
        """Client messages wait here; don't read more of them."""
        return self.holds()

    def holds(self) -> bool:
        """As `holding`: a property costs ten times as much, also where all is compiled."""
        return self.ask is not None or self._stalled is not None or len(self._sent) >= MAX_SENT

    @property
    def quiet(self) -> bool:
        """Nothing is under way; a transaction may be open."""
        return not self._sent and not self.holds()

    @property
    def idle(self) -> bool:
        """Nothing is under way: all is answered, and no transaction is open."""
        return self.is_idle()

    def is_idle(self) -> bool:
        """As `idle`; see `holds`."""
        return not self._sent and not self.holds() and self.status == 73  # I

    @property
    def behind(self) -> bool:
        """Earlier batches are not answered yet: whether their transaction is over isn't known."""
        return any(entry.kind in b"QSF" for entry in self._sent)

    @property
    def rest_of_row(self) -> int:
        """Bytes of a row that the client has the beginning of, until it could read another message."""
        return self._server_through

    @property
    def is_moot(self) -> bool:
        """What is asked belongs to a batch of which the target has refused an earlier message: it is skipped."""
        return self._skipping and self.ask is not None

    def dismiss(self) -> None:
        """Whatever would be said to `ask`, see `is_moot`."""
        self.ask = self._held = None
        self._run_client()

    def runs_by(self, grant: str) -> bool:
        """Whether something is under way that this approval let go."""
        return any(entry.verdict is not None and entry.verdict.grant == grant for entry in self._sent)

    @property
    def holds_locks(self) -> bool:
        """Something was run in this transaction that may hold locks, or a snapshot, until it ends."""
        return self._touched >= 0

    def parameter(self, name: bytes, value: bytes) -> None:
        """A setting that the target reports (53.2.7)."""
        if name == b"client_encoding":
            self.encoding = value
        elif name == b"standard_conforming_strings":
            self.unsafe = None if value == b"on" else "standard_conforming_strings is off"

    # --- from the client --------------------------------------------------------------------------------------

    def receive_client(self, data: bytes) -> None:
        """Bytes from the client, in any split. Raises PeerError or LimitReached: end the session."""
        need = self._client_need
        if need is not None:
            need += data
            if len(need) < _whole(need):
                return
            data, self._client_need = bytes(need), None
        elif self._client_pos < len(self._client):
            data = self._client[self._client_pos :] + data
        self._client = data
        self._client_pos = 0
        if not self.holds():
            self._run_client()

    def decided(self, verdict: Verdict[SqlOperation]) -> None:
        """The corridor's answer to `ask`."""
        assert self._held is not None
        kind, whole, parsed = self._held
        self.ask = self._held = None
        self.planner = verdict.planner
        if verdict.touches and kind != P and verdict.denial is None:
            self._touched = self._segment
        if self._skipping:
            pass  # while it waited, the target refused an earlier message of its batch: it is skipped like the others
        elif kind == Q:
            self._query(whole, verdict)
        elif kind == P:
            self._parse(whole, parsed, verdict)
        elif kind == E:
            self._execute(whole, parsed, verdict)
        else:
            self._function_call(whole, verdict)
        self._run_client()

    def _run_client(self) -> None:
        buf, pos, end = self._client, self._client_pos, len(self._client)
        view = buf
        out = self.to_server
        while pos < end:
            if self._client_through:
                stop = min(end, pos + self._client_through)
                self._client_through -= stop - pos
                out.append(view[pos:stop])
                pos = stop
                continue
            if end - pos < 5:
                break
            if len(self._sent) >= MAX_SENT:
                self._client_pos = pos
                return
            kind = view[pos]
            length = _int32(view, pos + 1)
            # Literals here and below, where Cython makes a switch of them: a dictionary costs more than all the rest.
            if kind in b"QPBFdf":
                limit = MAX_LARGE
            elif kind in b"CDEHScX":
                limit = MAX_SMALL
            else:
                raise PeerError(f"invalid frontend message type {kind}")
            if not 4 <= length <= limit:
                raise PeerError("invalid message length")
            stop = pos + 1 + length
            if kind == COPY_DATA and not self._skipping:
                # Streams: no single CopyData is ever held whole. Outside of COPY the target ignores it.
                out.append(view[pos : min(stop, end)])
                self._client_through = max(0, stop - end)
                pos = min(stop, end)
                continue
            if stop > end:
                break
            if self._skipping and kind != S and kind != X:
                # The target has refused a message of this batch and ignores all up to Sync; so do we, rather
                # than forward what nobody decided.
                pos = stop
                continue
            self._client_pos = stop
            if not self._client_message(kind, buf, pos, stop):
                if self._stalled is not None:
                    self._client_pos = pos
                return
            pos = stop
        rest = end - pos
        self._client_pos = end
        if rest:
            tail = bytearray(buf[pos:])
            if len(tail) >= 5 and len(tail) < _whole(tail):
                self._client_need = tail
                self._client, self._client_pos = b"", 0
            else:
                self._client, self._client_pos = bytes(tail), 0
        else:
            self._client, self._client_pos = b"", 0

    def _client_message(self, kind: int, buf: bytes, pos: int, stop: int) -> bool:
        """One whole message; False when the loop has to stop (a question, or a name not known yet)."""
        view = buf
        whole = view[pos:stop]
        body = view[pos + 5 : stop]
        if kind == E:
            return self._on_execute(whole, body)
        if kind == B:
            return self._on_bind(whole, body)
        if kind == S:
            return self._on_sync(whole)
        if kind == D:
            return self._on_describe(whole, body)
        if self._copy_in and kind in b"QPCF":
            raise PeerError("unexpected message type during COPY from stdin")
        if kind == Q:
            self._hold(Q, whole, None, Ask("query", parse_query(body), b"", b"", (), (), self._portals))
            return False
        if kind == P:
            parsed = parse_parse(body)
            ask = Ask("parse", parsed.text, self._key(parsed.name), parsed.rest, (), (), self._portals)
            self._hold(P, whole, parsed, ask)
            return False
        if kind == F:
            self._hold(F, whole, None, Ask("function", b""))
            return False
        if kind == C:
            target, name = wire.parse_target_of(body)
            key = self._key(name)
            if target == DESCRIBED_STATEMENT:
                self._sent.append(Sent(C, None, self._statements.get(key)))
            else:
                self._sent.append(Sent(C, None, None, None if key == UNSURE else self._portals.get(key)))
        elif kind in (COPY_DONE, COPY_FAIL):
            if self._copy_in:
                self._copy_in = False
            elif self._sent:
                self._sent[-1].copies_ended += 1
        elif kind == X:
            self.terminated = True
        self.to_server.append(whole)
        return True

    def _hold(self, kind: int, whole: bytes, parsed: object, ask: Ask) -> None:
        self._held = (kind, whole, parsed)
        self.ask = ask

    def _key(self, name: bytes) -> bytes:
        """What the target knows a statement or portal by. It converts names to its own encoding and cuts them off."""
        if not name:
            return name
        if name.isascii():
            return name if len(name) <= MAX_NAME else name[:MAX_NAME]
        return name if self.encoding == b"UTF8" and len(name) <= MAX_NAME else UNSURE

    def _known(self, state: Named) -> bool:
        """False when an earlier batch, not answered yet, decides what the name stands for."""
        if state.confirmed or state.segment == self._segment:
            return True
        self._stalled = state
        return False

    def _on_sync(self, whole: bytes) -> bool:
        if len(whole) != 5:
            raise PeerError("invalid message format: Sync")
        if not self._copy_in:  # during COPY the target ignores it (copyfromparse.c, CopyGetData)
            self._sent.append(Sent(S, None, None, None, False, self._segment))
            self._segment += 1
            self._skipping = False
        self.to_server.append(whole)
        return True

    def _on_bind(self, whole: bytes, body: bytes) -> bool:
        if self._copy_in:
            raise PeerError("unexpected message type during COPY from stdin")
        name, of, formats, parameters = wire.parse_bind(body)
        key = self._key(name)
        statement = self._statements.get(self._key(of))
        if statement is not None and not self._known(statement):
            return False
        portal = Portal(key, statement, of, parameters, formats, self._segment, self._portals.get(key), key == UNSURE)
        if len(self._portals) >= MAX_NAMES:
            raise LimitReached(f"more than {MAX_NAMES} portals in one transaction")
        self._portals[key] = portal
        self._newest_portal = self._segment
        verdict = statement.verdict if statement is not None else None
        self._sent.append(Sent(B, verdict, None, portal))
        self.to_server.append(whole)
        return True

    def _on_describe(self, whole: bytes, body: bytes) -> bool:
        if self._copy_in:
            raise PeerError("unexpected message type during COPY from stdin")
        target, name = wire.parse_target_of(body)
        if target == DESCRIBED_STATEMENT:
            statement = self._statements.get(self._key(name))
            self._sent.append(Sent(D, statement.verdict if statement else None, statement))
        else:
            portal = self._portals.get(self._key(name))
            if portal is not None and not self._known(portal):
                return False
            verdict = portal.statement.verdict if portal is not None and portal.statement else None
            if portal is not None and verdict is not None and verdict.planner is not None:
                portal.expect(verdict)
            self._sent.append(Sent(D, verdict, None, portal))
        self.to_server.append(whole)
        return True

    def _on_execute(self, whole: bytes, body: bytes) -> bool:
        if self._copy_in:
            raise PeerError("unexpected message type during COPY from stdin")
        name = wire.parse_execute(body)
        portal = self._portals.get(self._key(name))
        if portal is not None and not self._known(portal):
            return False
        if portal is None or portal.unsure:
            # A cursor that was declared in SQL is a portal, too.
            portal = None
            ask = Ask("execute", b"FETCH ALL FROM " + _quoted(name), b"", b"", (), (), self._portals)
        elif portal.statement is None:
            ask = Ask("execute", b"EXECUTE " + _quoted(portal.unknown), b"", b"", portal.parameters, portal.formats)
        else:
            statement = portal.statement
            ask = Ask(
                "execute",
                statement.text,
                b"",
                statement.types,
                portal.parameters,
                portal.formats,
                self._portals,
                portal.grant,
            )
        self._hold(E, whole, portal, ask)
        return False

    # --- decided ----------------------------------------------------------------------------------------------

    def _query(self, whole: bytes, verdict: Verdict[SqlOperation]) -> None:
        sent = Sent(Q, verdict, segment=self._segment)
        self._segment += 1
        # A simple Query destroys the unnamed statement and portal (53.2.3).
        self._statements.pop(b"", None)
        self._portals.pop(b"", None)
        self._forget(verdict.operation)
        self._sent.append(sent)
        self.to_server.append(whole if verdict.denial is None else message(b"Q", cstring(verdict.marker)))

    def _parse(self, whole: bytes, parsed: object, verdict: Verdict[SqlOperation]) -> None:
        assert isinstance(parsed, Parse)
        name = self._key(parsed.name)
        if verdict.denial is not None:
            if not name:
                self._statements.pop(name, None)
            self._sent.append(Sent(P, verdict))
            self.to_server.append(message(b"P", cstring(parsed.name) + cstring(verdict.marker) + b"\0\0"))
            return
        if len(self._statements) >= MAX_NAMES:
            raise LimitReached(f"more than {MAX_NAMES} prepared statements in one session")
        statement = Prepared(name, parsed.text, parsed.rest, verdict, self._segment, self._statements.get(name))
        if name != UNSURE:
            self._statements[name] = statement
        self._sent.append(Sent(P, verdict, statement))
        self.to_server.append(whole)

    def _execute(self, whole: bytes, parsed: object, verdict: Verdict[SqlOperation]) -> None:
        portal = parsed if isinstance(parsed, Portal) else None
        if verdict.denial is not None:
            self._sent.append(Sent(E, verdict))
            self.to_server.append(message(b"E", cstring(verdict.marker) + b"\0\0\0\0"))
            return
        sent = Sent(E, verdict, None, portal)
        if portal is not None:
            portal.grant = verdict.grant
        if verdict.planner is not None and (portal is None or not portal.expects(verdict)):
            # The layout decides how rows are masked, and the client did not ask for it: we do.
            name, _ = read_cstring(whole, 5)
            if portal is None:
                portal = Portal(name, None, b"", (), (), self._segment, None)
                sent.portal = portal
            portal.expect(verdict)
            self._sent.append(Sent(D, verdict, portal=portal, hidden=True))
            self.to_server.append(message(b"D", b"P" + cstring(name)))
        self._forget(verdict.operation)
        self._sent.append(sent)
        self.to_server.append(whole)

    def _function_call(self, whole: bytes, verdict: Verdict[SqlOperation]) -> None:
        # A denied FunctionCall becomes a Query: it is answered alike, by one error and ReadyForQuery.
        self._sent.append(Sent(F, verdict, segment=self._segment))
        self._segment += 1
        self.to_server.append(whole if verdict.denial is None else message(b"Q", cstring(verdict.marker)))

    def _forget(self, operation: SqlOperation) -> None:
        """SQL's own PREPARE, DEALLOCATE, DECLARE and CLOSE change what a name stands for, unless they fail: know it no
        longer. A portal stays noted as one, so that nobody takes a FETCH from it for one from the cursor."""
        names = operation.names
        if not names:
            return
        for name in names:
            self._statements.pop(name.encode(), None)
            portal = self._portals.get(name.encode())
            if portal is not None:
                portal.unsure = True

    # --- from the target --------------------------------------------------------------------------------------

    def receive_server(self, data: bytes) -> None:
        """Bytes from the target, in any split. Raises PeerError: end the session."""
        server = self._server
        if server:
            server += data
            if len(server) < self._server_need or self.stale or self.large is not None:
                return
            data = bytes(server)
            server.clear()
        elif self.stale or self.large is not None:
            server += data
            return
        self._run_server(data)

    def catalogue_reloaded(self) -> None:
        """Plan again; what is unknown even now is masked whole."""
        self.stale = False
        self._final = True
        self._go_on()

    def rewritten(self, masked: bytes) -> None:
        """What `large` was made into."""
        self.large = None
        self._masked(self._sent[0], masked)
        self._go_on()

    def _go_on(self) -> None:
        """With what has come from the target meanwhile."""
        data = bytes(self._server)
        self._server.clear()
        self._run_server(data)

    def _masked(self, head: Sent, masked: bytes) -> None:
        head.size += len(masked)
        if self.keep_rows:
            self._keep(head, masked)
        self.to_client.append(masked)

    def _run_server(self, buf: bytes) -> None:
        pos, start, end = 0, 0, len(buf)
        view = buf
        out = self.to_client
        sent = self._sent
        if self._server_through:
            pos = min(end, self._server_through)
            self._server_through -= pos
            if sent:
                sent[0].size += pos
                if self.keep_rows:
                    self._keep(sent[0], buf[:pos])
        self._server_need = 0
        while end - pos >= 5:
            kind = view[pos]
            length = _int32(view, pos + 1)
            if length < 4:
                raise PeerError("the target sent a message with a wrong length")
            stop = pos + 1 + length
            if kind == 68 or kind == 100:  # DataRow, CopyData
                head = sent[0] if sent else None
                if head is None:
                    raise PeerError("the target sent rows that nobody asked for")
                plan = self._plan_of(head) if kind == 68 else self._copy_of(head)
                if plan is None:
                    done, rows = skip_rows(buf, pos, kind)
                    head.rows += rows
                    head.size += done - pos
                    if self.keep_rows:
                        self._keep(head, view[pos:done])
                    pos = done
                    if end - pos >= 5 and view[pos] == kind:  # it begins here and goes on in later chunks: stream
                        length = _int32(view, pos + 1)
                        if length < 4:
                            raise PeerError("the target sent a message with a wrong length")
                        head.rows += 1
                        head.size += end - pos
                        self._server_through = pos + 1 + length - end
                        if self.keep_rows:
                            self._keep(head, view[pos:end])
                        pos = end
                    continue
                done, rows = skip_rows(buf, pos, kind)
                if done == pos:
                    if length > MAX_MASKED_ROW:
                        raise LimitReached(f"a row with masked columns is larger than {MAX_MASKED_ROW} bytes")
                    break
                head.rows += rows
                out.append(view[start:pos])
                if done - pos > plan.at_once:
                    self.large = plan, view[pos:done]
                    pos = start = done
                    break
                self._masked(head, plan.apply(view[pos:done]))
                pos = start = done
                continue
            if stop > end:
                if kind == 86 and sent and self._planner_of_head() is None:  # FunctionCallResponse: streams
                    self._on_function_result(sent[0])
                    self._server_through = stop - end
                    pos = end
                elif length > MAX_SERVER:
                    raise LimitReached(f"the target sent a message larger than {MAX_SERVER} bytes")
                break
            try:
                replaced = self._server_message(kind, buf, pos, stop)
            except CatalogueStale:
                self.stale = True
                break
            if replaced is not None:
                if start < pos:
                    out.append(view[start:pos])
                if replaced:
                    out.append(replaced)
                start = stop
            pos = stop
        if start < pos:
            out.append(view[start:pos] if start or pos < end else buf)
        if pos < end:
            self._server += view[pos:end]
            if end - pos >= 5:
                self._server_need = _int32(view, pos + 1) + 1
        stalled = self._stalled
        if stalled is not None and (stalled.confirmed or not self._pending(stalled)):
            self._stalled = None
            self._run_client()
        elif self._client_pos < len(self._client) and not self.holds():
            self._run_client()  # the pipeline was full

    def _keep(self, head: Sent, data: bytes) -> None:
        if head.verdict is not None and data:
            self.kept.append((head.verdict.number, data))

    def _pending(self, state: Named) -> bool:
        """Whether the message that makes it is still to be answered; it will be, a Sync or Query went after it. Others
        that name it may not: with their answers the target may wait for a Flush that we hold."""
        return any(
            (entry.kind == P and entry.statement is state) or (entry.kind == B and entry.portal is state)
            for entry in self._sent
        )

    def _planner_of_head(self) -> RowPlanner | None:
        verdict = self._sent[0].verdict if self._sent else None
        return verdict.planner if verdict is not None else None

    def _plan_of(self, head: Sent) -> RowRewriter | None:
        """How this row is masked. Rows without a known layout, for somebody who may not see all, end the session."""
        verdict = head.verdict
        if verdict is None:
            raise PeerError("the target sent rows to a message that returns none")
        if verdict.planner is None:
            return None
        if head.portal is not None:
            if head.portal.planned and head.portal.planner is verdict.planner:
                return head.portal.plan
        elif head.planned:
            return head.plan
        raise PeerError("the target sent rows without describing them")

    def _copy_of(self, head: Sent) -> RowRewriter | None:
        """How this CopyData is masked."""
        if head.verdict is None or (head.verdict.planner is not None and not head.copying):
            raise PeerError("the target sent rows without describing them")
        return head.copy

    def _server_message(self, kind: int, buf: bytes, pos: int, stop: int) -> bytes | None:
        """One whole message that is no row. What to send in its place; None: itself."""
        sent = self._sent
        view = buf
        if kind == 90:  # ReadyForQuery
            return self._on_ready(buf, pos, stop)
        if kind in b"NAS":  # these may come at any time
            return self._on_asynchronous(kind, buf, pos, stop)
        if not sent:
            if kind == 69:  # ErrorResponse outside of any operation: the target ends the session
                return self._sanitised(buf, pos, stop)
            raise PeerError("the target answered a message that nobody sent")
        head = sent[0]
        if kind == 67:  # CommandComplete
            if head.kind == E:
                sent.popleft()
            elif head.kind != Q:
                raise PeerError("the target's CommandComplete comes out of turn")
            self._ended(head, view[pos + 5 : stop - 1].decode("utf-8", "replace"))
            return None
        if kind == 50:  # BindComplete
            self._expect(head, B)
            if head.portal is not None:
                head.portal.confirmed = True
                head.portal.previous = None
            sent.popleft()
            return None
        if kind == 84:  # RowDescription
            return self._on_row_description(head, buf, pos, stop)
        if kind == 49:  # ParseComplete
            self._expect(head, P)
            if head.statement is None:
                raise PeerError("the target parsed what was denied")
            head.statement.confirmed = True
            head.statement.previous = None
            sent.popleft()
            return None
        if kind == 110:  # NoData
            self._expect(head, D)
            if head.portal is not None:
                head.portal.plan, head.portal.planned = None, False
            sent.popleft()
            return b"" if head.hidden else None
        if kind == 69:  # ErrorResponse
            return self._on_error(head, buf, pos, stop)
        if kind == 51:  # CloseComplete
            self._expect(head, C)
            sent.popleft()
            if head.statement is not None:
                drop(self._statements, head.statement)
            if head.portal is not None:
                drop(self._portals, head.portal)
            return None
        if kind == 116:  # ParameterDescription
            self._expect(head, D)
            return None
        if kind == 73:  # EmptyQueryResponse
            if head.kind == E:
                sent.popleft()
            self._ended(head, "")
            return None
        if kind == 115:  # PortalSuspended
            self._expect(head, E)
            sent.popleft()
            self._ended(head, "suspended")
            return None
        if kind == 71:  # CopyInResponse
            self._on_copy_in(head)
            return None
        if kind == 72:  # CopyOutResponse
            self._on_copy_out(head, buf[pos + 5 : stop])
            return None
        if kind == 99:  # CopyDone
            return None
        if kind == 86:  # FunctionCallResponse
            self._on_function_result(head)
            return self._searched_function_result(buf[pos + 5 : stop])
        raise PeerError(f"the target sent an unexpected message of type {kind}")

    def _on_function_result(self, head: Sent) -> None:
        self._expect(head, F)
        self._ended(head, "FUNCTION")

    def _searched_function_result(self, body: bytes) -> bytes | None:
        """Its type is not known: a value in which something is found is NULL."""
        value = body[4:]
        if self.planner is None or self.planner.text(value) is value:
            return None
        return message(b"V", b"\xff\xff\xff\xff")

    def _expect(self, head: Sent, kind: int) -> None:
        if head.kind != kind:
            raise PeerError("the target's answer comes out of turn")

    def _on_ready(self, buf: bytes, pos: int, stop: int) -> bytes | None:
        sent = self._sent
        if not sent or stop - pos != 6:
            raise PeerError("the target's ReadyForQuery comes out of turn")
        head = sent[0]
        if head.kind not in b"SQF":
            raise PeerError("the target's ReadyForQuery comes out of turn")
        if head.kind != S and head.verdict is not None and head.verdict.tainted:
            self._tainted = True
        sent.popleft()
        segment = head.segment
        view = buf
        self._copy_in = False
        self.status = view[pos + 5]
        if self.status == 73:  # I: portals ended with the transaction
            self._tainted = False
            if self._touched <= segment:
                self._touched = -1
            if self._portals:
                self._end_portals(segment)
        return None

    def _end_portals(self, segment: int) -> None:
        """Those of batches up to ``segment`` are gone: most often all, and then nothing is copied."""
        if self._newest_portal > segment:
            self._portals = {name: portal for name, portal in self._portals.items() if portal.segment > segment}
        else:
            self._portals = {}

    def _on_row_description(self, head: Sent, buf: bytes, pos: int, stop: int) -> bytes | None:
        verdict = head.verdict
        planner = verdict.planner if verdict is not None else None
        if head.kind == D:
            portal = head.portal
            if portal is not None and verdict is not None and planner is not None:
                fields = parse_row_description(buf[pos + 5 : stop])
                portal.plan = self._planned(planner, fields, verdict)
                portal.planned = portal.planner is planner
                portal.columns = _names(fields)
            self._sent.popleft()
            return b"" if head.hidden else None
        if head.kind != Q:
            raise PeerError("the target's RowDescription comes out of turn")
        if planner is not None or self.observe_columns:
            fields = parse_row_description(buf[pos + 5 : stop])
            head.columns = _names(fields)
            if planner is not None:
                assert verdict is not None
                head.plan = self._planned(planner, fields, verdict)
                head.planned = True
        return None

    def _planned(
        self, planner: RowPlanner, fields: tuple[Field, ...], verdict: Verdict[SqlOperation]
    ) -> RowRewriter | None:
        plan = planner.plan(fields, verdict.operation, final=self._final)
        self._final = False
        return plan

    def _ended(self, head: Sent, status: str, failed: bool = False) -> None:
        verdict = head.verdict
        if verdict is None:
            return
        if verdict.tainted:
            self._tainted = True
        portal = head.portal
        if head.copying:
            columns, plan = head.columns, head.copy
            head.copying, head.copy = False, None
        else:
            columns, plan = (head.columns, head.plan) if portal is None else (portal.columns, portal.plan)
        masked = _masked(columns, plan) if plan is not None and columns else ()
        self.results.append(Result(verdict.number, status, head.rows, head.size, columns, masked, failed))
        head.rows = head.size = 0
        head.columns = ()
        head.plan, head.planned = None, False

    def _on_copy_out(self, head: Sent, body: bytes) -> None:
        verdict = head.verdict
        if head.kind not in (Q, E) or verdict is None:
            raise PeerError("the target's CopyOutResponse comes out of turn")
        if verdict.planner is None:
            return
        binary, columns = parse_copy_response(body)
        operation = verdict.operation
        head.copy = verdict.planner.copy(operation, binary=binary, columns=columns, encoding=self.encoding)
        head.copying = True
        if operation.copies is not None and operation.copies.fields is not None:
            head.columns = _names(operation.copies.fields)

    def _on_copy_in(self, head: Sent) -> None:
        if head.kind not in (Q, E):
            raise PeerError("the target's CopyInResponse comes out of turn")
        sent = self._sent
        self._copy_in = True
        # The target reads on to CopyDone or CopyFail, which may have been sent already. Up to there it ignores each
        # Sync, and takes any other message for an error of the COPY (copyfromparse.c, CopyGetData): neither gets an
        # answer.
        entry = head
        while not entry.copies_ended:
            if len(sent) == 1:
                return
            if sent[1].kind != S:
                raise PeerError("unexpected message type during COPY from stdin")
            entry = sent[1]
            del sent[1]
        # What was counted behind a Sync that is gone stands behind the one before it, for the next COPY of a query.
        head.copies_ended = entry.copies_ended - 1
        self._copy_in = False

    # --- errors and notices -----------------------------------------------------------------------------------

    def _on_error(self, head: Sent, buf: bytes, pos: int, stop: int) -> bytes | None:
        verdict = head.verdict
        fields = parse_fields(buf[pos + 5 : stop])
        replaced: bytes | None = None
        if verdict is not None and verdict.denial is not None and _carries(fields, verdict.marker):
            denial = verdict.denial
            replaced = errors.denied(denial)
            state = errors.CANCELLED.decode() if denial.cancelled else errors.DENIED.decode()
        else:
            state = next((value.decode("ascii", "replace") for code, value in fields if code == "C"), "")
            replaced = self._sanitised(buf, pos, stop)
        self._ended(head, state, True)
        self._copy_in = False
        sent = self._sent
        if head.kind != Q and head.kind != F and head.kind != S:
            refused = []
            while sent and sent[0].kind != S:
                refused.append(sent.popleft())
            for entry in reversed(refused):  # the newest is on top of what its name stands for: no search for it
                self._take_back(entry)
            if not sent:
                self._skipping = True
        return replaced

    def _take_back(self, entry: Sent) -> None:
        """The target refused or skipped this message: what it would have named does not exist."""
        if entry.kind == P and entry.statement is not None:
            drop(self._statements, entry.statement)
        elif entry.kind == B and entry.portal is not None:
            drop(self._portals, entry.portal)

    def _is_tainted(self) -> bool:
        if self._tainted:
            return True
        verdict = self._sent[0].verdict if self._sent else None
        return verdict is not None and verdict.tainted

    def _sanitised(self, buf: bytes, pos: int, stop: int) -> bytes | None:
        """An error or a notice without values."""
        kind, fields = buf[pos : pos + 1], parse_fields(buf[pos + 5 : stop])
        if self._is_tainted():
            return fields_message(kind, withhold(fields))
        shown = searched(fields, self.planner.text) if self.planner is not None else None
        return fields_message(kind, shown) if shown is not None else None

    def _on_asynchronous(self, kind: int, buf: bytes, pos: int, stop: int) -> bytes | None:
        if kind == 78:  # NoticeResponse
            return self._sanitised(buf, pos, stop)
        body, planner = buf[pos + 5 : stop], self.planner
        if kind == 83:  # ParameterStatus
            name, value = parse_parameter_status(body)
            self.parameter(name, value)
            if planner is None or (name == b"application_name" and value == self.application_name):
                return None
            shown = b"****" if name == b"application_name" and planner.hides else planner.text(value)
            return message(b"S", cstring(name) + cstring(shown)) if shown is not value else None
        if planner is None:
            return None
        # NotificationResponse: its payload is somebody's text, perhaps a trigger's with a whole row in it.
        if len(body) < 4:
            raise PeerError("invalid NotificationResponse")
        channel, payload_at = read_cstring(body, 4)
        payload, _ = read_cstring(body, payload_at)
        shown = b"****" if planner.hides else planner.text(payload)
        return message(b"A", body[:4] + cstring(channel) + cstring(shown)) if shown is not payload else None


def _names(fields: tuple[Field, ...]) -> tuple[str, ...]:
    return tuple(field.name.decode("utf-8", "replace") for field in fields)


def _masked(columns: tuple[str, ...], plan: RowRewriter) -> tuple[str, ...]:
    return tuple(columns[index] for index in plan.masked)


def _whole(buffer: bytearray) -> int:
    """Bytes until the first message of ``buffer`` is whole."""
    length: int = _int32(buffer, 1)
    return length + 1


def _quoted(name: bytes) -> bytes:
    return b'"' + name.replace(b'"', b'""') + b'"'


def _carries(fields: Fields, marker: bytes) -> bool:
    return any(code == "M" and marker in value for code, value in fields)
