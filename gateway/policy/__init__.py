"""Policy: who may do what, decided from frozen data (shared policy.md; docs/policy.md for authors).

schema.py      the YAML of a policy file, as types
values.py      single values of it: verbs, networks, hours, ...
globs.py       names with wildcards
conditions.py  compiled conditions, each with its reason why not
entries.py     compiled allow, deny and approve entries, masks, labels
forced.py      which command runs whatever is asked for over SSH
digest.py      what an approve entry says, as one digest
compile.py     documents -> Snapshot; what one file alone can't know is checked here
snapshot.py    Snapshot and AccessPolicy: admits, decide, limits, method_for
review.py      warnings about what an author probably didn't mean
overlap.py     whether one entry leaves anything to another, for review
loading.py     files on disk -> Snapshot, errors with lines
explain.py     every entry and why it matched or not
cases.py       `ostiary policy test`: cases beside the policy

Pure but for loading.py, which reads files: time is always an argument, and nothing here knows a socket. No
exception is swallowed on the way to a decision; a caller that sees one must refuse.
"""

from gateway.policy.cases import CaseResult, load_cases, run_cases
from gateway.policy.compile import PolicyFile, compile_snapshot
from gateway.policy.entries import CompiledEntry, Label, SessionLimits, has_ended, is_free
from gateway.policy.explain import Explanation, explain
from gateway.policy.forced import Forced
from gateway.policy.loading import check_policy, load_snapshot
from gateway.policy.schema import PolicyDocument
from gateway.policy.snapshot import AccessPolicy, Snapshot

__all__ = [
    "AccessPolicy",
    "CaseResult",
    "CompiledEntry",
    "Explanation",
    "Forced",
    "Label",
    "PolicyDocument",
    "PolicyFile",
    "SessionLimits",
    "Snapshot",
    "check_policy",
    "compile_snapshot",
    "explain",
    "has_ended",
    "is_free",
    "load_cases",
    "load_snapshot",
    "run_cases",
]
