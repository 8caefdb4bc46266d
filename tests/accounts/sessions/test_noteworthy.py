from __future__ import annotations

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts.models import AuditEntry
from accounts.sessions import audit_copy, live, noteworthy
from accounts.sessions.errors import SessionStoreError
from accounts.sessions.noteworthy import REMEMBERED_SECONDS
from accounts.sessions.store import TOUCH_SECONDS, SessionStore
from tests.accounts.sessions.conftest import begin, is_live
from tests.conftest import Travel, use_store

NOWHERE = "redis://127.0.0.1:1/0"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def events() -> list[tuple[str, str]]:
    audit_copy.settle()
    found = AuditEntry.objects.order_by("pk")
    return list(found.values_list("event", "reason"))


def refuse(session: SessionStore, word: str) -> None:
    identifier = str(session.session_id)
    noteworthy.refused_call(session, identifier, word, "192.0.2.7", path="/x")


def test_call_refused_a_hundred_times_is_one_entry_a_kind() -> None:
    session, other = begin("u-1"), begin("u-2")
    for _ in range(100):
        refuse(session, "not-allowed")
    refuse(session, "cross-site")
    refuse(other, "not-allowed")
    assert sorted(reason for _, reason in events()) == [
        "cross-site",
        "not-allowed",
        "not-allowed",
    ]
    entry = AuditEntry.objects.filter(session_id=session.session_id)[0]
    assert (entry.actor, entry.address) == ("haneul", "192.0.2.7")
    assert entry.details == {"path": "/x"}


def test_what_was_told_is_remembered_for_a_while(store: redis.Redis) -> None:
    session = begin()
    refuse(session, "not-allowed")
    (name,) = store.keys("bo:{i}:n:*")
    assert 0 < store.ttl(name) <= REMEMBERED_SECONDS
    assert str(session.session_key).encode() not in name


def test_outage_is_entered_once_with_its_beginning_and_its_end(
    settings: Settings, travel: Travel
) -> None:
    session, here = begin(), settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, NOWHERE)
    for _ in range(3):
        with pytest.raises(SessionStoreError):
            is_live(session)
    travel.shift(TOUCH_SECONDS)
    use_store(settings, here)
    assert is_live(session)
    travel.shift(TOUCH_SECONDS)
    assert is_live(session)
    assert events() == [("store:lost", ""), ("store:back", "")]
    lost, back = AuditEntry.objects.order_by("pk")
    assert lost.details == back.details == {"cause": "unreachable", "seconds": 60}
    assert 60 <= (back.at - lost.at).total_seconds() < 70


def test_new_store_that_nobody_missed_is_no_outage() -> None:
    begin()
    live.settle()
    assert events() == []


def test_another_process_does_not_enter_the_same_outage(settings: Settings) -> None:
    here = settings.CACHES["sessions"]["LOCATION"]
    for _ in range(2):
        use_store(settings, NOWHERE)
        with pytest.raises(SessionStoreError):
            live.count()
        use_store(settings, here)
        live.count()
        live.settle()
    assert len(events()) == 2


def test_store_that_takes_no_writes_is_believed_all_the_same(
    store: redis.Redis, settings: Settings
) -> None:
    session, here = begin(), settings.CACHES["sessions"]["LOCATION"]
    use_store(settings, NOWHERE)
    with pytest.raises(SessionStoreError):
        is_live(session)
    use_store(settings, here)
    store.config_set("maxmemory", 1)
    try:
        assert is_live(session)
    finally:
        store.config_set("maxmemory", 0)
