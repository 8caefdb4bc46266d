from __future__ import annotations

import pytest
import redis

from accounts import keys
from accounts.sessions import census, live
from accounts.sessions.index import Order
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import begin
from tests.conftest import Travel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def test_healthy_store_has_no_strays() -> None:
    for number in range(7):
        begin(f"u-{number}", sid=f"s-{number}")
    anonymous = SessionStore()
    anonymous["state"] = "x"
    anonymous.save()
    found = census.check()
    assert (found.live, found.strays) == (7, 0)


@pytest.mark.parametrize("order", list(Order))
def test_session_missing_from_a_list_is_hidden_and_mended(
    store: redis.Redis, order: Order
) -> None:
    session = begin()
    store.zrem(order.value, bytes.fromhex(str(session.session_id)))
    assert census.check().hidden == [session.session_id]
    census.repair()
    assert census.check().strays == 0
    assert [s.id for s in live.page()] == [session.session_id]


def test_session_missing_from_its_persons_list_is_mended(store: redis.Redis) -> None:
    session = begin()
    store.delete(keys.person("https://idp.example", "u-1001"))
    assert census.check().hidden == [session.session_id]
    census.repair()
    assert len(live.of_person("https://idp.example", "u-1001")) == 1


def test_entry_without_a_session_haunts_and_is_removed(store: redis.Redis) -> None:
    session = begin(sid="s-1")
    identifier = str(session.session_id)
    store.delete(keys.value(identifier))
    assert census.check().haunting == [identifier]
    census.repair()
    assert census.check().strays == 0
    # Words outlive sessions: others may name them.
    assert all(name.startswith(b"bo:{i}:w:") for name in store.keys("bo:{i}:*"))


def test_mending_keeps_the_last_use(store: redis.Redis, travel: Travel) -> None:
    session = begin()
    used = live.page()[0].last_used
    store.delete(keys.BY_USE)
    travel.shift(300)
    census.repair()
    assert abs((live.page()[0].last_used - used).total_seconds()) < 1
    assert session.session_id


def test_expired_sessions_are_no_strays(store: redis.Redis, travel: Travel) -> None:
    session = begin(sid="s-1")
    store.delete(keys.value(str(session.session_id)))
    travel.shift(1801)
    assert census.check().strays == 0
    live.purge()
    assert census.check().strays == 0
    assert store.zcard(keys.BY_USE) == 0


def test_session_without_facts_is_hidden_from_filters_and_mended(
    store: redis.Redis,
) -> None:
    session = begin()
    store.delete(keys.bucket(str(session.session_id)))
    assert census.check().hidden == [session.session_id]
    census.repair()
    assert census.check().strays == 0
    assert live.select(live.Selection(group="support")).total == 1


def test_facts_that_say_something_else_are_mended(store: redis.Redis) -> None:
    session, other = begin("u-1"), begin("u-2")
    mine, bucket = str(session.session_id), keys.bucket(str(session.session_id))
    others = store.hget(keys.bucket(str(other.session_id)), raw(other))
    store.hset(bucket, raw(session), others)
    assert census.check().hidden == [mine]
    census.repair()
    assert census.check().strays == 0


def test_lost_dictionary_is_mended(store: redis.Redis) -> None:
    begin()
    store.delete(keys.words("s"))
    assert len(census.check().hidden) == 1
    census.repair()
    assert census.check().strays == 0


def test_facts_without_a_session_haunt_and_are_removed(store: redis.Redis) -> None:
    session = begin()
    identifier = str(session.session_id)
    noted = store.hget(keys.bucket(identifier), raw(session))
    live.end([identifier], by="admin")
    store.hset(keys.bucket(identifier), raw(session), noted)
    assert census.check().haunting == [identifier]
    census.repair()
    assert census.check().strays == 0


def raw(session: SessionStore) -> bytes:
    """How the index names the session."""
    return bytes.fromhex(str(session.session_id))
