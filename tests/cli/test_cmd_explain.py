from __future__ import annotations

import json

import pytest
from cli.made import Site
from click.testing import Result

ALICE = ("explain", "--principal", "alice", "--groups", "analysts", "--target", "orders")
BOB = ("explain", "--principal", "bob", "--groups", "engineers,other", "--target", "orders")


def test_allow_with_masks(site: Site) -> None:
    result = site.run(*ALICE, "--sql", "select email, ssn from customers where id = 7")
    assert result.exit_code == 0, result.output
    assert "allow by analysts read" in result.output
    assert "mask pii.ssn: redact" in result.output
    assert "where id = $1" in result.output.lower()
    assert "the target was not asked" in result.output


def test_deny_with_reasons(site: Site) -> None:
    result = site.run(*BOB, "--sql", "drop table orders")
    assert "deny by nobody destroys" in result.output
    assert "message: ask the DBA on call" in result.output
    assert "allow `analysts read`" in result.output


def test_the_connection(site: Site) -> None:
    result = site.run(*ALICE)
    assert "alice connects to orders, database orders, as orders_ro" in result.output
    assert "allow by analysts read" in result.output
    assert "the target was not asked" not in result.output


def test_what_masks_refuse(site: Site) -> None:
    policy = site.policy | {"allow": [{"name": "all", "groups": ["analysts"], "targets": ["orders"]}], "deny": []}
    site.policy = policy
    site.write()
    result = site.run(*ALICE, "--sql", "explain select ssn from customers")
    assert "allow by all" in result.output
    assert "REFUSED, though policy allows it" in result.output
    found = json.loads(site.run(*ALICE, "--sql", "explain select ssn from customers", "--json").output)
    assert found["decision"] == "deny"
    assert found["refused_by_masks"]


ASKING = {
    "labels": {"pii.ssn": {"columns": {"orders": ["public.customers.ssn"]}}},
    "allow": [{"name": "all", "groups": ["analysts"], "targets": ["orders"]}],
    "approve": [
        {
            "name": "reading",
            "sql": {"relations": ["public.customers"]},
            "approvers": {"groups": ["dba"], "principals": ["bob"], "needed": 2},
            "grant": {"uses": 5, "within": "1h"},
            "until": "2099-01-01T00:00:00Z",
        },
        {"name": "access", "session": {"max": "1h"}, "approvers": {"groups": ["on-call"]}},
    ],
}


def test_what_has_to_be_approved(site: Site) -> None:
    site.policy = ASKING
    site.write()
    shown = site.run(*ALICE, "--sql", "select name from customers").output
    assert "approve, as asked by reading" in shown
    assert "reading: 2 of bob or members of dba, within 10m; good for 5 uses within 1h" in shown
    found = json.loads(site.run(*ALICE, "--sql", "select name from customers", "--json").output)
    assert (found["decision"], found["rules"]) == ("approve", ["reading"])
    assert found["approvals"] == [
        {
            "rule": "reading",
            "principals": ["bob"],
            "groups": ["dba"],
            "needed": 2,
            "wait": 600.0,
            "uses": 5,
            "within": 3600.0,
            "ends": 4070908800.0,
        }
    ]


def test_access_that_has_to_be_approved(site: Site) -> None:
    site.policy = ASKING
    site.write()
    shown = site.run(*ALICE).output
    assert "access: 1 of members of on-call, within 10m; good for any number of uses within 8h" in shown
    found = json.loads(site.run(*ALICE, "--json").output)
    assert found["decision"] == "approve"
    assert found["approvals"][0]["uses"] is None
    assert found["limits"]["max"] == 3600


def test_what_masks_refuse_is_not_asked_about(site: Site) -> None:
    site.policy = ASKING
    site.write()
    shown = site.run(*ALICE, "--sql", "select name from customers order by ssn").output
    assert "REFUSED, though it could be approved" in shown
    assert (
        json.loads(site.run(*ALICE, "--sql", "explain select ssn from customers", "--json").output)["decision"]
        == "deny"
    )


def test_what_nobody_can_approve(site: Site) -> None:
    site.policy = ASKING
    site.write()
    sql = "prepare p as select name from customers"
    shown = site.run(*ALICE, "--sql", sql).output
    assert "REFUSED, since nobody can approve what the text doesn't say: what PREPARE and EXECUTE run" in shown
    found = json.loads(site.run(*ALICE, "--sql", sql, "--json").output)
    assert found["decision"] == "deny"
    assert found["refused_as_unshown"]
    elsewhere = json.loads(site.run(*ALICE, "--sql", "prepare p as select 1", "--json").output)
    assert (elsewhere["decision"], elsewhere["refused_as_unshown"]) == ("allow", None)


