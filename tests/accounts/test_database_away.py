"""SQL cannot even be read: signing out and ending sessions go on, pages are 503."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DataError, InternalError, OperationalError
from django.test import Client

from accounts import devices
from accounts.database_away import is_away
from accounts.models import AuditEntry, Revocation, SeenDevice, User
from accounts.profile import StaffProfile
from accounts.sessions import ledger, live
from accounts.sessions.connections import answering
from accounts.sessions.middleware import RETRY_AFTER_SECONDS
from tests.accounts.sessions.conftest import ISSUER, PROFILE, begin, is_live, sign_in
from tests.accounts.sso.test_sql_away import file, in_file
from tests.accounts.test_devices import LAPTOP, PHONE, browser_of, session_on

__all__ = ["file"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

Gone = Callable[[], AbstractContextManager[None]]
PAGES = ["/", "/sessions/", "/admin/", "/admin/accounts/livesession/", "/language/"]
SIGNED = re.compile(r'name="signed" value="([^"]+)"')


@pytest.fixture
def gone(file: Path) -> Gone:
    """Every connection to SQL fails as long as this context lasts."""

    @contextmanager
    def away() -> Iterator[None]:
        # Later the store could not be believed: that takes SQL once.
        with answering():
            ledger.raise_fence()
        with in_file(str(file.parent / "no-such-folder" / "db.sqlite3")):
            yield

    return away


@pytest.fixture
def staff(file: Path) -> User:
    """A person with an account in that file who may enter the security desk."""
    user = User.objects.enter(StaffProfile(**{**PROFILE, "groups": ("staff",)}))[0]
    user.is_staff = user.is_superuser = True
    user.save()
    return user


# Pages ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("language", "heading"),
    [("en", "This page is not available right now"), ("ko", "지금은 이 페이지")],
)
def test_page_without_sql_is_503_with_our_own_page(
    gone: Gone, staff: User, client: Client, path: str, language: str, heading: str
) -> None:
    session = sign_in(client, staff)
    with gone():
        response = client.get(path, headers={"accept-language": language})
    page = response.content.decode()
    assert (response.status_code, heading in page) == (503, True)
    assert response["Retry-After"] == str(RETRY_AFTER_SECONDS)
    assert "no-store" in response["Cache-Control"]
    assert response["X-Request-Id"] in page
    assert settings.SESSION_COOKIE_NAME not in response.cookies
    assert is_live(session)


def test_page_that_fails_in_the_view_is_503(
    staff: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQL goes away between the account and what the page lists."""

    def lost(*args: object) -> None:
        raise OperationalError

    sign_in(client, staff)
    monkeypatch.setattr(devices, "unanswered", lost)
    client.raise_request_exception = False
    assert client.get("/").status_code == 503


def test_only_an_outage_is_taken_for_one() -> None:
    read_only = InternalError()
    read_only.__cause__ = type("Cause", (Exception,), {"sqlstate": "25006"})()
    assert is_away(OperationalError())
    assert is_away(read_only)
    assert not is_away(InternalError())
    assert not is_away(DataError())


def test_statement_that_is_wrong_is_no_outage(
    staff: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*args: object) -> None:
        raise DataError

    sign_in(client, staff)
    monkeypatch.setattr(devices, "unanswered", wrong)
    client.raise_request_exception = False
    assert client.get("/").status_code == 500


# Ends -------------------------------------------------------------------------------


def test_sign_out_without_sql_ends_the_session_and_is_recorded_afterwards(
    gone: Gone, staff: User, client: Client
) -> None:
    session = sign_in(client, staff)
    with gone():
        response = client.post("/sign-out/")
        assert response.status_code == 302
        assert client.get(response["Location"]).status_code == 200
        assert not is_live(session)
    assert not AuditEntry.objects.filter(event="session:signed-out").exists()
    live.settle()
    entry = AuditEntry.objects.get(event="session:signed-out")
    assert (entry.actor, entry.session_id) == ("haneul", session.session_id)
    assert Revocation.objects.get().target == session.session_id


