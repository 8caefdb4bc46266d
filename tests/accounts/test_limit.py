from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.sessions.backends.base import UpdateError
from pytest_django.fixtures import Settings

from accounts import limit
from accounts.models import AuditEntry
from accounts.profile import StaffProfile
from accounts.sessions import live
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import ISSUER, PROFILE, begin, is_live
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

PERSON = StaffProfile(**{**PROFILE, "groups": ("staff",)})


def sign_in() -> SessionStore:
    session = begin()
    limit.keep(PERSON, str(session.session_id))
    return session


def sign_in_later(travel: Travel) -> SessionStore:
    """Of two that began in the same millisecond neither is the older."""
    travel.shift(1)
    return sign_in()


def test_oldest_goes_out(settings: Settings, travel: Travel) -> None:
    settings.SESSIONS_PER_PERSON = 2
    found = [sign_in_later(travel) for _ in range(4)]
    assert [is_live(each) for each in found] == [False, False, True, True]
    entries = AuditEntry.objects.filter(event="session:limit-reached")
    ended = {entry.session_id for entry in entries}
    assert ended == {found[0].session_id, found[1].session_id}


def test_newest_is_refused(settings: Settings, travel: Travel) -> None:
    settings.SESSIONS_PER_PERSON = 2
    settings.SESSIONS_PER_PERSON_POLICY = "newest-refused"
    found = [sign_in_later(travel), sign_in_later(travel)]
    with pytest.raises(limit.LimitReached):
        sign_in_later(travel)
    assert all(map(is_live, found))


def test_other_people_do_not_count(settings: Settings) -> None:
    settings.SESSIONS_PER_PERSON = 1
    other, own = begin("u-2"), sign_in()
    assert is_live(other)
    assert is_live(own)


def test_no_limit_is_none(settings: Settings) -> None:
    settings.SESSIONS_PER_PERSON = 0
    assert all(is_live(each) for each in [sign_in() for _ in range(5)])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("policy", ["oldest-out", "newest-refused"])
def test_many_at_once_leave_no_more_than_the_limit(
    settings: Settings, policy: str
) -> None:
    settings.SESSIONS_PER_PERSON = 3
    settings.SESSIONS_PER_PERSON_POLICY = policy

    def one(_: int) -> None:
        try:
            session = begin()
        except UpdateError:  # another one found it listed, and was in before it
            return
        try:
            limit.keep(PERSON, str(session.session_id))
        except limit.LimitReached:
            session.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(12)))
    assert len(live.of_person(ISSUER, "u-1001")) == 3
