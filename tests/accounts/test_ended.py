from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import ended
from accounts.audit import Event, record
from accounts.models import AuditEntry, Revocation
from accounts.sessions import live
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import begin

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def page(session: SessionStore) -> str:
    client = Client()
    client.cookies["session_id"] = str(session.session_key)
    return client.get("/sign-in/").content.decode()


def test_person_reads_that_an_admin_ended_it_when_and_under_what_reference() -> None:
    session = begin()
    live.end([str(session.session_id)], by="desk", reason="secret suspicion")
    said = page(session)
    entry = AuditEntry.objects.get(event=Event.KILLED)
    assert "A security admin ended your session." in said
    assert f"<code>{entry.pk}</code>" in said
    assert f'datetime="{timezone.localtime(entry.at):%Y-%m-%dT%H:%M}' in said
    assert "secret suspicion" not in said
    assert "desk" not in said


@pytest.mark.parametrize(
    ("event", "actor", "words"),
    [
        (Event.KILLED, "system", "what you may do here has changed"),
        (Event.LOGGED_OUT_BY_PROVIDER, "provider", "at the company"),
        (Event.RENEWAL_REFUSED, "provider", "at the company"),
        (Event.LIMIT_REACHED, "haneul", "as many sessions open"),
        (Event.ENDED, "haneul", "from another browser"),
        (Event.EXPIRED, "", "has expired"),
        (Event.SIGNED_OUT, "haneul", "You signed out"),
    ],
)
def test_each_end_has_its_own_words(event: Event, actor: str, words: str) -> None:
    session = begin()
    session_id = str(session.session_id)
    session.delete()
    record(event, actor=actor, session_id=session_id)
    assert words in page(session)


def test_kill_while_the_store_was_away_is_told() -> None:
    session = begin()
    now = timezone.now()
    Revocation.objects.create(
        kind=Revocation.Kind.SESSION,
        target=session.session_id,
        before=now,
        matters_until=now,
        by="desk",
    )
    session.delete()
    assert "A security admin ended your session." in page(session)


def test_cut_off_is_told_to_those_it_ended() -> None:
    session = begin()
    record(Event.SIGNED_IN, session_id=session.session_id)
    live.end_everyone(by="desk")
    live.end_everyone(by="desk")
    said = page(session)
    assert "every session of everyone" in said
    # Ended by the first of the two, which no later one changes.
    first = AuditEntry.objects.filter(event=Event.CUT_OFF).order_by("pk")[0]
    assert f"<code>{first.pk}</code>" in said


def test_session_that_ran_out_is_told_as_expired() -> None:
    session = begin()
    yesterday = timezone.now() - timedelta(days=1)
    record(Event.SIGNED_IN, session_id=session.session_id, at=yesterday)
    live.end_everyone(by="desk")
    session.delete()
    assert "has expired" in page(session)


def test_cookie_nobody_ever_had_learns_nothing() -> None:
    client = Client()
    client.cookies["session_id"] = "x" * 32
    assert "Your session has ended." in client.get("/sign-in/").content.decode()


@pytest.mark.parametrize("cookie", [None, "not-a-key", "0" * 24])
def test_visitor_without_a_session_costs_no_query(
    client: Client, cookie: str | None, django_assert_num_queries: object
) -> None:
    if cookie:
        client.cookies["session_id"] = cookie
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert client.get("/sign-in/").status_code == 200


def test_session_id_tells_nothing_to_who_has_no_key() -> None:
    session = begin()
    live.end([str(session.session_id)], by="desk")
    assert ended.story_of(str(session.session_id) + "00000000") is None
