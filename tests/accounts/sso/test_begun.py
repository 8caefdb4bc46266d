"""Sign-ins that somebody begins and nobody finishes."""

from __future__ import annotations

import redis
from django.test import Client as Browser
from pytest_django.fixtures import Settings
from social_django.models import Association, Nonce

from accounts import keys
from accounts.sessions import live
from accounts.sso.begun import TIDY_SECONDS
from backoffice.demo.provider import Provider
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


def test_twenty_begun_live_ten_minutes_each_and_are_on_no_list(
    idp: Provider, store: redis.Redis, settings: Settings
) -> None:
    """SES-16."""
    for _ in range(20):
        Browser().post(BEGIN)
    kept = list(store.scan_iter(count=1000))
    assert len(kept) == len(list(store.scan_iter(keys.ANY_VALUE))) == 20
    lives = [store.ttl(name) for name in kept]
    assert min(lives) > 0
    assert max(lives) <= settings.SESSION_SIGN_IN_SECONDS == 600
    assert (live.count(), live.page()) == (0, [])


def test_twenty_begun_in_one_browser_are_one_session(
    person: Person, store: redis.Redis
) -> None:
    for _ in range(20):
        person.begin()
    assert len(list(store.scan_iter())) == 1


def test_key_that_the_browser_invented_is_never_taken_over(
    person: Person, store: redis.Redis
) -> None:
    """SES-03: neither for a sign-in that begins nor for the session it becomes."""
    invented = "1" * 32
    person.site.cookies["session_id"] = invented
    back = person.callback()
    begun = person.session_key
    assert begun != invented
    person.come_back(back)
    assert person.signed_in_as == person.sub
    assert person.session_key not in {invented, begun}
    assert not store.exists(keys.value(keys.session_id(invented)))
    assert not store.exists(keys.value(keys.session_id(str(begun))))
