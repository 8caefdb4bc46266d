from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import redis
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.audit import Entry, Event
from accounts.sessions import seal
from accounts.sessions.errors import StoreNotFenced, StoreUnavailable
from backoffice.proxy import gate, judgement, middleware
from backoffice.proxy.errors import GATE_HEADER, Refusal
from backoffice.proxy.gate import PROOF_HEADER, GatePass
from backoffice.proxy.paths import PREFIX
from backoffice.proxy.reload import current_routes, forget_routes
from backoffice.proxy.route_values import METHODS, SAFE
from tests.backoffice.proxy.conftest import (
    KIM,
    LEE,
    Ask,
    FakeSession,
    GateAlone,
    own_page,
)
from tests.backoffice.proxy.test_paths import AMBIGUOUS, OTHER_SPELLINGS

PASSED = 299


def is_refused(response: HttpResponse, refusal: Refusal) -> bool:
    return (response.status_code, response.get(GATE_HEADER)) == (
        refusal.status,
        refusal.word,
    )


def test_a_live_session_passes_with_its_pass(ask: Ask) -> None:
    response = ask("/api/proxy/members/42", QUERY_STRING="x=%20")
    route = current_routes().find("members")
    assert response.status_code == PASSED
    assert route is not None
    assert response.gate_pass == GatePass(KIM, "sid-1", route, "/42?x=%20")  # type: ignore[attr-defined]


def test_the_pass_holds_the_raw_target(ask: Ask) -> None:
    response = ask("/api/proxy/members/a/b", raw="/api/proxy/members/a%2fb?x")
    assert response.gate_pass.suffix == "/a%2fb?x"  # type: ignore[attr-defined]


def test_other_pages_are_left_alone(ask: Ask) -> None:
    session = FakeSession(error=AssertionError("not to be read"))
    response = ask("/sign-in/", session=session)
    assert response.status_code == PASSED
    assert response.gate_pass is None  # type: ignore[attr-defined]


# Dead sessions -------------------------------------------------------------


@pytest.mark.parametrize("path", ["members/42", "open", "absent/1", "", "members"])
@pytest.mark.parametrize("method", ["GET", "POST", "FOO"])
def test_without_a_live_session_all_calls_get_one_answer(
    ask: Ask, path: str, method: str
) -> None:
    response = ask(f"/api/proxy/{path}", profile=None, method=method)
    assert is_refused(response, Refusal.NO_SESSION)
    assert response.content == b""
    assert response["WWW-Authenticate"]
    assert not response.cookies


def test_a_sign_in_that_has_only_begun_is_no_session(ask: Ask) -> None:
    begun = FakeSession()
    begun.session_id = "sid-2"
    assert is_refused(ask(session=begun), Refusal.NO_SESSION)


def test_a_profile_without_a_session_is_no_session(ask: Ask) -> None:
    odd = FakeSession(KIM)
    odd.session_id = None
    assert is_refused(ask(session=odd), Refusal.NO_SESSION)


# Routes, people, methods ----------------------------------------------------


def test_an_unknown_route_is_not_found(ask: Ask) -> None:
    assert is_refused(ask("/api/proxy/absent/1"), Refusal.NO_ROUTE)


@pytest.mark.parametrize("path", ["/api/proxy", "/api/proxy/", "/api/proxy/MEMBERS/1"])
def test_what_names_no_route_is_not_found(ask: Ask, path: str) -> None:
    assert is_refused(ask(path), Refusal.NO_ROUTE)


def test_a_person_of_another_group_is_not_allowed(ask: Ask) -> None:
    assert is_refused(ask(profile=LEE), Refusal.NOT_ALLOWED)


def test_a_route_without_groups_is_for_all_staff(ask: Ask) -> None:
    assert ask("/api/proxy/open/x", profile=LEE).status_code == PASSED


