"""Sign-ins that somebody begins and nobody finishes."""

from __future__ import annotations

from django.test import Client as Browser
from pytest_django.fixtures import Settings
from social_django.models import Association, Nonce

from accounts.sso.begun import TIDY_SECONDS
from tests.accounts.sso.person import BEGIN, Person, assert_signed_in
from tests.conftest import Travel


def rows() -> tuple[int, int]:
    return Nonce.objects.count(), Association.objects.count()


def test_what_nobody_can_finish_any_more_is_removed_by_the_next_to_begin(
    person: Person, travel: Travel, settings: Settings
) -> None:
    for _ in range(20):
        Browser().post(BEGIN)
    assert rows() == (20, 20)
    travel.shift(settings.SESSION_SIGN_IN_SECONDS + TIDY_SECONDS)
    person.begin()
    assert rows() == (1, 1)


def test_what_can_still_be_finished_stays(person: Person, travel: Travel) -> None:
    back = person.begin()["Location"]
    travel.shift(TIDY_SECONDS + 1)
    Browser().post(BEGIN)
    assert rows() == (2, 2)
    assert_signed_in(person.come_back(person.authorize(back)), person)


def test_finished_sign_in_leaves_no_row_of_its_beginning(person: Person) -> None:
    person.sign_in()
    assert rows() == (0, 0)
