"""Random histories of requests, votes, uses, reloads, revocations, restarts and time, against a model that only counts.

Never more uses than granted, never after the end, never another's, never self-approved, N distinct people; and what
was rightly approved can be used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from session.asked import subject, terms
from session.house import House

from gateway.errors import GatewayError, NoSuchThing
from gateway.model import ApprovalTerms
from gateway.session import Approver

PEOPLE = ("alice", "bob", "carol", "dora", "dan")
GROUPS = {"dora": {"dba"}, "dan": {"dba", "hr"}, "carol": {"hr"}, "alice": {"dba"}, "bob": set()}
ENTRIES = {
    one.rule: one
    for one in (
        terms("one", groups=("dba",), uses=1, within=50.0, wait=100.0),
        terms("two", groups=("dba",), needed=2, uses=3, within=200.0, wait=60.0),
        terms("hr", groups=("hr",), principals=("bob",), uses=2, within=100.0, wait=100.0),
        terms("many", groups=("dba", "hr"), uses=None, within=80.0, wait=100.0),
    )
}
ASKED = st.lists(st.sampled_from(sorted(ENTRIES)), min_size=1, max_size=2, unique=True).map(sorted)


@dataclass
class Asked:
    """What the model knows of a request: only what was said to it, and when."""

    principal: str
    operation: str
    entries: tuple[ApprovalTerms, ...]
    deadline: float
    yes: list[str] = field(default_factory=list)
    over: bool = False
    approved_at: float | None = None
    used: int = 0

    def satisfied(self) -> bool:
        return all(
            len({one for one in self.yes if GROUPS[one] & set(term.groups) or one in term.principals}) >= term.needed
            for term in self.entries
        )

    def usable(self, now: float) -> bool:
        if self.approved_at is None or self.over:
            return False
        uses = [term.uses for term in self.entries if term.uses is not None]
        within = min(term.within for term in self.entries)
        return now < self.approved_at + within and (not uses or self.used < min(uses))


class Approving(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.house = House(Path(self.directory.name))
        self.asked: dict[str, Asked] = {}
        self.known = set(ENTRIES)

    def teardown(self) -> None:
        self.house.close()
        self.directory.cleanup()

    @property
    def now(self) -> float:
        return self.house.clock.seconds()

    @rule(principal=st.sampled_from(PEOPLE), operation=st.sampled_from("xy"), entries=ASKED)
    def request(self, principal: str, operation: str, entries: list[str]) -> None:
        asked = tuple(ENTRIES[name] for name in entries if name in self.known)
        if not asked:
            return
        made = self.house.approvals.request(subject(principal, binding=principal + operation), asked)
        deadline = self.now + min(term.wait for term in asked)
        fresh = Asked(principal, operation, asked, deadline)
        found = self.asked.setdefault(made.id, fresh)
        assert (found.principal, found.operation, found.entries) == (principal, operation, asked)
        assert found is fresh or (found.approved_at is None and not found.over and found.deadline > self.now)

    def one_of(self, data: st.DataObject) -> str:
        """The newest is where most can happen."""
        ids = list(self.asked)
        return data.draw(st.sampled_from([ids[-1], *ids[-3:]]))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), approver=st.sampled_from(PEOPLE), yes=st.sampled_from((True,) * 7 + (False,)))
    def vote(self, data: st.DataObject, approver: str, yes: bool) -> None:
        self.voted(self.one_of(data), approver, yes=yes)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def all_say_yes(self, data: st.DataObject) -> None:
        """Else a history with an approval in it would be rare."""
        id = self.one_of(data)
        for approver in PEOPLE:
            self.voted(id, approver, yes=True)

    def voted(self, id: str, approver: str, *, yes: bool) -> None:
        one = self.asked[id]
        named = any(GROUPS[approver] & set(term.groups) or approver in term.principals for term in one.entries)
        may = (
            not one.over
            and one.approved_at is None
            and self.now < one.deadline
            and approver != one.principal
            and approver not in one.yes
            and named
        )
        try:
            answer = self.house.approvals.decide(id, Approver(approver, frozenset(GROUPS[approver]), "tls"), yes=yes)
        except (NoSuchThing, GatewayError):
            assert not may
            return
        assert may
        if not yes:
            one.over = True
        else:
            one.yes.append(approver)
            if one.satisfied():
                one.approved_at = self.now
        assert (answer.state == "approved") == (one.approved_at is not None)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), principal=st.sampled_from((None,) * 5 + PEOPLE), entries=st.none() | ASKED)
    def use_nearly(self, data: st.DataObject, principal: str | None, entries: list[str] | None) -> None:
        """What was asked for, by whom it was; or nearly that."""
        one = self.asked[self.one_of(data)]
        names = [term.rule for term in one.entries] if entries is None else entries
        self.used(one.operation, principal or one.principal, names)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), times=st.integers(1, 4))
    def use(self, data: st.DataObject, times: int) -> None:
        one = self.asked[self.one_of(data)]
        for _ in range(times):
            self.used(one.operation, one.principal, [term.rule for term in one.entries])

    def used(self, operation: str, principal: str, names: list[str]) -> None:
        asked = tuple(ENTRIES[name] for name in names if name in self.known)
        if not asked:
            return
        grant = self.house.approvals.use(subject(principal, binding=principal + operation), asked)
        fits = {
            id: one
            for id, one in self.asked.items()
            if (one.principal, one.operation) == (principal, operation)
            and set(asked) <= set(one.entries)
            and one.usable(self.now)
        }
        if grant is None:
            assert not fits
            return
        assert grant.id in fits
        assert principal not in grant.approvers
        fits[grant.id].used += 1

    @rule(seconds=st.sampled_from((0.5, 10.0, 49.5, 100.0)))
    def later(self, seconds: float) -> None:
        self.house.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.house.approvals.sweep(self.now)

    @rule()
    def restart(self) -> None:
        self.house.approvals.close()
        self.house.approvals = self.house.reopened()

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        id = self.one_of(data)
        try:
            self.house.approvals.revoke(id, "olivia")
        except NoSuchThing:
            assert not self.asked[id].usable(self.now)
        self.asked[id].over = self.asked[id].over or self.asked[id].approved_at is not None

    @rule(gone=st.none() | st.sampled_from(sorted(ENTRIES)))
    def reload(self, gone: str | None) -> None:
        self.known = kept = set(ENTRIES) - {gone}
        self.house.approvals.keep_only(ENTRIES[name].digest for name in kept)
        for one in self.asked.values():
            if not {term.rule for term in one.entries} <= kept:
                one.over = True

    @invariant()
    def nobody_waits_for_what_is_settled(self) -> None:
        for request in self.house.approvals.requests():
            if request.state == "approved":
                assert self.asked[request.id].approved_at is not None


Approving.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestApproving = Approving.TestCase
