"""Reads a session's statements: text -> facts -> what they mean in this database, for this principal.

`Reading` belongs to one session, `Readings` holds what they share: analyses of texts, catalogues of databases, the
worker for long statements. Whatever isn't known yet (a stale catalogue, a long text) is prepared first; what can't be
known is opaque, and policy says what that means.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred

from gateway.errors import LimitReached, PeerError
from gateway.json_paths import Path
from gateway.masking import NO_KEYS, CopyMask, Keyring, detection, is_known, plan_row, result_labels
from gateway.model import CatalogueStale, Method, ResultField, RowRewriter, SqlOperation, Verdict
from gateway.policy import AccessPolicy
from gateway.protocols.postgres.catalogue import Catalogues
from gateway.protocols.postgres.operation import DECODED, decode, function_call, parsed, type_oids, undecodable
from gateway.protocols.postgres.state import UNSURE, Ask
from gateway.protocols.postgres.worker import LongStatements
from gateway.session.pipeline import Corridor
from gateway.sql import Analysis, LabelledCatalogue, Remembered, Statement, analyse, resolve, unread
from gateway.sql.analysis import MAX_TEXT
from gateway.sql.shapes import is_free, shape_of
from gateway.verbs import SETS

MAX_ANALYSES: Final = 4096
"""Texts whose analysis is kept for all sessions: about 6 KB each, 20 KB for the longest that is kept."""

MAX_KEPT_TEXT: Final = 4 * 1024

MAX_UNDERSTOOD: Final = 256
"""Operations kept of one session, by the text's bytes: what an application runs over and over. A session whose
statements are all different (constants in the text) gains nothing from it and holds 1 MB; with 2048 it held 14."""

MAX_NAMES: Final = 100_000
"""Names of statements and cursors that a session's SQL may use; what they stand for is some hundred bytes each."""

MAX_MEANINGS: Final = 1000
"""Statements that one name stood for: a session that prepares anew under one name over and over."""

NO_LABELS: Final = frozenset[str]()

_CHANGES_CATALOGUE: Final = SETS["ddl"] | {"do", "call", "unknown"}


class Planner:
    """Plans results of one session as long as neither rules nor catalogue change (`gateway.model.RowPlanner`).

    json_paths  places in json that labels are bound to, with these labels' methods
    hides       see `gateway.model.RowPlanner`
    """

    def __init__(
        self,
        labelled: LabelledCatalogue,
        policy: AccessPolicy,
        keyring: Keyring,
        json_paths: Sequence[tuple[Path, Method]],
        *,
        hides: bool,
    ) -> None:
        self.labelled = labelled
        self.hides = hides
        self._policy = policy
        self._keyring = keyring
        self._json_paths = json_paths
        self._detection = detection(policy.detected, policy.own_detectors)
        self._plans: dict[tuple[Sequence[ResultField], tuple[frozenset[str], ...]], RowRewriter | None] = {}

    @property
    def masks(self) -> bool:
        """False when nothing that it could do would change anything."""
        return self.hides or self.searches or any(method.name != "clear" for _, method in self._json_paths)

    @property
    def searches(self) -> bool:
        """See `gateway.model.RowPlanner`."""
        return self._detection is not None

    def plan(self, fields: Sequence[ResultField], operation: SqlOperation, *, final: bool) -> RowRewriter | None:
        """See `gateway.model.RowPlanner`."""
        labelled = self.labelled
        if self.hides and not final and not all(is_known(field, labelled) for field in fields):
            raise CatalogueStale
        key = (fields, result_labels(fields, operation, labelled))
        if key not in self._plans:
            if len(self._plans) >= MAX_UNDERSTOOD:
                self._plans.clear()
            self._plans[key] = self._rows(fields, key[1])
        return self._plans[key]

    def copy(self, operation: SqlOperation, *, binary: bool, columns: int, encoding: bytes) -> RowRewriter | None:
        """See `gateway.model.RowPlanner`."""
        copies = operation.copies
        unknown = (ResultField(b"", 0, 0, 0, -1, 0),) * columns
        fields = unknown if copies is None or copies.fields is None else copies.fields
        if len(fields) != columns:
            raise PeerError(f"the target copies {columns} columns, but {len(fields)} were expected")
        rows = self._rows(fields, result_labels(fields, operation, self.labelled))
        if rows is None:
            return None
        if copies is None or binary or copies.format.kind == "binary" or encoding not in DECODED:
            raise PeerError("the target sends rows of a COPY that can't be masked")
        return CopyMask(copies.format, columns, rows)

    def _rows(self, fields: Sequence[ResultField], labels: Sequence[frozenset[str]]) -> RowRewriter | None:
        policy = self._policy
        by_path = self.labelled.by_path  # these are masked by their places in the value
        methods = [
            policy.method_for(of_column - by_path.get((field.table_oid, field.attnum), NO_LABELS))
            for field, of_column in zip(fields, labels, strict=True)
        ]
        return plan_row(fields, methods, self._keyring, self._detection, self._json_paths)

    def text(self, value: bytes) -> bytes:
        """See `gateway.model.RowPlanner`."""
        if self._detection is None:
            return value
        shown = self._detection.mask_text(value, self._keyring)
        return b"****" if shown is None else shown

    def renew(self, labelled: LabelledCatalogue) -> None:
        """A result that is being planned right now sees the reloaded catalogue."""
        self.labelled = labelled
        self._plans.clear()


