"""The ssh section: what an entry says about requests, files, destinations, logins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy.made import NOON, TARGETS, WEB, access, operation, snapshot, ssh_operation

from gateway.errors import ConfigError
from gateway.model import Access, Credential, FileAction, FileUse, Outcome, SshOperation
from gateway.policy import Snapshot, explain
from gateway.policy.review import review
from gateway.policy.snapshot import AccessPolicy
from gateway.protocols.ssh.operation import (
    agent,
    environment,
    execute,
    file,
    forward_local,
    forward_local_socket,
    forward_remote,
    shell,
    subsystem,
    written,
    x11,
)

DEPLOY = access(to=WEB, database="", role="deploy")
ROOT = access(to=WEB, database="", role="root")


def one(path: str, action: FileAction = "read", carrier: str = "sftp") -> SshOperation:
    return written(f"{'scp ' if carrier == 'scp' else ''}{action} {path}")


EVERYTHING = {
    "shell": shell(),
    "exec": execute(b"id"),
    "list of commands": execute(b"id; id"),
    "sftp": subsystem("sftp"),
    "scp": execute(b"scp -t /srv"),
    "read": one("/srv/a"),
    "write": one("/srv/a", "write"),
    "list": one("/srv/a", "list"),
    "read by scp": one("/srv/a", carrier="scp"),
    "subsystem": subsystem("netconf"),
    "forward": forward_local("db", 5432),
    "forward back": forward_remote("localhost", 8080),
    "agent": agent(),
    "x11": x11(),
    "env": environment("LD_PRELOAD", "/tmp/x"),
    "lang": environment("LANG", "C"),
}
ORDINARY = {"shell", "exec", "list of commands", "sftp", "scp", "read", "write", "list", "read by scp", "subsystem"}


def allowed(rules: Snapshot | AccessPolicy, who: Access = DEPLOY) -> set[str]:
    policy = rules.for_access(who) if isinstance(rules, Snapshot) else rules
    return {name for name, asked in EVERYTHING.items() if policy.decide(asked, NOON).outcome is Outcome.ALLOW}


def allowing(section: str, who: Access = DEPLOY) -> set[str]:
    return allowed(snapshot(f"allow: [{{name: a, targets: [web1], ssh: {{logins: [deploy], {section}}}}}]"), who)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("", ORDINARY),
        ("requests: [shell]", {"shell"}),
        ("requests: [exec]", {"exec", "list of commands"}),
        ("requests: [sftp]", {"sftp", "read", "write", "list"}),
        ("requests: [scp]", {"scp", "read by scp"}),
        ("requests: [subsystem]", {"subsystem"}),
        ("requests: [agent, x11]", {"agent", "x11"}),
        ("exec: [id]", {"exec"}),
        ("exec: ['id; id']", {"list of commands"}),
        ("exec: [id], requests: [exec, shell]", {"exec", "shell"}),
        ("files: {read: [/srv/**]}", {"sftp", "scp", "read", "list", "read by scp"}),
        ("files: {write: [/srv/*]}", {"sftp", "scp", "write"}),
        ("files: {list: [/srv/a]}", {"sftp", "scp", "list"}),
        ("files: {read: [/etc/**]}", {"sftp", "scp"}),
        ("files: {read: [/srv/**]}, requests: [sftp]", {"sftp", "read", "list"}),
        ("files: {read: [/srv/**]}, requests: [scp, shell]", {"scp", "read by scp", "shell"}),
        ("subsystems: [net*]", {"subsystem"}),
        ("subsystems: [x]", set()),
        ("destinations: ['db:5432']", {"forward"}),
        (
            "destinations: ['db:5432', 'localhost:*'], requests: [forward_local, forward_remote]",
            {"forward", "forward back"},
        ),
        ("destinations: ['localhost:8080'], requests: [forward_remote]", {"forward back"}),
        ("destinations: ['db:22']", set()),
        ("destinations: ['*:*']", {"forward"}),
        ("env: [LD_PRELOAD]", {"env"}),
        ("env: [LD_PRELOAD], exec: [id]", {"env", "exec"}),
        ("env: ['*']", set()),
    ],
)
def test_what_an_allow_covers(section: str, expected: set[str]) -> None:
    assert allowing(section) == expected | {"lang"}, "language and terminal go with anything"
    assert allowing(section, ROOT) == set(), "another login"


def test_an_allow_without_a_section_covers_what_needs_no_name() -> None:
    rules = snapshot("allow: [{name: a, targets: [web1]}]")
    assert allowed(rules) == allowed(rules, ROOT) == ORDINARY | {"lang"}


def denied(section: str) -> set[str]:
    rules = snapshot(
        f"""
        allow:
          - {{name: a, targets: [web1]}}
          - name: b
            targets: [web1]
            ssh:
              logins: ["*"]
              requests: [forward_local, forward_remote, agent, x11, env]
              destinations: ["*:*"]
              env: ["*", LD_PRELOAD]
        deny: [{{name: d, targets: [web1], {section}}}]
        """
    )
    return set(EVERYTHING) - allowed(rules)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("ssh: {logins: [deploy]}", set(EVERYTHING)),
        ("ssh: {logins: [root]}", set()),
        ("ssh: {requests: [shell]}", {"shell"}),
        ("ssh: {requests: [exec]}", {"exec", "list of commands", "scp"}),
        ("ssh: {requests: [sftp]}", {"sftp", "read", "write", "list"}),
        ("ssh: {requests: [scp]}", {"scp", "read by scp"}),
        ("ssh: {requests: [env]}", {"env", "lang"}),
        ("ssh: {exec: [id]}", {"exec", "list of commands"}),
        ("ssh: {exec: [uptime]}", set()),
        ("ssh: {exec: ['scp **']}", {"scp"}),
        ("ssh: {exec: [uptime], requests: [exec, shell]}", {"shell"}),
        ("ssh: {matches: ['^id$']}", {"exec", "list of commands"}),
        ("ssh: {matches: ['-t /srv']}", {"scp"}),
        ("ssh: {files: {read: [/srv/**]}}", {"read", "read by scp"}),
        ("ssh: {files: {write: [/**], list: [/srv/*]}}", {"write", "list"}),
        ("ssh: {files: {read: [/srv/a]}, requests: [scp]}", {"read by scp"}),
        ("ssh: {files: {read: [/srv/a]}, exec: [id]}", {"read", "read by scp", "exec", "list of commands"}),
        ("ssh: {subsystems: ['*']}", {"subsystem"}),
        ("ssh: {destinations: ['*:8080']}", {"forward back"}),
        ("ssh: {destinations: ['*:*']}", {"forward", "forward back"}),
        ("ssh: {env: ['LD_*']}", {"env"}),
        ("sql: {verbs: [select]}", set()),
        ("kind: human", set(EVERYTHING)),
    ],
)
def test_what_a_deny_names(section: str, expected: set[str]) -> None:
    assert denied(section) == expected


def test_nothing_of_a_deny_reaches_the_other_protocol() -> None:
    rules = snapshot(
        """
        allow: [{name: a, targets: [orders]}]
        deny: [{name: d, ssh: {requests: [exec]}}, {name: e, ssh: {logins: ["*"]}}, {name: f, ssh: {matches: [select]}}]
        """
    )
    assert rules.decide(access(), operation("select"), NOON).outcome is Outcome.ALLOW
    assert rules.decide(access(), operation("select", opaque="x"), NOON).outcome is Outcome.ALLOW
    assert rules.admits(access(), NOON).outcome is Outcome.ALLOW


@pytest.mark.parametrize("section", ["sql: {verbs: [select]}", "sql: {databases: ['*']}"])
def test_nothing_of_an_allow_reaches_the_other_protocol(section: str) -> None:
    rules = snapshot(f"allow: [{{name: a, {section}}}]")
    assert allowed(rules) == set()
    assert rules.admits(DEPLOY, NOON).outcome is Outcome.DENY
    other = snapshot("allow: [{name: a, ssh: {logins: ['*']}}]")
    assert other.decide(access(role="deploy"), operation("select"), NOON).outcome is Outcome.DENY
    assert other.decide(access(role="deploy"), operation("begin"), NOON).outcome is Outcome.DENY
    assert other.admits(access(role="deploy"), NOON).outcome is Outcome.DENY


def test_an_operation_of_the_wrong_kind_fits_no_section() -> None:
    """It can't come: a target has one protocol. If it did, no section would open it."""
    rules = snapshot("allow: [{name: a, ssh: {logins: ['*']}}]", "allow: [{name: b, sql: {verbs: [select]}}]")
    assert rules.decide(DEPLOY, operation("select"), NOON).outcome is Outcome.DENY
    assert rules.decide(access(), execute(b"id"), NOON).outcome is Outcome.DENY


