from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from django.urls import resolve

from backoffice.proxy.errors import GATE_HEADER, Refusal
from backoffice.proxy.middleware import GateMiddleware
from backoffice.proxy.views import proxy
from tests.backoffice.proxy.conftest import KIM, FakeSession, own_page
from tests.fakes.upstream import Upstream, answer


def call(path: str, method: str = "GET", **options: Any) -> HttpResponseBase:
    """One request through the gate and the view, as the URL table would route it."""
    request = RequestFactory().generic(method, path, **options)
    request.session = FakeSession(KIM)  # type: ignore[assignment]

    def view(passed: HttpRequest) -> HttpResponseBase:
        match = resolve(passed.path_info)
        return match.func(passed, **match.kwargs)  # type: ignore[no-any-return]

    return GateMiddleware(view)(request)


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


@pytest.mark.parametrize("forged", [None, object(), {"route": "members"}])
def test_without_the_gates_pass_nothing_is_forwarded(
    forged: object, routes: Any, upstream: Upstream
) -> None:
    request = RequestFactory().get("/api/proxy/members/1")
    request.session = FakeSession(KIM)  # type: ignore[assignment]
    request.gate_pass = forged  # type: ignore[attr-defined]
    response = proxy(request, rest="members/1")
    assert response[GATE_HEADER] == Refusal.NO_SESSION.word
    assert upstream.connections == 0


def test_the_view_is_not_guarded_twice() -> None:
    assert proxy.csrf_exempt  # type: ignore[attr-defined]
    assert not proxy.login_required  # type: ignore[attr-defined]
