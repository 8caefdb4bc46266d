from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from accounts.profile import StaffProfile
from backoffice.proxy.gate import PROOF_HEADER, PROOF_VALUE, GatePass
from backoffice.proxy.middleware import GateMiddleware
from backoffice.proxy.reload import forget_routes
from backoffice.proxy.routes import Route
from tests.fakes.upstream import Upstream

KIM = StaffProfile(
    issuer="https://id.example",
    sub="sub-1",
    username="kim",
    name="김민지",
    email="kim@corp.example",
    department="Support, night shift",
    groups=("support", "a,b"),
)
LEE = StaffProfile(**{**KIM.to_session(), "username": "lee", "groups": ("finance",)})

ROUTES = """
[[route]]
name = "members"
upstream = "{url}/v1"
groups = ["support", "operations"]
methods = ["GET", "POST", "OPTIONS"]

[[route]]
name = "open"
upstream = "{url}"
identity = "none"
"""


HOST = "testserver"
TARGET = "/api/proxy/members/42?x=%20"
DOOR_ROUTES = """
[[route]]
name = "members"
upstream = "http://127.0.0.1:1/v1"
groups = ["support"]
methods = ["GET", "POST"]

[[route]]
name = "reports"
upstream = "http://127.0.0.1:1"
groups = ["finance"]

[[route]]
name = "open"
upstream = "http://127.0.0.1:1"
identity = "none"
"""


class FakeSession:
    """What the session store promises the gate: `get`, `session_id`, no writes."""

    def __init__(
        self, profile: StaffProfile | None = None, error: Exception | None = None
    ) -> None:
        self.profile = profile
        self.error = error
        self.session_id = "sid-1" if profile else None
        self.session_key = "k" * 32 if profile else None

    def exists(self, session_key: str) -> bool:
        return self.profile is not None

    def get(self, key: str, default: Any = None) -> Any:
        if self.error:
            raise self.error
        return self.profile.to_session() if self.profile else default


def own_page(**more: str) -> dict[str, str]:
    """The fields with which our own pages send an unsafe call."""
    return {PROOF_HEADER: PROOF_VALUE, "Origin": "http://testserver", **more}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def route(upstream: Upstream) -> Route:
    return Route(name="members", upstream=f"{upstream.url}/v1", read_timeout=5.0)


@pytest.fixture
def routes(upstream: Upstream, tmp_path: Path, settings: Settings) -> Path:
    """A route table on disk: `members` for support, `open` for everyone."""
    path = tmp_path / "routes.toml"
    path.write_text(ROUTES.format(url=upstream.url), encoding="utf-8")
    settings.ROUTES_FILE = path
    forget_routes()
    return path


class GateAlone(GateMiddleware):
    """The gate with the session that the test gave; 299 means that it let pass."""

    def open_session(self, request: HttpRequest) -> None:
        return None

    def admitted(self, request: HttpRequest, granted: GatePass) -> HttpResponseBase:
        request.gate_pass = granted  # type: ignore[attr-defined]
        return self.get_response(request)


Ask = Callable[..., HttpResponse]


@pytest.fixture
def ask(routes: Path) -> Ask:
    """Sends one request through the gate alone; 299 means that it passed.

    `raw` is the target as it stands on the request line.
    """

    def send(
        path: str = "/api/proxy/members/42",
        profile: StaffProfile | None = KIM,
        *,
        method: str = "GET",
        raw: str | None = None,
        session: Any = None,
        **options: Any,
    ) -> HttpResponse:
        request = RequestFactory().generic(method, path, **options)
        request.session = session or FakeSession(profile)
        if raw is not None:
            request.META["RAW_URI"] = raw
        response = GateAlone(passed)(request)
        assert isinstance(response, HttpResponse)
        return response

    return send


def passed(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(status=299)
    response.gate_pass = getattr(request, "gate_pass", None)  # type: ignore[attr-defined]
    return response


@pytest.fixture(autouse=True)
def _database(db: None) -> None:
    """Closing a response makes Django look at its database connection."""


@pytest.fixture
def door_routes(tmp_path: Path, settings: Settings) -> Iterator[None]:
    """The table of a site that nginx asks: nothing of it is called."""
    path = tmp_path / "routes.toml"
    path.write_text(DOOR_ROUTES, encoding="utf-8")
    settings.ROUTES_FILE = path
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    forget_routes()
    yield
    forget_routes()