def test_a_connection_needs_an_allow_for_its_login() -> None:
    rules = snapshot(
        """
        allow: [{name: a, ssh: {logins: [deploy, "app-*"], exec: [id]}}]
        deny: [{name: d, ssh: {logins: [app-root]}}, {name: e, ssh: {requests: [shell]}}]
        """
    )
    connects = {role: rules.admits(access(to=WEB, database="", role=role), NOON).rules for role in
                ("deploy", "app-web", "app-root", "root", "")}  # fmt: skip
    assert connects == {"deploy": ("a",), "app-web": ("a",), "app-root": ("d",), "root": (), "": ()}


OPAQUE = ssh_operation("exec", "x", opaque="no UTF-8")


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ("allow: [{name: a}]", Outcome.ALLOW),
        ("allow: [{name: a, ssh: {logins: [deploy]}}]", Outcome.DENY),
        ("allow: [{name: a}]\ndeny: [{name: d, ssh: {exec: [uptime]}}]", Outcome.DENY),
        ("allow: [{name: a}]\ndeny: [{name: d, ssh: {matches: [uptime]}}]", Outcome.DENY),
        ("allow: [{name: a}]\ndeny: [{name: d, ssh: {requests: [exec]}}]", Outcome.DENY),
        ("allow: [{name: a}]\ndeny: [{name: d, ssh: {requests: [shell]}}]", Outcome.ALLOW),
        ("allow: [{name: a}]\ndeny: [{name: d, ssh: {destinations: ['*:*']}}]", Outcome.ALLOW),
        ("allow: [{name: a}]\ndeny: [{name: d, sql: {verbs: [select]}}]", Outcome.ALLOW),
        ("allow: [{name: a}]\napprove: [{name: d, ssh: {exec: [x]}, approvers: {groups: [g]}}]", Outcome.APPROVE),
        ("allow: [{name: a}]\napprove: [{name: d, ssh: {env: [x]}, approvers: {groups: [g]}}]", Outcome.ALLOW),
    ],
)
def test_what_is_not_understood_is_denied_by_whatever_could_mean_it(rules: str, outcome: Outcome) -> None:
    assert snapshot(rules).decide(DEPLOY, OPAQUE, NOON).outcome is outcome


