from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import devices, keys
from accounts.browser import Browser, kind_of_device
from accounts.models import AuditEntry, SeenDevice, User
from accounts.sessions.store import SessionStore
from tests.accounts.sessions.conftest import PROFILE, is_live, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

LAPTOP = Browser(
    "203.0.113.7",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/156.0.0.0 Safari/537.36",
)
PHONE = Browser(
    "198.51.100.9",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Safari/604.1",
)


TABLET = Browser(
    "198.51.100.10",
    "Mozilla/5.0 (Linux; Android 16; SM-X910) Chrome/156.0.0.0 Safari/537.36",
)
LAPTOP_KIND, PHONE_KIND = map(kind_of_device, (LAPTOP.agent, PHONE.agent))
NOTICE = "A new device signed in as you"
YES, NO = "/devices/{}/known/", "/devices/{}/unknown/"


def unanswered(user: User) -> list[str]:
    found = SeenDevice.objects.filter(user=user, is_answered=False)
    return [each.kind for each in found]


def session_on(user: User, browser: Browser) -> SessionStore:
    """A live session that began in this browser, noted as a sign-in notes it."""
    session = SessionStore()
    session.begin(
        {
            "profile": {**PROFILE, "sub": user.sub},
            "sign_in": {
                "provider": "oidc",
                "address": browser.address,
                "agent": browser.agent,
            },
        },
        person=keys.person(user.issuer, user.sub),
        origin=None,
    )
    session.save()
    devices.remember(user, browser, str(session.session_id))
    return session


def browser_of(user: User, browser: Browser) -> tuple[Client, SessionStore]:
    """A browser of this kind in which the person has just signed in."""
    client = Client(headers={"user-agent": browser.agent})
    session = sign_in(client, user)
    session["sign_in"] = {"provider": "oidc", "agent": browser.agent}
    session.save()
    devices.remember(user, browser, str(session.session_id))
    return client, session


def pages(client: Client) -> str:
    return "".join(client.get(path).content.decode() for path in ("/", "/sessions/"))


def test_first_device_is_no_news(user: User) -> None:
    devices.remember(user, LAPTOP, "a" * 24)
    assert unanswered(user) == []


def test_another_device_is_recorded(user: User) -> None:
    devices.remember(user, LAPTOP, "a" * 24)
    devices.remember(user, PHONE, "b" * 24)
    assert unanswered(user) == [PHONE_KIND]
    entry = AuditEntry.objects.get(event="session:new-device")
    assert (entry.subject, entry.session_id) == ("haneul", "b" * 24)


def test_device_that_is_known_is_no_news(user: User) -> None:
    for browser in (LAPTOP, PHONE, LAPTOP, PHONE):
        devices.remember(user, browser, "c" * 24)
    assert SeenDevice.objects.count() == 2


def test_devices_are_forgotten(user: User, settings: Settings) -> None:
    devices.remember(user, PHONE, "a" * 24)
    SeenDevice.objects.update(last_seen=timezone.now() - timedelta(days=91))
    devices.remember(user, LAPTOP, "b" * 24)
    assert [each.kind for each in SeenDevice.objects.all()] == [LAPTOP_KIND]


@pytest.mark.parametrize("setting", ["REMEMBER_DEVICE", "DEVICE_MEMORY_DAYS"])
def test_memory_can_be_switched_off(
    user: User, settings: Settings, setting: str
) -> None:
    setattr(settings, setting, False)
    devices.remember(user, LAPTOP, "a" * 24)
    assert not SeenDevice.objects.exists()


def test_yes_clears_the_notice_and_ends_nothing(user: User) -> None:
    owner, _ = browser_of(user, LAPTOP)
    phone = session_on(user, PHONE)
    assert pages(owner).count(NOTICE) == 2
    device = SeenDevice.objects.get(is_answered=False)
    assert owner.get(YES.format(device.pk)).status_code == 405
    owner.post(YES.format(device.pk))
    assert NOTICE not in pages(owner)
    assert is_live(phone)


# No -----------------------------------------------------------------------------------


def test_no_ends_every_session_of_that_device_and_clears_the_notice(
    user: User, admin: User
) -> None:
    owner, own = browser_of(user, LAPTOP)
    thief = [session_on(user, PHONE), session_on(user, PHONE)]
    spared = [own, session_on(user, LAPTOP), session_on(admin, PHONE)]
    device = SeenDevice.objects.get(user=user, is_answered=False)
    assert owner.get(NO.format(device.pk)).status_code == 405
    owner.post(NO.format(device.pk))
    page = pages(owner)
    assert "2 sessions ended." in page
    assert NOTICE not in page
    assert not any(map(is_live, thief))
    assert all(map(is_live, spared))


