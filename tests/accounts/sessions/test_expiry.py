from __future__ import annotations

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts import audit
from accounts.models import AuditEntry
from accounts.sessions import audit_copy, expiry, live
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import begin, is_live
from tests.conftest import Travel, use_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def signed_in(sub: str = "u-1") -> SessionStore:
    session = begin(sub)
    audit.record(audit.Event.SIGNED_IN, subject="haneul", session_id=session.session_id)
    return session


def events(session: SessionStore) -> list[str]:
    found = AuditEntry.objects.filter(session_id=session.session_id).order_by("pk")
    return list(found.values_list("event", flat=True))


def forget(store: redis.Redis, session: SessionStore) -> None:
    """The store's own clock is not the tests': what has run out is gone by itself."""
    assert session.record is not None
    store.delete(session.record.name)


def test_session_that_ran_out_is_entered_once(
    travel: Travel, store: redis.Redis
) -> None:
    session, other = signed_in("u-1"), signed_in("u-2")
    forget(store, session)
    assert expiry.enter_expired() == 0
    travel.shift(1801)
    assert expiry.enter_expired() == 1
    assert expiry.enter_expired() == 0
    assert events(session) == ["session:signed-in", "session:expired"]
    assert events(other) == ["session:signed-in"]
    assert AuditEntry.objects.get(event="session:expired").subject == "haneul"


def test_session_that_was_ended_did_not_run_out(travel: Travel) -> None:
    session = signed_in()
    live.end([str(session.session_id)], by="desk")
    travel.shift(1801)
    assert expiry.enter_expired() == 0


def test_session_under_a_cut_off_did_not_run_out(travel: Travel) -> None:
    signed_in()
    travel.shift(60)
    live.end_everyone(by="desk")
    live.clear_up()
    travel.shift(1801)
    assert expiry.enter_expired() == 0


def test_session_that_moved_to_another_key_did_not_run_out(
    travel: Travel, store: redis.Redis
) -> None:
    session, moved = signed_in(), begin("u-1")
    audit.record(
        audit.Event.STEPPED_UP,
        session_id=moved.session_id,
        details={"before": session.session_id},
    )
    forget(store, session)
    travel.shift(1801)
    assert expiry.enter_expired() == 0


def test_kill_that_waited_for_the_store_is_entered_for_each_session_it_ends(
    settings: Settings,
) -> None:
    sessions, here = [begin("u-1"), begin("u-1")], settings.CACHES["sessions"]
    use_store(settings, "redis://127.0.0.1:1/0")
    profile = sessions[0]["profile"]
    live.end_subject(profile["issuer"], "u-1", by="desk", reason="stolen")
    use_store(settings, here["LOCATION"])
    assert not is_live(sessions[0])
    audit_copy.settle_if_any()
    for session in sessions:
        entry = AuditEntry.objects.get(session_id=session.session_id)
        assert (entry.event, entry.actor) == ("session:killed", "desk")
        assert (entry.reason, entry.subject) == ("stolen", "haneul")