def test_an_opaque_path_is_no_other_path() -> None:
    strange = file("sftp", "read /srv/\\xff", [FileUse("read", "/srv/\\xff")], opaque="a path is not UTF-8")
    rules = "allow: [{name: a, ssh: {logins: [deploy], files: {read: [/srv/**]}}}]"
    assert snapshot(rules).decide(DEPLOY, strange, NOON).outcome is Outcome.DENY
    denies = "allow: [{name: a}]\ndeny: [{name: d, ssh: {files: {write: [/etc/x]}}}]"
    assert snapshot(denies).decide(DEPLOY, strange, NOON).outcome is Outcome.DENY


@pytest.mark.parametrize(
    ("uses", "covered"),
    [
        ([("write", "/srv/a"), ("write", "/srv/b")], True),
        ([("write", "/srv/a"), ("write", "/etc/b")], False),
        ([("write", "/etc/a"), ("write", "/srv/b")], False),
        ([("read", "/srv/a"), ("write", "/srv/b")], False),
        ([("write", "/srv/d"), ("write", "/srv/d/")], True),
        ([("write", "/srv")], False),
        ([("write", "/srv"), ("write", "/srv/")], False),
        ([("write", "//")], False),
        ([("write", "/")], False),
    ],
)
def test_each_path_of_an_action_counts(uses: list[tuple[FileAction, str]], covered: bool) -> None:
    asked = file("sftp", "rename", [FileUse(action, path) for action, path in uses])
    allow = "allow: [{name: a, ssh: {logins: [deploy], files: {write: [/srv/**]}}}]"
    assert (snapshot(allow).decide(DEPLOY, asked, NOON).outcome is Outcome.ALLOW) == covered


