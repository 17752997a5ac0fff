"""What holds for every policy about SSH, and a reference that decides from the files' own data, slowly."""

from __future__ import annotations

import json
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from policy.made import NOON, TARGETS, WEB, access, snapshot

from gateway.model import Access, Outcome, SshOperation
from gateway.policy import Snapshot, explain
from gateway.policy.review import review
from gateway.protocols.ssh.operation import written
from gateway.shell import read

Written = dict[str, Any]

BY_NAME = {"forward_local", "forward_remote", "agent", "x11", "env"}
COMMANDS = ["id", "id -u", "deploy prod", "deploy --x", "id; deploy prod", "deploy $x", "if id", "scp -t /srv/a"]
PATHS = ["/", "/srv", "/srv/a", "/srv/a/b", "/etc/x"]
ASKED = [
    "shell", "sftp", "scp", "agent", "x11", "subsystem netconf", "subsystem x", "env LANG=C", "env APP=1", "env PATH=x",
    "forward db:5432", "forward db:22", "forward /run/x", "forward_remote localhost:80",
    *(f"exec {command}" for command in COMMANDS),
    *(f"{by}{action} {path}" for by in ("", "scp ") for action in ("read", "write", "list") for path in PATHS),
]  # fmt: skip
OPERATIONS = {asked: written(asked) for asked in ASKED}


def several(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


def optional(fields: dict[str, Any], **always: st.SearchStrategy[Any]) -> st.SearchStrategy[Written]:
    return st.fixed_dictionaries(always, optional=fields)


paths = several("/srv/**", "/srv/*", "/srv/a", "/**", "/**/b", "/etc/x")
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "exec": several("id", "id **", "deploy *", "**", "deploy $x", "scp **"),
    "files": optional({"read": paths, "write": paths, "list": paths}).filter(bool),
    "subsystems": several("netconf", "*"),
    "destinations": several("db:5432", "*:22", "*:*", "/run/*"),
    "env": several("APP", "*", "PATH"),
}
ABOUT = {
    "exec": {"exec"},
    "files": {"sftp", "scp"},
    "subsystems": {"subsystem"},
    "destinations": {"forward_local", "forward_remote"},
    "env": {"env"},
}
REQUESTS = ["shell", "exec", "subsystem", "sftp", "scp", "forward_local", "forward_remote", "agent", "x11", "env"]


@st.composite
def sections(draw: st.DrawFn, *, allow: bool) -> Written:
    section: Written = draw(optional(KEYS))
    if allow or draw(st.booleans()):
        section["logins"] = draw(several("deploy", "root", "*"))
    if draw(st.booleans()):
        requests = set(draw(several(*REQUESTS)))
        for key, about in ABOUT.items():
            if key in section and not about & requests:
                requests.add(draw(st.sampled_from(sorted(about))))
        if allow:
            for key in ("destinations", "env"):
                if key not in section:
                    requests -= ABOUT[key]
        if requests:
            section["requests"] = sorted(requests)
    return section or {"requests": ["shell"]}


who = {"kind": st.sampled_from(["human", "machine"]), "targets": several("web1", "orders", "*")}
names = st.sampled_from("abcdefgh")
sql = st.just({"verbs": ["select"]})
allow_entries = st.one_of(
    optional(who, name=names), optional(who, name=names, sql=sql), optional(who, name=names, ssh=sections(allow=True))
)
restricting = sections(allow=False)
deny_entries = st.one_of(
    optional(who, name=names, observe=st.booleans()),
    optional(who, name=names, sql=sql),
    optional(who, name=names, ssh=restricting),
    optional(who, name=names, ssh=restricting),
)
approvers = st.just({"groups": ["g"]})
approve_entries = st.one_of(
    optional(who, name=names, approvers=approvers), optional(who, name=names, approvers=approvers, ssh=restricting)
)
policies = st.fixed_dictionaries(
    {
        "allow": st.lists(allow_entries, max_size=4),
        "deny": st.lists(deny_entries, max_size=2),
        "approve": st.lists(approve_entries, max_size=2),
    }
)
accesses = st.builds(
    lambda role, kind: access(to=WEB, database="", role=role, kind=kind),
    st.sampled_from(["deploy", "root", "other"]),
    st.sampled_from(["human", "machine"]),
)
operations = st.sampled_from(ASKED).map(OPERATIONS.__getitem__)