def test_json(site: Site) -> None:
    found = json.loads(site.run(*BOB, "--sql", "select * from payments", "--json").output)
    assert found["decision"] == "allow"
    assert found["rules"] == ["engineers change"]
    assert found["role"] == "orders_rw"
    assert found["masks"] == [{"label": "pci.pan", "method": "partial(keep_last: 4)", "files": [str(site.policy_file)]}]
    assert {entry["name"] for entry in found["entries"]} == {
        "analysts read", "engineers change", "owners do anything", "nobody destroys"
    }  # fmt: skip
    assert found["operation"]["verbs"] == ["select"]
    assert "not asked" in found["assumed"]


def test_each_column_and_why_it_is_masked(site: Site) -> None:
    sql = "select c.name, upper(c.ssn), count(*) from customers c where c.email = 'x' group by 1, c.id"
    shown = site.run(*ALICE, "--sql", sql).output
    assert "column 1: from customers.name: in the clear" in shown
    assert "column 2: from customers.ssn: pii.ssn, redact" in shown
    assert "column 3: from no column: in the clear" in shown
    found = json.loads(site.run(*ALICE, "--sql", sql, "--json").output)["operation"]
    assert found["columns"][1] == {
        "sources": ["customers.ssn"], "many": False, "labels": ["pii.ssn"], "method": "redact"
    }  # fmt: skip
    assert found["uses"] == [
        {"kind": "probe", "place": "WHERE", "labels": ["pii.email"], "columns": ["customers.email"], "count": 1}
    ]


def test_what_would_tell_hidden_values_is_refused_with_the_mend(site: Site) -> None:
    shown = site.run(*ALICE, "--sql", "select name from customers order by ssn").output
    assert "REFUSED, though policy allows it" in shown
    assert "may not decide in ORDER BY" in shown


def test_a_star_is_one_column_and_more(site: Site) -> None:
    shown = site.run(*ALICE, "--sql", "select * from customers").output
    assert "column 1 and more: from customers.*: pii.email, pii.ssn, redact" in shown


def test_a_statement_from_standard_input(site: Site) -> None:
    result = site.run(*ALICE, "--sql", "-", stdin="select 1;\n")
    assert "allow by analysts read" in result.output


def test_an_unknown_target(site: Site) -> None:
    result = site.run("explain", "--principal", "alice", "--target", "nowhere")
    assert result.exit_code == 1
    assert "targets are: orders" in result.output


def test_no_credential_fits(site: Site) -> None:
    result = site.run("explain", "--principal", "alice", "--target", "orders")
    assert result.exit_code == 1
    assert "no credential of orders fits alice" in result.output


@pytest.mark.parametrize(
    "wrong",
    [
        ("--at", "yesterday"),
        ("--at", "2026-01-01T00:00:00"),
        ("--from", "here"),
        ("--kind", "robot"),
        ("--factor", "x"),
    ],
)
def test_usage(site: Site, wrong: tuple[str, str]) -> None:
    assert site.run(*ALICE, *wrong).exit_code == 2


def test_hostile_text_is_escaped(site: Site) -> None:
    result = site.run(*ALICE, "--sql", 'select 1 as "a\x1b[2J"', "--database", "x\x1b]0;y\x07")
    assert "\x1b" not in result.output
    assert "\x07" not in result.output


@pytest.fixture
def shells(site: Site) -> Site:
    """A site with an SSH target beside the database."""
    password = f"file:{site.secret}"
    credentials = [{"user": user, "password": password} for user in ("deploy", "root")]
    site.others = [{"name": "web1", "protocol": "ssh", "address": "192.0.2.7:22", "credentials": credentials}]
    site.policy = {
        "allow": [
            {
                "name": "CI deploys",
                "groups": ["ci"],
                "targets": ["web1"],
                "ssh": {"logins": ["deploy"], "exec": ["/usr/bin/deploy *"], "files": {"read": ["/srv/**"]}},
            },
            {"name": "analysts read", "groups": ["analysts"], "targets": ["orders"], "sql": {"verbs": ["select"]}},
        ]
    }
    site.write()
    return site


def asks(site: Site, *arguments: str) -> Result:
    return site.run("explain", "--principal", "ci", "--groups", "ci", "--target", "web1", *arguments)