class Readings:
    """Shared by all sessions.

    keyring      what masks need; whoever changes it changes the rules, too, so that every session plans anew
    keep_tokens  called before masked rows leave for a client: the tokens in them can be resolved from then on, or it
                 raises, to keep them back
    """

    def __init__(self, reactor: Any, catalogues: Catalogues, *, statement: int) -> None:
        self.catalogues = catalogues
        self.long = LongStatements(reactor)
        self.statement = statement
        self.keyring = NO_KEYS
        self.keep_tokens: Callable[[], None] = _no_tokens
        self._analyses: OrderedDict[str, Analysis] = OrderedDict()
        self._free: OrderedDict[bytes, bool] = OrderedDict()

    async def open(self, corridor: Corridor) -> Reading:
        """For a session that begins. Raises TargetUnavailable when the catalogue is needed and can't be had."""
        reading = Reading(self, corridor)
        await reading.begin()
        return reading

    def analyse(self, text: str) -> Analysis | None:
        """Facts of ``text``; None when it is so long that the worker has to do it."""
        known = self._analyses.get(text)
        if known is not None:
            self._analyses.move_to_end(text)
            return known
        if len(text) > self.statement:
            return None
        analysis = analyse(text)
        if len(text) <= MAX_KEPT_TEXT:
            self._analyses[text] = analysis
            if len(self._analyses) > MAX_ANALYSES:
                self._analyses.popitem(last=False)
        return analysis

    def is_free(self, shape: bytes, text: bytes, analysis: Analysis) -> bool:
        """Whether ``analysis`` is that of all texts of the shape; found out once for each."""
        free = self._free.get(shape)
        if free is None:
            free = self._free[shape] = is_free(text, analysis)
            if len(self._free) > MAX_ANALYSES:
                self._free.popitem(last=False)
        return free


def _no_tokens() -> None:
    """There is no vault."""


class _Read:
    """What a text means, read once. ``plain``: running it changes neither the catalogue nor what a name stands for."""

    def __init__(self, operation: SqlOperation, analysis: Analysis, plain: bool) -> None:
        self.operation = operation
        self.analysis = analysis
        self.plain = plain


