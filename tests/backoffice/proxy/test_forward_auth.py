from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from backoffice.proxy import forward_auth
from backoffice.proxy.errors import GATE_HEADER, Refusal
from backoffice.proxy.forward_auth import CHECK, PASSED, STATUS_HEADER
from backoffice.proxy.gate import PROOF_HEADER, PROOF_VALUE
from tests.accounts.sessions.conftest import begin
from tests.backoffice.proxy.conftest import HOST, TARGET
from tests.backoffice.proxy.test_paths import AMBIGUOUS

UPGRADE = {"Upgrade": "websocket", "Origin": f"http://{HOST}"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store", "door_routes")]


@pytest.fixture
def browser(client: Client) -> Client:
    """A client with the cookie of somebody in `support`."""
    client.cookies["session_id"] = str(begin().session_key)
    return client


def ask_as_nginx(
    client: Client, target: str = TARGET, method: str = "GET", **fields: str
) -> HttpResponse:
    described = {"X-Original-Method": method, "X-Original-URI": target}
    return client.get(CHECK, headers={**described, **fields})


def ask_as_traefik(
    client: Client, target: str = TARGET, method: str = "GET", **fields: str
) -> HttpResponse:
    described = {
        "X-Forwarded-Method": method,
        "X-Forwarded-Uri": target,
        "X-Forwarded-Host": HOST,
    }
    return client.get(CHECK, headers={**described, "Host": "gate.internal", **fields})


def ask_as_envoy(
    client: Client, target: str = TARGET, method: str = "GET", **fields: str
) -> HttpResponse:
    path = target.partition("?")[0]
    return client.generic(
        method, CHECK + path, headers=fields, RAW_URI=f"{CHECK}{target}"
    )


def is_refused(response: HttpResponse, refusal: Refusal, as_status: int) -> bool:
    return (response.status_code, response[GATE_HEADER]) == (as_status, refusal.word)


EVERY_WAY = pytest.mark.parametrize("ask", [ask_as_nginx, ask_as_traefik, ask_as_envoy])
IN_FULL = pytest.mark.parametrize("ask", [ask_as_traefik, ask_as_envoy])


STEPS = ("describe", "is_trusted_proxy", "read_cookie", "judge", "passed", "fields_for")


@pytest.mark.parametrize("step", STEPS)
def test_an_accident_in_any_step_denies(
    browser: Client, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accident(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(forward_auth, step, accident)
    response = ask_as_traefik(browser)
    assert is_refused(response, Refusal.FAILED, 500)
    assert not any(name.startswith("X-Staff") for name in response.headers)
    assert is_refused(ask_as_nginx(browser), Refusal.FAILED, 403)


@EVERY_WAY
def test_a_live_session_passes_with_its_identity(browser: Client, ask: type) -> None:
    response = ask(browser)
    # Envoy takes a 204 for a refusal.
    yes = 200 if ask is ask_as_envoy else 204
    assert (response.status_code, response[GATE_HEADER]) == (yes, PASSED)
    assert response.content == b""
    assert response["X-Staff-Sub"] == "u-1001"
    assert response["X-Staff-Groups"] == "staff,support"
    assert response["X-Session-Id"]
    assert not response.cookies


@EVERY_WAY
def test_a_route_may_keep_the_identity_from_its_upstream(
    browser: Client, ask: type
) -> None:
    response = ask(browser, "/api/proxy/open/")
    assert response[GATE_HEADER] == PASSED
    assert "X-Staff-Sub" not in response


@EVERY_WAY
def test_without_a_session_it_is_401(client: Client, ask: type) -> None:
    response = ask(client)
    assert is_refused(response, Refusal.NO_SESSION, 401)
    assert response.content == b""
    assert response["WWW-Authenticate"]
    assert not response.cookies


@EVERY_WAY
def test_another_group_is_403(browser: Client, ask: type) -> None:
    response = ask(browser, "/api/proxy/reports/")
    assert is_refused(response, Refusal.NOT_ALLOWED, 403)
    assert STATUS_HEADER not in response


@pytest.mark.parametrize(
    ("target", "method", "refusal"),
    [
        ("/api/proxy/absent/", "GET", Refusal.NO_ROUTE),
        ("/api/proxy/members/1", "DELETE", Refusal.NO_METHOD),
        ("/api/proxy/members/../x", "GET", Refusal.BAD_PATH),
    ],
)
def test_what_nginx_cannot_say_comes_as_403_with_the_real_status(
    browser: Client, target: str, method: str, refusal: Refusal
) -> None:
    response = ask_as_nginx(browser, target, method)
    assert is_refused(response, refusal, 403)
    assert response[STATUS_HEADER] == str(refusal.status)


@IN_FULL
def test_other_servers_pass_every_status_on(browser: Client, ask: type) -> None:
    response = ask(browser, "/api/proxy/members/1", "DELETE")
    assert is_refused(response, Refusal.NO_METHOD, 405)
    assert response["Allow"] == "GET, HEAD, POST"
    assert is_refused(ask(browser, "/api/proxy/absent/"), Refusal.NO_ROUTE, 404)


@pytest.mark.parametrize("target", [path for path in AMBIGUOUS if path.isascii()])
def test_the_raw_target_is_judged(browser: Client, target: str) -> None:
    response = ask_as_nginx(browser, target)
    assert is_refused(response, Refusal.BAD_PATH, 403)
    assert response[STATUS_HEADER] == "400"


def test_a_path_that_is_not_of_the_proxy_is_refused(browser: Client) -> None:
    assert is_refused(ask_as_traefik(browser, "/admin/"), Refusal.BAD_PATH, 400)


def test_an_encoded_slash_is_passed_over_as_it_is(browser: Client) -> None:
    assert ask_as_nginx(browser, "/api/proxy/members/a%2Fb").status_code == 204


@EVERY_WAY
def test_a_stranger_is_not_answered(
    browser: Client, ask: type, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert is_refused(ask(browser), Refusal.NO_DOOR, 403)


def test_a_host_that_is_not_ours_is_refused(browser: Client) -> None:
    fields = {"X-Forwarded-Host": "evil.example"}
    assert is_refused(ask_as_traefik(browser, **fields), Refusal.BAD_HOST, 400)


# One voice ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["X-Original-URI", "X-Original-Method"])
def test_traefik_passing_on_a_claim_of_the_client_is_refused(
    browser: Client, name: str
) -> None:
    response = ask_as_traefik(browser, **{name: "/api/proxy/open/"})
    assert response[GATE_HEADER] == Refusal.BAD_PATH.word


@pytest.mark.parametrize("name", ["X-Forwarded-Uri", "X-Forwarded-Method"])
def test_nginx_passing_on_a_claim_of_the_client_is_refused(
    browser: Client, name: str
) -> None:
    response = ask_as_nginx(browser, **{name: "/api/proxy/open/"})
    assert response[GATE_HEADER] == Refusal.BAD_PATH.word


@pytest.mark.parametrize(
    "name",
    ["X-Original-URI", "X-Original-Method", "X-Forwarded-Uri", "X-Forwarded-Method"],
)
def test_envoy_passing_on_a_claim_of_the_client_is_refused(
    browser: Client, name: str
) -> None:
    response = ask_as_envoy(browser, **{name: "GET"})
    assert is_refused(response, Refusal.BAD_PATH, 400)


@pytest.mark.parametrize("fields", [{}, {"X-Original-URI": TARGET}])
def test_a_check_that_describes_no_call_is_refused(
    browser: Client, fields: dict[str, str]
) -> None:
    response = browser.get(CHECK, headers=fields)
    assert response[GATE_HEADER] == Refusal.BAD_PATH.word


# Proof and other sites ------------------------------------------------------


@EVERY_WAY
def test_a_write_needs_proof(browser: Client, ask: type) -> None:
    assert is_refused(ask(browser, method="POST"), Refusal.NO_PROOF, 403)
    proof = {PROOF_HEADER: PROOF_VALUE, "Origin": f"http://{HOST}"}
    assert ask(browser, method="POST", **proof)[GATE_HEADER] == PASSED


@EVERY_WAY
def test_another_site_may_not_read(browser: Client, ask: type) -> None:
    response = ask(browser, **{"Sec-Fetch-Site": "cross-site"})
    assert is_refused(response, Refusal.CROSS_SITE, 403)


# WebSockets -----------------------------------------------------------------


@EVERY_WAY
def test_a_websocket_of_our_own_page_passes(browser: Client, ask: type) -> None:
    assert ask(browser, **UPGRADE)[GATE_HEADER] == PASSED


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@EVERY_WAY
def test_a_websocket_of_another_page_is_refused(
    browser: Client, ask: type, change: dict[str, str]
) -> None:
    response = ask(browser, **{**UPGRADE, **change})
    assert is_refused(response, Refusal.NO_PROOF, 403)


@EVERY_WAY
def test_a_websocket_is_known_without_its_upgrade(browser: Client, ask: type) -> None:
    """Traefik asks without the fields that are for one hop."""
    key = {"Sec-WebSocket-Key": "eHh4eHh4eHh4eHh4eHh4eA=="}
    assert ask(browser, **key)[GATE_HEADER] == Refusal.NO_PROOF.word
    assert ask(browser, **key, Origin=UPGRADE["Origin"])[GATE_HEADER] == PASSED


def test_a_websocket_without_an_origin_is_refused(browser: Client) -> None:
    response = ask_as_nginx(browser, Upgrade="websocket")
    assert is_refused(response, Refusal.NO_PROOF, 403)


# Outages --------------------------------------------------------------------


@EVERY_WAY
def test_a_store_that_is_away_is_503(
    browser: Client, ask: type, settings: Settings
) -> None:
    options = settings.CACHES["sessions"]
    changed = {**options, "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "sessions": changed}
    response = ask(browser)
    assert response[GATE_HEADER] == Refusal.STORE_DOWN.word
    assert response["Retry-After"]
    assert "503" in {str(response.status_code), response.get(STATUS_HEADER)}
    assert not response.cookies