def test_one_path_is_enough_for_a_deny() -> None:
    rules = snapshot("allow: [{name: a}]\ndeny: [{name: d, ssh: {files: {write: [/srv/keep/**, /etc/passwd]}}}]")

    def outcome(*uses: tuple[FileAction, str]) -> Outcome:
        return rules.decide(DEPLOY, file("sftp", "x", [FileUse(*use) for use in uses]), NOON).outcome

    assert outcome(("write", "/srv/a"), ("write", "/srv/keep/x")) is Outcome.DENY
    assert outcome(("write", "/srv"), ("write", "/srv/")) is Outcome.DENY, "a tree that holds it"
    assert outcome(("write", "//")) is Outcome.DENY
    assert outcome(("write", "/etc/")) is Outcome.DENY
    assert outcome(("read", "/etc/passwd")) is Outcome.ALLOW
    assert outcome(("write", "/srv/keep")) is Outcome.ALLOW


def test_nobody_knows_what_a_file_action_came_in() -> None:
    """Then an allow must cover both, and a deny of either counts."""
    asked = ssh_operation("file", "read /srv/a", files=(FileUse("read", "/srv/a"),))
    one_only = "allow: [{name: a, ssh: {logins: [deploy], requests: [sftp]}}]"
    both = "allow: [{name: a, ssh: {logins: [deploy], requests: [sftp, scp]}}]"
    assert snapshot(one_only).decide(DEPLOY, asked, NOON).outcome is Outcome.DENY
    assert snapshot(both).decide(DEPLOY, asked, NOON).outcome is Outcome.ALLOW
    denies = both + "\ndeny: [{name: d, ssh: {requests: [scp]}}]"
    assert snapshot(denies).decide(DEPLOY, asked, NOON).outcome is Outcome.DENY


@pytest.mark.parametrize(
    ("asked", "reached"),
    [
        (forward_local("db.internal", 5432), True),
        (forward_local("DB.INTERNAL.", 5432), True),
        (forward_local("10.0.0.7", 443), True),
        (forward_local("10.0.0.8", 443), False),
        (forward_local("0xa000007", 443), True),
        (forward_local("::1", 80), True),
        (forward_local("evil.internal.x", 5432), False),
        (forward_local("db.internal", 22), False),
        (forward_local("127.0.0.1", 5432), False),
        (forward_local("", 5432), False),
        (forward_local_socket("/run/pg/a"), True),
        (forward_local_socket("/run/pg/../docker.sock"), False),
        (forward_local_socket("/run/pg"), False),
    ],
)
def test_destinations(asked: SshOperation, reached: bool) -> None:
    rules = snapshot(
        """
        allow:
          - name: a
            ssh: {logins: [deploy], destinations: ["*.internal:5432", "10.0.0.7:*", "[::1]:80", /run/pg/*]}
        """
    )
    assert (rules.decide(DEPLOY, asked, NOON).outcome is Outcome.ALLOW) == reached


@pytest.mark.parametrize(
    ("variable", "passes"),
    [
        ("GIT_PROTOCOL", True),
        ("APP_MODE", True),
        ("LD_LIBRARY_PATH", True),
        ("LD_PRELOAD", False),
        ("BASH_ENV", False),
        ("GIT_SSH_COMMAND", False),
        ("Ld_Preload", False),
        ("OTHER", False),
    ],
)
def test_variables_that_choose_what_is_run_need_their_whole_name(variable: str, passes: bool) -> None:
    rules = snapshot(
        """
        allow: [{name: a, ssh: {logins: [deploy], env: ["GIT_*", "APP_*", "LD_*", "L?_*", "B*", LD_LIBRARY_PATH]}}]
        """
    )
    assert (rules.decide(DEPLOY, environment(variable, "x"), NOON).outcome is Outcome.ALLOW) == passes