class Reading:
    """One session's.

    unrestricted  nothing that a statement says decides anything: everything is allowed, nothing is hidden, and nobody
                  is asked
    searches      values are searched for in results
    said          the text that was read last, when the operation given is that of another text of its shape
                  (`gateway.sql.shapes`); else None
    """

    def __init__(self, readings: Readings, corridor: Corridor) -> None:
        self._readings = readings
        self._corridor = corridor
        access = corridor.admitted.access
        self._database = readings.catalogues.database(access.target, access.database)
        self._generation = -1
        self._rules = corridor.rules
        self._labelled: LabelledCatalogue | None = None
        self._planner: Planner | None = None
        self._understood: dict[tuple[bytes, bytes, bytes], _Read] = {}
        self._alike: dict[tuple[bytes, bytes, bytes], _Read] = {}
        self._prepared: dict[str, tuple[Statement, ...]] = {}
        self._cursors: dict[str, tuple[Statement, ...]] = {}
        self._remembered = Remembered(self._prepared, self._cursors)
        self._long: tuple[bytes, Analysis] | None = None
        self._last: _Read | None = None
        self._unsure_names = False
        self.changes_catalogue = False
        self.unrestricted = False
        self.searches = False
        self.said: str | None = None

    # --- catalogue and rules ----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Load what is needed to decide and to mask."""
        await self._database.confirm(self._corridor.admitted.credential)
        self._bind()

    def _bind(self) -> None:
        """Labels to columns, then what is hidden from this principal. Everything that was understood is read anew."""
        self._rules = self._corridor.rules
        policy = self._corridor.policy
        database = self._database
        self._understood.clear()
        self._alike.clear()
        snapshot = self._corridor.rules.snapshot
        target = self._corridor.admitted.access.target.name
        self._generation = database.generation
        places = snapshot.json_paths(target)
        json_labels = frozenset(label for _, label in places)
        self._labelled = labelled = database.bind(snapshot.column_labels(target), json_labels)
        hidden = frozenset(label for label in labelled.labels if policy.method_for((label,)).name != "clear")
        conditions = any(entry.operation for entry in (*policy.allows, *policy.denies))
        self.unrestricted = not hidden and not conditions and not policy.approves
        json_paths = [(path, policy.method_for((label,))) for path, label in places]
        planner = Planner(labelled, policy, self._readings.keyring, json_paths, hides=bool(hidden))
        self._planner = planner if planner.masks else None
        self.searches = planner.searches
        self._corridor.see(hidden, self._planner)

    def _current(self) -> bool:
        """Whether rules and catalogue are the newest; takes up what can be taken up at once."""
        self._corridor.refresh()
        if self._corridor.rules is not self._rules:
            self._bind()
        database = self._database
        if database.stale and not self.unrestricted:
            return False
        if database.generation != self._generation:
            self._bind()
        return True

    async def reload(self) -> None:
        """A result showed a relation that the catalogue does not know."""
        planner = self._planner
        self._database.changed()
        await self._database.load(self._corridor.admitted.credential)
        self._bind()
        if planner is not None and self._labelled is not None:
            planner.renew(self._labelled)

    def keep_tokens(self) -> None:
        """See `Readings`. Raises StoreFailed."""
        self._readings.keep_tokens()

    # --- statements -------------------------------------------------------------------------------------------

    def read(self, ask: Ask, encoding: bytes) -> SqlOperation | None:
        """What ``ask`` would do; None when `prepare` has to come first."""
        if not self._current():
            return None
        if ask.source == "function":
            self._last = None
            return function_call()
        self.said = None
        read = self._understood.get((ask.text, ask.types, encoding))
        if read is None:
            shape = shape_of(ask.text)
            read = self._alike.get((shape, ask.types, encoding)) if shape is not None else None
            if read is not None:
                self.said = ask.text.decode("ascii")  # only such texts have a shape
            else:
                read = self._read(ask, encoding, shape)
                if read is None:
                    return None
        self._last = read
        return read.operation

    def _read(self, ask: Ask, encoding: bytes, shape: bytes | None) -> _Read | None:
        raw, types = ask.text, ask.types
        text = decode(raw, encoding)
        if text is None:
            analysis = undecodable(raw, encoding)
        elif self._long is not None and self._long[0] == raw:
            analysis = self._long[1]
            self._long = None
        else:
            found = self._readings.analyse(text)
            if found is None:
                return None
            analysis = found
        depends = any(statement.executes or statement.fetches for statement in analysis.statements)
        if depends and (reason := self._unsure(analysis, ask.portals)) is not None:
            analysis = unread(analysis.text, reason)
        if not self.unrestricted and self._unknown(analysis) and self._database.refresh_for_unknown():
            return None
        operation = parsed(analysis, resolve(analysis, self._labelled, self._remembered, type_oids(types)))
        read = _Read(operation, analysis, _is_plain(operation, analysis))
        if not depends and len(raw) <= MAX_KEPT_TEXT:
            known, key = self._understood, raw
            if shape is not None and self._readings.is_free(shape, raw, analysis):
                known, key = self._alike, shape
            if len(known) >= MAX_UNDERSTOOD:
                known.clear()
            known[key, types, encoding] = read
        return read

    def _unsure(self, analysis: Analysis, portals: Container[bytes]) -> str | None:
        """Why nobody can say what it runs by name; None when that is known, or it runs nothing so."""
        for statement in analysis.statements:
            if statement.executes and self._unsure_names:
                return "EXECUTE, and this session has statements whose names only the target can tell apart"
            if statement.fetches and (UNSURE in portals or any(name.encode() in portals for name in statement.fetches)):
                return "FETCH from a portal that Bind made; use Execute"
        return None

    def _unknown(self, analysis: Analysis) -> bool:
        """Whether it names relations that the catalogue hasn't seen: they may be new."""
        if self._labelled is None:
            return False
        catalogue = self._labelled.catalogue
        return any(not catalogue.named(name) for statement in analysis.statements for name in statement.relations)

    async def prepare(self, ask: Ask, encoding: bytes) -> None:
        """Do what `read` could not do at once. Raises TargetUnavailable when the catalogue can't be had."""
        if self._database.stale and not self.unrestricted:
            await self._database.load(self._corridor.admitted.credential)
            return
        text = decode(ask.text, encoding)
        if text is None:
            return
        if self._readings.analyse(text) is None:
            if len(text) > MAX_TEXT:
                self._long = (ask.text, unread(text, f"the text is longer than {MAX_TEXT} bytes"))
            else:
                waiting: Deferred[Analysis] = self._readings.long.analyse(text)
                self._long = (ask.text, await waiting)

    def setting(self, text: str) -> SqlOperation:
        """One setting of the startup packet, as the SQL that would make it."""
        analysis = analyse(text)
        return parsed(analysis, resolve(analysis, self._labelled, self._remembered))

    def asked(self, ask: Ask, verdict: Verdict[SqlOperation]) -> None:
        """The operation that was just read has its verdict; what goes to the target changes what names mean."""
        read, self._last = self._last, None
        if verdict.denial is not None or (read is not None and read.plain and not ask.name):
            return
        operation = verdict.operation
        if ask.source != "parse" and _may_change_catalogue(operation):
            self.changes_catalogue = True
            self._database.changed()
        if read is None:
            return
        if ask.source == "parse":
            if ask.name == UNSURE:
                self._unsure_names = True
            elif ask.name:
                statements = tuple(map(_run_by_execute, read.analysis.statements))
                _add(self._prepared, ask.name.decode("utf-8", "replace"), statements)
            return
        for statement in read.analysis.statements:
            if statement.prepares is not None:
                _add(self._prepared, statement.prepares, (statement,))
            if statement.declares is not None:
                _add(self._cursors, statement.declares, (statement,))

    def settled(self) -> None:
        """The target is idle: what was changed is committed, and the catalogue can see it."""
        self.changes_catalogue = False
        self._database.changed()


