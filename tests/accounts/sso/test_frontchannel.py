from __future__ import annotations

import logging
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import audit
from accounts.models import AuditEntry, Revocation
from tests.accounts.sessions.conftest import ISSUER, begin, is_live
from tests.accounts.sso.conftest import set_up
from tests.conftest import use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

PATH = "/sso/frontchannel-logout/"


@pytest.fixture(autouse=True)
def _is_on(settings: Settings) -> None:
    set_up(settings, issuer=ISSUER, frontchannel_logout=True)


def load(iss: str | None = ISSUER, sid: str | None = "s-1") -> HttpResponse:
    query = {
        key: value
        for key, value in {"iss": iss, "sid": sid}.items()
        if value is not None
    }
    return Client().get(f"{PATH}?{urlencode(query)}")


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    return [line for line in found if line.startswith(event)]


def test_frame_ends_the_session_without_any_cookie() -> None:
    ended, kept = begin("u-1", "s-1"), begin("u-1", "s-2")
    answer = load()
    assert (answer.status_code, answer.content) == (200, b"")
    assert (is_live(ended), is_live(kept)) == (False, True)
    entry = AuditEntry.objects.get()
    assert entry.event == audit.Event.LOGGED_OUT_BY_PROVIDER
    assert entry.reason == "front-channel logout"


def test_only_the_provider_may_frame_the_answer_and_nobody_may_store_it() -> None:
    answer = load()
    policy = answer["Content-Security-Policy"]
    assert policy == f"default-src 'none'; frame-ancestors {ISSUER}"
    assert "X-Frame-Options" not in answer
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies


def test_it_is_not_there_unless_it_is_switched_on(settings: Settings) -> None:
    set_up(settings, frontchannel_logout=False)
    session = begin("u-1", "s-1")
    answer = load()
    assert answer.status_code == 404
    assert answer["X-Frame-Options"] == "DENY"
    assert is_live(session)


@pytest.mark.parametrize(
    ("iss", "sid"),
    [(None, "s-1"), ("https://evil.example", "s-1"), (ISSUER, None), (ISSUER, "\0")],
)
def test_incomplete_or_foreign_request_ends_nothing(
    iss: str | None, sid: str | None
) -> None:
    session = begin("u-1", "s-1")
    assert load(iss, sid).status_code == 400
    assert is_live(session)


def test_sender_that_never_says_iss_is_put_up_with_where_that_is_set(
    settings: Settings,
) -> None:
    """Entra ID sends `sid` alone."""
    set_up(settings, logout_accepts_no_iss=True)
    session = begin("u-1", "s-1")
    assert load(iss="").status_code == 400
    assert is_live(session)
    assert load(iss=None).status_code == 200
    assert not is_live(session)


def test_sid_alone_of_two_such_senders_is_refused(settings: Settings) -> None:
    set_up(settings, logout_accepts_no_iss=True)
    (first,) = settings.PROVIDERS
    other = replace(first, name="partner", issuer="https://partner.example")
    settings.PROVIDERS = (first, other)
    session = begin("u-1", "s-1")
    assert load(iss=None).status_code == 400
    assert is_live(session)


def test_guessed_sid_leaves_nothing_in_the_ledger() -> None:
    assert load(sid="guessed").status_code == 200
    assert not Revocation.objects.exists()


def test_unknown_sid_is_logged_by_a_name_that_tells_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A provider that sends something else than it wrote into the ID token."""
    caplog.set_level(logging.INFO)
    begin("u-1", "s-1")
    load(sid="u-1")
    (line,) = lines(caplog, "frontchannel_logout_unknown")
    assert line.startswith("frontchannel_logout_unknown provider=oidc sid=")
    assert "u-1" not in line


def test_sid_that_is_known_is_not_logged_as_unknown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    begin("u-1", "s-1")
    load()
    assert lines(caplog, "frontchannel_logout_unknown") == []
    assert lines(caplog, "frontchannel_logout_accepted")


def test_nothing_is_ended_by_post() -> None:
    session = begin("u-1", "s-1")
    answer = Client().post(PATH, {"iss": ISSUER, "sid": "s-1"})
    assert answer.status_code == 405
    assert is_live(session)


def test_store_that_is_away_is_503(settings: Settings) -> None:
    use_store(settings, "redis://127.0.0.1:1/0")
    assert load().status_code == 503
    assert not Revocation.objects.exists()