def test_nobody_is_asked_about_language_and_terminal() -> None:
    rules = snapshot("allow: [{name: a}]\napprove: [{name: b, targets: [web1], approvers: {groups: [g]}}]")
    assert rules.decide(DEPLOY, environment("LANG", "C"), NOON).outcome is Outcome.ALLOW
    assert rules.decide(DEPLOY, shell(), NOON).outcome is Outcome.APPROVE


@pytest.mark.parametrize(
    ("section", "asked", "approve"),
    [
        ("requests: [shell]", shell(), True),
        ("requests: [shell]", execute(b"id"), False),
        ("exec: ['/usr/bin/deploy prod **']", execute(b"/usr/bin/deploy prod now"), True),
        ("exec: ['/usr/bin/deploy prod **']", execute(b"/usr/bin/deploy test"), False),
        ("exec: ['/usr/bin/deploy prod **']", execute(b"$x"), True),
        ("files: {write: [/etc/**]}", one("/etc/passwd", "write"), True),
        ("files: {write: [/etc/**]}", subsystem("sftp"), False),
        ("logins: [deploy]", execute(b"id"), True),
        ("logins: [root]", execute(b"id"), False),
    ],
)
def test_approve_entries_read_as_denies_do(section: str, asked: SshOperation, approve: bool) -> None:
    rules = snapshot(f"allow: [{{name: a}}]\napprove: [{{name: b, ssh: {{{section}}}, approvers: {{groups: [g]}}}}]")
    assert (rules.decide(DEPLOY, asked, NOON).outcome is Outcome.APPROVE) == approve


@pytest.mark.parametrize(
    ("entry", "mend"),
    [
        ("ssh: {requests: [shell]}", 'write those at the target that it is for, ["*"] for each'),
        ("ssh: {}", "write a condition"),
        ("ssh: {logins: []}", "empty"),
        ("ssh: {logins: [a], matches: [x]}", "say what is allowed by `exec`"),
        ("ssh: {logins: [a]}, sql: {verbs: [select]}", "write two entries"),
        ("ssh: {logins: [a], requests: [forward_local]}", "write where to"),
        ("ssh: {logins: [a], requests: [env, shell]}", "write which variables"),
        ("ssh: {logins: [a], requests: [shell], exec: [id]}", "add it, or leave `requests` out"),
        ("ssh: {logins: [a], requests: [exec], files: {read: [/a]}}", "don't name scp or sftp"),
        ("ssh: {logins: [a], requests: [shel]}", "did you mean `shell`"),
        ("ssh: {logins: [a], requests: [file]}", "paths under `files`"),
        ("ssh: {logins: [a], requests: [tun]}", "the requests are shell, exec"),
        ("ssh: {logins: [a], exec: ['ls | wc *']}", "script at the target"),
        ("ssh: {logins: [a], exec: ['a ** b']}", "at the end"),
        ("ssh: {logins: [a], exec: [it's]}", "is no command (unclosed quote)"),
        ("ssh: {logins: [a], exec: ['-c x']}", "is no command (option)"),
        ("ssh: {logins: [a], files: {}}", "write a condition"),
        ("ssh: {logins: [a], files: {read: [srv]}}", "from the root"),
        ("ssh: {logins: [a], files: {read: [/srv/]}}", "trailing slashes"),
        ("ssh: {logins: [a], files: {delete: [/srv]}}", "is not a known key"),
        ("ssh: {logins: [a], destinations: [db]}", "db.internal:5432"),
        ("ssh: {logins: [a], destinations: ['db:99999']}", "db.internal:5432"),
        ("ssh: {logins: [a], destinations: ['DB:22']}", "write db:22"),
        ("ssh: {logins: [a], destinations: ['db.:22']}", "db.internal:5432"),
        ("ssh: {logins: [a], destinations: ['127.1:22']}", "four numbers"),
        ("ssh: {logins: [a], destinations: ['::1:22']}", "[2001:db8::1]"),
        ("ssh: {logins: [a], destinations: ['[0:0::1]:22']}", "another spelling of ::1"),
        ("ssh: {logins: [a], destinations: ['[::ffff:127.0.0.1]:22']}", "another spelling of 127.0.0.1"),
        ("ssh: {logins: [a], env: ['A-B']}", "GIT_PROTOCOL"),
    ],
)
def test_mistakes_in_an_allow(entry: str, mend: str) -> None:
    with pytest.raises(ConfigError) as caught:
        snapshot(f"allow: [{{name: a, {entry}}}]")
    assert mend in str(caught.value)


