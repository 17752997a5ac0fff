"""The control API over mutual TLS, as the real gateway serves it."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from http.client import HTTPSConnection
from typing import Any

import pytest
from support import guarded
from support.ostiary import Ostiary
from support.pki import Issued, Pki
from support.postgres import Postgres
from support.process import free_port

pytestmark = pytest.mark.e2e

PORT = free_port()


@pytest.fixture(scope="module")
def gateway(pki: Pki, target_server: Postgres) -> Iterator[Ostiary]:
    settings = {
        "listeners": {"control": {"address": f"127.0.0.1:{PORT}"}},
        "tls": {"revocation": {"crl": [f"file:{pki.revoke([], file='control-e2e.crl')}"]}},
        "identity": {"socket": {os.getuid(): {"principal": "tester", "groups": ["platform"]}}},
        "roles": {"operator": ["group:platform"], "auditor": ["principal:tester"]},
    }
    made = Ostiary(pki, targets=[guarded.target(target_server, pki.ca)], policy=guarded.POLICY, settings=settings)
    with made:
        yield made


@pytest.fixture(scope="module")
def olga(pki: Pki) -> Issued:
    """An operator, by her group."""
    return pki.client("olga", groups=["platform"], file="e2e-olga")


def ask(pki: Pki, caller: Issued, method: str, path: str) -> tuple[int, Any]:
    """Status and answer."""
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(caller.certificate, caller.key)
    context.set_alpn_protocols(["http/1.1"])
    connection = HTTPSConnection("localhost", PORT, context=context, timeout=20)
    try:
        connection.request(method, path, headers={"Content-Type": "application/json"} if method == "POST" else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_certificate_opens_what_its_roles_allow(gateway: Ostiary, pki: Pki, olga: Issued, alice: Issued) -> None:
    code, found = ask(pki, olga, "GET", "/v1/status")
    assert code == 200
    assert f"control 127.0.0.1:{PORT}" in found["listeners"]
    code, refused = ask(pki, alice, "GET", "/v1/status")
    assert (code, refused["problem"]) == (403, "alice has none of the roles operator and auditor")
    assert gateway.audit_events()[-1]["src_endpoint"] == {"ip": "127.0.0.1"}


def test_a_group_that_is_listed_with_a_uid_counts(gateway: Ostiary) -> None:
    shown = gateway.cli("status", "--json", "--config", str(gateway.configuration))
    assert json.loads(shown.stdout)["node"] == "gw-test"


def test_a_revoked_certificate_ends_with_the_reload(gateway: Ostiary, pki: Pki, olga: Issued) -> None:
    stolen = pki.client("olga", groups=["platform"], file="e2e-stolen")
    assert ask(pki, stolen, "GET", "/v1/status")[0] == 200
    pki.revoke([stolen], file="control-e2e.crl")
    assert ask(pki, olga, "POST", "/v1/reload")[0] == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(pki, stolen, "GET", "/v1/status")
    assert ask(pki, olga, "GET", "/v1/status")[0] == 200
