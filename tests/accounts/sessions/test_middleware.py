from __future__ import annotations

import logging

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from accounts import suspension
from accounts.models import User
from accounts.sessions import live
from accounts.sessions.middleware import (
    RETRY_AFTER_SECONDS,
    SessionMiddleware,
    delete_cookie,
    read_cookie,
    set_cookie,
)
from accounts.sessions.store import SessionStore
from accounts.suspension import Person
from tests.accounts.sessions.conftest import again, begin, sign_in
from tests.conftest import use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

NOWHERE = "redis://127.0.0.1:1/0"


def test_visitor_without_a_cookie_costs_nothing(client: Client, store) -> None:  # type: ignore[no-untyped-def]
    answer = client.get("/sign-in/")
    assert answer.status_code == 200
    assert "session_id" not in answer.cookies
    assert store.dbsize() == 0


def test_page_with_a_live_session_sets_no_cookie(client: Client, user: User) -> None:
    sign_in(client, user)
    answer = client.get("/")
    assert answer.status_code == 200
    assert "session_id" not in answer.cookies
    assert "no-store" in answer["Cache-Control"]
    assert "Cookie" in answer["Vary"]


@pytest.mark.parametrize("path", ["/", "/sessions/", "/admin/", "/sign-in/"])
def test_store_down_is_503_and_keeps_the_cookie(
    client: Client, user: User, settings: Settings, path: str
) -> None:
    session = sign_in(client, user)
    url = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, NOWHERE)
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer["Retry-After"] == str(RETRY_AFTER_SECONDS)
    assert not answer.cookies
    use_store(settings, url)
    assert client.get("/").status_code == 200
    assert SessionStore(session.session_key).record


def test_store_down_leaves_public_pages_and_probes_alone(
    client: Client, settings: Settings
) -> None:
    use_store(settings, NOWHERE)
    assert client.get("/sign-in/").status_code == 200
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_outage_is_one_log_line_with_a_cause(
    client: Client, user: User, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    sign_in(client, user)
    use_store(settings, NOWHERE)
    with caplog.at_level(logging.WARNING, "accounts.sessions"):
        client.get("/")
    lines = [r.message for r in caplog.records if "cause=" in r.message]
    assert len(lines) == 1
    assert "unreachable" in lines[0]


def test_killed_while_a_request_runs_is_signed_out_not_revived(
    client: Client, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sign_in(client, admin)
    save = SessionStore.save

    def killed_first(self: SessionStore, must_create: bool = False) -> None:
        live.end([str(session.session_id)], by="admin")
        save(self, must_create)

    monkeypatch.setattr(SessionStore, "save", killed_first)
    answer = client.post("/admin/accounts/livesession/end/")
    assert answer["Location"] == "/sign-in/"
    monkeypatch.undo()
    assert SessionStore(session.session_key).record is None


@pytest.mark.parametrize(
    "header",
    [
        "session_id={key}; session_id={key}",
        "session_id={key}; session_id=other",
        "session_id=other; session_id={key}",
        'session_id="{key}"',
        "session_id={key}x",
        "Session_id={key}",
    ],
)
def test_doubled_or_malformed_cookie_is_no_session(user: User, header: str) -> None:
    session = sign_in(Client(), user)
    client = Client()
    answer = client.get("/", HTTP_COOKIE=header.format(key=session.session_key))
    assert answer.status_code == 302
    assert SessionStore(session.session_key).record


@pytest.mark.parametrize("value", ["", "a" * 31, "a" * 33, "A" * 32, "a" * 31 + "*"])
def test_cookie_of_another_form_is_not_even_read(value: str) -> None:
    """What it says goes into names in the store and look-ups in SQL."""
    request = RequestFactory().get("/", HTTP_COOKIE=f"session_id={value}")
    assert read_cookie(request) is None


@pytest.mark.parametrize(
    ("status", "is_kept"), [(200, True), (403, True), (500, False)]
)
def test_request_that_failed_leaves_the_session_as_it_was(
    status: int, is_kept: bool
) -> None:
    session = begin()

    def view(request: HttpRequest) -> HttpResponse:
        request.session["half"] = "done"
        return HttpResponse(status=status)

    cookie = f"session_id={session.session_key}"
    SessionMiddleware(view)(RequestFactory().get("/", HTTP_COOKIE=cookie))
    assert again(session).get("half") == ("done" if is_kept else None)


def test_dead_cookie_is_left_alone(client: Client) -> None:
    client.cookies["session_id"] = "0" * 32
    answer = client.get("/")
    assert answer.status_code == 302
    assert not answer.cookies


@pytest.mark.parametrize("is_secure", [True, False])
def test_cookie_is_for_this_host_and_no_script(
    settings: Settings, is_secure: bool
) -> None:
    """`__Host-` promises the browser Secure, Path=/ and no Domain (RFC 6265bis)."""
    settings.SESSION_COOKIE_SECURE = is_secure
    response = HttpResponse()
    for change in (
        lambda: set_cookie(response, "k" * 32),
        lambda: delete_cookie(response),
    ):
        change()
        morsel = response.cookies[settings.SESSION_COOKIE_NAME]
        assert bool(morsel["secure"]) is is_secure
        assert morsel["httponly"] is True
        assert (morsel["path"], morsel["domain"]) == ("/", "")
        assert morsel["samesite"] == "Lax"


def test_signing_out_deletes_the_cookie(client: Client, user: User) -> None:
    session = sign_in(client, user)
    answer = client.post("/sign-out/")
    assert answer.cookies["session_id"]["max-age"] == 0
    assert SessionStore(session.session_key).record is None


def test_suspended_person_loses_their_sessions_at_once(
    client: Client, user: User
) -> None:
    session = sign_in(client, user)
    suspension.suspend(Person.of(user), by="desk", reason="left")
    assert SessionStore(session.session_key).record is None
    assert client.get("/").status_code == 302


def test_taken_admin_rights_end_the_sessions(client: Client, admin: User) -> None:
    session = sign_in(client, admin)
    loaded = User.objects.get(pk=admin.pk)
    loaded.is_staff = False
    loaded.save()
    assert SessionStore(session.session_key).record is None


def test_other_changes_of_an_account_end_nothing(client: Client, admin: User) -> None:
    session = sign_in(client, admin)
    loaded = User.objects.get(pk=admin.pk)
    loaded.name = "Another Name"
    loaded.save()
    assert SessionStore(session.session_key).record


def test_deleted_account_loses_its_sessions_at_once(client: Client, user: User) -> None:
    session = sign_in(client, user)
    user.delete()
    assert SessionStore(session.session_key).record is None