def _may_change_catalogue(operation: SqlOperation) -> bool:
    unsure = operation.opaque is not None or bool(operation.untrusted_functions)
    return unsure or not _CHANGES_CATALOGUE.isdisjoint(operation.verbs)


def _is_plain(operation: SqlOperation, analysis: Analysis) -> bool:
    names = (name for statement in analysis.statements for name in (statement.prepares, statement.declares))
    return not _may_change_catalogue(operation) and not any(name is not None for name in names)


def _run_by_execute(statement: Statement) -> Statement:
    """A statement of Parse, as SQL's EXECUTE runs it: what it makes or takes by a name would go by unseen there."""
    if statement.fetches or statement.declares or statement.prepares:
        return replace(statement, opaque="EXECUTE of a statement about cursors or prepared statements")
    return statement


def _add(names: dict[str, tuple[Statement, ...]], name: str, statements: tuple[Statement, ...]) -> None:
    """What a name may stand for only grows: whether a PREPARE or a Parse took effect is the target's to know.

    Raises LimitReached.
    """
    known = names.get(name, ())
    new = tuple(statement for statement in statements if statement not in known)
    if new:
        if len(names) >= MAX_NAMES or len(known) >= MAX_MEANINGS:
            raise LimitReached("too many prepared statements and cursors in one session")
        names[name] = known + new
