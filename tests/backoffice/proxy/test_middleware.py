from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import resolve
from pytest_django.fixtures import Settings

from backoffice.proxy.errors import GATE_HEADER, Refusal
from backoffice.proxy.headers import REQUEST_ID
from backoffice.proxy.middleware import GateMiddleware
from tests.backoffice.proxy.conftest import KIM, FakeSession, own_page
from tests.fakes.upstream import Upstream, answer


class OwnSession(GateMiddleware):
    """Door 1 with the session that the test gave."""

    def open_session(self, request: HttpRequest) -> None:
        return None


def call(path: str, method: str = "GET", **options: Any) -> HttpResponseBase:
    """One request through door 1, up to the upstream and back."""
    request = RequestFactory().generic(method, path, **options)
    request.session = FakeSession(KIM)  # type: ignore[assignment]
    return OwnSession(unreached)(request)


def unreached(request: HttpRequest) -> HttpResponseBase:
    raise AssertionError("the gate answers what is its own")


@pytest.mark.usefixtures("routes")
def test_a_call_reaches_its_upstream_with_who_is_calling(upstream: Upstream) -> None:
    response = call("/api/proxy/members/42", headers={"X-Staff-User": "root"})
    assert b"".join(response) == b"hello"
    assert upstream.last.target == b"/v1/42"
    assert upstream.last.all("X-Staff-User") == ["kim"]
    assert upstream.last.all("X-Session-Id") == ["sid-1"]


@pytest.mark.usefixtures("routes")
def test_a_route_may_ask_not_to_know(upstream: Upstream) -> None:
    call("/api/proxy/open/x")
    assert not [name for name, _ in upstream.last.fields if name.startswith("x-staff")]
    assert upstream.last.get("X-Session-Id") is None


@pytest.mark.usefixtures("routes")
def test_an_upstreams_own_refusal_is_not_ours(upstream: Upstream) -> None:
    fields = [("WWW-Authenticate", "Basic"), (GATE_HEADER, "no-session")]
    upstream.answers = [answer("401 Unauthorized", fields, b"no")]
    response = call("/api/proxy/members/42")
    assert response.status_code == 401
    assert GATE_HEADER not in response
    assert response["WWW-Authenticate"] == "Basic"


@pytest.mark.usefixtures("routes")
def test_a_failure_is_our_answer_and_says_nothing_of_the_inside(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.__exit__()
    response = call("/api/proxy/members/42")
    assert response[GATE_HEADER] == Refusal.UPSTREAM_DOWN.word
    assert str(upstream.port).encode() not in getattr(response, "content", b"")
    assert "call_failed route=members word=upstream-down" in caplog.text
    assert str(upstream.port) not in caplog.text


@pytest.mark.usefixtures("routes")
def test_the_last_hop_answers_for_itself(upstream: Upstream) -> None:
    response = call("/api/proxy/members/1", "OPTIONS", headers={"Max-Forwards": "0"})
    assert (response.status_code, response["Allow"]) == (
        204,
        "GET, HEAD, OPTIONS, POST",
    )
    assert not upstream.requests


@pytest.mark.usefixtures("routes")
def test_a_proven_call_carries_its_body(upstream: Upstream) -> None:
    call("/api/proxy/members/1", "POST", data=b"{}", headers=own_page())
    assert upstream.last.body == b"{}"
    assert upstream.last.get("X-Backoffice") is None


def test_what_comes_past_the_gate_is_refused() -> None:
    request = RequestFactory().get("/api/proxy/members/1")
    match = resolve(request.path_info)
    response = match.func(request, **match.kwargs)
    assert response[GATE_HEADER] == Refusal.NO_SESSION.word
    assert not match.func.login_required


@pytest.mark.parametrize("site", ["http://localhost", "https://localhost"])
@pytest.mark.parametrize("path", ["/api/proxy/members/42", "/api/proxy/absent"])
@pytest.mark.usefixtures("routes")
def test_every_answer_has_the_fields_of_this_site(
    site: str, path: str, settings: Settings, client: Client, store: Any
) -> None:
    """As Django's own middleware sets them for a page: HSTS, framing, referrer."""
    settings.SERVED_OVER_HTTPS = is_https = site.startswith("https")
    settings.SECURE_HSTS_SECONDS = 365 * 86400 if is_https else 0
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = is_https
    page = client.get("/sign-in/", secure=is_https)
    ours = call(path, secure=is_https)
    for name in DEFENCES:
        assert (name, ours.get(name)) == (name, page.get(name))
    assert "sandbox" in ours["Content-Security-Policy"]
    assert ours[REQUEST_ID]


DEFENCES = (
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
)
