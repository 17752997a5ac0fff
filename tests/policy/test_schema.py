"""A policy file's own mistakes: found when it is decoded, each with line, path and mend."""

from __future__ import annotations

import pytest
from policy.made import policy_file

from gateway.errors import ConfigError, Problem
from gateway.policy import PolicyDocument


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        policy_file(text)
    return caught.value.problems


def only(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


def test_the_example_of_policy_md_without_what_is_not_in_this_version() -> None:
    document = policy_file(
        """
        labels:
          pii.email: {columns: {orders: [public.customers.email, crm.*.email]}}
          pii.ssn:   {columns: {orders: [public.customers.ssn]}, default: {method: redact}}
        allow:
          - {name: analysts read orders, groups: [analysts], targets: [orders], sql: {verbs: [select]}}
          - {name: engineers change orders, groups: [engineers], targets: [orders], sql: {verbs: [select, insert]}}
        deny:
          - {name: nobody destroys, targets: ["*"], tags: {env: prod}, sql: {verbs: [drop, truncate, copy_program]},
             message: ask the DBA on call}
        masks:
          - {labels: ["pii.*"], method: redact}
          - {labels: [pii.ssn], groups: [fraud], method: {partial: {keep_last: 4}}}
          - {labels: [pii.email], groups: [dpo], method: clear}
          - {labels: [pii.email], groups: [nobody], method: null}
        """
    ).document
    assert [entry.name for entry in document.allow] == ["analysts read orders", "engineers change orders"]
    assert document.deny[0].message == "ask the DBA on call"
    assert document.masks[3].method == "null"


def test_every_condition_can_be_written() -> None:
    document = policy_file(
        """
        allow:
          - name: a
            principals: ["spiffe://corp/*"]
            groups: [a]
            kind: machine
            factors: [certificate, password, scram]
            from: [10.0.0.0/8, "::1"]
            targets: [orders]
            tags: {env: prod}
            times: {days: [mon-fri], hours: ["08:00-18:00"], zone: Europe/Zurich}
            until: "2026-12-31T00:00:00Z"
            sql: {databases: [a], roles: [b], verbs: [select], relations: [a.b], functions: [c], labels_touched: [d],
                  without_where: false, max_rows: 10}
            session: {max: 8h, idle: 30m, record: synced, expire: identity}
        deny:
          - {name: b, sql: {matches: ["a+"]}, observe: true}
        approve:
          - name: c
            kind: human
            times: {days: [sat-sun]}
            until: "2026-12-31T00:00:00Z"
            sql: {verbs: [drop], matches: ["a+"], without_where: true}
            approvers: {principals: [x, y], groups: ["dba-*"], needed: 20}
            wait: 24h
            grant: {uses: 3, within: 31d}
            message: wait
            observe: true
          - {name: d, session: {max: 1h, idle: 5m, record: synced, expire: identity}, approvers: {groups: [g]}}
        """
    ).document
    assert document.allow[0].session is not None
    assert document.allow[0].session.max == 8 * 3600
    assert document.deny[0].observe
    assert (document.approve[0].wait, document.approve[0].uses, document.approve[0].within) == (86400, 3, 31 * 86400)
    assert document.approve[1].session is not None
    assert document.approve[1].session.max == 3600


@pytest.mark.parametrize(
    ("written", "wait", "uses", "within"),
    [
        ("", 600, 1, 900),
        ("sql: {verbs: [drop]}", 600, 1, 900),
        ("session: {}", 600, None, 8 * 3600),
        ("wait: 0s", 0, 1, 900),
        ("grant: {uses: 5}", 600, 5, 900),
        ("grant: {within: 1h}", 600, 1, 3600),
        ("session: {}, grant: {uses: 5}", 600, 5, 8 * 3600),
        ("session: {max: 1h}, grant: {within: 1h}", 600, None, 3600),
    ],
)
def test_what_an_approve_entry_leaves_out(written: str, wait: float, uses: int | None, within: float) -> None:
    rest = f", {written}" if written else ""
    (entry,) = policy_file(f"approve: [{{name: a, approvers: {{groups: [g]}}{rest}}}]").document.approve
    assert (entry.wait, entry.uses, entry.within, entry.approvers.needed) == (wait, uses, within, 1)


def test_an_empty_file_is_an_empty_policy() -> None:
    assert policy_file("").document == PolicyDocument()


@pytest.mark.parametrize(
    ("text", "path", "mend"),
    [
        ("allow: [{name: a, http: {paths: [b]}}]", ("allow", 0, "http"), "PostgreSQL and SSH only"),
        ("deny: [{name: a, http: {methods: [GET]}}]", ("deny", 0, "http"), "PostgreSQL and SSH only"),
    ],
)
def test_what_is_not_in_this_version_says_so(text: str, path: tuple[str | int, ...], mend: str) -> None:
    problem = only(text)
    assert problem.path == path
    assert "not in this version" in problem.problem
    assert mend in problem.mend
    assert problem.line == 1


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("alow: []", ("alow",), "did you mean `allow`"),
        ("allow: [{name: a, group: [b]}]", ("allow", 0, "group"), "did you mean `groups`"),
        ("allow: [{name: a, message: b}]", ("allow", 0, "message"), "not a known key"),
        ("allow: [{name: a, observe: true}]", ("allow", 0, "observe"), "not a known key"),
        ("deny: [{name: a, session: {max: 1h}}]", ("deny", 0, "session"), "not a known key"),
        ("masks: [{labels: [a], method: redact, until: x}]", ("masks", 0, "until"), "not a known key"),
        ("allow: [{groups: [b]}]", ("allow", 0, "name"), "is missing"),
        ("allow: [{name: ''}]", ("allow", 0, "name"), "empty"),
        ("allow: [{name: a, groups: []}]", ("allow", 0, "groups"), "leave the key out"),
        ("allow: [{name: a, principals: []}]", ("allow", 0, "principals"), "leave the key out"),
        ("allow: [{name: a, from: []}]", ("allow", 0, "from"), "leave the key out"),
        ("allow: [{name: a, targets: []}]", ("allow", 0, "targets"), "leave the key out"),
        ("allow: [{name: a, tags: {}}]", ("allow", 0, "tags"), "leave the key out"),
        ("allow: [{name: a, sql: {verbs: []}}]", ("allow", 0, "sql", "verbs"), "leave the key out"),
        ("allow: [{name: a, sql: {relations: []}}]", ("allow", 0, "sql", "relations"), "leave the key out"),
        ("allow: [{name: a, times: {days: []}}]", ("allow", 0, "times", "days"), "leave the key out"),
        ("masks: [{labels: [], method: redact}]", ("masks", 0, "labels"), "empty"),
        ("labels: {a: {columns: {}}}", ("labels", "a", "columns"), "leave the key out"),
        ("labels: {a: {json: {o: []}}}", ("labels", "a", "json", "o"), "empty"),
        ("labels: {a: {json: {o: [email]}}}", ("labels", "a", "json", "o", 0), "begins with $"),
        ("labels: {a: {json: {o: ['$.*']}}}", ("labels", "a", "json", "o", 0), "[*]"),
        ("labels: {a: {columns: {o: []}}}", ("labels", "a", "columns", "o"), "empty"),
        ("allow: [{name: a, groups: }]", ("allow", 0, "groups"), "leave the key out"),
        ("allow: [{name: a, groups: null}]", ("allow", 0, "groups"), "leave the key out"),
        ("allow: [{name: a, sql: }]", ("allow", 0, "sql"), "leave the key out"),
        ("allow: [{name: a, groups: b}]", ("allow", 0, "groups"), "list"),
        ("allow: [{name: a, sql: {}}]", ("allow", 0, "sql"), "leave the key out"),
        ("allow: [{name: a, session: {}}]", ("allow", 0, "session"), "leave the key out"),
        ("allow: [{name: a, times: {zone: UTC}}]", ("allow", 0, "times"), "leave the key out"),
        ("allow: [{name: a, kind: robot}]", ("allow", 0, "kind"), "human"),
        ("allow: [{name: a, factors: [pigeon]}]", ("allow", 0, "factors", 0), "certificate"),
        ("allow: [{name: a, sql: {verbs: [selekt]}}]", ("allow", 0, "sql", "verbs", 0), "did you mean `select`"),
        ("allow: [{name: a, sql: {matches: [a]}}]", ("allow", 0), "for deny and approve entries"),
        ("allow: [{name: a, sql: {max_rows: -1}}]", ("allow", 0, "sql", "max_rows"), ">= 0"),
        ("allow: [{name: a, session: {max: 8}}]", ("allow", 0, "session", "max"), "unit"),
        ("allow: [{name: a, session: {max: 0s}}]", ("allow", 0, "session", "max"), "> 0"),
        ("allow: [{name: a, session: {expire: session}}]", ("allow", 0, "session"), "`max`"),
        ("masks: [{labels: [a], method: clear}]", ("masks", 0), "named principals or groups"),
        ("masks: [{labels: [a], targets: [o], method: clear}]", ("masks", 0), "named principals or groups"),
        ("masks: [{labels: [a], principals: ['*'], method: clear}]", ("masks", 0), "named principals or groups"),
        ("masks: [{labels: [a], groups: [a, '?*'], method: clear}]", ("masks", 0), "named principals or groups"),
        ("masks: [{labels: [a], method: partial}]", ("masks", 0), "keep_last"),
        ("masks: [{labels: [a], method: hmac}]", ("masks", 0), "hmac: {key"),
        ("masks: [{labels: [a], method: {}}]", ("masks", 0, "method"), "hmac: {key"),
        ("masks: [{labels: [a], method: {hmac: {}}}]", ("masks", 0, "method", "hmac", "key"), "is missing"),
        ("masks: [{labels: [a], method: {hmac: {key: A b}}}]", ("masks", 0, "method", "hmac", "key"), "plain name"),
        (
            "masks: [{labels: [a], method: {partial: {keep_last: 1}, hmac: {key: k}}}]",
            ("masks", 0, "method"),
            "write one of",
        ),
        ("masks: [{labels: [a], method: blur}]", ("masks", 0, "method"), "redact"),
        ("masks: [{labels: [a], method: {partial: {}}}]", ("masks", 0, "method", "partial"), "keeps nothing"),
        ("masks: [{labels: [a], method: {partial: {keep_last: 65}}}]",
         ("masks", 0, "method", "partial", "keep_last"), "64"),
        ("labels: {a: {columns: {o: [a.b.c]}, default: {method: clear}}}", ("labels", "a", "default"), "named"),
        ("labels: {a: {detector: Email}}", ("labels", "a", "detector"), "small letters"),
        ("labels: {a: {detector: 'e*'}}", ("labels", "a", "detector"), "small letters"),
        ("detectors: {A: {pattern: a}}", ("detectors", "A"), "small letters"),
        ("detectors: {a: {}}", ("detectors", "a", "pattern"), "is missing"),
        ("detectors: {a: {pattern: '(a'}}", ("detectors", "a", "pattern"), "RE2"),
        ("detectors: {a: {pattern: '(?=a)b'}}", ("detectors", "a", "pattern"), "RE2"),
        ("detectors: {a: {pattern: '(a)\\1'}}", ("detectors", "a", "pattern"), "RE2"),
        ("detectors: {a: {pattern: 'a?'}}", ("detectors", "a"), "empty text"),
        ("detectors: {a: {pattern: '\\b'}}", ("detectors", "a"), "empty text"),
        ("detectors: {a: {pattern: 'a+'}}", ("detectors", "a"), "{1,20}"),
        ("detectors: {a: {pattern: 'a{2,}'}}", ("detectors", "a"), "max_length"),
        ("detectors: {a: {pattern: 'a{2}', max_length: 9}}", ("detectors", "a"), "2 bytes"),
        ("detectors: {a: {pattern: '^a{2}'}}", ("detectors", "a"), "values stand amid other text"),
        ("detectors: {a: {pattern: '(?:b|a$)'}}", ("detectors", "a"), "values stand amid other text"),
        ("detectors: {a: {pattern: '\\Aa{2}'}}", ("detectors", "a"), "values stand amid other text"),
        ("detectors: {a: {pattern: 'a+', max_length: 1025}}", ("detectors", "a", "max_length"), "1024"),
        ("detectors: {a: {pattern: '[^ ]{300}'}}", ("detectors", "a"), "up to 1200 bytes"),
        ("detectors: {a: {pattern: a, context: []}}", ("detectors", "a", "context"), "empty"),
        ("detectors: {a: {pattern: a, validator: lun}}", ("detectors", "a", "validator"), "luhn"),
        ("labels: {a: {columns: {o: [email]}}}", ("labels", "a", "columns", "o", 0), "schema.table.column"),
        ("approve: [{name: a}]", ("approve", 0, "approvers"), "add `approvers:`"),
        ("approve: [{approvers: {groups: [g]}}]", ("approve", 0, "name"), "is missing"),
        ("approve: [{name: a, approvers: [bob]}]", ("approve", 0, "approvers"), "key: value"),
        ("approve: [{name: a, approvers: {}}]", ("approve", 0, "approvers"), "write `groups` or `principals`"),
        ("approve: [{name: a, approvers: {needed: 1}}]", ("approve", 0, "approvers"), "write `groups` or `principals`"),
        ("approve: [{name: a, approvers: {groups: []}}]", ("approve", 0, "approvers", "groups"), "leave the key out"),
        ("approve: [{name: a, approvers: {principals: ['*']}}]", ("approve", 0, "approvers"), "anybody's yes"),
        ("approve: [{name: a, approvers: {groups: [g, '?*']}}]", ("approve", 0, "approvers"), "name groups"),
        ("approve: [{name: a, approvers: {groups: [g], needed: 0}}]", ("approve", 0, "approvers", "needed"), ">= 1"),
        ("approve: [{name: a, approvers: {groups: [g], needed: 21}}]", ("approve", 0, "approvers", "needed"), "<= 20"),
        ("approve: [{name: a, approvers: {principals: [b], needed: 2}}]", ("approve", 0, "approvers"), "need fewer"),
        ("approve: [{name: a, approvers: {principals: [b, b], needed: 2}}]", ("approve", 0, "approvers"), "names 1"),
        ("approve: [{name: a, approvers: {groups: [g], need: 1}}]", ("approve", 0, "approvers", "need"), "`needed`"),
        ("approve: [{name: a, approvers: {groups: [g]}, wait: 10}]", ("approve", 0, "wait"), "unit"),
        ("approve: [{name: a, approvers: {groups: [g]}, wait: 25h}]", ("approve", 0, "wait"), "at most 24h"),
        ("approve: [{name: a, approvers: {groups: [g]}, grant: {}}]", ("approve", 0, "grant"), "leave the key out"),
        ("approve: [{name: a, approvers: {groups: [g]}, grant: {uses: 0}}]", ("approve", 0, "grant", "uses"), ">= 1"),
        ("approve: [{name: a, approvers: {groups: [g]}, grant: {uses: 1000001}}]",
         ("approve", 0, "grant", "uses"), "<= 1000000"),
        ("approve: [{name: a, approvers: {groups: [g]}, grant: {within: 0s}}]",
         ("approve", 0, "grant", "within"), "> 0"),
        ("approve: [{name: a, approvers: {groups: [g]}, grant: {within: 32d}}]",
         ("approve", 0, "grant", "within"), "at most 31d"),
        ("approve: [{name: a, approvers: {groups: [g]}, sql: {}}]", ("approve", 0, "sql"), "leave the key out"),
        ("approve: [{name: a, approvers: {groups: [g]}, sql: {verbs: [drop]}, session: {}}]",
         ("approve", 0), "write two entries"),
        ("approve: [{name: a, approvers: {groups: [g]}, session: }]", ("approve", 0, "session"), "leave the key out"),
        ("approve: [{name: a, approvers: {groups: [g]}, session: {expire: session, max: 1h}}]",
         ("approve", 0, "session"), "in the allow entry"),
        ("approve: [{name: a, approvers: {groups: [g]}, session: {max: 0s}}]",
         ("approve", 0, "session", "max"), "> 0"),
        ("approve: [{name: a, approvers: {groups: [g]}, ssh: {}}]", ("approve", 0, "ssh"), "write a condition"),
        ("approve: [{name: a, approvers: {groups: [g]}, http: {}}]", ("approve", 0, "http"), "PostgreSQL and SSH only"),
        ("deny: [{name: a, approvers: {groups: [g]}}]", ("deny", 0, "approvers"), "not a known key"),
    ],
)  # fmt: skip
def test_mistakes(text: str, path: tuple[str | int, ...], said: str) -> None:
    problem = only(text)
    assert problem.path == path
    assert said in f"{problem.problem} {problem.mend}"
    assert problem.line == 1


def test_all_problems_of_a_file_are_told_with_their_lines() -> None:
    found = problems("allow:\n  - {name: a, groups: []}\n  - {name: b, targts: [x]}\nmask: []\n")
    assert [problem.line for problem in found] == [2, 3, 4]
