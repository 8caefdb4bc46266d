from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry
from accounts.sessions import live
from backoffice.demo.provider import Provider
from tests.accounts.sso.person import Person


def people(idp: Provider, number: int) -> list[Person]:
    return [Person(idp) for _ in range(number)]


def test_sign_in_beyond_the_limit_ends_the_oldest(
    idp: Provider, settings: Settings
) -> None:
    settings.SESSIONS_PER_PERSON = 1
    first, second = people(idp, 2)
    first.sign_in()
    second.sign_in()
    assert (first.signed_in_as, second.signed_in_as) == (None, second.sub)
    said = first.site.get("/sign-in/").content.decode()
    assert "as many sessions open as one person may have" in said


def test_sign_in_beyond_the_limit_is_refused_where_that_is_wanted(
    idp: Provider, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SESSIONS_PER_PERSON = 1
    settings.SESSIONS_PER_PERSON_POLICY = "newest-refused"
    first, second = people(idp, 2)
    first.sign_in()
    answer = second.sign_in()
    assert answer.status_code == 403
    assert "You are signed in too often" in answer.content.decode()
    assert (first.signed_in_as, second.signed_in_as) == (first.sub, None)
    assert live.count() == 1
    assert AuditEntry.objects.get(event="sign-in:refused").reason == "too-many-sessions"


def test_signing_in_again_in_the_same_browser_needs_no_second_place(
    idp: Provider, settings: Settings
) -> None:
    settings.SESSIONS_PER_PERSON = 1
    settings.SESSIONS_PER_PERSON_POLICY = "newest-refused"
    person = Person(idp)
    assert person.sign_in().status_code == 302
    assert person.sign_in().status_code == 302
    assert person.signed_in_as == person.sub
