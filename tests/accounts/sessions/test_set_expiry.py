"""`set_expiry` makes a life shorter, for good, and never longer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from django.contrib.sessions.backends.base import UpdateError
from django.utils import timezone

from accounts import keys
from accounts.sessions import amend, census, clock, index, live
from accounts.sessions.record import Record
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import again, begin, is_live
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

TEN_MINUTES = 600


def limited(value: Any) -> SessionStore:
    """A live session on which a later request has called `set_expiry`."""
    session = again(begin())
    session.set_expiry(value)
    session.save()
    return session


def record_of(session: SessionStore) -> Record:
    record = again(session).record
    assert record is not None
    return record


def in_ten_minutes() -> datetime:
    return timezone.now() + timedelta(seconds=TEN_MINUTES)


# What shortens ----------------------------------------------------------------------


def test_seconds_shorten_the_idle_limit(travel: Travel) -> None:
    session = limited(TEN_MINUTES)
    for _ in range(5):
        travel.shift(TEN_MINUTES - 5)
        assert is_live(session)
    travel.shift(TEN_MINUTES + 1)
    assert not is_live(session)


@pytest.mark.parametrize(
    "value",
    [
        in_ten_minutes,
        lambda: timezone.make_naive(in_ten_minutes()),
        lambda: timedelta(seconds=TEN_MINUTES),
    ],
    ids=["moment", "moment-without-zone", "time-from-now"],
)
def test_a_moment_shortens_the_absolute_limit(
    travel: Travel, value: Callable[[], Any]
) -> None:
    session = limited(value())
    for _ in range(5):
        travel.shift(TEN_MINUTES // 6)
        assert is_live(session)
    travel.shift(TEN_MINUTES // 6 + 1)
    assert not is_live(session)


@pytest.mark.parametrize(
    "value", [-1, timedelta(seconds=-1), timedelta(0), datetime(2020, 1, 1)]
)
def test_a_moment_that_has_passed_ends_the_session(value: Any) -> None:
    session, other = limited(value), begin()
    assert not is_live(session)
    assert [each.id for each in live.page()] == [other.session_id]
    assert live.count() == 1


def test_short_idle_limit_does_not_end_a_session_in_use(travel: Travel) -> None:
    session = limited(30)
    for _ in range(5):
        travel.shift(20)
        assert is_live(session)
    travel.shift(31)
    assert not is_live(session)


def test_value_and_list_have_the_earlier_end(store: redis.Redis) -> None:
    session = limited(TEN_MINUTES)
    record = record_of(session)
    end = store.pexpiretime(record.name)
    assert end <= clock.milliseconds(clock.now() + TEN_MINUTES)
    assert store.zscore(keys.BY_END, bytes.fromhex(record.id)) == end
    person, entry = index.entry_of(str(record.person), record.id)
    assert store.zscore(person, entry) == end
    listed = live.find(record.id)
    assert listed is not None
    assert abs(listed.last_used.timestamp() - clock.now()) < 60


# What does not ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [0, None, 10**6, timedelta(days=30), datetime(2100, 1, 1)],
    ids=str,
)
def test_life_is_never_lengthened(value: Any) -> None:
    session = begin()
    before = record_of(session)
    session = again(session)
    session.set_expiry(value)
    session.save()
    assert record_of(session) == before


@pytest.mark.parametrize("value", [0, None, 1200, timedelta(hours=7)], ids=str)
def test_what_was_shortened_stays_so(value: Any) -> None:
    session = limited(TEN_MINUTES)
    session.set_expiry(timedelta(hours=1))
    session.save()
    before = record_of(session)
    session.set_expiry(value)
    session.save()
    later = again(session)
    later.set_expiry(value)
    later.save()
    assert record_of(later) == before


# What comes after -------------------------------------------------------------------


def test_saves_uses_and_changes_by_others_keep_it(travel: Travel) -> None:
    session = limited(TEN_MINUTES)
    session.set_expiry(timedelta(hours=1))
    session.save()
    before = record_of(session)
    travel.shift(120)
    later = again(session)
    later["x"] = 1
    later.save()
    amend.amend(before.id, lambda data: {**data, "y": 2})
    after = record_of(session)
    assert (after.ends, after.idle) == (before.ends, TEN_MINUTES)


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_new_key_keeps_it(is_saved: bool) -> None:
    session = limited(TEN_MINUTES)
    session.set_expiry(timedelta(hours=1))
    if is_saved:
        session.save()
    session.cycle_key()
    after = record_of(session)
    assert after.idle == TEN_MINUTES
    assert after.ends <= clock.now() + 3600
    session = again(session)
    session.renew({"z": 3}, None)
    assert record_of(session).ends == after.ends


def test_a_writer_that_read_the_longer_limits_keeps_the_shorter(
    travel: Travel,
) -> None:
    session = begin()
    late = again(session)
    late.open()
    shorter = again(session)
    shorter.set_expiry(TEN_MINUTES)
    shorter.save()
    late["x"] = 1
    late.save()
    assert record_of(session).idle == TEN_MINUTES
    travel.shift(TEN_MINUTES + 1)
    assert not is_live(session)


def test_the_shorter_of_two_at_once_wins() -> None:
    session = begin()
    one, other = again(session), again(session)
    for each, seconds in ((one, TEN_MINUTES), (other, 1200)):
        each.set_expiry(seconds)
        each["x"] = seconds
    one.save()
    other.save()
    assert record_of(session).idle == TEN_MINUTES


def test_a_use_by_who_read_the_longer_limits_moves_nothing(
    store: redis.Redis, travel: Travel
) -> None:
    """Else the store's expiry would lie beyond the limit, as if it had been planted."""
    session = begin()
    travel.shift(120)
    late = SessionStore(session.session_key)
    late._touch = lambda: None  # type: ignore[method-assign]
    late.open()
    shorter = again(session)
    shorter.set_expiry(TEN_MINUTES)
    shorter.save()
    end = store.pexpiretime(record_of(session).name)
    SessionStore._touch(late)
    assert store.pexpiretime(record_of(session).name) == end
    assert is_live(session)


def test_a_session_that_was_killed_meanwhile_stays_dead() -> None:
    session = begin()
    late = again(session)
    late.set_expiry(TEN_MINUTES)
    live.end([str(session.session_id)], by="desk")
    with pytest.raises(UpdateError):
        late.save()
    assert not is_live(session)


def test_list_and_store_agree_afterwards() -> None:
    limited(TEN_MINUTES)
    limited(timedelta(seconds=TEN_MINUTES))
    limited(-1)
    assert census.check() == census.Census(live=2)


# What it says -----------------------------------------------------------------------


def test_age_and_date_tell_the_shorter_limit_before_and_after_the_save() -> None:
    session = again(begin())
    session.open()
    assert session.get_expiry_age() > TEN_MINUTES
    session.set_expiry(TEN_MINUTES)
    for each in (session, limited(TEN_MINUTES)):
        each.open()
        assert TEN_MINUTES - 60 <= each.get_expiry_age() <= TEN_MINUTES
        assert each.get_expiry_date() <= in_ten_minutes()
        assert each.get_expire_at_browser_close()


def test_a_session_without_a_person_is_shortened_too(travel: Travel) -> None:
    session = SessionStore()
    session["x"] = 1
    session.set_expiry(60)
    session.save()
    assert again(session).record
    travel.shift(61)
    assert again(session).record is None