@pytest.mark.parametrize("method", sorted(METHODS | {"TRACE", "CONNECT", "FOO"}))
def test_only_the_methods_of_the_route_pass(ask: Ask, method: str) -> None:
    response = ask(method=method, headers=own_page())
    if method in {"GET", "HEAD", "POST", "OPTIONS"}:
        assert response.status_code == PASSED
    else:
        assert is_refused(response, Refusal.NO_METHOD)
        assert response["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_without_a_route_table_nothing_is_found(ask: Ask, settings: Settings) -> None:
    settings.ROUTES_FILE = None
    assert is_refused(ask(), Refusal.NO_ROUTE)


# Paths and hosts ------------------------------------------------------------


@pytest.mark.parametrize("target", AMBIGUOUS)
def test_an_ambiguous_target_is_refused_before_the_session_is_asked(
    ask: Ask, target: str
) -> None:
    session = FakeSession(error=AssertionError("not to be read"))
    response = ask("/api/proxy/members/x", raw=target, session=session)
    assert is_refused(response, Refusal.BAD_PATH)


@pytest.mark.parametrize("path", [path for path in OTHER_SPELLINGS if path != PREFIX])
def test_another_spelling_of_the_prefix_is_refused(ask: Ask, path: str) -> None:
    assert is_refused(ask("/elsewhere", raw=path), Refusal.BAD_PATH)


@pytest.mark.parametrize("path", ["/api/proxy/members/%2e%2e/x", "/api/proxy//members"])
def test_a_server_that_hides_the_raw_target_gains_nothing(ask: Ask, path: str) -> None:
    assert is_refused(ask(path), Refusal.BAD_PATH)


def test_a_path_the_server_reads_otherwise_is_refused(ask: Ask) -> None:
    response = ask("/api/proxy/open/x", raw="/api/proxy/members/x")
    assert is_refused(response, Refusal.BAD_PATH)


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "a b", ""])
def test_a_foreign_host_is_refused(ask: Ask, host: str) -> None:
    assert is_refused(ask(HTTP_HOST=host), Refusal.BAD_HOST)


def test_a_host_is_accepted_for_as_long_as_the_settings_name_it(
    ask: Ask, settings: Settings
) -> None:
    assert not is_refused(ask(), Refusal.BAD_HOST)
    settings.ALLOWED_HOSTS = ["localhost"]
    assert is_refused(ask(), Refusal.BAD_HOST)
    settings.ALLOWED_HOSTS = ["testserver"]
    assert not is_refused(ask(), Refusal.BAD_HOST)


# Outages and accidents ------------------------------------------------------