@pytest.mark.parametrize("address", ["192.0.2.7:22", "[2001:db8::1]:*", "*:22", "db-1.internal:0", "*.x:*", "/run/**"])
def test_destinations_that_are_spelled_right(address: str) -> None:
    rules = snapshot(f"allow: [{{name: a, ssh: {{logins: [a], destinations: ['{address}']}}}}]")
    assert rules.entries


@pytest.mark.parametrize(
    ("asked", "entry", "reason"),
    [
        (execute(b"id; x"), "exec: [id]", "ssh.exec: the command is none of id, and is not plain words: ;"),
        (execute(b"uptime"), "exec: [id]", "ssh.exec: the command is none of id"),
        (shell(), "exec: [id]", "ssh.requests: does not cover shell"),
        (one("/etc/x"), "files: {write: [/srv/*]}", "ssh.files: does not cover read /etc/x"),
        (forward_local("db", 22), "destinations: ['db:80']", "ssh.destinations: db:22 is none of db:80"),
        (environment("LD_X", "1"), "env: ['LD_*']", "ssh.env: LD_X is none of LD_* by its whole name"),
        (subsystem("x"), "subsystems: [y]", "ssh.subsystems: x is none of y"),
        (OPAQUE, "exec: [id]", "ssh: the operation is opaque, and only an allow without a ssh section takes it"),
        (environment("LANG", "C"), "exec: [id]", "ssh: variables that say language and terminal are free"),
    ],
)
def test_an_allow_explains_why_not(asked: SshOperation, entry: str, reason: str) -> None:
    rules = snapshot(f"allow: [{{name: a, ssh: {{logins: [deploy], {entry}}}}}]")
    assert reason in str(explain(rules, DEPLOY, asked, NOON)).splitlines()[-1]


@pytest.mark.parametrize(
    ("asked", "entry", "reason"),
    [
        (shell(), "ssh: {exec: [id]}", "ssh.requests: shell is none of these"),
        (execute(b"uptime"), "ssh: {exec: [id]}", "ssh.exec: no part of the command is one of id"),
        (execute(b"uptime"), "ssh: {matches: [x]}", "ssh.matches: none of x is in the command"),
        (one("/a"), "ssh: {files: {read: [/b]}}", "ssh.files: does read /a, none of what the entry names"),
        (shell(), "ssh: {logins: [root]}", "ssh.logins: deploy is none of root"),
        (shell(), "sql: {verbs: [drop]}", "sql: the target speaks ssh"),
        (OPAQUE, "ssh: {requests: [shell]}", "ssh.requests: exec is none of these"),
        (OPAQUE, "ssh: {exec: [id]}", "ssh: the operation is opaque, so it is taken for one that this entry denies"),
    ],
)
def test_a_deny_explains_why_not(asked: SshOperation, entry: str, reason: str) -> None:
    told = str(explain(snapshot(f"deny: [{{name: d, {entry}}}]"), DEPLOY, asked, NOON))
    assert reason in told


def test_an_allow_without_a_section_explains_what_it_needs_the_name_of() -> None:
    told = str(explain(snapshot("allow: [{name: a}]"), DEPLOY, agent(), NOON))
    assert "ssh.requests: agent has to be named by an allow with an ssh section" in told


