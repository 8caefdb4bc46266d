from __future__ import annotations

import pytest
from django.test import Client

from accounts.audit import Event
from accounts.models import AuditEntry, User
from accounts.sessions import audit_copy
from tests.accounts.sessions.conftest import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def test_forged_form_of_somebody_signed_in_is_refused_and_recorded(
    browser: Client, user: User
) -> None:
    session = sign_in(browser, user)
    for _ in range(3):
        answer = browser.post("/sign-out/", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
    assert audit_copy.settle() == 1
    entry = AuditEntry.objects.get()
    assert (entry.event, entry.reason) == (Event.CALL_REFUSED, "csrf")
    assert entry.session_id == session.session_id
    assert entry.details == {"method": "POST", "path": "/sign-out/"}


def test_forged_form_of_a_stranger_is_refused_and_leaves_nothing(
    browser: Client,
) -> None:
    assert browser.post("/sign-out/").status_code == 403
    assert audit_copy.settle() == 0
