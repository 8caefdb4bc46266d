from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.audit import Event, record
from accounts.models import AuditEntry, User
from accounts.sessions import live
from tests.accounts.desk.conftest import CHROME, IPHONE, LIST, opened
from tests.accounts.sessions.conftest import PROFILE, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def test_page_tells_profile_timeline_and_other_sessions(desk: Client) -> None:
    session, other = opened("u-7", agent=CHROME, address="10.1.2.3"), opened("u-7")
    session_id = str(session.session_id)
    for event in (Event.SIGNED_IN, Event.RENEWED, Event.ADDRESS_CHANGED):
        record(event, session_id=session_id, details={"agent": IPHONE})
    page = desk.get(f"{LIST}{session_id}/").content.decode()
    for words in (
        "Chrome 156, Windows 10",
        "10.1.2.3",
        "u-7@example.com",
        "Rights renewed by the provider",
        "Used from another network",
        str(other.session_id),
        "End this session",
    ):
        assert words in page
    assert str(session.session_key) not in page


def test_session_that_ended_is_told_from_the_audit(desk: Client) -> None:
    session_id = str(opened("u-7").session_id)
    record(Event.SIGNED_IN, session_id=session_id, details={"profile": PROFILE})
    live.end([session_id], by="desk", reason="stolen laptop")
    page = desk.get(f"{LIST}{session_id}/").content.decode()
    assert "No longer live" in page
    assert "stolen laptop" in page
    assert "haneul@example.com" in page
    assert "End this session" not in page


def test_session_that_moved_to_a_new_key_keeps_its_story(desk: Client) -> None:
    session_id = str(opened("u-7").session_id)
    before = "a" * 24
    record(Event.SIGNED_IN, session_id=before, details={"profile": PROFILE})
    record(Event.STEPPED_UP, session_id=session_id, details={"before": before})
    page = desk.get(f"{LIST}{session_id}/").content.decode()
    assert "Signed in" in page
    assert "Proved who they are again" in page


def began(session_id: str, **when: datetime) -> None:
    record(Event.SIGNED_IN, session_id=session_id, details={"profile": PROFILE}, **when)


def test_session_that_ended_with_everyone_tells_when_who_why_and_where(
    desk: Client,
) -> None:
    ended = opened("u-7")
    session_id = str(ended.session_id)
    began(session_id)
    live.end_everyone(by="somebody", reason="breach of the provider")
    live.end_everyone(by="another", reason="and once more")
    live.clear_up()
    first = AuditEntry.objects.filter(event=Event.CUT_OFF).order_by("pk")[0]
    # The admin's own session ended, too.
    sign_in(desk, User.objects.get(username="desk"))
    page = desk.get(f"{LIST}{session_id}/").content.decode()
    assert page.count("Everyone ended by a security admin") == 2
    for words in ("by somebody", "breach of the provider", f"entry {first.pk}"):
        assert words in page
    assert "and once more" not in page
    assert "may have expired" not in page


def test_end_of_everyone_before_or_long_after_is_no_end_of_this_session(
    desk: Client, settings: Settings
) -> None:
    live.end_everyone(by="somebody", reason="breach")
    sign_in(desk, User.objects.get(username="desk"))
    still, long_gone, told = "a" * 24, "b" * 24, "c" * 24
    began(still)
    began(long_gone, at=timezone.now() - timedelta(days=2))
    began(told, at=timezone.now() - timedelta(minutes=1))
    record(Event.SIGNED_OUT, session_id=told)
    for session_id in (still, long_gone, told):
        page = desk.get(f"{LIST}{session_id}/").content.decode()
        assert "Everyone ended" not in page


def test_end_of_everyone_after_the_idle_limit_is_said_to_be_no_proof(
    desk: Client, settings: Settings
) -> None:
    idle = timedelta(seconds=settings.SESSION_IDLE_SECONDS + 60)
    began("a" * 24, at=timezone.now() - idle)
    live.end_everyone(by="somebody", reason="breach")
    sign_in(desk, User.objects.get(username="desk"))
    page = desk.get(f"{LIST}{'a' * 24}/").content.decode()
    assert "Everyone ended" in page
    assert "may have expired" in page


@pytest.mark.parametrize("path", ["0" * 24, "nonsense", "k" * 32, "end/1", "add"])
def test_unknown_session_is_404(desk: Client, path: str) -> None:
    assert desk.get(f"{LIST}{path}/").status_code == 404


def test_hostile_details_do_no_harm(desk: Client) -> None:
    session_id = str(opened("u-7").session_id)
    hostile = "<script>alert(1)</script>"
    record(Event.SIGNED_IN, session_id=session_id, details={"agent": hostile})
    record(Event.KILLED, session_id=session_id, reason=hostile, actor=hostile)
    page = desk.get(f"{LIST}{session_id}/").content.decode()
    assert hostile not in page
