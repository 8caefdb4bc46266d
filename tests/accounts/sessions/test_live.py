from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
import redis
import time_machine
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import AuditEntry, Revocation, User
from accounts.sessions import census, index, ledger, live
from accounts.sessions.errors import StoreUnavailable
from accounts.sessions.live import Order
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import ISSUER, begin, is_live
from tests.conftest import Travel, use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

NOWHERE = "redis://127.0.0.1:1/0"


def ids(*sessions: SessionStore) -> list[str]:
    return [str(session.session_id) for session in sessions]


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL is away."""
    refuse_sql(monkeypatch)


def refuse_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write fails as it does when SQL is away."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(Revocation.objects, "bulk_create", refuse)
    monkeypatch.setattr(AuditEntry.objects, "bulk_create", refuse)


def test_list_shows_every_live_session_once(travel: Travel) -> None:
    sessions = []
    for number in range(5):
        sessions.append(begin(f"u-{number}"))
        travel.shift(1)
    assert live.count() == 5
    assert [s.id for s in live.page()] == ids(*reversed(sessions))


def test_list_pages_and_orders(travel: Travel) -> None:
    sessions = []
    for number in range(5):
        sessions.append(begin(f"u-{number}"))
        travel.shift(1)
    newest_first = ids(*reversed(sessions))
    assert [s.id for s in live.page(Order.START, 0, 2)] == newest_first[:2]
    assert [s.id for s in live.page(Order.START, 2, 2)] == newest_first[2:4]
    soonest = live.page(Order.END, 0, 5, descending=False)
    assert [s.id for s in soonest] == ids(*sessions)


def test_use_moves_a_session_up(travel: Travel) -> None:
    first, second = begin("u-1"), begin("u-2")
    travel.shift(120)
    assert is_live(first)
    assert [s.id for s in live.page(Order.LAST_USE)] == ids(first, second)
    assert [s.id for s in live.page(Order.START)] == ids(second, first)


def test_expired_session_leaves_list_and_count(
    travel: Travel, settings: Settings
) -> None:
    begin("u-1")
    travel.shift(settings.SESSION_IDLE_SECONDS - 60)
    stays = begin("u-2")
    travel.shift(61)
    assert live.count() == 1
    assert [s.id for s in live.page()] == ids(stays)


def test_find_knows_only_live_sessions_and_only_ids() -> None:
    session = begin()
    found = live.find(str(session.session_id))
    assert found is not None
    assert found.profile.sub == "u-1001"
    assert live.find(str(session.session_key)) is None
    assert live.find("a" * 24) is None


def test_end_kills_exactly_those() -> None:
    victim, other = begin("u-1"), begin("u-2")
    outcome = live.end(ids(victim), by="admin", reason="theft")
    assert outcome.ended == ids(victim)
    assert (outcome.pending, outcome.durable) == (False, True)
    assert not is_live(victim)
    assert is_live(other)
    assert live.count() == 1


def test_end_is_in_the_ledger_and_in_the_audit() -> None:
    victim = begin()
    live.end(ids(victim), by="admin", reason="theft")
    row = Revocation.objects.get()
    assert (row.target, row.by, row.reason) == (
        victim.session_id or row.target,
        "admin",
        "theft",
    )
    entry = AuditEntry.objects.get(event="session:killed")
    assert (entry.actor, entry.subject, entry.reason) == ("admin", "haneul", "theft")


def test_second_kill_is_told_already_gone() -> None:
    victim = begin()
    wanted = ids(victim)
    assert live.end(wanted, by="one").ended == wanted
    second = live.end(wanted, by="two")
    assert (second.ended, second.already_gone) == ([], wanted)


def test_end_refuses_what_is_not_an_id() -> None:
    session = begin()
    with pytest.raises(ValueError, match="not a session id"):
        live.end([str(session.session_key)], by="admin")


def test_end_person_ends_all_of_one_and_none_of_others(user: User) -> None:
    mine = [begin(user.sub) for _ in range(3)]
    other = begin("somebody-else")
    outcome = live.end_person(user, by="admin")
    assert sorted(outcome.ended) == sorted(ids(*mine))
    assert not any(is_live(session) for session in mine)
    assert is_live(other)
    assert live.of_person(user.issuer, user.sub) == []


def test_person_may_sign_in_again_after_a_kill(user: User, travel: Travel) -> None:
    begin(user.sub)
    live.end_person(user, by="admin")
    travel.shift(1)
    again = begin(user.sub)
    ledger.replay()
    assert is_live(again)


def test_end_origin_ends_what_stems_from_it() -> None:
    one, two = begin("u-1", sid="s-1"), begin("u-1", sid="s-2")
    elsewhere = begin("u-2", sid="s-1x")
    live.end_origin(ISSUER, "s-1", by="provider")
    live.end_origin("https://another.example", "s-2", by="provider")
    assert [is_live(s) for s in (one, two, elsewhere)] == [False, True, True]


def test_cutoff_ends_everyone_who_began_before(travel: Travel) -> None:
    before = [begin(f"u-{number}") for number in range(3)]
    travel.shift(1)
    outcome = live.end_everyone(by="admin", reason="breach")
    travel.shift(1)
    after = begin("u-9")
    assert not any(is_live(session) for session in before)
    assert is_live(after)
    assert outcome.durable
    live.clear_up()
    assert live.count() == 1
    assert [s.id for s in live.page()] == ids(after)


def test_cutoff_ends_who_began_within_the_same_millisecond() -> None:
    """K9: nobody can tell which was first, so it is the kill that wins."""
    with time_machine.travel(int(time.time()) + 0.0004, tick=False):
        session = begin()
        live.end_everyone(by="admin")
        assert not is_live(session)
        live.clear_up()
        assert (live.count(), live.page()) == (0, [])


def test_store_down_kill_is_recorded_and_takes_effect_before_the_first_read(
    settings: Settings,
) -> None:
    victim, other = begin("u-1"), begin("u-2")
    wanted = ids(victim)
    url = settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, NOWHERE)
    outcome = live.end(wanted, by="admin")
    assert (outcome.pending, outcome.durable, outcome.ended) == (True, True, [])
    use_store(settings, url)
    assert not is_live(victim)
    assert is_live(other)


@pytest.mark.usefixtures("no_database")
def test_database_down_kill_happens_and_is_told_not_durable() -> None:
    victim = begin()
    outcome = live.end(ids(victim), by="admin")
    assert not outcome.durable
    assert not is_live(victim)


def test_kill_that_was_not_durable_is_written_when_sql_is_back(
    monkeypatch: pytest.MonkeyPatch, store: redis.Redis
) -> None:
    victim = begin()
    with monkeypatch.context() as away:
        refuse_sql(away)
        live.end(ids(victim), by="admin", reason="theft")
    assert Revocation.objects.count() == 0
    assert live.settle() == 1
    assert live.settle() == 0
    row = Revocation.objects.get()
    assert (row.by, row.reason) == ("admin", "theft")
    assert not store.exists(keys.UNWRITTEN)


@pytest.mark.usefixtures("no_database")
def test_held_kill_names_nobody_in_the_store(store: redis.Redis) -> None:
    live.end(ids(begin()), by="the-admin", reason="theft")
    assert b"the-admin" not in (store.dump(keys.UNWRITTEN) or b"")


@pytest.mark.usefixtures("no_database")
def test_both_down_kill_is_refused_loudly(settings: Settings) -> None:
    victim = begin()
    wanted = ids(victim)
    use_store(settings, NOWHERE)
    with pytest.raises(StoreUnavailable):
        live.end(wanted, by="admin")


def test_purge_tells_how_many_entries_went(travel: Travel, settings: Settings) -> None:
    for number in range(3):
        begin(f"u-{number}")
    travel.shift(settings.SESSION_IDLE_SECONDS + 1)
    assert live.count_dead() == 3
    assert live.purge() == 3
    assert live.purge() == 0


def test_listing_takes_a_dead_entry_off_the_index(
    store: redis.Redis, travel: Travel
) -> None:
    session = begin()
    store.delete(keys.value(str(session.session_id)))
    travel.shift(index.FRESH_SECONDS + 1)
    assert live.page() == []
    assert live.count() == 0


def test_listing_while_a_session_is_being_written_does_not_hide_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enter = index.enter

    def entered_and_listed(*args: Any) -> None:
        enter(*args)
        assert live.page() == []

    monkeypatch.setattr(index, "enter", entered_and_listed)
    session = begin()
    assert [s.id for s in live.page()] == ids(session)


@pytest.mark.parametrize("what", ["person", "origin"])
def test_kill_while_a_session_is_being_written_wins(
    monkeypatch: pytest.MonkeyPatch, user: User, what: str
) -> None:
    enter = index.enter

    def entered_and_killed(*args: Any) -> None:
        enter(*args)
        time.sleep(0.002)
        if what == "person":
            live.end_person(user, by="admin")
        else:
            live.end_origin(ISSUER, "s-1", by="provider")

    monkeypatch.setattr(index, "enter", entered_and_killed)
    with pytest.raises(UpdateError):
        begin(user.sub, sid="s-1")
    assert census.check() == census.Census()


def test_kill_while_a_session_moves_to_another_key_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = begin()
    old, enter = ids(session), index.enter

    def entered_and_killed(*args: Any) -> None:
        enter(*args)
        live.end(old, by="admin")

    monkeypatch.setattr(index, "enter", entered_and_killed)
    with pytest.raises(UpdateError):
        session.cycle_key()
    assert census.check() == census.Census()


def test_pending_kill_is_in_the_audit_before_the_store_is_back(
    user: User, settings: Settings
) -> None:
    session = begin(user.sub)
    use_store(settings, NOWHERE)
    live.end(ids(session), by="desk", reason="stolen")
    live.end_person(user, by="desk")
    one, person = AuditEntry.objects.order_by("pk")
    assert (one.event, one.session_id) == ("session:killed", session.session_id)
    assert (one.reason, one.details) == ("stolen", {"pending": True})
    assert (person.subject, person.details) == (user.username, {"pending": True})


def test_session_with_a_planted_expiry_is_on_no_list(store: redis.Redis) -> None:
    """As the gate refuses it: no list may show as live what is dead, nor end it so."""
    session = begin()
    store.persist(keys.value(str(session.session_id)))
    assert live.find(str(session.session_id)) is None
    assert live.of_person(ISSUER, "u-1001") == []
    assert live.page() == []


def test_sign_in_that_has_only_begun_is_on_no_list_it_was_planted_in(
    store: redis.Redis,
) -> None:
    begun = SessionStore()
    begun["next"] = "/"
    begun.save()
    member = bytes.fromhex(str(begun.session_id))
    later = int(time.time() * 1000) + 60_000
    for name in (keys.BY_USE, keys.BY_START, keys.BY_END, keys.person(ISSUER, "u-1")):
        store.zadd(name, {member: later})
    assert live.find(str(begun.session_id)) is None
    assert live.of_person(ISSUER, "u-1") == []
    assert live.page() == []


def test_planted_word_of_a_kill_is_not_written_into_the_ledger(
    store: redis.Redis,
) -> None:
    """Only what was sealed by us for this very place is a kill that waits for SQL."""
    session = begin()
    sealed = store.get(keys.value(str(session.session_id)))
    planted = {str(uuid.uuid4()): value for value in (b"", b"{}", sealed)}
    store.hset(keys.UNWRITTEN, mapping=planted)
    assert live.settle() == 0
    assert not Revocation.objects.exists()
    assert not store.exists(keys.UNWRITTEN)
    assert is_live(session)