def compiled(policy: Written) -> Snapshot:
    return snapshot(json.dumps(policy))


# ---------------------------------------------------------------- the reference


def kind_of(asked: SshOperation) -> set[str]:
    return set(asked.verbs & {"sftp", "scp"}) if asked.request == "file" else {asked.request}


def command_is(patterns: list[str], command: str, *, allow: bool) -> bool:
    """For these patterns only, by hand."""
    found = read(command)
    if command in patterns and found.words is None:
        return True
    if found.words is not None:
        candidates = [found.words]
    elif allow:
        return False
    elif found.commands is None:
        return True
    else:
        candidates = [words[start:] for words in found.commands for start in range(len(words))]
    for words in candidates:
        for pattern in patterns:
            first, _, rest = pattern.partition(" ")
            if pattern == "**" or (words[0] == first and rest == "**"):
                return True
            if words[0] == first and rest == "*" and len(words) == 2 and not (allow and words[1].startswith("-")):
                return True
            if pattern == " ".join(words):
                return True
    return False


def path_is(patterns: list[str], path: str, *, listing: bool) -> bool:
    for pattern in patterns:
        if pattern == path:
            return True
        if pattern == "/srv/*" and path == "/srv/a":
            return True
        if pattern == "/**/b" and path.endswith("/b"):
            return True
        if pattern.endswith("/**"):
            base = pattern.removesuffix("/**")
            if path.startswith(base + "/") and path != "/":
                return True
            if listing and path == (base or "/"):
                return True
    return False


def about(section: Written, asked: SshOperation, *, allow: bool) -> bool:
    """Whether the entry's keys hold for what the operation is."""
    match asked.request:
        case "exec" | "scp" if "exec" in section and (asked.request == "exec" or not allow):
            return command_is(section["exec"], asked.text, allow=allow)
        case "file" if "files" in section:
            (use,) = asked.files
            files = dict(section["files"])
            if allow and "read" in files:
                files["list"] = files.get("list", []) + files["read"]
            return use.action in files and path_is(files[use.action], use.path, listing=use.action == "list")
        case "subsystem" if "subsystems" in section:
            return any(fnmatchcase(asked.subsystem, pattern) for pattern in section["subsystems"])
        case "forward_local" | "forward_remote" if "destinations" in section:
            socket = asked.destination.startswith("/")
            wanted = [pattern for pattern in section["destinations"] if pattern.startswith("/") is socket]
            return any(fnmatchcase(asked.destination, pattern) for pattern in wanted)
        case "env" if "env" in section:
            if allow and asked.variable == "PATH":
                return "PATH" in section["env"]
            return any(fnmatchcase(asked.variable, pattern) for pattern in section["env"])
    return True


def allows(entry: Written, asked: SshOperation) -> bool:
    if "sql" in entry:
        return False
    free = asked.verbs == {"locale"}
    section = entry.get("ssh")
    if section is None or free:
        return free or asked.request not in BY_NAME
    requests = set(section.get("requests", ()))
    if not requests:
        requests = set().union(*(of - {"forward_remote"} for key, of in ABOUT.items() if key in section))
    requests = requests or {"shell", "exec", "sftp", "scp", "subsystem"}
    return kind_of(asked) <= requests and about(section, asked, allow=True)


