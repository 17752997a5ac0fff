"""Which command policy forces: it runs whatever the caller asks for, as sshd's ForceCommand does.

Over all allow entries that fit the access now, those that force one with the most specific *who* count (principal,
then group, then everyone, as of masks). Where these name different commands nobody knows which is meant, and none runs.
An entry that forces nothing lifts nothing: it can only add what is no command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.errors import Problem
from gateway.model import Target
from gateway.policy.conditions import ClockCondition
from gateway.policy.entries import CompiledEntry
from gateway.policy.overlap import fits_within


@dataclass(frozen=True, slots=True)
class Forced:
    """What is forced, and by which entries (sorted names). Several ``commands`` contradict each other."""

    commands: tuple[str, ...]
    rules: tuple[str, ...]

    @property
    def command(self) -> str | None:
        """None: no command may run."""
        return self.commands[0] if len(self.commands) == 1 else None


def forced(allows: Iterable[CompiledEntry]) -> Forced | None:
    """What ``allows``, which all fit the access now, force; None: nothing."""
    forcing = [entry for entry in allows if entry.forces is not None]
    if not forcing:
        return None
    best = min(entry.rank for entry in forcing)
    counting = [entry for entry in forcing if entry.rank == best]
    return Forced(
        tuple(sorted({entry.forces for entry in counting if entry.forces is not None})),
        tuple(sorted({entry.name for entry in counting})),
    )


def contradictions(entries: Iterable[CompiledEntry], targets: Sequence[Target]) -> Iterator[Problem]:
    """Entries that can never have their command run: wherever one fits, another of its rank forces another one.

    Two groups that some principal may be in both of are no such mistake; that one is refused when it asks.
    """
    forcing = [entry for entry in entries if entry.forces is not None]
    for entry in forcing:
        for other in forcing:
            if other.forces == entry.forces or other.rank != entry.rank or not _always(other, entry.clock):
                continue
            if fits_within(entry, other, targets):
                problem = f"forces another command than `{other.name}` in {other.file}, which fits wherever this does"
                mend = "force one command, or keep the two apart by who, targets or logins; no command would run"
                yield Problem(entry.file, (*entry.path, "ssh", "force_command"), problem, mend)
                break


def _always(other: CompiledEntry, clock: Sequence[ClockCondition]) -> bool:
    """Whether ``other`` applies whenever something with ``clock`` does; as far as a look tells."""
    return all(condition in clock for condition in other.clock)