@pytest.mark.parametrize("one", [True, False])
def test_other_sessions_end_without_sql_and_are_recorded_afterwards(
    gone: Gone, staff: User, client: Client, one: bool
) -> None:
    own, other, theirs = sign_in(client, staff), begin(staff.sub), begin("u-2")
    path = f"/sessions/{other.session_id}/end/" if one else "/sessions/end-others/"
    with gone():
        response = client.post(path, headers={"accept-language": "ko"})
        assert [is_live(each) for each in (own, other, theirs)] == [True, False, True]
    page = response.content.decode()
    assert (response.status_code, "세션 1개를 종료했습니다." in page) == (200, True)
    live.settle()
    assert AuditEntry.objects.get(event="session:ended").session_id == other.session_id
    assert Revocation.objects.get().target == other.session_id


def test_session_of_somebody_else_is_not_ended_without_sql(
    gone: Gone, staff: User, client: Client
) -> None:
    sign_in(client, staff)
    theirs = begin("u-2")
    with gone():
        client.post(f"/sessions/{theirs.session_id}/end/")
    assert is_live(theirs)


def test_visitor_without_a_session_is_sent_to_sign_in_without_sql(
    gone: Gone, client: Client
) -> None:
    with gone():
        response = client.post("/sessions/end-others/")
    assert response["Location"].startswith("/sign-in/")


# A new device -----------------------------------------------------------------------


def test_new_device_is_denied_without_sql_and_settled_afterwards(
    gone: Gone, staff: User
) -> None:
    owner, own = browser_of(staff, LAPTOP)
    phone = session_on(staff, PHONE)
    device = SeenDevice.objects.get(is_answered=False)
    signed = SIGNED.findall(owner.get("/").content.decode())[0]
    with gone():
        response = owner.post(f"/devices/{device.pk}/unknown/", {"signed": signed})
        assert "1 session ended." in response.content.decode()
        assert [is_live(own), is_live(phone)] == [True, False]
    live.settle()
    entry = AuditEntry.objects.get(event="session:device-denied")
    assert entry.details == {"device": device.kind, "ended": 1}
    # The person is not asked once more, and the next sign-in there is news again.
    assert "/unknown/" not in owner.get("/").content.decode()
    assert not SeenDevice.objects.filter(pk=device.pk).exists()


def test_device_that_signs_in_after_the_denial_is_news(gone: Gone, staff: User) -> None:
    owner, _ = browser_of(staff, LAPTOP)
    session_on(staff, PHONE)
    device = SeenDevice.objects.get(is_answered=False)
    with gone():
        owner.post(f"/devices/{device.pk}/unknown/", {"signed": device.signed})
    live.settle()
    session_on(staff, PHONE)
    assert "/unknown/" in owner.get("/").content.decode()


@pytest.mark.parametrize("how", ["absent", "forged", "another", "somebody-else"])
def test_device_that_is_not_vouched_for_ends_nothing_without_sql(
    gone: Gone, staff: User, how: str
) -> None:
    owner, _ = browser_of(staff, LAPTOP)
    phone = session_on(staff, PHONE)
    device = SeenDevice.objects.get(is_answered=False)
    stranger = User(pk=staff.pk + 1, issuer=ISSUER, sub="u-2")
    signed = {
        "absent": "",
        "forged": device.signed[:-1],
        "another": SeenDevice(pk=device.pk + 1, user=staff, kind=device.kind).signed,
        "somebody-else": SeenDevice(
            pk=device.pk, user=stranger, kind=device.kind
        ).signed,
    }[how]
    with gone():
        response = owner.post(f"/devices/{device.pk}/unknown/", {"signed": signed})
        assert response.status_code == 503
    assert is_live(phone)


def test_device_is_not_denied_from_itself_without_sql(gone: Gone, staff: User) -> None:
    browser_of(staff, LAPTOP)
    thief, _ = browser_of(staff, PHONE)
    other = session_on(staff, PHONE)
    device = SeenDevice.objects.get(is_answered=False)
    with gone():
        thief.post(f"/devices/{device.pk}/unknown/", {"signed": device.signed})
    assert is_live(other)
