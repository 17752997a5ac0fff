"""Data worth guarding, in every shape that a labelled column can hide in, and the policy that guards it.

All persons are made up. Protected values are recognisable (`is_protected`), so that a test can look for them in
anything that came out of the gateway.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from support.postgres import Postgres

DATABASE = "orders"
OWNER, READ_WRITE, READ_ONLY = "orders_owner", "orders_rw", "orders_ro"
PASSWORDS = {OWNER: "owner-secret", READ_WRITE: "rw-secret", READ_ONLY: "ro-secret"}
CUSTOMERS = 50

ROLES = "\n".join(
    f"create role {role} login password '{password}' {'createdb' if role == OWNER else ''};"
    for role, password in PASSWORDS.items()
)

SCHEMA = f"""
create table customers (
    id integer primary key,
    name text not null,
    email text not null,
    ssn text not null unique,
    phone varchar(20),
    born date,
    notes jsonb not null default '{{}}'
);
insert into customers
select n, 'Customer ' || n, 'person' || n || '@private.example', format('900-%s-%s', lpad((n / 100)::text, 2, '0'),
       lpad((7000 + n)::text, 4, '0')), '+1 555 01' || lpad(n::text, 2, '0'), date '1970-01-01' + n * 97,
       jsonb_build_object('tier', case when n % 5 = 0 then 'gold' else 'basic' end)
from generate_series(1, {CUSTOMERS}) n;

create table orders (
    id integer primary key,
    customer_id integer not null references customers,
    amount numeric(10, 2) not null,
    status text not null default 'open',
    placed timestamptz not null
);
insert into orders
select n, 1 + n % {CUSTOMERS}, (n * 37 % 1000) + 0.99, case n % 3 when 0 then 'open' when 1 then 'paid' else 'sent' end,
       timestamptz '2026-01-01 00:00:00+00' + n * interval '1 hour'
from generate_series(1, 500) n;

-- views: plain, an expression, and one on top of another
create view customer_contacts as select id, name as full_name, ssn as number, email from customers;
create view customer_cards as select id, upper(full_name) as title, 'SSN ' || number as line from customer_contacts;
create materialized view customer_digest as select id, name, ssn from customers;

-- a child table, and partitions
create table vip_customers (manager text) inherits (customers);
insert into vip_customers (id, name, email, ssn, manager)
values (9001, 'Customer V', 'vip@private.example', '900-99-9001', 'Mallory');
create table payments (id integer, paid_on date not null, pan text not null, amount numeric(10, 2))
    partition by range (paid_on);
create table payments_2025 partition of payments for values from ('2025-01-01') to ('2026-01-01');
create table payments_2026 partition of payments for values from ('2026-01-01') to ('2027-01-01');
insert into payments
select n, date '2025-07-01' + n * 10, '4000' || lpad(n::text, 12, '0'), n * 10 from generate_series(1, 40) n;

-- what a statement that merely reads can set off
create table scratch (id integer);
insert into scratch values (1), (2), (3);
create function empty_scratch() returns integer language sql volatile security definer as
    $$ delete from scratch; select 1 $$;
create view innocent as select 1 as one, empty_scratch() as two;

-- a name beside the labelled one, in another schema
create schema public_copy;
create table public_copy.customers (id integer, ssn text);
insert into public_copy.customers values (1, 'nothing to see');

grant usage on schema public, public_copy to {READ_WRITE}, {READ_ONLY};
grant create on schema public to {READ_WRITE};
grant select on all tables in schema public, public_copy to {READ_ONLY};
grant select, insert, update, delete, truncate on all tables in schema public, public_copy to {READ_WRITE};
"""

POLICY: dict[str, Any] = {
    "labels": {
        "pii.email": {"columns": {"orders": ["public.customers.email"]}, "default": {"method": "redact"}},
        "pii.ssn": {"columns": {"orders": ["public.customers.ssn"]}, "default": {"method": "redact"}},
        "pci.pan": {"columns": {"orders": ["public.payments.pan"]}},
    },
    "allow": [
        {"name": "analysts read", "groups": ["analysts"], "targets": ["orders"], "sql": {"verbs": ["select"]}},
        {
            "name": "engineers change",
            "groups": ["engineers"],
            "targets": ["orders"],
            "sql": {"verbs": ["select", "insert", "update", "delete"]},
        },
        {"name": "owners do anything", "groups": ["owners"], "targets": ["*"]},
    ],
    "deny": [
        {
            "name": "nobody destroys",
            "groups": ["analysts", "engineers"],
            "targets": ["*"],
            "sql": {"verbs": ["drop", "truncate", "copy_program"]},
            "message": "ask the DBA on call",
        },
    ],
    "masks": [
        {"labels": ["pii.*", "pci.*"], "method": "redact"},
        {"labels": ["pci.pan"], "groups": ["engineers"], "method": {"partial": {"keep_last": 4}}},
        {"labels": ["pii.*", "pci.*"], "groups": ["owners"], "method": "clear"},
    ],
}
"""alice is an analyst, bob an engineer, olivia an owner, by their certificates' organizational units."""

PROTECTED = re.compile(r"900-\d\d-\d{4}|[a-z0-9]+@private\.example|4000\d{12}")


def is_protected(text: str) -> bool:
    """Whether ``text`` holds a value of a labelled column, in clear."""
    return PROTECTED.search(text) is not None


def fill(postgres: Postgres) -> None:
    """Makes the roles and the database in a running cluster."""
    postgres.run(ROLES)
    postgres.run(f"create database {DATABASE} owner {OWNER};")
    postgres.run(f"set role {OWNER};\n{SCHEMA}", DATABASE)


def target(postgres: Postgres, ca: Path, *, name: str = DATABASE) -> dict[str, Any]:
    """The targets.d entry for ``postgres``, in a file of its own or with others.

    Owners and engineers log in as the tables' owner, so that nothing but the gateway stands between them and a
    DROP; everybody else reads.
    """
    return {
        "name": name,
        "protocol": "postgres",
        "address": f"localhost:{postgres.port}",
        "tags": {"env": "prod"},
        "tls": {"mode": "verify-full", "ca": f"file:{ca}"},
        "credentials": [
            {"groups": ["owners", "engineers"], "user": OWNER, "password": "env:OWNER_PASSWORD"},
            {"user": READ_ONLY, "password": "env:RO_PASSWORD"},
        ],
    }


ENVIRONMENT = {
    "OWNER_PASSWORD": PASSWORDS[OWNER],
    "RO_PASSWORD": PASSWORDS[READ_ONLY],
}
"""What those secret references name."""
