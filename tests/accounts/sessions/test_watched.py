from __future__ import annotations

from typing import Any

import pytest
import redis
from django.http import HttpRequest
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import AuditEntry, Revocation, User
from accounts.sessions import live, watched
from accounts.sessions.store import SessionStore
from accounts.sessions.watched import CHANGES_AT_MOST, WatchedSession
from tests.accounts.sessions.conftest import ISSUER, PROFILE, is_live, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/156.0.0.0 Safari/537.36"
NEWER = CHROME.replace("156", "157")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
HOME, NEXT_DOOR, ELSEWHERE = "203.0.113.7", "203.0.113.200", "198.51.100.9"


def begun(agent: str = CHROME, address: str = HOME) -> str:
    session = SessionStore()
    found = {"provider": "oidc", "address": address, "agent": agent}
    session.begin(
        {"profile": PROFILE, "sign_in": found},
        person=keys.person(ISSUER, "u-1001"),
        origin=None,
    )
    session.save()
    return str(session.session_key)


def used(session_key: str, agent: str = CHROME, address: str = HOME) -> WatchedSession:
    request: HttpRequest = RequestFactory().get(
        "/", headers={"User-Agent": agent}, REMOTE_ADDR=address
    )
    session = WatchedSession(session_key, request)
    session.open()
    return session


def events() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("event", flat=True))


@pytest.mark.parametrize(
    ("agent", "address"), [(CHROME, HOME), (NEWER, NEXT_DOOR), ("", HOME), (CHROME, "")]
)
def test_same_device_and_network_is_no_news(agent: str, address: str) -> None:
    used(begun(), agent, address)
    assert events() == []


@pytest.mark.parametrize(
    ("agent", "address", "expected"),
    [
        (FIREFOX, HOME, ["session:agent-changed"]),
        (CHROME, ELSEWHERE, ["session:address-changed"]),
        (
            FIREFOX,
            ELSEWHERE,
            ["session:address-changed", "session:agent-changed"],
        ),
    ],
)
def test_another_device_or_network_is_noticed_and_goes_on(
    agent: str, address: str, expected: list[str]
) -> None:
    session = used(begun(), agent, address)
    assert session.record is not None
    assert events() == expected
    (seen,) = live.page()
    (change,) = seen.changes
    assert (change.browser.agent, change.browser.address) == (agent, address)


def test_change_is_recorded_once_however_often_it_is_used() -> None:
    key = begun()
    for address in (ELSEWHERE, HOME, ELSEWHERE, HOME):
        used(key, address=address)
    assert events() == ["session:address-changed"]


def test_of_requests_that_come_at_once_one_notes_the_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, late = begun(), watched.swap

    def another_first(*args: Any) -> Any:
        monkeypatch.setattr(watched, "swap", late)
        assert used(key, address=ELSEWHERE).record is not None
        return late(*args)

    monkeypatch.setattr(watched, "swap", another_first)
    assert used(key, address=ELSEWHERE).record is not None
    assert events() == ["session:address-changed"]
    assert len(live.page()[0].changes) == 1


def test_changes_beyond_a_number_are_no_longer_written() -> None:
    key = begun()
    for number in range(CHANGES_AT_MOST + 3):
        used(key, address=f"198.51.{number}.1")
    assert len(live.page()[0].changes) == CHANGES_AT_MOST
    assert len(events()) == CHANGES_AT_MOST


def test_what_is_not_remembered_is_not_compared(settings: Settings) -> None:
    settings.REMEMBER_ADDRESS = settings.REMEMBER_DEVICE = False
    used(begun(), FIREFOX, ELSEWHERE)
    assert events() == []


def test_change_ends_the_session_where_that_is_wanted(settings: Settings) -> None:
    settings.SESSION_CHANGE = "end"
    key = begun()
    assert used(key, address=ELSEWHERE).record is None
    assert SessionStore(key).record is None
    assert events() == ["session:address-changed", "session:killed"]
    assert Revocation.objects.get().by == "system"


def test_noticing_asks_the_store_nothing_more(store: redis.Redis) -> None:
    key = begun()
    asked = store.info("commandstats")["cmdstat_eval"]["calls"]
    used(key)
    stats = store.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] - asked <= 1


def test_notice_reaches_the_session_of_a_real_request(
    client: Client, user: User
) -> None:
    session = sign_in(client, user)
    stored = SessionStore(session.session_key)
    stored["sign_in"] = {"provider": "oidc", "address": HOME, "agent": CHROME}
    stored.save()
    assert client.get("/", headers={"User-Agent": FIREFOX}).status_code == 200
    assert "session:agent-changed" in events()
    assert is_live(session)


def test_session_of_nobody_is_not_watched() -> None:
    session = SessionStore()
    session["next"] = "/"
    session.save()
    assert used(str(session.session_key), FIREFOX, ELSEWHERE)["next"] == "/"
    assert events() == []


def test_session_that_is_killed_while_a_change_is_noted_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """P1: the kill has reported success before this request goes on."""
    key = begun()
    swap = watched.swap

    def killed_first(name: str, read: bytes, sealed: bytes) -> tuple[bytes, bytes]:
        live.end([str(SessionStore(key).session_id)], by="desk")
        return swap(name, read, sealed)

    monkeypatch.setattr(watched, "swap", killed_first)
    session = used(key, FIREFOX, ELSEWHERE)
    assert session.record is None
    assert session.get("profile") is None
    assert "session:agent-changed" not in events()