def restricts(entry: Written, asked: SshOperation) -> bool:
    if "sql" in entry:
        return False
    section = entry.get("ssh")
    if section is None:
        return True
    requests = set(section.get("requests", ()))
    paths_only = "files" in section and asked.request in ("sftp", "scp")
    if not requests:
        requests = set().union(*(of for key, of in ABOUT.items() if key in section))
    if not requests:
        return True
    kinds = kind_of(asked)
    if asked.request == "scp" and "exec" in requests:
        return about(section, asked, allow=False)
    return bool(kinds & requests) and not paths_only and about(section, asked, allow=False)


def fits(entry: Written, who: Access) -> bool:
    logins = entry.get("ssh", {}).get("logins", ["*"])
    return (
        entry.get("kind", who.principal.kind) == who.principal.kind
        and bool({"web1", "*"} & set(entry.get("targets", ["*"])))
        and bool({who.role, "*"} & set(logins))
    )


def reference(policy: Written, who: Access, asked: SshOperation) -> str:
    allow, deny, approve = ([one for one in policy[kind] if fits(one, who)] for kind in ("allow", "deny", "approve"))
    if any(restricts(one, asked) and not one.get("observe") for one in deny):
        return "deny"
    if not any(allows(one, asked) for one in allow):
        return "deny"
    if asked.verbs != {"locale"} and any(restricts(one, asked) for one in approve):
        return "approve"
    return "allow"


@settings(max_examples=300, deadline=None)
@given(policies, accesses)
def test_decides_as_the_reference_does(policy: Written, who: Access) -> None:
    rules = compiled(policy).for_access(who)
    for written_so, asked in OPERATIONS.items():
        assert rules.decide(asked, NOON).outcome.value == reference(policy, who, asked), written_so


# ---------------------------------------------------------------- properties


@settings(max_examples=300)
@given(policies, deny_entries, accesses, operations)
def test_a_deny_more_never_allows_more(policy: Written, deny: Written, who: Access, asked: SshOperation) -> None:
    before = compiled(policy).decide(who, asked, NOON)
    after = compiled({**policy, "deny": [*policy["deny"], deny]}).decide(who, asked, NOON)
    assert after.outcome is Outcome.DENY or after.outcome is before.outcome


@settings(max_examples=300)
@given(policies, accesses, operations)
def test_not_understanding_never_allows_more(policy: Written, who: Access, asked: SshOperation) -> None:
    rules = compiled(policy)
    if rules.decide(who, replace(asked, opaque="why"), NOON).outcome is Outcome.ALLOW:
        assert rules.decide(who, asked, NOON).outcome is Outcome.ALLOW


@settings(max_examples=300)
@given(policies, accesses, operations)
def test_what_is_allowed_is_admitted(policy: Written, who: Access, asked: SshOperation) -> None:
    rules = compiled(policy)
    if rules.decide(who, asked, NOON).outcome is not Outcome.DENY:
        assert rules.admits(who, NOON).outcome is Outcome.ALLOW


@settings(max_examples=300)
@given(policies, accesses, operations | st.none())
def test_an_explanation_tells_the_decisions_story(policy: Written, who: Access, asked: SshOperation | None) -> None:
    rules = compiled(policy)
    told = explain(rules, who, asked, NOON)
    effect = told.decision.outcome.value
    matching = [one for one in told.entries if one.matches and not one.observe]
    assert set(told.decision.rules) == {one.name for one in matching if one.effect == effect}
    assert all(one.matches or one.reasons for one in told.entries), "whatever doesn't match says why"


@settings(max_examples=500)
@given(policies, accesses, operations)
def test_what_is_said_of_entries_that_do_nothing_is_true(policy: Written, who: Access, asked: SshOperation) -> None:
    numbered = {
        kind: [{**entry, "name": f"{kind}{index}"} for index, entry in enumerate(policy[kind])] for kind in policy
    }
    rules = compiled(numbered)
    decision = rules.decide(who, asked, NOON)
    for warning in review(rules, (*TARGETS, WEB), NOON):
        if "can never" in warning.problem:
            kind, index = warning.path[:2]
            assert f"{kind}{index}" not in (*decision.rules, *decision.observed)