def test_a_request_over_ssh(shells: Site) -> None:
    result = asks(shells, "--ssh", "exec /usr/bin/deploy 'prod' ")
    assert result.exit_code == 0, result.output
    assert "ci on web1 as deploy: /usr/bin/deploy prod\n  verbs: exec\nallow by CI deploys" in result.output
    assert "sql: the target speaks ssh" in result.output
    assert "the target was not asked" not in result.output, "nothing had to be assumed"
    denied = asks(shells, "--ssh", "exec /usr/bin/deploy prod; id")
    assert "uses of a shell: ;" in denied.output
    assert "deny: no allow entry matches" in denied.output
    assert "ssh.exec: the command is none of /usr/bin/deploy *, and is not plain words: ;" in denied.output
    assert "ssh.files: does not cover read /etc/passwd" in asks(shells, "--ssh", "read /etc/passwd").output
    assert "allow by CI deploys" in asks(shells, "--ssh", "read /srv/../srv/a").output
    assert "ssh.requests: does not cover shell" in asks(shells, "--ssh", "shell").output
    assert "ssh.requests: does not cover forward_local" in asks(shells, "--ssh", "forward db:5432").output


def test_masks_over_ssh(shells: Site) -> None:
    shells.policy["labels"] = {"pii.email": {"detector": "email"}}
    shells.policy["masks"] = [{"labels": ["pii.*"], "method": "redact"}]
    shells.write()
    read = asks(shells, "--ssh", "read /srv/a")
    assert "REFUSED, though policy allows it" in read.output
    assert "what files hold can't be masked, and values are masked for you (email)" in read.output
    told = json.loads(asks(shells, "--json", "--ssh", "read /srv/a").output)
    assert (told["decision"], "(email)" in told["refused_by_masks"]) == ("deny", True)
    assert "REFUSED" not in asks(shells, "--ssh", "exec /usr/bin/deploy prod").output
    assert "REFUSED" not in asks(shells, "--ssh", "read /etc/passwd").output, "policy refuses it before"


@pytest.mark.parametrize("factor", ["ssh_key", "ssh_certificate"])
def test_how_one_logs_in_over_ssh(shells: Site, factor: str) -> None:
    allow = shells.policy["allow"]
    assert isinstance(allow, list)
    allow[0]["factors"] = [factor]
    shells.write()
    assert "factors: proven by certificate" in asks(shells, "--ssh", "read /srv/a").output
    assert "allow by CI deploys" in asks(shells, "--factor", factor, "--ssh", "read /srv/a").output


def test_another_login(shells: Site) -> None:
    assert "ssh.logins: root is none of deploy" in asks(shells, "--login", "root", "--ssh", "shell").output
    assert "ci connects to web1 as deploy\nallow by CI deploys" in asks(shells).output
    assert "ci connects to web1 as root\ndeny" in asks(shells, "--login", "root").output
    refused = asks(shells, "--login", "nobody")
    assert refused.exit_code == 1
    assert "no credential of web1 fits ci and the login nobody" in refused.output


def test_a_request_as_json(shells: Site) -> None:
    told = json.loads(asks(shells, "--json", "--ssh", "read /srv/a").output)
    assert told["decision"] == "allow"
    assert told["operation"]["files"] == [{"action": "read", "path": "/srv/a"}]
    assert told["operation"]["request"] == "file"
    told = json.loads(asks(shells, "--json", "--ssh", "exec a 'b c'").output)
    assert (told["operation"]["argv"], told["role"]) == (["a", "b c"], "deploy")


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["--ssh", "exce id"], "write shell, exec COMMAND"),
        (["--ssh", "read motd"], "write read /etc/motd"),
        (["--sql", "select 1"], "write --ssh and --login"),
        (["--database", "x"], "write --ssh and --login"),
        (["--target", "orders", "--ssh", "shell"], "write --sql and --database"),
        (["--target", "orders", "--login", "x"], "write --sql and --database"),
    ],
)
def test_what_does_not_fit_the_target(shells: Site, arguments: list[str], mend: str) -> None:
    result = asks(shells, *arguments)
    assert result.exit_code == 1
    assert mend in result.output


def test_cases_with_requests(shells: Site) -> None:
    who = {"principal": "ci", "groups": ["ci"], "target": "web1"}
    cases = [
        {**who, "name": "a", "ssh": "exec /usr/bin/deploy x", "expect": "allow"},
        {**who, "name": "b", "ssh": "shell", "expect": "deny"},
    ]
    path = shells.directory / "cases.yaml"
    path.write_text(json.dumps({"cases": cases}))
    result = shells.run("policy", "test", str(path))
    assert result.exit_code == 0, result.output


def test_a_least_role_is_a_databases(shells: Site) -> None:
    result = shells.run("grants", "sql", "--groups", "ci", "--target", "web1")
    assert result.exit_code == 1
    assert "web1 speaks ssh" in result.output
