"""The API keeps to its description, whatever it is sent: schemathesis makes requests out of it, right and wrong ones.

No 5xx, no answer that isn't described, nothing accepted that is described as wrong. The ids that it sends are those of
things that exist, half of the time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from control.made import FakeGateway
from control.served import Served
from hypothesis import HealthCheck, settings
from session.asked import DORA, subject, terms
from support.pki import Issued, Pki

from gateway.control.api import ROUTES
from gateway.control.openapi import describe
from gateway.secrets import Secret
from gateway.store import TokenVault
from gateway.store.requests import Lock

SCHEMA = schemathesis.openapi.from_dict(describe(route for route in ROUTES if route.streams is None))
"""Answers that go on would never end here: test_watching.py has them, and test_pages.py the page."""


class Things:
    """Makes what acts are about, on the gateway's own thread; each is there for one request."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._number = itertools.count(1)

    def id(self, path: str) -> str:
        """Of something new that ``path`` can name."""
        make: dict[str, Callable[[FakeGateway, int], str]] = {
            "sessions": self._session,
            "approvals": self._request,
            "grants": self._grant,
            "locks": self._lock,
        }
        return self._served.call(make[path.split("/")[2]], self._served.gateway, next(self._number))

    def _session(self, gateway: FakeGateway, number: int) -> str:
        for live in gateway.live:
            gateway.live.leave(live)
        return gateway.session(number % 256)[0].id

    def _request(self, gateway: FakeGateway, number: int) -> str:
        asked = subject(f"asker {number}", f"{number:064x}")
        return gateway.approvals.request(asked, (terms(needed=2),)).id

    def _grant(self, gateway: FakeGateway, number: int) -> str:
        request = gateway.approvals.request(subject(f"asker {number}", f"{number:064x}"), (terms(),))
        return gateway.approvals.decide(request.id, DORA, yes=True).id

    def _lock(self, gateway: FakeGateway, number: int) -> str:
        lock = Lock("", f"locked {number}", None, 0, gateway.clock() + 60, "olga")
        return gateway.approvals.lock(lock).id


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGateway]:
    made = FakeGateway(tmp_path_factory.mktemp("described"))
    made.reactor.rightNow = time.time()
    made.vault = TokenVault(made.directory / "store" / "tokens.db", Secret(b"x" * 44), clock=made.clock)
    roles = {"operator": ("principal:everything",), "auditor": ("principal:everything",), "break_glass": ()}
    made.config = msgspec.structs.replace(made.config, roles=roles)
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(gateway: FakeGateway, pki: Pki) -> Iterator[Served]:
    made = Served(gateway, pki).start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def callers(pki: Pki) -> dict[str, Issued]:
    return {
        "everything": pki.client("everything", groups=["dba-oncall"], file="described-everything"),
        "nothing": pki.client("nothing", file="described-nothing"),
    }


@pytest.fixture(scope="module")
def things(served: Served) -> Things:
    return Things(served)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False  # no proxy, no other CAs
        yield made


Check = Callable[[Any], None]


@pytest.fixture(params=["everything", "nothing"])
def check(
    request: pytest.FixtureRequest,
    served: Served,
    things: Things,
    session: requests.Session,
    callers: dict[str, Issued],
) -> Check:
    """Sends a case as somebody who may do everything, or nothing, and holds what comes back against the description."""
    caller = callers[request.param]

    def call(case: Any) -> None:
        served.call(served.gateway.reactor.advance, 1)  # refusals are heard again
        if "{id}" in case.path and len(str(case.path_parameters.get("id", ""))) % 2:
            case.path_parameters["id"] = things.id(case.path)
        by: dict[str, Any] = {
            "session": session,
            "verify": str(served.pki.ca),
            "cert": (str(caller.certificate), str(caller.key)),
        }
        response = case.call(base_url=f"https://localhost:{served.port}", **by)
        case.validate_response(response, transport_kwargs=by)

    return call


def examples(count: int, *, same: bool) -> settings:
    """So many beside those that schemathesis derives from each bound; ``same``: the same ones in each run."""
    return settings(
        max_examples=count, deadline=None, database=None, derandomize=same, suppress_health_check=list(HealthCheck)
    )


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]  # its types are left out, see pyproject.toml
@examples(5, same=True)
def test_it_keeps_to_its_description(case: Any, check: Check) -> None:
    check(case)


@pytest.mark.slow
@SCHEMA.parametrize()  # type: ignore[untyped-decorator]  # its types are left out, see pyproject.toml
@examples(200, same=False)
def test_it_keeps_to_its_description_at_length(case: Any, check: Check) -> None:
    check(case)