@pytest.mark.parametrize("error", [StoreUnavailable("down"), StoreNotFenced("new")])
def test_a_store_outage_is_an_outage_and_not_a_logout(
    ask: Ask, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    response = ask(session=FakeSession(error=error))
    assert is_refused(response, Refusal.STORE_DOWN)
    assert response["Retry-After"] == "1"
    assert not response.cookies
    assert "cause=" not in caplog.text  # the one line is written where it was met


STEPS = [
    (judgement, "read_target"),
    (judgement, "Call"),
    (judgement, "decide"),
    (middleware, "wants_websocket"),
    (gate, "read_target"),
    (gate, "_live_session"),
    (gate, "_known_route"),
    (gate, "_refuse_method"),
    (gate, "_refuse_foreign_call"),
    (gate, "_refuse_code"),
    (gate, "current_routes"),
    (gate, "GatePass"),
]


@pytest.mark.parametrize(("place", "step"), STEPS)
def test_an_accident_in_any_step_denies(
    ask: Ask, place: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accident(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(place, step, accident)
    response = ask()
    assert is_refused(response, Refusal.FAILED)
    assert b"Zero" not in response.content


def test_a_profile_of_another_age_denies(ask: Ask) -> None:
    class Older(FakeSession):
        def get(self, key: str, default: Any = None) -> Any:
            return {"username": "kim", "groups": []}

    assert is_refused(ask(session=Older(KIM)), Refusal.FAILED)


def test_a_broken_route_table_denies(ask: Ask, routes: Path) -> None:
    routes.write_text("?", encoding="utf-8")
    forget_routes()
    assert is_refused(ask(), Refusal.FAILED)


def test_without_a_session_nothing_passes(routes: Path) -> None:
    request = RequestFactory().get("/api/proxy/members/1")
    response = GateAlone(lambda _: HttpResponse())(request)
    assert response.status_code == Refusal.FAILED.status


# Proof for unsafe methods ---------------------------------------------------

PROVEN = [
    own_page(),
    own_page(**{"Sec-Fetch-Site": "same-origin"}),
    own_page(Origin="http://localhost"),
    {PROOF_HEADER: "1", "Sec-Fetch-Site": "same-origin"},
]
UNPROVEN = [
    {},
    {PROOF_HEADER: "1"},
    {"Origin": "http://testserver"},
    {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"},
    own_page(**{PROOF_HEADER: ""}),
    own_page(**{PROOF_HEADER: "1, 1"}),
    own_page(Origin="null"),
    own_page(Origin=""),
    own_page(Origin="https://testserver"),
    own_page(Origin="http://testserver:8000"),
    own_page(Origin="http://testserver.evil.example"),
    own_page(Origin="http://evil.example"),
    own_page(**{"Sec-Fetch-Site": "same-site"}),
    own_page(**{"Sec-Fetch-Site": "cross-site"}),
    own_page(**{"Sec-Fetch-Site": "none"}),
    {PROOF_HEADER: "1", "Sec-Fetch-Site": "same-site"},
    {"X-CSRFToken": "x", "X-Requested-With": "XMLHttpRequest"},
]


@pytest.mark.parametrize("headers", PROVEN)
def test_an_unsafe_call_of_our_own_page_passes(
    ask: Ask, headers: dict[str, str]
) -> None:
    assert ask(method="POST", headers=headers).status_code == PASSED


@pytest.mark.parametrize("headers", UNPROVEN)
def test_an_unsafe_call_without_proof_is_refused(
    ask: Ask, headers: dict[str, str]
) -> None:
    assert is_refused(ask(method="POST", headers=headers), Refusal.NO_PROOF)


@pytest.mark.parametrize(
    ("site_url", "origin"),
    [
        ("https://site.example", "https://site.example"),
        ("https://Site.example:443/", "https://site.example"),
        ("https://site.example:8443", "https://site.example:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_behind_a_proxy_that_ends_tls_the_site_knows_its_own_name(
    ask: Ask, settings: Settings, site_url: str, origin: str
) -> None:
    settings.SITE_URL = site_url
    headers = own_page(Origin=origin)
    assert ask(method="POST", headers=headers).status_code == PASSED


@pytest.mark.parametrize("method", sorted(SAFE))
def test_a_read_needs_no_proof(ask: Ask, method: str) -> None:
    assert ask(method=method).status_code == PASSED


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_a_read_from_here_passes(ask: Ask, site: str) -> None:
    assert ask(headers={"Sec-Fetch-Site": site}).status_code == PASSED


@pytest.mark.parametrize("method", sorted(SAFE))
def test_a_read_from_another_site_is_refused(ask: Ask, method: str) -> None:
    response = ask(method=method, headers={"Sec-Fetch-Site": "cross-site"})
    assert is_refused(response, Refusal.CROSS_SITE)


@pytest.mark.parametrize("site", ["same-origin,same-origin", "none, cross-site", ","])
def test_a_read_from_two_sites_is_refused(ask: Ask, site: str) -> None:
    response = ask(headers={"Sec-Fetch-Site": site})
    assert is_refused(response, Refusal.CROSS_SITE)


@pytest.mark.parametrize("asked", ["", "other", "100-continue,100-continue"])
def test_what_nobody_can_promise_is_refused_before_the_session(
    ask: Ask, asked: str
) -> None:
    session = FakeSession(error=AssertionError("not to be read"))
    response = ask(session=session, headers={"Expect": asked})
    assert is_refused(response, Refusal.NO_EXPECT)
    assert ask(headers={"Expect": "100-Continue"}).status_code == PASSED


# Uses that an answer is not fit for ------------------------------------------


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "h2c, websocket"])
def test_a_websocket_is_refused_clearly(ask: Ask, upgrade: str) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": upgrade}
    own = {**headers, "Origin": "http://testserver"}
    assert is_refused(ask(headers=own), Refusal.NO_UPGRADE)
    assert is_refused(ask(headers=headers), Refusal.NO_PROOF)
    foreign = {**headers, "Origin": "https://evil.example"}
    assert is_refused(ask(headers=foreign), Refusal.NO_PROOF)


def test_another_upgrade_is_simply_not_taken_up(ask: Ask) -> None:
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}
    assert ask(headers=headers).status_code == PASSED


@pytest.mark.parametrize(
    "headers",
    [
        {"Service-Worker": "script"},
        {"Sec-Fetch-Dest": "serviceworker"},
        {"Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Dest": "worker"},
        {"Sec-Fetch-Dest": "style"},
        {"Sec-Fetch-Dest": "empty,script"},
        {"Sec-Fetch-Dest": "empty,empty"},
    ],
)
def test_an_answer_is_not_given_out_as_code(ask: Ask, headers: dict[str, str]) -> None:
    assert is_refused(ask(headers=headers), Refusal.NO_SCRIPT)


@pytest.mark.parametrize("use", ["empty", "image", "document", "video"])
def test_an_answer_may_be_shown(ask: Ask, use: str) -> None:
    assert ask(headers={"Sec-Fetch-Dest": use}).status_code == PASSED


# What is written down ---------------------------------------------------------


def test_a_refusal_of_note_is_logged_without_secrets(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    secret = {"Cookie": "session_id=secret", "Authorization": "secret"}
    ask("/api/proxy/members/1", profile=LEE, QUERY_STRING="secret", headers=secret)
    assert "gate_refused word=not-allowed" in caplog.text
    assert "session=sid-1" in caplog.text
    assert "secret" not in caplog.text


def test_a_refusal_of_note_waits_to_be_audited_and_another_does_not(
    ask: Ask, store: redis.Redis
) -> None:
    ask("/api/proxy/members/1", profile=LEE)
    ask("/api/proxy/nowhere/1", profile=LEE)
    ask("/api/proxy/members/1", profile=None)
    (entry,) = held(store)
    assert (entry.event, entry.reason) == (Event.CALL_REFUSED, "not-allowed")
    assert entry.details["path"] == "/api/proxy/members/1"


def held(store: redis.Redis) -> list[Entry]:
    """What waits in the store until SQL takes it."""
    sealed = store.hgetall(keys.HELD_ENTRIES).values()
    found = [json.loads(seal.unseal(keys.HELD_ENTRIES, each)) for each in sealed]
    return [Entry.from_json(content) for content in found]


def test_a_path_cannot_forge_a_line_in_the_log(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    ask("/api/proxy/members/%0agate_refused")
    assert len(caplog.text.splitlines()) == 1


def test_a_page_left_open_overnight_does_not_fill_the_log(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ask(profile=None)
    assert not caplog.text


def test_the_refusal_reaches_the_caller_and_not_the_view(routes: Path) -> None:
    def view(_: HttpRequest) -> HttpResponse:
        raise AssertionError

    request = RequestFactory().get("/api/proxy/members/1")
    request.session = FakeSession()  # type: ignore[assignment]
    assert GateAlone(view)(request).status_code == 401


WRITERS = """
[[route]]
name = "notes"
upstream = "http://h"
methods = ["GET", "POST"]
groups = ["support", "finance"]
write_groups = ["finance"]
"""


def test_who_may_read_may_not_yet_write(ask: Ask, routes: Path) -> None:
    routes.write_text(WRITERS, encoding="utf-8")
    forget_routes()
    own = own_page()
    path = "/api/proxy/notes/1"
    assert ask(path).status_code == PASSED
    assert is_refused(ask(path, method="POST", headers=own), Refusal.NOT_ALLOWED)
    assert ask(path, LEE, method="POST", headers=own).status_code == PASSED