@pytest.mark.parametrize(
    ("policy", "warning"),
    [
        ("allow: [{name: a, kind: human, targets: [orders], ssh: {logins: [a]}}]", "fits no configured target"),
        ("allow: [{name: a, kind: human, targets: [web1], sql: {verbs: [read]}}]", "fits no configured target"),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a]}}]\ndeny: [{name: d, ssh: {logins: ['*']}}]",
            "can never allow anything",
        ),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a], exec: [id]}}]\n"
            "approve: [{name: d, ssh: {requests: [shell]}, approvers: {groups: [g]}}]",
            "can never ask: no allow entry allows",
        ),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a]}}]\n"
            "approve: [{name: d, ssh: {logins: [b]}, approvers: {groups: [g]}}]",
            "can never ask: no allow entry allows",
        ),
        (
            "allow: [{name: a, kind: human, sql: {verbs: [read]}}]\n"
            "approve: [{name: d, ssh: {requests: [shell]}, approvers: {groups: [g]}}]",
            "can never ask: no allow entry allows",
        ),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a]}}]\n"
            "deny: [{name: e, ssh: {requests: [exec, shell]}}]\n"
            "approve: [{name: d, ssh: {requests: [shell]}, approvers: {groups: [g]}}]",
            "can never ask: `e`",
        ),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a]}}]\ndeny: [{name: d, ssh: {exec: [reboot]}}]",
            "does not reach into the interactive shells that `a` opens",
        ),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a], requests: [exec]}}]\n"
            "deny: [{name: d, ssh: {files: {write: [/etc/**]}}}]",
            "does not reach into the commands that `a` opens",
        ),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a], destinations: ['localhost:*']}}]",
            "covers the target's own sshd, and that is refused all the same",
        ),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a], destinations: ['db:5432', 'localhost:22']}}]",
            "`localhost:22` can be the target's own sshd, and what goes on behind a forward is not seen here",
        ),
        (
            "allow: [{name: a, kind: human, ssh: {logins: [a], destinations: ['*:*']}}]",
            "covers the target's own sshd, and that is refused all the same",
        ),
    ],
)
def test_what_probably_is_not_meant(policy: str, warning: str) -> None:
    found = review(snapshot(policy), (*TARGETS, WEB), NOON)
    assert any(warning in str(problem) for problem in found), "\n".join(map(str, found))


def test_a_wildcard_in_quotes_is_pointed_at() -> None:
    rules = snapshot("allow: [{name: a, kind: human, ssh: {logins: [a], exec: [\"ls '/srv/*'\", 'ls *']}}]")
    (found,) = review(rules, (*TARGETS, WEB), NOON)
    assert "`ls '/srv/*'` has a wildcard in quotes" in found.problem


def test_a_login_that_no_credential_has_is_pointed_at() -> None:
    web = replace(WEB, credentials=(Credential("deploy"), Credential("app-1")))
    rules = snapshot("allow: [{name: a, kind: human, ssh: {logins: [deploy, deplyo, 'app-*', 'x*'], exec: [id]}}]")
    found = review(rules, (*TARGETS, web), NOON)
    assert [problem.problem.partition("`")[2].partition("`")[0] for problem in found] == ["deplyo", "x*"]
    assert "there are app-1, deploy" in found[0].mend
    assert not review(rules, (*TARGETS, WEB), NOON), "where none is configured nobody knows"


@pytest.mark.parametrize(
    "policy",
    [
        "allow: [{name: a, kind: human, ssh: {logins: [a], exec: [id]}}]\ndeny: [{name: d, ssh: {exec: [reboot]}}]",
        "allow: [{name: a, kind: human, ssh: {logins: [a], requests: [exec]}}]\ndeny: [{name: d, ssh: {exec: [x]}}]",
        "allow: [{name: a, kind: human, ssh: {logins: [a], destinations: ['db:22', 'localhost:5432']}}]",
        "allow: [{name: a, kind: human, ssh: {logins: [a], destinations: ['*:*'], requests: [forward_remote]}}]",
        "allow: [{name: a, kind: human, ssh: {logins: [a], files: {read: [/srv/**]}}}]\n"
        "deny: [{name: d, ssh: {files: {write: [/etc/**]}}}]",
        "allow: [{name: a, kind: human, ssh: {logins: [a]}}]\n"
        "approve: [{name: d, ssh: {requests: [shell]}, approvers: {groups: [g]}}]",
        "allow: [{name: a, kind: human, ssh: {logins: [a], requests: [sftp]}}]\n"
        "approve: [{name: d, ssh: {files: {write: [/etc/**]}}, approvers: {groups: [g]}}]",
        "allow: [{name: a, kind: human, targets: [orders]}]\ndeny: [{name: d, ssh: {exec: [reboot]}}]",
    ],
)
def test_what_is_meant_gives_no_warning(policy: str) -> None:
    assert not review(snapshot(policy), (*TARGETS, WEB), NOON)
