from __future__ import annotations

import pytest
from django.test import Client

from accounts import history
from accounts.audit import Event, record
from accounts.models import User
from accounts.profile import StaffProfile
from tests.accounts.sessions.conftest import PROFILE, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

PERSON = StaffProfile(**{**PROFILE, "groups": ("staff",)})


def entered(event: Event, **details: object) -> None:
    record(event, subject=PERSON.username, address="9.9.9.9", details=details)


def events() -> list[str]:
    return [each.event for each in history.sign_ins_of(PERSON, "oidc")]


def test_own_sign_ins_and_refusals_the_newest_first() -> None:
    entered(Event.SIGNED_IN, profile=PROFILE)
    entered(Event.SIGN_IN_REFUSED, provider="oidc")
    assert events() == ["sign-in:refused", "session:signed-in"]


def test_somebody_of_the_same_user_name_elsewhere_is_somebody_else() -> None:
    entered(Event.SIGNED_IN, profile={**PROFILE, "issuer": "https://other.example"})
    entered(Event.SIGNED_IN, profile={**PROFILE, "sub": "u-2"})
    entered(Event.SIGN_IN_REFUSED, provider="other")
    assert events() == []


def test_no_more_than_the_last_few() -> None:
    for _ in range(history.SIGN_INS_SHOWN + 3):
        entered(Event.SIGNED_IN, profile=PROFILE)
    assert len(events()) == history.SIGN_INS_SHOWN


def test_page_shows_them_with_their_place(client: Client, user: User) -> None:
    entered(Event.SIGN_IN_REFUSED, provider="oidc")
    sign_in(client, user)
    page = client.get("/sessions/").content.decode()
    assert "Sign-in refused" in page
    assert "9.9.9.9" in page


def test_groups_that_a_renewal_changed_are_told() -> None:
    entered(Event.RENEWED, groups_won=["support"], groups_lost=["finance", "legal"])
    record(Event.RENEWED, session_id="a" * 24, details={"groups_won": ["support"]})
    (moment,) = history.of_session("a" * 24)
    assert moment.groups == "+support"


def test_every_event_has_words() -> None:
    assert [event for event in Event if event not in history.WORDS] == []
