from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import devices
from accounts.browser import Browser
from accounts.models import AuditEntry, SeenDevice, User
from tests.accounts.sessions.conftest import begin, is_live, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

LAPTOP = Browser(
    "203.0.113.7",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/156.0.0.0 Safari/537.36",
)
PHONE = Browser(
    "198.51.100.9",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Safari/604.1",
)


def news(user: User, session_id: str = "") -> list[str]:
    return [each.session_id for each in devices.unanswered(user, session_id)]


def test_first_device_is_no_news(user: User) -> None:
    devices.remember(user, LAPTOP, "a" * 24)
    assert news(user) == []


def test_another_device_is_news_to_all_but_itself(user: User) -> None:
    devices.remember(user, LAPTOP, "a" * 24)
    devices.remember(user, PHONE, "b" * 24)
    assert news(user, "a" * 24) == ["b" * 24]
    assert news(user, "b" * 24) == []
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
    assert [each.kind for each in SeenDevice.objects.all()] == ["Chrome, Windows"]


@pytest.mark.parametrize("setting", ["REMEMBER_DEVICE", "DEVICE_MEMORY_DAYS"])
def test_memory_can_be_switched_off(
    user: User, settings: Settings, setting: str
) -> None:
    setattr(settings, setting, False)
    devices.remember(user, LAPTOP, "a" * 24)
    assert not SeenDevice.objects.exists()


def test_person_sees_the_news_and_answers(client: Client, user: User) -> None:
    own, other = sign_in(client, user), begin()
    devices.remember(user, LAPTOP, str(own.session_id))
    devices.remember(user, PHONE, str(other.session_id))
    for path in ("/", "/sessions/"):
        assert "A new device signed in as you" in client.get(path).content.decode()
    device = devices.unanswered(user, None).get()
    assert client.get(f"/devices/{device.pk}/known/").status_code == 405
    client.post(f"/devices/{device.pk}/known/")
    assert "A new device" not in client.get("/sessions/").content.decode()


def test_new_device_cannot_answer_for_itself(client: Client, user: User) -> None:
    own = sign_in(client, user)
    devices.remember(user, LAPTOP, "a" * 24)
    devices.remember(user, PHONE, str(own.session_id))
    device = devices.unanswered(user, None).get()
    client.post(f"/devices/{device.pk}/known/")
    assert news(user) == [own.session_id]


def test_nobody_answers_for_somebody_else(
    client: Client, user: User, admin: User
) -> None:
    devices.remember(user, LAPTOP, "a" * 24)
    devices.remember(user, PHONE, "b" * 24)
    sign_in(client, admin)
    client.post(f"/devices/{devices.unanswered(user, None).get().pk}/known/")
    assert news(user) == ["b" * 24]


def test_session_that_was_not_mine_is_ended_from_the_notice(
    client: Client, user: User
) -> None:
    own, other = sign_in(client, user), begin()
    devices.remember(user, LAPTOP, str(own.session_id))
    devices.remember(user, PHONE, str(other.session_id))
    client.post(f"/sessions/{other.session_id}/end/")
    assert not is_live(other)