def test_no_ends_the_session_that_came_after_the_one_that_made_the_news(
    user: User,
) -> None:
    owner, _ = browser_of(user, LAPTOP)
    session_on(user, PHONE).flush()
    second = session_on(user, PHONE)
    owner.post(NO.format(SeenDevice.objects.get(is_answered=False).pk))
    assert not is_live(second)
    page = pages(owner)
    assert "1 session ended." in page
    assert NOTICE not in page


def test_device_that_was_denied_is_news_again_at_its_next_sign_in(user: User) -> None:
    owner, _ = browser_of(user, LAPTOP)
    session_on(user, PHONE)
    owner.post(NO.format(SeenDevice.objects.get(is_answered=False).pk))
    session_on(user, PHONE)
    assert NOTICE in pages(owner)


def test_sign_in_while_no_is_carried_out_ends_too_or_is_news(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _ = browser_of(user, LAPTOP)
    session_on(user, PHONE)
    late: list[SessionStore] = []
    end = devices.live.end

    def end_and_sign_in(*args: Any, **kwargs: Any) -> Any:
        outcome = end(*args, **kwargs)
        if not late:
            late.append(session_on(user, PHONE))
        return outcome

    monkeypatch.setattr(devices.live, "end", end_and_sign_in)
    owner.post(NO.format(SeenDevice.objects.get(is_answered=False).pk))
    assert not is_live(late[0]) or NOTICE in pages(owner)


def test_no_is_recorded_for_security_admins(user: User) -> None:
    owner, _ = browser_of(user, LAPTOP)
    thief = session_on(user, PHONE)
    owner.post(NO.format(SeenDevice.objects.get(is_answered=False).pk))
    entry = AuditEntry.objects.get(event="session:device-denied")
    assert (entry.actor, entry.subject) == ("haneul", "haneul")
    assert entry.session_id == thief.session_id
    assert entry.details == {"device": PHONE_KIND, "ended": 1}
    ended = AuditEntry.objects.get(event="session:ended")
    assert ended.session_id == thief.session_id
    assert ended.reason


def test_no_after_the_answer_of_another_tab_ends_nothing(user: User) -> None:
    owner, _ = browser_of(user, LAPTOP)
    phone = session_on(user, PHONE)
    device = SeenDevice.objects.get(is_answered=False)
    owner.post(YES.format(device.pk))
    owner.post(NO.format(device.pk))
    assert is_live(phone)
    assert not AuditEntry.objects.filter(event="session:device-denied").exists()


# Who may answer -----------------------------------------------------------------------


def test_no_session_of_the_device_itself_is_asked_or_may_answer(user: User) -> None:
    session_on(user, LAPTOP)
    first, _ = browser_of(user, PHONE)
    second, _ = browser_of(user, PHONE)
    device = SeenDevice.objects.get(is_answered=False)
    for thief in (first, second):
        assert NOTICE not in pages(thief)
        thief.post(YES.format(device.pk))
        thief.post(NO.format(device.pk))
    assert unanswered(user) == [PHONE_KIND]


def test_another_new_device_may_not_say_yes(user: User) -> None:
    owner, _ = browser_of(user, LAPTOP)
    session_on(user, PHONE)
    disguised, _ = browser_of(user, TABLET)
    phone = SeenDevice.objects.get(kind=PHONE_KIND)
    assert "Yes, that was me" not in pages(disguised)
    disguised.post(YES.format(phone.pk))
    assert PHONE_KIND in unanswered(user)
    assert PHONE_KIND in pages(owner)


def test_session_now_used_from_the_new_device_may_not_answer(user: User) -> None:
    _, session = browser_of(user, LAPTOP)
    session_on(user, PHONE)
    copied = Client(headers={"user-agent": PHONE.agent})
    copied.cookies["session_id"] = str(session.session_key)
    assert NOTICE not in pages(copied)
    copied.post(YES.format(SeenDevice.objects.get(is_answered=False).pk))
    assert unanswered(user) == [PHONE_KIND]


def test_nobody_answers_for_somebody_else(user: User, admin: User) -> None:
    session_on(user, LAPTOP)
    phone = session_on(user, PHONE)
    stranger, _ = browser_of(admin, LAPTOP)
    device = SeenDevice.objects.get(user=user, is_answered=False)
    stranger.post(YES.format(device.pk))
    stranger.post(NO.format(device.pk))
    assert unanswered(user) == [PHONE_KIND]
    assert is_live(phone)
